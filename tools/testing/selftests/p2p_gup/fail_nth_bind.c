// SPDX-License-Identifier: GPL-2.0
/*
 * Allocations fail, one after the other, while a provider's driver is bound and
 * unbound. Both happen in the context of the process that writes to sysfs.
 */
#define _GNU_SOURCE
#include <lib/test_p2p_uapi.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "bind.h"
#include "variants.h"
#include "fail_nth.h"
#include "gup_call.h"

/* Two blocks take the same steps as a larger BAR, in less time. */
#define SIZE		(4 * MIB)
#define BUFFER		(2 * MIB + 16 * KIB)
#define PREFETCHABLE	0x2000

FIXTURE(fail_bind)
{
	const char *provider;
	long long before;
	char *mem;
	int fd;
	struct p2p_test_create more;
};

P2P_VARIANTS(fail_bind, P2P_BAR_DRIVER, NULL);

FIXTURE_SETUP(fail_bind)
{
	if (!fail_setup(FAIL_OBJECTS))
		SKIP(p2p_skip_now(), "no " FAIL_NTH ": CONFIG_FAULT_INJECTION?");
	self->provider = variant->p2p.provider;
	self->before = p2p_available(self->provider);
	ASSERT_EQ(0, p2p_unbind(self->provider));
	ASSERT_EQ(0, p2p_write_file(P2P_BAR_PARAMETERS "size", "4194304"));
}

FIXTURE_TEARDOWN(fail_bind)
{
	EXPECT_EQ(0, p2p_write_file(P2P_BAR_PARAMETERS "size", "0"));
	if (p2p_has_driver(self->provider, P2P_BAR_DRIVER))
		EXPECT_EQ(0, p2p_unbind(self->provider));
	EXPECT_EQ(0, p2p_bind(self->provider));
	EXPECT_EQ(self->before, p2p_available(self->provider));
}

/* All of the memory is available, and some of it in use. */
static bool use_it(struct _test_data_fail_bind *self)
{
	if (p2p_available(self->provider) != SIZE)
		return false;
	self->mem = p2p_map(self->provider, BUFFER);
	return self->mem != MAP_FAILED &&
		!p2p_fault_of(self->mem, true) &&
		!p2p_fault_of(self->mem + BUFFER - 4 * KIB, false);
}

static bool drop_it(struct _test_data_fail_bind *self)
{
	return !munmap(self->mem, BUFFER);
}

static long do_bind(void *data)
{
	return -p2p_bind(((struct _test_data_fail_bind *)data)->provider);
}

static bool after_bind(void *data, long result)
{
	struct _test_data_fail_bind *self = data;

	if (result)
		return p2p_is_gone(self->provider, P2P_BAR_DRIVER);
	return use_it(self) && drop_it(self) &&
		p2p_settles(self->provider, SIZE) &&
		!p2p_unbind(self->provider) &&
		p2p_is_gone(self->provider, P2P_BAR_DRIVER);
}

TEST_F(fail_bind, bind)
{
	/* EBUSY is all that pci_request_region() returns. */
	static const struct fail_work work = {
		"bind", NULL, do_bind, after_bind, { ENOMEM, EBUSY }
	};

	FAIL_EACH(&work, self);
}

static bool before_unbind(void *data)
{
	struct _test_data_fail_bind *self = data;

	return !p2p_bind(self->provider) && use_it(self);
}

static long do_unbind(void *data)
{
	return -p2p_unbind(((struct _test_data_fail_bind *)data)->provider);
}

/* An unbind that could not start has changed nothing. */
static bool after_unbind(void *data, long result)
{
	struct _test_data_fail_bind *self = data;
	int sig = p2p_fault_of(self->mem, true);

	if (result)
		return sig == 0 && !p2p_unbind(self->provider) &&
			p2p_is_gone(self->provider, P2P_BAR_DRIVER) &&
			drop_it(self);
	return sig == SIGBUS && p2p_is_gone(self->provider, P2P_BAR_DRIVER) &&
		drop_it(self);
}

