// SPDX-License-Identifier: GPL-2.0
/*
 * The results of each form of get_user_pages() for a mapping, with each flag:
 * how many pages, which ones, and their reference counts.
 */
#define _GNU_SOURCE
#include <sys/mman.h>
#include <sys/wait.h>

#include "variants.h"
#include "gup_call.h"

#define PAGES	8

FIXTURE(gup_forms)
{
	P2P_FIXTURE;
	int fd;
	const struct form *form;
	struct p2p_test_page pages[4 * PAGES];
};

P2P_VARIANTS(gup_forms, NULL, NULL);

FIXTURE_SETUP(gup_forms)
{
	ASSERT_TRUE(p2p_setup(&self->p2p, &variant->p2p, PAGES * sysconf(_SC_PAGESIZE)));
	self->fd = P2P_TEST_OPEN();
}

FIXTURE_TEARDOWN(gup_forms)
{
	close(self->fd);
	p2p_release(&self->p2p);
	EXPECT_EQ(self->before, p2p_available(self->provider));
}

TEST_F(gup_forms, granted)
{
	static const unsigned int flags[] = {
		FOLL_PCI_P2PDMA, FOLL_PCI_P2PDMA | FOLL_WRITE,
	};
	const struct form *form;
	uint64_t pfn;
	size_t i, k;

	for_each_form(form) {
		self->form = form;
		for (i = 0; i < ARRAY_SIZE(flags); i++) {
			/* not mapped: through a fault, if the form can fault */
			ASSERT_EQ(0, madvise(self->mem, self->size, MADV_DONTNEED));
			EXPECT_EQ(form->only ? 0 : PAGES,
				  gup(self->fd, form->nr, self->mem, PAGES, flags[i])) LOG();

			/* mapped */
			p2p_set(self->mem, self->size, i);
			pfn = PAGEMAP_PFN(p2p_pagemap(self->mem));
			ASSERT_EQ(PAGES, gup_hold(self->fd, form->nr, self->mem, PAGES,
						  flags[i], self->pages)) LOG();
			for (k = 0; k < PAGES; k++) {
				EXPECT_EQ(pfn + k, self->pages[k].pfn) LOG();
				EXPECT_EQ(1, self->pages[k].is_p2p) LOG();
				EXPECT_EQ(1 + form->bias, self->pages[k].count) LOG();
			}
			ASSERT_EQ(0, gup_put(self->fd));
			for (k = 0; k < PAGES; k++)
				EXPECT_EQ(1, gup_count(self->fd, pfn + k)) LOG();
		}
	}
}

TEST_F(gup_forms, refused)
{
	const struct form *form;
	uint64_t pfn;
	size_t i;

	for_each_form(form) {
		long error = form->only ? 0 : -EREMOTEIO;

		self->form = form;
		ASSERT_EQ(0, madvise(self->mem, self->size, MADV_DONTNEED));
		EXPECT_EQ(error, gup(self->fd, form->nr, self->mem, PAGES, 0)) LOG();
		p2p_set(self->mem, self->size, 0);
		EXPECT_EQ(error, gup(self->fd, form->nr, self->mem, PAGES, 0)) LOG();
		EXPECT_EQ(error, gup(self->fd, form->nr, self->mem, PAGES,
				     FOLL_WRITE)) LOG();

		pfn = PAGEMAP_PFN(p2p_pagemap(self->mem));
		for (i = 0; i < PAGES; i++)
			EXPECT_EQ(1, gup_count(self->fd, pfn + i)) LOG();
	}
}

