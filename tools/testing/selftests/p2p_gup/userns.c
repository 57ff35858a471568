// SPDX-License-Identifier: GPL-2.0
/*
 * Root of a user namespace, as in a container, has no privileges: in a
 * provider's files and in its quota it counts as the user who created the
 * namespace.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bind.h"
#include "klog.h"
#include "users.h"
#include "variants.h"

#define PAGE	(4 * KIB)
#define LIMIT	(16 * PAGE)
#define SIZE	(2 * MIB)
#define SECRET	0x7365637265742121ULL
#define CONTAINER	200000U	/* first ID of containers */
#define NR_IDS		1000U	/* IDs for each provider */
#define NR_TALKERS	40U
#define NR_NOTICES	10U	/* of one user, in five seconds */

FIXTURE(userns)
{
	const char *provider;
	char limit[P2P_PATH_LEN];
	long long before;
	struct shared {
		uint64_t phys;
		bool full;
	} *shared;
};

P2P_VARIANTS(userns, NULL, NULL);

FIXTURE_SETUP(userns)
{
	if (access("/proc/self/ns/user", F_OK))
		SKIP(p2p_skip_now(), "not configured: CONFIG_USER_NS");
	self->provider = variant->p2p.provider;
	self->before = p2p_available(self->provider);
	p2p_path(self->limit, self->provider, "p2pmem/user_limit");
	self->shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->shared);
}

