// SPDX-License-Identifier: GPL-2.0
/*
 * What ordinary memory costs: get_user_pages() and pin_user_pages() of it, and
 * O_DIRECT from and into it, for base pages, THP and hugetlb.
 *
 * lab/bench-gup.py boots kernels with it and compares; see bench.h.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <gup_test.h>

#include "bench.h"

/* Large enough for a microsecond to be less than 0.05 % of any figure. */
#define POOL (256UL << 20)

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

static void measure_calls(enum kind kind)
{
	static const unsigned int per_call[] = { 1, 512 };
	int fd = open("/sys/kernel/debug/gup_test", O_RDWR);
	char *at = memory(kind, POOL);

	if (fd < 0)
		die("gup_test");
	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		for (size_t n = 0; n < ARRAY_SIZE(per_call); n++)
			measure_call(fd, &calls[i], kind_name[kind], at,
				     pages_for(&calls[i], per_call[n]), per_call[n], 0);
	close(fd);
	munmap(at, POOL);
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
			struct request read = { "read", kind_name[kind], sizes[i].name, at,
						sizes[i].size, false };
			struct request write = { "write", kind_name[kind], sizes[i].name, at,
						 sizes[i].size, true };

			measure_request(fd, &read);
			measure_request(fd, &write);
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
	return end_of_points();
}
