/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Puts the machine to sleep, as far as an emulated one does: all devices are
 * suspended in all phases, and resumed. The platform, which nothing would wake up, is
 * left out (pm_test).
 */
#ifndef P2P_SUSPEND_H
#define P2P_SUSPEND_H

#include <errno.h>
#include <stdbool.h>
#include <unistd.h>

#include "klog.h"
#include "p2pmem.h"

#define PM_TEST		"/sys/power/pm_test"
#define PM_STATE	"/sys/power/state"
#define PM_DELAY	"/sys/module/suspend/parameters/pm_test_delay"
#define PM_SLEPT	"suspend debug: Waiting for 1 second(s)."

static inline bool can_sleep(void)
{
	return !access(PM_TEST, W_OK);
}

/* Returns when everything is awake again: 0, or an errno. */
static inline int sleep_once(void)
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

#endif
