// SPDX-License-Identifier: GPL-2.0
/*
 * A uevent is sent when processes can allocate memory, so that a udev rule can
 * set the owner: if a driver adds its memory after probe, the files do not
 * exist yet when it is bound.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bind.h"
#include "users.h"
#include "variants.h"

#define LIMIT	(1 * MIB)

FIXTURE(uevent)
{
	const char *provider;
	const char *driver;
	char limit[P2P_PATH_LEN];
	int events;
};

P2P_VARIANTS(uevent, NULL, NULL);

FIXTURE_SETUP(uevent)
{
	struct sockaddr_nl addr = {
		.nl_family = AF_NETLINK,
		.nl_groups = 1,		/* the kernel's */
	};

	self->provider = variant->p2p.provider;
	self->driver = p2p_has_driver(self->provider, "nvme") ? "nvme" :
								P2P_BAR_DRIVER;
	p2p_path(self->limit, self->provider, "p2pmem/user_limit");
	self->events = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC,
			      NETLINK_KOBJECT_UEVENT);
	ASSERT_LE(0, self->events);
	ASSERT_EQ(0, bind(self->events, (struct sockaddr *)&addr, sizeof(addr)));
}

FIXTURE_TEARDOWN(uevent)
{
	close(self->events);
}

/* Does the event, "ACTION@PATH" followed by variables, have this variable? */
static bool has(const char *event, size_t len, const char *variable)
{
	const char *text;

	for (text = event; text < event + len; text += strlen(text) + 1)
		if (!strcmp(text, variable))
			return true;
	return false;
}

/* Waits for an event of the provider with this variable, a minute at most. */
static bool wait_event(struct _test_data_uevent *self, const char *variable)
{
	struct pollfd poll_fd = { .fd = self->events, .events = POLLIN };
	char event[8192], slot[64];
	ssize_t len;

	snprintf(slot, sizeof(slot), "PCI_SLOT_NAME=%s", self->provider);
	while (poll(&poll_fd, 1, 60000) == 1) {
		len = recv(self->events, event, sizeof(event) - 1, 0);
		if (len <= 0)
			continue;
		event[len] = '\0';
		if (!strncmp(event, "change@", 7) && has(event, len, slot) &&
		    has(event, len, "SUBSYSTEM=pci") && has(event, len, variable))
			return true;
	}
	return false;
}

static bool alice_may_allocate(const char *provider)
{
	pid_t child = users_fork(ALICE);

	if (!child)
		_exit(p2p_map(provider, 4 * KIB) == MAP_FAILED);
	return !p2p_wait(child);
}

TEST_F(uevent, when_it_can_be_used)
{
	ASSERT_EQ(0, p2p_driver_unbind(self->driver, self->provider));
	ASSERT_EQ(0, p2p_driver_bind(self->driver, self->provider));
	ASSERT_TRUE(wait_event(self, "P2PMEM=1"));

	/* Does what a rule would do; there is nothing to wait for. */
	EXPECT_FALSE(alice_may_allocate(self->provider));
	EXPECT_TRUE(users_admit(self->provider, USERS));
	EXPECT_EQ(0, p2p_write_file(self->limit, "1048576\n"));
	EXPECT_EQ(LIMIT, p2p_number(self->provider, "p2pmem/user_limit"));
	EXPECT_TRUE(alice_may_allocate(self->provider));

	EXPECT_EQ(0, p2p_write_file(self->limit, "max\n"));
	EXPECT_TRUE(users_admit(self->provider, 0));
}

TEST_HARNESS_MAIN
