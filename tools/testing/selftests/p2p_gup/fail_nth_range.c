// SPDX-License-Identifier: GPL-2.0
/*
 * Allocations fail, one after the other, around memory without struct pages:
 * while its provider is bound and unbound, while a process maps and touches it,
 * while it is held, while clients map it for DMA, and while it is exported as a
 * dma-buf and imported. The drivers are samples, see range.h and
 * edu.h.
 *
 *	P2P_EDU_WIDE	address of an edu device with dma_mask=0xffffffffffffffff
 */
#define _GNU_SOURCE
#include <lib/test_p2p_uapi.h>
#include <samples/p2pdma/p2p-vram.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#include "../kselftest_harness.h"
#include "gup_call.h"
#include "fail_nth.h"
#include "hold.h"
#include "range.h"

/* There are many tries, and a transfer of edu takes a tenth of a second. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	300

#define PAGES		40	/* more than one fault maps */
#define WHERE		((void *)(1UL << 45))

FIXTURE(fail_range)
{
	const char *vram;
	const char *wide;
	struct p2p_test_function client;
	size_t page;
	size_t size;
	unsigned int keep;	/* enum p2p_test_keep */
	int vram_fd;
	int client_fd;
	int edu_fd;
	int hold_fd;
	int dmabuf;
	const struct hold_kind *kind;
};

FIXTURE_SETUP(fail_range)
{
	if (!fail_setup(FAIL_ANYTHING))
		SKIP(_exit(255), "no " FAIL_NTH ": CONFIG_FAULT_INJECTION?");
	self->vram = getenv("P2P_VRAM");
	self->wide = getenv("P2P_EDU_WIDE");
	if (access(P2P_DRIVERS EDU, F_OK) || access(P2P_DRIVERS VRAM, F_OK))
		SKIP(_exit(255), "no driver " EDU " or " VRAM);
	if (!self->vram || !self->wide || !p2p_disk("raw"))
		SKIP(_exit(255), "no devices P2P_VRAM and P2P_EDU_WIDE, or no drive raw");

	self->page = sysconf(_SC_PAGESIZE);
	self->size = PAGES * self->page;
	self->keep = P2P_TEST_KEEP_NOT;
	if (!p2p_has_driver(self->vram, VRAM))
		ASSERT_EQ(0, p2p_driver_bind(VRAM, self->vram));
	ASSERT_EQ(0, bind_edu(self->wide, WIDE_BITS));
	ASSERT_TRUE(p2p_client_of(p2p_disk("raw"), &self->client));
	self->vram_fd = open_vram(self->vram, O_RDWR);
	ASSERT_LE(0, self->vram_fd);
	self->client_fd = open(P2P_TEST_FILE "_range", O_RDWR);
	ASSERT_LE(0, self->client_fd);
	self->edu_fd = open_edu(self->wide);
	ASSERT_LE(0, self->edu_fd);
	self->hold_fd = open(P2P_HOLD_FILE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, self->hold_fd);
	self->dmabuf = -1;
}

FIXTURE_TEARDOWN(fail_range)
{
	close(self->hold_fd);
	close(self->edu_fd);
	close(self->client_fd);
	close(self->vram_fd);
	EXPECT_EQ(0, p2p_write_file(PARAMETERS "dma_bits", NARROW_BITS));
	if (!p2p_has_driver(self->vram, VRAM))
		EXPECT_EQ(0, p2p_driver_bind(VRAM, self->vram));
	if (!p2p_has_driver(self->wide, EDU))
		EXPECT_EQ(0, p2p_driver_bind(EDU, self->wide));
}

static long do_mmap(void *data)
{
	struct _test_data_fail_range *self = data;
	void *mem = mmap(WHERE, self->size, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED_NOREPLACE, self->vram_fd, 0);

	return mem == MAP_FAILED ? -errno : mem != WHERE;
}

static bool map_new(void *data)
{
	return do_mmap(data) == 0;
}

static bool unmap(void *data, long result)
{
	struct _test_data_fail_range *self = data;

	return !munmap(WHERE, self->size);
}

