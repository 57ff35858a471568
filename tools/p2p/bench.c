// SPDX-License-Identifier: GPL-2.0
/*
 * p2pctl bench: how fast a drive transfers to and from peer-to-peer memory and
 * RAM.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <liburing.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"
#include "lib/answer.h"
#include "lib/progress.h"
#include "lib/util.h"
#include "p2pctl.h"

const char * const bench_columns[] = { "read, P2P", "read, RAM", "write, P2P", "write, RAM" };

static double cpu_seconds(void)
{
	struct rusage use;

	getrusage(RUSAGE_SELF, &use);
	return use.ru_utime.tv_sec + use.ru_stime.tv_sec +
	       (use.ru_utime.tv_usec + use.ru_stime.tv_usec) / 1e6;
}

struct run {
	struct bench *b;
	struct io_uring ring;
	uint64_t size, next, bytes;
	unsigned int busy;
	char *mem;
	bool write;
};

static void submit(struct run *run, unsigned long slot)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&run->ring);
	char *mem = run->mem + slot * run->size;

	if (run->next + run->size > run->b->span)
		run->next = 0;
	if (run->write)
		io_uring_prep_write(sqe, run->b->fd, mem, run->size, run->next);
	else
		io_uring_prep_read(sqe, run->b->fd, mem, run->size, run->next);
	io_uring_sqe_set_data(sqe, (void *)slot);
	run->next += run->size;
	run->busy++;
	io_uring_submit(&run->ring);
}

static void check_result(const struct run *run, int res)
{
	const struct bench *b = run->b;

	if (res == (int)run->size)
		return;
	if (res == -EREMOTEIO) {
		error("%s can't be used with peer-to-peer memory of %s", b->target, b->via->bdf);
		hint("p2pctl route %s %s shows why", b->via->bdf, b->target);
		exit(ST_NO);
	}
	die(ST_FAILED, "%s: a transfer of %llu bytes failed: %s", b->target,
	    (unsigned long long)run->size, res < 0 ? strerror(-res) : "short transfer");
}

/* Measures one figure. */
static void measure(struct bench *b, uint64_t size, char *mem, bool write, struct figure *figure)
{
	struct run run = { .b = b, .size = size, .mem = mem, .write = write };
	double began, cpu, took;
	int err = io_uring_queue_init(b->queue_depth, &run.ring, 0);

	if (err)
		die(ST_FAILED, "io_uring: %s", strerror(-err));
	cpu = cpu_seconds();
	began = now();
	for (unsigned long slot = 0; slot < b->queue_depth; slot++)
		submit(&run, slot);
	while (run.busy) {
		struct io_uring_cqe *cqe;
		unsigned long slot;
		int res;

		err = io_uring_wait_cqe(&run.ring, &cqe);
		if (err == -EINTR)
			continue;
		if (err)
			die(ST_FAILED, "io_uring: %s", strerror(-err));
		slot = (unsigned long)io_uring_cqe_get_data(cqe);
		res = cqe->res;
		io_uring_cqe_seen(&run.ring, cqe);
		run.busy--;
		check_result(&run, res);
		run.bytes += size;
		if (now() - began < b->seconds)
			submit(&run, slot);
	}
	took = now() - began;
	figure->bytes_per_second = run.bytes / took;
	figure->per_second = run.bytes / size / took;
	figure->cpu = (cpu_seconds() - cpu) / took;
	io_uring_queue_exit(&run.ring);
	b->transferred += run.bytes;
}

static void measure_all(struct bench *b)
{
	uint64_t largest = b->sizes[b->nr_sizes - 1] * b->queue_depth;
	unsigned int steps = b->nr_sizes * (b->write ? 4 : 2), step = 0;
	char *p2p = provider_map(b->via, largest);
	struct counters before, after;
	struct progress progress;
	char need[SIZE_TEXT];
	void *ram;

	if (!p2p)
		die(ST_FAILED, "%s: can't allocate %s of peer-to-peer memory: %s; lower --queue-depth or --block-sizes",
		    b->via->bdf, size_text(largest, need), strerror(errno));
	if (posix_memalign(&ram, 2 << 20, largest))
		die(ST_FAILED, "out of memory");
	memset(ram, 0, largest);
	progress_begin(&progress, "bench", 0, steps, b->json);
	for (unsigned int i = 0; i < b->nr_sizes; i++) {
		for (int column = 0; column < (b->write ? 4 : 2); column++) {
			bool is_p2p = column % 2 == 0;
			uint64_t transferred = b->transferred;

			if (progress.shown)
				fprintf(stderr, "\r%u of %u: %s\033[K", ++step, steps,
					bench_columns[column]);
			provider_counters(b->via->bdf, &before);
			measure(b, b->sizes[i], is_p2p ? p2p : ram, column >= 2,
				&b->figures[i][column]);
			provider_counters(b->via->bdf, &after);
			if (is_p2p)
				b->counted += after.bus - before.bus + after.host_bridge -
					      before.host_bridge;
			else
				b->transferred = transferred;
		}
	}
	if (progress.shown)
		fprintf(stderr, "\r\033[K");
	munmap(p2p, largest);
	free(ram);
}

