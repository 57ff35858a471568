/* SPDX-License-Identifier: GPL-2.0 */
/* Memory held for longer than a call, through lib/test_p2p_hold.c. */
#ifndef P2P_HOLD_TEST_H
#define P2P_HOLD_TEST_H

#include <fcntl.h>
#include <lib/test_p2p_uapi.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "p2pmem.h"

#define P2P_HOLD_FILE	"/sys/kernel/debug/p2p_test_hold"

/* How memory is held. */
struct hold_kind {
	const char *name;
	bool ticket;
	bool by_file;
};

static const struct hold_kind hold_kinds[] = {
	{ "lease", false, false },
	{ "ticket", true, false },
	{ "lease of a file", false, true },
	{ "ticket of a file", true, true },
};

#define for_each_hold_kind(kind) \
	for ((kind) = hold_kinds; (kind) < hold_kinds + ARRAY_SIZE(hold_kinds); (kind)++)

/* For FIXTURE_SETUP(): opens the test module; skips the test without it. */
#define HOLD_OPEN()							\
	({								\
		int fd_ = open(P2P_HOLD_FILE, O_RDWR | O_CLOEXEC);	\
									\
		if (fd_ < 0)						\
			SKIP(p2p_skip_now(), "no " P2P_HOLD_FILE	\
			     ": CONFIG_TEST_P2P, debugfs?");		\
		fd_;							\
	})

/* lib/hold.c; all that return an int return 0 or a negative errno */
int hold_call(int fd, struct p2p_test_hold *arg);
int hold(int fd, const struct hold_kind *kind, const void *addr, size_t len, bool write);
int hold_unarmed(int fd, const struct hold_kind *kind, const void *addr, size_t len);
unsigned int hold_revokes(int fd);
unsigned int hold_revoked(int fd);
bool hold_wait_revoked(int fd);

static inline int hold_arm(int fd)
{
	return p2p_result(ioctl(fd, P2P_TEST_HOLD_ARM, 0));
}

static inline int hold_use(int fd)
{
	return p2p_result(ioctl(fd, P2P_TEST_HOLD_USE, 0));
}

static inline int hold_unuse(int fd)
{
	return p2p_result(ioctl(fd, P2P_TEST_HOLD_UNUSE, 0));
}

static inline int hold_wait(int fd)
{
	return p2p_result(ioctl(fd, P2P_TEST_HOLD_WAIT, 0));
}

static inline int hold_put(int fd)
{
	return p2p_result(ioctl(fd, P2P_TEST_PUT, 0));
}

/* The state of the holds of a file. */
static inline struct p2p_test_holds hold_look(int fd)
{
	struct p2p_test_holds look = { .nr_wrong = -1 };

	ioctl(fd, P2P_TEST_HOLD_LOOK, &look);
	return look;
}

#endif
