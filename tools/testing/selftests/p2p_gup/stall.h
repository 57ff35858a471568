/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Stops a thread inside the kernel, through lib/test_p2p_stall.c, while another
 * thread does what it is to race with. Each thread has its own CPU.
 */
#ifndef P2P_STALL_H
#define P2P_STALL_H

#include <fcntl.h>
#include <lib/test_p2p_uapi.h>
#include <sched.h>
#include <stdbool.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define P2P_STALL_FILE	"/sys/kernel/debug/p2p_test_stall"

static inline int stall_open(void)
{
	return open(P2P_STALL_FILE, O_RDWR | O_CLOEXEC);
}

bool stall_cpu(int cpu);

/*
 * Makes the calling thread stop at a page table allocation, after @others of
 * them.
 */
static inline int stall_at_page_table(int fd, unsigned int others)
{
	return ioctl(fd, P2P_TEST_STALL, others);
}

bool stall_wait(int fd);
bool stall_end(int fd);

#endif
