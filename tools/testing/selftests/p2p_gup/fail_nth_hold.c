// SPDX-License-Identifier: GPL-2.0
/*
 * Allocations fail, one after the other, while memory is held, armed and used,
 * and while its provider is unbound.
 */
#define _GNU_SOURCE
#include <lib/test_p2p_uapi.h>
#include <sys/mman.h>

#include "variants.h"
#include "fail_nth.h"
#include "hold.h"
#include "removal.h"

/* No other mapping is near, so page tables are allocated. */
#define WHERE		((char *)(1UL << 45))
#define LARGE		(2 * MIB)	/* more extents than expected at first */
#define SMALL		(64 * KIB)

FIXTURE(fail_hold)
{
	P2P_FIXTURE;
	const struct hold_kind *kind;
	size_t len;		/* of the mapping */
	int sysfs;
	int fd;
};

P2P_VARIANTS(fail_hold, P2P_BAR_DRIVER, NULL);

FIXTURE_SETUP(fail_hold)
{
	if (!fail_setup(FAIL_ANYTHING))
		SKIP(p2p_skip_now(), "no " FAIL_NTH ": CONFIG_FAULT_INJECTION?");
	ASSERT_TRUE(p2p_setup(&self->p2p, &variant->p2p, 0));
	self->fd = HOLD_OPEN();
	self->sysfs = p2p_open(self->provider, O_RDWR);
	ASSERT_LE(0, self->sysfs);
}

FIXTURE_TEARDOWN(fail_hold)
{
	close(self->fd);
	close(self->sysfs);
	EXPECT_BACK(self);
}

static bool map_new(void *data)
{
	struct _test_data_fail_hold *self = data;

	return mmap(WHERE, self->len, PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_FIXED_NOREPLACE, self->sysfs, 0) == WHERE;
}

/* Without its ends, so that no folio is held as a whole. */
static long do_hold(void *data)
{
	struct _test_data_fail_hold *self = data;
	int ret = hold(self->fd, self->kind, WHERE + 1, self->len - 2, true);

	if (!ret && self->kind->ticket)
		ret = hold_use(self->fd) ?: hold_unuse(self->fd);
	return ret;
}

static bool unmap(void *data, long result)
{
	struct _test_data_fail_hold *self = data;

	return !hold_put(self->fd) && !munmap(WHERE, self->len) &&
	       p2p_settles(self->provider, self->before);
}

TEST_F(fail_hold, create)
{
	const size_t sizes[] = { SMALL, LARGE - SMALL };
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		self->len = sizes[i];
		for_each_hold_kind(self->kind) {
			struct fail_work work = {
				self->kind->name, map_new, do_hold, unmap, { ENOMEM }
			};

			FAIL_EACH(&work, self);
		}
	}
}

static bool bound_and_held(void *data)
{
	struct _test_data_fail_hold *self = data;

	if (!p2p_has_driver(self->provider, P2P_BAR_DRIVER) && p2p_bind(self->provider))
		return false;
	close(self->sysfs);
	self->sysfs = p2p_open(self->provider, O_RDWR);
	return self->sysfs >= 0 && map_new(self) && !do_hold(self);
}

static long do_unbind(void *data)
{
	struct _test_data_fail_hold *self = data;

	return -p2p_unbind(self->provider);
}

/* An unbind that could not start has changed nothing. */
static bool after_unbind(void *data, long result)
{
	struct _test_data_fail_hold *self = data;
	bool revoked = hold_revoked(self->fd) == 1;

	if (hold_put(self->fd) || munmap(WHERE, self->len))
		return false;
	if (!result)
		return revoked && p2p_is_gone(self->provider, P2P_BAR_DRIVER);
	return !revoked && p2p_settles(self->provider, self->before);
}

TEST_F(fail_hold, unbind)
{
	ASSERT_TRUE(fail_setup(FAIL_OBJECTS));
	self->len = SMALL;
	for (self->kind = hold_kinds; self->kind < hold_kinds + 2; self->kind++) {
		struct fail_work work = {
			self->kind->name, bound_and_held, do_unbind, after_unbind,
			{ ENOMEM }
		};

		FAIL_EACH(&work, self);
	}
}

TEST_HARNESS_MAIN
