// SPDX-License-Identifier: GPL-2.0
/* The quota of a user of a provider's memory: p2pmem/user_limit. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gup_call.h"
#include "klog.h"
#include "users.h"
#include "variants.h"

#define PAGE		(4 * KIB)
#define LIMIT		(64 * PAGE)
#define PMD		(2 * MIB)

#define STRANGER	2002	/* and above: used only for the log */
#define NR_NOTICES	10U	/* of each, in five seconds */

FIXTURE(limits)
{
	const char *provider;
	char path[P2P_PATH_LEN];
	long long before;
	int limit;		/* for children, which may not open it */
	int gup;
	int *steps;		/* shared with them */
};

P2P_VARIANTS(limits, NULL, NULL);

FIXTURE_SETUP(limits)
{
	self->provider = variant->p2p.provider;
	self->before = p2p_available(self->provider);
	p2p_path(self->path, self->provider, "p2pmem/user_limit");
	self->limit = open(self->path, O_WRONLY);
	ASSERT_LE(0, self->limit);
	self->gup = open(P2P_TEST_FILE, O_RDWR);
	ASSERT_LE(0, self->gup);
	self->steps = mmap(NULL, sizeof(int), PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->steps);
	ASSERT_TRUE(users_admit(self->provider, USERS));
}

