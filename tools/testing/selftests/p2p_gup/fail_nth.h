/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Makes one allocation after the other fail in a piece of work: the first, the
 * second, ... until none is left. Each time the work either succeeds or returns
 * an expected error, nothing may be left behind, and the next try must work.
 */
#ifndef P2P_FAIL_NTH_H
#define P2P_FAIL_NTH_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../kselftest.h"
#include "p2pmem.h"

#define FAIL_NTH	"/proc/thread-self/fail-nth"
#define FAIL_NTH_MAX	5000	/* more than any work here has */
#define FAIL_ERRORS	4

/*
 * For fail_setup(): fail page allocations, too; or objects only, where x86
 * allocates struct pages and page tables of the direct map and does not handle
 * failure.
 */
#define FAIL_ANYTHING	0
#define FAIL_OBJECTS	10

/* A piece of work; prepare() and undo() may be NULL. */
struct fail_work {
	const char *name;
	/* Before each try, all allocations work; false ends the test. */
	bool (*prepare)(void *data);
	/* Returns 0 or more, or a negative errno. */
	long (*run)(void *data);
	/* Undoes both; returns whether the initial state is restored. */
	bool (*undo)(void *data, long result);
	/* Errors that a failed allocation may cause. */
	int errors[FAIL_ERRORS];
	/*
	 * Or NULL. Called before undo(): does the state match the result of
	 * run()?
	 */
	bool (*check)(void *data, long result);
};

struct fail_count {
	long due;			/* what run() returns if nothing fails */
	unsigned int failed;		/* allocations, one per try */
	unsigned int refused;		/* tries that ended with an error */
	char wrong[128];		/* error text; "" if none */
};

bool fail_setup(int min_order);
bool fail_each(const struct fail_work *work, void *data, struct fail_count *count);

/* The whole sequence, for a kselftest test, with a log line. */
#define FAIL_EACH(what, data) \
	do { \
		const struct fail_work *_work = (what); \
		struct fail_count _count; \
		bool _ok = fail_each(_work, data, &_count); \
		\
		printf("# %s: %u allocations, each failed once; %u errors\n", \
		       _work->name, _count.failed, _count.refused); \
		fflush(stdout); \
		EXPECT_TRUE(_ok) \
			TH_LOG("%s: %s", _work->name, _count.wrong); \
		EXPECT_LE(0, _count.due); \
		EXPECT_LT(0, _count.failed); \
	} while (0)

#endif
