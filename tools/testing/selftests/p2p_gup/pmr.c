// SPDX-License-Identifier: GPL-2.0
/*
 * The persistent memory region of a controller as peer-to-peer memory, if the
 * administrator enables it: alone, or together with a controller memory buffer
 * in one pool.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <glob.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "bind.h"
#include "suspend.h"
#include "variants.h"

/* Controller registers and their bits. */
#define CAP		0x00
#define PMRCTL		0xe04
#define PMRSTS		0xe08
#define PMRMSCL		0xe14
#define PMRMSCU		0xe18
#define CAP_PMRS	(UINT64_C(1) << 56)
#define PMRCTL_EN	1
#define PMRSTS_NRDY	0x100
#define PMRMSCL_CMSE	2

#define PMR_BAR		4	/* QEMU's */
#define PIECE		MIB
#define MAX_PIECES	64
#define WHERE		(16 * MIB)
#define POISON		0xdeadbeefcafef00dULL
#define PARAMETER	"/sys/module/nvme/parameters/use_pmr"

/* A file of the controller of a PCI function, in nvme/nvmeN. */
static bool controller_file(const char *provider, const char *file, char *path)
{
	char pattern[P2P_PATH_LEN];
	bool found;
	glob_t list;

	snprintf(pattern, sizeof(pattern), P2P_PCI_DEVICES "/%s/nvme/nvme*/%s",
		 provider, file);
	if (glob(pattern, 0, NULL, &list))
		return false;
	found = list.gl_pathc == 1;
	snprintf(path, P2P_PATH_LEN, "%s", list.gl_pathv[0]);
	globfree(&list);
	return found;
}

/* Waits until the controller is live, a minute at most. */
static bool is_live(const char *provider)
{
	char path[P2P_PATH_LEN], state[16];
	int i, fd;

	for (i = 0; i < 6000; i++) {
		memset(state, 0, sizeof(state));
		if (controller_file(provider, "state", path)) {
			fd = open(path, O_RDONLY);
			if (fd >= 0 && read(fd, state, sizeof(state) - 1) < 0)
				state[0] = '\0';
			close(fd);
		}
		if (!strcmp(state, "live\n"))
			return true;
		usleep(10000);
	}
	return false;
}

static int controller_reset(const char *provider)
{
	char path[P2P_PATH_LEN];

	if (!controller_file(provider, "reset_controller", path))
		return -ENOENT;
	return p2p_write_file(path, "1");
}

static bool bind_again(const char *provider)
{
	return !p2p_driver_unbind("nvme", provider) &&
	       !p2p_driver_bind("nvme", provider) && is_live(provider);
}

FIXTURE(pmr)
{
	const char *provider;
	long long before;
	uint64_t start, len;	/* of the BAR */
	char *regs;
	uint32_t mscl, mscu;
	char *mem[MAX_PIECES];
	int nr;
	int fd;			/* of the drive */
};

P2P_VARIANTS(pmr, "nvme", "raw", "pmr", "both", NULL);

static uint32_t reg(struct _test_data_pmr *self, int offset)
{
	return __atomic_load_n((uint32_t *)(self->regs + offset),
			       __ATOMIC_RELAXED);
}

static void set_reg(struct _test_data_pmr *self, int offset, uint32_t value)
{
	__atomic_store_n((uint32_t *)(self->regs + offset), value,
			 __ATOMIC_RELAXED);
}

/* Maps all memory of the provider, which must be unused. */
FIXTURE_SETUP(pmr)
{
	uint64_t flags, pfn;
	int pieces = 0;
	char *mem;

	self->provider = variant->p2p.provider;
	self->before = p2p_available(self->provider);
	self->regs = p2p_map_registers(self->provider);
	ASSERT_NE(MAP_FAILED, self->regs);
	if (!(p2p_load(self->regs + CAP) & CAP_PMRS))
		SKIP(p2p_skip_now(), "the controller has no PMR");
	ASSERT_EQ(PMRCTL_EN, reg(self, PMRCTL));
	ASSERT_EQ(0, reg(self, PMRSTS) & PMRSTS_NRDY);
	self->mscl = reg(self, PMRMSCL);
	self->mscu = reg(self, PMRMSCU);
	ASSERT_TRUE(self->mscl & PMRMSCL_CMSE);
	ASSERT_TRUE(p2p_bar(self->provider, PMR_BAR, &self->start, &self->len,
			    &flags));

	self->fd = open(p2p_disk(variant->p2p.disk), O_RDWR | O_DIRECT);
	ASSERT_LE(0, self->fd);
	while (self->nr < MAX_PIECES) {
		mem = p2p_map(self->provider, PIECE);
		if (mem == MAP_FAILED)
			break;
		self->mem[self->nr++] = mem;
		p2p_set(mem, PIECE, POISON);
		pfn = PAGEMAP_PFN(p2p_pagemap(mem));
		pieces += pfn * 4 * KIB - self->start < self->len;
	}
	EXPECT_EQ(ENOMEM, errno);
	EXPECT_EQ(self->len / PIECE, pieces);
}

