// SPDX-License-Identifier: GPL-2.0
/*
 * All operations on peer-to-peer memory, in many threads at once, while
 * providers are removed and added and processes are killed.
 *
 *	p2p_stress [-t SECONDS] [-p PROCESSES] [-s SEED] [-u]
 *
 * -u also unplugs, and needs a host that plugs devices in again. This disables
 * lockdep: pciehp takes its own locks in two orders.
 *
 * Each process has two threads with random calls in one room, see ops.h, and
 * one with private memory that no other thread may change. Two more processes
 * unbind the first provider's driver or reset the device, and remove or unplug the
 * last provider.
 * It runs for the given time and until each of these has happened; the result
 * does not depend on speed. Where the port above the drive has ACS, its
 * redirection is switched on and off meanwhile.
 *
 * P2P_MIRRORS names arrays made by mirrors.sh, which must stay intact. The port
 * is above a member of each, and the host bridge forwards nothing, so that this
 * member refuses other devices' memory at times.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../kselftest.h"
#include "ops.h"

#define MAX_PROCESSES	32
#define CALLERS		2		/* threads of a process */
#define OWN_MAX		(2 * MIB + 64 * KIB)
#define OWN_DISK	OPS_DISK_END	/* start of the owners' area */
#define MIN_CYCLES	3
#define LOAD_BUFFERS	10		/* between two cycles */
#define LOAD_CALLS	50
#define MIN_CALLS	1000
#define MIN_MIRRORED	10

struct owner {
	struct ops_worker *w;
	char *mem;
	size_t size;
	uint64_t seed;			/* of the data */
	off_t at;			/* on the drive */
	bool intact;
};

struct thread {
	pthread_t thread;
	struct ops_stats *stats;
	uint64_t seed;
	int nr;				/* of the process */
	unsigned int slot;		/* of the caller */
};

static bool stopped(const struct ops_stats *stats)
{
	return __atomic_load_n(&stats->stop, __ATOMIC_RELAXED);
}

static void *caller(void *arg)
{
	struct thread *thread = arg;
	struct ops_worker w;
	struct ops_call call;

	if (!ops_worker_init(&w, thread->stats, thread->slot)) {
		ops_wrong(&w, "can't open its files", -errno);
		return NULL;
	}
	while (!stopped(thread->stats)) {
		ops_choose(&thread->seed, OPS_ALL & ~(1U << OPS_LIFE), &call);
		ops_run(&w, &call);
	}
	ops_worker_exit(&w);
	return NULL;
}

static void own_fill(void *arg)
{
	struct owner *own = arg;

	p2p_fill(own->mem, own->size, own->seed, 0);
}

static void own_check(void *arg)
{
	struct owner *own = arg;

	own->intact = p2p_differs(own->mem, own->size, own->seed, 0) == -1;
}

/* False if the memory is gone. */
static bool own_verify(struct owner *own, const char *what)
{
	if (ops_guard(own_check, own))
		return false;
	if (!own->intact)
		ops_wrong(own->w, what, own->size);
	__atomic_add_fetch(&own->w->stats->verified, own->size, __ATOMIC_RELAXED);
	return true;
}

/* Writes data from the memory to the drive and reads it back. */
static bool own_transfer(struct owner *own)
{
	long ret = p2p_result(pwrite(own->w->disk, own->mem, own->size, own->at));

	if (ret < 0 || !own_verify(own, "data after it was written"))
		return false;
	if (ret != own->size)
		return false;
	/* Overwrites the memory, so that the data must come from the drive. */
	own->seed++;
	if (ops_guard(own_fill, own))
		return false;
	own->seed--;
	ret = p2p_result(pread(own->w->disk, own->mem, own->size, own->at));
	if (ret != own->size)
		return false;
	return own_verify(own, "data that was written and read");
}

