// SPDX-License-Identifier: GPL-2.0
/*
 * Drives whose drivers do not support peer-to-peer memory refuse it, wherever
 * they are, and keep serving other requests.
 *
 *	P2P_STRANGERS	the PCI drivers of such drives, separated by spaces; each has
 *			one drive, which is overwritten
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "klog.h"
#include "mixed.h"
#include "variants.h"

#define SIZE	(4 * MIB)
#define POISON	0xdeadbeefcafef00dULL

FIXTURE(strangers)
{
	P2P_FIXTURE;
	int log;
};

P2P_VARIANTS(strangers, NULL, NULL);

FIXTURE_SETUP(strangers)
{
	if (!getenv("P2P_STRANGERS"))
		SKIP(p2p_skip_now(), "P2P_STRANGERS is not set");
	ASSERT_TRUE(p2p_setup(&self->p2p, &variant->p2p, SIZE));
	ASSERT_TRUE(p2p_setup_ram(&self->p2p));
	self->log = klog_open();
	ASSERT_LE(0, self->log);
}

FIXTURE_TEARDOWN(strangers)
{
	close(self->log);
	p2p_release(&self->p2p);
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

/* Is this the driver of a parent device of the block device? */
static bool driven_by(const char *disk, const char *driver)
{
	char path[P2P_PATH_LEN], device[PATH_MAX], link[PATH_MAX], *end;
	ssize_t len;

	snprintf(path, sizeof(path), "/sys/block/%s", disk);
	if (!realpath(path, device))
		return false;
	for (end = strrchr(device, '/'); end > device; end = strrchr(device, '/')) {
		*end = '\0';
		snprintf(link, sizeof(link), "%.*s/driver", PATH_MAX - 16, device);
		len = readlink(link, path, sizeof(path) - 1);
		if (len < 0)
			continue;
		path[len] = '\0';
		if (!strcmp(strrchr(path, '/') + 1, driver))
			return true;
	}
	return false;
}

/* Opens the drive of the driver; returns -1 if there is none. */
static int open_drive(const char *driver)
{
	DIR *dir = opendir("/sys/block");
	struct dirent *entry;
	char path[P2P_PATH_LEN];
	int fd = -1;

	while (dir && fd < 0 && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.' || !driven_by(entry->d_name, driver))
			continue;
		snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
		fd = open(path, O_RDWR | O_DIRECT);
	}
	if (dir)
		closedir(dir);
	return fd;
}

static void refuses(struct __test_metadata *_metadata, struct _test_data_strangers *self,
		    int fd)
{
	static const size_t sizes[] = { 4 * KIB, MIB + 4 * KIB, SIZE };
	struct iovec mixed[] = {
		{ self->mem,		4 * KIB },
		{ self->ram,		4 * KIB },
	};
	size_t i;

	p2p_fill(self->ram, SIZE, 1, 0);
	ASSERT_EQ(SIZE, pwrite(fd, self->ram, SIZE, 0));
	p2p_set(self->mem, SIZE, POISON);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct iovec vec = { self->mem, sizes[i] };

		EXPECT_EQ(-EREMOTEIO, p2p_result(pread(fd, self->mem, sizes[i], 0)));
		EXPECT_EQ(-EREMOTEIO, p2p_result(pwrite(fd, self->mem, sizes[i], 0)));
		EXPECT_EQ(-EREMOTEIO, mixed_async(fd, IOCB_CMD_PREADV, &vec, 1, 0));
		EXPECT_EQ(-EREMOTEIO, mixed_async(fd, IOCB_CMD_PWRITEV, &vec, 1, 0));
	}
	EXPECT_EQ(-EREMOTEIO, p2p_result(preadv(fd, mixed, 2, 0)));
	EXPECT_EQ(-EREMOTEIO, p2p_result(pwritev(fd, mixed, 2, 0)));

	/* Nothing has changed, and RAM still works. */
	EXPECT_EQ(-1, p2p_not_set(self->mem, SIZE, POISON));
	p2p_set(self->ram, SIZE, POISON);
	EXPECT_EQ(SIZE, pread(fd, self->ram, SIZE, 0));
	EXPECT_EQ(-1, p2p_differs(self->ram, SIZE, 1, 0));
	p2p_fill(self->ram, SIZE, 2, 0);
	EXPECT_EQ(SIZE, pwrite(fd, self->ram, SIZE, 0));
}

TEST_F(strangers, refused)
{
	char *drivers = strdup(getenv("P2P_STRANGERS")), *driver, *rest;
	int fd;

	for (driver = strtok_r(drivers, " ", &rest); driver;
	     driver = strtok_r(NULL, " ", &rest)) {
		fd = open_drive(driver);
		ASSERT_LE(0, fd)
			TH_LOG("no drive of %s", driver);
		TH_LOG("drive of %s", driver);
		refuses(_metadata, self, fd);
		close(fd);
	}
	free(drivers);
	EXPECT_FALSE(klog_said(self->log, "error", "dev "));
}

TEST_HARNESS_MAIN
