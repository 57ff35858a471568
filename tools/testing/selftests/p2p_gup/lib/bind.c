// SPDX-License-Identifier: GPL-2.0
/* Binds and unbinds drivers, p2pmem-bar by default, and resets devices. */
#define _GNU_SOURCE
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "../bind.h"
#include "../p2pmem.h"

int p2p_driver_unbind(const char *driver, const char *device)
{
	char path[P2P_PATH_LEN];

	snprintf(path, sizeof(path), P2P_DRIVERS "%s/unbind", driver);
	return p2p_write_file(path, device);
}

int p2p_driver_bind(const char *driver, const char *device)
{
	char path[P2P_PATH_LEN];

	snprintf(path, sizeof(path), P2P_DRIVERS "%s/bind", driver);
	return p2p_write_file(path, device);
}

bool p2p_can_reset(const char *device)
{
	char path[P2P_PATH_LEN];

	p2p_path(path, device, "reset");
	return !access(path, W_OK);
}

bool p2p_is_gone(const char *device, const char *driver)
{
	char path[P2P_PATH_LEN];

	p2p_path(path, device, "p2pmem");
	return !p2p_has_driver(device, driver) && access(path, F_OK);
}
