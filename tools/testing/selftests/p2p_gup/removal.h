/* SPDX-License-Identifier: GPL-2.0 */
/* Removal of a provider. */
#ifndef P2P_REMOVAL_H
#define P2P_REMOVAL_H

#include <sys/wait.h>
#include <unistd.h>

#include "bind.h"
#include "klog.h"

pid_t start_unbind(const char *provider);

bool device_is_there(const char *device);
void wait_for_device(const char *device, bool there);

/* Waits until the device is there, and binds it to p2pmem-bar. */
bool give_driver(const char *device);

/* The host unplugs a device, or plugs it in. @plug is its name there: P2P_PLUG. */
void unplug(const char *plug);
bool plug_in(const char *plug, const char *provider);

/* For FIXTURE_TEARDOWN(): the driver is bound, and all memory is available. */
#define EXPECT_BACK(self)						\
	do {								\
		if (!p2p_has_driver((self)->provider, P2P_BAR_DRIVER))	\
			EXPECT_EQ(0, p2p_bind((self)->provider));	\
		EXPECT_EQ((self)->total,				\
			  p2p_number((self)->provider, "p2pmem/size"));	\
		EXPECT_TRUE(p2p_settles((self)->provider,		\
					(self)->before));		\
	} while (0)

/* Is the child still running? */
static inline bool still_runs(pid_t child)
{
	return !waitpid(child, NULL, WNOHANG);
}

#endif
