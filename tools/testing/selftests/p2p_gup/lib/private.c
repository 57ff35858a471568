// SPDX-License-Identifier: GPL-2.0
/*
 * Device private memory of lib/test_hmm.c, with its data in a provider's BAR.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <lib/test_hmm_uapi.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../p2pmem.h"
#include "../private.h"

static int call(int fd, unsigned long command, const void *mem, size_t size, void *data)
{
	struct hmm_dmirror_cmd cmd = {
		.addr = (uintptr_t)mem,
		.ptr = (uintptr_t)data,
		.npages = size / sysconf(_SC_PAGESIZE),
	};

	return p2p_result(ioctl(fd, command, &cmd));
}

/* Migrates all of it to the device, or returns -ENOENT. */
int private_to_device(int fd, void *mem, size_t size)
{
	/* The call returns the migrated data. */
	void *data = malloc(size);
	int error;

	if (!data)
		return -ENOMEM;
	error = call(fd, HMM_DMIRROR_MIGRATE_TO_DEV, mem, size, data);
	free(data);
	return error;
}

/* Migrates pages that the device has, as a CPU access does. */
int private_to_ram(int fd, void *mem, size_t size)
{
	return call(fd, HMM_DMIRROR_MIGRATE_TO_SYS, mem, size, NULL);
}

/* Reads through the device, without migrating. */
int private_read(int fd, void *mem, size_t size, void *to)
{
	return call(fd, HMM_DMIRROR_READ, mem, size, to);
}

/* How many pages the device has, or a negative errno. */
int private_pages(int fd, const void *mem, size_t size)
{
	size_t i, nr = size / sysconf(_SC_PAGESIZE);
	unsigned char state[nr];
	int error, pages = 0;

	error = call(fd, HMM_DMIRROR_SNAPSHOT, mem, size, state);
	if (error)
		return error;
	for (i = 0; i < nr; i++)
		pages += (state[i] & 0xf0) == HMM_DMIRROR_PROT_DEV_PRIVATE_LOCAL;
	return pages;
}
