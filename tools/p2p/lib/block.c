// SPDX-License-Identifier: GPL-2.0
/*
 * Block devices, down to the PCI functions: partitions, arrays, mapped devices, drives
 * with several paths.
 *
 * The obstacles are those that bdev_p2p_capable() checks in the kernel.
 * Userspace sees the queue flag only for drives, in debugfs. For stacked
 * devices it is derived from their type and from the devices below.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "client.h"
#include "sysfs.h"
#include "util.h"

#define DEEPEST 16

static void add_disk(struct client *client, unsigned int depth, const char *disk);

static bool is_set(const char *disk, const char *attribute)
{
	uint64_t value;

	return read_number(&value, "/sys/block/%s/%s", disk, attribute) && value;
}

/* Obstacles that any block device may have. */
static void ask_queue(struct layer *layer, const char *disk)
{
	char *remedy, *format = read_text("/sys/block/%s/integrity/format", disk);
	bool checksums = format && strcmp(format, "none") &&
		(is_set(disk, "integrity/write_generate") || is_set(disk, "integrity/read_verify"));

	free(format);
	if (checksums) {
		remedy = xasprintf("to let the controller insert and strip the protection information, write 0 to write_generate and read_verify in /sys/block/%s/integrity, and to /sys/block/%s/queue/stable_writes",
				   disk, disk);
		layer_refuses(layer, "the CPU computes and checks protection information (T10-PI) of its data",
			      remedy);
		free(remedy);
	} else if (is_set(disk, "queue/stable_writes")) {
		remedy = xasprintf("if nothing above it computes checksums, write 0 to /sys/block/%s/queue/stable_writes",
				   disk);
		layer_refuses(layer, "its data is checksummed on the way (queue/stable_writes)",
			      remedy);
		free(remedy);
	}
}

/* Only the PCI NVMe driver promises that the CPU does not touch the data. */
static void ask_driver(struct layer *layer, const char *disk)
{
	char *state = read_text("/sys/kernel/debug/block/%s/state", disk);
	bool capable, nvme = false;
	char driver[64];

	if (layer->bdf[0])
		nvme = !strcmp(pci_driver(layer->bdf, driver), "nvme");
	capable = state ? !!strstr(state, "PCI_P2PDMA") : nvme;
	free(state);
	if (capable && layer->bdf[0])
		return;
	if (!layer->bdf[0]) {
		layer_refuses(layer, "it is not a PCI device: its data is in RAM, or is transferred by other means",
			      NULL);
	} else {
		char *why = xasprintf("its driver %s does not support peer-to-peer DMA; the driver of NVMe drives does",
				      driver[0] ? driver : "(none)");

		layer_refuses(layer, why, NULL);
		free(why);
	}
}

static void add_drive(struct client *client, unsigned int depth, const char *disk)
{
	char *device = real_path("/sys/block/%s", disk);
	struct layer *layer = client_add(client, depth, "drive %s", disk);

	if (device && !pci_of_path(device, layer->bdf))
		layer->bdf[0] = '\0';
	free(device);
	ask_queue(layer, disk);
	ask_driver(layer, disk);
}

