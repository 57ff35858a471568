/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Transfers between a block device and vectors of RAM and of several providers'
 * memory, in any order. How many commands a drive needs for one is transparent.
 */
#ifndef P2P_MIXED_H
#define P2P_MIXED_H

#include <linux/aio_abi.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "p2pmem.h"

#define MIXED_SEGMENTS	64
#define MIXED_SEGMENT	(32 * KIB)	/* at most */
#define MIXED_SIZE	(MIXED_SEGMENTS * MIXED_SEGMENT)
#define MIXED_POISON	0xdeadbeefcafef00dULL

struct mixed {
	int fd;
	size_t sector;
	unsigned int seed;
	int nr;				/* kinds of memory; the first is RAM */
	char *mem[P2P_MAX + 1];		/* MIXED_SIZE of each kind */
	bool reached[P2P_MAX + 1];
	char *back;			/* RAM, MIXED_SIZE */
};

const char *mixed_init(struct mixed *m, int fd, size_t sector, bool reached);
void mixed_end(struct mixed *m);
ssize_t mixed_async(int fd, int opcode, struct iovec *vec, int nr, off_t where);
size_t mixed_vector(struct mixed *m, struct iovec *vec, int *kind, int nr);
bool mixed_holds(struct iovec *vec, int nr, uint64_t seed, off_t where);
const char *mixed_transfer(struct mixed *m, off_t where);

#endif
