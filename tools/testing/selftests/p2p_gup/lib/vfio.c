// SPDX-License-Identifier: GPL-2.0
/* A process that drives a QEMU edu device by vfio. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/pci_regs.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "../bind.h"
#include "../p2pmem.h"
#include "../vfio.h"

#define EDU_REGS_SIZE	4096
#define EDU_DMA_SRC	0x80
#define EDU_DMA_DST	0x88
#define EDU_DMA_COUNT	0x90
#define EDU_DMA_CMD	0x98
#define EDU_CMD_START	1
#define EDU_CMD_TO_RAM	2
#define EDU_BUFFER	0x40000
#define EDU_ID		0x11e8
#define EDU_WAIT_MS	20000

/* Finds the edu device bound to the driver, if any. */
bool vfio_find_edu(char *address, size_t size)
{
	DIR *dir = opendir(P2P_DRIVERS VFIO_DRIVER);
	struct dirent *entry;
	bool found = false;

	while (dir && !found && (entry = readdir(dir))) {
		if (entry->d_name[0] != '0' || strlen(entry->d_name) >= size)
			continue;
		strcpy(address, entry->d_name);
		found = p2p_number(address, "device") == EDU_ID;
	}
	if (dir)
		closedir(dir);
	return found;
}

/* Opens the group of a device. */
int vfio_open_group(const char *address)
{
	char path[P2P_PATH_LEN], link[PATH_MAX];
	ssize_t len;

	p2p_path(path, address, "iommu_group");
	len = readlink(path, link, sizeof(link) - 1);
	if (len < 0)
		return -1;
	link[len] = '\0';
	snprintf(path, sizeof(path), "/dev/vfio/%.100s", strrchr(link, '/') + 1);
	return open(path, O_RDWR);
}

int vfio_attach(struct vfio *vfio, int group)
{
	return ioctl(group, VFIO_GROUP_SET_CONTAINER, &vfio->container) ? -errno : 0;
}

static bool vfio_enable(struct vfio *vfio)
{
	struct vfio_region_info config = {
		.argsz = sizeof(config),
		.index = VFIO_PCI_CONFIG_REGION_INDEX,
	};
	struct vfio_region_info bar = {
		.argsz = sizeof(bar),
		.index = VFIO_PCI_BAR0_REGION_INDEX,
	};
	uint16_t command = PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;

	if (ioctl(vfio->device, VFIO_DEVICE_GET_REGION_INFO, &config) ||
	    ioctl(vfio->device, VFIO_DEVICE_GET_REGION_INFO, &bar) ||
	    pwrite(vfio->device, &command, sizeof(command),
		   config.offset + PCI_COMMAND) != sizeof(command))
		return false;
	vfio->regs = mmap(NULL, EDU_REGS_SIZE, PROT_READ | PROT_WRITE,
			  MAP_SHARED, vfio->device, bar.offset);
	return vfio->regs != MAP_FAILED;
}

/* Opens a container with the group of the device, and enables DMA. */
bool vfio_open(struct vfio *vfio, const char *address)
{
	vfio->regs = MAP_FAILED;
	vfio->device = -1;
	vfio->container = open("/dev/vfio/vfio", O_RDWR);
	vfio->group = vfio_open_group(address);
	if (vfio->container < 0 || vfio->group < 0 ||
	    vfio_attach(vfio, vfio->group) ||
	    ioctl(vfio->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU))
		goto err_close;
	vfio->device = ioctl(vfio->group, VFIO_GROUP_GET_DEVICE_FD, address);
	if (vfio->device >= 0 && vfio_enable(vfio))
		return true;
err_close:
	perror(address);
	vfio_close(vfio);
	return false;
}

/*
 * The same, and maps a fixture's RAM. Its other memory is filled, but not
 * mapped.
 */
bool vfio_open_with_ram(struct vfio *vfio, const char *address, struct p2p_fixture *p2p)
{
	if (!p2p_setup_ram(p2p))
		return false;
	p2p_fill(p2p->mem, p2p->size, SEED, 0);
	return vfio_open(vfio, address) && !vfio_map(vfio, RAM_AT, p2p->ram, p2p->size);
}

void vfio_close(struct vfio *vfio)
{
	if (vfio->regs != MAP_FAILED)
		munmap(vfio->regs, EDU_REGS_SIZE);
	if (vfio->device >= 0)
		close(vfio->device);
	if (vfio->group >= 0)
		close(vfio->group);
	if (vfio->container >= 0)
		close(vfio->container);
	*vfio = (struct vfio){ -1, -1, -1, MAP_FAILED };
}

int vfio_map_flags(struct vfio *vfio, uint64_t iova, void *mem, size_t size,
		   unsigned int flags)
{
	struct vfio_iommu_type1_dma_map map = {
		.argsz = sizeof(map),
		.flags = flags,
		.vaddr = (uintptr_t)mem,
		.iova = iova,
		.size = size,
	};

	return ioctl(vfio->container, VFIO_IOMMU_MAP_DMA, &map) ? -errno : 0;
}

long long vfio_unmap_flags(struct vfio *vfio, uint64_t iova, size_t size,
			   unsigned int flags)
{
	struct vfio_iommu_type1_dma_unmap unmap = {
		.argsz = sizeof(unmap),
		.flags = flags,
		.iova = iova,
		.size = size,
	};

	if (ioctl(vfio->container, VFIO_IOMMU_UNMAP_DMA, &unmap))
		return -errno;
	return unmap.size;
}

static void edu_set(struct vfio *vfio, size_t reg, uint64_t value)
{
	__atomic_store_n((uint64_t *)((char *)vfio->regs + reg), value,
			 __ATOMIC_RELEASE);
}

static bool edu_dma(struct vfio *vfio, uint64_t src, uint64_t dst, size_t len,
		    unsigned int cmd)
{
	const struct timespec ms = { .tv_nsec = 1000000 };
	int i;

	edu_set(vfio, EDU_DMA_SRC, src);
	edu_set(vfio, EDU_DMA_DST, dst);
	edu_set(vfio, EDU_DMA_COUNT, len);
	edu_set(vfio, EDU_DMA_CMD, cmd | EDU_CMD_START);
	for (i = 0; i < EDU_WAIT_MS; i++) {
		if (!(p2p_load((char *)vfio->regs + EDU_DMA_CMD) & EDU_CMD_START))
			return true;
		nanosleep(&ms, NULL);
	}
	return false;
}

/* Makes the device read. It does not detect failed reads. */
bool vfio_edu_read(struct vfio *vfio, uint64_t iova, size_t len)
{
	return edu_dma(vfio, iova, EDU_BUFFER, len, 0);
}

bool vfio_edu_write(struct vfio *vfio, uint64_t iova, size_t len)
{
	return edu_dma(vfio, EDU_BUFFER, iova, len, EDU_CMD_TO_RAM);
}
