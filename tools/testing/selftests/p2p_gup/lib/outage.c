// SPDX-License-Identifier: GPL-2.0
/* Common code of the tests of a provider's outages. */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <unistd.h>

pid_t outage_fork(void);

/* Like fork(), but the child is killed if the test ends. */
pid_t outage_fork(void)
{
	pid_t child = fork();

	if (!child)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return child;
}