/* RAM, peer-to-peer memory, RAM, and a hole: the first part is returned. */
TEST_F(gup_forms, beside_ram)
{
	const struct form *form;
	size_t i;
	char *mem;
	long got;
	int fd;

	mem = p2p_ram(4 * self->size);
	ASSERT_NE(MAP_FAILED, mem);
	fd = p2p_open(self->provider, O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(mem + self->size,
		  mmap(mem + self->size, self->size, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_FIXED, fd, 0));
	close(fd);
	ASSERT_EQ(0, munmap(mem + 3 * self->size, self->size));
	p2p_fill(mem, 3 * self->size, 1, 0);

	for_each_form(form) {
		self->form = form;
		got = gup(self->fd, form->nr, mem, 4 * PAGES, FOLL_WRITE);
		/*
		 * The lockless walk may drop pages that it got before a
		 * refusal.
		 */
		EXPECT_LE(form->only ? 0 : PAGES, got) LOG();
		EXPECT_GE(PAGES, got) LOG();
		EXPECT_EQ(form->only ? 0 : -EREMOTEIO,
			  gup(self->fd, form->nr, mem + self->size, 2 * PAGES,
			      FOLL_WRITE)) LOG();
		EXPECT_EQ(PAGES, gup(self->fd, form->nr, mem + 2 * self->size,
				     PAGES, FOLL_WRITE)) LOG();

		ASSERT_EQ(3 * PAGES,
			  gup_hold(self->fd, form->nr, mem, 4 * PAGES,
				   FOLL_WRITE | FOLL_PCI_P2PDMA, self->pages)) LOG();
		for (i = 0; i < 3 * PAGES; i++) {
			EXPECT_EQ(PAGEMAP_PFN(p2p_pagemap(mem + i * self->page)),
				  self->pages[i].pfn) LOG();
			EXPECT_EQ(i / PAGES == 1, self->pages[i].is_p2p) LOG();
		}
		ASSERT_EQ(0, gup_put(self->fd));
		EXPECT_EQ(form->only ? 0 : -EFAULT,
			  gup(self->fd, form->nr, mem + 3 * self->size, PAGES,
			      FOLL_PCI_P2PDMA)) LOG();
	}
	EXPECT_EQ(-1, p2p_differs(mem, 3 * self->size, 1, 0));
	EXPECT_EQ(0, munmap(mem, 3 * self->size));
}

/* A long-term pin could not be revoked from its holder. */
TEST_F(gup_forms, longterm)
{
	const struct form *form;

	p2p_set(self->mem, self->size, 0);
	for_each_form(form) {
		if (!form->longterm)
			continue;
		self->form = form;
		EXPECT_EQ(-EOPNOTSUPP, gup(self->fd, form->nr, self->mem, PAGES,
					   FOLL_LONGTERM | FOLL_PCI_P2PDMA)) LOG();
		EXPECT_EQ(-EREMOTEIO, gup(self->fd, form->nr, self->mem, PAGES,
					  FOLL_LONGTERM)) LOG();
	}
	EXPECT_EQ(1, gup_count(self->fd, PAGEMAP_PFN(p2p_pagemap(self->mem))));
}

TEST_F(gup_forms, read_only)
{
	const struct form *form;
	uint64_t pfn;

	p2p_set(self->mem, self->size, 0);
	ASSERT_EQ(0, mprotect(self->mem, self->size, PROT_READ));
	p2p_load(self->mem);
	pfn = PAGEMAP_PFN(p2p_pagemap(self->mem));
	for_each_form(form) {
		self->form = form;
		EXPECT_EQ(1, gup(self->fd, form->nr, self->mem, 1,
				 FOLL_PCI_P2PDMA)) LOG();
		EXPECT_EQ(form->only ? 0 : -EFAULT,
			  gup(self->fd, form->nr, self->mem, 1,
			      FOLL_PCI_P2PDMA | FOLL_WRITE)) LOG();
		if (form->nr == P2P_TEST_ITER || form->nr == P2P_TEST_ITER_ALLOC)
			continue;
		/* A shared mapping has no private copy to write to instead. */
		EXPECT_EQ(form->only ? 0 : -EFAULT,
			  gup(self->fd, form->nr, self->mem, 1, FOLL_PCI_P2PDMA |
			      FOLL_WRITE | FOLL_FORCE)) LOG();
	}

	/* A PROT_NONE mapping, which FOLL_FORCE overrides. */
	ASSERT_EQ(0, mprotect(self->mem, self->size, PROT_NONE));
	EXPECT_EQ(-EFAULT, gup(self->fd, P2P_TEST_GET, self->mem, 1,
			       FOLL_PCI_P2PDMA));
	EXPECT_EQ(1, gup(self->fd, P2P_TEST_GET, self->mem, 1,
			 FOLL_PCI_P2PDMA | FOLL_FORCE));
	EXPECT_EQ(1, gup_count(self->fd, pfn));
}

TEST_F(gup_forms, without_a_fault)
{
	const struct form *form;

	for_each_form(form) {
		self->form = form;
		ASSERT_EQ(0, madvise(self->mem, self->size, MADV_DONTNEED));
		EXPECT_EQ(form->only ? 0 : -EFAULT,
			  gup(self->fd, form->nr, self->mem, PAGES,
			      FOLL_PCI_P2PDMA | FOLL_NOFAULT)) LOG();
		EXPECT_FALSE(p2p_pagemap(self->mem) & PAGEMAP_PRESENT) LOG();
		p2p_load(self->mem);
		ASSERT_EQ(0, madvise(self->mem + self->page,
				     self->size - self->page, MADV_DONTNEED));
		EXPECT_EQ(1, gup(self->fd, form->nr, self->mem, PAGES,
				 FOLL_PCI_P2PDMA | FOLL_NOFAULT)) LOG();
	}

	/* The fault does not block. */
	ASSERT_EQ(0, madvise(self->mem, self->size, MADV_DONTNEED));
	EXPECT_EQ(PAGES, gup(self->fd, P2P_TEST_GET, self->mem, PAGES,
			     FOLL_PCI_P2PDMA | FOLL_NOWAIT));
	ASSERT_EQ(0, madvise(self->mem, self->size, MADV_DONTNEED));
	EXPECT_EQ(PAGES, gup(self->fd, P2P_TEST_PIN, self->mem, PAGES,
			     FOLL_PCI_P2PDMA | FOLL_NOWAIT));
}

/* follow_page() looks up one page, and never faults. */
TEST_F(gup_forms, follow_page)
{
	const unsigned int form = P2P_TEST_FOLLOW;

	EXPECT_EQ(0, gup(self->fd, form, self->mem, 1,
			 FOLL_PCI_P2PDMA | FOLL_GET));
	p2p_load(self->mem);
	ASSERT_EQ(1, gup_hold(self->fd, form, self->mem, 1,
			      FOLL_PCI_P2PDMA | FOLL_GET, self->pages));
	EXPECT_EQ(2, self->pages[0].count);
	EXPECT_EQ(1, self->pages[0].is_p2p);
	ASSERT_EQ(0, gup_put(self->fd));
	EXPECT_EQ(-EREMOTEIO, gup(self->fd, form, self->mem, 1, FOLL_GET));
	/* Without a reference no page is returned, with or without the flag. */
	EXPECT_EQ(-EEXIST, gup(self->fd, form, self->mem, 1, 0));
	EXPECT_EQ(-EEXIST, gup(self->fd, form, self->mem, 1, FOLL_PCI_P2PDMA));
	EXPECT_EQ(1, gup_count(self->fd, self->pages[0].pfn));

	EXPECT_EQ(0, gup(self->fd, P2P_TEST_DUMP, self->mem, 1, 0));
	EXPECT_EQ(1, gup_count(self->fd, self->pages[0].pfn));
}

/* Held pages stay with their holder until it puts them. */
TEST_F(gup_forms, outlive_the_mapping)
{
	const struct form *form;
	size_t i;
	void *mem;

	for_each_form(form) {
		self->form = form;
		mem = p2p_map(self->provider, self->size);
		ASSERT_NE(MAP_FAILED, mem);
		p2p_set(mem, self->size, 1);
		ASSERT_EQ(PAGES, gup_hold(self->fd, form->nr, mem, PAGES,
					  FOLL_PCI_P2PDMA, self->pages)) LOG();
		ASSERT_EQ(0, munmap(mem, self->size));
		EXPECT_EQ(self->before - 2 * (long long)self->size,
			  p2p_available(self->provider)) LOG();
		for (i = 0; i < PAGES; i++)
			EXPECT_EQ(form->bias,
				  gup_count(self->fd, self->pages[i].pfn)) LOG();
		ASSERT_EQ(0, gup_put(self->fd));
		EXPECT_EQ(self->before - (long long)self->size,
			  p2p_available(self->provider)) LOG();
		for (i = 0; i < PAGES; i++)
			EXPECT_EQ(0, gup_count(self->fd, self->pages[i].pfn)) LOG();
	}
}

TEST_F(gup_forms, memory_of_another_process)
{
	static const unsigned int remote[] = {
		P2P_TEST_GET_REMOTE, P2P_TEST_PIN_REMOTE,
	};
	uint64_t pfn;
	size_t i;
	pid_t pid;

	p2p_set(self->mem, self->size, 1);
	pfn = PAGEMAP_PFN(p2p_pagemap(self->mem));
	for (i = 0; i < ARRAY_SIZE(remote); i++) {
		pid = fork();
		ASSERT_LE(0, pid);
		if (!pid) {
			pause();
			_exit(0);
		}
		EXPECT_EQ(-EREMOTEIO, gup_call(self->fd, remote[i], self->mem, PAGES,
					       0, NULL, false, pid));
		EXPECT_EQ(PAGES, gup_call(self->fd, remote[i], self->mem, PAGES,
					  FOLL_PCI_P2PDMA, self->pages, true, pid));
		EXPECT_EQ(pfn, self->pages[0].pfn);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		EXPECT_LT(1, gup_count(self->fd, pfn));
		ASSERT_EQ(0, gup_put(self->fd));
		EXPECT_EQ(1, gup_count(self->fd, pfn));
	}
}

TEST_HARNESS_MAIN
