// SPDX-License-Identifier: GPL-2.0
/*
 * Device private memory in mirrors of page tables: lib/test_hmm.c keeps the
 * memory of a process in a provider's BAR, and another device mirrors it,
 * through lib/test_p2p_hmm.c. If that device has a route, the mirror returns
 * the location in the BAR, and the data stay there; if not, they migrate to
 * RAM, as for all other mirrors.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bind.h"
#include "mirror.h"
#include "private.h"
#include "removal.h"
#include "variants.h"

#define NR		16		/* pages to look at */
#define SMALL		(NR * 4 * KIB)
#define SEED		1
#define ROUNDS		100

/* Flags to compare for a page that may be in the BAR or in RAM. */
#define STATE		(VALID | WRITE | ERROR | P2P | BUS)

FIXTURE(private)
{
	P2P_FIXTURE;
	MIRROR_FIXTURE;
	int dev;		/* that has the memory */
	char *data;
};

P2P_VARIANTS(private, NULL, NULL);

FIXTURE_SETUP(private)
{
	self->fd = open(HMM_FILE, O_RDWR | O_CLOEXEC);
	if (self->fd < 0)
		SKIP(p2p_skip_now(), "no " HMM_FILE ": CONFIG_TEST_P2P, debugfs?");
	self->dev = open(DMIRROR, O_RDWR | O_CLOEXEC);
	if (self->dev < 0)
		SKIP(p2p_skip_now(), "no " DMIRROR ": CONFIG_TEST_HMM?");
	ASSERT_TRUE(p2p_setup(&self->p2p, &variant->p2p, 0));
	ASSERT_TRUE(find_clients(&self->mirror, self->provider));
	ASSERT_EQ(0, p2p_write_file(DMIRROR_PROVIDER, self->provider));
	self->data = p2p_ram(SMALL);
	ASSERT_NE(MAP_FAILED, self->data);
	p2p_fill(self->data, SMALL, SEED, 0);
}

