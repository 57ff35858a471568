// SPDX-License-Identifier: GPL-2.0
/*
 * Held pages do not delay the removal of a provider. A request with pages of
 * the provider waits in a suspended device mapper device, and its process can't
 * be killed. The driver is nevertheless unbound, or the device removed; when it
 * returns, the memory lacks these pages until they are free. They give no more
 * access to the device.
 *
 * The only dependency on time: an operation that waits for the suspended device
 * would wait forever.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "variants.h"
#include "mapped_drive.h"
#include "gup_call.h"
#include "removal.h"
#include "users.h"

#define SIZE		(256 * KIB)
#define REQUEST		(64 * KIB)
#define SECTORS		(16 * MIB / SECTOR)
#define WHERE		MIB
#define SECRET		0x5ec2e75ec2e75ec2ULL

FIXTURE(held)
{
	P2P_FIXTURE;
	int klog;
	int mapped;		/* the drive below the mapping */
	pid_t reader;
	long long pages;	/* of its request */
	bool resumed;
};

P2P_VARIANTS(held, P2P_BAR_DRIVER, "raw", NULL);

FIXTURE_SETUP(held)
{
	self->klog = -1;
	ASSERT_TRUE(p2p_setup(&self->p2p, &variant->p2p, 0));
	if (access(MAPPED_CONTROL, F_OK))
		SKIP(p2p_skip_now(), "no " MAPPED_CONTROL ": CONFIG_BLK_DEV_DM?");
	self->klog = klog_open();
	ASSERT_LE(0, self->klog);
	self->mapped = mapped_create(p2p_disk(variant->p2p.disk), SECTORS);
	ASSERT_LE(0, self->mapped) TH_LOG("%s", strerror(-self->mapped));
	self->pages = REQUEST / self->page;
}

/* Lets the reader's request continue, and checks its result. */
static void end_reader(struct __test_metadata *_metadata, struct _test_data_held *self,
		       int due)
{
	int status;

	if (self->resumed)
		return;
	self->resumed = true;
	EXPECT_EQ(0, mapped_resume());
	EXPECT_EQ(self->reader, waitpid(self->reader, &status, 0));
	EXPECT_EQ(due ? due << 8 : SIGKILL, status);
}

FIXTURE_TEARDOWN(held)
{
	if (self->reader)
		end_reader(_metadata, self, 0);
	close(self->mapped);
	EXPECT_EQ(0, mapped_remove());
	close(self->klog);
	p2p_release(&self->p2p);
	EXPECT_BACK(self);
}

/* A child reads from the suspended drive, into memory with @word in it. */
static void start_stuck_reader(struct __test_metadata *_metadata,
			       struct _test_data_held *self, uid_t uid, uint64_t word)
{
	int fd = -1;

	ASSERT_EQ(0, mapped_suspend());
	if (uid) {
		ASSERT_TRUE(users_admit(self->provider, USERS));
		fd = p2p_open(self->provider, O_RDWR);
		ASSERT_LE(0, fd);
	}
	self->reader = users_fork(uid);
	ASSERT_LE(0, self->reader);
	if (!self->reader) {
		char *mem = uid ? p2p_map_fd(p2p_open(self->provider, O_RDWR), SIZE,
					     MAP_SHARED, 0) :
				  p2p_map(self->provider, SIZE);

		if (mem == MAP_FAILED)
			_exit(1);
		p2p_set(mem, SIZE, word);
		if (pread(self->mapped, mem, REQUEST, WHERE) == REQUEST)
			_exit(2);
		_exit(errno);
	}
	close(fd);
	ASSERT_TRUE(mapped_is_stuck(self->reader));
}

/* Does it end although the mapping is suspended? If not soon, then never. */
static bool ends(pid_t child, int *status)
{
	int i;

	for (i = 0; i < 60000; i++, usleep(1000))
		if (waitpid(child, status, WNOHANG) == child)
			return true;
	return false;
}

/* Writes to a sysfs file in a child, since the write may never return. */
static pid_t start_write(const char *path, const char *text)
{
	pid_t child = fork();

	if (!child)
		_exit(p2p_write_file(path, text));
	return child;
}

static void unbind_while_stuck(struct __test_metadata *_metadata,
			       struct _test_data_held *self, long long pages)
{
	pid_t child = start_unbind(self->provider);
	int status = -1;

	ASSERT_LT(0, child);
	if (!ends(child, &status)) {
		/* Clean up for the other tests. */
		end_reader(_metadata, self, 0);
		waitpid(child, &status, 0);
		ASSERT_TRUE(false) TH_LOG("unbind waits");
	}
	EXPECT_EQ(0, status);
	EXPECT_TRUE(p2p_is_gone(self->provider, P2P_BAR_DRIVER));
	EXPECT_TRUE(klog_wait(self->klog, "%s: %lld pages of peer-to-peer memory are in use",
			      self->provider, pages));
	EXPECT_TRUE(klog_wait(self->klog, "%s: %lld of these pages were mapped by held[%d]",
			      self->provider, self->pages, self->reader));
}

