/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A drive below a linear mapping of device mapper. While the mapping is
 * suspended, requests wait in it, and a process that waits for one can't be
 * killed.
 */
#ifndef P2P_MAPPED_DRIVE_H
#define P2P_MAPPED_DRIVE_H

#include <stdbool.h>
#include <sys/types.h>

#define MAPPED_CONTROL	"/dev/mapper/control"

/* Opens it for O_DIRECT, or returns an error. */
int mapped_create(const char *drive, unsigned long sectors);
int mapped_suspend(void);
int mapped_resume(void);
int mapped_remove(void);

/* Does the process wait for such a request? Waits until it does, or ends. */
bool mapped_is_stuck(pid_t pid);

#endif
