// SPDX-License-Identifier: GPL-2.0
/*
 * The link to a provider fails, and PCI Express reports it (AER). Usually the
 * kernel resets the devices below the port, after which they work as before;
 * users of the memory wait meanwhile. If the kernel can't recover, they stop
 * waiting.
 *
 * The host makes a port report the error. P2P_PORTS lists PROVIDER=PORT,
 * separated by spaces, where PORT is the host's name of the port. P2P_LOST is
 * one that the kernel does not recover, because a function below it has no
 * driver.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define OUTAGE_DISK	"raw"

#include "outage.h"
#include "bind.h"
#include "klog.h"

#define NR_CHILDREN	3
#define ROUNDS		3

struct shared {
	int stop;
	int steps[NR_CHILDREN];
};

/*
 * The host's name of the port above a provider, from a list in the environment.
 */
static bool find_port(const char *list, const char *provider, char *port,
		      size_t size)
{
	const char *text = getenv(list) ?: "", *end;
	size_t len = strlen(provider);

	while (text && (strncmp(text, provider, len) || text[len] != '='))
		text = strchr(text, ' ') ? strchr(text, ' ') + 1 : NULL;
	if (!text)
		return false;
	text += len + 1;
	end = strchrnul(text, ' ');
	snprintf(port, size, "%.*s", (int)(end - text), text);
	return true;
}

static const char *outage_prevented(const char *provider)
{
	char port[P2P_ADDR_LEN];

	return find_port("P2P_PORTS", provider, port, sizeof(port)) ?
	       NULL : "the host is not known to make its port fail (P2P_PORTS)";
}

/* Returns 0 after recovery, EIO if there was none, or another errno. */
static int fail_port(const char *port)
{
	char record[8192];
	int error, klog = klog_open();

	if (klog < 0)
		return errno;
	printf("# host-fail %s\n", port);
	fflush(stdout);
	for (;;) {
		error = klog_next(klog, record, sizeof(record));
		if (error && error != EAGAIN)
			break;
		if (!error && strstr(record, "device recovery successful"))
			break;
		if (!error && strstr(record, "device recovery failed")) {
			error = EIO;
			break;
		}
		if (error)
			usleep(1000);
	}
	close(klog);
	return error;
}

static int outage(const char *provider)
{
	char port[P2P_ADDR_LEN];

	find_port("P2P_PORTS", provider, port, sizeof(port));
	return fail_port(port);
}

TEST_F(outage, entries_are_gone)
{
	p2p_store(self->small, 1);
	p2p_store(self->large, 1);
	ASSERT_EQ(0, outage(self->provider));
	EXPECT_FALSE(p2p_pagemap(self->small) & PAGEMAP_PRESENT);
	EXPECT_FALSE(p2p_pagemap(self->large) & PAGEMAP_PRESENT);
}

/* A word that no one else writes keeps its value, whatever happens. */
static int touch(struct _test_data_outage *self, int nr)
{
	uint64_t *word = (uint64_t *)(self->large + nr * 2 * MIB) + 1;
	int i;

	for (i = 1; i <= 1000; i++) {
		p2p_store(word, i);
		if (p2p_load(word) != i)
			return 1;
	}
	return 0;
}

static int map(struct _test_data_outage *self, int nr)
{
	char *mem = p2p_map(self->provider, SMALL);

	if (mem == MAP_FAILED)
		return 1;
	p2p_store(mem, 1);
	return munmap(mem, SMALL);
}