/* All of the memory is available, in one piece if none of it is in use. */
static void check_all(struct __test_metadata *_metadata, struct _test_data_held *self)
{
	char *mem;

	EXPECT_TRUE(p2p_settles(self->provider, self->before));
	if (self->before != self->total)
		return;
	mem = p2p_map(self->provider, self->total);
	EXPECT_NE(MAP_FAILED, mem);
	if (mem != MAP_FAILED)
		munmap(mem, self->total);
}

static void check_works(struct __test_metadata *_metadata, struct _test_data_held *self)
{
	int disk = open(p2p_disk("raw"), O_RDONLY | O_DIRECT | O_CLOEXEC);
	char *mem = p2p_map(self->provider, SIZE);

	ASSERT_LE(0, disk);
	ASSERT_NE(MAP_FAILED, mem);
	p2p_fill(mem, SIZE, 1, 0);
	EXPECT_EQ(-1, p2p_differs(mem, SIZE, 1, 0));
	EXPECT_EQ(self->works ? (ssize_t)SIZE : -EREMOTEIO,
		  p2p_result(pread(disk, mem, SIZE, WHERE)));
	EXPECT_EQ(0, munmap(mem, SIZE));
	close(disk);
}

/* The reader can't be killed. Neither unbinding nor binding waits for it. */
TEST_F(held, killed_reader)
{
	start_stuck_reader(_metadata, self, 0, 1);
	EXPECT_EQ(0, kill(self->reader, SIGKILL));
	EXPECT_TRUE(mapped_is_stuck(self->reader));
	unbind_while_stuck(_metadata, self, self->pages);

	ASSERT_EQ(0, p2p_bind(self->provider));
	EXPECT_TRUE(klog_wait(self->klog, "%s: %lld pages of peer-to-peer memory are in use",
			      self->provider, self->pages));
	EXPECT_EQ(self->total, p2p_number(self->provider, "p2pmem/size"));
	EXPECT_EQ(self->before - self->pages * (long long)self->page,
		  p2p_available(self->provider));
	check_works(_metadata, self);

	end_reader(_metadata, self, 0);
	check_all(_metadata, self);
}

/* The request ends while no driver is bound, and no page stays in use. */
TEST_F(held, ends_before_binding)
{
	start_stuck_reader(_metadata, self, 0, 1);
	unbind_while_stuck(_metadata, self, self->pages);
	end_reader(_metadata, self, EREMOTEIO);
	EXPECT_TRUE(klog_wait(self->klog, "%s: peer-to-peer memory", self->provider));
	ASSERT_EQ(0, p2p_bind(self->provider));
	check_all(_metadata, self);
	check_works(_metadata, self);
}

/* A request from before the unbind does not reach the new memory. */
TEST_F(held, refused_after_binding)
{
	start_stuck_reader(_metadata, self, 0, 1);
	unbind_while_stuck(_metadata, self, self->pages);
	ASSERT_EQ(0, p2p_bind(self->provider));
	end_reader(_metadata, self, EREMOTEIO);
	check_all(_metadata, self);
}

/* Pages of several bindings in use, and transfers to the current one. */
TEST_F(held, again_and_again)
{
	int test = P2P_TEST_OPEN(), i;
	char *mem = NULL;

	start_stuck_reader(_metadata, self, 0, 1);
	unbind_while_stuck(_metadata, self, self->pages);
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, p2p_bind(self->provider));
		EXPECT_EQ(self->before - (self->pages + !!i) * (long long)self->page,
			  p2p_available(self->provider));
		check_works(_metadata, self);
		if (!i) {
			mem = p2p_map(self->provider, SIZE);
			ASSERT_NE(MAP_FAILED, mem);
			ASSERT_EQ(1, gup_hold(test, P2P_TEST_PIN_FAST, mem, 1,
					      FOLL_PCI_P2PDMA, NULL));
		}
		unbind_while_stuck(_metadata, self, self->pages + 1);
	}
	/* The page of the second binding is put first. */
	EXPECT_EQ(0, gup_put(test));
	ASSERT_EQ(0, p2p_bind(self->provider));
	EXPECT_TRUE(p2p_settles(self->provider,
				self->before - self->pages * (long long)self->page));
	EXPECT_EQ(SIGBUS, p2p_fault_of(mem, true));
	munmap(mem, SIZE);
	end_reader(_metadata, self, EREMOTEIO);
	check_all(_metadata, self);
	close(test);
}

/* Folios are kept as a whole, and split at the end. */
TEST_F(held, folio)
{
	int test = P2P_TEST_OPEN();
	char *mem = p2p_map(self->provider, 4 * MIB);

	ASSERT_NE(MAP_FAILED, mem);
	ASSERT_EQ(1, gup_hold(test, P2P_TEST_PIN_FAST, mem + 2 * self->page, 1,
			      FOLL_PCI_P2PDMA, NULL));
	ASSERT_EQ(0, p2p_unbind(self->provider));
	ASSERT_EQ(0, p2p_bind(self->provider));
	EXPECT_EQ(self->before - 2 * (long long)MIB, p2p_available(self->provider));
	EXPECT_EQ(SIGBUS, p2p_fault_of(mem, true));
	EXPECT_EQ(0, gup_put(test));
	check_all(_metadata, self);
	munmap(mem, 4 * MIB);
	close(test);
}

