// SPDX-License-Identifier: GPL-2.0
/*
 * A mapping's life: mmap(), the first touch of its pages, munmap(). For memory of
 * each kind and size.
 *
 * One life touches a byte in each 2 MiB (touch-2m), another one, where that is
 * not too much, a byte in each page (touch-4k); mmap and munmap are those of the
 * first, except munmap-4k. The life figures are the sums, the second's with "-4k".
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

#include "bench.h"
#include "bench_p2p.h"

enum { MAP_P2P = HUGETLB + 1, KINDS };

static const struct {
	const char *name;
	size_t size;
	int runs;
} sizes[] = {
	{ "4k", 4UL << 10, 40 },
	{ "64k", 64UL << 10, 40 },
	{ "2m", 2UL << 20, 20 },
	{ "64m", 64UL << 20, 4 },
	{ "512m", 512UL << 20, 2 },
	{ "1g", GIB, 2 },
	{ "2g", 2 * GIB, 2 },
	{ "32g", 32 * GIB, 1 },		/* nearly */
};

/*
 * Where no kernel maps anything by itself: each life makes the same page tables. A
 * kernel's own choice may share some with what is there already, by chance.
 */
#define EMPTY (1UL << 45)

#define TOUCH_ALL (64UL << 20)
#define RAM_LIMIT (512UL << 20)

struct life {
	double map, touch, unmap, all;
};

static void keep_least(double *least, uint64_t from, uint64_t to)
{
	if (!*least || to - from < *least)
		*least = to - from;
}

static char *map_kind(int kind, char *at, size_t size)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS;

	if (kind == MAP_P2P)
		return p2p_map(at, size);
	flags |= MAP_FIXED_NOREPLACE | (kind == HUGETLB ? MAP_HUGETLB : 0);
	return mmap(at, size, PROT_READ | PROT_WRITE, flags, -1, 0);
}

/* One life; the clock stands still while huge pages are asked for or refused. */
static void live(int kind, char *at, size_t size, size_t step, struct life *least)
{
	uint64_t start = clock_now(), mapped, touch, touched, end;
	char *p = map_kind(kind, at, size);

	mapped = clock_now();
	if (p == MAP_FAILED)
		die("mmap");
	if (kind == BASE || kind == THP)
		madvise(p, size, kind == THP ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	touch = clock_now();
	for (size_t i = 0; i < size; i += step)
		((volatile char *)p)[i] = 1;
	touched = clock_now();
	if (munmap(p, size))
		die("munmap");
	end = clock_now();
	keep_least(&least->map, start, mapped);
	keep_least(&least->touch, touch, touched);
	keep_least(&least->unmap, touched, end);
	keep_least(&least->all, start + touch - mapped, end);
}

static void measure_life(int kind, const char *kind_is, const char *size_name, size_t size,
			 int runs)
{
	char *at = (char *)EMPTY;
	struct life sparse = { 0 }, full = { 0 };
	char name[80];

	for (int run = 0; run < runs; run++)
		live(kind, at, size, HUGE_PAGE, &sparse);
	snprintf(name, sizeof(name), "%s-%s", kind_is, size_name);
	point(true, name);
	printf("# figure mmap-%s call %.0f\n", name, sparse.map);
	printf("# figure touch-2m-%s mapping %.0f\n", name, sparse.touch);
	printf("# figure munmap-%s call %.0f\n", name, sparse.unmap);
	printf("# figure life-%s mapping %.0f\n", name, sparse.all);
	if (size > TOUCH_ALL)
		return;
	for (int run = 0; run < runs; run++)
		live(kind, at, size, PAGE, &full);
	printf("# figure touch-4k-%s mapping %.0f\n", name, full.touch);
	printf("# figure munmap-4k-%s call %.0f\n", name, full.unmap);
	printf("# figure life-4k-%s mapping %.0f\n", name, full.all);
}

void measure_mappings(void)
{
	for (int kind = BASE; kind < KINDS; kind++) {
		if (kind == MAP_P2P && !have_p2p())
			continue;
		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
			size_t size = sizes[i].size;

			if (kind != MAP_P2P && size > RAM_LIMIT)
				continue;
			if ((kind == THP || kind == HUGETLB) && size < HUGE_PAGE)
				continue;
			if (size == 32 * GIB)
				size = (p2p_available() - HUGE_PAGE) & ~(HUGE_PAGE - 1);
			measure_life(kind, kind == MAP_P2P ? "p2p" : kind_name[kind],
				     sizes[i].name, size, sizes[i].runs);
		}
	}
}
