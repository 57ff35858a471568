// SPDX-License-Identifier: GPL-2.0
/*
 * Files: the file system that they are on, and the block device below it.
 *
 * The verdicts are those of the table in Documentation/admin-guide/p2pmem.rst.
 */
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "client.h"
#include "sysfs.h"
#include "util.h"

struct mount {
	unsigned int major, minor;
	char type[32];
	char *point;
	char *options;			/* of the superblock */
};

static const char * const passing[] = { "ext4", "ext3", "xfs", "f2fs" };

static const struct {
	const char *types;		/* with a space after each */
	const char *why;
} refusing[] = {
	{ "btrfs ", "btrfs checksums the data, or may do so" },
	{ "tmpfs ramfs hugetlbfs devtmpfs proc sysfs ", "its files are in RAM" },
	{ "nfs nfs4 cifs smb3 9p ceph afs fuse fuseblk virtiofs ", "it gets its data from a server or a program, not from a drive by DMA" },
	{ "ext2 vfat exfat ntfs3 udf hfs hfsplus jfs nilfs2 reiserfs ", "its direct I/O (fs/direct-io.c) does not support peer-to-peer memory" },
};

/* Space and backslash are \040 and \134 in the mount table. */
static void unescape(char *text)
{
	unsigned int byte;
	char *to = text;

	for (; *text; to++) {
		if (*text == '\\' && sscanf(text, "\\%3o", &byte) == 1) {
			*to = byte;
			text += 4;
		} else {
			*to = *text++;
		}
	}
	*to = '\0';
}

static bool parse_mount(char *line, uint64_t id, struct mount *mount)
{
	char point[4096], options[4096];
	unsigned long long line_id;
	char *rest = strstr(line, " - ");

	if (!rest || sscanf(line, "%llu %*u %u:%u %*s %4095s", &line_id, &mount->major,
			    &mount->minor, point) != 4 || line_id != id)
		return false;
	if (sscanf(rest, " - %31s %*s %4095s", mount->type, options) != 2)
		return false;
	unescape(point);
	mount->point = xstrdup(point);
	mount->options = xstrdup(options);
	return true;
}

static bool find_mount(uint64_t id, struct mount *mount)
{
	char *text = read_text("/proc/self/mountinfo");
	char *rest = text, *line;
	bool found = false;

	while (!found && (line = strsep(&rest, "\n")))
		found = parse_mount(line, id, mount);
	free(text);
	return found;
}

/* The directories of an overlay, the upper one first, and the file below. */
static bool add_below_overlay(struct client *client, const struct mount *mount, const char *path)
{
	char *real = realpath(path, NULL), *options = xstrdup(mount->options);
	char *copy = xstrdup(path);
	size_t len = strcmp(mount->point, "/") ? strlen(mount->point) : 0;
	char *dirs[2] = {}, *dir, *below;
	bool found = false;

	/* A new file is created in the same directory of the upper layer. */
	real = real ?: realpath(dirname(copy), NULL);
	free(copy);
	dirs[0] = strstr(options, "upperdir=");
	dirs[1] = strstr(options, "lowerdir=");
	for (int i = 0; i < 2; i++)
		if (dirs[i])
			dirs[i] += strlen("upperdir=");
	for (int i = 0; i < 2; i++)
		if (dirs[i])
			dirs[i][strcspn(dirs[i], ",")] = '\0';
	for (int i = 0; i < 2 && real && !found; i++) {
		while (!found && (dir = strsep(&dirs[i], ":"))) {
			below = xasprintf("%s%s", dir, real + len);
			found = exists("%s", below);
			if (found)
				client_add_file(client, below);
			free(below);
		}
	}
	free(options);
	free(real);
	return found;
}

static void ask_type(struct layer *layer, const char *type)
{
	for (size_t i = 0; i < ARRAY_SIZE(passing); i++)
		if (!strcmp(type, passing[i]))
			return;
	for (size_t i = 0; i < ARRAY_SIZE(refusing); i++) {
		char *word = xasprintf("%s ", type);
		const char *at = strstr(refusing[i].types, word);
		bool is = at && (at == refusing[i].types || at[-1] == ' ');

		free(word);
		if (is) {
			layer_refuses(layer, refusing[i].why,
				      "keep such files on ext4, xfs or f2fs, or use a block device");
			return;
		}
	}
	layer_refuses(layer, "this type of file system is not known to pass the data on",
		      "keep such files on ext4, xfs or f2fs; p2pctl route --probe tries this one");
}

static void ask_file(struct layer *layer, const struct mount *mount, const struct statx *stx)
{
	ask_type(layer, mount->type);
	if (stx->stx_attributes & STATX_ATTR_ENCRYPTED)
		layer_refuses(layer, "the CPU encrypts the file (fscrypt)",
			      "use a file in a directory that is not encrypted");
	if (stx->stx_attributes & STATX_ATTR_COMPRESSED)
		layer_refuses(layer, "the file is compressed", "chattr -c, and write it again");
	if (strstr(mount->options, "data=journal"))
		layer_refuses(layer, "data=journal copies all data to the journal",
			      "mount it with data=ordered");
}

/**
 * client_add_file() - add a file, its file system and what is below
 * @client: the client to add it to
 * @path: a file or a directory. For a file that does not exist yet, the file
 *	  system of its directory counts.
 */
void client_add_file(struct client *client, const char *path)
{
	struct mount mount = {};
	struct layer *layer;
	struct statx stx;
	unsigned int depth = client->nr ? client->layers[client->nr - 1].depth + 1 : 0;
	char *copy = xstrdup(path);

	if (statx(AT_FDCWD, path, 0, STATX_BASIC_STATS | STATX_MNT_ID, &stx) &&
	    statx(AT_FDCWD, dirname(copy), 0, STATX_BASIC_STATS | STATX_MNT_ID, &stx)) {
		layer_refuses(client_add(client, depth, "%s", path), "there is no such file", NULL);
		free(copy);
		return;
	}
	free(copy);
	if (!find_mount(stx.stx_mnt_id, &mount)) {
		layer_refuses(client_add(client, depth, "file %s", path),
			      "its file system is not in the mount table of this process", NULL);
		return;
	}
	layer = client_add(client, depth, "file system %s on %s", mount.type, mount.point);
	if (!strcmp(mount.type, "overlay")) {
		if (!add_below_overlay(client, &mount, path))
			layer_refuses(layer, "the file below the overlay is not visible here",
				      "name the file in the overlay's upper or lower directory");
	} else {
		ask_file(layer, &mount, &stx);
		if (stx.stx_dev_major)
			client_add_block(client, depth + 1,
					 makedev(stx.stx_dev_major, stx.stx_dev_minor));
		else if (mount.major)
			client_add_block(client, depth + 1, makedev(mount.major, mount.minor));
	}
	free(mount.point);
	free(mount.options);
}