FIXTURE_TEARDOWN(private)
{
	munmap(self->data, SMALL);
	close(self->dev);
	close(self->fd);
	EXPECT_EQ(0, p2p_write_file(DMIRROR_PROVIDER, NO_PROVIDER));
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

/* How many of the pages are in device private memory. */
static int private(struct _test_data_private *self)
{
	return private_pages(self->dev, self->data, SMALL);
}

static bool is_unchanged(struct _test_data_private *self)
{
	return p2p_differs(self->data, SMALL, SEED, 0) == -1;
}

/* Counts entries that are not as expected: in the BAR, in RAM, or empty. */
static int not_as(struct _test_data_private *self, unsigned int flags)
{
	struct p2p_test_entry *entry;
	int bad = 0;

	flags &= STATE;
	for (entry = self->entries; entry < self->entries + NR; entry++)
		bad += (entry->flags & STATE) != flags || entry->order ||
		       (flags & VALID && !(flags & P2P) ==
					 p2p_pfn_in_bar(self->provider, entry->pfn));
	if (bad)
		printf("# %d entries, the first has flags %x, not %x\n", bad,
		       self->entries->flags, flags);
	return bad;
}

static unsigned int flags_of(const struct client *client)
{
	return client->flags ?: VALID;
}

/* Each device with a route gets it, and the memory stays where it is. */
TEST_F(private, each_client)
{
	struct client *client;
	int fault;

	for (client = self->clients;
	     client < self->clients + self->nr_clients; client++)
		for (fault = FAULT; fault <= FAULT_WRITE; fault++) {
			ASSERT_EQ(0, private_to_device(self->dev, self->data, SMALL));
			ASSERT_EQ(NR, private(self));
			EXPECT_EQ(0, mirror_for(&self->mirror, client, self->data,
						NR, fault)) {
				TH_LOG("%s", client->name);
			}
			EXPECT_EQ(0, not_as(self, flags_of(client) | WRITE)) {
				TH_LOG("%s", client->name);
			}
			EXPECT_EQ(client->flags ? NR : 0, private(self));
			EXPECT_EQ(0, changes(&self->mirror));
			EXPECT_TRUE(is_unchanged(self));
		}
}

/* The data are really in the BAR; a CPU access moves them back to RAM. */
TEST_F(private, back_in_ram)
{
	ASSERT_EQ(0, private_to_device(self->dev, self->data, SMALL));
	EXPECT_GE(self->before - (long long)SMALL, p2p_available(self->provider));
	ASSERT_EQ(0, mirror(&self->mirror, self->data, NR, LOOK));
	EXPECT_TRUE(is_unchanged(self));
	if (self->client->flags)
		EXPECT_LT(0, changes(&self->mirror));
	EXPECT_EQ(0, private(self));
	EXPECT_EQ(self->before, p2p_available(self->provider));
}

/*
 * A mirror without faults returns the same, or nothing, and migrates nothing.
 */
TEST_F(private, look)
{
	ASSERT_EQ(0, private_to_device(self->dev, self->data, SMALL));
	EXPECT_EQ(0, mirror(&self->mirror, self->data, NR, LOOK));
	EXPECT_EQ(0, not_as(self, self->client->flags ?
			    self->client->flags | WRITE : 0));
	EXPECT_EQ(NR, private(self));
}

/*
 * Without faults the caller that @arg describes sees no entries; with faults it
 * gets the data in RAM.
 */
static void only_by_migration(struct __test_metadata *_metadata,
			      struct _test_data_private *self,
			      struct p2p_test_hmm *arg)
{
	ASSERT_EQ(0, private_to_device(self->dev, self->data, SMALL));
	EXPECT_EQ(0, call_hmm(&self->mirror, arg, self->data, NR, LOOK));
	EXPECT_EQ(0, not_as(self, 0));
	EXPECT_EQ(NR, private(self));
	EXPECT_EQ(0, call_hmm(&self->mirror, arg, self->data, NR, FAULT));
	EXPECT_EQ(0, not_as(self, VALID | WRITE));
	EXPECT_EQ(0, private(self));
	EXPECT_TRUE(is_unchanged(self));
}

/* A device that is not PCI has no route. */
TEST_F(private, not_pci)
{
	struct p2p_test_hmm arg = { .not_pci = 1 };

	only_by_migration(_metadata, self, &arg);
}

/* A caller that passes no device gets the data in RAM. */
TEST_F(private, without_a_device)
{
	struct p2p_test_hmm arg = {};

	only_by_migration(_metadata, self, &arg);
}

/* The owner provides no address to other devices. */
TEST_F(private, no_address)
{
	struct p2p_test_hmm arg = {
		.client = self->mirror.client->function,
		.has_client = 1,
	};

	ASSERT_EQ(0, p2p_write_file(DMIRROR_PROVIDER, NO_PROVIDER));
	only_by_migration(_metadata, self, &arg);
}

/*
 * After fork() the memory is shared read-only: reads leave it where it is,
 * writes need RAM.
 */
TEST_F(private, forked)
{
	unsigned int flags = flags_of(self->client);
	static char seen[SMALL];
	int go[2];
	pid_t child;
	char c = 0;

	ASSERT_EQ(0, pipe(go));
	ASSERT_EQ(0, private_to_device(self->dev, self->data, SMALL));
	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		_exit(read(go[0], &c, 1) != 1 || !is_unchanged(self));

	EXPECT_EQ(0, private_read(self->dev, self->data, SMALL, seen));
	EXPECT_EQ(-1, p2p_differs(seen, SMALL, SEED, 0));
	EXPECT_EQ(NR, private(self));
	EXPECT_EQ(0, mirror(&self->mirror, self->data, NR, FAULT));
	EXPECT_EQ(0, not_as(self, flags));
	EXPECT_EQ(self->client->flags ? NR : 0, private(self));
	EXPECT_EQ(0, mirror(&self->mirror, self->data, NR, FAULT_WRITE));
	EXPECT_EQ(0, not_as(self, VALID | WRITE));
	EXPECT_EQ(0, private(self));
	p2p_set(self->data, SMALL, 2);
	EXPECT_EQ(1, write(go[1], &c, 1));
	EXPECT_EQ(0, p2p_wait(child));
	EXPECT_EQ(-1, p2p_not_set(self->data, SMALL, 2));
	close(go[0]);
	close(go[1]);
}

TEST_F(private, protected)
{
	int fault;

	ASSERT_EQ(0, private_to_device(self->dev, self->data, SMALL));
	ASSERT_EQ(0, mprotect(self->data, SMALL, PROT_READ));
	EXPECT_EQ(-EPERM, mirror(&self->mirror, self->data, NR, FAULT_WRITE));
	EXPECT_EQ(0, mirror(&self->mirror, self->data, NR, FAULT));
	EXPECT_EQ(0, not_as(self, flags_of(self->client)));
	EXPECT_EQ(self->client->flags ? NR : 0, private(self));

	ASSERT_EQ(0, mprotect(self->data, SMALL, PROT_NONE));
	for (fault = FAULT; fault <= FAULT_WRITE; fault++)
		EXPECT_EQ(-EFAULT, mirror(&self->mirror, self->data, NR, fault));

	/* The entries are still read-only. */
	ASSERT_EQ(0, mprotect(self->data, SMALL, PROT_READ | PROT_WRITE));
	EXPECT_EQ(0, mirror(&self->mirror, self->data, NR, FAULT_WRITE));
	EXPECT_EQ(0, not_as(self, VALID | WRITE));
	EXPECT_TRUE(is_unchanged(self));
}

/* Moving the data elsewhere invalidates the mirror. */
TEST_F(private, changes)
{
	char *room;

	if (!self->client->flags)
		return;
	ASSERT_EQ(0, mirror(&self->mirror, self->data, NR, FAULT));
	ASSERT_EQ(0, private_to_device(self->dev, self->data, SMALL));
	EXPECT_LT(0, changes(&self->mirror));

	ASSERT_EQ(0, mirror(&self->mirror, self->data, NR, FAULT));
	EXPECT_EQ(0, changes(&self->mirror));
	ASSERT_EQ(0, private_to_ram(self->dev, self->data, SMALL));
	EXPECT_LT(0, changes(&self->mirror));
	EXPECT_EQ(self->before, p2p_available(self->provider));

	ASSERT_EQ(0, private_to_device(self->dev, self->data, SMALL));
	ASSERT_EQ(0, mirror(&self->mirror, self->data, NR, FAULT));
	room = mmap(NULL, SMALL, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, room);
	ASSERT_EQ(room, mremap(self->data, SMALL, SMALL,
			       MREMAP_MAYMOVE | MREMAP_FIXED, room));
	self->data = room;
	EXPECT_LT(0, changes(&self->mirror));
	ASSERT_EQ(0, mirror(&self->mirror, self->data, NR, FAULT));
	EXPECT_EQ(0, not_as(self, self->client->flags | WRITE));

	ASSERT_EQ(0, munmap(self->data, SMALL));
	EXPECT_LT(0, changes(&self->mirror));
	EXPECT_EQ(self->before, p2p_available(self->provider));
}

/* Unbinding the provider first moves the data to RAM, without loss. */
TEST_F(private, unbind)
{
	if (!p2p_has_driver(self->provider, P2P_BAR_DRIVER))
		return;
	ASSERT_EQ(0, private_to_device(self->dev, self->data, SMALL));
	ASSERT_EQ(0, mirror(&self->mirror, self->data, NR, LOOK));
	ASSERT_EQ(0, p2p_unbind(self->provider));
	EXPECT_LT(0, changes(&self->mirror));
	EXPECT_EQ(0, private(self));
	EXPECT_EQ(ENODEV, p2p_write_file(DMIRROR_PROVIDER, self->provider));
	EXPECT_EQ(0, mirror(&self->mirror, self->data, NR, FAULT));
	EXPECT_EQ(0, not_as(self, VALID | WRITE));
	EXPECT_TRUE(is_unchanged(self));

	EXPECT_BACK(self);
	ASSERT_EQ(0, p2p_write_file(DMIRROR_PROVIDER, self->provider));
	ASSERT_EQ(0, private_to_device(self->dev, self->data, SMALL));
	EXPECT_GE(self->before - (long long)SMALL, p2p_available(self->provider));
	EXPECT_TRUE(is_unchanged(self));
}

struct mover {
	pthread_t thread;
	struct _test_data_private *self;
	int stop;
	int looked;		/* looks; the mover waits for the next */
	int hurry;		/* don't wait */
	int error;
};

/* A look that migrates the data back needs a pause of the mover. */
static void wait_for_look(struct mover *mover, int before)
{
	while (__atomic_load_n(&mover->looked, __ATOMIC_ACQUIRE) == before &&
	       !__atomic_load_n(&mover->hurry, __ATOMIC_ACQUIRE) &&
	       !__atomic_load_n(&mover->stop, __ATOMIC_ACQUIRE))
		sched_yield();
}

static void *move(void *arg)
{
	struct mover *mover = arg;
	struct _test_data_private *self = mover->self;
	int looked;

	do {
		looked = __atomic_load_n(&mover->looked, __ATOMIC_ACQUIRE);
		mover->error = private_to_device(self->dev, self->data, SMALL);
		/*
		 * -ENOENT: a page was in use and did not move, or has moved
		 * back.
		 */
		if (mover->error && mover->error != -ENOENT)
			break;
		mover->error = private_to_ram(self->dev, self->data, SMALL);
		wait_for_look(mover, looked);
	} while (!mover->error && !__atomic_load_n(&mover->stop, __ATOMIC_ACQUIRE));
	return NULL;
}

/* Each page is in one of the two places, and its entry says where. */
static int nowhere(struct _test_data_private *self)
{
	struct p2p_test_entry *entry;
	int bad = 0;

	for (entry = self->entries; entry < self->entries + NR; entry++)
		bad += !(entry->flags & VALID) || entry->flags & ERROR ||
		       !(entry->flags & P2P) ==
		       p2p_pfn_in_bar(self->provider, entry->pfn);
	return bad;
}

TEST_F(private, moved_meanwhile)
{
	struct mover mover = { .self = self };
	int i;

	ASSERT_EQ(0, pthread_create(&mover.thread, NULL, move, &mover));
	for (i = 0; i < ROUNDS; i++) {
		EXPECT_EQ(0, mirror(&self->mirror, self->data, NR, FAULT));
		EXPECT_EQ(0, nowhere(self));
		__atomic_add_fetch(&mover.looked, 1, __ATOMIC_RELEASE);
	}
	__atomic_store_n(&mover.stop, 1, __ATOMIC_RELEASE);
	ASSERT_EQ(0, pthread_join(mover.thread, NULL));
	EXPECT_EQ(0, mover.error);
	EXPECT_TRUE(is_unchanged(self));
}

/* However often the data move, the provider can be unbound. */
TEST_F(private, unbound_meanwhile)
{
	struct mover mover;
	int round, i;

	if (!p2p_has_driver(self->provider, P2P_BAR_DRIVER))
		return;
	for (round = 0; round < 4; round++) {
		mover = (struct mover) { .self = self };
		ASSERT_EQ(0, p2p_write_file(DMIRROR_PROVIDER, self->provider));
		ASSERT_EQ(0, pthread_create(&mover.thread, NULL, move, &mover));
		for (i = 0; i < 10; i++) {
			EXPECT_EQ(0, mirror(&self->mirror, self->data, NR, FAULT));
			__atomic_add_fetch(&mover.looked, 1, __ATOMIC_RELEASE);
		}
		__atomic_store_n(&mover.hurry, 1, __ATOMIC_RELEASE);
		ASSERT_EQ(0, p2p_unbind(self->provider));
		__atomic_store_n(&mover.stop, 1, __ATOMIC_RELEASE);
		ASSERT_EQ(0, pthread_join(mover.thread, NULL));
		EXPECT_EQ(0, mover.error);
		EXPECT_EQ(0, mirror(&self->mirror, self->data, NR, FAULT));
		EXPECT_EQ(0, not_as(self, VALID | WRITE));
		EXPECT_TRUE(is_unchanged(self));
		ASSERT_EQ(0, p2p_bind(self->provider));
	}
	EXPECT_BACK(self);
}

TEST_F(private, bad_provider)
{
	EXPECT_EQ(EINVAL, p2p_write_file(DMIRROR_PROVIDER, "here"));
	EXPECT_EQ(ENODEV, p2p_write_file(DMIRROR_PROVIDER, "ffff:ff:1f.7"));
	/* the host bridge, which has no memory */
	EXPECT_EQ(ENODEV, p2p_write_file(DMIRROR_PROVIDER, "0000:00:00.0"));
	/* The old provider stays in effect. */
	ASSERT_EQ(0, private_to_device(self->dev, self->data, SMALL));
	EXPECT_GE(self->before - (long long)SMALL, p2p_available(self->provider));
	ASSERT_EQ(0, p2p_write_file(DMIRROR_PROVIDER, self->provider));
	EXPECT_EQ(0, private(self));
	EXPECT_EQ(self->before, p2p_available(self->provider));
}

TEST_HARNESS_MAIN
