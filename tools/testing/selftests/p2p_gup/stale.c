// SPDX-License-Identifier: GPL-2.0
/*
 * What one user left in peer-to-peer memory is never seen by another: the two take
 * turns with the same memory, and each way to get at it is tried. Who may see
 * everything, and who had the memory last, pays nothing for that: the data is still
 * there.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <lib/test_p2p_uapi.h>
#include <linux/aio_abi.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bind.h"
#include "users.h"
#include "variants.h"

#define P2P_TEST_DMA_FILE "/sys/kernel/debug/p2p_test_dma"

#define PAGE		(4 * KIB)
#define SMALL		(32 * PAGE)	/* base pages */
#define PMD		(2 * MIB)
#define PUD		(1024 * MIB)

/* What a child finds, as its exit status. */
#define FOUND_AS_WANTED	0
#define FOUND_OTHER	1		/* data that it should not see, or its own gone */
#define FOUND_ELSEWHERE	2		/* it got other memory: nothing is shown */
#define FOUND_ERROR	3

struct shared {
	uint64_t phys;			/* where the memory was */
	int steps;
};

FIXTURE(stale)
{
	const char *provider;
	long long before;
	size_t size;
	int disk;
	bool works;
	struct shared *shared;
};

P2P_VARIANTS(stale, NULL, "raw", NULL);

FIXTURE_SETUP(stale)
{
	self->provider = variant->p2p.provider;
	self->before = p2p_available(self->provider);
	self->size = SMALL;
	self->works = p2p_reaches(variant->p2p.disk, self->provider);
	self->disk = open(p2p_disk(variant->p2p.disk), O_RDWR | O_DIRECT);
	ASSERT_LE(0, self->disk);
	self->shared = mmap(NULL, sizeof(*self->shared), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->shared);
	ASSERT_TRUE(users_admit(self->provider, USERS));
}

