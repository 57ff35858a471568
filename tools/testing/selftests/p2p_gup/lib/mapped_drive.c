// SPDX-License-Identifier: GPL-2.0
/*
 * A drive below a linear mapping of device mapper. While the mapping is
 * suspended, requests wait in it, and a process that waits for one can't be
 * killed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "../mapped_drive.h"

#define NAME	"p2p-mapped"
#define NODE	"/tmp/p2p-mapped"

struct call {
	struct dm_ioctl head;
	struct dm_target_spec target;
	char parameters[128];
};

/* Returns 0 or an error. */
static int dm_call(unsigned long request, struct call *call, unsigned int flags)
{
	int fd = open(MAPPED_CONTROL, O_RDWR | O_CLOEXEC);
	int error = 0;

	if (fd < 0)
		return -errno;
	call->head.version[0] = DM_VERSION_MAJOR;
	call->head.data_size = sizeof(*call);
	call->head.data_start = offsetof(struct call, target);
	call->head.flags = flags;
	strcpy(call->head.name, NAME);
	if (ioctl(fd, request, call))
		error = -errno;
	close(fd);
	return error;
}

static int dm_simple(unsigned long request, unsigned int flags)
{
	struct call call = {};

	return dm_call(request, &call, flags);
}

int mapped_create(const char *drive, unsigned long sectors)
{
	struct call call = {};
	dev_t dev;
	int error;

	error = dm_call(DM_DEV_CREATE, &call, 0);
	if (error)
		return error;
	/* The kernel encodes major and minor differently from makedev(). */
	dev = makedev(call.head.dev >> 8 & 0xfff,
		      (call.head.dev & 0xff) | (call.head.dev >> 12 & 0xfff00));

	memset(&call, 0, sizeof(call));
	call.head.target_count = 1;
	call.target.length = sectors;
	strcpy(call.target.target_type, "linear");
	snprintf(call.parameters, sizeof(call.parameters), "%s 0", drive);
	error = dm_call(DM_TABLE_LOAD, &call, 0);
	if (!error)
		error = mapped_resume();
	if (error)
		return error;

	unlink(NODE);
	if (mknod(NODE, S_IFBLK | 0600, dev))
		return -errno;
	error = open(NODE, O_RDWR | O_DIRECT | O_CLOEXEC);
	return error < 0 ? -errno : error;
}

/* From now on new requests wait. The drive has none in flight. */
int mapped_suspend(void)
{
	return dm_simple(DM_DEV_SUSPEND, DM_SUSPEND_FLAG | DM_SKIP_LOCKFS_FLAG |
			 DM_NOFLUSH_FLAG);
}

int mapped_resume(void)
{
	return dm_simple(DM_DEV_SUSPEND, 0);
}

int mapped_remove(void)
{
	unlink(NODE);
	return dm_simple(DM_DEV_REMOVE, 0);
}

bool mapped_is_stuck(pid_t pid)
{
	char path[64], text[256], *state;
	ssize_t len;
	int fd, i;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	for (i = 0; i < 60000; i++, usleep(1000)) {
		fd = open(path, O_RDONLY);
		len = read(fd, text, sizeof(text) - 1);
		close(fd);
		if (len <= 0)
			return false;
		text[len] = '\0';
		state = strrchr(text, ')');
		if (state && state[2] == 'D')
			return true;
		if (state && state[2] == 'Z')
			return false;
	}
	return false;
}
