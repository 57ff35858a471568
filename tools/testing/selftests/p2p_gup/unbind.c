// SPDX-License-Identifier: GPL-2.0
/*
 * The driver of a provider is unbound while its memory is in use: accesses get
 * SIGBUS, system calls get EFAULT, unbinding does not wait for processes, and
 * all of the memory is available once the driver is bound again.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "variants.h"
#include "removal.h"

#define SIZE		(256 * KIB)

FIXTURE(unbind)
{
	P2P_FIXTURE;
	int fd;
	int *progress;		/* shared with children */
};

/* Reads from the slow drive are still in flight during unbinding. */
P2P_VARIANTS(unbind, P2P_BAR_DRIVER, "slow", NULL);

FIXTURE_SETUP(unbind)
{
	ASSERT_TRUE(p2p_setup(&self->p2p, &variant->p2p, SIZE));
	ASSERT_TRUE(p2p_setup_drive(&self->p2p, &variant->p2p, O_RDONLY));
	self->fd = p2p_open(self->provider, O_RDWR);
	ASSERT_LE(0, self->fd);
	self->progress = mmap(NULL, sizeof(int), PROT_READ | PROT_WRITE,
			      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->progress);
}

FIXTURE_TEARDOWN(unbind)
{
	close(self->fd);
	p2p_release(&self->p2p);
	EXPECT_BACK(self);
}

TEST_F(unbind, mapping_is_revoked)
{
	char *touched = self->mem;
	char *new = self->mem + SIZE / 2;
	char path[P2P_PATH_LEN], word[8] = "";
	int fds[2];

	p2p_set(self->mem, SIZE / 2, 1);
	ASSERT_EQ(0, p2p_unbind(self->provider));
	EXPECT_FALSE(p2p_has_driver(self->provider, P2P_BAR_DRIVER));

	EXPECT_EQ(SIGBUS, p2p_fault_of(touched, false));
	EXPECT_EQ(SIGBUS, p2p_fault_of(touched, true));
	EXPECT_EQ(SIGBUS, p2p_fault_of(new, false));
	EXPECT_EQ(SIGBUS, p2p_fault_of(new, true));
	EXPECT_EQ(-EFAULT, p2p_result(pread(self->disk, self->mem, SIZE, 0)));
	/* The CPU does not copy from it. */
	ASSERT_EQ(0, pipe(fds));
	EXPECT_EQ(-EFAULT, p2p_result(write(fds[1], self->mem, sizeof(word))));
	EXPECT_EQ(sizeof(word), write(fds[1], word, sizeof(word)));
	EXPECT_EQ(-EFAULT, p2p_result(read(fds[0], self->mem, sizeof(word))));
	close(fds[0]);
	close(fds[1]);
	/* A debugger gets no data, either. */
	fds[0] = open("/proc/self/mem", O_RDWR);
	ASSERT_LE(0, fds[0]);
	EXPECT_EQ(-EIO, p2p_result(pread(fds[0], word, sizeof(word),
					 (off_t)self->mem)));
	EXPECT_EQ(-EIO, p2p_result(pwrite(fds[0], word, sizeof(word),
					  (off_t)self->mem)));
	close(fds[0]);

	p2p_path(path, self->provider, "p2pmem/allocate");
	EXPECT_EQ(-1, access(path, F_OK));
	EXPECT_EQ(ENOENT, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, SIZE, PROT_READ, MAP_SHARED,
				   self->fd, 0));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(0, munmap(self->mem, SIZE));
}

/* The old mapping does not apply to the memory of the new binding. */
TEST_F(unbind, stays_revoked)
{
	char *old = self->mem;
	char *mem;

	p2p_store(old, 1);
	ASSERT_EQ(0, p2p_unbind(self->provider));
	ASSERT_EQ(0, p2p_bind(self->provider));
	EXPECT_EQ(self->total, p2p_number(self->provider, "p2pmem/size"));
	EXPECT_EQ(self->before, p2p_available(self->provider));

	mem = p2p_map(self->provider, SIZE);
	ASSERT_NE(MAP_FAILED, mem);
	p2p_fill(mem, SIZE, 1, 0);
	EXPECT_EQ(SIGBUS, p2p_fault_of(old, true));
	EXPECT_EQ(-EFAULT, p2p_result(pread(self->disk, self->mem, SIZE, 0)));
	EXPECT_EQ(-1, p2p_differs(mem, SIZE, 1, 0));
	EXPECT_EQ(self->works ? SIZE : -EREMOTEIO,
		  p2p_result(pread(self->disk, mem, SIZE, 0)));
	/* Unmapping the old one does not affect the new one. */
	EXPECT_EQ(0, munmap(self->mem, SIZE));
	EXPECT_EQ(self->before - SIZE, p2p_available(self->provider));
	EXPECT_EQ(0, munmap(mem, SIZE));
}

/* A sleeping process with a mapping does not delay unbinding. */
TEST_F(unbind, sleeping_child)
{
	int status;
	pid_t child;

	p2p_store(self->mem, 1);
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		int sig = p2p_fault_of(self->mem, false);

		*self->progress = 1;
		pause();
		_exit(sig);
	}
	while (!__atomic_load_n(self->progress, __ATOMIC_ACQUIRE))
		usleep(500);
	EXPECT_EQ(0, p2p_unbind(self->provider));
	EXPECT_EQ(0, p2p_bind(self->provider));
	EXPECT_EQ(self->before, p2p_available(self->provider));
	kill(child, SIGKILL);
	EXPECT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(SIGKILL, status);
}

TEST_HARNESS_MAIN
