// SPDX-License-Identifier: GPL-2.0
/* Registered buffers that are dma-bufs of a provider. */
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../uring_dmabuf.h"

/* Opens the drive, and allocates a dma-buf. */
bool uring_dmabuf_begin(struct uring_dmabuf_fixture *self,
			const struct p2p_variant *variant, int disk_flags, size_t size)
{
	if (!p2p_setup(&self->p2p, variant, 0) ||
	    !p2p_setup_drive(&self->p2p, variant, disk_flags))
		return false;
	self->heap = heap_open(self->provider);
	if (self->heap < 0) {
		perror(self->provider);
		return false;
	}
	self->fd = heap_alloc(self->heap, size);
	return self->fd >= 0;
}

bool uring_dmabuf_begin_ring(struct uring_dmabuf_fixture *self, unsigned int entries,
			     unsigned int slots)
{
	return ring_init(&self->ring, entries, 0) &&
	       !uring_register_empty(&self->ring, slots);
}

/* Maps the dma-buf, and as much RAM. */
bool uring_dmabuf_map(struct uring_dmabuf_fixture *self, size_t size)
{
	self->size = size;
	self->mem = dmabuf_map(self->fd, size, 0);
	return self->mem != MAP_FAILED && p2p_setup_ram(&self->p2p);
}

void uring_dmabuf_end(struct uring_dmabuf_fixture *self)
{
	ring_exit(&self->ring);
	close(self->fd);
	close(self->heap);
	p2p_release(&self->p2p);
}
