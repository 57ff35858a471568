// SPDX-License-Identifier: GPL-2.0
/*
 * The sample driver samples/p2pdma/p2p-edu.c, see edu_fixture.h, with a device
 * that lacks address bits. The kernel knows the driver's DMA mask, and must
 * refuse the BAR, which is beyond it. If it does not, the device accesses the
 * page of RAM at the truncated address.
 */
#define _GNU_SOURCE
#include <errno.h>

#include "edu_fixture.h"
#include "klog.h"

#define NARROW_MASK	((UINT64_C(1) << 28) - 1)

struct narrow {
	int fd;
	char *bar;	/* all of it */
	size_t size;
	char *page;	/* of the BAR; truncated, its address is that of */
	char *victim;
};

static void narrow_setup(struct __test_metadata *_metadata,
			 struct _test_data_edu *self, const char *device,
			 struct narrow *narrow)
{
	uint64_t bar, ram, offset;
	int i;

	for (i = 0; i < NR_BUFFERS; i++)
		ASSERT_EQ(0, munmap(self->bar[i], SIZE));
	ASSERT_EQ(0, bind_edu(device, NARROW_BITS));
	narrow->fd = open_edu(device);
	ASSERT_LE(0, narrow->fd);
	narrow->size = self->before;
	narrow->bar = p2p_map(self->provider, narrow->size);
	ASSERT_NE(MAP_FAILED, narrow->bar);
	p2p_load(narrow->bar);
	bar = PAGEMAP_PFN(p2p_pagemap(narrow->bar)) * self->page;
	ASSERT_LT(NARROW_MASK, bar);

	narrow->victim = self->ram[DST] + LEN;
	p2p_store(narrow->victim, 0);
	ASSERT_EQ(0, mlock(narrow->victim, self->page));
	ram = PAGEMAP_PFN(p2p_pagemap(narrow->victim)) * self->page;
	ASSERT_GE(NARROW_MASK, ram);
	offset = (ram - bar) & NARROW_MASK;
	ASSERT_LE(offset, narrow->size - self->page);
	narrow->page = narrow->bar + offset;

	p2p_fill(self->ram[SRC], self->page, SRC, 0);
	p2p_fill(self->ram[DST], self->page, DST, 0);
	p2p_fill(narrow->victim, self->page, 3, 0);
	p2p_fill(narrow->page, self->page, 4, 0);
}

static void narrow_teardown(struct __test_metadata *_metadata,
			    struct _test_data_edu *self, struct narrow *narrow)
{
	EXPECT_EQ(-1, p2p_differs(narrow->victim, self->page, 3, 0)) {
		TH_LOG("RAM that has nothing to do with it was overwritten");
	}
	EXPECT_EQ(-1, p2p_differs(narrow->page, self->page, 4, 0));
	EXPECT_EQ(-1, p2p_differs(self->ram[SRC], self->page, SRC, 0));

	/* Memory that the device reaches still works. */
	EXPECT_EQ(self->page, copy(narrow->fd, self->ram[SRC], self->ram[DST],
				   self->page));
	EXPECT_EQ(-1, p2p_differs(self->ram[DST], self->page, SRC, 0));
	close(narrow->fd);
	munmap(narrow->bar, narrow->size);
}

static void cant_write(struct __test_metadata *_metadata,
		       struct _test_data_edu *self, const char *device)
{
	struct narrow narrow;

	narrow_setup(_metadata, self, device, &narrow);
	EXPECT_EQ(-EREMOTEIO, copy(narrow.fd, self->ram[SRC], narrow.page,
				   self->page));
	EXPECT_EQ(-1, p2p_differs(self->ram[DST], self->page, DST, 0));
	narrow_teardown(_metadata, self, &narrow);
}

static void cant_read(struct __test_metadata *_metadata,
		      struct _test_data_edu *self, const char *device)
{
	struct narrow narrow;

	narrow_setup(_metadata, self, device, &narrow);
	EXPECT_EQ(-EREMOTEIO, copy(narrow.fd, narrow.page, self->ram[DST],
				   self->page));
	EXPECT_EQ(-1, p2p_differs(self->ram[DST], self->page, DST, 0));
	narrow_teardown(_metadata, self, &narrow);
}

TEST_F(edu, short_mask_write)
{
	cant_write(_metadata, self, self->narrow);
}

TEST_F(edu, short_mask_read)
{
	cant_read(_metadata, self, self->narrow);
}

TEST_F(edu, short_mask_write_far)
{
	cant_write(_metadata, self, self->far);
}

TEST_F(edu, short_mask_read_far)
{
	cant_read(_metadata, self, self->far);
}

/* An invalid mask is refused, with a message that names it. */
TEST_F(edu, impossible_mask)
{
	int klog = klog_open();

	ASSERT_LE(0, klog);
	EXPECT_EQ(EINVAL, bind_edu(self->narrow, "0"));
	EXPECT_TRUE(klog_wait(klog, "dma_bits=0: must be 1 to 64"));
	EXPECT_EQ(EINVAL, bind_edu(self->narrow, "65"));
	EXPECT_TRUE(klog_wait(klog, "dma_bits=65: must be 1 to 64"));
	EXPECT_EQ(EIO, bind_edu(self->narrow, "12"));
	EXPECT_TRUE(klog_wait(klog, "dma_bits=12: is too few for this machine"));
	EXPECT_EQ(0, bind_edu(self->narrow, NARROW_BITS));
	close(klog);
}

/* The driver's mask counts, even if the device could address more. */
TEST_F(edu, short_mask_of_driver)
{
	struct narrow narrow;

	ASSERT_EQ(0, bind_edu(self->wide, NARROW_BITS));
	close(self->fd);
	self->fd = open_edu(self->wide);
	ASSERT_LE(0, self->fd);
	narrow_setup(_metadata, self, self->narrow, &narrow);
	EXPECT_EQ(-EREMOTEIO, copy(self->fd, self->ram[SRC], narrow.page,
				   self->page));
	EXPECT_EQ(-EREMOTEIO, copy(self->fd, narrow.page, self->ram[DST],
				   self->page));
	EXPECT_EQ(-1, p2p_differs(self->ram[DST], self->page, DST, 0));
	narrow_teardown(_metadata, self, &narrow);
}

TEST_HARNESS_MAIN
