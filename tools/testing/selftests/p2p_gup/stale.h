/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Two users who get the same peer-to-peer memory, one after the other: what a
 * user leaves there, and what the next one finds, each in its own process.
 */
#ifndef P2P_STALE_H
#define P2P_STALE_H

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "p2pmem.h"
#include "users.h"

#define PAGE		(4 * KIB)
#define SMALL		(32 * PAGE)	/* base pages */
#define PMD		(2 * MIB)

/* Result of a child, as its exit status. */
#define FOUND_AS_WANTED	0
#define FOUND_OTHER	1		/* other data than expected */
#define FOUND_ELSEWHERE	2		/* got other memory: proves nothing */
#define FOUND_ERROR	3

struct shared {
	uint64_t phys;			/* where the memory was */
	int steps;
};

/* The fixture of stale_fixture.h. */
struct _test_data_stale {
	P2P_FIXTURE;			/* without a mapping */
	struct shared *shared;
	int files[BOB - ALICE + 1];	/* each opened by its user */
};

/* lib/stale.c. The data that a user leaves is the user ID. */
bool open_files(struct _test_data_stale *self);
void close_files(struct _test_data_stale *self);
void put(char *mem, size_t size, uint64_t word);
bool has(const char *mem, size_t size, uint64_t word);
int as(uid_t uid, struct _test_data_stale *self, int (*part)(struct _test_data_stale *self));
int leave(struct _test_data_stale *self);
char *again(struct _test_data_stale *self);
int expect(struct _test_data_stale *self, const char *mem, uint64_t word);
int find_nothing(struct _test_data_stale *self);
int find_own(struct _test_data_stale *self);
int find_alices(struct _test_data_stale *self);
int leave_every_word(struct _test_data_stale *self);

#endif
