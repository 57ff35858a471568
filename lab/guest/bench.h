/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the programs that count instructions share: TAP, the clock, memory of
 * each kind, and how a call of get_user_pages() and an O_DIRECT request are
 * measured.
 *
 * They run where a nanosecond is an instruction (-icount shift=0, one CPU), so
 * that all figures are instructions. A figure is a line "# figure NAME UNIT
 * VALUE".
 */
#ifndef BENCH_H
#define BENCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define PAGE 4096UL
#define HUGE_PAGE (2UL << 20)
#define FOLL_WRITE 1

/* Ordinary memory. */
enum kind { BASE, THP, HUGETLB };
extern const char * const kind_name[];

void point(bool good, const char *name);
int end_of_points(void);
_Noreturn void die(const char *what);

static inline uint64_t clock_now(void)
{
	return __builtin_ia32_rdtsc();
}

char *memory(enum kind kind, size_t size);
char *scattered(size_t size);

struct call {
	const char *get, *put;
	unsigned long cmd;	/* of gup_test */
};

void measure_call(int fd, const struct call *call, const char *kind, char *at,
		  unsigned long pages, unsigned int per_call, unsigned int flags);

struct request {
	const char *op, *kind, *size_name;
	char *at;
	size_t size;
	bool write;
	/* How it is made, if not by pread() or pwrite(); false if it failed. */
	bool (*issue)(int fd, const struct request *r, int nth);
};

double measure_request(int fd, const struct request *request);

#endif