/* An access is repeated until there is memory for it. */
static long do_touch(void *data)
{
	struct _test_data_fail_range *self = data;

	return -p2p_fault_of((char *)WHERE + self->size / 2, true);
}

TEST_F(fail_range, mmap)
{
	static const struct fail_work work[] = {
		{ "mmap", NULL, do_mmap, unmap, { ENOMEM } },
		{ "touch", map_new, do_touch, unmap },
	};

	FAIL_EACH(&work[0], self);
	FAIL_EACH(&work[1], self);
}

static long do_hold(void *data)
{
	struct _test_data_fail_range *self = data;
	int ret = hold(self->hold_fd, self->kind, WHERE, self->size, true);

	if (!ret && self->kind->ticket)
		ret = hold_use(self->hold_fd) ?: hold_unuse(self->hold_fd);
	return ret;
}

static bool unhold(void *data, long result)
{
	struct _test_data_fail_range *self = data;

	return !hold_put(self->hold_fd) && unmap(data, result);
}

/* Memory without struct pages can be held by its address only. */
TEST_F(fail_range, hold)
{
	for_each_hold_kind(self->kind) {
		struct fail_work work = {
			self->kind->name, map_new, do_hold, unhold, { ENOMEM }
		};

		if (!self->kind->by_file)
			FAIL_EACH(&work, self);
	}
	EXPECT_EQ(0, p2p_driver_unbind(VRAM, self->vram));
}

static long do_export(void *data)
{
	struct _test_data_fail_range *self = data;
	struct p2p_vram_export export = { .len = self->size };

	self->dmabuf = p2p_result(ioctl(self->vram_fd, P2P_VRAM_EXPORT, &export));
	return self->dmabuf < 0 ? self->dmabuf : 0;
}

static bool drop(void *data, long result)
{
	struct _test_data_fail_range *self = data;

	if (self->dmabuf >= 0)
		close(self->dmabuf);
	self->dmabuf = -1;
	return true;
}

static bool exported(void *data)
{
	return do_export(data) == 0;
}

static long do_import(void *data)
{
	struct _test_data_fail_range *self = data;
	int ret = attach_edu(self->edu_fd, self->dmabuf);
	uint64_t word;

	return ret ?: copy_flags(self->edu_fd, NULL, &word, sizeof(word),
				 P2P_EDU_SRC_DMABUF);
}

/* It is attached, unless just that has failed. */
static bool detach(void *data, long result)
{
	struct _test_data_fail_range *self = data;
	int ret = attach_edu(self->edu_fd, -1);

	return (!ret || (result < 0 && ret == -EBADF)) && drop(data, result);
}

TEST_F(fail_range, dmabuf)
{
	/* alloc_file() returns ENFILE if it can't allocate a file. */
	static const struct fail_work work[] = {
		{ "export by vram", NULL, do_export, drop, { ENOMEM, ENFILE } },
		{ "import by edu", exported, do_import, detach, { ENOMEM } },
	};

	FAIL_EACH(&work[0], self);
	FAIL_EACH(&work[1], self);
	EXPECT_EQ(0, p2p_driver_unbind(VRAM, self->vram));
}

static long do_map_dma(void *data)
{
	struct _test_data_fail_range *self = data;
	struct p2p_test_range arg = {
		.addr = (uintptr_t)WHERE,
		.len = self->page,
		.client = self->client,
		.keep = self->keep,
		.write = 1,
	};

	return p2p_result(ioctl(self->client_fd, P2P_TEST_RANGE, &arg)) ?:
	       arg.result;
}

static bool unmap_dma(void *data, long result)
{
	struct _test_data_fail_range *self = data;

	return !ioctl(self->client_fd, P2P_TEST_PUT, 0) && unmap(data, result);
}

TEST_F(fail_range, map_for_dma)
{
	static const struct fail_work work = {
		"pci_p2p_range_map", map_new, do_map_dma, unmap_dma, { ENOMEM }
	};

	for (; self->keep <= P2P_TEST_KEEP_REVOCABLE; self->keep++)
		FAIL_EACH(&work, self);
	/* Unbinding would wait for a leaked mapping. */
	EXPECT_EQ(0, p2p_driver_unbind(VRAM, self->vram));
}

