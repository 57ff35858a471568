// SPDX-License-Identifier: GPL-2.0
/*
 * O_DIRECT between one block device and the memory of all providers, for
 * scripts that create block devices:
 *
 *	block_io DEVICE works		the data arrives
 *	block_io DEVICE refused		EREMOTEIO, and nothing has changed
 *	block_io DEVICE mixed		the data of vectors of all memory arrives
 *	block_io DEVICE write|read [MIB]
 *					a single transfer of 64 KiB, at 1 MiB unless
 *					told otherwise; exits with its errno
 *
 * The device has at least 4 MiB, which are overwritten. Failures are printed as
 * TAP comments, and the exit status is 1.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "../kselftest.h"
#include "mixed.h"
#include "p2pmem.h"

#define SIZE	(2 * MIB)
#define POISON	0xdeadbeefcafef00dULL
#define NR_VEC	300		/* more than a bio holds */
#define NR_MIXED	100		/* at most, and at least: */
#define NR_MIXED_LEAST	10
#define SECONDS		4

static const char *provider;
static char *mem, *ram;		/* SIZE each */
static size_t sector;
static int failures;
static int fd;

static void check(bool good, const char *what, ssize_t got)
{
	if (good)
		return;
	printf("# %s: %s: %zd\n", provider, what, got);
	failures++;
}

static void put(size_t len, uint64_t seed, off_t where)
{
	ssize_t ret;

	p2p_fill(ram, len, seed, where);
	ret = p2p_result(pwrite(fd, ram, len, where));
	check(ret == len, "write from RAM", ret);
}

static void holds(size_t len, uint64_t seed, off_t where, const char *what)
{
	ssize_t ret;

	p2p_set(ram, len, POISON);
	ret = p2p_result(pread(fd, ram, len, where));
	check(ret == len, "read to RAM", ret);
	ret = p2p_differs(ram, len, seed, where);
	check(ret == -1, what, ret);
}

static void transfer(size_t len, off_t where, bool works)
{
	ssize_t due = works ? len : -EREMOTEIO, ret;

	put(len, 1, where);
	p2p_set(mem, len, POISON);
	ret = p2p_result(pread(fd, mem, len, where));
	check(ret == due, "read", ret);
	ret = works ? p2p_differs(mem, len, 1, where) :
		      p2p_not_set(mem, len, POISON);
	check(ret == -1, "data of read", ret);

	p2p_fill(mem, len, 2, where);
	ret = p2p_result(pwrite(fd, mem, len, where));
	check(ret == due, "write", ret);
	holds(len, 1 + works, where, "data of write");
}

/* Alternates RAM and peer-to-peer memory, so that nothing merges. */
static void alternate(off_t where, bool works)
{
	static struct iovec vec[NR_VEC];
	const size_t len = 4 * KIB;
	ssize_t ret, due = NR_VEC * len;
	int i;

	for (i = 0; i < NR_VEC; i++) {
		vec[i].iov_base = (i % 2 ? ram : mem) + i * len;
		vec[i].iov_len = len;
		p2p_fill(vec[i].iov_base, len, 3, where + i * len);
	}
	ret = p2p_result(pwritev(fd, vec, NR_VEC, where));
	check(ret == (works ? due : -EREMOTEIO), "vector write", ret);
	if (!works)
		return;

	holds(due, 3, where, "data of vector write");
	for (i = 0; i < NR_VEC; i++)
		p2p_set(vec[i].iov_base, len, POISON);
	ret = p2p_result(preadv(fd, vec, NR_VEC, where));
	check(ret == due, "vector read", ret);
	for (i = 0; i < NR_VEC; i++) {
		ret = p2p_differs(vec[i].iov_base, len, 3, where + i * len);
		check(ret == -1, "data of vector read", i);
	}
}

static void run(bool works)
{
	const size_t sizes[] = {
		sector, 4 * KIB, 64 * KIB + sector, MIB + 3 * sector,
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sizes); i++)
		transfer(sizes[i], (i + 1) * 60 * KIB, works);
	put(SIZE, 4, MIB);
	alternate(MIB, works);
	/* The RAM parts of the vector may have been written. */
	for (i = 0; !works && i < NR_VEC; i += 2)
		holds(4 * KIB, 4, MIB + i * 4 * KIB,
		      "data after a refused vector");
}

/* RAM and the memory of all providers, in any order. */
static int mix(void)
{
	time_t end = time(NULL) + SECONDS;
	const char *wrong;
	struct mixed m;
	int i;

	wrong = mixed_init(&m, fd, sector, true);
	for (i = 0; !wrong && i < NR_MIXED; i++) {
		if (i >= NR_MIXED_LEAST && time(NULL) >= end)
			break;
		wrong = mixed_transfer(&m, MIB);
	}
	if (wrong)
		printf("# transfer %d: %s\n", i, wrong);
	mixed_end(&m);
	return !!wrong;
}

/* For a device in a state in which other I/O would not complete. */
static int transfer_once(bool write, off_t where)
{
	ssize_t got;

	p2p_fill(mem, 64 * KIB, 9, where);
	got = write ? pwrite(fd, mem, 64 * KIB, where) :
		      pread(fd, mem, 64 * KIB, where);
	return got == 64 * KIB ? 0 : errno;
}

int main(int argc, char **argv)
{
	static const char *const no_disks[] = { NULL };
	static struct p2p_variant all[P2P_MAX];
	int i, nr = p2p_variants(all, NULL, no_disks);
	long long before;
	int size, error;

	if (argc < 3 || argc > 4 || !nr) {
		puts("# usage: block_io DEVICE works|refused|mixed|write|read [MIB], with a provider");
		return 1;
	}
	fd = open(argv[1], O_RDWR | O_DIRECT);
	if (fd < 0 || ioctl(fd, BLKSSZGET, &size)) {
		printf("# %s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	sector = size;
	ram = p2p_ram(SIZE);
	if (!strcmp(argv[2], "mixed"))
		return mix();

	for (i = 0; i < nr; i++) {
		provider = all[i].provider;
		before = p2p_available(provider);
		mem = p2p_map(provider, SIZE);
		if (ram == MAP_FAILED || mem == MAP_FAILED) {
			printf("# %s: no memory: %s\n", provider, strerror(errno));
			return 1;
		}
		if (!strcmp(argv[2], "write") || !strcmp(argv[2], "read")) {
			error = transfer_once(!strcmp(argv[2], "write"),
					      (argc > 3 ? atoi(argv[3]) : 1) * (off_t)MIB);
			munmap(mem, SIZE);
			return error;
		}
		run(!strcmp(argv[2], "works"));
		munmap(mem, SIZE);
		check(p2p_settles(provider, before), "pages are left",
		      before - p2p_available(provider));
	}
	return failures ? 1 : 0;
}
