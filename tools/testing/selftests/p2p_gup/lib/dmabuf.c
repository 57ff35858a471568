// SPDX-License-Identifier: GPL-2.0
/* dma-bufs of peer-to-peer and other memory. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/udmabuf.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../dmabuf.h"
#include "../p2pmem.h"

void heap_path(char *path, const char *provider)
{
	snprintf(path, P2P_PATH_LEN, DMA_HEAPS "p2pmem-%s", provider);
}

int heap_open(const char *provider)
{
	char path[P2P_PATH_LEN];

	heap_path(path, provider);
	return open(path, O_RDWR | O_CLOEXEC);
}

bool heap_there(const char *provider)
{
	char path[P2P_PATH_LEN];

	heap_path(path, provider);
	return !access(path, F_OK);
}

/*
 * Grants the group access to the heap, as an administrator would; 0 revokes it.
 */
bool heap_admit(const char *provider, gid_t group)
{
	char path[P2P_PATH_LEN];

	heap_path(path, provider);
	return !chown(path, -1, group) && !chmod(path, group ? 0660 : 0600);
}

int heap_alloc_flags(int heap, size_t size, unsigned int fd_flags)
{
	struct dma_heap_allocation_data data = {
		.len = size,
		.fd_flags = fd_flags,
	};

	return ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &data) ? -errno : (int)data.fd;
}

int heap_export(int heap, const void *addr, unsigned int fd_flags,
		uint64_t *offset, uint64_t *len)
{
	struct dma_heap_export_data data = {
		.addr = (uintptr_t)addr,
		.fd_flags = fd_flags,
	};

	if (ioctl(heap, DMA_HEAP_IOCTL_EXPORT, &data))
		return -errno;
	if (offset)
		*offset = data.offset;
	if (len)
		*len = data.len;
	return data.fd;
}

/* A udmabuf of RAM; only the dma-buf keeps the memfd. */
int udmabuf_create(size_t size)
{
	int dev = open("/dev/udmabuf", O_RDWR | O_CLOEXEC);
	int mem = memfd_create("udmabuf", MFD_ALLOW_SEALING | MFD_CLOEXEC);
	struct udmabuf_create create = {
		.memfd = mem,
		.flags = UDMABUF_FLAGS_CLOEXEC,
		.size = size,
	};
	int fd = -1;

	if (dev >= 0 && mem >= 0 && !ftruncate(mem, size) &&
	    !fcntl(mem, F_ADD_SEALS, F_SEAL_SHRINK))
		fd = ioctl(dev, UDMABUF_CREATE, &create);
	fd = fd < 0 ? -errno : fd;
	close(mem);
	close(dev);
	return fd;
}

/* DMA_BUF_IOCTL_SYNC: 0 or a negative errno. */
int dmabuf_sync(int fd, uint64_t flags)
{
	struct dma_buf_sync sync = { .flags = flags };

	return p2p_result(ioctl(fd, DMA_BUF_IOCTL_SYNC, &sync));
}

union fd_control {
	struct cmsghdr header;
	char room[CMSG_SPACE(sizeof(int))];
};

/* Passes a file descriptor on, over a Unix socket. */
bool fd_send(int sock, int fd)
{
	union fd_control control = { 0 };
	char byte = 0;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&msg);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	return sendmsg(sock, &msg, 0) == 1;
}

/* -1 if none comes. */
int fd_receive(int sock)
{
	union fd_control control = { 0 };
	char byte;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *header;
	int fd;

	if (recvmsg(sock, &msg, MSG_CMSG_CLOEXEC) != 1)
		return -1;
	header = CMSG_FIRSTHDR(&msg);
	if (!header || header->cmsg_type != SCM_RIGHTS)
		return -1;
	memcpy(&fd, CMSG_DATA(header), sizeof(fd));
	return fd;
}
