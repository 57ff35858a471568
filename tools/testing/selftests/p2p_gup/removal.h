/* SPDX-License-Identifier: GPL-2.0 */
/* A provider that comes and goes. */
#ifndef P2P_REMOVAL_H
#define P2P_REMOVAL_H

#include <sys/wait.h>
#include <unistd.h>

#include "bind.h"
#include "klog.h"

/* Unbinds in a child, whose exit status is the errno. */
static inline pid_t start_unbind(const char *provider)
{
	pid_t child = fork();

	if (!child)
		_exit(p2p_unbind(provider));
	return child;
}

/* Is the child still at it? */
static inline bool still_runs(pid_t child)
{
	return !waitpid(child, NULL, WNOHANG);
}

#endif
