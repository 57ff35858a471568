// SPDX-License-Identifier: GPL-2.0
/*
 * ACS redirection on the path between a drive and a provider: whoever enables
 * or disables it, the next transfer takes the route that p2pmem/routes reports,
 * and its data arrives. Needs a topology whose ports have ACS, and no IOMMU.
 */
#define _GNU_SOURCE
#include <libgen.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "acs.h"
#include "suspend.h"
#include "variants.h"

#define SIZE		(64 * KIB)
#define WHERE		MIB

#define PCI_SECONDARY_BUS	0x19	/* next byte: the last bus */
FIXTURE(acs)
{
	P2P_FIXTURE;
	char drive[P2P_ADDR_LEN];
	char port[PATH_MAX];	/* directory of the port above the provider */
	char above[PATH_MAX];	/* directory of the bridge above it */
	int acs;		/* offset of the capability in the port */
};

P2P_VARIANTS(acs, "p2pmem-bar", "raw", NULL);

static void set_acs(struct _test_data_acs *self, uint16_t ctrl)
{
	config_write(self->port, self->acs + ACS_CTRL, ctrl);
}

/* The drive's line in p2pmem/routes without the address; "" if it has none. */
static const char *told(struct _test_data_acs *self)
{
	static char line[512];
	size_t len = strlen(self->drive);
	char path[P2P_PATH_LEN];
	bool found = false;
	FILE *file;

	p2p_path(path, self->provider, "p2pmem/routes");
	file = fopen(path, "r");
	while (file && !found && fgets(line, sizeof(line), file))
		found = !strncmp(line, self->drive, len) && line[len] == ' ';
	if (file)
		fclose(file);
	return found ? line + len + 1 : "";
}

static bool is_told(struct _test_data_acs *self, const char *way)
{
	return !strncmp(told(self), way, strlen(way));
}

/* Writes to the drive and reads back; returns the route, or the error. */
static const char *transfer(struct _test_data_acs *self)
{
	long long bus = p2p_number(self->provider, "p2pmem/dma_bus_bytes");
	long long bridge = p2p_number(self->provider,
				      "p2pmem/dma_host_bridge_bytes");
	static uint64_t seed;

	p2p_fill(self->mem, SIZE, ++seed, 0);
	if (pwrite(self->disk, self->mem, SIZE, WHERE) != SIZE)
		return "write failed";
	if (pread(self->disk, self->ram, SIZE, WHERE) != SIZE ||
	    p2p_differs(self->ram, SIZE, seed, 0) >= 0)
		return "written wrong";
	p2p_set(self->mem, SIZE, 0);
	if (pread(self->disk, self->mem, SIZE, WHERE) != SIZE)
		return "read failed";
	if (p2p_differs(self->mem, SIZE, seed, 0) >= 0)
		return "read wrong";

	bus = p2p_number(self->provider, "p2pmem/dma_bus_bytes") - bus;
	bridge = p2p_number(self->provider, "p2pmem/dma_host_bridge_bytes") -
		 bridge;
	return bus == 2 * SIZE && !bridge ? "bus" :
	       bridge == 2 * SIZE && !bus ? "host-bridge" : "both";
}

FIXTURE_SETUP(acs)
{
	const char *disk = p2p_disk(variant->p2p.disk);
	char path[PATH_MAX], *dir;

	ASSERT_TRUE(p2p_setup_io(&self->p2p, &variant->p2p, SIZE, O_RDWR));
	ASSERT_TRUE(acs_path_of_disk(disk, path));
	snprintf(self->drive, sizeof(self->drive), "%.*s", P2P_ADDR_LEN - 1,
		 basename(path));

	p2p_path(path, self->provider, "");
	ASSERT_NE(NULL, realpath(path, self->port));
	dir = dirname(self->port);
	memmove(self->port, dir, strlen(dir) + 1);
	strcpy(self->above, self->port);
	dir = dirname(self->above);
	memmove(self->above, dir, strlen(dir) + 1);
	self->acs = acs_find(self->port);
	if (!self->acs)
		SKIP(p2p_skip_now(), "%s has no ACS", basename(self->port));
	set_acs(self, 0);
	ASSERT_TRUE(is_told(self, "bus")) TH_LOG("%s", told(self));
	ASSERT_STREQ("bus", transfer(self));
}

