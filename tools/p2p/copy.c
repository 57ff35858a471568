// SPDX-License-Identifier: GPL-2.0
/*
 * p2pctl copy: copies a file or a drive through the memory of a PCI device.
 *
 * This part opens both ends, finds a provider, and prints the result. The
 * transfers are in copy_ring.c.
 */
#include <errno.h>
#include <getopt.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "copy.h"
#include "lib/answer.h"
#include "lib/sysfs.h"
#include "lib/table.h"
#include "p2pctl.h"

#define DEFAULT_BLOCK_SIZE (1UL << 20)
#define STATE_DIR "/var/lib/p2pctl"

volatile sig_atomic_t copy_stop;

static void stop(int sig)
{
	copy_stop = sig;
}

/* The first signal ends the copy in good order, the second one at once. */
static void catch_signals(void)
{
	struct sigaction action = { .sa_handler = stop, .sa_flags = SA_RESETHAND };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
}

static char *default_state_path(const struct copy *c)
{
	char *copy, *path;

	if (!c->dst.is_block)
		return xasprintf("%s.p2pctl", c->dst.path);
	copy = xstrdup(c->dst.path);
	mkdir(STATE_DIR, 0755);
	path = xasprintf(STATE_DIR "/%s", basename(copy));
	free(copy);
	return path;
}

/* Do both ends reach the provider? With @tell, prints why not. */
static bool reaches(const struct copy *c, const struct provider *p, bool tell)
{
	const struct end *ends[2] = { &c->src, &c->dst };
	struct routes routes;
	bool good = routes_load(&routes, p->bdf) && !p->pageless;

	if (!good && tell)
		error("%s: its memory can't be used for O_DIRECT: it has no struct pages", p->bdf);
	for (int i = 0; i < 2 && good; i++) {
		struct client client;
		struct answer answer;

		/* The destination file may not exist yet. */
		if (exists("%s", ends[i]->path) ? !client_resolve(&client, ends[i]->path) :
		    !client_new_file(&client, ends[i]->path))
			exit(ST_FAILED);
		answer_find(&answer, &client, &routes);
		good = answer.yes;
		if (!good && tell) {
			error("%s can't be used with peer-to-peer memory of %s", ends[i]->path,
			      p->bdf);
			paragraph(stderr, 8, "", answer.why.s);
			if (answer.remedy.len)
				paragraph(stderr, 8, "     ->", answer.remedy.s);
		}
		answer_free(&answer);
		client_free(&client);
	}
	routes_free(&routes);
	return good;
}

static const struct provider *named_provider(struct providers *all, const char *name)
{
	struct provider *p = NULL;
	struct client client;

	if (!client_resolve(&client, name))
		exit(ST_USAGE);
	for (unsigned int i = 0; i < client.nr && !p; i++)
		p = provider_find(all, client.layers[i].bdf);
	client_free(&client);
	if (!p) {
		error("--via %s: this device offers no peer-to-peer memory", name);
		hint("p2pctl list shows the devices that do");
		exit(ST_USAGE);
	}
	return p;
}

/* Sets c->via, or leaves it NULL: through RAM. */
static void choose_provider(struct copy *c, struct providers *all, const char *via)
{
	const struct provider *p = via ? named_provider(all, via) : NULL;

	if (p && reaches(c, p, !c->allow_ram))
		c->via = p;
	for (unsigned int i = 0; !via && i < all->nr && !c->via; i++)
		if (all->p[i].usable && reaches(c, &all->p[i], false))
			c->via = &all->p[i];
	if (c->via || c->allow_ram) {
		if (!c->via && !c->quiet)
			error("no peer-to-peer memory can be used: copying through RAM");
		return;
	}
	if (!via && !all->nr) {
		no_providers();
	} else if (!via) {
		error("no provider that you may use is reached by both %s and %s", c->src.path,
		      c->dst.path);
		hint("p2pctl route %s and p2pctl route %s show why", c->src.path, c->dst.path);
	}
	hint("--allow-ram copies through RAM instead");
	exit(ST_NO);
}

/* The last line: what was transferred peer to peer, by the kernel's count. */
static void print_result(const struct copy *c, double seconds)
{
	uint64_t copied = c->done - c->first, expected = 2 * c->p2p_bytes, counted;
	struct counters after = c->before;
	char a[SIZE_TEXT], b[SIZE_TEXT];

	printf("%s copied in %.1f s, %.1f MiB/s", mib_text(copied, a), seconds,
	       seconds > 0 ? copied / MIB / seconds : 0);
	if (c->first)
		printf("; %s were already there", mib_text(c->first, b));
	if (c->hole_bytes)
		printf("; %s of it are holes", mib_text(c->hole_bytes, b));
	putchar('\n');
	if (c->via)
		provider_counters(c->via->bdf, &after);
	counted = after.bus - c->before.bus + after.host_bridge - c->before.host_bridge;
	if (!c->via) {
		printf("Peer to peer: nothing. All of it went through RAM.\n");
		return;
	}
	printf("Peer to peer: %.1f of %.1f MiB read and written; bus %.1f, host bridge %.1f MiB\n",
	       counted / MIB, 2 * (c->p2p_bytes + c->ram_bytes) / MIB,
	       (after.bus - c->before.bus) / MIB,
	       (after.host_bridge - c->before.host_bridge) / MIB);
	if (c->ram_bytes)
		printf("Through RAM: %s, because peer-to-peer DMA was refused\n",
		       mib_text(2 * c->ram_bytes, a));
	if (counted < expected)
		printf("The kernel counted less than the %s transferred peer to peer.\n",
		       mib_text(expected, a));
	else if (counted > expected + 16384)
		printf("The count includes other users of the memory of %s.\n", c->via->bdf);
}