TEST_F(outage, in_use)
{
	int (*const steps[NR_CHILDREN])(struct _test_data_outage *self, int nr) = {
		touch, touch, map,
	};
	struct shared *shared = (struct shared *)self->shared;
	pid_t children[NR_CHILDREN];
	int i, seen, round, status;

	for (i = 0; i < NR_CHILDREN; i++) {
		children[i] = outage_fork();
		ASSERT_LE(0, children[i]);
		if (children[i])
			continue;
		while (!__atomic_load_n(&shared->stop, __ATOMIC_ACQUIRE)) {
			if (steps[i](self, i))
				_exit(1);
			__atomic_add_fetch(&shared->steps[i], 1,
					   __ATOMIC_RELEASE);
		}
		_exit(0);
	}
	for (round = 0; round < ROUNDS; round++) {
		EXPECT_EQ(0, outage(self->provider));
		for (i = 0; i < NR_CHILDREN; i++) {
			seen = __atomic_load_n(&shared->steps[i],
					       __ATOMIC_ACQUIRE);
			while (__atomic_load_n(&shared->steps[i],
					       __ATOMIC_ACQUIRE) == seen) {
				ASSERT_EQ(0, waitpid(children[i], NULL, WNOHANG))
					TH_LOG("child %d failed", i);
				usleep(500);
			}
		}
	}
	__atomic_store_n(&shared->stop, 1, __ATOMIC_RELEASE);
	for (i = 0; i < NR_CHILDREN; i++) {
		EXPECT_EQ(children[i], waitpid(children[i], &status, 0));
		EXPECT_EQ(0, status);
	}
}

/* Removes all functions in the device's slot and rescans the bus. */
static void find_again(const char *device)
{
	char function[P2P_ADDR_LEN], path[P2P_PATH_LEN];
	int nr;

	for (nr = 0; nr < 8; nr++) {
		snprintf(function, sizeof(function), "%.*s%d",
			 (int)strlen(device) - 1, device, nr);
		p2p_path(path, function, "remove");
		p2p_write_file(path, "1");
	}
	p2p_write_file("/sys/bus/pci/rescan", "1");
	p2p_path(path, device, "driver_override");
	p2p_write_file(path, P2P_BAR_DRIVER);
	p2p_write_file("/sys/bus/pci/drivers_probe", device);
}

/* The memory is gone for good, like all other devices below the port. */
TEST(no_recovery)
{
	char provider[P2P_ADDR_LEN], port[P2P_ADDR_LEN];
	const char *lost = getenv("P2P_LOST");
	int status, allocate, disk;
	char *mem, *touched;
	long long before;
	pid_t child;

	if (!lost)
		SKIP(return, "P2P_LOST is not set");
	snprintf(provider, sizeof(provider), "%.*s", (int)strcspn(lost, "="), lost);
	ASSERT_TRUE(find_port("P2P_LOST", provider, port, sizeof(port)));
	disk = open(p2p_disk(OUTAGE_DISK), O_RDONLY | O_DIRECT);
	ASSERT_LE(0, disk);
	before = p2p_available(provider);
	allocate = p2p_open(provider, O_RDWR);
	ASSERT_LE(0, allocate);
	mem = p2p_map(provider, SMALL);
	ASSERT_NE(MAP_FAILED, mem);
	p2p_store(mem, 1);
	touched = p2p_map(provider, SMALL);
	ASSERT_NE(MAP_FAILED, touched);

	child = outage_fork();
	ASSERT_LE(0, child);
	if (!child)
		for (;;)
			p2p_store(touched, 1);

	EXPECT_EQ(EIO, fail_port(port));
	/* Both an access that waited and a new one. */
	EXPECT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(SIGBUS, status);
	EXPECT_EQ(SIGBUS, p2p_fault_of(mem, true));
	EXPECT_EQ(-EFAULT, p2p_result(pread(disk, mem, SMALL, 0)));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, SMALL, PROT_READ, MAP_SHARED,
				   allocate, 0));
	EXPECT_EQ(ENODEV, errno);
	EXPECT_EQ(0, munmap(mem, SMALL));
	EXPECT_EQ(0, munmap(touched, SMALL));
	EXPECT_EQ(0, p2p_unbind(provider));
	EXPECT_TRUE(p2p_is_gone(provider, P2P_BAR_DRIVER));

	find_again(provider);
	EXPECT_EQ(before, p2p_available(provider));
	mem = p2p_map(provider, SMALL);
	ASSERT_NE(MAP_FAILED, mem);
	p2p_fill(mem, SMALL, 1, 0);
	EXPECT_EQ(-1, p2p_differs(mem, SMALL, 1, 0));
	EXPECT_EQ(0, munmap(mem, SMALL));
	close(allocate);
	close(disk);
}

TEST_HARNESS_MAIN
