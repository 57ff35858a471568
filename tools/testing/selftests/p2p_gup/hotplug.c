// SPDX-License-Identifier: GPL-2.0
/*
 * The device of a provider is removed and returns: by the files "remove" and
 * "rescan", by the power control of its slot, and by the host unplugging it.
 * Users of its memory see the same as in unbind.c.
 *
 * An unplugged device only returns if the host plugs it in again. P2P_PLUG is
 * the host's name of the device.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <lib/test_p2p_uapi.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "variants.h"
#include "dmabuf.h"
#include "gup_call.h"
#include "removal.h"

#define SLOTS		"/sys/bus/pci/slots"
#define NVME_DIR	"/sys/bus/pci/drivers/nvme"
#define SMALL		(64 * KIB)
#define LARGE		(4 * MIB)
#define ROUNDS		2

FIXTURE(hotplug)
{
	P2P_FIXTURE;
	const char *plug;
	int test;
	int klog;
	int *transfers;		/* done by a child */
	char *small, *large;
	char power[P2P_PATH_LEN];
	char client[P2P_ADDR_LEN];
};

P2P_VARIANTS(hotplug, P2P_BAR_DRIVER, "slow", NULL);

/* The file that controls the power of the provider's slot. */
static bool find_power(struct _test_data_hotplug *self)
{
	char path[P2P_PATH_LEN], address[32];
	DIR *dir = opendir(SLOTS);
	struct dirent *entry;
	bool found = false;
	ssize_t len;
	int fd;

	while (dir && !found && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), SLOTS "/%.200s/address", entry->d_name);
		fd = open(path, O_RDONLY);
		if (fd < 0)
			continue;
		len = read(fd, address, sizeof(address) - 1);
		close(fd);
		/* without the function, and with a newline */
		found = len > 1 && !strncmp(address, self->provider, len - 1);
		snprintf(self->power, sizeof(self->power), SLOTS "/%.200s/power",
			 entry->d_name);
	}
	if (dir)
		closedir(dir);
	return found;
}

/* The PCI function of the drive. */
static bool find_client(struct _test_data_hotplug *self)
{
	char link[64], device[PATH_MAX];
	struct stat st;
	char *end;

	if (fstat(self->disk, &st))
		return false;
	snprintf(link, sizeof(link), "/sys/dev/block/%u:%u", major(st.st_rdev),
		 minor(st.st_rdev));
	if (!realpath(link, device))
		return false;
	end = strstr(device, "/nvme/");
	if (!end)
		return false;
	*end = '\0';
	snprintf(self->client, sizeof(self->client), "%.23s",
		 strrchr(device, '/') + 1);
	return true;
}

FIXTURE_SETUP(hotplug)
{
	ASSERT_TRUE(p2p_setup(&self->p2p, &variant->p2p, 0));
	ASSERT_TRUE(p2p_setup_drive(&self->p2p, &variant->p2p, O_RDONLY));
	self->klog = klog_open();
	ASSERT_LE(0, self->klog);
	self->transfers = mmap(NULL, sizeof(int), PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->transfers);
	self->small = p2p_map(self->provider, SMALL);
	ASSERT_NE(MAP_FAILED, self->small);
	self->large = p2p_map(self->provider, LARGE);
	ASSERT_NE(MAP_FAILED, self->large);
	p2p_store(self->small, 1);
	p2p_store(self->large, 1);
	self->plug = getenv("P2P_PLUG");
	if (!self->plug || !find_power(self))
		SKIP(p2p_skip_now(), "P2P_PLUG is not set, or no slot has a power switch");
	ASSERT_TRUE(find_client(self));
	self->test = P2P_TEST_OPEN();
}

/* All tests end with the device back, and bound. */
FIXTURE_TEARDOWN(hotplug)
{
	EXPECT_EQ(SIGBUS, p2p_fault_of(self->small, true));
	EXPECT_EQ(SIGBUS, p2p_fault_of(self->large, false));
	EXPECT_EQ(0, munmap(self->small, SMALL));
	EXPECT_EQ(0, munmap(self->large, LARGE));
	EXPECT_EQ(self->total, p2p_number(self->provider, "p2pmem/size"));
	EXPECT_EQ(self->before, p2p_available(self->provider));
	close(self->test);
	close(self->klog);
	p2p_release(&self->p2p);
}

