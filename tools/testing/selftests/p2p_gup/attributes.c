// SPDX-License-Identifier: GPL-2.0
/*
 * The files in p2pmem/ can be used by any user in each state of a provider:
 * also while its driver is being bound, while unbinding waits for a holder, and
 * while the driver is bound and unbound all the time.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hold.h"
#include "removal.h"
#include "users.h"
#include "variants.h"

#define SMALL		(64 * KIB)
#define NR_READERS	3
#define NR_ROUNDS	20

static const char *const readable[] = {
	"size", "available", "published", "user_limit", "dma_bus_bytes",
	"dma_host_bridge_bytes", "dma_refused", "routes",
};

FIXTURE(attributes)
{
	P2P_FIXTURE;
	int limit;
	int allocate;
	int hold;
	int klog;
};

P2P_VARIANTS(attributes, P2P_BAR_DRIVER, NULL);

static int open_file(const char *provider, const char *name, int flags)
{
	char file[P2P_PATH_LEN], path[P2P_PATH_LEN];

	snprintf(file, sizeof(file), "p2pmem/%s", name);
	p2p_path(path, provider, file);
	return open(path, flags | O_CLOEXEC);
}

FIXTURE_SETUP(attributes)
{
	ASSERT_TRUE(p2p_setup(&self->p2p, &variant->p2p, 0));
	self->limit = open_file(self->provider, "user_limit", O_RDWR);
	ASSERT_LE(0, self->limit);
	self->allocate = p2p_open(self->provider, O_RDWR);
	ASSERT_LE(0, self->allocate);
	self->klog = klog_open();
	ASSERT_LE(0, self->klog);
	self->hold = open(P2P_HOLD_FILE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->hold);
}

FIXTURE_TEARDOWN(attributes)
{
	close(self->hold);
	close(self->klog);
	close(self->allocate);
	close(self->limit);
	EXPECT_BACK(self);
}

/* Reads all of a file. Returns its length, or an error. */
static ssize_t read_all(int fd)
{
	ssize_t len, sum = 0;
	char text[4096];

	while ((len = p2p_result(read(fd, text, sizeof(text)))) > 0)
		sum += len;
	return len ?: sum;
}

/*
 * Opens and reads each file. Returns 0, or the number of the first file with an
 * unexpected result; a process that dies in the kernel has no exit status.
 */
static int read_each(const char *provider, int limit)
{
	ssize_t len;
	size_t i;
	int fd;

	for (i = 0; i < sizeof(readable) / sizeof(*readable); i++) {
		fd = open_file(provider, readable[i], O_RDONLY);
		if (fd < 0)
			return i + 1;
		len = read_all(fd);
		close(fd);
		/* user_limit belongs to the pool, which may be gone. */
		if (!strcmp(readable[i], "user_limit") ? len != limit : len <= 0)
			return i + 1;
	}
	return 0;
}

static pid_t start_reader(const char *provider, int limit)
{
	pid_t child = users_fork(ALICE);

	if (!child)
		_exit(read_each(provider, limit));
	return child;
}

TEST_F(attributes, live)
{
	EXPECT_EQ(0, p2p_wait(start_reader(self->provider, 4)));
	EXPECT_EQ(4, p2p_result(pwrite(self->limit, "max\n", 4, 0)));
}

/* Unbinding waits for a hold, and the files still exist. */
TEST_F(attributes, draining)
{
	char *mem = p2p_map(self->provider, SMALL);
	int status, fd;
	pid_t child;

	ASSERT_NE(MAP_FAILED, mem);
	ASSERT_EQ(0, hold(self->hold, &hold_kinds[1], mem, SMALL, true));
	ASSERT_EQ(0, hold_use(self->hold));
	child = start_unbind(self->provider);
	ASSERT_LT(0, child);
	ASSERT_TRUE(klog_wait(self->klog, "%s: waiting for test ticket", self->provider));

	EXPECT_EQ(0, p2p_wait(start_reader(self->provider, -ENODEV)));
	/* Both a file that was open before and one opened now. */
	EXPECT_EQ(-ENODEV, p2p_result(pread(self->limit, &status, 1, 0)));
	EXPECT_EQ(-ENODEV, p2p_result(pwrite(self->limit, "max\n", 4, 0)));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, SMALL, PROT_READ, MAP_SHARED,
				   self->allocate, 0));
	EXPECT_EQ(ENODEV, errno);
	fd = p2p_open(self->provider, O_RDWR);
	EXPECT_LE(0, fd);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, SMALL, PROT_READ, MAP_SHARED, fd, 0));
	EXPECT_EQ(ENODEV, errno);
	close(fd);
	EXPECT_TRUE(still_runs(child));

	EXPECT_EQ(0, hold_unuse(self->hold));
	EXPECT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_EQ(0, munmap(mem, SMALL));
}

/* A file that was opened before the provider was unbound. */
TEST_F(attributes, gone)
{
	char c;

	ASSERT_EQ(0, p2p_unbind(self->provider));
	EXPECT_EQ(-ENODEV, p2p_result(pread(self->limit, &c, 1, 0)));
	EXPECT_EQ(-ENODEV, p2p_result(pwrite(self->limit, "max\n", 4, 0)));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, SMALL, PROT_READ, MAP_SHARED,
				   self->allocate, 0));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(-1, open_file(self->provider, "user_limit", O_RDONLY));
	EXPECT_EQ(ENOENT, errno);

	/* It does not become a file of the new provider. */
	ASSERT_EQ(0, p2p_bind(self->provider));
	EXPECT_EQ(-ENODEV, p2p_result(pread(self->limit, &c, 1, 0)));
}

/* Uses all files in every way, all the time. */
static void use_files(const char *provider)
{
	void *mem;
	int fd;

	for (;;) {
		read_each(provider, 4);
		fd = open_file(provider, "user_limit", O_WRONLY);
		if (fd >= 0 && write(fd, "max\n", 4) < 0 && errno != ENODEV)
			_exit(1);
		close(fd);
		fd = p2p_open(provider, O_RDWR);
		mem = mmap(NULL, SMALL, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (mem != MAP_FAILED)
			munmap(mem, SMALL);
		close(fd);
	}
}

TEST_F(attributes, comes_and_goes)
{
	pid_t readers[NR_READERS];
	int i, status;

	for (i = 0; i < NR_READERS; i++) {
		readers[i] = users_fork(0);
		ASSERT_LE(0, readers[i]);
		if (!readers[i]) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			use_files(self->provider);
		}
	}
	for (i = 0; i < NR_ROUNDS; i++) {
		ASSERT_EQ(0, p2p_unbind(self->provider));
		ASSERT_EQ(0, p2p_bind(self->provider));
		usleep(10000);
	}
	for (i = 0; i < NR_READERS; i++) {
		EXPECT_EQ(0, kill(readers[i], SIGTERM));
		EXPECT_EQ(readers[i], waitpid(readers[i], &status, 0));
		/* Otherwise it found an error, or died in the kernel. */
		EXPECT_EQ(SIGTERM, status);
	}
}

TEST_HARNESS_MAIN
