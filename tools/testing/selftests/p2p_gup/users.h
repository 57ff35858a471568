/* SPDX-License-Identifier: GPL-2.0 */
/* Processes of unprivileged users that may allocate peer-to-peer memory. */
#ifndef P2P_USERS_H
#define P2P_USERS_H

#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "p2pmem.h"

#define USERS	500		/* the group of p2pmem/allocate */
#define ALICE	1000
#define BOB	1001

bool users_admit(const char *provider, gid_t group);

/* Irrevocably becomes the user, and loses all capabilities. */
static inline bool users_become(uid_t uid)
{
	return !setgroups(0, NULL) && !setresgid(USERS, USERS, USERS) &&
	       !setresuid(uid, uid, uid);
}

pid_t users_fork(uid_t uid);
uint64_t users_phys(const void *mem);

#endif
