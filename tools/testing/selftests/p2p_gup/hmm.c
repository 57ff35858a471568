// SPDX-License-Identifier: GPL-2.0
/*
 * Mirrors of page tables with peer-to-peer memory, through lib/test_p2p_hmm.c:
 * what a mirror reports to a device depends on its route and on the entries,
 * and any change of the mapping invalidates the mirror.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bind.h"
#include "gup_call.h"
#include "mirror.h"
#include "removal.h"
#include "variants.h"

#define PMD		(2 * MIB)
#define PUD		(1024 * MIB)
#define NR		16		/* pages to look at */
#define SMALL		(NR * 4 * KIB)
#define ROUNDS		200

FIXTURE(hmm)
{
	P2P_FIXTURE;
	MIRROR_FIXTURE;
};

P2P_VARIANTS(hmm, NULL, NULL);

FIXTURE_SETUP(hmm)
{
	self->fd = open(HMM_FILE, O_RDWR | O_CLOEXEC);
	if (self->fd < 0)
		SKIP(p2p_skip_now(), "no " HMM_FILE ": CONFIG_TEST_P2P, debugfs?");
	ASSERT_TRUE(p2p_setup(&self->p2p, &variant->p2p, SMALL));
	ASSERT_TRUE(find_clients(&self->mirror, self->provider));
}

FIXTURE_TEARDOWN(hmm)
{
	p2p_release(&self->p2p);
	/* A mirror holds no memory, so it may still exist. */
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
	close(self->fd);
}

/* The result for a client without a route. */
static void expect_no_route(struct __test_metadata *_metadata,
			    struct _test_data_hmm *self,
			    const struct client *client)
{
	EXPECT_EQ(-EREMOTEIO, mirror_for(&self->mirror, client, self->mem, NR, FAULT));
	EXPECT_EQ(-EREMOTEIO, mirror_for(&self->mirror, client, self->mem, NR,
					 FAULT_WRITE));
	EXPECT_EQ(0, mirror_for(&self->mirror, client, self->mem, NR, LOOK));
	EXPECT_EQ(0, wrong(&self->mirror, 0, NR, ERROR, 0));
}

/* A mirror reports each device's own route, the same as for DMA mappings. */
TEST_F(hmm, each_client)
{
	struct client *client;
	int refused = 0;

	p2p_set(self->mem, SMALL, 1);
	for (client = self->clients;
	     client < self->clients + self->nr_clients; client++) {
		if (!client->flags) {
			expect_no_route(_metadata, self, client);
			refused++;
			continue;
		}
		EXPECT_EQ(0, mirror_for(&self->mirror, client, self->mem, NR,
					FAULT_WRITE)) {
			TH_LOG("%s", client->name);
		}
		EXPECT_EQ(0, wrong(&self->mirror, 0, NR, client->flags | WRITE, 0)) {
			TH_LOG("%s", client->name);
		}
		EXPECT_EQ(PAGEMAP_PFN(p2p_pagemap(self->mem)),
			  self->entries[0].pfn);
	}
	TH_LOG("%d clients, %d of them without a route", self->nr_clients,
	       refused);
}

/* A device that is not PCI has no route. */
TEST_F(hmm, not_pci)
{
	struct p2p_test_hmm arg = { .not_pci = 1 };

	p2p_set(self->mem, SMALL, 1);
	EXPECT_EQ(-EREMOTEIO, call_hmm(&self->mirror, &arg, self->mem, NR, FAULT));
	EXPECT_EQ(0, call_hmm(&self->mirror, &arg, self->mem, NR, LOOK));
	EXPECT_EQ(0, wrong(&self->mirror, 0, NR, ERROR, 0));
}