/* The memory works after the device has returned. */
static bool all_works(struct _test_data_hotplug *self)
{
	char *mem = p2p_map(self->provider, LARGE);
	ssize_t ret;
	bool ok;

	if (mem == MAP_FAILED)
		return false;
	p2p_fill(mem, LARGE, 1, 0);
	ok = p2p_differs(mem, LARGE, 1, 0) == -1;
	ret = p2p_result(pread(self->disk, mem, SMALL, 0));
	ok &= ret == (self->works ? (ssize_t)SMALL : -EREMOTEIO);
	return !munmap(mem, LARGE) && ok;
}

TEST_F(hotplug, remove_and_rescan)
{
	char path[P2P_PATH_LEN];
	int i;

	p2p_path(path, self->provider, "remove");
	for (i = 0; i < ROUNDS; i++) {
		ASSERT_EQ(0, p2p_write_file(path, "1"));
		EXPECT_FALSE(device_is_there(self->provider));
		EXPECT_EQ(SIGBUS, p2p_fault_of(self->large, false));
		EXPECT_EQ(-EFAULT, p2p_result(pread(self->disk, self->small,
						    SMALL, 0)));
		ASSERT_EQ(0, p2p_write_file("/sys/bus/pci/rescan", "1"));
		ASSERT_TRUE(give_driver(self->provider));
		EXPECT_TRUE(all_works(self));
	}
}

/* Reads until the memory is gone. */
static pid_t start_reader(struct _test_data_hotplug *self)
{
	pid_t child = fork();
	ssize_t ret;

	if (child)
		return child;
	do {
		ret = p2p_result(pread(self->disk, self->large, SMALL, 0));
		__atomic_add_fetch(self->transfers, 1, __ATOMIC_RELEASE);
	} while (ret == (self->works ? (ssize_t)SMALL : -EREMOTEIO));
	/*
	 * The last read may be short or refused if the memory was revoked
	 * meanwhile.
	 */
	if (ret > 0 || ret == -EREMOTEIO)
		ret = p2p_result(pread(self->disk, self->large, SMALL, 0));
	_exit(ret == -EFAULT ? 0 : 1);
}

TEST_F(hotplug, power_off)
{
	int i, status;
	pid_t child;

	for (i = 0; i < ROUNDS; i++) {
		*self->transfers = 0;
		child = start_reader(self);
		ASSERT_LT(0, child);
		while (!__atomic_load_n(self->transfers, __ATOMIC_ACQUIRE))
			usleep(500);
		ASSERT_EQ(0, p2p_write_file(self->power, "0"));
		EXPECT_FALSE(device_is_there(self->provider));
		EXPECT_EQ(child, waitpid(child, &status, 0));
		EXPECT_EQ(0, status);
		ASSERT_TRUE(plug_in(self->plug, self->provider));
		EXPECT_TRUE(all_works(self));
		if (i < ROUNDS - 1) {
			EXPECT_EQ(self->large, mmap(self->large, LARGE, PROT_NONE,
						    MAP_PRIVATE | MAP_FIXED |
						    MAP_ANONYMOUS, -1, 0));
			self->large = p2p_map(self->provider, LARGE);
			ASSERT_NE(MAP_FAILED, self->large);
		}
	}
}