FIXTURE_TEARDOWN(stale)
{
	close(self->disk);
	EXPECT_TRUE(users_admit(self->provider, 0));
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

/* Memory may be slow: the first and the last word of a page stand for it. */
static void put(char *mem, size_t size, uint64_t word)
{
	size_t i;

	for (i = 0; i < size; i += PAGE) {
		p2p_store(mem + i, word);
		p2p_store(mem + i + PAGE - 8, word);
	}
}

static bool has(const char *mem, size_t size, uint64_t word)
{
	size_t i;

	for (i = 0; i < size; i += PAGE)
		if (p2p_load(mem + i) != word ||
		    p2p_load(mem + i + PAGE - 8) != word)
			return false;
	return true;
}

/* Runs a part in a child as this user, 0 for root with all capabilities. */
static int as(uid_t uid, struct _test_data_stale *self,
	      int (*part)(struct _test_data_stale *self))
{
	pid_t child = users_fork(uid);

	if (!child)
		_exit(part(self));
	return child < 0 ? -1 : users_wait(child);
}

/* Parts. The data that a user leaves is the user's number. */

static int leave(struct _test_data_stale *self)
{
	char *mem = p2p_map(self->provider, self->size);

	if (mem == MAP_FAILED)
		return FOUND_ERROR;
	put(mem, self->size, getuid());
	self->shared->phys = users_phys(mem);
	return FOUND_AS_WANTED;
}

/* Maps the same memory once more, but does not touch it. */
static char *again(struct _test_data_stale *self)
{
	char *mem = p2p_map(self->provider, self->size);

	if (mem == MAP_FAILED)
		_exit(FOUND_ERROR);
	if (users_phys(mem) != self->shared->phys)
		_exit(FOUND_ELSEWHERE);
	return mem;
}

static int expect(struct _test_data_stale *self, const char *mem, uint64_t word)
{
	return has(mem, self->size, word) ? FOUND_AS_WANTED : FOUND_OTHER;
}

static int find_nothing(struct _test_data_stale *self)
{
	return expect(self, again(self), 0);
}

static int find_nothing_and_leave(struct _test_data_stale *self)
{
	char *mem = again(self);
	int found = expect(self, mem, 0);

	put(mem, self->size, getuid());
	return found;
}

static int find_own(struct _test_data_stale *self)
{
	return expect(self, again(self), getuid());
}

static int find_alices(struct _test_data_stale *self)
{
	return expect(self, again(self), ALICE);
}

static int find_bobs(struct _test_data_stale *self)
{
	return expect(self, again(self), BOB);
}

static int only_map(struct _test_data_stale *self)
{
	again(self);
	return FOUND_AS_WANTED;
}

static void take_turns(struct __test_metadata *_metadata,
		       struct _test_data_stale *self, size_t size)
{
	self->size = size;
	EXPECT_EQ(0, as(ALICE, self, leave));
	EXPECT_EQ(0, as(ALICE, self, find_own));
	EXPECT_EQ(0, as(BOB, self, find_nothing_and_leave));
	EXPECT_EQ(0, as(BOB, self, find_own));
	/* Root is shown what there is, and the memory is nobody's then. */
	EXPECT_EQ(0, as(0, self, find_bobs));
	EXPECT_EQ(0, as(0, self, leave));
	EXPECT_EQ(0, as(BOB, self, find_nothing_and_leave));
	EXPECT_EQ(0, as(ALICE, self, find_nothing));
}

TEST_F(stale, base_pages)
{
	take_turns(_metadata, self, SMALL);
}

TEST_F(stale, pmd)
{
	take_turns(_metadata, self, PMD);
}

/* Of large buffers, some parts are base pages. */
TEST_F(stale, pmd_and_more)
{
	take_turns(_metadata, self, PMD + 5 * PAGE);
}

TEST_F(stale, pud)
{
	/* Else there is no such memory: as large as a PUD means as aligned, too. */
	if (self->before >= (long long)PUD)
		take_turns(_metadata, self, PUD);
}

/* A block is cleared as a whole, or as it was. */
static int find_own_or_nothing(struct _test_data_stale *self)
{
	char *mem = again(self);
	size_t i;

	for (i = 0; i < self->size; i += PMD)
		if (!has(mem + i, PMD, p2p_load(mem + i) ? getuid() : 0))
			return FOUND_OTHER;
	return FOUND_AS_WANTED;
}

/* Whoever waits for so much to be cleared can be killed at any time. */
TEST_F(stale, killed_while_clearing)
{
	pid_t bob;
	int i;

	if (self->before < (long long)PUD)
		return;
	self->size = PUD;
	EXPECT_EQ(0, as(ALICE, self, leave));
	for (i = 0; i < 4; i++) {
		self->shared->steps = 0;
		bob = users_fork(BOB);
		ASSERT_LE(0, bob);
		if (!bob) {
			char *mem = again(self);

			__atomic_store_n(&self->shared->steps, 1, __ATOMIC_RELEASE);
			p2p_load(mem + (i % 2 ? PUD / 2 : 0));
			pause();
		}
		while (!__atomic_load_n(&self->shared->steps, __ATOMIC_ACQUIRE))
			if (waitpid(bob, NULL, WNOHANG))
				break;
		usleep(20000 * i);
		kill(bob, SIGKILL);
		EXPECT_EQ(-1, users_wait(bob));
		EXPECT_EQ(0, as(ALICE, self, find_own_or_nothing));
	}
	EXPECT_EQ(0, as(BOB, self, find_nothing));
}

/* It is use that matters. */
TEST_F(stale, not_touched)
{
	EXPECT_EQ(0, as(ALICE, self, leave));
	EXPECT_EQ(0, as(BOB, self, only_map));
	EXPECT_EQ(0, as(ALICE, self, find_own));
	EXPECT_EQ(0, as(ALICE, self, only_map));
	EXPECT_EQ(0, as(BOB, self, find_nothing));
}

static int touch_first_page(struct _test_data_stale *self)
{
	return p2p_load(again(self)) ? FOUND_OTHER : FOUND_AS_WANTED;
}

static int find_own_but_first_page(struct _test_data_stale *self)
{
	char *last, *mem = again(self);

	last = mem + self->size - PAGE;
	return has(mem, PAGE, 0) && has(last, PAGE, ALICE) ? FOUND_AS_WANTED :
							     FOUND_OTHER;
}

/* Page by page, and with the fault around it. */
TEST_F(stale, touched_in_part)
{
	EXPECT_EQ(0, as(ALICE, self, leave));
	EXPECT_EQ(0, as(BOB, self, touch_first_page));
	EXPECT_EQ(0, as(ALICE, self, find_own_but_first_page));
	EXPECT_EQ(0, as(BOB, self, find_nothing));
}

/* The part that stays belongs to the same buffer, cleared or not. */
static int unmap_parts(struct _test_data_stale *self)
{
	char *mem = again(self);
	size_t half = self->size / 2;

	put(mem, PAGE, BOB);
	if (munmap(mem + PAGE, half))
		return FOUND_ERROR;
	return has(mem, PAGE, BOB) &&
	       has(mem + half + PAGE, half - PAGE, 0) ? FOUND_AS_WANTED :
							FOUND_OTHER;
}

TEST_F(stale, partial_munmap)
{
	EXPECT_EQ(0, as(ALICE, self, leave));
	EXPECT_EQ(0, as(BOB, self, unmap_parts));
	EXPECT_EQ(0, as(ALICE, self, leave));
	self->size = PMD;
	EXPECT_EQ(0, as(ALICE, self, leave));
	EXPECT_EQ(0, as(BOB, self, unmap_parts));
}

/* What is in use is never cleared, whoever faults it in again. */
static int share_with_child(struct _test_data_stale *self)
{
	char *mem = again(self), *second = mem + self->size / 2;
	pid_t child;

	put(mem, PAGE, 1);
	child = fork();
	if (!child) {
		if (!has(mem, PAGE, 1) || !has(second, self->size / 2, 0))
			_exit(FOUND_OTHER);
		put(second, PAGE, 2);
		_exit(FOUND_AS_WANTED);
	}
	if (users_wait(child))
		return FOUND_OTHER;
	if (madvise(mem, self->size, MADV_DONTNEED))
		return FOUND_ERROR;
	return has(mem, PAGE, 1) && has(second, PAGE, 2) ? FOUND_AS_WANTED :
							   FOUND_OTHER;
}

TEST_F(stale, fork)
{
	EXPECT_EQ(0, as(ALICE, self, leave));
	EXPECT_EQ(0, as(BOB, self, share_with_child));
	self->size = PMD;
	EXPECT_EQ(0, as(ALICE, self, leave));
	EXPECT_EQ(0, as(BOB, self, share_with_child));
}

/* The drive is told to read what no CPU has touched. */
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

/* Every word is cleared, not only those that the other tests look at. */
static int find_no_word(struct _test_data_stale *self)
{
	return p2p_not_set(again(self), self->size, 0) == -1 ? FOUND_AS_WANTED :
							      FOUND_OTHER;
}

static int leave_every_word(struct _test_data_stale *self)
{
	char *mem = p2p_map(self->provider, self->size);

	if (mem == MAP_FAILED)
		return FOUND_ERROR;
	p2p_fill(mem, self->size, getuid(), 0);
	self->shared->phys = users_phys(mem);
	return FOUND_AS_WANTED;
}

TEST_F(stale, every_word)
{
	EXPECT_EQ(0, as(ALICE, self, leave_every_word));
	EXPECT_EQ(0, as(BOB, self, find_no_word));
}

/* A debugger looks at what its child has not touched. */
TEST_F(stale, debugger)
{
	uint64_t words[SMALL / 8];
	char path[64];
	pid_t child;
	char *mem;
	int fd;

	EXPECT_EQ(0, as(ALICE, self, leave_every_word));
	/* The same place in the child's address space as here. */
	mem = mmap(NULL, SMALL, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, mem);
	self->shared->steps = 0;
	child = users_fork(BOB);
	ASSERT_LE(0, child);
	if (!child) {
		if (mremap(again(self), SMALL, SMALL,
			   MREMAP_MAYMOVE | MREMAP_FIXED, mem) != mem)
			_exit(FOUND_ERROR);
		__atomic_store_n(&self->shared->steps, 1, __ATOMIC_RELEASE);
		pause();
	}
	while (!__atomic_load_n(&self->shared->steps, __ATOMIC_ACQUIRE))
		if (waitpid(child, NULL, WNOHANG))
			break;
	EXPECT_EQ(1, self->shared->steps);
	snprintf(path, sizeof(path), "/proc/%d/mem", child);
	fd = open(path, O_RDONLY);
	ASSERT_LE(0, fd);
	EXPECT_EQ(SMALL, pread(fd, words, SMALL, (off_t)mem));
	EXPECT_EQ(-1, p2p_not_set(words, SMALL, 0));
	close(fd);
	kill(child, SIGKILL);
	users_wait(child);
	munmap(mem, SMALL);
}

/*
 * Privileges. The file that root has opened is as good as one's own, not better.
 */
TEST_F(stale, open_file_given)
{
	int fd = p2p_open(self->provider, O_RDWR);
	pid_t child;

	ASSERT_LE(0, fd);
	EXPECT_EQ(0, as(ALICE, self, leave));
	child = users_fork(BOB);
	ASSERT_LE(0, child);
	if (!child) {
		char *mem = mmap(NULL, self->size, PROT_READ, MAP_SHARED,
				 fd, 0);

		if (mem == MAP_FAILED)
			_exit(FOUND_ERROR);
		_exit(users_phys(mem) != self->shared->phys ? FOUND_ELSEWHERE :
		      expect(self, mem, 0));
	}
	EXPECT_EQ(0, users_wait(child));
	close(fd);
}

/* A privileged program that maps what a user gave it is no help, either. */
static int map_what_user_opened(struct _test_data_stale *self)
{
	char *mem;
	int fd;

	if (setegid(USERS) || seteuid(BOB))
		return FOUND_ERROR;
	fd = p2p_open(self->provider, O_RDWR);
	if (fd < 0 || seteuid(0) || setegid(0))
		return FOUND_ERROR;
	mem = mmap(NULL, self->size, PROT_READ, MAP_SHARED, fd, 0);
	if (mem == MAP_FAILED)
		return FOUND_ERROR;
	return users_phys(mem) != self->shared->phys ? FOUND_ELSEWHERE :
						       expect(self, mem, 0);
}

TEST_F(stale, opened_by_user)
{
	EXPECT_EQ(0, as(ALICE, self, leave));
	EXPECT_EQ(0, as(0, self, map_what_user_opened));
}

static int drop_after_mmap(struct _test_data_stale *self)
{
	char *mem = again(self);

	return users_become(BOB) ? expect(self, mem, 0) : FOUND_ERROR;
}

TEST_F(stale, dropped_after_mmap)
{
	EXPECT_EQ(0, as(ALICE, self, leave));
	EXPECT_EQ(0, as(0, self, drop_after_mmap));
}

/* What root has put there is for those that it shares the mapping with. */
static int drop_in_child(struct _test_data_stale *self)
{
	char *mem = again(self);
	pid_t child;

	put(mem, PAGE, 1);
	child = users_fork(BOB);
	if (!child) {
		/* The last page is beyond what a fault maps around the first. */
		_exit(has(mem, PAGE, 1) && has(mem + SMALL - PAGE, PAGE, 0) ?
		      FOUND_AS_WANTED : FOUND_OTHER);
	}
	return users_wait(child) || !has(mem, PAGE, 1);
}

TEST_F(stale, shared_by_root)
{
	EXPECT_EQ(0, as(ALICE, self, leave));
	EXPECT_EQ(0, as(0, self, drop_in_child));
}

/* A user with the capability sees all, and does not pass it on. */
static int find_alices_by_capability(struct _test_data_stale *self)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2] = {};

	data[0].effective = 1 << CAP_SYS_RAWIO;
	data[0].permitted = data[0].effective;
	if (prctl(PR_SET_KEEPCAPS, 1) || !users_become(BOB) ||
	    syscall(__NR_capset, &header, data))
		return FOUND_ERROR;
	return find_alices(self);
}

