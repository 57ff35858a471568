// SPDX-License-Identifier: GPL-2.0
/*
 * Peer-to-peer memory without struct pages, through the sample driver
 * samples/p2pdma/p2p-vram.c.
 *
 *	P2P_VRAM	address of the device that is bound to it
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <samples/p2pdma/p2p-vram.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../edu.h"
#include "../p2pmem.h"
#include "../range.h"

int open_vram(const char *device, int flags)
{
	char path[P2P_PATH_LEN];

	snprintf(path, sizeof(path), "/dev/" VRAM "-%s", device);
	return open(path, flags | O_CLOEXEC);
}

/*
 * Returns a dma-buf of a part of the memory, or a negative errno. @flags are
 * the open flags of the device file.
 */
int export_vram_flags(const char *device, size_t size, off_t offset, int flags)
{
	struct p2p_vram_export export = { .offset = offset, .len = size };
	int vram = open_vram(device, flags);
	int fd = p2p_result(ioctl(vram, P2P_VRAM_EXPORT, &export));

	close(vram);
	return fd;
}

int export_vram(const char *device, size_t size, off_t offset)
{
	return export_vram_flags(device, size, offset, O_RDWR);
}

/* MAP_FAILED, with errno set, on failure. */
char *map_vram(const char *device, size_t size, off_t offset)
{
	return p2p_map_fd(open_vram(device, O_RDWR), size, MAP_SHARED, offset);
}
