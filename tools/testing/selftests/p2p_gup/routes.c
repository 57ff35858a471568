// SPDX-License-Identifier: GPL-2.0
/*
 * p2pmem/routes is complete and correct, and transfers take these routes.
 *
 *	P2P_ROUTE	how the drive reaches the provider: bus, host-bridge, none
 *	P2P_DISTANCE	and over how many links; not looked at if not set
 *	P2P_REASON	what the line of the drive must contain behind that; not
 *			looked at if not set
 *	P2P_ALLOWED	the host bridges that the command line names, if any
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "variants.h"

#define SIZE		(64 * KIB)
#define NOBODY		65534
#define PCI_HEADER_TYPE	0x0e
#define HOST_BRIDGES	"/sys/module/pci_p2pdma/parameters/host_bridges"

struct route {
	char client[P2P_ADDR_LEN];
	char way[16];
	int distance;
	char why[256];
};

FIXTURE(routes)
{
	const char *provider;
	char path[P2P_PATH_LEN];
	char client[P2P_ADDR_LEN];	/* the drive's controller */
	bool own;
	int disk;
};

P2P_VARIANTS(routes, NULL, "raw", NULL);

/* The last PCI address in the path of a block device. */
static bool controller_of(const char *disk, char *client)
{
	char link[64], device[PATH_MAX];
	unsigned int a, b, c, d;
	struct stat st;
	char *at;

	if (stat(p2p_disk(disk), &st))
		return false;
	snprintf(link, sizeof(link), "/sys/dev/block/%u:%u", major(st.st_rdev),
		 minor(st.st_rdev));
	if (!realpath(link, device))
		return false;
	*client = 0;
	for (at = strchr(device, '/'); at; at = strchr(at + 1, '/'))
		if (sscanf(at, "/%4x:%2x:%2x.%1x/", &a, &b, &c, &d) == 4)
			snprintf(client, P2P_ADDR_LEN, "%04x:%02x:%02x.%x",
				 a, b, c, d);
	return *client;
}

FIXTURE_SETUP(routes)
{
	self->provider = variant->p2p.provider;
	p2p_path(self->path, self->provider, "p2pmem/routes");
	ASSERT_TRUE(controller_of(variant->p2p.disk, self->client));
	self->own = p2p_is_own(variant->p2p.disk, self->provider);
	self->disk = open(p2p_disk(variant->p2p.disk), O_RDONLY | O_DIRECT);
	ASSERT_LE(0, self->disk);
}

FIXTURE_TEARDOWN(routes)
{
	close(self->disk);
}

/* Reads all of a file in steps; returns its length, or -1. */
static ssize_t read_all(const char *path, char *text, size_t room, size_t step)
{
	ssize_t got = 0, len = 0;
	int fd = open(path, O_RDONLY);

	if (fd < 0)
		return -1;
	while (room - len > step) {
		got = read(fd, text + len, step);
		if (got <= 0)
			break;
		len += got;
	}
	close(fd);
	text[len] = 0;
	return got ? -1 : len;
}

/* Returns the number of lines for a client; the last one is in *route. */
static int find(const char *path, const char *client, struct route *route)
{
	char text[32 * KIB], *line, *rest;
	int found = 0;

	if (read_all(path, text, sizeof(text), 4096) < 0)
		return -1;
	for (line = strtok_r(text, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest)) {
		struct route this = {};

		if (sscanf(line, "%23s %15s %d %255[^\n]", this.client, this.way,
			   &this.distance, this.why) < 3)
			return -1;
		if (strcmp(this.way, "bus") && strcmp(this.way, "host-bridge") &&
		    strcmp(this.way, "none"))
			return -1;
		if (!strcmp(this.client, client)) {
			*route = this;
			found++;
		}
	}
	return found;
}

static long class_of(const char *device)
{
	return p2p_number(device, "class") >> 16;
}

