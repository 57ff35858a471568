// SPDX-License-Identifier: GPL-2.0
/*
 * System calls around mappings of peer-to-peer memory, in random order with
 * random arguments, see ops.h. They depend on a seed alone: the same seed makes
 * the same calls again. Their results may differ, since other processes run.
 *
 *	p2p_fuzz [-s SEED] [-n CALLS] [-p PROCESSES] [-t SECONDS] [-v]
 *
 * Each process makes CALLS calls from its own seed, SEED and the following
 * numbers. With -t new processes follow until the time is over. -v shows each
 * call before it is made; to repeat the calls of one process, give its seed and
 * -p 1.
 *
 * It fails if a process ends unexpectedly, a call returns an invalid result,
 * memory is missing at the end, or the mirrors named by P2P_MIRRORS, see
 * p2p_stress, are not intact. Other problems show in the kernel log.
 */
#define _GNU_SOURCE
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

static unsigned long nr_calls = 1000;
static bool verbose;

static void make_calls(struct ops_stats *stats, uint64_t seed, unsigned int slot)
{
	struct ops_worker w;
	struct ops_call call;
	uint64_t state = seed;
	unsigned long i;
	char text[32];
	long result;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!ops_worker_init(&w, stats, slot)) {
		ops_wrong(&w, "can't open its files", -errno);
		_exit(1);
	}
	for (i = 0; i < nr_calls; i++) {
		ops_choose(&state, OPS_ALL, &call);
		if (verbose) {
			printf("# %lu/%lu %s %p %#zx %x %x %x %x", seed, i,
			       ops_name(call.op), ops_addr(&call),
			       ops_len(&call), call.r[2], call.r[3], call.r[4],
			       call.r[5]);
			fflush(stdout);
		}
		result = ops_run(&w, &call);
		if (verbose)
			printf(" = %s\n", ops_result(result, text, sizeof(text)));
	}
	ops_worker_exit(&w);
	_exit(0);
}

/* Runs one round of processes; returns how many ended unexpectedly. */
static int run_round(struct ops_stats *stats, uint64_t seed, int nr)
{
	pid_t pids[MAX_PROCESSES];
	int i, status = 0, bad = 0;

	for (i = 0; i < nr; i++) {
		pids[i] = fork();
		if (!pids[i])
			make_calls(stats, seed + i, i);
	}
	for (i = 0; i < nr; i++) {
		if (pids[i] > 0 && waitpid(pids[i], &status, 0) == pids[i] &&
		    !status)
			continue;
		printf("# seed %lu: ended with status %#x\n", seed + i, status);
		bad++;
	}
	return bad;
}

int main(int argc, char **argv)
{
	unsigned long wrong, seconds = 0, minute = 1, rounds = 0;
	int opt, status, bad = 0, missing = 0, nr_processes = 3;
	struct ops_stats *stats;
	uint64_t seed = 1;
	time_t start;
	pid_t switcher;

	if (!strcmp(argv[0], OPS_EXEC))
		return 0;
	while ((opt = getopt(argc, argv, "s:n:p:t:v")) != -1) {
		switch (opt) {
		case 's':
			seed = strtoull(optarg, NULL, 0);
			break;
		case 'n':
			nr_calls = strtoul(optarg, NULL, 0);
			break;
		case 'p':
			nr_processes = atoi(optarg);
			break;
		case 't':
			seconds = strtoul(optarg, NULL, 0);
			break;
		case 'v':
			verbose = true;
			break;
		default:
			ksft_exit_fail_msg("see the top of p2p_fuzz.c\n");
		}
	}
	if (nr_processes < 1 || nr_processes > MAX_PROCESSES)
		ksft_exit_fail_msg("-p: 1 to %d\n", MAX_PROCESSES);

	ksft_print_header();
	stats = ops_stats();
	if (!stats || !p2p_disk("raw"))
		ksft_exit_skip("no provider with p2pmem-bar, or no drive\n");
	ksft_set_plan(4);
	start = time(NULL);
	switcher = ops_start_switcher(stats, seed);
	do {
		printf("# seeds %lu to %lu\n", seed, seed + nr_processes - 1);
		fflush(stdout);
		wrong = stats->wrong;
		bad += run_round(stats, seed, nr_processes);
		if (!ops_all_back(stats))
			missing++;
		seed += nr_processes;
		rounds++;
		if (time(NULL) - start >= minute * 60) {
			printf("# minute %lu: %lu calls\n", minute,
			       ops_calls(stats));
			minute = (time(NULL) - start) / 60 + 1;
		}
	} while (time(NULL) - start < seconds && !bad && !missing &&
		 stats->wrong == wrong);

	__atomic_store_n(&stats->stop, 1, __ATOMIC_RELAXED);
	if (switcher && (waitpid(switcher, &status, 0) != switcher || status))
		bad++;
	ops_print(stats);
	printf("# ACS switched %lu times, %lu vectors refused, %lu mirrored\n", stats->switched,
	       stats->refused, stats->mirrored);
	printf("# %lu rounds; next seed %lu\n", rounds, seed);
	ksft_test_result(!bad, "all processes ended by themselves\n");
	ksft_test_result(!stats->wrong, "no call returned what it must not\n");
	ksft_test_result(!missing, "all memory is available again\n");
	ksft_test_result(ops_mirrors_whole(), "nothing happened to a mirror\n");
	ksft_finished();
}