static int finish(struct copy *c, int status, double seconds)
{
	char done[SIZE_TEXT], all[SIZE_TEXT];

	if (status == ST_OK && !c->dst.is_block && ftruncate(c->dst.fd, c->size)) {
		copy_io_error(c, true, c->size, errno);
		status = ST_FAILED;
	}
	if (fsync(c->dst.fd) && status == ST_OK) {
		copy_io_error(c, true, c->done, errno);
		status = ST_FAILED;
	}
	if (status == ST_OK) {
		if (!c->quiet)
			print_result(c, seconds);
		if (c->verify)
			status = copy_verify(c);
		if (status == ST_OK && c->verify && !c->quiet)
			printf("Verified: source and destination are identical.\n");
		if (status != ST_INTERRUPTED)
			state_remove(c);
		return status;
	}
	/* Data beyond c->done may be incomplete. */
	state_save(c);
	error("%s: the first %s of %s are in %s", status == ST_INTERRUPTED ? "interrupted" : "stopped",
	      size_text(c->done, done), size_text(c->size, all), c->dst.path);
	hint("to continue from there, repeat the command with --resume");
	return status;
}

static void parse(struct copy *c, int argc, char **argv, const char **via, bool *resume)
{
	static const struct option options[] = {
		{ "via", required_argument, NULL, 'v' },
		{ "block-size", required_argument, NULL, 'b' },
		{ "queue-depth", required_argument, NULL, 'q' },
		{ "size", required_argument, NULL, 's' },
		{ "state", required_argument, NULL, 't' },
		{ "verify", no_argument, NULL, 'V' },
		{ "resume", no_argument, NULL, 'r' },
		{ "allow-ram", no_argument, NULL, 'a' },
		{ "quiet", no_argument, NULL, 'Q' },
		OPTION_HELP, {}
	};
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (option) {
		case 'v':
			*via = optarg;
			break;
		case 'b':
			c->block_size = size_option("--block-size", optarg);
			break;
		case 'q':
			c->queue_depth = number_option("--queue-depth", optarg, 1, 1024);
			break;
		case 's':
			c->size = size_option("--size", optarg);
			break;
		case 't':
			c->state_path = optarg;
			break;
		case 'V':
			c->verify = true;
			break;
		case 'r':
			*resume = true;
			break;
		case 'a':
			c->allow_ram = true;
			break;
		case 'Q':
			c->quiet = true;
			break;
		case 'h':
			print_usage("copy");
			exit(ST_OK);
		default:
			exit(ST_USAGE);
		}
	}
	if (argc - optind != 2)
		usage_error("copy", "exactly two arguments are required, SRC and DST");
	if (!c->block_size || c->block_size % 4096 || c->block_size > 1UL << 30)
		usage_error("copy", "--block-size must be a multiple of 4K, and at most 1G");
	c->src.path = argv[optind];
	c->dst.path = argv[optind + 1];
}

int cmd_copy(int argc, char **argv)
{
	struct copy c = { .block_size = DEFAULT_BLOCK_SIZE, .queue_depth = 8, .size = UINT64_MAX };
	struct providers all;
	const char *via = NULL;
	bool resume = false;
	double began;
	int status;

	parse(&c, argc, argv, &via, &resume);
	copy_open_source(&c);
	if (c.size > c.src.size)
		c.size = c.src.size;
	copy_check_destination(&c);
	all = providers_load();
	choose_provider(&c, &all, via);
	copy_open_destination(&c, resume);
	copy_check_room(&c);
	if (c.block_size % c.src.align || c.block_size % c.dst.align)
		die(ST_USAGE, "--block-size must be a multiple of the devices' block sizes, %llu and %llu bytes",
		    (unsigned long long)c.src.align, (unsigned long long)c.dst.align);
	if (!c.state_path)
		c.state_path = default_state_path(&c);
	if (resume && !state_load(&c))
		return ST_USAGE;
	c.done = c.first;
	if (!resume && !c.dst.is_block && ftruncate(c.dst.fd, 0))
		die(ST_FAILED, "%s: %s", c.dst.path, strerror(errno));
	if (c.via)
		provider_counters(c.via->bdf, &c.before);

	catch_signals();
	/* So that the copy can be resumed even if it is killed at once. */
	state_save(&c);
	progress_begin(&c.progress, "copy", c.first, c.size, c.quiet);
	began = now();
	status = copy_data(&c);
	return finish(&c, status, now() - began);
}
