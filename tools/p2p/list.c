// SPDX-License-Identifier: GPL-2.0
/*
 * p2pctl list: the providers, their memory, the users that have it, and the
 * processes that map it.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"
#include "lib/mappers.h"
#include "lib/provider.h"
#include "lib/table.h"
#include "lib/util.h"
#include "p2pctl.h"

static uint64_t used(const struct provider *p)
{
	return p->pageless ? 0 : p->size - p->available;
}

static const char *bar_text(const struct provider *p, char text[16])
{
	if (p->bar < 0)
		return "?";
	snprintf(text, 16, "%d", p->bar);
	return text;
}

static void mode_text(mode_t mode, char text[10])
{
	static const char letters[] = "rwxrwxrwx";

	for (int i = 0; i < 9; i++)
		text[i] = mode & (0400 >> i) ? letters[i] : '-';
	text[9] = '\0';
}

static void print_memory(const struct providers *all, bool largest)
{
	static const char * const titles[] = { "PROVIDER", "BAR", ">SIZE", ">USED", ">FREE",
					       ">LARGEST", ">PER USER", "DEVICE" };
	/* Omit the column that would be empty. */
	unsigned int skip = largest ? 0 : 1, last = ARRAY_SIZE(titles) - 1 - skip;
	const char *shown[ARRAY_SIZE(titles)];
	struct table table;
	char text[SIZE_TEXT], bar[16], name[128];

	for (size_t i = 0; i < ARRAY_SIZE(titles); i++)
		shown[i > 5 ? i - skip : i] = titles[i];
	table_init(&table, last + 1, shown);
	for (unsigned int i = 0; i < all->nr; i++) {
		const struct provider *p = &all->p[i];

		table_row(&table);
		table_cell(&table, 0, "%s", p->bdf);
		table_cell(&table, 1, "%s", bar_text(p, bar));
		table_cell(&table, 2, "%s", size_text(p->size, text));
		if (p->pageless) {
			table_cell(&table, 3, "shared");
		} else {
			table_cell(&table, 3, "%s", size_text(used(p), text));
			table_cell(&table, 4, "%s", size_text(p->available, text));
			if (largest)
				table_cell(&table, 5, "%s",
					   size_text(provider_largest_piece(p), text));
			table_cell(&table, last - 1, "%s", p->user_limit == NO_LIMIT ? "all" :
				   size_text(p->user_limit, text));
		}
		table_cell(&table, last, "%s%s%s", p->people_name, p->people_name[0] ? ", " : "",
			   pci_short_name(p->bdf, name));
	}
	table_print(&table, stdout, false);
	table_free(&table);
}

static void print_use(const struct providers *all)
{
	static const char * const titles[] = { "PROVIDER", "DRIVER", "MODE", "OWNER",
					       ">BY BUS", ">BY HOST BRIDGE", ">REFUSED" };
	struct table table;
	char text[SIZE_TEXT], user[40], group[40], mode[10];

	table_init(&table, ARRAY_SIZE(titles), titles);
	for (unsigned int i = 0; i < all->nr; i++) {
		const struct provider *p = &all->p[i];

		mode_text(p->mode, mode);
		table_row(&table);
		table_cell(&table, 0, "%s", p->bdf);
		table_cell(&table, 1, "%s", p->driver);
		table_cell(&table, 2, "%s", mode);
		table_cell(&table, 3, "%s:%s", user_name(p->uid, user), group_name(p->gid, group));
		table_cell(&table, 4, "%s", size_text(p->dma.bus, text));
		table_cell(&table, 5, "%s", size_text(p->dma.host_bridge, text));
		table_cell(&table, 6, "%llu", (unsigned long long)p->dma.refused);
	}
	table_print(&table, stdout, false);
	table_free(&table);
}

/* Users that have memory without mapping it, as a dma-buf for example, are here, too. */
static void print_payers(const struct providers *all)
{
	static const char * const titles[] = { "PROVIDER", "USER", ">HAS", ">OF" };
	struct table table;
	char text[SIZE_TEXT], user[40];
	unsigned int nr = 0;

	table_init(&table, ARRAY_SIZE(titles), titles);
	for (unsigned int i = 0; i < all->nr; i++) {
		const struct provider *p = &all->p[i];
		struct payers payers = provider_payers(p);

		for (unsigned int j = 0; j < payers.nr; j++, nr++) {
			table_row(&table);
			table_cell(&table, 0, "%s", p->bdf);
			table_cell(&table, 1, "%s", user_name(payers.p[j].uid, user));
			table_cell(&table, 2, "%s", size_text(payers.p[j].bytes, text));
			table_cell(&table, 3, "%s", p->user_limit == NO_LIMIT ? "all" :
				   size_text(p->user_limit, text));
		}
		free(payers.p);
	}
	if (nr) {
		table_print(&table, stdout, false);
		putchar('\n');
	}
	table_free(&table);
}

static void add_payers(struct json_object *object, const struct provider *p)
{
	struct payers payers = provider_payers(p);
	struct json_object *list;

	if (!payers.known) {
		json_object_object_add(object, "users", NULL);
		return;
	}
	list = json_put_list(object, "users");
	for (unsigned int i = 0; i < payers.nr; i++) {
		struct json_object *member = json_add_member(list);

		json_put_number(member, "uid", payers.p[i].uid);
		json_put_number(member, "bytes", payers.p[i].bytes);
	}
	free(payers.p);
}

