/* SPDX-License-Identifier: GPL-2.0 */
/* ACS control of a PCI port, through its configuration space in sysfs. */
#ifndef P2P_ACS_H
#define P2P_ACS_H

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

#define EXT_CAP		0x100
#define EXT_CAP_ACS	0x0d
#define ACS_CTRL	6
#define ACS_REDIRECT	0x0c	/* requests and completions */

uint16_t config_read(const char *device, int offset);
void config_write(const char *device, int offset, uint16_t word);
int acs_find(const char *device);
bool acs_path_of_disk(const char *disk, char *path);

#endif
