// SPDX-License-Identifier: GPL-2.0
/* Processes of unprivileged users that may allocate peer-to-peer memory. */
#define _GNU_SOURCE
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../p2pmem.h"
#include "../users.h"

/*
 * Grants the group access to p2pmem/allocate, as an administrator would; 0
 * revokes it.
 */
bool users_admit(const char *provider, gid_t group)
{
	char path[P2P_PATH_LEN];

	p2p_path(path, provider, "p2pmem/allocate");
	return !chown(path, -1, group);
}

/* Like fork(), but the child is a process of this user; root for 0. */
pid_t users_fork(uid_t uid)
{
	pid_t child = fork();

	if (!child && uid && !users_become(uid))
		_exit(127);
	return child;
}

/* The physical address of a mapping's memory, from its offset; 0 if none. */
uint64_t users_phys(const void *mem)
{
	uint64_t start, offset, phys = 0;
	char line[512];
	FILE *file = fopen("/proc/self/maps", "r");

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "%lx-%*x %*s %lx", &start, &offset) == 2 &&
		    start == (uintptr_t)mem)
			phys = offset;
	if (file)
		fclose(file);
	return phys;
}
