// SPDX-License-Identifier: GPL-2.0
/* The guest's file systems, and the machine's own root brought in over 9p. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "init.h"

#define HOST_ROOT "/host/root"

static bool mount_on(const char *type, const char *dir, const char *data)
{
	mkdir(dir, 0755);
	if (!mount(type, dir, type, 0, data))
		return true;
	note("cannot mount %s on %s: %s", type, dir, strerror(errno));
	return false;
}

static void mount_kernel_dirs(const char *root)
{
	static const struct {
		const char *type, *dir, *data;
	} dirs[] = {
		{ "proc", "proc", NULL },
		{ "sysfs", "sys", NULL },
		{ "devtmpfs", "dev", NULL },
		{ "devpts", "dev/pts", "ptmxmode=0666" },
		{ "tmpfs", "dev/shm", NULL },
		{ "debugfs", "sys/kernel/debug", NULL },
		{ "tracefs", "sys/kernel/tracing", NULL },
	};
	char path[128];

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", root, dirs[i].dir);
		mount_on(dirs[i].type, path, dirs[i].data);
	}
}

void mount_basics(void)
{
	mount_kernel_dirs("");
	mount_on("tmpfs", "/tmp", NULL);
}

/*
 * The machine's root, read-only, with a tmpfs over it that takes the writes.
 * cache=loose because nobody changes a file under a running guest's feet in
 * a way that a test should notice.
 */
bool mount_host_root(void)
{
	mkdir("/host", 0755);
	mkdir("/host/lower", 0755);
	mkdir(HOST_ROOT, 0755);
	if (mount("root", "/host/lower", "9p", MS_RDONLY,
		  "trans=virtio,version=9p2000.L,msize=262144,cache=loose")) {
		fault("cannot mount the host's root over 9p: %s", strerror(errno));
		return false;
	}
	if (!mount_on("tmpfs", "/host/tmp", NULL))
		return false;
	mkdir("/host/tmp/upper", 0755);
	mkdir("/host/tmp/work", 0755);
	if (mount("overlay", HOST_ROOT, "overlay", 0,
		  "lowerdir=/host/lower,upperdir=/host/tmp/upper,workdir=/host/tmp/work")) {
		fault("cannot lay a tmpfs over the host's root: %s", strerror(errno));
		return false;
	}
	mount_kernel_dirs(HOST_ROOT);
	return true;
}

/* In a child, before exec. */
void enter_host_root(void)
{
	if (chroot(HOST_ROOT) || chdir("/")) {
		perror("chroot into the host's root");
		_exit(125);
	}
}

/* What a test left mounted is nobody's: the disks only have to be in order. */
void unmount_all(void)
{
	static char mounts[65536];
	char *line, *save, *dir, *type;

	if (!read_file("/proc/mounts", mounts, sizeof(mounts)))
		return;
	for (line = strtok_r(mounts, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		strtok(line, " ");
		dir = strtok(NULL, " ");
		type = strtok(NULL, " ");
		if (type && (!strcmp(type, "ext4") || !strcmp(type, "xfs")) &&
		    umount2(dir, 0))
			fault("cannot unmount %s: %s", dir, strerror(errno));
	}
}
