/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Which processes map peer-to-peer memory.
 */
#ifndef P2P_MAPPERS_H
#define P2P_MAPPERS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "pciname.h"

/* The memory of one provider that a process maps. */
struct mapper {
	pid_t pid;
	uid_t uid;
	char comm[32];
	char provider[BDF_LEN];
	uint64_t bytes;
	uint64_t phys;			/* its lowest address */
	unsigned int nr_mappings;
};

struct mappers {
	struct mapper *m;
	unsigned int nr;
	bool complete;			/* false: can't read all processes */
};

struct mappers mappers_load(void);
const char *user_name(uid_t uid, char name[40]);
const char *group_name(gid_t gid, char name[40]);

#endif
