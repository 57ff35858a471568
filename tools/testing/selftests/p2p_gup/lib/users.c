// SPDX-License-Identifier: GPL-2.0
/* Processes of users without privileges that may allocate peer-to-peer memory. */
#define _GNU_SOURCE
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../p2pmem.h"
#include "../users.h"

/* Opens p2pmem/allocate to the group, as an administrator would; 0 ends that. */
bool users_admit(const char *provider, gid_t group)
{
	char path[P2P_PATH_LEN];

	p2p_path(path, provider, "p2pmem/allocate");
	return !chown(path, -1, group);
}

/* As fork(); the child is a process of that user, or stays root if that is 0. */
pid_t users_fork(uid_t uid)
{
	pid_t child = fork();

	if (!child && uid && !users_become(uid))
		_exit(127);
	return child;
}

/* Where the memory of a mapping is, which the mapping's offset tells; 0 if none. */
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
