// SPDX-License-Identifier: GPL-2.0
/*
 * A drive is reset while processes send it commands with data in its own memory
 * buffer. The reset waits for commands, so no command may wait for the reset.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/nvme_ioctl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bind.h"
#include "removal.h"
#include "variants.h"

#define SIZE		(64 * KIB)
#define NR_CHILDREN	4
#define ROUNDS		10
#define NVME_READ	2

struct shared {
	int stop;
	int commands[NR_CHILDREN];
};

FIXTURE(passthru_reset)
{
	P2P_FIXTURE;
	struct shared *shared;
	int nsid;
};

/* The drive that the memory is part of. */
P2P_VARIANTS(passthru_reset, "nvme", "cmb", NULL);

FIXTURE_SETUP(passthru_reset)
{
	ASSERT_TRUE(p2p_setup_io(&self->p2p, &variant->p2p, SIZE, O_RDWR));
	if (!p2p_can_reset(self->provider))
		SKIP(p2p_skip_now(), "the device has no way to be reset");
	self->nsid = ioctl(self->disk, NVME_IOCTL_ID);
	ASSERT_LT(0, self->nsid);
	self->shared = mmap(NULL, self->page, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->shared);
}

FIXTURE_TEARDOWN(passthru_reset)
{
	munmap(self->shared, self->page);
	p2p_release(&self->p2p);
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

static int read_command(struct _test_data_passthru_reset *self)
{
	struct nvme_passthru_cmd cmd = {
		.opcode = NVME_READ,
		.nsid = self->nsid,
		.addr = (uintptr_t)self->mem,
		.data_len = SIZE,
		.cdw12 = SIZE / SECTOR - 1,
	};

	return p2p_result(ioctl(self->disk, NVME_IOCTL_IO_CMD, &cmd));
}

/* A reset cancels a command that the drive has; all others wait or succeed. */
static int commands(struct _test_data_passthru_reset *self, int nr)
{
	while (!__atomic_load_n(&self->shared->stop, __ATOMIC_ACQUIRE)) {
		int ret = read_command(self);

		if (ret && ret != -EINTR)
			return 1;
		__atomic_add_fetch(&self->shared->commands[nr], 1, __ATOMIC_RELEASE);
	}
	return 0;
}

TEST_F(passthru_reset, own_memory)
{
	pid_t child[NR_CHILDREN];
	int round, nr, seen;

	for (nr = 0; nr < NR_CHILDREN; nr++) {
		child[nr] = fork();
		ASSERT_LE(0, child[nr]);
		if (!child[nr])
			_exit(commands(self, nr));
	}
	for (round = 0; round < ROUNDS; round++) {
		EXPECT_EQ(0, p2p_reset(self->provider));
		for (nr = 0; nr < NR_CHILDREN; nr++) {
			seen = __atomic_load_n(&self->shared->commands[nr],
					       __ATOMIC_ACQUIRE);
			while (still_runs(child[nr]) && seen ==
			       __atomic_load_n(&self->shared->commands[nr],
					       __ATOMIC_ACQUIRE))
				usleep(500);
		}
	}
	__atomic_store_n(&self->shared->stop, 1, __ATOMIC_RELEASE);
	for (nr = 0; nr < NR_CHILDREN; nr++)
		EXPECT_EQ(0, p2p_wait(child[nr]));
}

TEST_HARNESS_MAIN
