/* SPDX-License-Identifier: GPL-2.0 */
/* Binds drivers to devices, and unbinds them: p2pmem-bar, if not told; and resets. */
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
static inline int p2p_driver_unbind(const char *driver, const char *device)
{
	char path[P2P_PATH_LEN];

	snprintf(path, sizeof(path), P2P_DRIVERS "%s/unbind", driver);
	return p2p_write_file(path, device);
}

static inline int p2p_driver_bind(const char *driver, const char *device)
{
	char path[P2P_PATH_LEN];

	snprintf(path, sizeof(path), P2P_DRIVERS "%s/bind", driver);
	return p2p_write_file(path, device);
}

static inline int p2p_unbind(const char *provider)
{
	return p2p_driver_unbind(P2P_BAR_DRIVER, provider);
}

static inline int p2p_bind(const char *provider)
{
	return p2p_driver_bind(P2P_BAR_DRIVER, provider);
}

static inline bool p2p_can_reset(const char *device)
{
	char path[P2P_PATH_LEN];

	p2p_path(path, device, "reset");
	return !access(path, W_OK);
}

static inline int p2p_reset(const char *device)
{
	char path[P2P_PATH_LEN];

	p2p_path(path, device, "reset");
	return p2p_write_file(path, "1");
}

/* A page of BAR 0, where NVMe controllers have their registers; or MAP_FAILED. */
static inline char *p2p_map_registers(const char *device)
{
	char path[P2P_PATH_LEN], *regs;
	int fd;

	p2p_path(path, device, "resource0");
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return MAP_FAILED;
	regs = mmap(NULL, 4 * KIB, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	return regs;
}

/* Is there nothing of a provider any more? */
static inline bool p2p_is_gone(const char *device, const char *driver)
{
	char path[P2P_PATH_LEN];

	p2p_path(path, device, "p2pmem");
	return !p2p_has_driver(device, driver) && access(path, F_OK);
}

#endif
