// SPDX-License-Identifier: GPL-2.0
/*
 * Data that one user left in peer-to-peer memory is never exposed to another,
 * whatever devices and drivers do with it: a drive reads it, or still writes to
 * it after its process has exited, a kernel driver has used it, or the provider
 * is reset, or unbound and bound again.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "aio.h"
#include "bind.h"
#include "gup_call.h"
#include "stale_fixture.h"

#define P2P_TEST_DMA_FILE "/sys/kernel/debug/p2p_test_dma"

/* The drive reads memory that no CPU has touched. */
static int write_untouched(struct _test_data_stale *self)
{
	char *mem = again(self);
	ssize_t done = p2p_result(pwrite(self->disk, mem, self->size, 0));

	return done == (self->works ? (ssize_t)self->size : -EREMOTEIO) ?
		FOUND_AS_WANTED : FOUND_ERROR;
}

TEST_F(stale, direct_io)
{
	static const size_t sizes[] = { SMALL, PMD };
	char *ram = p2p_ram(PMD);
	int i;

	ASSERT_NE(MAP_FAILED, ram);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		self->size = sizes[i];
		memset(ram, 0x55, self->size);
		ASSERT_EQ(self->size, pwrite(self->disk, ram, self->size, 0));
		EXPECT_EQ(0, as(ALICE, self, leave));
		EXPECT_EQ(0, as(BOB, self, write_untouched));
		ASSERT_EQ(self->size, pread(self->disk, ram, self->size, 0));
		if (self->works)
			EXPECT_EQ(-1, p2p_not_set(ram, self->size, 0));
	}
	munmap(ram, PMD);
}

/* Data that a kernel driver may have left is exposed to no user. */
TEST_F(stale, used_by_driver)
{
	struct p2p_test_pool pool = { .len = self->size };
	int fd = open(P2P_TEST_DMA_FILE, O_RDWR);

	ASSERT_LE(0, fd);
	/* The closest provider to a device is the device itself. */
	ASSERT_TRUE(p2p_function_of(self->provider, &pool.client));
	EXPECT_EQ(0, as(ALICE, self, leave));
	EXPECT_EQ(0, as(ALICE, self, find_own));
	ASSERT_EQ(0, ioctl(fd, P2P_TEST_POOL, &pool));
	ASSERT_EQ(pool.client.bus, pool.provider.bus);
	EXPECT_EQ(0, as(ALICE, self, find_nothing));
	close(fd);
}

/* The drive writes to memory of a killed process, and another user waits. */

#define NR_REQUESTS	8
#define REQUEST		(64 * KIB)
#define ATTEMPTS	10
#define MAX_PIECES	(PMD / PAGE)

struct piece {
	char *mem;
	size_t size;
};

/* Maps all available memory, in pieces of any size. Returns how many. */
static int take(const char *provider, struct piece *pieces)
{
	size_t size = p2p_available(provider);
	int nr = 0;

	while (size && nr < MAX_PIECES) {
		pieces[nr].mem = p2p_map(provider, size);
		if (pieces[nr].mem == MAP_FAILED) {
			size = size / 2 & ~(PAGE - 1);
			continue;
		}
		pieces[nr++].size = size;
		size = p2p_available(provider);
	}
	return nr;
}

static void give_back(struct piece *pieces, int nr)
{
	while (nr--)
		munmap(pieces[nr].mem, pieces[nr].size);
}

/* The write uses up the rate limit, so that the drive is slow from then on. */
static int killed_reader(struct _test_data_stale *self, int disk, char *ram)
{
	const size_t len = NR_REQUESTS * REQUEST;
	char *mem = p2p_map(self->provider, self->size);
	aio_context_t ctx = 0;
	int nr;

	if (mem == MAP_FAILED || syscall(__NR_io_setup, NR_REQUESTS, &ctx))
		return FOUND_ERROR;
	put(mem, self->size, getuid());
	if (pwrite(disk, ram, len, 0) != len)
		return FOUND_ERROR;
	nr = aio_submit(ctx, disk, IOCB_CMD_PREAD, mem, REQUEST, 0, NR_REQUESTS);
	/* Otherwise the process would not exit before the drive is done. */
	if (munmap(mem, self->size))
		return FOUND_ERROR;
	__atomic_store_n(&self->shared->steps, nr, __ATOMIC_RELEASE);
	pause();
	return FOUND_ERROR;
}