static void own_round(struct owner *own, uint64_t *random)
{
	static const size_t sizes[] = {
		4 * KIB, 16 * KIB, 64 * KIB, MIB, 2 * MIB, OWN_MAX,
	};
	struct ops_stats *stats = own->w->stats;
	char *half;

	own->size = sizes[ops_random(random) % ARRAY_SIZE(sizes)];
	own->seed = ops_random(random);
	own->mem = p2p_map(stats->providers[ops_random(random) %
					    stats->nr_providers], own->size);
	if (own->mem == MAP_FAILED)
		return;
	half = own->mem + own->size / 2;
	if (ops_guard(own_fill, own) || !own_verify(own, "data as written") ||
	    !own_transfer(own))
		goto unmap;
	/* Page tables are dropped, a part is unmapped: the rest stays. */
	madvise(own->mem, own->size, MADV_DONTNEED);
	if (!own_verify(own, "data after MADV_DONTNEED"))
		goto unmap;
	if (own->size > 4 * KIB && !munmap(half, own->size / 2)) {
		own->size /= 2;
		if (own_verify(own, "data after a part was unmapped"))
			own_transfer(own);
	}
unmap:
	munmap(own->mem, own->size);
}

static void *owner(void *arg)
{
	struct thread *thread = arg;
	struct ops_worker w;
	struct owner own = {
		.w = &w,
		.at = OWN_DISK + thread->nr * 2 * OWN_MAX,
	};

	if (!ops_worker_init(&w, thread->stats, thread->slot)) {
		ops_wrong(&w, "can't open its files", -errno);
		return NULL;
	}
	while (!stopped(thread->stats))
		own_round(&own, &thread->seed);
	ops_worker_exit(&w);
	return NULL;
}

static pid_t start_process(struct ops_stats *stats, int nr, uint64_t seed)
{
	struct thread threads[CALLERS + 1];
	pid_t pid = fork();
	int i;

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (i = 0; i <= CALLERS; i++) {
		threads[i] = (struct thread){
			.stats = stats, .seed = ops_random(&seed), .nr = nr,
			.slot = nr * CALLERS + i,
		};
		if (pthread_create(&threads[i].thread, NULL,
				   i < CALLERS ? caller : owner, &threads[i]))
			_exit(1);
	}
	for (i = 0; i <= CALLERS; i++)
		pthread_join(threads[i].thread, NULL);
	_exit(0);
}

/* Lets the others make progress with the new memory. */
static void wait_for_load(const struct ops_stats *stats)
{
	unsigned long buffers = ops_buffers(stats), calls = ops_calls(stats);

	while (!stopped(stats) && (ops_buffers(stats) < buffers + LOAD_BUFFERS ||
				   ops_calls(stats) < calls + LOAD_CALLS))
		usleep(1000);
}

static pid_t start_disturber(struct ops_stats *stats, int nr,
			     int (*disturb)(struct ops_worker *w, const char *))
{
	struct ops_worker w = { .stats = stats };
	pid_t pid = fork();
	int error;

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (!stopped(stats)) {
		wait_for_load(stats);
		error = disturb(&w, stats->providers[nr]);
		if (error)
			ops_wrong(&w, "a provider did not go and come back",
				  -error);
	}
	_exit(0);
}

/* Alternates both. */
static int rebind_or_reset(struct ops_worker *w, const char *provider)
{
	static unsigned int turn;

	return turn++ % 2 ? ops_reset(w, provider) : ops_rebind(w, provider);
}

static bool unplugs;

static int remove_or_unplug(struct ops_worker *w, const char *provider)
{
	static unsigned int turn;

	if (unplugs && turn++ % 2 == 0)
		return ops_unplug(w, provider);
	return ops_remove_and_scan(w, provider);
}

static bool had_enough(const struct ops_stats *stats)
{
	return stats->unbound >= MIN_CYCLES && stats->removed >= MIN_CYCLES &&
		stats->reset >= MIN_CYCLES &&
		ops_calls(stats) >= MIN_CALLS && stats->verified &&
		(!unplugs || stats->unplugged >= MIN_CYCLES) &&
		(!getenv("P2P_MIRRORS") ||
		 (stats->mirrored >= MIN_MIRRORED && stats->refused >= MIN_MIRRORED));
}

