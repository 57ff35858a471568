// SPDX-License-Identifier: GPL-2.0
/* Memory held for longer than a call, through lib/test_p2p_hold.c. */
#define _GNU_SOURCE
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

#include "../../kselftest.h"
#include "../hold.h"

int hold_call(int fd, struct p2p_test_hold *arg)
{
	return p2p_result(ioctl(fd, P2P_TEST_HOLD, arg)) ?: arg->result;
}

static int hold_as(int fd, const struct hold_kind *kind, const void *addr, size_t len,
		   bool write, bool arm)
{
	struct p2p_test_hold arg = {
		.addr = (uintptr_t)addr,
		.len = len,
		.nr = 1,
		.ticket = kind->ticket,
		.by_file = kind->by_file,
		.write = write,
		.arm = arm,
	};

	return hold_call(fd, &arg);
}

/* Until hold_put(), or close(). */
int hold(int fd, const struct hold_kind *kind, const void *addr, size_t len, bool write)
{
	return hold_as(fd, kind, addr, len, write, true);
}

int hold_unarmed(int fd, const struct hold_kind *kind, const void *addr, size_t len)
{
	return hold_as(fd, kind, addr, len, true, false);
}

/* How often revoke() was called and has returned. */
unsigned int hold_revokes(int fd)
{
	return hold_look(fd).nr_revoke;
}

/* How many holds of the file are revoked. */
unsigned int hold_revoked(int fd)
{
	return hold_look(fd).nr_revoked;
}

/* Waits until a hold is revoked. */
bool hold_wait_revoked(int fd)
{
	int i;

	for (i = 0; i < 20000 && !hold_revoked(fd); i++)
		usleep(500);
	return hold_revoked(fd);
}
