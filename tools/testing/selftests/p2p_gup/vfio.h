/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A process that drives a QEMU edu device by vfio. The device copies from and
 * to its internal buffer, by addresses below 256 MiB.
 */
#ifndef P2P_VFIO_H
#define P2P_VFIO_H

#include <linux/vfio.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "p2pmem.h"

#define VFIO_DRIVER	"vfio-pci"
#define EDU_STEP	2048UL	/* less than 4 KiB, or QEMU aborts */

/* The memory of a fixture, of either kind, and its device addresses. */
#define PAGES		8
#define SEED		1
#define RAM_AT		0x100000
#define P2P_AT		0x200000
#define POISON		0xdeadbeefcafef00dULL

struct vfio {
	int container, group, device;
	void *regs;
};

bool vfio_find_edu(char *address, size_t size);
int vfio_open_group(const char *address);
bool vfio_open(struct vfio *vfio, const char *address);
bool vfio_open_with_ram(struct vfio *vfio, const char *address, struct p2p_fixture *p2p);
void vfio_close(struct vfio *vfio);
int vfio_attach(struct vfio *vfio, int group);

/* Return 0, the number of unmapped bytes, or a negative errno. */
int vfio_map_flags(struct vfio *vfio, uint64_t iova, void *mem, size_t size,
		   unsigned int flags);
long long vfio_unmap_flags(struct vfio *vfio, uint64_t iova, size_t size,
			   unsigned int flags);

static inline int vfio_map(struct vfio *vfio, uint64_t iova, void *mem, size_t size)
{
	return vfio_map_flags(vfio, iova, mem, size,
			      VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE);
}

static inline long long vfio_unmap(struct vfio *vfio, uint64_t iova, size_t size)
{
	return vfio_unmap_flags(vfio, iova, size, 0);
}

bool vfio_edu_read(struct vfio *vfio, uint64_t iova, size_t len);
bool vfio_edu_write(struct vfio *vfio, uint64_t iova, size_t len);

/* Makes the device copy from one address to another. */
static inline bool vfio_edu_copy(struct vfio *vfio, uint64_t from, uint64_t to,
				 size_t len)
{
	size_t at, step;

	for (at = 0; at < len; at += step) {
		step = len - at < EDU_STEP ? len - at : EDU_STEP;
		if (!vfio_edu_read(vfio, from + at, step) ||
		    !vfio_edu_write(vfio, to + at, step))
			return false;
	}
	return true;
}

#endif