/* Each function that may do DMA has a line, and there are no others. */
TEST_F(routes, complete)
{
	struct dirent *entry;
	struct route route;
	int devices = 0;
	DIR *dir;

	dir = opendir(P2P_PCI_DEVICES);
	ASSERT_NE(NULL, dir);
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		EXPECT_EQ(class_of(entry->d_name) != 0x06,
			  find(self->path, entry->d_name, &route))
			TH_LOG("%s", entry->d_name);
		devices++;
	}
	closedir(dir);
	EXPECT_LT(2, devices);

	/* A device reaches itself. */
	ASSERT_EQ(1, find(self->path, self->provider, &route));
	EXPECT_EQ(0, route.distance);
}

TEST_F(routes, of_the_drive)
{
	const char *distance = getenv("P2P_DISTANCE");
	const char *reason = getenv("P2P_REASON");
	struct route route;

	ASSERT_EQ(1, find(self->path, self->client, &route));
	TH_LOG("%s %s %d %s", route.client, route.way, route.distance, route.why);
	if (self->own) {
		EXPECT_STREQ("bus", route.way);
		return;
	}
	EXPECT_STREQ(getenv("P2P_ROUTE"), route.way);
	if (!strcmp(route.way, "none"))
		EXPECT_NE(0, route.why[0]);
	if (!strcmp(route.way, "bus"))
		EXPECT_STREQ("", route.why);
	if (distance)
		EXPECT_EQ(atoi(distance), route.distance);
	if (reason)
		EXPECT_NE(NULL, strstr(route.why, reason));
}

/* The drive's data arrive if and only if there is a route, and take it. */
TEST_F(routes, transfers_agree)
{
	long long bus = p2p_number(self->provider, "p2pmem/dma_bus_bytes");
	long long bridge = p2p_number(self->provider, "p2pmem/dma_host_bridge_bytes");
	char *mem = p2p_map(self->provider, SIZE), *ram = p2p_ram(SIZE);
	struct route route;

	ASSERT_NE(MAP_FAILED, mem);
	ASSERT_NE(MAP_FAILED, ram);
	ASSERT_EQ(1, find(self->path, self->client, &route));
	p2p_set(mem, SIZE, 0x5a5a);
	ASSERT_EQ(SIZE, pread(self->disk, ram, SIZE, 0));

	if (!strcmp(route.way, "none")) {
		EXPECT_EQ(-1, pread(self->disk, mem, SIZE, 0));
		EXPECT_EQ(EREMOTEIO, errno);
		EXPECT_EQ(-1, p2p_not_set(mem, SIZE, 0x5a5a));
	} else {
		EXPECT_EQ(SIZE, pread(self->disk, mem, SIZE, 0));
		EXPECT_EQ(-1, p2p_unlike(ram, mem, SIZE));
	}
	EXPECT_EQ(bus + (strcmp(route.way, "bus") ? 0 : SIZE),
		  p2p_number(self->provider, "p2pmem/dma_bus_bytes"));
	EXPECT_EQ(bridge + (strcmp(route.way, "host-bridge") ? 0 : SIZE),
		  p2p_number(self->provider, "p2pmem/dma_host_bridge_bytes"));
	munmap(mem, SIZE);
	munmap(ram, SIZE);
}

TEST_F(routes, in_parts)
{
	char whole[32 * KIB], parts[32 * KIB];
	ssize_t len = read_all(self->path, whole, sizeof(whole), 4096);

	ASSERT_LT(0, len);
	EXPECT_EQ(len, read_all(self->path, parts, sizeof(parts), 1));
	EXPECT_STREQ(whole, parts);
	EXPECT_EQ(len, read_all(self->path, parts, sizeof(parts), 7));
	EXPECT_STREQ(whole, parts);
}

TEST_F(routes, for_any_user)
{
	struct route route;
	struct stat st;
	int status;
	pid_t pid;

	pid = fork();
	ASSERT_LE(0, pid);
	if (!pid) {
		if (setgid(NOBODY) || setuid(NOBODY))
			_exit(2);
		_exit(find(self->path, self->client, &route) != 1);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	ASSERT_EQ(0, stat(self->path, &st));
	EXPECT_EQ(0444, st.st_mode & 07777);
}

/* Finds a function without a driver, which can be unplugged without harm. */
static bool find_unused(char *client)
{
	char path[P2P_PATH_LEN], link[PATH_MAX];
	struct dirent *entry;
	bool found = false;
	DIR *dir;

	dir = opendir(P2P_PCI_DEVICES);
	while (!found && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.' || class_of(entry->d_name) == 0x06 ||
		    class_of(entry->d_name) == 0x08)
			continue;
		p2p_path(path, entry->d_name, "driver");
		found = readlink(path, link, sizeof(link)) < 0;
		if (found)
			snprintf(client, P2P_ADDR_LEN, "%.*s", P2P_ADDR_LEN - 1,
				 entry->d_name);
	}
	closedir(dir);
	return found;
}