FIXTURE_TEARDOWN(userns)
{
	EXPECT_EQ(0, p2p_write_file(self->limit, "max\n"));
	EXPECT_TRUE(users_admit(self->provider, 0));
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

static bool write_id_map(const char *file, unsigned int outside)
{
	char path[32], text[32];

	snprintf(path, sizeof(path), "/proc/self/%s", file);
	snprintf(text, sizeof(text), "0 %u 1", outside);
	return !p2p_write_file(path, text);
}

/* Becomes a user, and then root of its own user namespace. */
static bool become_root_of_container(uid_t uid)
{
	/* After setuid() /proc/self belongs to root until the process is dumpable. */
	if (!users_become(uid) || prctl(PR_SET_DUMPABLE, 1) ||
	    unshare(CLONE_NEWUSER | CLONE_NEWNS))
		return false;
	return !p2p_write_file("/proc/self/setgroups", "deny") &&
	       write_id_map("uid_map", uid) && write_id_map("gid_map", USERS) &&
	       !setresgid(0, 0, 0) && !setresuid(0, 0, 0) && !getuid();
}

/* Runs a part as root of a container; returns the failed check, or 0. */
static int in_container(uid_t uid, struct _test_data_userns *self,
			int (*part)(struct _test_data_userns *self))
{
	pid_t child = fork();

	if (!child)
		_exit(become_root_of_container(uid) ? part(self) : 100);
	return child < 0 ? -1 : p2p_wait(child);
}

static int change_nothing(struct _test_data_userns *self)
{
	char path[P2P_PATH_LEN];

	if (p2p_write_file(self->limit, "max\n") != EACCES)
		return 1;
	p2p_path(path, self->provider, "reset");
	if (!access(path, F_OK) && p2p_write_file(path, "1") != EACCES)
		return 2;
	p2p_path(path, self->provider, "driver/unbind");
	if (p2p_write_file(path, self->provider) != EACCES)
		return 3;
	/* Neither can users outside the group open the file. */
	if (p2p_open(self->provider, O_RDWR) >= 0 || errno != EACCES)
		return 4;
	p2p_path(path, self->provider, "p2pmem/allocate");
	if (!chown(path, 0, 0) || !chmod(path, 0666))
		return 5;
	return 0;
}

TEST_F(userns, files)
{
	EXPECT_EQ(0, in_container(ALICE, self, change_nothing));
}

static int stay_below_limit(struct _test_data_userns *self)
{
	char *mem = p2p_map(self->provider, LIMIT), *more;

	if (mem == MAP_FAILED)
		return 1;
	more = p2p_map(self->provider, PAGE);
	if (more != MAP_FAILED)
		return 2;
	return 0;
}

/*
 * The quota is that of the user outside, shared by all of the user's
 * containers.
 */
TEST_F(userns, limit)
{
	char text[32];
	pid_t child;
	int go[2];
	char *mem;

	snprintf(text, sizeof(text), "%lu\n", LIMIT);
	ASSERT_EQ(0, p2p_write_file(self->limit, text));
	ASSERT_TRUE(users_admit(self->provider, USERS));
	EXPECT_EQ(0, in_container(ALICE, self, stay_below_limit));

	/* Memory allocated outside the container counts. */
	ASSERT_EQ(0, pipe(go));
	child = users_fork(ALICE);
	ASSERT_LE(0, child);
	if (!child) {
		mem = p2p_map(self->provider, PAGE);
		_exit(mem == MAP_FAILED || write(go[1], "", 1) != 1 || pause());
	}
	ASSERT_EQ(1, read(go[0], text, 1));
	EXPECT_EQ(1, in_container(ALICE, self, stay_below_limit));
	EXPECT_EQ(0, in_container(BOB, self, stay_below_limit));
	kill(child, SIGKILL);
	p2p_wait(child);
	close(go[0]);
	close(go[1]);
}

/*
 * A container with a range of user IDs, as from /etc/subuid: root outside
 * writes the maps, as newuidmap does.
 */
static pid_t fork_container(uid_t uid, struct _test_data_userns *self,
			    int (*part)(struct _test_data_userns *self))
{
	char path[48], text[64];
	int made[2], mapped[2];
	bool done = false;
	pid_t child;

	if (pipe(made) || pipe(mapped))
		return -1;
	child = fork();
	if (!child) {
		if (!users_become(uid) || prctl(PR_SET_DUMPABLE, 1) ||
		    unshare(CLONE_NEWUSER) || write(made[1], "", 1) != 1 ||
		    read(mapped[0], text, 1) != 1 || setresuid(0, 0, 0))
			_exit(100);
		_exit(part(self));
	}
	close(made[1]);
	if (child > 0 && read(made[0], text, 1) == 1) {
		snprintf(path, sizeof(path), "/proc/%d/gid_map", child);
		snprintf(text, sizeof(text), "0 %u 1", USERS);
		done = !p2p_write_file(path, text);
		snprintf(path, sizeof(path), "/proc/%d/uid_map", child);
		snprintf(text, sizeof(text), "0 %u 1\n1 100000 1000\n", uid);
		done = done && !p2p_write_file(path, text) &&
		       write(mapped[1], "", 1) == 1;
	}
	if (child > 0 && !done)
		kill(child, SIGKILL);
	close(made[0]);
	close(mapped[0]);
	close(mapped[1]);
	return child;
}

/*
 * Another user of the container maps this much, reports whether it succeeded,
 * and sleeps until its parent ends, which may no longer be allowed to signal
 * it.
 */
static pid_t start_subordinate(struct _test_data_userns *self, uid_t uid,
			       size_t size, bool *could)
{
	int fds[2], alive[2];
	char answer = 0;
	pid_t child;

	*could = false;
	if (pipe(fds) || pipe(alive))
		return -1;
	child = fork();
	if (!child) {
		close(alive[1]);
		if (setresuid(uid, uid, uid))
			_exit(1);
		answer = p2p_map(self->provider, size) != MAP_FAILED;
		_exit(write(fds[1], &answer, 1) != 1 ||
		      read(alive[0], &answer, 1));
	}
	close(fds[1]);
	close(alive[0]);
	*could = child > 0 && read(fds[0], &answer, 1) == 1 && answer;
	close(fds[0]);
	return child;
}

static bool subordinate_can_have(struct _test_data_userns *self, uid_t uid,
				 size_t size)
{
	bool could;
	pid_t child = start_subordinate(self, uid, size, &could);

	/* kill(-1) would be for every process. */
	if (child < 0)
		return false;
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	return could;
}

static int share_limit(struct _test_data_userns *self)
{
	pid_t children[2];
	bool could;
	char *mem;
	int i;

	for (i = 0; i < 2; i++) {
		children[i] = start_subordinate(self, 1 + i, LIMIT / 2, &could);
		if (!could)
			return 1;
	}
	if (subordinate_can_have(self, 3, PAGE))
		return 2;
	for (i = 0; i < 2; i++) {
		kill(children[i], SIGKILL);
		waitpid(children[i], NULL, 0);
	}
	if (subordinate_can_have(self, 3, LIMIT + PAGE))
		return 3;
	if (!subordinate_can_have(self, 4, LIMIT))
		return 4;

	/*
	 * Memory is uncharged from the user who allocated it, whoever frees it.
	 */
	mem = p2p_map(self->provider, LIMIT);
	if (mem == MAP_FAILED)
		return 5;
	if (subordinate_can_have(self, 5, PAGE))
		return 6;
	if (setresuid(6, 6, 0) || munmap(mem, LIMIT) || setresuid(0, 0, 0))
		return 7;
	if (!subordinate_can_have(self, 5, LIMIT))
		return 8;

	/* A nested namespace, created by one of these users. */
	if (!start_subordinate(self, 1, LIMIT, &could) || !could)
		return 9;
	if (setresuid(7, 7, 7) || prctl(PR_SET_DUMPABLE, 1) ||
	    unshare(CLONE_NEWUSER))
		return 10;
	if (p2p_map(self->provider, PAGE) != MAP_FAILED)
		return 11;
	self->shared->full = true;
	pause();
	return 12;
}

/* A user with many user IDs has one quota. */
TEST_F(userns, limit_of_many)
{
	pid_t child, alice, bob;
	char text[32];
	int i;

	snprintf(text, sizeof(text), "%lu\n", LIMIT);
	ASSERT_EQ(0, p2p_write_file(self->limit, text));
	ASSERT_TRUE(users_admit(self->provider, USERS));

	child = fork_container(ALICE, self, share_limit);
	ASSERT_LT(0, child);
	while (!__atomic_load_n(&self->shared->full, __ATOMIC_ACQUIRE)) {
		if (!waitpid(child, &i, WNOHANG)) {
			usleep(1000);
			continue;
		}
		EXPECT_EQ(0, WEXITSTATUS(i));
		ASSERT_TRUE(false);
	}

	/* The owner's quota is used up, those of others are not. */
	alice = users_fork(ALICE);
	if (!alice)
		_exit(p2p_map(self->provider, PAGE) != MAP_FAILED);
	EXPECT_EQ(0, p2p_wait(alice));
	bob = users_fork(BOB);
	if (!bob)
		_exit(p2p_map(self->provider, LIMIT) == MAP_FAILED);
	EXPECT_EQ(0, p2p_wait(bob));

	kill(child, SIGKILL);
	p2p_wait(child);
	ASSERT_TRUE(p2p_settles(self->provider, self->before));
	EXPECT_EQ(0, in_container(ALICE, self, stay_below_limit));
}

/* Looks for another user's data, in all of the memory. */
static int look_for_secret(struct _test_data_userns *self)
{
	char *mem = p2p_map(self->provider, SIZE);

	if (mem == MAP_FAILED)
		return 1;
	if (users_phys(mem) != self->shared->phys)
		return 2;
	return p2p_not_set(mem, SIZE, 0) == -1 ? 0 : 3;
}

TEST_F(userns, data_of_others)
{
	pid_t child;
	char *mem;

	ASSERT_TRUE(users_admit(self->provider, USERS));
	child = users_fork(ALICE);
	ASSERT_LE(0, child);
	if (!child) {
		mem = p2p_map(self->provider, SIZE);
		if (mem == MAP_FAILED)
			_exit(1);
		p2p_set(mem, SIZE, SECRET);
		self->shared->phys = users_phys(mem);
		_exit(0);
	}
	ASSERT_EQ(0, p2p_wait(child));
	ASSERT_TRUE(p2p_settles(self->provider, self->before));
	EXPECT_EQ(0, in_container(BOB, self, look_for_secret));
}

static bool map_ids(pid_t child, const char *file, unsigned int first)
{
	char path[48], text[32];

	snprintf(path, sizeof(path), "/proc/%d/%s", child, file);
	snprintf(text, sizeof(text), "0 %u %u", first, NR_IDS);
	return !p2p_write_file(path, text);
}

/* A container created by root, with IDs unused outside. */
static pid_t fork_container_of_root(unsigned int first, struct _test_data_userns *self,
				    int (*part)(struct _test_data_userns *self))
{
	int made[2], mapped[2];
	char done = 0;
	pid_t child;

	if (pipe(made) || pipe(mapped))
		return -1;
	child = fork();
	if (!child) {
		if (unshare(CLONE_NEWUSER) || write(made[1], "", 1) != 1 ||
		    read(mapped[0], &done, 1) != 1 || !done || setgroups(0, NULL) ||
		    setresgid(0, 0, 0) || setresuid(0, 0, 0))
			_exit(100);
		_exit(part(self));
	}
	if (child > 0 && read(made[0], &done, 1) == 1) {
		done = map_ids(child, "gid_map", first) && map_ids(child, "uid_map", first);
		if (write(mapped[1], &done, 1) != 1)
			kill(child, SIGKILL);
	}
	close(made[0]);
	close(made[1]);
	close(mapped[0]);
	close(mapped[1]);
	return child;
}

/* Each of many users asks for more than the limit. */
static int ask_for_more(struct _test_data_userns *self)
{
	unsigned int i;
	pid_t child;

	for (i = 1; i <= NR_TALKERS; i++) {
		child = fork();
		if (!child)
			_exit(setresuid(i, i, i) ||
			      p2p_map(self->provider, PAGE) != MAP_FAILED);
		if (child < 0 || p2p_wait(child))
			return 1;
	}
	return 0;
}

/* Counts notices of users in a range of IDs outside. */
static unsigned int count_notices(int kmsg, unsigned int first)
{
	const char *mark = " of user ";
	char record[8192], *text;
	unsigned int id, nr = 0;

	while (!klog_next(kmsg, record, sizeof(record))) {
		text = strstr(record, mark);
		if (text && sscanf(text + strlen(mark), "%u asked for", &id) == 1)
			nr += id >= first && id < first + NR_IDS;
	}
	return nr;
}

/*
 * The rate limit treats a container as one user, whoever created it and however
 * many users it has.
 */
TEST_F(userns, notices_of_many)
{
	unsigned int first = CONTAINER + NR_IDS * variant->p2p.index, nr;
	int kmsg = klog_open();
	char path[P2P_PATH_LEN];

	ASSERT_LE(0, kmsg);
	ASSERT_EQ(0, p2p_write_file(self->limit, "0\n"));
	/* The group outside that the container's root is mapped to. */
	p2p_path(path, self->provider, "p2pmem/allocate");
	ASSERT_EQ(0, chown(path, -1, first));
	EXPECT_EQ(0, p2p_wait(fork_container_of_root(first, self, ask_for_more)));
	nr = count_notices(kmsg, first);
	EXPECT_LT(0, nr);
	/* The calls may have taken longer than one rate limit interval. */
	EXPECT_GE(2 * NR_NOTICES, nr);

	/* A user of another container still gets a notice. */
	EXPECT_TRUE(users_admit(self->provider, USERS));
	EXPECT_EQ(1, in_container(BOB, self, stay_below_limit));
	EXPECT_TRUE(klog_said(kmsg, self->provider, "of user 1001 asked for"));
	close(kmsg);
}

TEST_HARNESS_MAIN
