// SPDX-License-Identifier: GPL-2.0
/* Drivers handed to devices, and devices waited for. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "init.h"

#define PCI "/sys/bus/pci"
#define WAIT_MS 30000
#define STEP_MS 20

static bool pci_matches(const char *addr, const char *id)
{
	char path[512], have[32];
	long long vendor, device;

	if (!strcmp(addr, id))
		return true;
	snprintf(path, sizeof(path), PCI "/devices/%s/vendor", addr);
	vendor = read_number(path);
	snprintf(path, sizeof(path), PCI "/devices/%s/device", addr);
	device = read_number(path);
	snprintf(have, sizeof(have), "%04llx:%04llx", vendor, device);
	return !strcmp(have, id);
}

static void bind_one(const char *addr, const char *driver)
{
	char path[512];

	snprintf(path, sizeof(path), PCI "/devices/%s/driver/unbind", addr);
	write_file(path, addr);		/* most have no driver to let go */
	snprintf(path, sizeof(path), PCI "/devices/%s/driver_override", addr);
	if (!write_file(path, driver))
		fault("%s: driver_override refuses %s", addr, driver);
	write_file(PCI "/drivers_probe", addr);
	snprintf(path, sizeof(path), PCI "/devices/%s/driver", addr);
	if (access(path, F_OK))
		fault("%s: %s did not bind", addr, driver);
}

/* Hands every device with this PCI id (vendor:device) or address to a driver. */
void bind_devices(const char *id, const char *driver)
{
	DIR *dir = opendir(PCI "/devices");
	struct dirent *d;
	char path[512];
	int found = 0;

	snprintf(path, sizeof(path), PCI "/drivers/%s", driver);
	if (access(path, F_OK)) {
		fault("this kernel has no driver %s for %s", driver, id);
		if (dir)
			closedir(dir);
		return;
	}
	while (dir && (d = readdir(dir)))
		if (pci_matches(d->d_name, id)) {
			bind_one(d->d_name, driver);
			found++;
		}
	if (dir)
		closedir(dir);
	if (!found)
		fault("no PCI device %s to hand to %s", id, driver);
}

/* The name under /dev of a namespace, by its controller's serial number. */
static bool find_disk(const char *serial, const char *nsid, char *name, size_t size)
{
	DIR *dir = opendir("/sys/block");
	char path[512], have[64];
	struct dirent *d;
	bool found = false;

	while (dir && !found && (d = readdir(dir))) {
		if (strncmp(d->d_name, "nvme", 4))
			continue;
		snprintf(path, sizeof(path), "/sys/block/%s/device/serial", d->d_name);
		read_file(path, have, sizeof(have));
		have[strcspn(have, " ")] = '\0';
		if (strcmp(have, serial))
			continue;
		snprintf(path, sizeof(path), "/sys/block/%s/nsid", d->d_name);
		if (read_number(path) != atoll(nsid))
			continue;
		snprintf(name, size, "/dev/%s", d->d_name);
		found = !access(name, F_OK);
	}
	if (dir)
		closedir(dir);
	return found;
}

/* Exports a namespace's name; the driver probes in its own time. */
void wait_for_disk(const char *variable, const char *serial, const char *nsid)
{
	char name[300];

	for (int ms = 0; ms < WAIT_MS; ms += STEP_MS) {
		if (find_disk(serial, nsid, name, sizeof(name))) {
			setenv(variable, name, 1);
			note("%s is %s", variable, name);
			return;
		}
		sleep_ms(STEP_MS);
	}
	fault("namespace %s of NVMe %s did not appear in %d s", nsid, serial,
	      WAIT_MS / 1000);
}

static int list_providers(char *list, size_t size)
{
	DIR *dir = opendir(PCI "/devices");
	struct dirent *d;
	char path[512];
	int found = 0;

	list[0] = '\0';
	while (dir && (d = readdir(dir))) {
		snprintf(path, sizeof(path), PCI "/devices/%s/p2pmem/allocate", d->d_name);
		if (access(path, F_OK))
			continue;
		if (found++)
			strncat(list, " ", size - strlen(list) - 1);
		strncat(list, d->d_name, size - strlen(list) - 1);
	}
	if (dir)
		closedir(dir);
	return found;
}

/*
 * Exports the PCI addresses of the devices whose memory a process can map.
 * How many there must be is the topology's word; -1: it does not say.
 */
void wait_for_providers(int expected)
{
	char list[1024];
	int found = list_providers(list, sizeof(list));

	for (int ms = 0; found < expected && ms < 1000; ms += STEP_MS) {
		sleep_ms(STEP_MS);
		found = list_providers(list, sizeof(list));
	}
	setenv("P2P_PROVIDERS", list, 1);
	note("%d providers: %s", found, list);
	if (expected >= 0 && found != expected)
		fault("%d providers have p2pmem/allocate, the topology has %d",
		      found, expected);
}
