// SPDX-License-Identifier: GPL-2.0
/*
 * /proc/vmstat counts which walk of get_user_pages() found the pages of a
 * mapping. This proves that the lockless walk is taken.
 */
#define _GNU_SOURCE
#include <sys/mman.h>

#include "variants.h"
#include "gup_call.h"

#define PAGES	8

FIXTURE(gup_counters)
{
	P2P_FIXTURE;
	int fd;
	const struct form *form;
};

P2P_VARIANTS(gup_counters, NULL, NULL);

FIXTURE_SETUP(gup_counters)
{
	ASSERT_TRUE(p2p_setup(&self->p2p, &variant->p2p, PAGES * sysconf(_SC_PAGESIZE)));
	self->fd = P2P_TEST_OPEN();
}

FIXTURE_TEARDOWN(gup_counters)
{
	close(self->fd);
	p2p_release(&self->p2p);
}

static long long counter(const char *name)
{
	FILE *file = fopen("/proc/vmstat", "r");
	long long value = -1, v;
	char key[64];

	while (file && fscanf(file, "%63s %lld\n", key, &v) == 2) {
		if (!strcmp(key, name))
			value = v;
	}
	if (file)
		fclose(file);
	return value;
}

TEST_F(gup_counters, counted)
{
	const struct form *form;
	long long fast, locked, refused;

	if (counter("p2p_gup_fast") < 0)
		SKIP(return, "no p2p_gup_fast in /proc/vmstat: CONFIG_VM_EVENT_COUNTERS?");

	p2p_set(self->mem, self->size, 1);
	for_each_form(form) {
		self->form = form;
		fast = counter("p2p_gup_fast");
		locked = counter("p2p_gup_locked");
		refused = counter("p2p_gup_refused");
		EXPECT_EQ(PAGES, gup(self->fd, form->nr, self->mem, PAGES,
				     FOLL_PCI_P2PDMA)) LOG();
		EXPECT_EQ(fast + (form->lockless ? PAGES : 0),
			  counter("p2p_gup_fast")) LOG();
		EXPECT_EQ(locked + (form->lockless ? 0 : PAGES),
			  counter("p2p_gup_locked")) LOG();
		EXPECT_EQ(refused, counter("p2p_gup_refused")) LOG();

		gup(self->fd, form->nr, self->mem, PAGES, 0);
		EXPECT_EQ(refused + !form->only, counter("p2p_gup_refused")) LOG();
	}
}

TEST_HARNESS_MAIN
