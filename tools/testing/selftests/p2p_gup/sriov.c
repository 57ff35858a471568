// SPDX-License-Identifier: GPL-2.0
/*
 * A virtual function of a drive as a client: p2pmem/routes has its route, its
 * transfers take that route, and it may be removed during transfers.
 *
 *	P2P_FUNCTIONS	the serial number of an NVMe controller with virtual functions,
 *			which share its namespace; that is overwritten
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/nvme_ioctl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bind.h"
#include "variants.h"

#define SIZE		(2 * MIB)
#define POISON		0xdeadbeefcafef00dULL
#define WAIT_MS		20000

/* Virtualization Management, NVMe base specification */
enum { VIRT_MGMT = 0x1c };
enum { QUEUES, INTERRUPTS };
enum { PRIMARY_ALLOCATION = 1, OFFLINE = 7, ASSIGN = 8, ONLINE = 9 };

FIXTURE(sriov)
{
	P2P_FIXTURE;
	char pf[P2P_ADDR_LEN];
	char vf[P2P_ADDR_LEN];
	char path[PATH_MAX];	/* of the virtual function's drive */
	int admin;
	int fd;
};

P2P_VARIANTS(sriov, NULL, NULL);

/* The last component of a link's target. */
static bool link_name(const char *path, char *name, size_t size)
{
	char link[PATH_MAX];
	ssize_t len = readlink(path, link, sizeof(link) - 1);

	if (len < 0)
		return false;
	link[len] = '\0';
	snprintf(name, size, "%s", strrchr(link, '/') + 1);
	return true;
}

/* The controller with that serial number: its PCI address, and its admin queue. */
static int find_controller(const char *serial, char *pf)
{
	DIR *dir = opendir("/sys/class/nvme");
	struct dirent *entry;
	char path[PATH_MAX], have[64];
	int fd = -1, file;

	while (dir && fd < 0 && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		memset(have, 0, sizeof(have));
		snprintf(path, sizeof(path), "/sys/class/nvme/%s/serial", entry->d_name);
		file = open(path, O_RDONLY);
		if (file < 0 || read(file, have, sizeof(have) - 1) < 0)
			have[0] = '\0';
		close(file);
		have[strcspn(have, "\n ")] = '\0';
		snprintf(path, sizeof(path), "/sys/class/nvme/%s/device", entry->d_name);
		if (strcmp(have, serial) || !link_name(path, pf, P2P_ADDR_LEN))
			continue;
		/* A virtual function has the same serial number. */
		p2p_path(path, pf, "sriov_numvfs");
		if (access(path, F_OK))
			continue;
		snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
		fd = open(path, O_RDWR);
	}
	if (dir)
		closedir(dir);
	return fd;
}

static int manage(int admin, int controller, int resource, int action, int count)
{
	struct nvme_passthru_cmd cmd = {
		.opcode = VIRT_MGMT,
		.cdw10 = controller << 16 | resource << 8 | action,
		.cdw11 = count,
	};

	return ioctl(admin, NVME_IOCTL_ADMIN_CMD, &cmd);
}

static int set(const char *device, const char *file, const char *text)
{
	char path[P2P_PATH_LEN];

	p2p_path(path, device, file);
	return p2p_write_file(path, text);
}

/* Waits for a block device to appear below a function. */
static bool wait_for_drive(const char *function, char *drive, size_t size)
{
	char path[P2P_PATH_LEN];
	struct dirent *entry;
	bool found = false;
	unsigned int ms;
	int a, b;
	DIR *dir;

	for (ms = 0; !found && ms < WAIT_MS; ms += 10) {
		for (a = 0; !found && a < 16; a++) {
			snprintf(path, sizeof(path), P2P_PCI_DEVICES "/%s/nvme/nvme%d",
				 function, a);
			dir = opendir(path);
			while (dir && !found && (entry = readdir(dir))) {
				if (sscanf(entry->d_name, "nvme%dn%d", &a, &b) != 2)
					continue;
				snprintf(drive, size, "/dev/%s", entry->d_name);
				found = !access(drive, F_OK);
			}
			if (dir)
				closedir(dir);
		}
		usleep(10000);
	}
	return found;
}

