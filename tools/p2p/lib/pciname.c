// SPDX-License-Identifier: GPL-2.0
/* PCI functions: their addresses and their names. */
#include <pci/pci.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pciname.h"
#include "sysfs.h"
#include "util.h"

/**
 * pci_address() - read the address of a PCI function
 * @text: the address, with or without the domain, as lspci prints it
 * @bdf: where to store it, in the format of sysfs
 *
 * Return: false if @text is not an address. The function need not exist.
 */
bool pci_address(const char *text, char bdf[BDF_LEN])
{
	unsigned int domain = 0, bus, device, function;
	int len = 0;

	if (sscanf(text, "%4x:%2x:%2x.%1u%n", &domain, &bus, &device, &function, &len) != 4 ||
	    text[len]) {
		len = 0;
		domain = 0;
		if (sscanf(text, "%2x:%2x.%1u%n", &bus, &device, &function, &len) != 3 ||
		    text[len])
			return false;
	}
	if (device > 31 || function > 7)
		return false;
	snprintf(bdf, BDF_LEN, "%04x:%02x:%02x.%u", domain & 0xffff, bus & 0xff, device,
		 function);
	return true;
}

bool pci_is_there(const char *bdf)
{
	return exists(PCI_DEVICES "/%s/vendor", bdf);
}

/* The PCI function that a device in sysfs belongs to: the last one in its real path. */
bool pci_of_path(const char *sysfs_path, char bdf[BDF_LEN])
{
	char part[BDF_LEN];
	bool found = false;

	for (const char *p = sysfs_path; p; p = strchr(p, '/')) {
		p += *p == '/';
		if (strcspn(p, "/") != BDF_LEN - 1)
			continue;
		memcpy(part, p, BDF_LEN - 1);
		part[BDF_LEN - 1] = '\0';
		found |= pci_address(part, bdf);
	}
	return found && pci_is_there(bdf);
}

/* "" if there is none. */
const char *pci_driver(const char *bdf, char name[64])
{
	char *driver = link_name(PCI_DEVICES "/%s/driver", bdf);

	snprintf(name, 64, "%s", driver ?: "");
	free(driver);
	return name;
}

/* From the ID list of libpci. */
static const char *lookup(const char *bdf, int what, char name[128])
{
	static struct pci_access *access;
	uint64_t vendor = 0, device = 0;

	if (!access) {
		access = pci_alloc();
		pci_init(access);
	}
	name[0] = '\0';
	if (!read_number(&vendor, PCI_DEVICES "/%s/vendor", bdf) ||
	    !read_number(&device, PCI_DEVICES "/%s/device", bdf))
		return name;
	if (!pci_lookup_name(access, name, 128, what | PCI_LOOKUP_NO_NUMBERS, (int)vendor,
			     (int)device))
		snprintf(name, 128, "%04x:%04x", (unsigned int)vendor, (unsigned int)device);
	return name;
}

/* Vendor and device. */
const char *pci_name_of(const char *bdf, char name[128])
{
	return lookup(bdf, PCI_LOOKUP_VENDOR | PCI_LOOKUP_DEVICE, name);
}

/* Without the vendor, for tables. */
const char *pci_short_name(const char *bdf, char name[128])
{
	return lookup(bdf, PCI_LOOKUP_DEVICE, name);
}

/* The name of its class device, such as nvme0, eth0 or mlx5_0; or "". */
const char *pci_people_name(const char *bdf, char name[64])
{
	static const char * const classes[] = { "nvme", "net", "infiniband", "drm", "accel" };

	name[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(classes) && !name[0]; i++) {
		struct names names = list_dir(PCI_DEVICES "/%s/%s", bdf, classes[i]);

		if (names.nr)
			snprintf(name, 64, "%s", names.name[0]);
		free_names(&names);
	}
	return name;
}

bool pci_bar(const char *bdf, int nr, struct pci_bar *bar)
{
	char *text = read_text(PCI_DEVICES "/%s/resource", bdf);
	unsigned long long start = 0, end = 0, flags = 0;
	char *line = text;

	for (; line && nr; nr--) {
		line = strchr(line, '\n');
		line += !!line;
	}
	if (!line || sscanf(line, "%llx %llx %llx", &start, &end, &flags) != 3)
		end = 0;
	free(text);
	if (!end)
		return false;
	bar->start = start;
	bar->size = end - start + 1;
	bar->memory = flags & 0x200;		/* IORESOURCE_MEM */
	bar->prefetchable = flags & 0x2000;	/* IORESOURCE_PREFETCH */
	return true;
}