TEST_F(fail_bind, unbind)
{
	static const struct fail_work work = {
		"unbind", before_unbind, do_unbind, after_unbind, { ENOMEM }
	};

	FAIL_EACH(&work, self);
}

/* The BAR that p2pmem-bar takes: the largest one that is prefetchable; or -1. */
static int bar_of(const char *provider)
{
	unsigned long long start, end, flags, largest = 0;
	char path[P2P_PATH_LEN];
	int bar, best = -1;
	FILE *file;

	p2p_path(path, provider, "resource");
	file = fopen(path, "r");
	for (bar = 0; file && bar < 6; bar++) {
		if (fscanf(file, "%llx %llx %llx", &start, &end, &flags) != 3)
			break;
		if (!(flags & PREFETCHABLE) || end - start <= largest)
			continue;
		largest = end - start;
		best = bar;
	}
	if (file)
		fclose(file);
	return best;
}

static bool can_allocate(const char *provider)
{
	char path[P2P_PATH_LEN];

	p2p_path(path, provider, "p2pmem/allocate");
	return !access(path, F_OK);
}

/* More memory behind the driver's; the driver works without it. */
static long do_add(void *data)
{
	struct _test_data_fail_bind *self = data;

	if (ioctl(self->fd, P2P_TEST_ADD, &self->more))
		return -errno;
	return self->more.result;
}

/* The driver's memory has no struct pages, and can't be allocated. */
static bool before_first(void *data)
{
	struct _test_data_fail_bind *self = data;

	return !p2p_bind(self->provider) && !can_allocate(self->provider);
}

static bool after_first(void *data, long result)
{
	struct _test_data_fail_bind *self = data;
	long long more = result ? 0 : self->more.len;
	bool good = can_allocate(self->provider) == !result &&
		p2p_available(self->provider) == more &&
		p2p_number(self->provider, "p2pmem/size") == (long long)MIB + more;

	if (!result) {
		self->mem = p2p_map(self->provider, more);
		good = good && self->mem != MAP_FAILED &&
			!p2p_fault_of(self->mem, true) && !munmap(self->mem, more) &&
			p2p_settles(self->provider, more);
	}
	return good && !p2p_unbind(self->provider) &&
		p2p_is_gone(self->provider, P2P_BAR_DRIVER);
}

/* The driver's memory is in use. */
static bool before_second(void *data)
{
	struct _test_data_fail_bind *self = data;

	return !p2p_bind(self->provider) && use_it(self);
}

static bool after_second(void *data, long result)
{
	struct _test_data_fail_bind *self = data;
	long long more = result ? 0 : self->more.len;

	return !p2p_fault_of(self->mem, true) && drop_it(self) &&
		p2p_settles(self->provider, SIZE + more) &&
		!p2p_unbind(self->provider) &&
		p2p_is_gone(self->provider, P2P_BAR_DRIVER);
}

TEST_F(fail_bind, add)
{
	static const struct fail_work first = {
		"add to memory without pages", before_first, do_add, after_first,
		{ ENOMEM }
	}, second = {
		"add to memory with pages", before_second, do_add, after_second,
		{ ENOMEM }
	};

	self->fd = open(P2P_TEST_FILE "_range", O_RDWR);
	ASSERT_LE(0, self->fd);
	ASSERT_TRUE(p2p_function_of(self->provider, &self->more.provider));
	self->more.bar = bar_of(self->provider);
	ASSERT_LE(0, self->more.bar);
	self->more.offset = SIZE;
	self->more.len = 2 * MIB;

	ASSERT_EQ(0, p2p_write_file(P2P_BAR_PARAMETERS "size", "1048576"));
	FAIL_EACH(&first, self);
	ASSERT_EQ(0, p2p_write_file(P2P_BAR_PARAMETERS "size", "4194304"));
	FAIL_EACH(&second, self);
	close(self->fd);
}

TEST_HARNESS_MAIN
