/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Lets one allocation after the other fail in a piece of work: the first, the
 * second, ... until none is left. Each time the caller has to hear of it by an
 * error that it can expect, or not at all, nothing may be left behind, and the
 * next try must work.
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
#define FAIL_NTH_MAX	5000	/* no work here has as many allocations */
#define FAIL_ERRORS	4

/*
 * For fail_setup(): pages, too; or objects only, where x86 makes the page tables of
 * the kernel's own mapping, and the struct pages, and does not expect to get none.
 */
#define FAIL_ANYTHING	0
#define FAIL_OBJECTS	10

/* Some work; prepare() and undo() may be NULL. */
struct fail_work {
	const char *name;
	/* Before each try, all allocations work; false ends the test. */
	bool (*prepare)(void *data);
	/* Returns 0 or more, or a negative errno. */
	long (*run)(void *data);
	/* Undoes both, and tells whether all is as it was before. */
	bool (*undo)(void *data, long result);
	/* Errors that a failed allocation may lead to. */
	int errors[FAIL_ERRORS];
};

struct fail_count {
	long due;			/* what run() returns if nothing fails */
	unsigned int failed;		/* allocations, one a try */
	unsigned int refused;		/* tries that ended with an error */
	char wrong[128];		/* what must not be; "" for nothing */
};

/*
 * With min_order 0 pages fail as well as objects; the larger it is, the fewer
 * pages do. All this is for tasks that write to fail-nth, nobody else notices.
 * Returns false if the kernel can't do it.
 */
static inline bool fail_setup(int min_order)
{
	static const char *const settings[][2] = {
		{ "failslab/ignore-gfp-wait", "N" },
		{ "failslab/verbose", "0" },
		{ "fail_page_alloc/ignore-gfp-wait", "N" },
		{ "fail_page_alloc/verbose", "0" },
	};
	char path[P2P_PATH_LEN], order[16];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(settings); i++) {
		snprintf(path, sizeof(path), "/sys/kernel/debug/%s",
			 settings[i][0]);
		if (p2p_write_file(path, settings[i][1]))
			return false;
	}
	snprintf(order, sizeof(order), "%d", min_order);
	return !p2p_write_file("/sys/kernel/debug/fail_page_alloc/min-order",
			       order) && !access(FAIL_NTH, W_OK);
}

/* One try, in which the nth allocation fails; none if that is 0. */
static inline bool fail_try(const struct fail_work *work, void *data, int fd,
			    unsigned int nth, long *result, bool *failed)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", nth);

	if (work->prepare && !work->prepare(data))
		return false;
	if (pwrite(fd, text, len, 0) != len)
		return false;
	*result = work->run(data);
	/* What was not used up must not hit what follows. */
	memset(text, 0, sizeof(text));
	if (pread(fd, text, sizeof(text) - 1, 0) <= 0 || pwrite(fd, "0", 1, 0) != 1)
		return false;
	*failed = nth && !atoi(text);
	return !work->undo || work->undo(data, *result);
}

static inline bool fail_expected(const struct fail_work *work, long result)
{
	int i;

	for (i = 0; i < FAIL_ERRORS; i++)
		if (work->errors[i] && result == -work->errors[i])
			return true;
	return result >= 0;
}

/* Each allocation once. Returns whether all went as it must. */
static inline bool fail_each(const struct fail_work *work, void *data,
			     struct fail_count *count)
{
	int fd = open(FAIL_NTH, O_RDWR);
	unsigned int nth;
	bool failed;
	long result;

	memset(count, 0, sizeof(*count));
	if (fd < 0 || !fail_try(work, data, fd, 0, &count->due, &failed)) {
		snprintf(count->wrong, sizeof(count->wrong), "before any failure");
		goto out;
	}
	for (nth = 1; nth < FAIL_NTH_MAX; nth++) {
		if (!fail_try(work, data, fd, nth, &result, &failed)) {
			snprintf(count->wrong, sizeof(count->wrong),
				 "failure %u left something behind", nth);
			goto out;
		}
		if (!failed)
			break;
		count->failed++;
		count->refused += result < 0;
		if (!fail_expected(work, result)) {
			snprintf(count->wrong, sizeof(count->wrong),
				 "failure %u: %ld", nth, result);
			goto out;
		}
		if (!fail_try(work, data, fd, 0, &result, &failed) ||
		    result != count->due) {
			snprintf(count->wrong, sizeof(count->wrong),
				 "after failure %u: %ld instead of %ld", nth,
				 result, count->due);
			goto out;
		}
	}
	if (nth == FAIL_NTH_MAX || result != count->due)
		snprintf(count->wrong, sizeof(count->wrong),
			 "without a failure, at %u: %ld instead of %ld", nth,
			 result, count->due);
out:
	close(fd);
	return !count->wrong[0];
}

/* For a test of the harness: all of it, with a line for the log. */
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