/* A caller that passes no device gets an error, like lib/test_hmm.c. */
TEST_F(hmm, without_a_device)
{
	struct p2p_test_hmm arg = {};
	char *ram = p2p_ram(SMALL);

	ASSERT_NE(MAP_FAILED, ram);
	p2p_set(self->mem, SMALL, 1);
	EXPECT_EQ(-EFAULT, call_hmm(&self->mirror, &arg, self->mem, NR, FAULT));
	EXPECT_EQ(-EFAULT, call_hmm(&self->mirror, &arg, self->mem, NR, FAULT_WRITE));
	EXPECT_EQ(0, call_hmm(&self->mirror, &arg, self->mem, NR, LOOK));
	EXPECT_EQ(0, wrong(&self->mirror, 0, NR, ERROR, 0));
	EXPECT_EQ(0, call_hmm(&self->mirror, &arg, ram, 1, FAULT_WRITE));
	EXPECT_EQ(0, wrong(&self->mirror, 0, 1, VALID | WRITE, 0));
}

/*
 * A required entry is faulted in, and one fault maps the pages around it, too.
 */
TEST_F(hmm, not_mapped)
{
	if (!self->client->flags)
		return;
	EXPECT_EQ(0, mirror(&self->mirror, self->mem, NR, LOOK));
	EXPECT_EQ(0, wrong(&self->mirror, 0, NR, 0, 0));
	EXPECT_FALSE(p2p_pagemap(self->mem) & PAGEMAP_PRESENT);
	EXPECT_EQ(0, mirror(&self->mirror, self->mem, NR, FAULT));
	EXPECT_EQ(0, wrong(&self->mirror, 0, NR, self->client->flags | WRITE, 0));
	EXPECT_EQ(0, mirror(&self->mirror, self->mem, NR, LOOK));
	EXPECT_EQ(0, wrong(&self->mirror, 0, NR, self->client->flags | WRITE, 0));
}

TEST_F(hmm, protection)
{
	int i;

	if (!self->client->flags)
		return;
	p2p_set(self->mem, SMALL, 1);
	ASSERT_EQ(0, mprotect(self->mem, SMALL, PROT_READ));
	EXPECT_EQ(-EPERM, mirror(&self->mirror, self->mem, NR, FAULT_WRITE));
	EXPECT_EQ(0, mirror(&self->mirror, self->mem, NR, FAULT));
	EXPECT_EQ(0, wrong(&self->mirror, 0, NR, self->client->flags, 0));

	ASSERT_EQ(0, mprotect(self->mem, SMALL, PROT_NONE));
	for (i = FAULT; i <= FAULT_WRITE; i++)
		EXPECT_EQ(-EFAULT, mirror(&self->mirror, self->mem, NR, i));
	EXPECT_EQ(0, mirror(&self->mirror, self->mem, NR, LOOK));
	EXPECT_EQ(0, wrong(&self->mirror, 0, NR, ERROR, 0));

	/* The entries stay read-only until a write fault. */
	ASSERT_EQ(0, mprotect(self->mem, SMALL, PROT_READ | PROT_WRITE));
	EXPECT_EQ(0, mirror(&self->mirror, self->mem, NR, FAULT_WRITE));
	EXPECT_EQ(0, wrong(&self->mirror, 0, NR, self->client->flags | WRITE, 0));
}

/* RAM, peer-to-peer memory and nothing, side by side. */
TEST_F(hmm, mixed)
{
	size_t half = SMALL / 2;
	char *room;

	room = mmap(NULL, SMALL + half, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, room);
	ASSERT_EQ(0, madvise(room, SMALL + half, MADV_NOHUGEPAGE));
	ASSERT_EQ(room + half, mremap(self->mem, half, half,
				      MREMAP_MAYMOVE | MREMAP_FIXED,
				      room + half));
	p2p_set(room, SMALL, 1);
	ASSERT_EQ(0, munmap(room + SMALL, half));

	EXPECT_EQ(self->client->flags ? -EFAULT : -EREMOTEIO,
		  mirror(&self->mirror, room, NR + NR / 2, FAULT));
	EXPECT_EQ(0, mirror(&self->mirror, room, NR + NR / 2, LOOK));
	EXPECT_EQ(0, wrong(&self->mirror, NR / 2, NR / 2,
			   self->client->flags ? self->client->flags | WRITE :
						 ERROR, 0));
	EXPECT_EQ(0, wrong(&self->mirror, NR, NR / 2, ERROR, 0));
	EXPECT_TRUE(self->entries[0].flags & VALID);
	EXPECT_FALSE(self->entries[0].flags & (P2P | BUS | IS_BUS));

	EXPECT_EQ(self->client->flags ? 0 : -EREMOTEIO,
		  mirror(&self->mirror, room, NR, FAULT_WRITE));
	ASSERT_EQ(0, munmap(room, SMALL));
}