static void print_progress(const struct ops_stats *stats, long seconds,
			   unsigned long killed)
{
	printf("# %ld s: %lu calls, %lu MiB verified, %lu wrong; providers: ",
	       seconds, ops_calls(stats), stats->verified / MIB, stats->wrong);
	printf("%lu times unbound, %lu reset, %lu removed, %lu unplugged; ",
	       stats->unbound, stats->reset, stats->removed, stats->unplugged);
	printf("%lu processes killed; ACS switched %lu times, %lu vectors refused, %lu mirrored\n",
	       killed, stats->switched, stats->refused, stats->mirrored);
	fflush(stdout);
}

/* Kills a process now and then; returns how many. */
static unsigned long keep_going(struct ops_stats *stats, pid_t *pids, int nr,
				uint64_t seed, long seconds)
{
	time_t start = time(NULL), now = start;
	unsigned long killed = 0;
	int i, status = 0;
	long minute = 1;

	while ((now - start < seconds || !had_enough(stats)) && !stats->wrong) {
		usleep(1000000 + ops_random(&seed) % 2000000);
		i = ops_random(&seed) % nr;
		kill(pids[i], SIGKILL);
		if (waitpid(pids[i], &status, 0) != pids[i] ||
		    status != SIGKILL) {
			printf("# process %d: ended with status %#x\n", i,
			       status);
			stats->wrong++;
		}
		killed++;
		pids[i] = start_process(stats, i, ops_random(&seed));
		now = time(NULL);
		if (now - start >= minute * 60) {
			print_progress(stats, now - start, killed);
			minute = (now - start) / 60 + 1;
		}
	}
	print_progress(stats, now - start, killed);
	return killed;
}

int main(int argc, char **argv)
{
	int i, opt, status = 0, bad = 0, nr = 2;
	pid_t pids[MAX_PROCESSES + 3];
	struct ops_stats *stats;
	uint64_t seed = 1;
	long seconds = 10;

	if (!strcmp(argv[0], OPS_EXEC))
		return 0;
	while ((opt = getopt(argc, argv, "t:p:s:u")) != -1) {
		switch (opt) {
		case 't':
			seconds = atol(optarg);
			break;
		case 'p':
			nr = atoi(optarg);
			break;
		case 's':
			seed = strtoull(optarg, NULL, 0);
			break;
		case 'u':
			unplugs = true;
			p2p_write_file("/proc/sys/kernel/prove_locking", "0");
			break;
		default:
			ksft_exit_fail_msg("see the top of p2p_stress.c\n");
		}
	}
	if (nr < 1 || nr > MAX_PROCESSES)
		ksft_exit_fail_msg("-p: 1 to %d\n", MAX_PROCESSES);

	ksft_print_header();
	stats = ops_stats();
	if (!stats || stats->nr_providers < 2 || !p2p_disk("raw"))
		ksft_exit_skip("no two providers with p2pmem-bar, or no drive\n");
	ksft_set_plan(4);
	for (i = 0; i < nr; i++)
		pids[i] = start_process(stats, i, ops_random(&seed));
	pids[nr] = start_disturber(stats, 0, rebind_or_reset);
	pids[nr + 1] = start_disturber(stats, stats->nr_providers - 1,
				       remove_or_unplug);
	pids[nr + 2] = ops_start_switcher(stats, ops_random(&seed));
	keep_going(stats, pids, nr, ops_random(&seed), seconds);
	__atomic_store_n(&stats->stop, 1, __ATOMIC_RELAXED);
	for (i = 0; i < nr + 2 + !!pids[nr + 2]; i++) {
		if (waitpid(pids[i], &status, 0) == pids[i] && !status)
			continue;
		printf("# process %d: ended with status %#x\n", i, status);
		bad++;
	}

	ops_print(stats);
	ksft_test_result(!bad, "all processes ended by themselves\n");
	ksft_test_result(!stats->wrong, "no data changed, no call returned what it must not\n");
	ksft_test_result(ops_all_back(stats), "all memory is available again\n");
	ksft_test_result(ops_mirrors_whole(), "nothing happened to a mirror\n");
	ksft_finished();
}
