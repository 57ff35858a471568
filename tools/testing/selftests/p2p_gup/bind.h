/* SPDX-License-Identifier: GPL-2.0 */
/* Binds and unbinds drivers, p2pmem-bar by default, and resets devices. */
#ifndef P2P_BIND_H
#define P2P_BIND_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#include "p2pmem.h"

#define P2P_DRIVERS		"/sys/bus/pci/drivers/"
#define P2P_BAR_DRIVER		"p2pmem-bar"
#define P2P_BAR_PARAMETERS	"/sys/module/p2pmem_bar/parameters/"

/* All return 0 or an errno. */
int p2p_driver_unbind(const char *driver, const char *device);
int p2p_driver_bind(const char *driver, const char *device);

static inline int p2p_unbind(const char *provider)
{
	return p2p_driver_unbind(P2P_BAR_DRIVER, provider);
}

static inline int p2p_bind(const char *provider)
{
	return p2p_driver_bind(P2P_BAR_DRIVER, provider);
}

bool p2p_can_reset(const char *device);

static inline int p2p_reset(const char *device)
{
	char path[P2P_PATH_LEN];

	p2p_path(path, device, "reset");
	return p2p_write_file(path, "1");
}

char *p2p_map_registers(const char *device);

/* Has the provider disappeared completely? */
bool p2p_is_gone(const char *device, const char *driver);

#endif
