// SPDX-License-Identifier: GPL-2.0
/*
 * A block device whose driver accesses the data gets no peer-to-peer memory: a
 * loop device would have to read and write it with the CPU.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "variants.h"

#define SIZE	(64 * KIB)

FIXTURE(loop)
{
	P2P_FIXTURE;
	int control;
	int nr;
	int loop;
};

P2P_VARIANTS(loop, NULL, NULL);

FIXTURE_SETUP(loop)
{
	struct loop_config config = { .block_size = SECTOR };
	char path[32];

	ASSERT_TRUE(p2p_setup(&self->p2p, &variant->p2p, SIZE));
	ASSERT_TRUE(p2p_setup_ram(&self->p2p));

	self->loop = -1;
	self->control = open("/dev/loop-control", O_RDWR);
	if (self->control < 0)
		SKIP(p2p_skip_now(), "no /dev/loop-control: CONFIG_BLK_DEV_LOOP?");
	self->nr = ioctl(self->control, LOOP_CTL_GET_FREE);
	ASSERT_LE(0, self->nr);
	snprintf(path, sizeof(path), "/dev/loop%d", self->nr);
	self->loop = open(path, O_RDWR | O_DIRECT);
	ASSERT_LE(0, self->loop);
	config.fd = memfd_create("loop", 0);
	ASSERT_LE(0, config.fd);
	ASSERT_EQ(0, ftruncate(config.fd, SIZE));
	ASSERT_EQ(0, ioctl(self->loop, LOOP_CONFIGURE, &config));
	close(config.fd);
}

FIXTURE_TEARDOWN(loop)
{
	if (self->loop >= 0) {
		EXPECT_EQ(0, ioctl(self->loop, LOOP_CLR_FD));
		close(self->loop);
	}
	close(self->control);
	p2p_release(&self->p2p);
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

TEST_F(loop, refused)
{
	struct iovec vec[] = {
		{ self->mem,		4 * KIB },
		{ self->ram,		4 * KIB },
	};

	p2p_fill(self->mem, SIZE, 1, 0);
	EXPECT_EQ(-1, pread(self->loop, self->mem, SIZE, 0));
	EXPECT_EQ(EREMOTEIO, errno);
	EXPECT_EQ(-1, pwrite(self->loop, self->mem, SIZE, 0));
	EXPECT_EQ(EREMOTEIO, errno);
	EXPECT_EQ(-1, preadv(self->loop, vec, 2, 0));
	EXPECT_EQ(EREMOTEIO, errno);
	EXPECT_EQ(-1, p2p_differs(self->mem, SIZE, 1, 0));

	/* RAM still works, and nothing was written. */
	p2p_set(self->ram, SIZE, 1);
	EXPECT_EQ(SIZE, pread(self->loop, self->ram, SIZE, 0));
	EXPECT_EQ(-1, p2p_not_set(self->ram, SIZE, 0));
}

TEST_HARNESS_MAIN
