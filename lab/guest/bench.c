// SPDX-License-Identifier: GPL-2.0
/* What the programs that count instructions share; see bench.h. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <gup_test.h>

#include "bench.h"

#define GUP_RUNS 15

const char * const kind_name[] = { "base", "thp", "hugetlb" };

static int points;
static bool failed;

void point(bool good, const char *name)
{
	printf("%sok %d %s\n", good ? "" : "not ", ++points, name);
	failed |= !good;
}

int end_of_points(void)
{
	printf("1..%d\n", points);
	return failed;
}

void die(const char *what)
{
	printf("Bail out! %s: %s\n", what, strerror(errno));
	exit(1);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static long huge_kib(const void *at)
{
	unsigned long from, to;
	char line[512];
	long kib = 0, n;
	bool inside = false;
	FILE *f = fopen("/proc/self/smaps", "r");

	if (!f)
		die("smaps");
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			inside = from <= (unsigned long)at && (unsigned long)at < to;
		else if (inside && sscanf(line, "AnonHugePages: %ld kB", &n) == 1)
			kib = n;
	}
	fclose(f);
	return kib;
}

/* Memory of one kind, all of it there. Aligned to a huge page; never freed. */
char *memory(enum kind kind, size_t size)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | (kind == HUGETLB ? MAP_HUGETLB : 0);
	char *p = mmap(NULL, kind == HUGETLB ? size : size + HUGE_PAGE,
		       PROT_READ | PROT_WRITE, flags, -1, 0);

	if (p == MAP_FAILED)
		die("mmap");
	if (kind != HUGETLB) {
		p = (char *)(((uintptr_t)p + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1));
		if (madvise(p, size, kind == THP ? MADV_HUGEPAGE : MADV_NOHUGEPAGE))
			die("madvise");
	}
	memset(p, 1, size);
	if (kind != HUGETLB && huge_kib(p) != (kind == THP ? (long)(size >> 10) : 0)) {
		errno = ENOMEM;
		die("not the pages that were asked for");
	}
	return p;
}

/* --- get_user_pages() -------------------------------------------------- */

/*
 * Each call is made many times and should take less time than the timer's
 * period, so that the least figure is one that no tick is in.
 */
void measure_call(int fd, const struct call *call, const char *kind, char *at,
		  unsigned long pages, unsigned int per_call, unsigned int flags)
{
	uint64_t get = UINT64_MAX, put = UINT64_MAX, all = UINT64_MAX, start;
	char name[80];
	bool good = true;

	for (int run = 0; run < GUP_RUNS; run++) {
		struct gup_test arg = {
			.addr = (uintptr_t)at, .size = pages * PAGE,
			.nr_pages_per_call = per_call, .gup_flags = FOLL_WRITE | flags,
		};

		start = clock_now();
		good &= !ioctl(fd, call->cmd, &arg) && arg.size == pages * PAGE;
		start = clock_now() - start;
		all = start < all ? start : all;
		get = arg.get_delta_usec < get ? arg.get_delta_usec : get;
		put = arg.put_delta_usec < put ? arg.put_delta_usec : put;
	}
	snprintf(name, sizeof(name), "%s-%s-%u", call->get, kind, per_call);
	point(good, name);
	printf("# figure %s page %.3f\n", name, get * 1000.0 / pages);
	printf("# figure %s-%s page %.3f\n", name, call->put, put * 1000.0 / pages);
	/* The kernel tells microseconds; the whole system call is known to the instruction. */
	printf("# figure %s-both page %.3f\n", name, all * 1.0 / pages);
	printf("# resolution %s %.3f\n", name, 1000.0 / pages);
	printf("# resolution %s-%s %.3f\n", name, call->put, 1000.0 / pages);
}

/* --- O_DIRECT ---------------------------------------------------------- */

/* More than the loop below takes, less than any interrupt. */
#define GAP 300
#define REQUESTS 1200
#define BATCH 100

/*
 * Watches the clock while the drive has the request: a thread that runs when
 * nobody else wants to. When the clock jumps, the CPU did something else: took
 * the interrupt that ends the request, woke the caller, ended its system call,
 * made the next, until that waits in its turn. This is what a request costs, to
 * the instruction. It is thrown away unless just one request ended in it.
 */
static struct {
	bool stop;
	long ended;
	double gap[REQUESTS];
	long gaps;
} watch;

