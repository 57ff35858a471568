// SPDX-License-Identifier: GPL-2.0
/* Chooses calls, runs them, and counts their results. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../kselftest.h"
#include "bind.h"
#include "dmabuf.h"
#include "gup_call.h"
#include "ops.h"

static const struct ops_op *const tables[] = {
	ops_mem, ops_gup, ops_io, ops_mixed, ops_dmabuf, ops_task,
};

static const struct ops_op *ops[OPS_MAX];
static unsigned int nr_ops;

static void __attribute__((constructor)) collect(void)
{
	const struct ops_op *op;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(tables); i++)
		for (op = tables[i]; op->name && nr_ops < OPS_MAX; op++)
			ops[nr_ops++] = op;
}

const char *ops_name(unsigned int op)
{
	return ops[op]->name;
}

/* splitmix64: good enough, and any number is a seed. */
uint64_t ops_random(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

/* Consumes the same count of random numbers for each operation. */
void ops_choose(uint64_t *state, unsigned int kinds, struct ops_call *call)
{
	unsigned int i, sum = 0, pick;

	for (i = 0; i < nr_ops; i++)
		if (kinds & 1U << ops[i]->kind)
			sum += ops[i]->weight;
	pick = ops_random(state) % sum;
	for (i = 0; i < nr_ops; i++) {
		if (!(kinds & 1U << ops[i]->kind))
			continue;
		if (pick < ops[i]->weight)
			break;
		pick -= ops[i]->weight;
	}
	call->op = i;
	for (i = 0; i < OPS_NUMBERS; i++)
		call->r[i] = ops_random(state);
}

/* Often an address where a buffer or a huge entry may begin. */
char *ops_addr(const struct ops_call *call)
{
	size_t unit = OPS_PAGE;

	switch (call->r[0] >> 30) {
	case 0:
	case 1:
		unit = 4 * MIB;
		break;
	case 2:
		unit = 2 * MIB;
		break;
	}
	return OPS_ROOM + (call->r[0] & 0xffffff) % (OPS_ROOM_SIZE / unit) * unit;
}

size_t ops_len(const struct ops_call *call)
{
	static const size_t units[] = {
		OPS_PAGE, OPS_PAGE, 64 * KIB, MIB, 2 * MIB, 2 * MIB, 1, SECTOR,
	};
	size_t room = OPS_ROOM + OPS_ROOM_SIZE - ops_addr(call);
	size_t len = units[call->r[1] >> 29] * (1 + (call->r[1] & 0xffff) % 5);

	return len < room ? len : room;
}

struct guard {
	sigjmp_buf env;
	bool on;
};

static __thread struct guard guard;

static void on_signal(int sig)
{
	if (guard.on)
		siglongjmp(guard.env, sig);
	/* Not expected here: let the signal end the process. */
	signal(sig, SIG_DFL);
}

int ops_guard(void (*work)(void *arg), void *arg)
{
	int sig = sigsetjmp(guard.env, 1);

	if (!sig) {
		guard.on = true;
		work(arg);
	}
	guard.on = false;
	return sig;
}

long ops_run(struct ops_worker *w, const struct ops_call *call)
{
	long result = ops[call->op]->run(w, call);
	long index = result < 0 ? -result : 0;

	if (index >= OPS_RESULTS)
		ops_wrong(w, ops_name(call->op), result);
	else
		__atomic_add_fetch(&w->stats->calls[call->op][index], 1,
				   __ATOMIC_RELAXED);
	return result;
}

void ops_wrong(struct ops_worker *w, const char *what, long value)
{
	__atomic_add_fetch(&w->stats->wrong, 1, __ATOMIC_RELAXED);
	printf("# WRONG: process %d: %s: %ld\n", getpid(), what, value);
	fflush(stdout);
}

const char *ops_result(long result, char *text, size_t size)
{
	if (result >= 0)
		snprintf(text, size, "ok");
	else if (result <= -OPS_ERRNOS)
		snprintf(text, size, "SIG%s",
			 sigabbrev_np(-result - OPS_ERRNOS) ?: "?");
	else
		snprintf(text, size, "%s", strerrorname_np(-result) ?: "?");
	return text;
}

unsigned long ops_calls(const struct ops_stats *stats)
{
	const unsigned long *counter = &stats->calls[0][0];
	unsigned long sum = 0;
	int i;

	for (i = 0; i < OPS_MAX * OPS_RESULTS; i++)
		sum += counter[i];
	return sum;
}

/* The number of buffers so far: successes of the first operation. */
unsigned long ops_buffers(const struct ops_stats *stats)
{
	return __atomic_load_n(&stats->calls[0][0], __ATOMIC_RELAXED);
}

void ops_print(const struct ops_stats *stats)
{
	unsigned long sum[OPS_RESULTS] = {}, calls, all = 0;
	unsigned int op, i;
	char text[32];

	for (op = 0; op < nr_ops; op++) {
		for (calls = 0, i = 0; i < OPS_RESULTS; i++) {
			calls += stats->calls[op][i];
			sum[i] += stats->calls[op][i];
		}
		all += calls;
		printf("# %-16s %8lu:", ops_name(op), calls);
		for (i = 0; i < OPS_RESULTS; i++)
			if (stats->calls[op][i])
				printf(" %s %lu", ops_result(-(long)i, text,
							     sizeof(text)),
				       stats->calls[op][i]);
		printf("\n");
	}
	printf("# %-16s %8lu:", "calls", all);
	for (i = 0; i < OPS_RESULTS; i++)
		if (sum[i])
			printf(" %s %lu", ops_result(-(long)i, text, sizeof(text)),
			       sum[i]);
	printf("\n");
	fflush(stdout);
}

/* NULL if there are no providers or on failure. */
struct ops_stats *ops_stats(void)
{
	static const char *const no_disk[] = { NULL };
	struct p2p_variant list[P2P_MAX];
	struct ops_stats *stats = mmap(NULL, sizeof(*stats),
				       PROT_READ | PROT_WRITE,
				       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int i;

	if (stats == MAP_FAILED)
		return NULL;
	stats->nr_providers = p2p_variants(list, P2P_BAR_DRIVER, no_disk);
	for (i = 0; i < stats->nr_providers; i++) {
		strcpy(stats->providers[i], list[i].provider);
		stats->size[i] = p2p_available(list[i].provider);
	}
	return stats->nr_providers ? stats : NULL;
}

bool ops_worker_init(struct ops_worker *w, struct ops_stats *stats, unsigned int slot)
{
	struct sigaction action = { .sa_handler = on_signal };
	const char *disk = p2p_disk("raw"), *slow = p2p_disk("slow");
	char path[32];
	int i;

	memset(w, 0, sizeof(*w));
	w->stats = stats;
	w->slot = slot;
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	for (i = 0; i < P2P_MAX; i++)
		w->sysfs[i] = -1;
	for (i = 0; i < OPS_DMABUFS; i++)
		w->dmabufs[i] = -1;
	w->disk = disk ? open(disk, O_RDWR | O_DIRECT) : -1;
	w->slow = slow ? open(slow, O_RDWR | O_DIRECT) : -1;
	ops_open_mirrors(w);
	w->memfd = memfd_create("p2p", 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", w->memfd);
	w->rom = open(path, O_RDONLY);
	w->gup = open(P2P_TEST_FILE, O_RDWR);
	w->extents = open(P2P_TEST_FILE "_extents", O_RDWR);
	w->hold = open(P2P_TEST_FILE "_hold", O_RDWR);
	w->dma = open(P2P_TEST_FILE "_dma", O_RDWR);
	w->importer = open(IMPORTER_FILE, O_RDWR);
	w->ram = p2p_ram(OPS_ROOM_SIZE);
	w->scratch = calloc(P2P_TEST_MAX_PAGES, sizeof(struct p2p_test_segment));
	if (disk)
		p2p_client_of(disk, &w->client);
	return !ftruncate(w->memfd, OPS_ROOM_SIZE) && w->rom >= 0 && w->gup >= 0 &&
		w->extents >= 0 && w->hold >= 0 && w->dma >= 0 &&
		w->importer >= 0 && w->ram != MAP_FAILED && w->scratch &&
		!pipe2(w->pipe, O_NONBLOCK) &&
		!syscall(__NR_io_setup, OPS_DEPTH, &w->aio) &&
		ring_init(&w->ring, OPS_DEPTH, 0);
}

void ops_worker_exit(struct ops_worker *w)
{
	int i;

	ops_let_go(w);
	ops_reap_all(w);
	syscall(__NR_io_destroy, w->aio);
	ring_exit(&w->ring);
	for (i = 0; i < P2P_MAX; i++)
		if (w->sysfs[i] >= 0)
			close(w->sysfs[i]);
	close(w->disk);
	close(w->slow);
	ops_close_mirrors(w);
	close(w->memfd);
	close(w->rom);
	close(w->gup);
	close(w->extents);
	close(w->hold);
	close(w->dma);
	close(w->importer);
	for (i = 0; i < OPS_DMABUFS; i++)
		if (w->dmabufs[i] >= 0)
			close(w->dmabufs[i]);
	close(w->pipe[0]);
	close(w->pipe[1]);
	munmap(w->ram, OPS_ROOM_SIZE);
	free(w->scratch);
}
