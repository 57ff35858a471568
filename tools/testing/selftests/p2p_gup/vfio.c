// SPDX-License-Identifier: GPL-2.0
/*
 * vfio: a device assigned to a process copies between RAM and peer-to-peer
 * memory, by addresses that an IOMMU translates, as long as the memory exists.
 *
 * Takes the edu device that is bound to vfio-pci.
 *
 *	P2P_VFIO_FAR	address of another device that is bound to vfio-pci, and has no
 *			route to the providers
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "acs.h"
#include "klog.h"
#include "variants.h"
#include "range.h"
#include "vfio.h"

#define FAR_AT		0x400000

FIXTURE(vfio)
{
	P2P_FIXTURE;
	struct vfio vfio;
	char edu[P2P_ADDR_LEN];
};

P2P_VARIANTS(vfio, NULL, NULL);

FIXTURE_SETUP(vfio)
{
	if (access("/dev/vfio/vfio", F_OK))
		SKIP(p2p_skip_now(), "not configured: CONFIG_VFIO");
	if (!vfio_find_edu(self->edu, sizeof(self->edu)))
		SKIP(p2p_skip_now(), "no edu device is bound to vfio-pci");
	ASSERT_TRUE(p2p_setup(&self->p2p, &variant->p2p, PAGES * sysconf(_SC_PAGESIZE)));
	ASSERT_TRUE(vfio_open_with_ram(&self->vfio, self->edu, &self->p2p));
}

FIXTURE_TEARDOWN(vfio)
{
	vfio_close(&self->vfio);
	p2p_release(&self->p2p);
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

/* "VmLck:" and the like, in KiB. */
static long status(const char *name)
{
	FILE *file = fopen("/proc/self/status", "r");
	char line[200];
	long kib = -1;

	while (file && kib < 0 && fgets(line, sizeof(line), file))
		if (!strncmp(line, name, strlen(name)))
			kib = strtol(line + strlen(name), NULL, 10);
	if (file)
		fclose(file);
	return kib;
}

TEST_F(vfio, copies)
{
	long locked = status("VmLck:");
	size_t page = self->page;

	ASSERT_EQ(0, vfio_map(&self->vfio, P2P_AT, self->mem, self->size));
	EXPECT_EQ(locked, status("VmLck:"));

	p2p_set(self->ram, self->size, POISON);
	EXPECT_TRUE(vfio_edu_copy(&self->vfio, P2P_AT, RAM_AT, page));
	EXPECT_EQ(-1, p2p_differs(self->ram, page, SEED, 0));
	EXPECT_EQ(-1, p2p_not_set(self->ram + page, self->size - page, POISON));

	p2p_fill(self->ram, page, SEED + 1, 0);
	EXPECT_TRUE(vfio_edu_copy(&self->vfio, RAM_AT, P2P_AT + 3 * page, page));
	EXPECT_EQ(-1, p2p_differs(self->mem, 3 * page, SEED, 0));
	EXPECT_EQ(-1, p2p_differs(self->mem + 3 * page, page, SEED + 1, 0));
	EXPECT_EQ(-1, p2p_differs(self->mem + 4 * page, self->size - 4 * page,
				  SEED, 4 * page));

	EXPECT_EQ((long long)self->size, vfio_unmap(&self->vfio, P2P_AT, self->size));
	EXPECT_EQ(0, vfio_unmap(&self->vfio, P2P_AT, self->size));
	EXPECT_EQ(locked, status("VmLck:"));

	/* The device no longer has access. */
	EXPECT_TRUE(vfio_edu_copy(&self->vfio, RAM_AT, P2P_AT, page));
	EXPECT_EQ(-1, p2p_differs(self->mem, 3 * page, SEED, 0));
}

/*
 * A mapping as large as the largest entries of the IOMMU, and an unaligned one.
 */