/* A mirror that begins within a 2 MiB entry, spans two, or ends within one. */
TEST_F(hmm, order)
{
	char *mem = p2p_map(self->provider, 2 * PMD);
	unsigned int flags = self->client->flags;
	const int nr = PMD / self->page;

	ASSERT_NE(MAP_FAILED, mem);
	if (!flags) {
		p2p_store(mem, 1);
		EXPECT_EQ(-EREMOTEIO, mirror(&self->mirror, mem, nr, FAULT));
		EXPECT_EQ(0, mirror(&self->mirror, mem, nr, LOOK));
		EXPECT_EQ(0, wrong(&self->mirror, 0, nr, ERROR, 0));
		goto unmap;
	}
	EXPECT_EQ(0, mirror(&self->mirror, mem + PMD / 2, nr, FAULT_WRITE));
	EXPECT_EQ(0, wrong(&self->mirror, 0, nr, flags | WRITE, 9));
	EXPECT_EQ(PAGEMAP_PFN(p2p_pagemap(mem)) + nr / 2, self->entries[0].pfn);
	EXPECT_EQ(0, changes(&self->mirror));

	/* The memory comes back with small entries. */
	ASSERT_EQ(0, madvise(mem, PMD, MADV_NOHUGEPAGE));
	ASSERT_EQ(0, madvise(mem, PMD, MADV_DONTNEED));
	EXPECT_LT(0, changes(&self->mirror));
	EXPECT_EQ(0, mirror(&self->mirror, mem, 2 * nr, FAULT));
	EXPECT_EQ(0, wrong(&self->mirror, 0, nr, flags | WRITE, 0));
	EXPECT_EQ(0, wrong(&self->mirror, nr, nr, flags | WRITE, 9));

	/* Make it read-only, and writable again. */
	ASSERT_EQ(0, mprotect(mem + PMD, PMD, PROT_READ));
	EXPECT_LT(0, changes(&self->mirror));
	EXPECT_EQ(-EPERM, mirror(&self->mirror, mem + PMD, nr, FAULT_WRITE));
	EXPECT_EQ(0, mirror(&self->mirror, mem + PMD, nr, FAULT));
	EXPECT_EQ(0, wrong(&self->mirror, 0, nr, flags, 9));
	ASSERT_EQ(0, mprotect(mem + PMD, PMD, PROT_READ | PROT_WRITE));
	EXPECT_EQ(0, mirror(&self->mirror, mem + PMD, nr, FAULT_WRITE));
	EXPECT_EQ(0, wrong(&self->mirror, 0, nr, flags | WRITE, 9));
unmap:
	EXPECT_EQ(0, munmap(mem, 2 * PMD));
}

