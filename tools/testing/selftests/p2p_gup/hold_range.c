// SPDX-License-Identifier: GPL-2.0
/*
 * Memory without struct pages is held for longer than a call. The provider is the sample
 * driver, see range.h.
 */
#define _GNU_SOURCE
#include <sys/wait.h>

#include "range_fixture.h"
#include "hold.h"
#include "klog.h"

#define A_WHILE		100000

static const struct hold_kind *const lease = &hold_kinds[0];
static const struct hold_kind *const ticket = &hold_kinds[1];

static int open_hold(void)
{
	return open(P2P_HOLD_FILE, O_RDWR | O_CLOEXEC);
}

static struct p2p_test_hold hold_arg(struct _test_data_range *self,
				     const struct hold_kind *kind)
{
	return (struct p2p_test_hold) {
		.addr = (uintptr_t)self->mem,
		.len = self->size,
		.nr = 1,
		.ticket = kind->ticket,
		.write = 1,
		.arm = 1,
		.client = self->client,
		.has_client = 1,
		.flags = P2P_TEST_HOLD_MMAP_LOCK |
			 (kind->ticket ? 0 : P2P_TEST_HOLD_MAP),
	};
}

static pid_t start_unbind_vram(const char *vram)
{
	pid_t child = fork();

	if (!child)
		_exit(p2p_driver_unbind(VRAM, vram));
	return child;
}

TEST_F(range, hold)
{
	const struct hold_kind *kind;
	int fd = open_hold();

	ASSERT_LE(0, fd);
	for (kind = lease; kind <= ticket; kind++) {
		struct p2p_test_hold arg = hold_arg(self, kind);
		struct p2p_test_extent extent = {};

		arg.addr += 3;
		arg.len -= self->page;
		arg.extents = (uintptr_t)&extent;
		arg.nr_extents = 1;
		EXPECT_EQ(0, hold_call(fd, &arg)) TH_LOG("%s", kind->name);
		EXPECT_EQ(1, arg.nr_extents);
		EXPECT_EQ(self->bar + FIRST * self->page + 3, extent.offset);
		EXPECT_EQ(self->size - self->page, extent.len);
		EXPECT_EQ(0, extent.pfn);
		EXPECT_EQ(0, hold_put(fd));

		/* The range must lie in one mapping that permits the access. */
		EXPECT_EQ(-EFAULT, hold(fd, kind, self->mem + 1, self->size, true));
		ASSERT_EQ(0, mprotect(self->mem, self->size, PROT_READ));
		EXPECT_EQ(-EFAULT, hold(fd, kind, self->mem, self->size, true));
		EXPECT_EQ(0, hold(fd, kind, self->mem, self->size, false));
		EXPECT_EQ(0, hold_put(fd));
		ASSERT_EQ(0, mprotect(self->mem, self->size, PROT_READ | PROT_WRITE));
	}
	close(fd);
}

/* Revoked once, whether it is mapped in a process or not. */
TEST_F(range, hold_is_revoked)
{
	const struct hold_kind *kind;
	int i, fd;

	for (kind = lease; kind <= ticket; kind++) {
		for (i = 0; i < 2; i++) {
			struct p2p_test_hold arg = hold_arg(self, kind);

			fd = open_hold();
			ASSERT_LE(0, fd);
			ASSERT_EQ(0, hold_call(fd, &arg));
			if (i) {
				ASSERT_EQ(0, munmap(self->mem, self->size));
				self->mem = MAP_FAILED;
			}
			EXPECT_EQ(0, p2p_driver_unbind(VRAM, self->vram));
			EXPECT_EQ(1, hold_revokes(fd));
			EXPECT_EQ(1, hold_revoked(fd));
			if (kind->ticket)
				EXPECT_EQ(-ENODEV, hold_use(fd));
			EXPECT_EQ(0, hold_put(fd));
			if (!i)
				EXPECT_EQ(-ENODEV, hold(fd, kind, self->mem, self->size,
							true));
			close(fd);

			ASSERT_EQ(0, p2p_driver_bind(VRAM, self->vram));
			if (!i)
				ASSERT_EQ(0, munmap(self->mem, self->size));
			self->mem = map_vram(self->vram, self->size, FIRST * self->page);
			ASSERT_NE(MAP_FAILED, self->mem);
		}
	}
}

/* Unbinding waits for a hold that is not armed, and for a use. */
TEST_F(range, hold_delays_unbind)
{
	struct p2p_test_hold arg = hold_arg(self, lease);
	int fd = open_hold(), other = open_hold(), klog = klog_open();
	pid_t child;

	ASSERT_LE(0, fd);
	ASSERT_LE(0, other);
	ASSERT_LE(0, klog);
	arg.arm = 0;
	ASSERT_EQ(0, hold_call(fd, &arg));
	arg = hold_arg(self, ticket);
	ASSERT_EQ(0, hold_call(other, &arg));
	ASSERT_EQ(0, hold_use(other));
	child = start_unbind_vram(self->vram);
	ASSERT_LT(0, child);
	EXPECT_TRUE(klog_wait(klog, "waiting for test lease of hold_range[%d]", getpid()));
	EXPECT_EQ(-ENODEV, hold_arm(fd));
	EXPECT_EQ(0, hold_put(fd));
	usleep(A_WHILE);
	EXPECT_EQ(0, waitpid(child, NULL, WNOHANG));
	EXPECT_EQ(0, hold_unuse(other));
	EXPECT_EQ(0, p2p_wait(child));
	EXPECT_EQ(0, hold_revokes(fd));
	EXPECT_EQ(1, hold_revokes(other));
	close(klog);
	close(other);
	close(fd);
}

TEST_HARNESS_MAIN
