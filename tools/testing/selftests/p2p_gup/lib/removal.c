// SPDX-License-Identifier: GPL-2.0
/* Removal of a provider. */
#define _GNU_SOURCE
#include <sys/wait.h>
#include <unistd.h>

#include "../bind.h"
#include "../klog.h"
#include "../removal.h"

/* Unbinds in a child, which exits with the errno. */
pid_t start_unbind(const char *provider)
{
	pid_t child = fork();

	if (!child)
		_exit(p2p_unbind(provider));
	return child;
}