static void *watch_clock(void *unused)
{
	struct sched_param param = { 0 };
	uint64_t last, now;
	long ended = 0, seen;

	if (pthread_setschedparam(pthread_self(), SCHED_IDLE, &param))
		die("SCHED_IDLE");
	for (last = clock_now(); !__atomic_load_n(&watch.stop, __ATOMIC_RELAXED); last = now) {
		now = clock_now();
		if (now - last < GAP)
			continue;
		seen = __atomic_load_n(&watch.ended, __ATOMIC_RELAXED);
		if (seen == ended + 1 && watch.gaps < REQUESTS)
			watch.gap[watch.gaps++] = now - last;
		ended = seen;
		now = clock_now();
	}
	return unused;
}

static uint64_t frame_number(int pagemap, const char *at)
{
	uint64_t entry;

	if (pread(pagemap, &entry, 8, (uintptr_t)at / PAGE * 8) != 8 || !(entry >> 63))
		die("pagemap");
	return entry & ((1ULL << 55) - 1);
}

/*
 * A buffer of base pages in which no page continues the one before it. How many
 * requests it takes must not hang on what the allocator happened to have.
 */
char *scattered(size_t size)
{
	int pagemap = open("/proc/self/pagemap", O_RDONLY);
	size_t i, pages = size / PAGE;
	char *p, *between;

	for (int attempt = 0; attempt < 20; attempt++) {
		between = mmap(NULL, size, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		p = mmap(NULL, size, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED || between == MAP_FAILED)
			die("mmap");
		madvise(p, size, MADV_NOHUGEPAGE);
		madvise(between, size, MADV_NOHUGEPAGE);
		for (i = 0; i < pages; i++)
			p[i * PAGE] = between[i * PAGE] = 1;
		for (i = 1; i < pages; i++)
			if (frame_number(pagemap, p + i * PAGE) ==
			    frame_number(pagemap, p + (i - 1) * PAGE) + 1)
				break;
		if (i >= pages) {
			close(pagemap);
			return p;
		}
	}
	errno = EAGAIN;
	die("base pages keep being contiguous");
}

/*
 * What most requests take. Ticks and slabs that run empty make some longer, and
 * those of several commands are shorter when one interrupt ends two of them, so
 * look where the figures are densest. About every second one is 250 instructions
 * longer than the rest, on all kernels: take the lower quartile there, as the
 * median would be either kind by chance.
 */
static double usual(const double *sorted, long n)
{
	long best = 0, most = 0;

	for (long i = 0, end = 0; i < n; i++) {
		while (end < n && sorted[end] <= sorted[i] + GAP)
			end++;
		if (end - i > most) {
			most = end - i;
			best = i;
		}
	}
	return sorted[best + most / 4];
}

static bool do_request(int fd, const struct request *r, int nth)
{
	off_t where = (off_t)(nth % 64) * r->size;
	ssize_t n;

	if (r->issue)
		return r->issue(fd, r, nth);
	n = r->write ? pwrite(fd, r->at, r->size, where) : pread(fd, r->at, r->size, where);
	return n == (ssize_t)r->size;
}

/* The CPU time of the calling thread, in nanoseconds. */
static double cpu_time(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

/*
 * Two figures: what the CPU does for a request, as the watcher sees it, and the
 * CPU time that the caller is charged with, which is returned. The interrupt is
 * not in that: it finds the watcher running. All but some dozen instructions of
 * it are system time. (getrusage() would tell that apart from user time, but by
 * an estimate that is off by half for short calls.)
 */
double measure_request(int fd, const struct request *r)
{
	double before = 0, took, least = 0;
	pthread_t watcher;
	bool good = true;
	char name[80];

	memset(&watch, 0, sizeof(watch));
	if (pthread_create(&watcher, NULL, watch_clock, NULL))
		die("pthread_create");
	for (int i = 0; i < REQUESTS; i++) {
		if (i % BATCH == 0)
			before = cpu_time();
		good &= do_request(fd, r, i);
		if (i % BATCH == BATCH - 1) {
			took = (cpu_time() - before) / BATCH;
			least = !least || took < least ? took : least;
		}
		__atomic_store_n(&watch.ended, i + 1, __ATOMIC_RELAXED);
	}
	__atomic_store_n(&watch.stop, true, __ATOMIC_RELAXED);
	pthread_join(watcher, NULL);
	snprintf(name, sizeof(name), "%s-%s-%s", r->op, r->kind, r->size_name);
	/* Fewer come from a machine too busy to tell one request from the next. */
	point(good && watch.gaps > REQUESTS / 4, name);
	if (!watch.gaps)
		return least;
	qsort(watch.gap, watch.gaps, sizeof(watch.gap[0]), by_value);
	printf("# figure %s request %.0f\n", name, usual(watch.gap, watch.gaps));
	printf("# median %.0f, upper quartile %.0f, of %ld requests\n", watch.gap[watch.gaps / 2],
	       watch.gap[watch.gaps * 3 / 4], watch.gaps);
	return least;
}
