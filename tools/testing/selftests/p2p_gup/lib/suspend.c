// SPDX-License-Identifier: GPL-2.0
/*
 * Suspends the machine as far as an emulated one can be: all devices are
 * suspended in all phases, and resumed. The platform, which nothing would wake
 * up, is left out (pm_test).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdbool.h>
#include <unistd.h>

#include "../klog.h"
#include "../p2pmem.h"
#include "../suspend.h"

/* Returns after resume: 0, or an errno. */
int sleep_once(void)
{
	int klog = klog_open();
	int error = p2p_write_file(PM_TEST, "platform") ?:
		    p2p_write_file(PM_DELAY, "1") ?:
		    p2p_write_file(PM_STATE, "freeze");

	if (!error && !klog_said(klog, PM_SLEPT, ""))
		error = EALREADY;
	p2p_write_file(PM_TEST, "none");
	close(klog);
	return error;
}
