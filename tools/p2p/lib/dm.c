// SPDX-License-Identifier: GPL-2.0
/*
 * Mapped devices: which targets their tables have.
 *
 * sysfs does not have the tables, so ask device-mapper, which requires root.
 * Other users see only what the UUID reveals.
 */
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "client.h"
#include "sysfs.h"
#include "util.h"

#define TABLE_SIZE (64 * 1024)

/* Targets that pass the data on unchanged. */
static bool target_passes(const char *type)
{
	return !strcmp(type, "linear") || !strcmp(type, "striped");
}

/*
 * Return: the first target that does not pass the data on, as text to be freed, or NULL.
 * *asked is false if device-mapper did not answer.
 */
static char *other_target(const char *disk, bool *asked)
{
	char *dev = read_text("/sys/block/%s/dev", disk);
	struct dm_ioctl *io = xcalloc(1, TABLE_SIZE);
	struct dm_target_spec *spec;
	unsigned int major, minor;
	char *other = NULL;
	int fd;

	*asked = false;
	fd = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
	if (fd >= 0 && dev && sscanf(dev, "%u:%u", &major, &minor) == 2) {
		io->version[0] = 4;
		io->data_size = TABLE_SIZE;
		io->data_start = sizeof(*io);
		io->flags = DM_STATUS_TABLE_FLAG;
		io->dev = makedev(major, minor);
		*asked = !ioctl(fd, DM_TABLE_STATUS, io);
	}
	if (fd >= 0)
		close(fd);
	free(dev);

	spec = (void *)io + io->data_start;
	for (unsigned int i = 0; *asked && i < io->target_count && !other; i++) {
		if (!target_passes(spec->target_type))
			other = xstrdup(spec->target_type);
		/* The offset is from the first spec, not from this one. */
		spec = (void *)io + io->data_start + spec->next;
	}
	if (*asked && !io->target_count)
		other = xstrdup("(no table)");
	free(io);
	return other;
}

/**
 * dm_obstacle() - does a mapped device touch the data?
 * @disk: its name in sysfs, dm-0
 * @remedy: where to store the remedy, to be freed
 *
 * Return: why it takes no peer-to-peer memory, or NULL.
 */
const char *dm_obstacle(const char *disk, char **remedy)
{
	static char why[160];
	char *uuid, *other;
	bool asked;

	other = other_target(disk, &asked);
	if (other) {
		snprintf(why, sizeof(why), "its target \"%s\" touches the data, or may do so",
			 other);
		*remedy = xstrdup("linear and striped (LVM's too) pass the data on unchanged");
		free(other);
		return why;
	}
	if (asked)
		return NULL;

	uuid = read_text("/sys/block/%s/dm/uuid", disk);
	why[0] = '\0';
	if (uuid && !strncmp(uuid, "CRYPT-", 6))
		snprintf(why, sizeof(why), "it encrypts the data");
	else if (uuid && !strncmp(uuid, "mpath-", 6))
		snprintf(why, sizeof(why), "dm-multipath does not pass on peer-to-peer memory");
	free(uuid);
	if (!why[0]) {
		snprintf(why, sizeof(why), "its table can't be read, so it is not known whether it passes the data on unchanged");
		*remedy = xstrdup("run p2pctl as root");
	}
	return why;
}