static long do_copy(void *data)
{
	struct _test_data_fail_range *self = data;

	return copy(self->edu_fd, WHERE, (char *)WHERE + self->page,
		    sizeof(uint64_t));
}

static bool map_filled(void *data)
{
	struct _test_data_fail_range *self = data;

	if (!map_new(data))
		return false;
	p2p_store(WHERE, 1);
	p2p_store((char *)WHERE + self->page, 2);
	return true;
}

/* The call copies all of it or nothing. */
static bool unmap_copied(void *data, long result)
{
	struct _test_data_fail_range *self = data;
	uint64_t found = p2p_load((char *)WHERE + self->page);

	return found == (result < 0 ? 2 : 1) && unmap(data, result);
}

TEST_F(fail_range, copy)
{
	static const struct fail_work work = {
		"copy by edu", map_filled, do_copy, unmap_copied, { ENOMEM }
	};

	FAIL_EACH(&work, self);
	EXPECT_EQ(0, p2p_driver_unbind(VRAM, self->vram));
}

static bool use_it(struct _test_data_fail_range *self)
{
	self->vram_fd = open_vram(self->vram, O_RDWR);
	return self->vram_fd >= 0 && map_new(self) &&
		!p2p_fault_of(WHERE, true) &&
		p2p_number(self->vram, "p2pmem/dma_bus_bytes") >= 0;
}

static bool drop_it(struct _test_data_fail_range *self)
{
	return !munmap(WHERE, self->size) && !close(self->vram_fd);
}

static bool unbound(void *data)
{
	struct _test_data_fail_range *self = data;

	return !p2p_has_driver(self->vram, VRAM) ||
		!p2p_driver_unbind(VRAM, self->vram);
}

static long do_bind(void *data)
{
	struct _test_data_fail_range *self = data;

	return -p2p_driver_bind(VRAM, self->vram);
}

static bool after_bind(void *data, long result)
{
	struct _test_data_fail_range *self = data;

	if (result)
		return p2p_is_gone(self->vram, VRAM);
	return use_it(self) && drop_it(self) &&
		!p2p_driver_unbind(VRAM, self->vram) &&
		p2p_is_gone(self->vram, VRAM);
}

TEST_F(fail_range, bind)
{
	/* EBUSY is all that pci_request_region() returns. */
	static const struct fail_work work = {
		"bind", unbound, do_bind, after_bind, { ENOMEM, EBUSY }
	};

	ASSERT_TRUE(fail_setup(FAIL_OBJECTS));
	close(self->vram_fd);
	FAIL_EACH(&work, self);
	self->vram_fd = -1;
}

static bool bound_and_used(void *data)
{
	struct _test_data_fail_range *self = data;

	return unbound(data) && !p2p_driver_bind(VRAM, self->vram) &&
		use_it(self);
}

static long do_unbind(void *data)
{
	struct _test_data_fail_range *self = data;

	return -p2p_driver_unbind(VRAM, self->vram);
}

/* An unbind that could not start has changed nothing. */
static bool after_unbind(void *data, long result)
{
	struct _test_data_fail_range *self = data;
	int sig = p2p_fault_of(WHERE, true);

	if (result)
		return sig == 0 && !p2p_driver_unbind(VRAM, self->vram) &&
			p2p_is_gone(self->vram, VRAM) && drop_it(self);
	return sig == SIGBUS && p2p_is_gone(self->vram, VRAM) &&
		drop_it(self);
}

TEST_F(fail_range, unbind)
{
	static const struct fail_work work = {
		"unbind", bound_and_used, do_unbind, after_unbind, { ENOMEM }
	};

	ASSERT_TRUE(fail_setup(FAIL_OBJECTS));
	close(self->vram_fd);
	FAIL_EACH(&work, self);
	self->vram_fd = -1;
}

TEST_HARNESS_MAIN
