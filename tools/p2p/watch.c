// SPDX-License-Identifier: GPL-2.0
/*
 * p2pctl watch: counters and rates, as they change. One screen, plain ANSI.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "lib/json.h"
#include "lib/mappers.h"
#include "lib/provider.h"
#include "lib/sysfs.h"
#include "lib/table.h"
#include "lib/util.h"
#include "p2pctl.h"

/* Counters of get_user_pages() on such mappings, for all processes together. */
static const char * const vm_counters[] = { "p2p_gup_fast", "p2p_gup_locked", "p2p_gup_refused" };

struct sample {
	double at;
	struct providers all;
	bool has_vm;			/* CONFIG_VM_EVENT_COUNTERS */
	uint64_t vm[ARRAY_SIZE(vm_counters)];
};

static volatile sig_atomic_t ended;

static void end(int sig)
{
	ended = sig;
}

static void take_sample(struct sample *sample)
{
	char *vmstat = read_text("/proc/vmstat");

	*sample = (struct sample){ .at = now() };
	sample->all = providers_load();
	for (size_t i = 0; i < ARRAY_SIZE(vm_counters); i++) {
		char *line = xasprintf("\n%s ", vm_counters[i]);
		char *at = vmstat ? strstr(vmstat, line) : NULL;

		sample->has_vm |= !!at;
		sample->vm[i] = at ? strtoull(at + strlen(line), NULL, 10) : 0;
		free(line);
	}
	free(vmstat);
}

/* Increase per second. A counter that went back is of a re-added provider. */
static double rate(uint64_t old, uint64_t new, double seconds)
{
	return new > old && seconds > 0 ? (new - old) / seconds : 0;
}

static void print_providers(const struct sample *old, const struct sample *new)
{
	static const char * const titles[] = { "PROVIDER", ">USED", ">BUS MiB/s",
					       ">HB MiB/s", ">REF./s", ">BUS", ">HB", ">REFUSED" };
	double seconds = new->at - old->at;
	char text[SIZE_TEXT];
	struct table table;

	table_init(&table, ARRAY_SIZE(titles), titles);
	for (unsigned int i = 0; i < new->all.nr; i++) {
		const struct provider *p = &new->all.p[i];
		const struct provider *before =
			provider_find((struct providers *)&old->all, p->bdf) ?: p;

		table_row(&table);
		table_cell(&table, 0, "%s", p->bdf);
		if (p->pageless || !p->size)
			table_cell(&table, 1, "-");
		else
			table_cell(&table, 1, "%.0f%%",
				   100.0 * (p->size - p->available) / p->size);
		table_cell(&table, 2, "%.1f", rate(before->dma.bus, p->dma.bus, seconds) / MIB);
		table_cell(&table, 3, "%.1f", rate(before->dma.host_bridge, p->dma.host_bridge,
						   seconds) / MIB);
		table_cell(&table, 4, "%.0f", rate(before->dma.refused, p->dma.refused, seconds));
		table_cell(&table, 5, "%s", size_text(p->dma.bus, text));
		table_cell(&table, 6, "%s", size_text(p->dma.host_bridge, text));
		table_cell(&table, 7, "%llu", (unsigned long long)p->dma.refused);
	}
	table_print(&table, stdout, false);
	table_free(&table);
}

static void print_pages(const struct sample *old, const struct sample *new)
{
	static const char * const titles[] = { "GET_USER_PAGES", ">PER SECOND", ">TOTAL" };
	static const char * const what[] = { "pages found without a lock",
					     "pages found under the mmap_lock", "calls refused" };
	double seconds = new->at - old->at;
	struct table table;

	table_init(&table, ARRAY_SIZE(titles), titles);
	for (size_t i = 0; i < ARRAY_SIZE(vm_counters); i++) {
		table_row(&table);
		table_cell(&table, 0, "%s", what[i]);
		table_cell(&table, 1, "%.0f", rate(old->vm[i], new->vm[i], seconds));
		table_cell(&table, 2, "%llu", (unsigned long long)new->vm[i]);
	}
	table_print(&table, stdout, false);
	table_free(&table);
}

static void print_users(void)
{
	struct mappers mappers = mappers_load();
	char text[SIZE_TEXT], user[40];
	unsigned int shown = 0;

	for (unsigned int i = 0; i < mappers.nr && shown < 8; i++, shown++) {
		const struct mapper *m = &mappers.m[i];

		printf("%s%s  %s[%d] of %s maps %s\n", shown ? "" : "\n", m->provider, m->comm,
		       m->pid, user_name(m->uid, user), size_text(m->bytes, text));
	}
	if (shown < mappers.nr)
		printf("and %u more, see p2pctl list\n", mappers.nr - shown);
	free(mappers.m);
}

