// SPDX-License-Identifier: GPL-2.0
/* ACS control of a PCI port, through its configuration space in sysfs. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "../acs.h"

static int config_open(const char *device, int flags)
{
	char path[PATH_MAX + 8];

	snprintf(path, sizeof(path), "%s/config", device);
	return open(path, flags);
}

uint16_t config_read(const char *device, int offset)
{
	uint16_t word = 0;
	int fd = config_open(device, O_RDONLY);

	if (pread(fd, &word, 2, offset) != 2)
		perror(device);
	close(fd);
	return word;
}

void config_write(const char *device, int offset, uint16_t word)
{
	int fd = config_open(device, O_RDWR);

	if (pwrite(fd, &word, 2, offset) != 2)
		perror(device);
	close(fd);
}

/* The offset of a device's ACS capability, or 0. */
int acs_find(const char *device)
{
	int fd = config_open(device, O_RDONLY), offset = EXT_CAP;
	uint32_t head;

	while (offset) {
		if (pread(fd, &head, 4, offset) != 4 || !~head)
			head = 0;
		if ((head & 0xffff) == EXT_CAP_ACS)
			break;
		offset = head >> 20;
	}
	close(fd);
	return offset;
}

/* The directory of a drive's PCI device: path[PATH_MAX]. */
bool acs_path_of_disk(const char *disk, char *path)
{
	unsigned int d, b, s, f;
	char link[64], *part;
	struct stat st;

	if (stat(disk, &st))
		return false;
	snprintf(link, sizeof(link), "/sys/dev/block/%u:%u", major(st.st_rdev),
		 minor(st.st_rdev));
	if (!realpath(link, path))
		return false;
	while ((part = strrchr(path, '/'))) {
		if (sscanf(part, "/%4x:%2x:%2x.%1x", &d, &b, &s, &f) == 4)
			return true;
		*part = 0;
	}
	return false;
}