FIXTURE_TEARDOWN(limits)
{
	close(self->gup);
	close(self->limit);
	EXPECT_EQ(0, p2p_write_file(self->path, "max\n"));
	EXPECT_TRUE(users_admit(self->provider, 0));
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

/* Returns 0 or an errno. */
static int set_limit(struct _test_data_limits *self, size_t bytes)
{
	char text[32];
	int len = snprintf(text, sizeof(text), "%zu\n", bytes);

	return pwrite(self->limit, text, len, 0) == len ? 0 : errno;
}

static bool shows(struct _test_data_limits *self, const char *want)
{
	char text[32] = "";
	int fd = open(self->path, O_RDONLY);

	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		return false;
	close(fd);
	return !strcmp(text, want);
}

/* Runs a part in a child; returns the number of the failed check, or 0. */
static int as(uid_t uid, struct _test_data_limits *self,
	      int (*part)(struct _test_data_limits *self))
{
	pid_t child = users_fork(uid);

	if (!child)
		_exit(part(self));
	return child < 0 ? -1 : p2p_wait(child);
}

/* Prints the condition, since the exit status can't distinguish them all. */
static bool untrue(bool condition, int line, const char *text)
{
	if (!condition)
		fprintf(stderr, "# limits.c:%d: %s\n", line, text);
	return !condition;
}

#define UNTRUE(condition)	untrue(condition, __LINE__, #condition)

static char *map(struct _test_data_limits *self, size_t size)
{
	char *mem = p2p_map(self->provider, size);

	if (mem != MAP_FAILED)
		p2p_store(mem, 1);
	return mem;
}

/* Can this much be allocated, but not a page more? */
static bool can_have(struct _test_data_limits *self, size_t size)
{
	char *mem = map(self, size + PAGE);

	if (mem != MAP_FAILED || errno != ENOMEM)
		return false;
	if (!size)
		return true;
	mem = map(self, size);
	return mem != MAP_FAILED && !munmap(mem, size);
}

TEST_F(limits, no_limit_by_default)
{
	struct stat st;

	EXPECT_TRUE(shows(self, "max\n"));
	ASSERT_EQ(0, stat(self->path, &st));
	EXPECT_EQ(0644, st.st_mode & 07777);
	EXPECT_EQ(0, st.st_uid);
}

TEST_F(limits, values)
{
	EXPECT_EQ(0, p2p_write_file(self->path, "1048576"));
	EXPECT_TRUE(shows(self, "1048576\n"));
	EXPECT_EQ(0, p2p_write_file(self->path, "0x2000\n"));
	EXPECT_TRUE(shows(self, "8192\n"));
	/* The limit is rounded down to pages. */
	EXPECT_EQ(0, p2p_write_file(self->path, "12287\n"));
	EXPECT_TRUE(shows(self, "8192\n"));
	EXPECT_EQ(0, p2p_write_file(self->path, "max"));
	EXPECT_TRUE(shows(self, "max\n"));
	EXPECT_EQ(0, p2p_write_file(self->path, "0\n"));
	EXPECT_TRUE(shows(self, "0\n"));

	EXPECT_EQ(0, p2p_write_file(self->path, "4096\n"));
	EXPECT_EQ(EINVAL, p2p_write_file(self->path, "\n"));
	EXPECT_EQ(EINVAL, p2p_write_file(self->path, "-1\n"));
	EXPECT_EQ(EINVAL, p2p_write_file(self->path, "1M\n"));
	EXPECT_EQ(EINVAL, p2p_write_file(self->path, "maximum\n"));
	EXPECT_EQ(EINVAL, p2p_write_file(self->path, "1 2\n"));
	EXPECT_EQ(ERANGE, p2p_write_file(self->path, "18446744073709551616\n"));
	EXPECT_TRUE(shows(self, "4096\n"));
}

static int write_it(struct _test_data_limits *self)
{
	if (UNTRUE(p2p_write_file(self->path, "max\n") == EACCES))
		return 1;
	if (UNTRUE(shows(self, "8192\n")))
		return 1;
	return 0;
}

TEST_F(limits, for_root_to_set)
{
	ASSERT_EQ(0, set_limit(self, 2 * PAGE));
	EXPECT_EQ(0, as(ALICE, self, write_it));
}

static int have_all(struct _test_data_limits *self)
{
	char *first, *second;

	first = map(self, LIMIT / 4);
	second = map(self, LIMIT / 2);
	if (UNTRUE(first != MAP_FAILED && second != MAP_FAILED))
		return 1;
	if (UNTRUE(can_have(self, LIMIT / 4)))
		return 1;
	if (UNTRUE(!munmap(first, LIMIT / 4)))
		return 1;
	if (UNTRUE(can_have(self, LIMIT / 2)))
		return 1;
	/* A buffer mapped in part is counted as a whole. */
	if (UNTRUE(!munmap(second, LIMIT / 4)))
		return 1;
	if (UNTRUE(can_have(self, LIMIT / 2)))
		return 1;
	if (UNTRUE(!munmap(second + LIMIT / 4, LIMIT / 4)))
		return 1;
	if (UNTRUE(can_have(self, LIMIT)))
		return 1;
	return 0;
}

TEST_F(limits, sum_of_buffers)
{
	ASSERT_EQ(0, set_limit(self, LIMIT));
	EXPECT_EQ(0, as(ALICE, self, have_all));
	EXPECT_EQ(0, as(ALICE, self, have_all));
}

/* What p2pmem/users says that a user has. */
static long long charged(struct _test_data_limits *self, uid_t uid)
{
	char path[P2P_PATH_LEN];
	long long bytes, found = 0;
	unsigned int user;
	struct stat st;
	FILE *file;

	p2p_path(path, self->provider, "p2pmem/users");
	if (stat(path, &st) || (st.st_mode & 07777) != 0400)
		return -1;
	file = fopen(path, "r");
	if (!file)
		return -1;
	while (fscanf(file, "%u %lld\n", &user, &bytes) == 2)
		if (user == uid)
			found = bytes;
	fclose(file);
	return found;
}

static int have_nothing(struct _test_data_limits *self)
{
	if (UNTRUE(can_have(self, 0)))
		return 1;
	return 0;
}

TEST_F(limits, zero)
{
	ASSERT_EQ(0, set_limit(self, 0));
	EXPECT_EQ(0, as(ALICE, self, have_nothing));
}

/* Waits until a child has allocated, or has ended. */
static bool reached(struct _test_data_limits *self, pid_t child)
{
	while (!__atomic_load_n(self->steps, __ATOMIC_ACQUIRE))
		if (waitpid(child, NULL, WNOHANG))
			return false;
	return true;
}

/* A child that allocates its whole quota and sleeps. */
static pid_t sleeper(struct _test_data_limits *self, uid_t uid)
{
	pid_t child;

	*self->steps = 0;
	child = users_fork(uid);
	if (!child) {
		if (map(self, LIMIT) == MAP_FAILED)
			_exit(1);
		__atomic_store_n(self->steps, 1, __ATOMIC_RELEASE);
		pause();
	}
	return child;
}

/* The quota is per user, not per process; a killed process uses none. */
TEST_F(limits, two_users)
{
	pid_t alice, bob;

	ASSERT_EQ(0, set_limit(self, LIMIT));
	alice = sleeper(self, ALICE);
	EXPECT_TRUE(reached(self, alice));
	EXPECT_EQ(0, as(ALICE, self, have_nothing));
	EXPECT_EQ(0, as(BOB, self, have_all));
	bob = sleeper(self, BOB);
	EXPECT_TRUE(reached(self, bob));
	EXPECT_EQ(0, as(BOB, self, have_nothing));
	EXPECT_EQ(LIMIT, charged(self, ALICE));
	EXPECT_EQ(LIMIT, charged(self, BOB));
	EXPECT_EQ(0, charged(self, STRANGER));

	kill(alice, SIGKILL);
	p2p_wait(alice);
	EXPECT_EQ(0, as(ALICE, self, have_all));
	EXPECT_EQ(0, charged(self, ALICE));
	EXPECT_EQ(0, as(BOB, self, have_nothing));
	kill(bob, SIGKILL);
	p2p_wait(bob);
	EXPECT_EQ(0, as(BOB, self, have_all));
}

/* A buffer shared with a child counts once, as long as either has it. */
static int share(struct _test_data_limits *self)
{
	char *mem = map(self, LIMIT / 2);
	pid_t child;

	if (UNTRUE(mem != MAP_FAILED))
		return 1;
	child = fork();
	if (!child) {
		p2p_store(mem, 2);
		_exit(!can_have(self, LIMIT / 2));
	}
	if (UNTRUE(!p2p_wait(child)))
		return 1;
	child = fork();
	if (!child) {
		pause();
		_exit(1);
	}
	if (UNTRUE(!munmap(mem, LIMIT / 2)))
		return 1;
	if (UNTRUE(can_have(self, LIMIT / 2)))
		return 1;
	kill(child, SIGKILL);
	p2p_wait(child);
	if (UNTRUE(can_have(self, LIMIT)))
		return 1;
	return 0;
}

TEST_F(limits, fork)
{
	ASSERT_EQ(0, set_limit(self, LIMIT));
	EXPECT_EQ(0, as(ALICE, self, share));
}

/*
 * Lowering the limit revokes nothing, but prevents allocations until enough is
 * freed.
 */
static int have_more_than_allowed(struct _test_data_limits *self)
{
	char *first = map(self, LIMIT / 2), *second = map(self, LIMIT / 2);

	if (UNTRUE(first != MAP_FAILED && second != MAP_FAILED))
		return 1;
	if (UNTRUE(!set_limit(self, LIMIT / 2 + PAGE)))
		return 1;
	if (UNTRUE(can_have(self, 0)))
		return 1;
	if (UNTRUE(!p2p_fault_of(first + LIMIT / 2 - PAGE, true)))
		return 1;
	if (UNTRUE(p2p_load(second) == 1))
		return 1;
	if (UNTRUE(!munmap(first, LIMIT / 2)))
		return 1;
	if (UNTRUE(can_have(self, PAGE)))
		return 1;
	if (UNTRUE(!set_limit(self, LIMIT)))
		return 1;
	if (UNTRUE(can_have(self, LIMIT / 2)))
		return 1;
	return 0;
}

TEST_F(limits, lowered)
{
	ASSERT_EQ(0, set_limit(self, LIMIT));
	EXPECT_EQ(0, as(ALICE, self, have_more_than_allowed));
}

/* A held page is charged, mapped or not; a large folio as a whole. */
static int hold_a_page(struct _test_data_limits *self, size_t size, size_t page)
{
	char *mem = map(self, size);

	if (UNTRUE(mem != MAP_FAILED))
		return 1;
	if (UNTRUE(!set_limit(self, size)))
		return 1;
	if (UNTRUE(gup_hold(self->gup, P2P_TEST_PIN_FAST, mem, 1,
			    FOLL_PCI_P2PDMA, NULL) == 1))
		return 1;
	if (UNTRUE(!munmap(mem, size)))
		return 1;
	if (UNTRUE(can_have(self, size - page)))
		return 1;
	if (UNTRUE(!gup_put(self->gup)))
		return 1;
	if (UNTRUE(can_have(self, size)))
		return 1;
	return 0;
}

static int hold_base_page(struct _test_data_limits *self)
{
	return hold_a_page(self, LIMIT, PAGE);
}

static int hold_folio(struct _test_data_limits *self)
{
	return hold_a_page(self, 2 * PMD, PMD);
}

TEST_F(limits, pinned)
{
	EXPECT_EQ(0, as(ALICE, self, hold_base_page));
	ASSERT_EQ(0, p2p_write_file(self->path, "max\n"));
	EXPECT_EQ(0, as(ALICE, self, hold_folio));
}

/* Root's memory is charged, but may exceed the limit. */
TEST_F(limits, root_is_exempt)
{
	char *mem;

	ASSERT_EQ(0, set_limit(self, 0));
	mem = map(self, LIMIT);
	ASSERT_NE(MAP_FAILED, mem);
	EXPECT_EQ(0, munmap(mem, LIMIT));
}

/* The message may be rate limited. */
TEST_F(limits, notice)
{
	int i, kmsg = klog_open();
	bool found = false;

	ASSERT_LE(0, kmsg);
	ASSERT_EQ(0, set_limit(self, 0));
	for (i = 0; i < 100 && !found; i++) {
		EXPECT_EQ(0, as(ALICE, self, have_nothing));
		found = klog_said(kmsg, self->provider,
				  "of user 1000 asked for 4 KiB of peer-to-peer memory: with what the user has, more than the 0 KiB of p2pmem/user_limit");
		if (!found)
			usleep(100000);
	}
	EXPECT_TRUE(found);
	close(kmsg);
}

static unsigned int count_notices(int kmsg, uid_t uid)
{
	char record[8192], want[64];
	unsigned int nr = 0;

	snprintf(want, sizeof(want), "of user %u asked for", uid);
	lseek(kmsg, 0, SEEK_DATA);
	while (!klog_next(kmsg, record, sizeof(record)))
		nr += !!strstr(record, want);
	return nr;
}

/*
 * The next user ID with the same five-bit hash_32(), which would collide in a
 * small table.
 */
static uid_t same_hash(uid_t uid)
{
	const uint32_t ratio = 0x61c88647, bits = 27;
	uid_t other = uid;

	while (other * ratio >> bits != uid * ratio >> bits || other == uid)
		other++;
	return other;
}

/* A user who is refused all the time does not suppress notices of others. */
TEST_F(limits, notice_of_each_user)
{
	uid_t noisy = STRANGER + 100 * variant->p2p.index;
	uid_t quiet = same_hash(noisy);
	unsigned int before[2];
	int i, kmsg = klog_open();

	ASSERT_LE(0, kmsg);
	ASSERT_EQ(0, set_limit(self, 0));
	before[0] = count_notices(kmsg, noisy);
	before[1] = count_notices(kmsg, quiet);
	for (i = 0; i < 10 * NR_NOTICES; i++)
		EXPECT_EQ(0, as(noisy, self, have_nothing));
	EXPECT_EQ(0, as(quiet, self, have_nothing));
	/* The loop may have taken longer than one rate limit interval. */
	EXPECT_LT(0, count_notices(kmsg, noisy) - before[0]);
	EXPECT_GT(9 * NR_NOTICES, count_notices(kmsg, noisy) - before[0]);
	EXPECT_EQ(1, count_notices(kmsg, quiet) - before[1]);
	close(kmsg);
}

TEST_HARNESS_MAIN