static bool unplug(const char *client)
{
	char path[P2P_PATH_LEN];

	p2p_path(path, client, "remove");
	return !p2p_write_file(path, "1");
}

static bool plug(void)
{
	return !p2p_write_file("/sys/bus/pci/rescan", "1");
}

/* A device that is unplugged and plugged in again. */
TEST_F(routes, hotplug)
{
	char client[P2P_ADDR_LEN];
	struct route before, after;

	ASSERT_TRUE(find_unused(client));
	ASSERT_EQ(1, find(self->path, client, &before));
	ASSERT_TRUE(unplug(client));
	EXPECT_EQ(0, find(self->path, client, &after));
	EXPECT_TRUE(plug());
	ASSERT_EQ(1, find(self->path, client, &after));
	EXPECT_STREQ(before.way, after.way);
	EXPECT_EQ(before.distance, after.distance);
	EXPECT_STREQ(before.why, after.why);
}

/* Counts new lines of the kernel log with both words. */
static int logged(int log, const char *a, const char *b)
{
	char line[1024];
	int found = 0;
	ssize_t len;

	while ((len = read(log, line, sizeof(line) - 1)) > 0) {
		line[len] = 0;
		found += strstr(line, a) && strstr(line, b);
	}
	return found;
}

/* The log gives the reason once, even if the file was read before. */
TEST_F(routes, refusal_is_logged)
{
	char client[P2P_ADDR_LEN];
	struct route route;
	char *mem;
	int log;

	ASSERT_EQ(1, find(self->path, self->client, &route));
	mem = p2p_map(self->provider, SIZE);
	ASSERT_NE(MAP_FAILED, mem);
	log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
	ASSERT_LE(0, log);
	lseek(log, 0, SEEK_END);

	/* Plugging a device clears all cached routes. */
	ASSERT_TRUE(find_unused(client));
	ASSERT_TRUE(unplug(client));
	ASSERT_TRUE(plug());
	ASSERT_EQ(1, find(self->path, self->client, &route));

	if (strstr(route.why, "host-bridge=")) {
		EXPECT_EQ(-1, pread(self->disk, mem, SIZE, 0));
		EXPECT_EQ(-1, pread(self->disk, mem, SIZE, 0));
		EXPECT_EQ(1, logged(log, self->client, "cannot be used for peer-to-peer DMA"));
	} else {
		p2p_result(pread(self->disk, mem, SIZE, 0));
		EXPECT_EQ(0, logged(log, self->client, "cannot be used"));
	}
	close(log);
	munmap(mem, SIZE);
}

/* Reading the file, as every user may, logs nothing. */
TEST_F(routes, not_logged)
{
	int log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK);
	struct route route;
	int i;

	ASSERT_LE(0, log);
	lseek(log, 0, SEEK_END);
	for (i = 0; i < 3; i++)
		ASSERT_EQ(1, find(self->path, self->client, &route));
	EXPECT_EQ(0, logged(log, "Host bridge not in P2PDMA whitelist", ""));
	EXPECT_EQ(0, logged(log, "ACS redirect is set", ""));
	close(log);
}

/* The last valid list counts. */
TEST_F(routes, allowed_bridges)
{
	char text[KIB], expected[KIB];

	snprintf(expected, sizeof(expected), "%s\n", getenv("P2P_ALLOWED") ?: "");
	ASSERT_LT(0, read_all(HOST_BRIDGES, text, sizeof(text), 64));
	EXPECT_STREQ(expected, text);
}

TEST_HARNESS_MAIN
