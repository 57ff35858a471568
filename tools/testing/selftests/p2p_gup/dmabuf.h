/* SPDX-License-Identifier: GPL-2.0 */
/* dma-bufs of peer-to-peer and other memory, and their importers. */
#ifndef P2P_DMABUF_H
#define P2P_DMABUF_H

#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/types.h>

#include "p2pmem.h"

#define DMA_HEAPS	"/dev/dma_heap/"
#define IMPORTER_FILE	"/sys/kernel/debug/p2p_test_dmabuf"
#define ALLOW_STATIC	"/sys/module/pci_p2pmem/parameters/allow_static"

void heap_path(char *path, const char *provider);
int heap_open(const char *provider);
bool heap_there(const char *provider);
bool heap_admit(const char *provider, gid_t group);

/* All return a file descriptor, or a negative errno. */
int heap_alloc_flags(int heap, size_t size, unsigned int fd_flags);
int heap_export(int heap, const void *addr, unsigned int fd_flags,
		uint64_t *offset, uint64_t *len);
int udmabuf_create(size_t size);

static inline int heap_alloc(int heap, size_t size)
{
	return heap_alloc_flags(heap, size, O_RDWR | O_CLOEXEC);
}

static inline char *dmabuf_map(int fd, size_t size, off_t offset)
{
	return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);
}

int dmabuf_sync(int fd, uint64_t flags);
bool fd_send(int sock, int fd);
int fd_receive(int sock);

#endif
