// SPDX-License-Identifier: GPL-2.0
/*
 * Stops a thread inside the kernel, through lib/test_p2p_stall.c, while another
 * thread does what it is to race with. Each thread has its own CPU.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <lib/test_p2p_uapi.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../stall.h"

bool stall_cpu(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return !sched_setaffinity(0, sizeof(set), &set);
}

/* Waits until a thread has stopped. */
bool stall_wait(int fd)
{
	int i;

	for (i = 0; i < 10000; i++) {
		if (ioctl(fd, P2P_TEST_STALLED, 0) == 1)
			return true;
		usleep(500);
	}
	return false;
}

/* Lets the thread continue; returns whether it was still stopped. */
bool stall_end(int fd)
{
	bool still = ioctl(fd, P2P_TEST_STALLED, 0) == 1;

	return !ioctl(fd, P2P_TEST_GO_ON, 0) && still;
}
