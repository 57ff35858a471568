/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Files of sysfs and procfs.
 */
#ifndef P2P_SYSFS_H
#define P2P_SYSFS_H

#include <stdbool.h>
#include <stdint.h>

#define PCI_DEVICES "/sys/bus/pci/devices"

/* The path is formatted as by printf(). Returned text is to be freed. */
char *read_text(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
bool read_number(uint64_t *number, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool exists(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
char *link_name(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
char *real_path(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int write_text(const char *path, const char *text);

/* The names in a directory, sorted, without those that begin with a dot. */
struct names {
	char **name;
	unsigned int nr;
};

struct names list_dir(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void free_names(struct names *names);

#endif