/* The host requests the device, and gets it although a page is held. */
TEST_F(hotplug, pulled_out_in_use)
{
	ASSERT_EQ(1, gup_hold(self->test, P2P_TEST_PIN_FAST, self->small, 1,
			      FOLL_PCI_P2PDMA, NULL));
	unplug(self->plug);
	EXPECT_TRUE(klog_wait(self->klog, "%s: 1 pages of peer-to-peer memory are in use",
			      self->provider));
	EXPECT_TRUE(klog_wait(self->klog, "1 of these pages were mapped by hotplug[%d]",
			      getpid()));
	wait_for_device(self->provider, false);
	EXPECT_EQ(SIGBUS, p2p_fault_of(self->small, false));
	ASSERT_TRUE(plug_in(self->plug, self->provider));
	EXPECT_EQ(self->before - (long long)self->page, p2p_available(self->provider));
	EXPECT_TRUE(all_works(self));
	EXPECT_EQ(0, gup_put(self->test));
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

/*
 * A driver has mapped a dma-buf for DMA: removal waits until it has unmapped.
 */
TEST_F(hotplug, pulled_out_while_imported)
{
	struct p2p_test_attach attach = { .importer = P2P_TEST_DEAF };
	struct p2p_test_dmabuf_map map = {};
	int heap, importer;

	if (!self->works)
		return;
	heap = heap_open(self->provider);
	importer = open(IMPORTER_FILE, O_RDWR);
	attach.fd = heap_alloc(heap, SMALL);
	ASSERT_LE(0, attach.fd);
	ASSERT_TRUE(p2p_client_of(p2p_disk("slow"), &attach.client));
	ASSERT_EQ(0, ioctl(importer, P2P_TEST_ATTACH, &attach));
	ASSERT_EQ(0, attach.result);
	ASSERT_EQ(0, ioctl(importer, P2P_TEST_MAP, &map));
	ASSERT_EQ(0, map.result);

	unplug(self->plug);
	EXPECT_TRUE(klog_wait(self->klog, "%s: waiting for dma-buf of hotplug[%d]",
			      self->provider, getpid()));
	EXPECT_EQ(1, ioctl(importer, P2P_TEST_NOTIFIED));
	EXPECT_EQ(0, ioctl(importer, P2P_TEST_UNMAP));
	wait_for_device(self->provider, false);
	ASSERT_EQ(0, ioctl(importer, P2P_TEST_MAP, &map));
	EXPECT_EQ(-ENODEV, map.result);
	EXPECT_EQ(-ENODEV, heap_alloc(heap, SMALL));
	EXPECT_FALSE(heap_there(self->provider));
	ASSERT_TRUE(plug_in(self->plug, self->provider));
	EXPECT_TRUE(heap_there(self->provider));
	/* The old attachment does not apply to the new device. */
	ASSERT_EQ(0, ioctl(importer, P2P_TEST_MAP, &map));
	EXPECT_EQ(-ENODEV, map.result);
	close(importer);
	close(attach.fd);
	close(heap);
	EXPECT_TRUE(all_works(self));
}

/*
 * The drive is removed at the same time, with a transfer in flight. This is the
 * last test: the drive may return under another name.
 */
TEST_F(hotplug, with_its_client)
{
	pid_t reader, children[2];
	int i, status;

	reader = fork();
	ASSERT_LE(0, reader);
	if (!reader) {
		for (;;) {
			if (pread(self->disk, self->large, SMALL, 0) < 0 &&
			    errno != EREMOTEIO)
				_exit(errno);
			__atomic_add_fetch(self->transfers, 1, __ATOMIC_RELEASE);
		}
	}
	while (!__atomic_load_n(self->transfers, __ATOMIC_ACQUIRE))
		usleep(500);
	for (i = 0; i < 2; i++) {
		children[i] = fork();
		ASSERT_LE(0, children[i]);
		if (!children[i])
			_exit(i ? p2p_write_file(NVME_DIR "/unbind", self->client) :
				  p2p_write_file(self->power, "0"));
	}
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(children[i], waitpid(children[i], &status, 0));
		EXPECT_EQ(0, status);
	}
	/* Whether it lost the memory or the drive first. */
	EXPECT_EQ(reader, waitpid(reader, &status, 0));
	EXPECT_TRUE(WIFEXITED(status));
	EXPECT_TRUE(WEXITSTATUS(status) == EFAULT || WEXITSTATUS(status) == EIO ||
		    WEXITSTATUS(status) == ENXIO || WEXITSTATUS(status) == ENODEV)
		TH_LOG("errno %d", WEXITSTATUS(status));

	EXPECT_EQ(0, p2p_write_file(NVME_DIR "/bind", self->client));
	ASSERT_TRUE(plug_in(self->plug, self->provider));
}

TEST_HARNESS_MAIN
