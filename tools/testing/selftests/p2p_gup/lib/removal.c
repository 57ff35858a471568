// SPDX-License-Identifier: GPL-2.0
/* Removal of a provider. */
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../bind.h"
#include "../klog.h"
#include "../p2pmem.h"
#include "../removal.h"

/* Unbinds in a child, which exits with the errno. */
pid_t start_unbind(const char *provider)
{
	pid_t child = fork();

	if (!child)
		_exit(p2p_unbind(provider));
	return child;
}

bool device_is_there(const char *device)
{
	char path[P2P_PATH_LEN];

	p2p_path(path, device, "driver_override");
	return !access(path, F_OK);
}

void wait_for_device(const char *device, bool there)
{
	while (device_is_there(device) != there)
		usleep(1000);
}

bool give_driver(const char *device)
{
	char path[P2P_PATH_LEN];

	wait_for_device(device, true);
	p2p_path(path, device, "driver_override");
	if (p2p_write_file(path, P2P_BAR_DRIVER))
		return false;
	/* A new device can't be bound before its resources are assigned. */
	while (p2p_number(device, "p2pmem/published") != 1) {
		p2p_write_file("/sys/bus/pci/drivers_probe", device);
		usleep(1000);
	}
	/* pciehp may still be probing it: this write takes the device lock. */
	return !p2p_write_file(path, P2P_BAR_DRIVER);
}

static void ask_host(const char *verb, const char *plug)
{
	printf("# host-%s %s\n", verb, plug);
	fflush(stdout);
}

void unplug(const char *plug)
{
	ask_host("unplug", plug);
}

bool plug_in(const char *plug, const char *provider)
{
	ask_host("plug", plug);
	return give_driver(provider);
}