static void print_screen(const struct sample *old, const struct sample *new, double interval)
{
	bool terminal = isatty(STDOUT_FILENO);
	char clock[32];
	time_t t = time(NULL);

	strftime(clock, sizeof(clock), "%H:%M:%S", localtime(&t));
	if (terminal)
		printf("\033[H\033[J");
	printf("p2pctl watch, %s, every %g s; HB: through the host bridge%s\n\n", clock,
	       interval, terminal ? "; Ctrl-C quits" : "");
	if (new->all.nr)
		print_providers(old, new);
	else
		printf("There is no provider of peer-to-peer memory at the moment.\n");
	if (new->has_vm) {
		putchar('\n');
		print_pages(old, new);
	}
	print_users();
	if (!terminal)
		putchar('\n');
	fflush(stdout);
}

static void print_line(const struct sample *old, const struct sample *new)
{
	struct json_object *answer = json_answer("watch"), *list;
	double seconds = new->at - old->at;

	json_put_number(answer, "time", time(NULL));
	json_put_real(answer, "seconds", seconds);
	list = json_put_list(answer, "providers");
	for (unsigned int i = 0; i < new->all.nr; i++) {
		const struct provider *p = &new->all.p[i];
		const struct provider *before =
			provider_find((struct providers *)&old->all, p->bdf) ?: p;
		struct json_object *object = json_add_member(list);

		json_put_text(object, "address", p->bdf);
		json_put_number(object, "size", p->size);
		json_put_number(object, "available", p->pageless ? 0 : p->available);
		json_put_number(object, "dma_bus_bytes", p->dma.bus);
		json_put_number(object, "dma_host_bridge_bytes", p->dma.host_bridge);
		json_put_number(object, "dma_refused", p->dma.refused);
		json_put_real(object, "bus_bytes_per_second",
			      rate(before->dma.bus, p->dma.bus, seconds));
		json_put_real(object, "host_bridge_bytes_per_second",
			      rate(before->dma.host_bridge, p->dma.host_bridge, seconds));
		json_put_real(object, "refused_per_second",
			      rate(before->dma.refused, p->dma.refused, seconds));
	}
	for (size_t i = 0; i < ARRAY_SIZE(vm_counters); i++)
		if (new->has_vm)
			json_put_number(answer, vm_counters[i], new->vm[i]);
		else
			json_object_object_add(answer, vm_counters[i], NULL);
	json_print(answer, true);
}

static double parse_interval(const char *text)
{
	char *rest;
	double seconds = strtod(text, &rest);

	if (*rest || rest == text || !(seconds >= 0.1) || seconds > 86400)
		die(ST_USAGE, "--interval %s: not a number of seconds from 0.1 to 86400", text);
	return seconds;
}

static void wait_for(double seconds)
{
	struct timespec t = { seconds, (seconds - (time_t)seconds) * 1e9 };

	nanosleep(&t, NULL);
}

int cmd_watch(int argc, char **argv)
{
	static const struct option options[] = {
		{ "interval", required_argument, NULL, 'i' },
		{ "count", required_argument, NULL, 'c' },
		{ "json", no_argument, NULL, 'j' },
		OPTION_HELP, {}
	};
	struct sigaction action = { .sa_handler = end };
	unsigned long count = 0, shown = 0;
	struct sample old, new;
	double interval = 1;
	bool json = false;
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (option) {
		case 'i':
			interval = parse_interval(optarg);
			break;
		case 'c':
			count = number_option("--count", optarg, 1, 1000000000);
			break;
		case 'j':
			json = true;
			break;
		case 'h':
			print_usage("watch");
			return ST_OK;
		default:
			return ST_USAGE;
		}
	}
	if (optind < argc)
		usage_error("watch", "%s: unexpected argument", argv[optind]);

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	take_sample(&old);
	while (!ended && (!count || shown < count)) {
		wait_for(interval);
		if (ended)
			break;
		take_sample(&new);
		if (json)
			print_line(&old, &new);
		else
			print_screen(&old, &new, interval);
		free(old.all.p);
		old = new;
		shown++;
	}
	free(old.all.p);
	return ST_OK;
}
