// SPDX-License-Identifier: GPL-2.0
/*
 * latency PROGRAM [ARGUMENT...]: runs a program, and tells for how long interrupts were
 * off meanwhile, and where. For a machine with one CPU, whose clock is its instruction
 * counter: see lab/latency.py.
 *
 * A perf event of the CPU takes the time each PERIOD, by an hrtimer: where two samples are
 * further apart, interrupts were off that long. The sample that was late is taken where
 * they were switched on again, and has the functions that led there.
 *
 * Prints lines "# irqs-off MICROSECONDS FUNCTION<FUNCTION<...", the longest ones, each
 * place once, and at the end "# irqs-off-samples NUMBER LOST". Passes on the exit status.
 */
#include <errno.h>
#include <linux/perf_event.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PERIOD		100000u		/* ns */
#define RING		(8u << 20)
#define SHOWN_FROM	200000u		/* ns */
#define DEPTH		12
#define PLACES		24

struct sample {
	struct perf_event_header header;
	uint64_t time;
	uint64_t nr;
	uint64_t ips[];
};

static struct symbol {
	uint64_t addr;
	char name[48];
} *symbols;
static size_t nr_symbols;

static struct place {
	uint64_t ns;
	uint64_t ips[DEPTH];
	int depth;
} places[PLACES];

static uint64_t last, nr_samples, nr_lost;

static int by_addr(const void *a, const void *b)
{
	const struct symbol *s = a, *t = b;

	return s->addr < t->addr ? -1 : s->addr > t->addr;
}

static void read_symbols(void)
{
	FILE *file = fopen("/proc/kallsyms", "r");
	struct symbol s;
	size_t room = 0;
	char type;

	while (file && fscanf(file, "%lx %c %47s%*[^\n]", &s.addr, &type, s.name) == 3) {
		if (type != 't' && type != 'T')
			continue;
		if (nr_symbols == room) {
			room = room ? 2 * room : 65536;
			symbols = realloc(symbols, room * sizeof(s));
			if (!symbols)
				exit(125);
		}
		symbols[nr_symbols++] = s;
	}
	if (file)
		fclose(file);
	qsort(symbols, nr_symbols, sizeof(s), by_addr);
}

static const char *symbol_of(uint64_t ip)
{
	size_t low = 0, high = nr_symbols, middle;

	while (high - low > 1) {
		middle = (low + high) / 2;
		if (symbols[middle].addr <= ip)
			low = middle;
		else
			high = middle;
	}
	return high ? symbols[low].name : "?";
}

/* Keeps the longest time of each place, and the longest ones of all. */
static void note(uint64_t ns, const struct sample *s)
{
	struct place this = { .ns = ns }, *p, *least = places;

	for (uint64_t i = 0; i < s->nr && this.depth < DEPTH; i++)
		if (s->ips[i] < PERF_CONTEXT_MAX)
			this.ips[this.depth++] = s->ips[i];
	for (p = places; p < places + PLACES; p++) {
		if (p->depth && this.depth && p->ips[0] == this.ips[0]) {
			if (p->ns < ns)
				*p = this;
			return;
		}
		if (p->ns < least->ns)
			least = p;
	}
	if (least->ns < ns)
		*least = this;
}

static void drain(struct perf_event_mmap_page *ring)
{
	static char whole[65536];
	char *data = (char *)ring + sysconf(_SC_PAGESIZE);
	uint64_t head = __atomic_load_n(&ring->data_head, __ATOMIC_ACQUIRE);
	uint64_t tail = ring->data_tail;

	while (tail < head) {
		struct perf_event_header *header = (void *)(data + tail % RING);
		size_t size = header->size;
		const struct sample *s = (void *)whole;

		/* It may go on at the start of the ring. */
		for (size_t i = 0; i < size; i += 8)
			memcpy(whole + i, data + (tail + i) % RING, 8);
		if (s->header.type == PERF_RECORD_LOST)
			nr_lost += ((uint64_t *)whole)[2];
		if (s->header.type == PERF_RECORD_SAMPLE) {
			if (last && s->time - last > PERIOD + SHOWN_FROM)
				note(s->time - last - PERIOD, s);
			last = s->time;
			nr_samples++;
		} else {
			last = 0;
		}
		tail += size;
	}
	__atomic_store_n(&ring->data_tail, tail, __ATOMIC_RELEASE);
}

static int open_clock(void)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_period = PERIOD,
		.sample_type = PERF_SAMPLE_TIME | PERF_SAMPLE_CALLCHAIN,
		.exclude_callchain_user = 1,
		.watermark = 1,
		.wakeup_watermark = RING / 4,
		.use_clockid = 1,
		.clockid = CLOCK_MONOTONIC,
	};

	return syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
}

static int longer(const void *a, const void *b)
{
	const struct place *p = a, *q = b;

	return p->ns > q->ns ? -1 : p->ns < q->ns;
}

static void report(void)
{
	qsort(places, PLACES, sizeof(*places), longer);
	for (struct place *p = places; p < places + PLACES && p->ns; p++) {
		printf("# irqs-off %lu ", p->ns / 1000);
		for (int i = 0; i < p->depth; i++)
			printf("%s%s", i ? "<" : "", symbol_of(p->ips[i]));
		printf("\n");
	}
	printf("# irqs-off-samples %lu %lu\n", nr_samples, nr_lost);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct sched_param first = { .sched_priority = 50 }, ordinary = {};
	struct perf_event_mmap_page *ring;
	struct pollfd poller;
	int status;
	pid_t pid;

	if (argc < 2)
		return 125;
	read_symbols();
	poller = (struct pollfd){ .fd = open_clock(), .events = POLLIN };
	ring = mmap(NULL, sysconf(_SC_PAGESIZE) + RING, PROT_READ | PROT_WRITE, MAP_SHARED,
		    poller.fd, 0);
	if (ring == MAP_FAILED) {
		printf("# no perf event: %s\n", strerror(errno));
		return 125;
	}
	/* What it looks at would otherwise keep it from looking. */
	sched_setscheduler(0, SCHED_FIFO, &first);
	pid = fork();
	if (!pid) {
		sched_setscheduler(0, SCHED_OTHER, &ordinary);
		execv(argv[1], argv + 1);
		_exit(127);
	}
	while (waitpid(pid, &status, WNOHANG) != pid) {
		poll(&poller, 1, 100);
		drain(ring);
	}
	drain(ring);
	report();
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