/* The new memory must be the same range, not smaller or larger. */
TEST_F(held, other_size)
{
	char half[32], old[32] = "";
	int fd = open(P2P_BAR_PARAMETERS "size", O_RDONLY | O_CLOEXEC);

	ASSERT_LE(0, fd);
	ASSERT_LT(0, read(fd, old, sizeof(old) - 1));
	close(fd);
	start_stuck_reader(_metadata, self, 0, 1);
	unbind_while_stuck(_metadata, self, self->pages);

	snprintf(half, sizeof(half), "%lld", self->total / 2);
	ASSERT_EQ(0, p2p_write_file(P2P_BAR_PARAMETERS "size", half));
	EXPECT_EQ(EBUSY, p2p_bind(self->provider));
	EXPECT_EQ(0, p2p_write_file(P2P_BAR_PARAMETERS "size", old));
	EXPECT_TRUE(klog_wait(self->klog, "can't be added"));
	EXPECT_TRUE(klog_wait(self->klog, "%s: %lld of these pages were mapped by held[%d]",
			      self->provider, self->pages, self->reader));
	EXPECT_FALSE(p2p_has_driver(self->provider, P2P_BAR_DRIVER));
	ASSERT_EQ(0, p2p_bind(self->provider));
	end_reader(_metadata, self, EREMOTEIO);
	check_all(_metadata, self);
}

/*
 * Another user's look at all free memory. Returns whether any data was found.
 */
static int find_secret(struct _test_data_held *self)
{
	long long left = p2p_available(self->provider);
	size_t size = MIB, i;
	int found = 0;
	char *mem;

	while (left > 0 && size >= self->page && !found) {
		mem = p2p_map_fd(p2p_open(self->provider, O_RDWR), size, MAP_SHARED, 0);
		if (mem == MAP_FAILED) {
			size /= 2;
			continue;
		}
		left -= size;
		for (i = 0; i < size && !found; i += self->page)
			found = !!p2p_load(mem + i);
		/* Left mapped, so that the next mapping gets other memory. */
		if (left < self->before - 32 * (long long)MIB)
			break;
	}
	return found;
}

static int as_bob(struct _test_data_held *self)
{
	pid_t child = users_fork(BOB);

	if (!child)
		_exit(find_secret(self));
	return p2p_wait(child);
}

/* Data of a user is never exposed to another, whenever its memory returns. */
TEST_F(held, data_is_cleared)
{
	start_stuck_reader(_metadata, self, ALICE, SECRET);
	unbind_while_stuck(_metadata, self, self->pages);
	ASSERT_EQ(0, p2p_bind(self->provider));
	ASSERT_TRUE(users_admit(self->provider, USERS));
	EXPECT_EQ(0, as_bob(self));
	end_reader(_metadata, self, EREMOTEIO);
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
	EXPECT_EQ(0, as_bob(self));
	EXPECT_TRUE(users_admit(self->provider, 0));
}

static void come_back(struct __test_metadata *_metadata, struct _test_data_held *self)
{
	ASSERT_EQ(0, p2p_write_file("/sys/bus/pci/rescan", "1"));
	ASSERT_TRUE(give_driver(self->provider));
	EXPECT_EQ(self->total, p2p_number(self->provider, "p2pmem/size"));
}

static void remove_while_stuck(struct __test_metadata *_metadata,
			       struct _test_data_held *self)
{
	char path[P2P_PATH_LEN];
	int status = -1;
	pid_t child;

	p2p_path(path, self->provider, "remove");
	child = start_write(path, "1");
	ASSERT_LT(0, child);
	if (!ends(child, &status)) {
		end_reader(_metadata, self, 0);
		waitpid(child, &status, 0);
		ASSERT_TRUE(false) TH_LOG("removal waits");
	}
	EXPECT_EQ(0, status);
	EXPECT_FALSE(device_is_there(self->provider));
}

/* The device is removed, and found again. */
TEST_F(held, removed_and_found)
{
	start_stuck_reader(_metadata, self, 0, 1);
	EXPECT_EQ(0, kill(self->reader, SIGKILL));
	remove_while_stuck(_metadata, self);
	come_back(_metadata, self);
	check_works(_metadata, self);
	end_reader(_metadata, self, 0);
	check_all(_metadata, self);
}

TEST_F(held, removed_and_free)
{
	start_stuck_reader(_metadata, self, 0, 1);
	remove_while_stuck(_metadata, self);
	end_reader(_metadata, self, EREMOTEIO);
	come_back(_metadata, self);
	check_all(_metadata, self);
	check_works(_metadata, self);
}

TEST_HARNESS_MAIN