/* A 1 GiB entry, mirrored in part, for providers of that size. */
TEST_F(hmm, gigantic)
{
	unsigned int flags = self->client->flags;
	const int nr = 2 * PMD / self->page;
	char *mem, *at;
	unsigned int order;

	munmap(self->mem, SMALL);
	mem = p2p_map(self->provider, PUD);
	if (self->before < (long long)PUD) {
		EXPECT_EQ(MAP_FAILED, mem);
		return;
	}
	ASSERT_NE(MAP_FAILED, mem);
	at = mem + PUD / 2 + self->page;
	if (!flags) {
		p2p_store(at, 1);
		EXPECT_EQ(-EREMOTEIO, mirror(&self->mirror, at, nr, FAULT));
		EXPECT_EQ(0, mirror(&self->mirror, at, NR, LOOK));
		EXPECT_EQ(0, wrong(&self->mirror, 0, NR, ERROR, 0));
		goto unmap;
	}
	/* Older CPUs have no entries of 1 GiB. */
	order = p2p_cpu_has_pud() ? 18 : 9;
	EXPECT_EQ(0, mirror(&self->mirror, at, nr, FAULT_WRITE));
	EXPECT_EQ(0, wrong(&self->mirror, 0, nr, flags | WRITE, order));
	EXPECT_EQ(PAGEMAP_PFN(p2p_pagemap(at)), self->entries[0].pfn);

	/*
	 * Unmapping a part drops the whole entry, so other parts change, too.
	 */
	ASSERT_EQ(0, mirror(&self->mirror, at, NR, FAULT));
	EXPECT_EQ(0, changes(&self->mirror));
	ASSERT_EQ(0, madvise(mem, PMD, MADV_DONTNEED));
	EXPECT_EQ(order == 18, changes(&self->mirror));
	ASSERT_EQ(0, mirror(&self->mirror, at, NR, FAULT));
	EXPECT_EQ(0, wrong(&self->mirror, 0, NR, flags | WRITE, order));
	ASSERT_EQ(0, madvise(mem, PUD, MADV_DONTNEED));
	EXPECT_LT(0, changes(&self->mirror));
	ASSERT_EQ(0, mirror(&self->mirror, at, NR, LOOK));
	EXPECT_EQ(0, wrong(&self->mirror, 0, NR, 0, 0));
unmap:
	EXPECT_EQ(0, munmap(mem, PUD));
}

/*
 * A mirror holds no reference: the memory is free while the mirror still
 * exists.
 */
TEST_F(hmm, holds_nothing)
{
	int gup = P2P_TEST_OPEN();
	uint64_t pfn;

	p2p_set(self->mem, SMALL, 1);
	pfn = PAGEMAP_PFN(p2p_pagemap(self->mem));
	if (self->client->flags)
		ASSERT_EQ(0, mirror(&self->mirror, self->mem, NR, FAULT));
	EXPECT_EQ(1, gup_count(gup, pfn));
	EXPECT_EQ(0, munmap(self->mem, SMALL));
	EXPECT_EQ(self->before, p2p_available(self->provider));
	EXPECT_EQ(0, gup_count(gup, pfn));
	close(gup);
}

/* Removing or moving entries invalidates the mirror. */
TEST_F(hmm, changes)
{
	unsigned int flags = self->client->flags;
	char *room;
	pid_t child;

	if (!flags)
		return;
	room = mmap(NULL, SMALL, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, room);

	ASSERT_EQ(0, mirror(&self->mirror, self->mem, NR, FAULT_WRITE));
	EXPECT_EQ(0, changes(&self->mirror));
	ASSERT_EQ(0, madvise(self->mem, self->page, MADV_DONTNEED));
	EXPECT_EQ(1, changes(&self->mirror));

	/* A child has entries of its own. */
	ASSERT_EQ(0, mirror(&self->mirror, self->mem, NR, FAULT_WRITE));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		p2p_store(self->mem, 2);
		_exit(munmap(self->mem, SMALL) != 0);
	}
	EXPECT_EQ(0, p2p_wait(child));
	EXPECT_EQ(0, changes(&self->mirror));
	EXPECT_EQ(0, mirror(&self->mirror, self->mem, NR, LOOK));
	EXPECT_EQ(0, wrong(&self->mirror, 0, NR, flags | WRITE, 0));

	ASSERT_EQ(room, mremap(self->mem, SMALL, SMALL,
			       MREMAP_MAYMOVE | MREMAP_FIXED, room));
	EXPECT_LT(0, changes(&self->mirror));
	EXPECT_EQ(-EFAULT, mirror(&self->mirror, self->mem, NR, FAULT));
	ASSERT_EQ(0, mirror(&self->mirror, room, NR, FAULT));
	EXPECT_EQ(0, wrong(&self->mirror, 0, NR, flags | WRITE, 0));

	ASSERT_EQ(0, munmap(room, SMALL));
	EXPECT_LT(0, changes(&self->mirror));
	EXPECT_EQ(-EFAULT, mirror(&self->mirror, room, NR, FAULT));
	EXPECT_EQ(0, mirror(&self->mirror, room, NR, LOOK));
	EXPECT_EQ(0, wrong(&self->mirror, 0, NR, ERROR, 0));
}

