// SPDX-License-Identifier: GPL-2.0
/*
 * What ordinary memory costs: get_user_pages() and pin_user_pages() of it, and
 * O_DIRECT from and into it, for base pages, THP and hugetlb.
 *
 * Runs where a nanosecond is an instruction (-icount shift=0, one CPU), so that
 * all figures are instructions. lab/bench-gup.py boots kernels with it and
 * compares. A figure is a line "# figure NAME UNIT VALUE".
 *
 * Each call is made many times and takes less time than the timer's period, so
 * that the least figure is one that no tick is in.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <gup_test.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define PAGE 4096UL
#define HUGE_PAGE (2UL << 20)
/* Large enough for a microsecond to be less than 0.05 % of any figure. */
#define POOL (256UL << 20)
#define GUP_RUNS 15
#define FOLL_WRITE 1

enum kind { BASE, THP, HUGETLB };
static const char * const kind_name[] = { "base", "thp", "hugetlb" };

static int points;
static bool failed;

static void point(bool good, const char *name)
{
	printf("%sok %d %s\n", good ? "" : "not ", ++points, name);
	failed |= !good;
}

static void die(const char *what)
{
	printf("Bail out! %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t clock_now(void)
{
	return __builtin_ia32_rdtsc();
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
static char *memory(enum kind kind, size_t size)
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

struct call {
	const char *get, *put;
	unsigned long cmd;
};

static const struct call calls[] = {
	{ "gup_fast", "put", GUP_FAST_BENCHMARK },
	{ "pin_fast", "unpin", PIN_FAST_BENCHMARK },
	{ "gup", "put", GUP_BASIC_TEST },
	{ "pin", "unpin", PIN_BASIC_TEST },
	{ "pin_longterm", "unpin", PIN_LONGTERM_BENCHMARK },
};

/* How many pages take some milliseconds: less than from one tick to the next. */
static unsigned long pages_for(const struct call *call, unsigned int per_call)
{
	bool fast = call->cmd == GUP_FAST_BENCHMARK || call->cmd == PIN_FAST_BENCHMARK;

	if (per_call == 1)
		return 12288;
	return fast ? POOL / PAGE : 32768;
}

static void measure_call(int fd, const struct call *call, enum kind kind, char *at,
			 unsigned int per_call)
{
	unsigned long pages = pages_for(call, per_call);
	uint64_t get = UINT64_MAX, put = UINT64_MAX, all = UINT64_MAX, start;
	char name[80];
	bool good = true;

	for (int run = 0; run < GUP_RUNS; run++) {
		struct gup_test arg = {
			.addr = (uintptr_t)at, .size = pages * PAGE,
			.nr_pages_per_call = per_call, .gup_flags = FOLL_WRITE,
		};

		start = clock_now();
		good &= !ioctl(fd, call->cmd, &arg) && arg.size == pages * PAGE;
		start = clock_now() - start;
		all = start < all ? start : all;
		get = arg.get_delta_usec < get ? arg.get_delta_usec : get;
		put = arg.put_delta_usec < put ? arg.put_delta_usec : put;
	}
	snprintf(name, sizeof(name), "%s-%s-%u", call->get, kind_name[kind], per_call);
	point(good, name);
	printf("# figure %s page %.3f\n", name, get * 1000.0 / pages);
	printf("# figure %s-%s page %.3f\n", name, call->put, put * 1000.0 / pages);
	/* The kernel tells microseconds; the whole system call is known to the instruction. */
	printf("# figure %s-both page %.3f\n", name, all * 1.0 / pages);
	printf("# resolution %s %.3f\n", name, 1000.0 / pages);
	printf("# resolution %s-%s %.3f\n", name, call->put, 1000.0 / pages);
}

static void measure_calls(enum kind kind)
{
	static const unsigned int per_call[] = { 1, 512 };
	int fd = open("/sys/kernel/debug/gup_test", O_RDWR);
	char *at = memory(kind, POOL);

	if (fd < 0)
		die("gup_test");
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		for (size_t n = 0; n < ARRAY_SIZE(per_call); n++)
			measure_call(fd, &calls[i], kind, at, per_call[n]);
	close(fd);
	munmap(at, POOL);
}

/* --- O_DIRECT ---------------------------------------------------------- */

/* More than the loop below takes, less than any interrupt. */
#define GAP 300
#define REQUESTS 1200

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
static char *scattered(size_t size)
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
	return NULL;
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

static void measure_request(int fd, const char *op, enum kind kind, const char *size_name,
			    char *at, size_t size, bool write)
{
	pthread_t watcher;
	bool good = true;
	char name[80];

	memset(&watch, 0, sizeof(watch));
	if (pthread_create(&watcher, NULL, watch_clock, NULL))
		die("pthread_create");
	for (int i = 0; i < REQUESTS; i++) {
		off_t where = (off_t)(i % 64) * size;
		ssize_t n = write ? pwrite(fd, at, size, where) : pread(fd, at, size, where);

		good &= n == (ssize_t)size;
		__atomic_store_n(&watch.ended, i + 1, __ATOMIC_RELAXED);
	}
	__atomic_store_n(&watch.stop, true, __ATOMIC_RELAXED);
	pthread_join(watcher, NULL);
	snprintf(name, sizeof(name), "%s-%s-%s", op, kind_name[kind], size_name);
	/* Fewer come from a machine too busy to tell one request from the next. */
	point(good && watch.gaps > REQUESTS / 4, name);
	if (!watch.gaps)
		return;
	qsort(watch.gap, watch.gaps, sizeof(watch.gap[0]), by_value);
	printf("# figure %s request %.0f\n", name, usual(watch.gap, watch.gaps));
	printf("# median %.0f, upper quartile %.0f, of %ld requests\n", watch.gap[watch.gaps / 2],
	       watch.gap[watch.gaps * 3 / 4], watch.gaps);
}

static void measure_direct(const char *drive)
{
	static const struct {
		const char *name;
		size_t size;
	} sizes[] = { { "4k", 4096 }, { "64k", 65536 }, { "1m", 1 << 20 } };
	int fd = open(drive, O_RDWR | O_DIRECT);

	if (fd < 0)
		die(drive);
	for (enum kind kind = BASE; kind <= HUGETLB; kind++) {
		char *at = kind == BASE ? scattered(1 << 20) : memory(kind, HUGE_PAGE);

		for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
			measure_request(fd, "read", kind, sizes[i].name, at, sizes[i].size, false);
			measure_request(fd, "write", kind, sizes[i].name, at, sizes[i].size, true);
		}
	}
	close(fd);
}

int main(void)
{
	const char *drive = getenv("P2P_DISK_NULL");

	setvbuf(stdout, NULL, _IONBF, 0);
	for (enum kind kind = BASE; kind <= HUGETLB; kind++)
		measure_calls(kind);
	if (!drive) {
		errno = ENODEV;
		die("no drive");
	}
	measure_direct(drive);
	printf("1..%d\n", points);
	return failed;
}
