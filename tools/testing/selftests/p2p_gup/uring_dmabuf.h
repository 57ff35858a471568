/* SPDX-License-Identifier: GPL-2.0 */
/* Registered buffers that are dma-bufs of a provider. */
#ifndef P2P_URING_DMABUF_H
#define P2P_URING_DMABUF_H

#include "dmabuf.h"
#include "p2pmem.h"
#include "uring_buf.h"

/*
 * Members of the fixtures, see P2P_FIXTURE: a dma-buf, and a ring with empty
 * slots.
 */
struct uring_dmabuf_fixture {
	P2P_FIXTURE;		/* mem, if any, is a mapping of the dma-buf */
	struct ring ring;
	int heap;
	int fd;
};

#define URING_DMABUF_FIXTURE				\
	union {						\
		struct uring_dmabuf_fixture;		\
		struct uring_dmabuf_fixture dmabuf;	\
	}

bool uring_dmabuf_begin(struct uring_dmabuf_fixture *self,
			const struct p2p_variant *variant, int disk_flags, size_t size);
bool uring_dmabuf_begin_ring(struct uring_dmabuf_fixture *self, unsigned int entries,
			     unsigned int slots);
bool uring_dmabuf_map(struct uring_dmabuf_fixture *self, size_t size);
void uring_dmabuf_end(struct uring_dmabuf_fixture *self);

#endif
