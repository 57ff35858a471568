// SPDX-License-Identifier: GPL-2.0
/* Registers of NVMe controllers. */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../bind.h"
#include "../p2pmem.h"

/* A page of BAR 0, where NVMe controllers have their registers; or MAP_FAILED. */
char *p2p_map_registers(const char *device)
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
