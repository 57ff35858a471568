// SPDX-License-Identifier: GPL-2.0
/*
 * A network file system, 9p, which pins the pages of large direct transfers
 * itself, for a server that is no PCI device: peer-to-peer memory must be
 * refused, and transfers through the page cache are copied.
 *
 * Needs a mounted file system of type 9p that has /bin/bash.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "variants.h"

#define SIZE	(64 * KIB)	/* large enough that 9p does not copy */
#define POISON	0xdeadbeefcafef00dULL

FIXTURE(fs_9p)
{
	P2P_FIXTURE;
	int direct;
	int cached;
};

P2P_VARIANTS(fs_9p, NULL, NULL);

/*
 * The path of a file that is large enough, whatever the root of this process.
 */
static bool find_file(char *path, size_t size)
{
	FILE *mounts = setmntent("/proc/1/mounts", "r");
	struct mntent *entry;
	bool found = false;

	while (!found && mounts && (entry = getmntent(mounts))) {
		if (strcmp(entry->mnt_type, "9p"))
			continue;
		snprintf(path, size, "/proc/1/root%s/bin/bash",
			 entry->mnt_dir);
		found = !access(path, R_OK);
	}
	if (mounts)
		endmntent(mounts);
	return found;
}

FIXTURE_SETUP(fs_9p)
{
	char path[P2P_PATH_LEN];

	if (!find_file(path, sizeof(path)))
		SKIP(p2p_skip_now(), "no 9p is mounted, or it has no bin/bash");
	ASSERT_TRUE(p2p_setup(&self->p2p, &variant->p2p, SIZE));
	ASSERT_TRUE(p2p_setup_ram(&self->p2p));
	self->direct = open(path, O_RDONLY | O_DIRECT);
	ASSERT_LE(0, self->direct);
	self->cached = open(path, O_RDONLY);
	ASSERT_LE(0, self->cached);
	p2p_set(self->mem, SIZE, POISON);
}

FIXTURE_TEARDOWN(fs_9p)
{
	close(self->cached);
	close(self->direct);
	p2p_release(&self->p2p);
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

TEST_F(fs_9p, direct)
{
	EXPECT_EQ(SIZE, pread(self->direct, self->ram, SIZE, 0));
	EXPECT_EQ(-EREMOTEIO, p2p_result(pread(self->direct, self->mem, SIZE,
					       0)));
	EXPECT_EQ(-1, p2p_not_set(self->mem, SIZE, POISON));
	/* RAM still works. */
	EXPECT_EQ(SIZE, pread(self->direct, self->ram, SIZE, SIZE));
}

TEST_F(fs_9p, cached)
{
	EXPECT_EQ(SIZE, pread(self->cached, self->mem, SIZE, 0));
	EXPECT_EQ(SIZE, pread(self->direct, self->ram, SIZE, 0));
	EXPECT_EQ(-1, p2p_unlike(self->mem, self->ram, SIZE));
}

TEST_HARNESS_MAIN