TEST_F(stale, user_with_capability)
{
	EXPECT_EQ(0, as(ALICE, self, leave));
	EXPECT_EQ(0, as(0, self, find_alices_by_capability));
	EXPECT_EQ(0, as(BOB, self, find_nothing));
}

/* What a driver in the kernel may have left there is for nobody. */
TEST_F(stale, used_by_driver)
{
	struct p2p_test_pool pool = { .len = self->size };
	unsigned int slot, nr;
	int fd = open(P2P_TEST_DMA_FILE, O_RDWR);
	int found;

	ASSERT_LE(0, fd);
	/* Nothing is nearer to a device than its own memory. */
	found = sscanf(self->provider, "%x:%x:%x.%x", &pool.client.domain,
		       &pool.client.bus, &slot, &nr);
	ASSERT_EQ(4, found);
	pool.client.devfn = slot << 3 | nr;
	EXPECT_EQ(0, as(ALICE, self, leave));
	EXPECT_EQ(0, as(ALICE, self, find_own));
	ASSERT_EQ(0, ioctl(fd, P2P_TEST_POOL, &pool));
	ASSERT_EQ(pool.client.bus, pool.provider.bus);
	EXPECT_EQ(0, as(ALICE, self, find_nothing));
	close(fd);
}

/* The drive writes into memory whose process is killed, and another user waits. */

