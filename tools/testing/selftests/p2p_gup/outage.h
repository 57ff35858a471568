/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A provider is not accessible for a while and then works as before. Has a
 * small and a large mapping of its memory, a drive, and the tests common to all
 * kinds of outages. OUTAGE_DISK is the drive.
 */
#ifndef P2P_OUTAGE_H
#define P2P_OUTAGE_H

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "variants.h"

#define SMALL		(64 * KIB)
#define LARGE		(4 * MIB)

FIXTURE(outage)
{
	P2P_FIXTURE;
	char *small, *large;
	int *shared;		/* a page, with children */
};

P2P_VARIANTS(outage, NULL, OUTAGE_DISK, NULL);

/* Why an outage is not possible, or NULL. */
static const char *outage_prevented(const char *provider);

/* Returns after the outage: 0, or an errno. */
static int outage(const char *provider);

FIXTURE_SETUP(outage)
{
	const char *reason;

	ASSERT_TRUE(p2p_setup(&self->p2p, &variant->p2p, 0));
	ASSERT_TRUE(p2p_setup_drive(&self->p2p, &variant->p2p, O_RDWR));
	self->shared = mmap(NULL, 4 * KIB, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->shared);
	self->small = p2p_map(self->provider, SMALL);
	ASSERT_NE(MAP_FAILED, self->small);
	self->large = p2p_map(self->provider, LARGE);
	ASSERT_NE(MAP_FAILED, self->large);
	reason = outage_prevented(self->provider);
	if (reason)
		SKIP(p2p_skip_now(), "%s", reason);
}

FIXTURE_TEARDOWN(outage)
{
	EXPECT_EQ(0, munmap(self->small, SMALL));
	EXPECT_EQ(0, munmap(self->large, LARGE));
	p2p_release(&self->p2p);
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

/* lib/outage.c */
pid_t outage_fork(void);

/* Entries may be dropped and faulted in again, for the same memory. */
TEST_F(outage, mapping_survives)
{
	uint64_t pfn[2];

	p2p_fill(self->small, SMALL, 1, 0);
	p2p_fill(self->large, LARGE, 2, 0);
	pfn[0] = PAGEMAP_PFN(p2p_pagemap(self->small));
	pfn[1] = PAGEMAP_PFN(p2p_pagemap(self->large));
	ASSERT_EQ(0, outage(self->provider));

	/* QEMU's devices keep their memory, so the data can be checked. */
	EXPECT_EQ(-1, p2p_differs(self->small, SMALL, 1, 0));
	EXPECT_EQ(-1, p2p_differs(self->large, LARGE, 2, 0));
	EXPECT_EQ(pfn[0], PAGEMAP_PFN(p2p_pagemap(self->small)));
	EXPECT_EQ(pfn[1], PAGEMAP_PFN(p2p_pagemap(self->large)));
	EXPECT_EQ(self->before - (long long)(SMALL + LARGE),
		  p2p_available(self->provider));
	EXPECT_EQ(self->works ? (ssize_t)SMALL : -EREMOTEIO,
		  p2p_result(pread(self->disk, self->large, SMALL, 0)));
}

#endif
