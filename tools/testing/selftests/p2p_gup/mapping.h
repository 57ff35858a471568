/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A mapping of peer-to-peer memory with known contents, for tests of system
 * calls.
 */
#ifndef P2P_MAPPING_H
#define P2P_MAPPING_H

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "variants.h"

#define PAGES	8
#define SEED	1

FIXTURE(mapping)
{
	P2P_FIXTURE;
};

P2P_VARIANTS(mapping, NULL, NULL);

FIXTURE_SETUP(mapping)
{
	ASSERT_TRUE(p2p_setup(&self->p2p, &variant->p2p, PAGES * sysconf(_SC_PAGESIZE)));
	p2p_fill(self->mem, self->size, SEED, 0);
}

/* A leaked reference would keep its page out of the pool. */
FIXTURE_TEARDOWN(mapping)
{
	p2p_release(&self->p2p);
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

/* Does all of it still have its contents? */
static inline bool p2p_intact(const struct _test_data_mapping *self)
{
	return p2p_differs(self->mem, self->size, SEED, 0) == -1;
}

static inline bool p2p_present(const void *addr)
{
	return p2p_pagemap(addr) & PAGEMAP_PRESENT;
}

/* The call has to fail with exactly this error. */
#define EXPECT_ERRNO(error, call)			\
	do {						\
		errno = 0;				\
		EXPECT_EQ(-1, (long)(call));		\
		EXPECT_EQ(error, errno);		\
	} while (0)

/* A reason to skip, to be followed by the name of the missing option. */
#define WITHOUT	"not configured: CONFIG_"

#endif
