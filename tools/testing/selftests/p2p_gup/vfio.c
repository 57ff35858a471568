// SPDX-License-Identifier: GPL-2.0
/*
 * vfio: a device that is handed to a process can't be given peer-to-peer memory,
 * because that would pin it for as long as the process likes.
 *
 * Takes the first device that is bound to vfio-pci.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <limits.h>
#include <linux/vfio.h>
#include <sys/ioctl.h>

#include "mapping.h"

#define VFIO_DRIVER	"/sys/bus/pci/drivers/vfio-pci"
#define IOVA		0x10000000

/* The file of the group of the device that vfio-pci has. */
static int open_group(void)
{
	DIR *dir = opendir(VFIO_DRIVER);
	char path[512], link[PATH_MAX];
	struct dirent *entry;
	int fd = -1;
	ssize_t len;

	while (dir && fd < 0 && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), VFIO_DRIVER "/%s/iommu_group",
			 entry->d_name);
		len = readlink(path, link, sizeof(link) - 1);
		if (len < 0)
			continue;
		link[len] = '\0';
		snprintf(path, sizeof(path), "/dev/vfio/%s",
			 strrchr(link, '/') + 1);
		fd = open(path, O_RDWR);
	}
	if (dir)
		closedir(dir);
	return fd;
}

static int map_dma(int container, void *mem, size_t size)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE,
		.vaddr = (uintptr_t)mem,
		.iova = IOVA,
		.size = size,
	};

	return ioctl(container, VFIO_IOMMU_MAP_DMA, &map);
}

static int unmap_dma(int container, size_t size)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.iova = IOVA,
		.size = size,
	};

	return ioctl(container, VFIO_IOMMU_UNMAP_DMA, &unmap);
}

TEST_F(mapping, vfio)
{
	int container = open("/dev/vfio/vfio", O_RDWR);
	char *mixed = p2p_ram(2 * self->size);
	int group;

	if (container < 0)
		SKIP(return, WITHOUT "VFIO");
	group = open_group();
	if (group < 0)
		SKIP(return, "no device with an IOMMU is bound to vfio-pci");
	ASSERT_EQ(0, ioctl(group, VFIO_GROUP_SET_CONTAINER, &container));
	ASSERT_EQ(0, ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU));

	EXPECT_EQ(0, map_dma(container, mixed, 2 * self->size));
	EXPECT_EQ(0, unmap_dma(container, 2 * self->size));
	EXPECT_ERRNO(EREMOTEIO, map_dma(container, self->mem, self->size));
	EXPECT_TRUE(p2p_intact(self));

	/* RAM first: nothing of it stays mapped or pinned either. */
	ASSERT_EQ(mixed + self->size,
		  mremap(self->mem, self->size, self->size,
			 MREMAP_MAYMOVE | MREMAP_FIXED, mixed + self->size));
	self->mem = mixed + self->size;
	EXPECT_ERRNO(EREMOTEIO, map_dma(container, mixed, 2 * self->size));
	EXPECT_EQ(0, map_dma(container, mixed, self->size));
	EXPECT_EQ(0, unmap_dma(container, self->size));
	EXPECT_TRUE(p2p_intact(self));
	close(group);
	close(container);
}

TEST_HARNESS_MAIN