FIXTURE_TEARDOWN(pmr)
{
	int i;

	for (i = 0; i < self->nr; i++)
		EXPECT_EQ(0, munmap(self->mem[i], PIECE));
	close(self->fd);
	munmap(self->regs, 4 * KIB);
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

/* Writes all of the memory to the drive and reads it back. */
static void transfer(struct __test_metadata *_metadata,
		     struct _test_data_pmr *self)
{
	off_t where;
	int i;

	for (i = 0; i < self->nr; i++) {
		where = WHERE + i * PIECE;
		p2p_fill(self->mem[i], PIECE, i, where);
		ASSERT_EQ(PIECE, pwrite(self->fd, self->mem[i], PIECE, where));
		p2p_set(self->mem[i], PIECE, POISON);
	}
	for (i = 0; i < self->nr; i++) {
		where = WHERE + i * PIECE;
		ASSERT_EQ(PIECE, pread(self->fd, self->mem[i], PIECE, where));
	}
	for (i = 0; i < self->nr; i++) {
		where = WHERE + i * PIECE;
		EXPECT_EQ(-1, p2p_differs(self->mem[i], PIECE, i, where));
	}
}

/*
 * Clears the registers, like a function level reset or loss of power. QEMU's
 * controllers keep them.
 */
static void forget(struct __test_metadata *_metadata,
		   struct _test_data_pmr *self)
{
	set_reg(self, PMRMSCL, 0);
	set_reg(self, PMRMSCU, 0);
	set_reg(self, PMRCTL, 0);
	ASSERT_TRUE(reg(self, PMRSTS) & PMRSTS_NRDY);
}

static void is_enabled(struct __test_metadata *_metadata,
		       struct _test_data_pmr *self)
{
	EXPECT_EQ(PMRCTL_EN, reg(self, PMRCTL));
	EXPECT_EQ(0, reg(self, PMRSTS));
	EXPECT_EQ(self->mscl, reg(self, PMRMSCL));
	EXPECT_EQ(self->mscu, reg(self, PMRMSCU));
	EXPECT_EQ(self->start, ((uint64_t)self->mscu << 32) +
			       (self->mscl & ~PMRMSCL_CMSE));
}

TEST_F(pmr, transfers)
{
	is_enabled(_metadata, self);
	transfer(_metadata, self);
}

TEST_F(pmr, controller_reset)
{
	forget(_metadata, self);
	EXPECT_EQ(0, controller_reset(self->provider));
	is_enabled(_metadata, self);
	transfer(_metadata, self);
}

TEST_F(pmr, function_reset)
{
	forget(_metadata, self);
	EXPECT_EQ(0, p2p_reset(self->provider));
	is_enabled(_metadata, self);
	transfer(_metadata, self);
}

/*
 * The memory stays in place until resume: drives may have requests to it in
 * flight.
 */
TEST_F(pmr, suspend)
{
	if (!can_sleep())
		SKIP(return, "no " PM_TEST ": CONFIG_SUSPEND, CONFIG_PM_DEBUG?");
	forget(_metadata, self);
	EXPECT_EQ(0, sleep_once());
	is_enabled(_metadata, self);
	transfer(_metadata, self);
}

/*
 * The region is persistent, so it is offered only on request; but the log
 * mentions it.
 */
FIXTURE(pmr_off)
{
	const char *provider;
	long long size;
	uint64_t len;		/* of the BAR */
	int klog;
};

P2P_VARIANTS(pmr_off, "nvme", NULL);

FIXTURE_SETUP(pmr_off)
{
	uint64_t start, flags;

	self->provider = variant->p2p.provider;
	self->size = p2p_number(self->provider, "p2pmem/size");
	ASSERT_LT(0, self->size);
	if (!p2p_bar(self->provider, PMR_BAR, &start, &self->len, &flags))
		SKIP(p2p_skip_now(), "the controller has no PMR");
	self->klog = klog_open();
	ASSERT_LE(0, self->klog);
	ASSERT_EQ(0, p2p_write_file(PARAMETER, "0"));
}

FIXTURE_TEARDOWN(pmr_off)
{
	close(self->klog);
	EXPECT_EQ(0, p2p_write_file(PARAMETER, "1"));
	EXPECT_TRUE(bind_again(self->provider));
	EXPECT_EQ(self->size, p2p_number(self->provider, "p2pmem/size"));
	EXPECT_TRUE(p2p_settles(self->provider,
				p2p_number(self->provider, "p2pmem/available")));
}

TEST_F(pmr_off, said)
{
	char path[P2P_PATH_LEN], want[100];
	long long rest = self->size - self->len;

	ASSERT_TRUE(bind_again(self->provider));
	snprintf(want, sizeof(want), "PMR of %llu MiB is not used: nvme.use_pmr=1",
		 (unsigned long long)(self->len / MIB));
	EXPECT_TRUE(klog_said(self->klog, want, ""));
	p2p_path(path, self->provider, "p2pmem/allocate");
	if (rest) {
		EXPECT_EQ(rest, p2p_number(self->provider, "p2pmem/size"));
	} else {
		EXPECT_EQ(-1, access(path, F_OK));
	}
}

/* A region too small for struct pages is logged once, not at each reset. */
TEST(too_small)
{
	const char *want = "PMR of 1024 KiB in BAR 4 is not used: it is not made of whole 2048 KiB";
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
	char path[P2P_PATH_LEN], record[8192];
	int said = 0;

	ASSERT_LE(0, fd);
	ASSERT_NE(NULL, p2p_disk("small"));
	snprintf(path, sizeof(path), "/sys/block/%s/device/reset_controller",
		 strrchr(p2p_disk("small"), '/') + 1);
	EXPECT_EQ(0, p2p_write_file(path, "1"));
	while (!klog_next(fd, record, sizeof(record)))
		said += !!strstr(record, want);
	EXPECT_EQ(1, said);
	close(fd);
}

TEST_HARNESS_MAIN
