// SPDX-License-Identifier: GPL-2.0
/*
 * Is a device needed by the running system? Its drives must not go away while
 * they have a file system, an array or swap space in use.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "client.h"
#include "inuse.h"
#include "pciname.h"
#include "sysfs.h"
#include "util.h"

/* Is it a drive of the function, or made of some, as a namespace with several paths? */
static bool is_of(const char *bdf, unsigned int major, unsigned int minor)
{
	struct client client = {};
	bool is = false;

	client_add_block(&client, 0, makedev(major, minor));
	for (unsigned int i = 0; i < client.nr && !is; i++)
		is = !strcmp(client.layers[i].bdf, bdf);
	client_free(&client);
	return is;
}

static char *find_mount(const char *bdf)
{
	char *mounts = read_text("/proc/self/mountinfo"), *rest = mounts, *line, *why = NULL;
	unsigned int major, minor;
	char point[256];

	while (!why && (line = strsep(&rest, "\n")))
		if (sscanf(line, "%*u %*u %u:%u %*s %255s", &major, &minor, point) == 3 &&
		    is_of(bdf, major, minor))
			why = xasprintf("a file system on it is mounted on %s", point);
	free(mounts);
	return why;
}

static char *find_swap(const char *bdf)
{
	char *swaps = read_text("/proc/swaps"), *rest = swaps, *line, *why = NULL;
	char path[256];
	struct stat st;

	while (!why && (line = strsep(&rest, "\n")))
		if (sscanf(line, "%255s", path) == 1 && !stat(path, &st) &&
		    S_ISBLK(st.st_mode) && is_of(bdf, major(st.st_rdev), minor(st.st_rdev)))
			why = xasprintf("%s is swap space", path);
	free(swaps);
	return why;
}

static char *find_holder(const char *bdf)
{
	struct names disks = list_dir("/sys/class/block");
	char *why = NULL;

	for (unsigned int i = 0; i < disks.nr && !why; i++) {
		struct names holders = list_dir("/sys/class/block/%s/holders", disks.name[i]);
		char *dev = read_text("/sys/class/block/%s/dev", disks.name[i]);
		unsigned int major, minor;

		if (holders.nr && dev && sscanf(dev, "%u:%u", &major, &minor) == 2 &&
		    is_of(bdf, major, minor))
			why = xasprintf("its %s is part of %s", disks.name[i], holders.name[0]);
		free(dev);
		free_names(&holders);
	}
	free_names(&disks);
	return why;
}

/*
 * Whatever else uses a drive has it open exclusively, as a file system of several drives
 * has, whose mount does not name them.
 */
static char *find_exclusive(const char *bdf)
{
	struct names disks = list_dir("/sys/block");
	char *why = NULL;

	for (unsigned int i = 0; i < disks.nr && !why; i++) {
		char *dev = read_text("/sys/block/%s/dev", disks.name[i]);
		char *node = xasprintf("/dev/%s", disks.name[i]);
		unsigned int major, minor;
		int fd = -1;

		if (dev && sscanf(dev, "%u:%u", &major, &minor) == 2 &&
		    is_of(bdf, major, minor)) {
			fd = open(node, O_RDONLY | O_EXCL | O_CLOEXEC);
			if (fd < 0 && errno == EBUSY)
				why = xasprintf("its %s is open exclusively", disks.name[i]);
		}
		if (fd >= 0)
			close(fd);
		free(node);
		free(dev);
	}
	free_names(&disks);
	return why;
}

/**
 * pci_in_use() - is a device needed by the running system?
 * @bdf: the address of the PCI function
 *
 * Return: its use, as text to be freed, or NULL.
 */
char *pci_in_use(const char *bdf)
{
	char *why = find_mount(bdf);

	if (!why)
		why = find_swap(bdf);
	if (!why)
		why = find_holder(bdf);
	return why ?: find_exclusive(bdf);
}
