/* SPDX-License-Identifier: GPL-2.0 */
/*
 * PCI functions: their addresses and their names.
 */
#ifndef P2P_PCINAME_H
#define P2P_PCINAME_H

#include <stdbool.h>

#define BDF_LEN 13			/* "0000:03:00.0" */

bool pci_address(const char *text, char bdf[BDF_LEN]);
bool pci_is_there(const char *bdf);
bool pci_of_path(const char *sysfs_path, char bdf[BDF_LEN]);
const char *pci_driver(const char *bdf, char name[64]);
const char *pci_name_of(const char *bdf, char name[128]);
const char *pci_short_name(const char *bdf, char name[128]);
const char *pci_people_name(const char *bdf, char name[64]);

/* The memory BARs, numbered like their lines in the file resource. */
struct pci_bar {
	unsigned long long start, size;
	bool memory, prefetchable;
};

bool pci_bar(const char *bdf, int nr, struct pci_bar *bar);

#endif