#define NR_REQUESTS	8
#define REQUEST		(64 * KIB)
#define ATTEMPTS	10
#define MAX_PIECES	(PMD / PAGE)

struct piece {
	char *mem;
	size_t size;
};

/* Maps what is available, in whatever pieces. Returns how many. */
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

/* The drive is as slow as it should once there was something for it to do. */
static int killed_reader(struct _test_data_stale *self, int disk, char *ram)
{
	const size_t len = NR_REQUESTS * REQUEST;
	struct iocb iocb[NR_REQUESTS], *list[NR_REQUESTS];
	char *mem = p2p_map(self->provider, self->size);
	aio_context_t ctx = 0;
	int i, nr;

	if (mem == MAP_FAILED || syscall(__NR_io_setup, NR_REQUESTS, &ctx))
		return FOUND_ERROR;
	put(mem, self->size, getuid());
	for (i = 0; i < NR_REQUESTS; i++) {
		iocb[i] = (struct iocb) {
			.aio_lio_opcode = IOCB_CMD_PREAD,
			.aio_fildes = disk,
			.aio_buf = (uintptr_t)mem + i * REQUEST,
			.aio_nbytes = REQUEST,
			.aio_offset = i * REQUEST,
		};
		list[i] = &iocb[i];
	}
	if (pwrite(disk, ram, len, 0) != len)
		return FOUND_ERROR;
	nr = syscall(__NR_io_submit, ctx, NR_REQUESTS, list);
	/* Else the process could not go before the drive is done. */
	if (munmap(mem, self->size))
		return FOUND_ERROR;
	__atomic_store_n(&self->shared->steps, nr, __ATOMIC_RELEASE);
	pause();
	return FOUND_ERROR;
}

