// SPDX-License-Identifier: GPL-2.0
/*
 * Makes one allocation after the other fail in a piece of work: the first, the
 * second, ... until none is left. Each time the work either succeeds or returns
 * an expected error, nothing may be left behind, and the next try must work.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../../kselftest.h"
#include "../fail_nth.h"
#include "../p2pmem.h"

/*
 * With min_order 0 page allocations fail as well as objects; a larger order
 * exempts smaller allocations. Only tasks that write to fail-nth are affected.
 * Returns false if the kernel can't do it.
 */
bool fail_setup(int min_order)
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

/*
 * One try, in which the nth allocation fails; none if nth is 0. Returns what is
 * wrong, or NULL.
 */
static const char *fail_try(const struct fail_work *work, void *data, int fd,
			    unsigned int nth, long *result, bool *failed)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%u", nth);
	bool good;

	if (work->prepare && !work->prepare(data))
		return "can't be prepared";
	if (pwrite(fd, text, len, 0) != len)
		return "can't be injected";
	*result = work->run(data);
	/* An unused fault must not hit later allocations. */
	memset(text, 0, sizeof(text));
	if (pread(fd, text, sizeof(text) - 1, 0) <= 0 || pwrite(fd, "0", 1, 0) != 1)
		return "can't be ended";
	*failed = nth && !atoi(text);
	good = !work->check || work->check(data, *result);
	if (work->undo && !work->undo(data, *result))
		return "left something behind";
	return good ? NULL : "ended with wrong data";
}

static bool fail_expected(const struct fail_work *work, long result)
{
	int i;

	for (i = 0; i < FAIL_ERRORS; i++)
		if (work->errors[i] && result == -work->errors[i])
			return true;
	return result >= 0;
}

/* Fails each allocation once. Returns whether all tries passed. */
bool fail_each(const struct fail_work *work, void *data,
	       struct fail_count *count)
{
	int fd = open(FAIL_NTH, O_RDWR);
	unsigned int nth;
	const char *wrong;
	bool failed;
	long result;

	memset(count, 0, sizeof(*count));
	wrong = fd < 0 ? "no " FAIL_NTH :
			 fail_try(work, data, fd, 0, &count->due, &failed);
	if (wrong) {
		snprintf(count->wrong, sizeof(count->wrong),
			 "before any failure, it %s", wrong);
		goto out;
	}
	for (nth = 1; nth < FAIL_NTH_MAX; nth++) {
		wrong = fail_try(work, data, fd, nth, &result, &failed);
		if (wrong) {
			snprintf(count->wrong, sizeof(count->wrong),
				 "failure %u %s: %ld", nth, wrong, result);
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
		wrong = fail_try(work, data, fd, 0, &result, &failed);
		if (wrong || result != count->due) {
			snprintf(count->wrong, sizeof(count->wrong),
				 "after failure %u: %ld instead of %ld, %s", nth,
				 result, count->due, wrong ?: "nothing else");
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