static void print_mappers(const struct mappers *mappers)
{
	static const char * const titles[] = { "PROVIDER", ">PID", "USER", ">MAPS", ">MAPPINGS",
					       "PROGRAM" };
	struct table table;
	char text[SIZE_TEXT], user[40];

	if (!mappers->nr) {
		printf("No process%s maps this memory.\n",
		       mappers->complete ? "" : " that you may inspect");
		return;
	}
	table_init(&table, ARRAY_SIZE(titles), titles);
	for (unsigned int i = 0; i < mappers->nr; i++) {
		const struct mapper *m = &mappers->m[i];

		table_row(&table);
		table_cell(&table, 0, "%s", m->provider);
		table_cell(&table, 1, "%d", m->pid);
		table_cell(&table, 2, "%s", user_name(m->uid, user));
		table_cell(&table, 3, "%s", size_text(m->bytes, text));
		table_cell(&table, 4, "%u", m->nr_mappings);
		table_cell(&table, 5, "%s", m->comm);
	}
	table_print(&table, stdout, false);
	table_free(&table);
	if (!mappers->complete)
		printf("Processes of other users may map it too; only root can see them.\n");
}

static void add_mappers(struct json_object *object, const struct provider *p,
			const struct mappers *mappers)
{
	struct json_object *list = json_put_list(object, "mappers");

	for (unsigned int i = 0; i < mappers->nr; i++) {
		const struct mapper *m = &mappers->m[i];
		struct json_object *member;

		if (strcmp(m->provider, p->bdf))
			continue;
		member = json_add_member(list);
		json_put_number(member, "pid", m->pid);
		json_put_number(member, "uid", m->uid);
		json_put_text(member, "program", m->comm);
		json_put_number(member, "bytes", m->bytes);
		json_put_number(member, "mappings", m->nr_mappings);
	}
}

static void print_json(const struct providers *all, const struct mappers *mappers, bool largest)
{
	struct json_object *answer = json_answer("list");
	struct json_object *list = json_put_list(answer, "providers");

	json_put_bool(answer, "mappers_complete", mappers->complete);
	for (unsigned int i = 0; i < all->nr; i++) {
		const struct provider *p = &all->p[i];
		struct json_object *object = json_add_member(list);
		char mode[8], name[128];

		json_put_text(object, "address", p->bdf);
		json_put_text(object, "device", pci_name_of(p->bdf, name));
		json_put_text(object, "name", p->people_name);
		json_put_text(object, "driver", p->driver);
		if (p->bar < 0)
			json_object_object_add(object, "bar", NULL);
		else
			json_put_number(object, "bar", p->bar);
		json_put_bool(object, "struct_pages", !p->pageless);
		json_put_number(object, "size", p->size);
		json_put_number(object, "used", used(p));
		json_put_number(object, "available", p->pageless ? 0 : p->available);
		if (largest && !p->pageless)
			json_put_number(object, "largest", provider_largest_piece(p));
		else
			json_object_object_add(object, "largest", NULL);
		if (p->user_limit == NO_LIMIT)
			json_object_object_add(object, "user_limit", NULL);
		else
			json_put_number(object, "user_limit", p->user_limit);
		snprintf(mode, sizeof(mode), "%04o", p->mode);
		json_put_text(object, "mode", mode);
		json_put_number(object, "uid", p->uid);
		json_put_number(object, "gid", p->gid);
		json_put_bool(object, "usable", p->usable);
		json_put_number(object, "dma_bus_bytes", p->dma.bus);
		json_put_number(object, "dma_host_bridge_bytes", p->dma.host_bridge);
		json_put_number(object, "dma_refused", p->dma.refused);
		add_payers(object, p);
		add_mappers(object, p, mappers);
	}
	json_print(answer, false);
}

int cmd_list(int argc, char **argv)
{
	static const struct option options[] = {
		{ "largest", no_argument, NULL, 'l' },
		{ "json", no_argument, NULL, 'j' },
		OPTION_HELP, {}
	};
	bool largest = false, json = false;
	struct providers all;
	struct mappers mappers;
	int option;

	while ((option = getopt_long(argc, argv, "+h", options, NULL)) != -1) {
		switch (option) {
		case 'l':
			largest = true;
			break;
		case 'j':
			json = true;
			break;
		case 'h':
			print_usage("list");
			return ST_OK;
		default:
			return ST_USAGE;
		}
	}
	if (optind < argc)
		usage_error("list", "%s: unexpected argument", argv[optind]);

	all = providers_load();
	mappers = mappers_load();
	/* The address of a mapping shows in which BAR the memory is. */
	for (unsigned int i = 0; i < mappers.nr; i++) {
		struct provider *p = provider_find(&all, mappers.m[i].provider);

		if (p)
			provider_set_bar(p, mappers.m[i].phys);
	}
	if (json) {
		print_json(&all, &mappers, largest);
		return all.nr ? ST_OK : ST_NO;
	}
	if (!all.nr) {
		no_providers();
		return ST_NO;
	}
	print_memory(&all, largest);
	putchar('\n');
	print_use(&all);
	putchar('\n');
	print_payers(&all);
	print_mappers(&mappers);
	return ST_OK;
}