/* Takes what comes back, in whatever pieces, until all of it is there. */
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
	/* Nor does data come later. */
	for (i = 0; i < nr; i++)
		if (!has(pieces[i].mem, pieces[i].size, 0))
			return FOUND_OTHER;
	return total == self->size ? FOUND_AS_WANTED : FOUND_ERROR;
}

/* Returns whether the drive was still at it, without which this shows nothing. */
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
	users_wait(reader);
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

	/* There is no other memory for the two. */
	self->size = size;
	mem = p2p_map(self->provider, size);
	ASSERT_NE(MAP_FAILED, mem);
	nr = take(self->provider, pieces);
	munmap(mem, size);
	ASSERT_EQ(size, p2p_available(self->provider));

	/* A machine that is busy with something else may miss it. */
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

/* Nobody knows what a device does to its memory in a reset. */
TEST_F(stale, reset)
{
	char path[P2P_PATH_LEN];

	p2p_path(path, self->provider, "reset");
	if (access(path, W_OK))
		return;
	EXPECT_EQ(0, as(ALICE, self, leave));
	EXPECT_EQ(0, as(ALICE, self, find_own));
	ASSERT_EQ(0, p2p_write_file(path, "1"));
	EXPECT_EQ(0, as(0, self, find_alices));
	EXPECT_EQ(0, as(ALICE, self, find_nothing));
}

/* Nor what came between. */
TEST_F(stale, rebind)
{
	/* Other drivers' devices may come back under another name. */
	if (!p2p_has_driver(self->provider, P2P_BAR_DRIVER))
		return;
	EXPECT_EQ(0, as(ALICE, self, leave));
	ASSERT_EQ(0, p2p_unbind(self->provider));
	ASSERT_EQ(0, p2p_bind(self->provider));
	ASSERT_TRUE(users_admit(self->provider, USERS));
	EXPECT_EQ(0, as(0, self, find_alices));
	EXPECT_EQ(0, as(ALICE, self, find_nothing));
}

TEST_HARNESS_MAIN