/* Multipath: each controller of a namespace has a hidden disk, nvme0c1n1. */
static bool add_paths(struct client *client, unsigned int depth, const char *disk)
{
	unsigned int subsystem, namespace, ctrl, path_subsystem, path_namespace, found = 0;
	char *up = real_path("/sys/block/%s/..", disk);
	struct names ctrls;
	char part[64];

	if (!up || !strstr(up, "/nvme-subsystem/") ||
	    sscanf(disk, "nvme%un%u", &subsystem, &namespace) != 2) {
		free(up);
		return false;
	}
	ask_queue(client_add(client, depth, "NVMe namespace %s", disk), disk);
	ctrls = list_dir("%s", up);
	for (unsigned int i = 0; i < ctrls.nr; i++) {
		struct names paths = {};

		if (sscanf(ctrls.name[i], "nvme%u%63s", &ctrl, part) == 1)
			paths = list_dir("%s/%s", up, ctrls.name[i]);
		for (unsigned int n = 0; n < paths.nr; n++) {
			struct layer *layer;
			char *real;

			if (sscanf(paths.name[n], "nvme%uc%un%u", &path_subsystem, &ctrl,
				   &path_namespace) != 3 ||
			    path_subsystem != subsystem || path_namespace != namespace)
				continue;
			layer = client_add(client, depth + 1, "path %s", paths.name[n]);
			real = real_path("%s/%s", up, ctrls.name[i]);
			if (!real || !pci_of_path(real, layer->bdf))
				layer->bdf[0] = '\0';
			free(real);
			ask_driver(layer, paths.name[n]);
			found++;
		}
		free_names(&paths);
	}
	if (!found)
		layer_refuses(&client->layers[client->nr - 1], "it has no path at the moment", NULL);
	free_names(&ctrls);
	free(up);
	return true;
}

static void ask_md(struct layer *layer, const char *level)
{
	static const char * const good[] = { "linear", "raid0", "raid1", "raid10" };

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		if (!strcmp(level, good[i]))
			return;
	layer_refuses(layer, "the CPU computes parity of the data, or touches it in another way",
		      "use linear, raid0, raid1 or raid10, which pass the data on unchanged");
}

static void add_stacked(struct client *client, unsigned int depth, const char *disk,
			const struct names *slaves)
{
	char *level = read_text("/sys/block/%s/md/level", disk);
	char *name = read_text("/sys/block/%s/dm/name", disk);
	struct layer *layer;

	if (level) {
		layer = client_add(client, depth, "%s array %s", level, disk);
		ask_md(layer, level);
	} else if (name) {
		char *remedy = NULL;
		const char *obstacle = dm_obstacle(disk, &remedy);

		layer = client_add(client, depth, "mapped device %s (%s)", name, disk);
		if (obstacle)
			layer_refuses(layer, obstacle, remedy);
		free(remedy);
	} else {
		layer = client_add(client, depth, "device %s", disk);
		layer_refuses(layer, "devices of this kind are not known to pass data on unchanged",
			      NULL);
	}
	ask_queue(layer, disk);
	free(name);
	free(level);
	for (unsigned int i = 0; i < slaves->nr; i++) {
		char *dev = read_text("/sys/block/%s/slaves/%s/dev", disk, slaves->name[i]);
		unsigned int major, minor;

		if (dev && sscanf(dev, "%u:%u", &major, &minor) == 2)
			client_add_block(client, depth + 1, makedev(major, minor));
		free(dev);
	}
}

static void add_disk(struct client *client, unsigned int depth, const char *disk)
{
	struct names slaves = list_dir("/sys/block/%s/slaves", disk);
	bool stacked = slaves.nr || exists("/sys/block/%s/md", disk) ||
		exists("/sys/block/%s/dm", disk);

	if (stacked)
		add_stacked(client, depth, disk, &slaves);
	else if (!add_paths(client, depth, disk))
		add_drive(client, depth, disk);
	free_names(&slaves);
}

/**
 * client_add_block() - add a block device and all that is below it
 * @client: the client to add it to
 * @depth: its distance from the top
 * @dev: its device number
 */
void client_add_block(struct client *client, unsigned int depth, dev_t dev)
{
	char *path = real_path("/sys/dev/block/%u:%u", major(dev), minor(dev));
	char *name;

	if (!path || depth > DEEPEST) {
		layer_refuses(client_add(client, depth, "block device %u:%u", major(dev),
					 minor(dev)), "sysfs has no such block device", NULL);
		free(path);
		return;
	}
	name = strrchr(path, '/') + 1;
	if (exists("%s/partition", path)) {
		client_add(client, depth++, "partition %s", name);
		name[-1] = '\0';
		name = strrchr(path, '/') + 1;
	}
	add_disk(client, depth, name);
	free(path);
}