TEST_F(hmm, reset)
{
	unsigned int flags = self->client->flags;
	char *mem;

	if (!p2p_can_reset(self->provider) || !flags)
		return;
	if (p2p_reset(self->provider) == ENOTTY)
		SKIP(return, "the provider can't be reset without its neighbours");
	mem = p2p_map(self->provider, PMD);
	ASSERT_NE(MAP_FAILED, mem);
	ASSERT_EQ(0, mirror(&self->mirror, self->mem, NR, FAULT_WRITE));
	ASSERT_EQ(0, p2p_reset(self->provider));
	EXPECT_LT(0, changes(&self->mirror));
	ASSERT_EQ(0, mirror(&self->mirror, mem, NR, FAULT_WRITE));
	EXPECT_EQ(0, wrong(&self->mirror, 0, NR, flags | WRITE, 9));
	ASSERT_EQ(0, p2p_reset(self->provider));
	EXPECT_LT(0, changes(&self->mirror));
	ASSERT_EQ(0, mirror(&self->mirror, mem, NR, FAULT_WRITE));
	EXPECT_EQ(0, wrong(&self->mirror, 0, NR, flags | WRITE, 9));
	EXPECT_EQ(0, munmap(mem, PMD));
}

/* Unbinding the provider removes entries of all sizes. */
TEST_F(hmm, unbind)
{
	char *mem;

	if (!p2p_has_driver(self->provider, P2P_BAR_DRIVER))
		return;
	mem = p2p_map(self->provider, PMD);
	ASSERT_NE(MAP_FAILED, mem);
	p2p_store(self->mem, 1);
	p2p_store(mem, 1);
	ASSERT_EQ(0, mirror(&self->mirror, mem, NR, self->client->flags ? FAULT_WRITE : LOOK));

	ASSERT_EQ(0, p2p_unbind(self->provider));
	EXPECT_LT(0, changes(&self->mirror));
	EXPECT_EQ(-EFAULT, mirror(&self->mirror, mem, NR, FAULT));
	EXPECT_EQ(-EFAULT, mirror(&self->mirror, self->mem, NR, FAULT_WRITE));
	EXPECT_EQ(0, mirror(&self->mirror, mem, NR, LOOK));
	EXPECT_EQ(0, wrong(&self->mirror, 0, NR, 0, 0));
	EXPECT_EQ(0, munmap(mem, PMD));
	EXPECT_BACK(self);
}

struct racer {
	pthread_t thread;
	struct _test_data_hmm *self;
	char *mem;
	int stop;
	int rounds;
	int last;		/* result */
	bool bad;		/* invalid entries */
	unsigned int order;
};

static void *zap(void *arg)
{
	struct racer *racer = arg;

	while (!__atomic_load_n(&racer->stop, __ATOMIC_ACQUIRE))
		madvise(racer->mem, PMD, MADV_DONTNEED);
	return NULL;
}

