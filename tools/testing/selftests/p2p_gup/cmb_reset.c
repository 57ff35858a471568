// SPDX-License-Identifier: GPL-2.0
/*
 * A controller that loses the location of its memory buffer, as happens in a
 * function level reset and on loss of power: the driver sets it again. QEMU's
 * controllers keep it, so the test clears it.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bind.h"
#include "suspend.h"
#include "variants.h"

/* Controller registers and their bits. */
#define CAP		0x00
#define CMBMSC		0x50
#define CAP_CMBS	(UINT64_C(1) << 57)
#define CMBMSC_CMSE	UINT64_C(2)

#define SIZE		(64 * KIB)

FIXTURE(cmb_reset)
{
	const char *provider;
	const char *disk;
	long long before;
	char *regs;
	char *mem;
	uint64_t cmbmsc;
	int fd;			/* of the drive */
};

P2P_VARIANTS(cmb_reset, "nvme", "raw", NULL);

FIXTURE_SETUP(cmb_reset)
{
	self->provider = variant->p2p.provider;
	self->before = p2p_available(self->provider);
	self->regs = p2p_map_registers(self->provider);
	ASSERT_NE(MAP_FAILED, self->regs);
	if (!(p2p_load(self->regs + CAP) & CAP_CMBS))
		SKIP(p2p_skip_now(), "the controller decodes its buffer always");
	self->cmbmsc = p2p_load(self->regs + CMBMSC);
	ASSERT_TRUE(self->cmbmsc & CMBMSC_CMSE);

	self->fd = open(p2p_disk(variant->p2p.disk), O_RDWR | O_DIRECT);
	ASSERT_LE(0, self->fd);
	self->mem = p2p_map(self->provider, SIZE);
	ASSERT_NE(MAP_FAILED, self->mem);
	p2p_fill(self->mem, SIZE, 1, 0);
	p2p_store(self->regs + CMBMSC, 0);
	ASSERT_EQ(0, p2p_load(self->regs + CMBMSC));
}

/* The buffer is enabled as before, and a drive reaches the memory. */
FIXTURE_TEARDOWN(cmb_reset)
{
	EXPECT_EQ(self->cmbmsc, p2p_load(self->regs + CMBMSC));
	p2p_fill(self->mem, SIZE, 2, 0);
	EXPECT_EQ(SIZE, pwrite(self->fd, self->mem, SIZE, 0));
	p2p_fill(self->mem, SIZE, 3, 0);
	EXPECT_EQ(SIZE, pread(self->fd, self->mem, SIZE, 0));
	EXPECT_EQ(-1, p2p_differs(self->mem, SIZE, 2, 0));
	EXPECT_EQ(0, munmap(self->mem, SIZE));
	close(self->fd);
	munmap(self->regs, 4 * KIB);
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

TEST_F(cmb_reset, function_reset)
{
	EXPECT_EQ(0, p2p_reset(self->provider));
}

/*
 * The memory stays in place until resume: drives may have requests to it in
 * flight.
 */
TEST_F(cmb_reset, suspend)
{
	if (!can_sleep()) {
		p2p_store(self->regs + CMBMSC, self->cmbmsc);
		SKIP(return, "no " PM_TEST ": CONFIG_SUSPEND, CONFIG_PM_DEBUG?");
	}
	EXPECT_EQ(0, sleep_once());
}

TEST_HARNESS_MAIN
