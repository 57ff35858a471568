// SPDX-License-Identifier: GPL-2.0
/*
 * A provider is unbound while mremap() moves a mapping of its memory: after it
 * has seen a huge entry, and before it moves that. It must notice that the
 * entry is gone, instead of moving a page table that does not exist.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "variants.h"
#include "bind.h"
#include "klog.h"
#include "removal.h"
#include "stall.h"

#define PMD	(2 * MIB)
#define PUD	(1024 * MIB)
/* No mapping is near, so there are no page tables. */
#define NOWHERE	((char *)0x200000000000)

FIXTURE(mremap_race)
{
	P2P_FIXTURE;
	int stall;
	int klog;
};

P2P_VARIANTS(mremap_race, P2P_BAR_DRIVER, NULL);

FIXTURE_SETUP(mremap_race)
{
	ASSERT_TRUE(p2p_setup(&self->p2p, &variant->p2p, 0));
	self->klog = klog_open();
	ASSERT_LE(0, self->klog);
	self->stall = stall_open();
	if (self->stall < 0)
		SKIP(p2p_skip_now(), "no " P2P_STALL_FILE
		     ": CONFIG_TEST_P2P, CONFIG_TRACEPOINTS, debugfs?");
	if (!stall_cpu(1))
		SKIP(p2p_skip_now(), "needs two CPUs");
}

FIXTURE_TEARDOWN(mremap_race)
{
	close(self->stall);
	close(self->klog);
	EXPECT_BACK(self);
}

/* Runs in a child: moves the mapping; neither address works afterwards. */
static int move(struct _test_data_mremap_race *self, char *mem, size_t size,
		char *to, unsigned int tables)
{
	/* Faults in the code and data that mremap() needs. */
	if (!stall_cpu(0) || p2p_fault_of(mem, true) ||
	    mremap(to, 1, 0, 0) != MAP_FAILED)
		return 1;
	if (stall_at_page_table(self->stall, tables))
		return 2;
	if (mremap(mem, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, to) != to)
		return 3;
	if (p2p_fault_of(mem, false) != SIGSEGV)
		return 4;
	if (p2p_fault_of(to, false) != SIGBUS ||
	    p2p_fault_of(to + size - 8, true) != SIGBUS)
		return 5;
	/* A page table at page 0, if one was moved, would be freed here. */
	return munmap(to, size) ? 6 : 0;
}

static void unbind_during(struct __test_metadata *_metadata,
			  struct _test_data_mremap_race *self, size_t size,
			  char *to, unsigned int tables)
{
	char *mem = p2p_map(self->provider, size);
	pid_t child, unbind;
	int status;

	ASSERT_NE(MAP_FAILED, mem);
	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		_exit(move(self, mem, size, to, tables));

	ASSERT_TRUE(stall_wait(self->stall));
	unbind = start_unbind(self->provider);
	ASSERT_LT(0, unbind);
	/*
	 * From the first SIGBUS on, all entries are gone, including the
	 * child's.
	 */
	while (p2p_fault_of(mem, false) != SIGBUS)
		usleep(500);
	EXPECT_TRUE(stall_end(self->stall));
	EXPECT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(unbind, waitpid(unbind, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(0, munmap(mem, size));
	EXPECT_FALSE(klog_said(self->klog, "BUG: ", ""));
}

TEST_F(mremap_race, pmd)
{
	unbind_during(_metadata, self, PMD, NOWHERE, 1);
}

/* Moving to another alignment requires splitting the huge entry. */
TEST_F(mremap_race, pmd_to_other_alignment)
{
	unbind_during(_metadata, self, PMD, NOWHERE + 64 * KIB, 1);
}

TEST_F(mremap_race, pud)
{
	unbind_during(_metadata, self, PUD, NOWHERE, 0);
}

TEST_F(mremap_race, pud_to_other_alignment)
{
	unbind_during(_metadata, self, PUD, NOWHERE + PMD, 0);
}

TEST_HARNESS_MAIN
