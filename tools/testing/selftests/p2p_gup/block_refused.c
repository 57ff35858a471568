// SPDX-License-Identifier: GPL-2.0
/*
 * How a block device refuses peer-to-peer memory: with the same error whatever
 * the size of the transfer and the interface, and without errors of the drive
 * in the log, since the drive has none.
 *
 * Runs on each drive, and on a loop device, which refuses all peer-to-peer
 * memory. Where the drive reaches the memory, the transfers succeed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "klog.h"
#include "mixed.h"
#include "users.h"
#include "variants.h"

#define SIZE	(8 * MIB)
#define WHERE	(40 * MIB)
#define WINDOW	(8 * MIB)
#define MANY	50

FIXTURE(block_refused)
{
	P2P_FIXTURE;
	off_t where;
	int loop;
	int log;
};

P2P_VARIANTS(block_refused, NULL, "raw", "cmb", NULL);

FIXTURE_SETUP(block_refused)
{
	ASSERT_TRUE(p2p_setup(&self->p2p, &variant->p2p, SIZE));
	ASSERT_TRUE(p2p_setup_drive(&self->p2p, &variant->p2p, O_RDWR));
	self->where = WHERE + variant->p2p.index * WINDOW;
	self->loop = -1;
	self->log = klog_open();
	ASSERT_LE(0, self->log);
}

FIXTURE_TEARDOWN(block_refused)
{
	if (self->loop >= 0) {
		EXPECT_EQ(0, ioctl(self->loop, LOOP_CLR_FD));
		close(self->loop);
	}
	close(self->log);
	p2p_release(&self->p2p);
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

/* More than 1 MiB, 256 pages, takes several bios. */
static void every_way(struct __test_metadata *_metadata,
		      struct _test_data_block_refused *self, int fd, bool works, off_t where)
{
	static const size_t sizes[] = {
		4 * KIB, 64 * KIB, MIB, MIB + 4 * KIB, 2 * MIB, SIZE,
	};
	ssize_t len, due;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct iovec vec = { self->mem, sizes[i] };

		len = sizes[i];
		due = works ? len : -EREMOTEIO;
		EXPECT_EQ(due, p2p_result(pwrite(fd, self->mem, len, where)));
		EXPECT_EQ(due, p2p_result(pread(fd, self->mem, len, where)));
		EXPECT_EQ(due, mixed_async(fd, IOCB_CMD_PWRITEV, &vec, 1, where))
			TH_LOG("write of %zd bytes by libaio", len);
		EXPECT_EQ(due, mixed_async(fd, IOCB_CMD_PREADV, &vec, 1, where))
			TH_LOG("read of %zd bytes by libaio", len);
	}
}

TEST_F(block_refused, every_size)
{
	every_way(_metadata, self, self->disk, self->works, self->where);
}

TEST_F(block_refused, every_size_of_loop)
{
	struct loop_config config = { .block_size = SECTOR };
	int control = open("/dev/loop-control", O_RDWR), nr;
	char path[32];

	if (control < 0)
		SKIP(return, "no /dev/loop-control: CONFIG_BLK_DEV_LOOP?");
	nr = ioctl(control, LOOP_CTL_GET_FREE);
	close(control);
	ASSERT_LE(0, nr);
	snprintf(path, sizeof(path), "/dev/loop%d", nr);
	self->loop = open(path, O_RDWR | O_DIRECT);
	ASSERT_LE(0, self->loop);
	config.fd = memfd_create("loop", 0);
	ASSERT_LE(0, config.fd);
	ASSERT_EQ(0, ftruncate(config.fd, SIZE));
	ASSERT_EQ(0, ioctl(self->loop, LOOP_CONFIGURE, &config));
	close(config.fd);
	every_way(_metadata, self, self->loop, false, 0);
}

/* Counts new lines of the log: drive errors, and refusals of this provider. */
static void count(struct _test_data_block_refused *self, int *errors, int *refusals)
{
	char record[8192];

	*errors = *refusals = 0;
	while (!klog_next(self->log, record, sizeof(record))) {
		if (strcasestr(record, "I/O error") || strcasestr(record, "target error") ||
		    strcasestr(record, "medium error"))
			(*errors)++;
		else if (strstr(record, "nvme") && strstr(record, self->provider) &&
			 strstr(record, "can't reach"))
			(*refusals)++;
	}
}

/* The log has one line for the administrator, and users can't flood it. */
TEST_F(block_refused, quiet)
{
	int i, errors, refusals;

	/* Other tests may have used up the rate limit. */
	if (!self->works)
		sleep(6);
	count(self, &errors, &refusals);
	for (i = 0; i < MANY; i++) {
		pid_t child = users_fork(20000 + i % 2);

		if (!child) {
			pread(self->disk, self->mem, 4 * KIB, self->where);
			pwrite(self->disk, self->mem, 4 * KIB, self->where);
			_exit(0);
		}
		ASSERT_EQ(0, p2p_wait(child));
	}
	count(self, &errors, &refusals);
	EXPECT_EQ(0, errors);
	if (self->works) {
		EXPECT_EQ(0, refusals);
	} else {
		/* At most one for each user, and one for kernel threads. */
		EXPECT_LE(1, refusals);
		EXPECT_GE(3, refusals);
	}
}

TEST_HARNESS_MAIN
