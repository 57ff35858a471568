// SPDX-License-Identifier: GPL-2.0
/* What the tests of outages of a provider share. */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <unistd.h>

pid_t outage_fork(void);

/* A child that doesn't survive a test that fails; returns as fork() does. */
pid_t outage_fork(void)
{
	pid_t child = fork();

	if (!child)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return child;
}