/* Takes freed memory, in pieces of any size, until all of it is back. */
static int take_everything(struct _test_data_stale *self)
{
	struct piece pieces[2 * MAX_PIECES];
	size_t total = 0;
	int i, nr = 0, more;

	while (total < self->size && nr < MAX_PIECES) {
		more = take(self->provider, &pieces[nr]);
		if (!more)
			sched_yield();
		for (; more--; nr++) {
			if (!has(pieces[nr].mem, pieces[nr].size, 0))
				return FOUND_OTHER;
			total += pieces[nr].size;
		}
	}
	/* No data is written later, either. */
	for (i = 0; i < nr; i++)
		if (!has(pieces[i].mem, pieces[i].size, 0))
			return FOUND_OTHER;
	return total == self->size ? FOUND_AS_WANTED : FOUND_ERROR;
}

/*
 * Returns whether the drive was still busy; otherwise the test proves nothing.
 */
static bool kill_once(struct __test_metadata *_metadata,
		      struct _test_data_stale *self, int disk, char *ram)
{
	bool in_flight;
	pid_t reader;

	self->shared->steps = 0;
	reader = users_fork(ALICE);
	EXPECT_LE(0, reader);
	if (!reader)
		_exit(killed_reader(self, disk, ram));
	while (!__atomic_load_n(&self->shared->steps, __ATOMIC_ACQUIRE))
		if (waitpid(reader, NULL, WNOHANG))
			break;
	EXPECT_EQ(NR_REQUESTS, self->shared->steps);
	in_flight = p2p_available(self->provider) < self->size;
	kill(reader, SIGKILL);
	EXPECT_EQ(0, as(BOB, self, take_everything));
	p2p_wait(reader);
	return in_flight;
}

static void kill_in_io(struct __test_metadata *_metadata,
		       struct _test_data_stale *self, size_t size)
{
	struct piece pieces[MAX_PIECES];
	char *mem, *ram = p2p_ram(NR_REQUESTS * REQUEST);
	bool in_flight = false;
	int disk, nr, i;

	ASSERT_NE(MAP_FAILED, ram);
	ASSERT_NE(NULL, p2p_disk("slow"));
	disk = open(p2p_disk("slow"), O_RDWR | O_DIRECT);
	ASSERT_LE(0, disk);
	p2p_set(ram, NR_REQUESTS * REQUEST, ALICE);

	/* Use up all other memory. */
	self->size = size;
	mem = p2p_map(self->provider, size);
	ASSERT_NE(MAP_FAILED, mem);
	nr = take(self->provider, pieces);
	munmap(mem, size);
	ASSERT_EQ(size, p2p_available(self->provider));

	/* On a busy machine an attempt may be too late. */
	for (i = 0; i < (self->works ? ATTEMPTS : 1) && !in_flight; i++)
		in_flight = kill_once(_metadata, self, disk, ram);
	if (self->works)
		EXPECT_TRUE(in_flight);

	give_back(pieces, nr);
	close(disk);
	munmap(ram, NR_REQUESTS * REQUEST);
}

TEST_F(stale, killed_in_io)
{
	kill_in_io(_metadata, self, NR_REQUESTS * REQUEST);
}

TEST_F(stale, killed_in_io_pmd)
{
	kill_in_io(_metadata, self, PMD);
}

/*
 * Alice's data is not exposed to her afterwards, though the device has kept it:
 * root still sees it. Root looks in a second pass, since that ends the
 * ownership.
 */
static void forgets(struct __test_metadata *_metadata,
		    struct _test_data_stale *self,
		    void (*what)(struct __test_metadata *_metadata,
				 struct _test_data_stale *self))
{
	EXPECT_EQ(0, as(ALICE, self, leave));
	EXPECT_EQ(0, as(ALICE, self, find_own));
	what(_metadata, self);
	EXPECT_EQ(0, as(ALICE, self, find_nothing));

	EXPECT_EQ(0, as(ALICE, self, leave));
	what(_metadata, self);
	EXPECT_EQ(0, as(0, self, find_alices));
}

static void reset(struct __test_metadata *_metadata,
		  struct _test_data_stale *self)
{
	ASSERT_EQ(0, p2p_reset(self->provider));
}

/* A reset may do anything to a device's memory. */
TEST_F(stale, reset)
{
	if (!p2p_can_reset(self->provider))
		return;
	forgets(_metadata, self, reset);
}

static void rebind(struct __test_metadata *_metadata,
		   struct _test_data_stale *self)
{
	ASSERT_EQ(0, p2p_unbind(self->provider));
	ASSERT_EQ(0, p2p_bind(self->provider));
	ASSERT_TRUE(users_admit(self->provider, USERS));
	close_files(self);
	ASSERT_TRUE(open_files(self));
}

/* Other drivers may have been bound in between. */
TEST_F(stale, rebind)
{
	/* Other drivers' devices may come back under another name. */
	if (!p2p_has_driver(self->provider, P2P_BAR_DRIVER))
		return;
	forgets(_metadata, self, rebind);
}

TEST_HARNESS_MAIN
