// SPDX-License-Identifier: GPL-2.0
/*
 * Is a device needed by the running system? Its drives must not go away under a file
 * system, an array or the swap space.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "inuse.h"
#include "pciname.h"
#include "sysfs.h"
#include "util.h"

static bool is_of(const char *bdf, unsigned int major, unsigned int minor)
{
	char *path = real_path("/sys/dev/block/%u:%u", major, minor);
	char found[BDF_LEN];
	bool is = path && pci_of_path(path, found) && !strcmp(found, bdf);

	free(path);
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

/**
 * pci_in_use() - is a device needed by the running system?
 * @bdf: the address of the PCI function
 *
 * Return: for what, as text to be freed, or NULL.
 */
char *pci_in_use(const char *bdf)
{
	char *why = find_mount(bdf);

	if (!why)
		why = find_swap(bdf);
	return why ?: find_holder(bdf);
}
