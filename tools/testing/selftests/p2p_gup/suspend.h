/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Suspends the machine as far as an emulated one can be: all devices are
 * suspended in all phases, and resumed. The platform, which nothing would wake
 * up, is left out (pm_test).
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

int sleep_once(void);

#endif