FIXTURE_SETUP(sriov)
{
	char link[P2P_PATH_LEN];

	if (!getenv("P2P_FUNCTIONS"))
		SKIP(p2p_skip_now(), "P2P_FUNCTIONS is not set");
	ASSERT_TRUE(p2p_setup(&self->p2p, &variant->p2p, SIZE));
	ASSERT_TRUE(p2p_setup_ram(&self->p2p));

	/*
	 * From its next reset on, the controller gives up resources beyond a
	 * minimum. They are then assigned to a function, which starts offline,
	 * without a driver.
	 */
	self->admin = find_controller(getenv("P2P_FUNCTIONS"), self->pf);
	ASSERT_LE(0, self->admin);
	ASSERT_EQ(0, manage(self->admin, 0, QUEUES, PRIMARY_ALLOCATION, 0));
	ASSERT_EQ(0, manage(self->admin, 0, INTERRUPTS, PRIMARY_ALLOCATION, 0));
	ASSERT_EQ(0, p2p_reset(self->pf));
	ASSERT_EQ(0, set(self->pf, "sriov_drivers_autoprobe", "0"));
	ASSERT_EQ(0, set(self->pf, "sriov_numvfs", "1"));
	p2p_path(link, self->pf, "virtfn0");
	ASSERT_TRUE(link_name(link, self->vf, sizeof(self->vf)));
	ASSERT_EQ(0, manage(self->admin, 1, QUEUES, ASSIGN, 2));
	ASSERT_EQ(0, manage(self->admin, 1, INTERRUPTS, ASSIGN, 1));
	ASSERT_EQ(0, manage(self->admin, 1, QUEUES, ONLINE, 0));
	ASSERT_EQ(0, set(self->pf, "sriov_drivers_autoprobe", "1"));
	ASSERT_EQ(0, p2p_driver_bind("nvme", self->vf));
	ASSERT_TRUE(wait_for_drive(self->vf, self->path, sizeof(self->path)));
	self->fd = open(self->path, O_RDWR | O_DIRECT);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(sriov)
{
	close(self->fd);
	EXPECT_EQ(0, set(self->pf, "sriov_numvfs", "0"));
	EXPECT_NE(0, access(self->path, F_OK));
	close(self->admin);
	p2p_release(&self->p2p);
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

/* The line of a function in p2pmem/routes; empty if there is none. */
static void way_of(const char *provider, const char *function, char *way)
{
	char path[P2P_PATH_LEN], line[512], client[32];
	FILE *file;

	*way = '\0';
	p2p_path(path, provider, "p2pmem/routes");
	file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "%31s", client) == 1 && !strcmp(client, function))
			sscanf(line, "%*s %15s", way);
	if (file)
		fclose(file);
}

TEST_F(sriov, transfers)
{
	static const size_t sizes[] = { 4 * KIB, 64 * KIB, MIB + SECTOR };
	bool works = strcmp(getenv("P2P_ROUTE") ?: "", "none");
	ssize_t len, due;
	char way[16];
	size_t i;

	way_of(self->provider, self->vf, way);
	EXPECT_STREQ(getenv("P2P_ROUTE"), way);
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		len = sizes[i];
		due = works ? len : -EREMOTEIO;
		p2p_fill(self->mem, len, 1, 0);
		EXPECT_EQ(due, p2p_result(pwrite(self->fd, self->mem, len, 0)));
		if (!works)
			continue;
		EXPECT_EQ(len, pread(self->fd, self->ram, len, 0));
		EXPECT_EQ(-1, p2p_differs(self->ram, len, 1, 0));
		p2p_set(self->mem, len, POISON);
		EXPECT_EQ(len, pread(self->fd, self->mem, len, 0));
		EXPECT_EQ(-1, p2p_differs(self->mem, len, 1, 0));
	}
}

/* All functions are removed while one of them transfers. */
TEST_F(sriov, goes)
{
	pid_t child = fork();
	char way[16];
	int status;

	ASSERT_LE(0, child);
	if (!child) {
		ssize_t ret;

		do {
			ret = pread(self->fd, self->mem, SIZE, 0);
		} while (ret == SIZE);
		/*
		 * A request in flight when its drive is removed fails, but not
		 * with EREMOTEIO.
		 */
		_exit(ret < 0 && errno == EREMOTEIO);
	}
	usleep(200000);
	close(self->fd);
	EXPECT_EQ(0, set(self->pf, "sriov_numvfs", "0"));
	ASSERT_EQ(child, waitpid(child, &status, 0));
	EXPECT_TRUE(WIFEXITED(status));
	EXPECT_EQ(0, WEXITSTATUS(status));
	way_of(self->provider, self->vf, way);
	EXPECT_STREQ("", way);
}

TEST_HARNESS_MAIN