FIXTURE_TEARDOWN(acs)
{
	set_acs(self, 0);
	p2p_release(&self->p2p);
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

TEST_F(acs, switched_by_the_administrator)
{
	for (int i = 0; i < 50; i++) {
		set_acs(self, ACS_REDIRECT);
		ASSERT_EQ(ACS_REDIRECT, config_read(self->port, self->acs + ACS_CTRL));
		EXPECT_TRUE(is_told(self, "host-bridge")) TH_LOG("%s", told(self));
		ASSERT_STREQ("host-bridge", transfer(self));

		set_acs(self, 0);
		EXPECT_TRUE(is_told(self, "bus")) TH_LOG("%s", told(self));
		ASSERT_STREQ("bus", transfer(self));
	}
}

struct switcher {
	struct _test_data_acs *fixture;
	bool stop;
	int times;
};

static void *keep_switching(void *data)
{
	struct switcher *switcher = data;

	while (!__atomic_load_n(&switcher->stop, __ATOMIC_RELAXED)) {
		set_acs(switcher->fixture, ACS_REDIRECT);
		usleep(500);
		set_acs(switcher->fixture, 0);
		usleep(500);
		switcher->times++;
	}
	return NULL;
}

/* Each transfer takes one route or the other, and no data is lost. */
TEST_F(acs, switched_while_transfers_run)
{
	struct switcher switcher = { .fixture = self };
	pthread_t thread;
	const char *way;

	ASSERT_EQ(0, pthread_create(&thread, NULL, keep_switching, &switcher));
	for (int i = 0; i < 300; i++) {
		way = transfer(self);
		EXPECT_TRUE(!strcmp(way, "bus") || !strcmp(way, "both") ||
			    !strcmp(way, "host-bridge")) TH_LOG("%s", way);
	}
	__atomic_store_n(&switcher.stop, true, __ATOMIC_RELAXED);
	EXPECT_EQ(0, pthread_join(thread, NULL));
	EXPECT_LT(10, switcher.times);
	EXPECT_STREQ("bus", transfer(self));
	EXPECT_TRUE(is_told(self, "bus")) TH_LOG("%s", told(self));
}

/*
 * On resume the kernel sets ACS control by its own rules. Here
 * pci=disable_acs_redir= makes it disable redirection.
 */
TEST_F(acs, switched_by_the_kernel)
{
	if (!can_sleep())
		SKIP(return, "no " PM_TEST ": CONFIG_SUSPEND, CONFIG_PM_DEBUG?");
	set_acs(self, ACS_REDIRECT);
	ASSERT_STREQ("host-bridge", transfer(self));
	ASSERT_EQ(0, sleep_once());
	ASSERT_EQ(0, config_read(self->port, self->acs + ACS_CTRL) & ACS_REDIRECT);
	EXPECT_TRUE(is_told(self, "bus")) TH_LOG("%s", told(self));
	EXPECT_STREQ("bus", transfer(self));
}

/*
 * While a bridge's configuration space is not readable, as during a reset,
 * transfers take the host bridge; such a result is not cached.
 */
TEST_F(acs, unknown)
{
	uint16_t buses = config_read(self->above, PCI_SECONDARY_BUS);

	/* Configuration requests don't reach the port, memory requests do. */
	config_write(self->above, PCI_SECONDARY_BUS, 0xfefe);
	EXPECT_EQ(0xffff, config_read(self->port, self->acs + ACS_CTRL));
	set_acs(self, 0);
	EXPECT_TRUE(is_told(self, "host-bridge")) TH_LOG("%s", told(self));
	EXPECT_NE(NULL, strstr(told(self), " acs-unknown=")) TH_LOG("%s", told(self));
	EXPECT_STREQ("host-bridge", transfer(self));

	config_write(self->above, PCI_SECONDARY_BUS, buses);
	EXPECT_EQ(0, config_read(self->port, self->acs + ACS_CTRL) & ACS_REDIRECT);
	EXPECT_TRUE(is_told(self, "bus")) TH_LOG("%s", told(self));
	EXPECT_STREQ("bus", transfer(self));
}

TEST_HARNESS_MAIN