static void parse_sizes(struct bench *b, char *list)
{
	char *copy = xstrdup(list), *rest = copy, *one;

	b->nr_sizes = 0;
	while ((one = strsep(&rest, ","))) {
		uint64_t size = size_option("--block-sizes", one);

		if (!size || size % 512 || size > 1UL << 30 || b->nr_sizes == MAX_SIZES)
			die(ST_USAGE, "--block-sizes %s: must be at most %d multiples of 512, each at most 1G",
			    list, MAX_SIZES);
		if (b->nr_sizes && size <= b->sizes[b->nr_sizes - 1])
			die(ST_USAGE, "--block-sizes %s: must be in ascending order", list);
		b->sizes[b->nr_sizes++] = size;
	}
	free(copy);
}

/* Return: the named provider, or the first one that the target reaches. */
static const struct provider *choose(struct providers *all, const char *via, const char *target)
{
	struct client named = {}, client;
	const struct provider *found = NULL;

	if (!client_resolve(&client, target) || (via && !client_resolve(&named, via)))
		exit(ST_USAGE);
	for (unsigned int i = 0; i < all->nr && !found; i++) {
		struct answer answer;
		struct routes routes;
		bool is_it = !via;

		for (unsigned int n = 0; via && n < named.nr; n++)
			is_it |= !strcmp(named.layers[n].bdf, all->p[i].bdf);
		if (!is_it || all->p[i].pageless || !routes_load(&routes, all->p[i].bdf))
			continue;
		answer_find(&answer, &client, &routes);
		if (answer.yes)
			found = &all->p[i];
		answer_free(&answer);
		routes_free(&routes);
	}
	client_free(&client);
	client_free(&named);
	if (found)
		return found;
	error("%s reaches no peer-to-peer memory%s%s", target, via ? " of " : "", via ?: "");
	hint("p2pctl route %s%s%s shows why", via ?: "", via ? " " : "", target);
	exit(ST_NO);
}

static void open_target(struct bench *b)
{
	uint64_t largest = b->sizes[b->nr_sizes - 1], size;
	struct stat st;

	if (stat(b->target, &st))
		die(ST_USAGE, "%s: %s", b->target, strerror(errno));
	if (!S_ISBLK(st.st_mode) && !S_ISREG(st.st_mode))
		die(ST_USAGE, "%s is neither a file nor a block device", b->target);
	b->fd = open(b->target, (b->write ? O_RDWR : O_RDONLY) | O_DIRECT | O_CLOEXEC |
		     (b->write && S_ISBLK(st.st_mode) ? O_EXCL : 0));
	if (b->fd < 0)
		die(ST_FAILED, "%s: %s%s", b->target, strerror(errno),
		    errno == EBUSY ? ": it is mounted, or part of another device" : "");
	size = st.st_size;
	if (S_ISBLK(st.st_mode) && ioctl(b->fd, BLKGETSIZE64, &size))
		die(ST_FAILED, "%s: %s", b->target, strerror(errno));
	if (b->span > size)
		b->span = size;
	if (b->span < largest)
		die(ST_USAGE, "%s: its size, or --span, is smaller than the largest block",
		    b->target);
}

static double parse_seconds(const char *text)
{
	char *rest;
	double seconds = strtod(text, &rest);

	if (*rest || rest == text || !(seconds >= 0.05) || seconds > 3600)
		die(ST_USAGE, "--seconds %s: not a number from 0.05 to 3600", text);
	return seconds;
}

int cmd_bench(int argc, char **argv)
{
	static const struct option options[] = {
		{ "via", required_argument, NULL, 'v' },
		{ "block-sizes", required_argument, NULL, 'b' },
		{ "queue-depth", required_argument, NULL, 'q' },
		{ "seconds", required_argument, NULL, 's' },
		{ "span", required_argument, NULL, 'S' },
		{ "write", no_argument, NULL, 'w' },
		{ "plot", required_argument, NULL, 'p' },
		{ "json", no_argument, NULL, 'j' },
		OPTION_HELP, {}
	};
	struct bench b = { .queue_depth = 8, .seconds = 1, .span = 256UL << 20 };
	struct providers all;
	const char *via = NULL;
	int option;

	parse_sizes(&b, "4K,16K,64K,256K,1M");
	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (option) {
		case 'v':
			via = optarg;
			break;
		case 'b':
			parse_sizes(&b, optarg);
			break;
		case 'q':
			b.queue_depth = number_option("--queue-depth", optarg, 1, 1024);
			break;
		case 's':
			b.seconds = parse_seconds(optarg);
			break;
		case 'S':
			b.span = size_option("--span", optarg);
			break;
		case 'w':
			b.write = true;
			break;
		case 'p':
			b.plot = optarg;
			break;
		case 'j':
			b.json = true;
			break;
		case 'h':
			print_usage("bench");
			return ST_OK;
		default:
			return ST_USAGE;
		}
	}
	if (argc - optind != 1)
		usage_error("bench", "exactly one TARGET is required, a file or a block device");
	b.target = argv[optind];
	open_target(&b);
	all = providers_load();
	b.via = choose(&all, via, b.target);
	measure_all(&b);
	if (b.json)
		bench_print_json(&b);
	else
		bench_print_table(&b);
	if (b.plot)
		bench_plot(&b);
	return ST_OK;
}