TEST_F(vfio, large)
{
	const size_t size = 4 * MIB;
	char *mem = p2p_map(self->provider, size);

	ASSERT_NE(MAP_FAILED, mem);
	ASSERT_EQ(0, vfio_map(&self->vfio, 16 * MIB, mem, size));
	ASSERT_EQ(0, vfio_map(&self->vfio, 32 * MIB + self->page, mem + self->page,
			      size - self->page));
	p2p_fill(self->ram, self->page, SEED + 2, 0);
	EXPECT_TRUE(vfio_edu_copy(&self->vfio, RAM_AT, 20 * MIB - self->page, self->page));
	EXPECT_EQ(-1, p2p_differs(mem + size - self->page, self->page, SEED + 2, 0));
	EXPECT_TRUE(vfio_edu_copy(&self->vfio, 36 * MIB - self->page, RAM_AT + self->page,
				  self->page));
	EXPECT_EQ(-1, p2p_differs(self->ram + self->page, self->page, SEED + 2, 0));
	EXPECT_EQ(2 * (long long)size - (long long)self->page,
		  vfio_unmap(&self->vfio, 16 * MIB, 32 * MIB));
	munmap(mem, size);
}

/* The device keeps the memory, whatever the process maps at that address. */
TEST_F(vfio, outlives_mapping)
{
	ASSERT_EQ(0, vfio_map(&self->vfio, P2P_AT, self->mem, self->size));
	ASSERT_EQ(self->mem, mmap(self->mem, self->size, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	EXPECT_EQ(self->before - (long long)self->size, p2p_available(self->provider));
	EXPECT_TRUE(vfio_edu_copy(&self->vfio, P2P_AT, RAM_AT, self->page));
	EXPECT_EQ(-1, p2p_differs(self->ram, self->page, SEED, 0));
	EXPECT_EQ(-1, p2p_not_set(self->mem, self->size, 0));
	EXPECT_EQ((long long)self->size, vfio_unmap(&self->vfio, P2P_AT, self->size));
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

/* Unmaps whole mappings, one or more at a time. */
TEST_F(vfio, unmapped_in_parts)
{
	const size_t half = self->size / 2;

	ASSERT_EQ(0, vfio_map(&self->vfio, P2P_AT, self->mem, self->size));
	EXPECT_EQ(-EINVAL, vfio_unmap(&self->vfio, P2P_AT, half));
	EXPECT_EQ(-EINVAL, vfio_unmap(&self->vfio, P2P_AT + half, half));
	EXPECT_EQ(-EEXIST, vfio_map(&self->vfio, P2P_AT + half, self->mem, half));
	EXPECT_EQ((long long)self->size, vfio_unmap(&self->vfio, P2P_AT, 2 * self->size));

	ASSERT_EQ(0, vfio_map(&self->vfio, P2P_AT, self->mem, half));
	ASSERT_EQ(0, vfio_map(&self->vfio, P2P_AT + half, self->mem + half, half));
	/* once more, elsewhere */
	ASSERT_EQ(0, vfio_map(&self->vfio, FAR_AT, self->mem, self->size));
	EXPECT_EQ((long long)half, vfio_unmap(&self->vfio, P2P_AT, half));
	EXPECT_TRUE(vfio_edu_copy(&self->vfio, P2P_AT + half, RAM_AT, self->page));
	EXPECT_EQ(-1, p2p_differs(self->ram, self->page, SEED, half));
	EXPECT_TRUE(vfio_edu_copy(&self->vfio, FAR_AT, RAM_AT, self->page));
	EXPECT_EQ(-1, p2p_differs(self->ram, self->page, SEED, 0));
	/* with the RAM */
	EXPECT_EQ((long long)(half + 2 * self->size),
		  vfio_unmap_flags(&self->vfio, 0, 0, VFIO_DMA_UNMAP_FLAG_ALL));
}

/* A lease can't be transferred: the new owner has to unmap and map again. */
TEST_F(vfio, no_new_vaddr)
{
	ASSERT_EQ(0, vfio_map(&self->vfio, P2P_AT, self->mem, self->size));
	EXPECT_EQ(-EINVAL, vfio_unmap_flags(&self->vfio, P2P_AT, self->size,
					    VFIO_DMA_UNMAP_FLAG_VADDR));
	EXPECT_EQ(-EINVAL, vfio_unmap_flags(&self->vfio, 0, 0,
					    VFIO_DMA_UNMAP_FLAG_VADDR |
					    VFIO_DMA_UNMAP_FLAG_ALL));
	EXPECT_EQ(-EINVAL, vfio_map_flags(&self->vfio, P2P_AT, self->mem, self->size,
					  VFIO_DMA_MAP_FLAG_VADDR));
	EXPECT_TRUE(vfio_edu_copy(&self->vfio, P2P_AT, RAM_AT, self->page));
	EXPECT_EQ(-1, p2p_differs(self->ram, self->page, SEED, 0));
	/* The RAM still has its address. */
	EXPECT_EQ((long long)self->size,
		  vfio_unmap_flags(&self->vfio, RAM_AT, self->size,
				   VFIO_DMA_UNMAP_FLAG_VADDR));
	EXPECT_EQ(0, vfio_map_flags(&self->vfio, RAM_AT, self->ram, self->size,
				    VFIO_DMA_MAP_FLAG_VADDR));
}

/* Device writes are not tracked, so all pages are dirty, as for RAM. */
TEST_F(vfio, dirty_pages)
{
	struct vfio_iommu_type1_dirty_bitmap dirty = {
		.argsz = sizeof(dirty),
		.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_START,
	};
	uint64_t bitmap = 0;
	struct {
		struct vfio_iommu_type1_dma_unmap unmap;
		struct vfio_bitmap bitmap;
	} call = {
		.unmap = {
			.argsz = sizeof(call),
			.flags = VFIO_DMA_UNMAP_FLAG_GET_DIRTY_BITMAP,
			.iova = P2P_AT,
			.size = self->size,
		},
		.bitmap = {
			.pgsize = self->page,
			.size = sizeof(bitmap),
			.data = (__u64 *)&bitmap,
		},
	};

	ASSERT_EQ(0, vfio_map(&self->vfio, P2P_AT, self->mem, self->size));
	ASSERT_EQ(0, ioctl(self->vfio.container, VFIO_IOMMU_DIRTY_PAGES, &dirty));
	ASSERT_EQ(0, ioctl(self->vfio.container, VFIO_IOMMU_UNMAP_DMA, &call));
	EXPECT_EQ(self->size, call.unmap.size);
	EXPECT_EQ((1 << PAGES) - 1, bitmap);
	dirty.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_STOP;
	EXPECT_EQ(0, ioctl(self->vfio.container, VFIO_IOMMU_DIRTY_PAGES, &dirty));
}

/*
 * A DMA mapping is all RAM or all of one buffer, with no more rights than the
 * memory.
 */
TEST_F(vfio, refused)
{
	const size_t size = self->size;
	char *area = p2p_ram(4 * size);
	char *mem = p2p_map(self->provider, size);

	ASSERT_NE(MAP_FAILED, area);
	ASSERT_NE(MAP_FAILED, mem);
	ASSERT_EQ(area + size, mremap(self->mem, size, size,
				      MREMAP_MAYMOVE | MREMAP_FIXED, area + size));
	self->mem = area + size;
	ASSERT_EQ(area + 2 * size, mremap(mem, size, size,
					  MREMAP_MAYMOVE | MREMAP_FIXED, area + 2 * size));
	mem = area + 2 * size;

	EXPECT_EQ(-EREMOTEIO, vfio_map(&self->vfio, P2P_AT, area, 2 * size));
	EXPECT_EQ(-EINVAL, vfio_map(&self->vfio, P2P_AT, mem, 2 * size));
	EXPECT_EQ(-EINVAL, vfio_map(&self->vfio, P2P_AT, self->mem, 2 * size));
	EXPECT_EQ(-EINVAL, vfio_map(&self->vfio, P2P_AT, self->mem + 1, size));
	EXPECT_EQ(-EINVAL, vfio_map(&self->vfio, P2P_AT + 1, self->mem, size));
	EXPECT_EQ(-EINVAL, vfio_map(&self->vfio, P2P_AT, self->mem, 0));
	EXPECT_EQ(-EEXIST, vfio_map(&self->vfio, RAM_AT, self->mem, size));
	ASSERT_EQ(0, mprotect(mem, size, PROT_READ));
	EXPECT_EQ(-EFAULT, vfio_map(&self->vfio, P2P_AT, mem, size));
	EXPECT_EQ(0, vfio_map_flags(&self->vfio, P2P_AT, mem, size,
				    VFIO_DMA_MAP_FLAG_READ));
	EXPECT_EQ((long long)size, vfio_unmap(&self->vfio, P2P_AT, size));

	/* The refused calls leave nothing behind. */
	EXPECT_EQ(0, vfio_map(&self->vfio, P2P_AT, area, size));
	EXPECT_EQ((long long)size, vfio_unmap(&self->vfio, P2P_AT, size));
	EXPECT_TRUE(p2p_differs(self->mem, size, SEED, 0) == -1);
	munmap(mem, size);
}

TEST_F(vfio, without_route)
{
	const char *far = getenv("P2P_VFIO_FAR");
	struct vfio vfio = { .regs = MAP_FAILED, .device = -1 };
	int kmsg = klog_open();

	if (!far)
		SKIP(return, "P2P_VFIO_FAR names no device");
	ASSERT_LE(0, kmsg);
	vfio.container = open("/dev/vfio/vfio", O_RDWR);
	vfio.group = vfio_open_group(far);
	ASSERT_EQ(0, vfio_attach(&vfio, vfio.group));
	ASSERT_EQ(0, ioctl(vfio.container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU));
	EXPECT_EQ(-EREMOTEIO, vfio_map(&vfio, P2P_AT, self->mem, self->size));
	EXPECT_TRUE(klog_said(kmsg, far,
			      "there is no route through the host bridge: host-bridge="));
	EXPECT_EQ(0, vfio_unmap(&vfio, P2P_AT, self->size));
	EXPECT_EQ(0, vfio_map(&vfio, P2P_AT, self->ram, self->size));
	vfio_close(&vfio);
	close(kmsg);
}

/* Does p2pmem/routes say that the device reaches the provider through the host bridge? */
static bool is_by_host_bridge(const char *provider, const char *client)
{
	char path[P2P_PATH_LEN], line[512], want[64];
	bool found = false;
	FILE *file;

	snprintf(want, sizeof(want), "%s host-bridge ", client);
	p2p_path(path, provider, "p2pmem/routes");
	file = fopen(path, "r");
	while (file && !found && fgets(line, sizeof(line), file))
		found = !strncmp(line, want, strlen(want));
	if (file)
		fclose(file);
	return found;
}

/*
 * Goes from the directory of a device or port to that of the port above, if
 * any.
 */
static bool go_up(char *dir)
{
	unsigned int d, b, s, f;

	dirname(dir);
	return sscanf(strrchr(dir, '/'), "/%4x:%2x:%2x.%1x", &d, &b, &s, &f) == 4;
}

static void without_redirection(struct __test_metadata *_metadata,
				struct _test_data_vfio *self, const char *port, int acs)
{
	uint16_t ctrl = config_read(port, acs + ACS_CTRL);
	int kmsg = klog_open();

	ASSERT_LE(0, kmsg);
	ASSERT_EQ(ACS_REDIRECT, ctrl & ACS_REDIRECT);

	config_write(port, acs + ACS_CTRL, ctrl & ~ACS_REDIRECT);
	/* The route is not the reason of the refusal. */
	EXPECT_TRUE(is_by_host_bridge(self->provider, self->edu));
	EXPECT_EQ(-EREMOTEIO, vfio_map(&self->vfio, P2P_AT, self->mem, self->size));
	EXPECT_TRUE(klog_said(kmsg, self->edu, "since ACS does not redirect them"));
	/* The device still has access to all of the RAM. */
	p2p_fill(self->ram, self->page, SEED + 1, 0);
	EXPECT_TRUE(vfio_edu_copy(&self->vfio, RAM_AT, RAM_AT + self->page, self->page));
	EXPECT_EQ(-1, p2p_differs(self->ram + self->page, self->page, SEED + 1, 0));

	config_write(port, acs + ACS_CTRL, ctrl);
	EXPECT_EQ(0, vfio_map(&self->vfio, P2P_AT, self->mem, self->size));
	EXPECT_TRUE(vfio_edu_copy(&self->vfio, P2P_AT, RAM_AT, self->page));
	EXPECT_EQ(-1, p2p_differs(self->ram, self->page, SEED, 0));
	EXPECT_EQ((long long)self->size, vfio_unmap(&self->vfio, P2P_AT, self->size));
	close(kmsg);
}

/* Without ACS redirection in each port above, requests may bypass the IOMMU. */
TEST_F(vfio, without_redirection)
{
	char path[PATH_MAX], port[PATH_MAX];
	int acs, ports = 0;

	p2p_path(path, self->edu, "");
	ASSERT_NE(NULL, realpath(path, port));
	while (go_up(port)) {
		acs = acs_find(port);
		if (!acs)
			continue;
		without_redirection(_metadata, self, port, acs);
		ports++;
	}
	if (!ports)
		SKIP(return, "the port of the edu device has no ACS");
}

/* All devices of a container need a route, in whatever order they are added. */
TEST_F(vfio, other_group)
{
	const char *far = getenv("P2P_VFIO_FAR");
	int group;

	if (!far)
		SKIP(return, "P2P_VFIO_FAR names no device");
	group = vfio_open_group(far);
	ASSERT_LE(0, group);

	ASSERT_EQ(0, vfio_map(&self->vfio, P2P_AT, self->mem, self->size));
	EXPECT_EQ(-EREMOTEIO, vfio_attach(&self->vfio, group));
	EXPECT_TRUE(vfio_edu_copy(&self->vfio, P2P_AT, RAM_AT, self->page));
	EXPECT_EQ(-1, p2p_differs(self->ram, self->page, SEED, 0));
	EXPECT_EQ((long long)self->size, vfio_unmap(&self->vfio, P2P_AT, self->size));

	ASSERT_EQ(0, vfio_attach(&self->vfio, group));
	EXPECT_EQ(-EREMOTEIO, vfio_map(&self->vfio, P2P_AT, self->mem, self->size));
	ASSERT_EQ(0, ioctl(group, VFIO_GROUP_UNSET_CONTAINER));
	EXPECT_EQ(0, vfio_map(&self->vfio, P2P_AT, self->mem, self->size));
	EXPECT_EQ(-EREMOTEIO, vfio_attach(&self->vfio, group));
	close(group);
}

/* Memory without struct pages. */
TEST_F(vfio, range)
{
	const char *vram = getenv("P2P_VRAM");
	char *mem;

	if (!vram)
		SKIP(return, "P2P_VRAM names no device");
	mem = map_vram(vram, self->size, 0);
	ASSERT_NE(MAP_FAILED, mem);
	p2p_fill(mem, self->size, SEED + 3, 0);
	ASSERT_EQ(0, vfio_map(&self->vfio, P2P_AT, mem, self->size));
	EXPECT_TRUE(vfio_edu_copy(&self->vfio, P2P_AT, RAM_AT, self->page));
	EXPECT_EQ(-1, p2p_differs(self->ram, self->page, SEED + 3, 0));
	EXPECT_EQ((long long)self->size, vfio_unmap(&self->vfio, P2P_AT, self->size));
	munmap(mem, self->size);
}

TEST_HARNESS_MAIN
