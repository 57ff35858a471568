// SPDX-License-Identifier: GPL-2.0
/* Calls of get_user_pages(), through lib/test_p2p.c. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <lib/test_p2p_uapi.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "../gup_call.h"

/* The result of the function; -1000 if it can't be called this way. */
long gup_call(int fd, unsigned int form, const void *addr,
	      unsigned int nr_pages, unsigned int flags,
	      struct p2p_test_page *pages, bool hold, pid_t pid)
{
	struct p2p_test_gup gup = {
		.addr = (uintptr_t)addr,
		.pages = (uintptr_t)pages,
		.nr_pages = nr_pages,
		.form = form,
		.gup_flags = flags,
		.pid = pid,
		.hold = hold,
	};

	if (ioctl(fd, P2P_TEST_GUP, &gup)) {
		perror("P2P_TEST_GUP");
		return -1000;
	}
	return gup.result;
}

/* The current reference count of a peer-to-peer page; -1 if it is gone. */
int gup_count(int fd, uint64_t pfn)
{
	struct p2p_test_page look = { .pfn = pfn };

	return ioctl(fd, P2P_TEST_LOOK, &look) ? -1 : look.count;
}

/* Parses the address of a PCI function, which other text may follow. */
bool p2p_function_of(const char *addr, struct p2p_test_function *function)
{
	unsigned int slot, nr;

	if (sscanf(addr, "%x:%x:%x.%x", &function->domain, &function->bus,
		   &slot, &nr) != 4)
		return false;
	function->devfn = slot << 3 | nr;
	return true;
}

/* The PCI function of a drive, for use as a client. */
bool p2p_client_of(const char *disk, struct p2p_test_function *client)
{
	char link[128], path[300] = "";
	char *at, *next;

	snprintf(link, sizeof(link), "/sys/class/block/%s",
		 strrchr(disk, '/') + 1);
	if (readlink(link, path, sizeof(path) - 1) < 0)
		return false;
	/* .../pci0000:00/0000:00:02.0/0000:01:00.0/nvme/nvme0/nvme0n1 */
	for (at = path; (next = strchr(at, '/')); at = next + 1)
		p2p_function_of(at, client);
	return client->bus;
}