/* Entries are zapped all the time; each returned range was valid as a whole. */
TEST_F(hmm, zapped_meanwhile)
{
	unsigned int flags = self->client->flags;
	char *mem = p2p_map(self->provider, PMD);
	struct racer racer = { .self = self, .mem = mem };
	const int nr = PMD / self->page;
	uint64_t pfn;
	int i;

	ASSERT_NE(MAP_FAILED, mem);
	p2p_store(mem, 1);
	pfn = PAGEMAP_PFN(p2p_pagemap(mem));
	ASSERT_EQ(0, pthread_create(&racer.thread, NULL, zap, &racer));
	for (i = 0; i < ROUNDS; i++) {
		if (!flags) {
			EXPECT_EQ(-EREMOTEIO, mirror(&self->mirror, mem, nr, FAULT));
			continue;
		}
		EXPECT_EQ(0, mirror(&self->mirror, mem, nr, FAULT));
		EXPECT_EQ(0, wrong(&self->mirror, 0, nr, flags | WRITE, 9));
		EXPECT_EQ(pfn, self->entries[0].pfn);
	}
	__atomic_store_n(&racer.stop, 1, __ATOMIC_RELEASE);
	ASSERT_EQ(0, pthread_join(racer.thread, NULL));
	EXPECT_EQ(0, munmap(mem, PMD));
}

/* Mirrors until the memory is gone. */
static void *mirror_all(void *arg)
{
	struct racer *racer = arg;
	struct _test_data_hmm *self = racer->self;
	const int nr = PMD / self->page;

	do {
		racer->last = mirror(&self->mirror, racer->mem, nr, FAULT);
		if (!racer->last && wrong(&self->mirror, 0, nr,
					  self->client->flags | WRITE,
					  racer->order))
			racer->bad = true;
		__atomic_add_fetch(&racer->rounds, 1, __ATOMIC_RELEASE);
	} while (!racer->last || racer->last == -EREMOTEIO);
	return NULL;
}

/* Mirroring races with unbinding: there is a route, or no memory. */
TEST_F(hmm, unbound_meanwhile)
{
	struct racer racer;
	int round, i;
	char *mem;

	if (!p2p_has_driver(self->provider, P2P_BAR_DRIVER))
		return;
	for (round = 0; round < 6; round++) {
		mem = p2p_map(self->provider, PMD);
		ASSERT_NE(MAP_FAILED, mem);
		racer = (struct racer) { .self = self, .mem = mem, .order = 9 };
		/* With base pages there are more entries to look at. */
		if (round & 1) {
			ASSERT_EQ(0, madvise(mem, PMD, MADV_NOHUGEPAGE));
			racer.order = 0;
		}
		ASSERT_EQ(0, pthread_create(&racer.thread, NULL, mirror_all,
					    &racer));
		while (__atomic_load_n(&racer.rounds, __ATOMIC_ACQUIRE) < 10)
			usleep(100);
		ASSERT_EQ(0, p2p_unbind(self->provider));
		ASSERT_EQ(0, pthread_join(racer.thread, NULL));
		EXPECT_EQ(-EFAULT, racer.last);
		EXPECT_FALSE(racer.bad);
		for (i = FAULT; i <= FAULT_WRITE; i++)
			EXPECT_EQ(-EFAULT, mirror(&self->mirror, mem, NR, i));
		munmap(mem, PMD);
		ASSERT_EQ(0, p2p_bind(self->provider));
	}
	EXPECT_BACK(self);
}

TEST_F(hmm, bad_arguments)
{
	struct p2p_test_hmm arg = { .has_client = 1, .client = { .domain = 0xffff } };

	EXPECT_EQ(-ENXIO, call_hmm(&self->mirror, &arg, self->mem, NR, FAULT));
	EXPECT_EQ(-1000, mirror(&self->mirror, self->mem + 1, NR, FAULT));
	EXPECT_EQ(-1000, mirror(&self->mirror, self->mem, 0, FAULT));
	EXPECT_EQ(-1000, mirror(&self->mirror, self->mem, NR, 3));
}

TEST_HARNESS_MAIN
