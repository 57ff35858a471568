// SPDX-License-Identifier: GPL-2.0
/*
 * p2pctl copy: opens the source and the destination, and checks whether they
 * are suitable.
 */
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "copy.h"
#include "lib/sysfs.h"
#include "lib/util.h"

/* The alignment of offsets, lengths and buffers. */
static uint64_t direct_io_align(const struct end *end)
{
	unsigned int block = 0;
	struct statx stx;

	if (end->is_block)
		return ioctl(end->fd, BLKSSZGET, &block) || !block ? 4096 : block;
#ifdef STATX_DIOALIGN
	if (!statx(end->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) &&
	    stx.stx_mask & STATX_DIOALIGN && stx.stx_dio_offset_align)
		return stx.stx_dio_offset_align;
#else
	(void)stx;
#endif
	return 4096;
}

static void describe_end(struct end *end)
{
	if (fstat(end->fd, &end->st))
		die(ST_FAILED, "%s: %s", end->path, strerror(errno));
	end->is_block = S_ISBLK(end->st.st_mode);
	end->size = end->st.st_size;
	if (end->is_block && ioctl(end->fd, BLKGETSIZE64, &end->size))
		die(ST_FAILED, "%s: %s", end->path, strerror(errno));
	end->align = direct_io_align(end);
}

/* Before anything is opened: opening some things has effects. */
static void check_kind(const char *path, bool must_exist)
{
	struct stat st;

	if (stat(path, &st)) {
		int err = errno;
		char *copy = xstrdup(path);

		if (must_exist || err != ENOENT || stat(dirname(copy), &st))
			die(ST_USAGE, "%s: %s", path, strerror(err));
		free(copy);
		return;
	}
	if (S_ISDIR(st.st_mode))
		die(ST_USAGE, "%s is a directory: name a file in it", path);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		die(ST_USAGE, "%s is neither a file nor a block device", path);
}

void copy_open_source(struct copy *c)
{
	check_kind(c->src.path, true);
	c->src.fd = open(c->src.path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (c->src.fd < 0 && errno == EINVAL) {
		error("%s: its file system does not support O_DIRECT, so a device can't read its data by DMA",
		      c->src.path);
		exit(ST_NO);
	}
	if (c->src.fd < 0)
		die(ST_FAILED, "%s: %s", c->src.path, strerror(errno));
	describe_end(&c->src);
}

/* In sysfs, a partition is below its drive. */
static bool is_part(dev_t whole, dev_t part)
{
	char *a = real_path("/sys/dev/block/%u:%u", major(whole), minor(whole));
	char *b = real_path("/sys/dev/block/%u:%u", major(part), minor(part));
	bool is = a && b && !strncmp(a, b, strlen(a)) && b[strlen(a)] == '/';

	free(a);
	free(b);
	return is;
}

/* Checks that need no open destination. */
void copy_check_destination(const struct copy *c)
{
	struct stat st;

	check_kind(c->dst.path, false);
	if (stat(c->dst.path, &st))
		return;
	if ((S_ISBLK(st.st_mode) && c->src.is_block && st.st_rdev == c->src.st.st_rdev) ||
	    (st.st_dev == c->src.st.st_dev && st.st_ino == c->src.st.st_ino))
		die(ST_USAGE, "%s and %s are the same", c->src.path, c->dst.path);
	if (S_ISBLK(st.st_mode) && c->src.is_block &&
	    (is_part(st.st_rdev, c->src.st.st_rdev) || is_part(c->src.st.st_rdev, st.st_rdev)))
		die(ST_USAGE, "one of %s and %s is a part of the other", c->src.path, c->dst.path);
}

void copy_check_room(const struct copy *c)
{
	uint64_t data = c->src.is_block ? c->size : (uint64_t)c->src.st.st_blocks * 512;
	char need[SIZE_TEXT], have[SIZE_TEXT];
	uint64_t room;
	struct statvfs fs;

	if (c->dst.is_block) {
		if (c->dst.size >= c->size)
			return;
		error("%s holds %s, but %s has %s", c->dst.path, size_text(c->dst.size, have),
		      c->src.path, size_text(c->size, need));
		hint("--size %llu copies as much as fits", (unsigned long long)c->dst.size);
		exit(ST_USAGE);
	}
	if (data > c->size)
		data = c->size;
	if (fstatvfs(c->dst.fd, &fs))
		return;
	room = (uint64_t)fs.f_bavail * fs.f_frsize + (uint64_t)c->dst.st.st_blocks * 512;
	if (room >= data)
		return;
	error("%s: the file system has room for %s, but %s must be copied", c->dst.path,
	      size_text(room, have), size_text(data, need));
	if (c->dst.created)
		unlink(c->dst.path);
	exit(ST_FAILED);
}

/* Called after all checks, because the old contents are lost. */
void copy_open_destination(struct copy *c, bool resume)
{
	struct stat st;
	bool is_block = !stat(c->dst.path, &st) && S_ISBLK(st.st_mode);
	/* O_EXCL makes open() fail if a block device is in use. */
	int flags = is_block ? O_EXCL : resume ? 0 : O_CREAT;

	c->dst.created = access(c->dst.path, F_OK) && !resume;
	c->dst.fd = open(c->dst.path, O_RDWR | O_DIRECT | O_CLOEXEC | flags, 0666);
	if (c->dst.fd < 0 && errno == EBUSY) {
		error("%s is in use: mounted, or part of another device", c->dst.path);
		hint("lsblk %s shows what uses it", c->dst.path);
		exit(ST_FAILED);
	}
	if (c->dst.fd < 0)
		die(ST_FAILED, "%s: %s", c->dst.path, strerror(errno));
	describe_end(&c->dst);
}
