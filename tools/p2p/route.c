// SPDX-License-Identifier: GPL-2.0
/*
 * p2pctl route: which devices and files reach which provider, how, how far, and why not.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/answer.h"
#include "lib/json.h"
#include "lib/table.h"
#include "lib/util.h"
#include "p2pctl.h"

struct question {
	struct providers all;
	const struct provider *provider;	/* NULL: all */
	struct client client;
	bool has_client, probe, json, show_all;
};

static const char *route_name(const char *bdf, char name[128])
{
	char people[64];

	if (pci_people_name(bdf, people)[0])
		snprintf(name, 128, "%s", people);
	else
		pci_short_name(bdf, name);
	return name;
}

/* A device without a driver, or bound to p2pmem-bar, does no DMA. */
static bool is_shown(const struct question *q, const struct provider *p, const struct route *r)
{
	char driver[64];

	if (q->show_all || !strcmp(r->client, p->bdf))
		return q->show_all;
	return pci_driver(r->client, driver)[0] && strcmp(driver, "p2pmem-bar");
}

/* Explains each cause once, below the table that has only its word. */
static void explain_all(const struct question *q, const struct provider *p,
			const struct routes *routes)
{
	struct text seen = {};

	text_add(&seen, "\n");
	for (unsigned int i = 0; i < routes->nr; i++) {
		if (!is_shown(q, p, &routes->r[i]))
			continue;
		for (unsigned int n = 0; n < routes->r[i].nr_causes; n++) {
			const struct cause *cause = &routes->r[i].causes[n];
			struct text why = {}, remedy = {}, key = {};

			text_add(&key, "\n%s=%s\n", cause->word, cause->value ?: "");
			if (!strstr(seen.s, key.s)) {
				text_add(&seen, "%s", key.s + 1);
				cause_explain(cause, routes->r[i].way, &why, &remedy);
				putchar('\n');
				paragraph(stdout, 5, "", why.s);
				if (remedy.len)
					paragraph(stdout, 5, "  ->", remedy.s);
			}
			free(key.s);
			free(why.s);
			free(remedy.s);
		}
	}
	free(seen.s);
}

/* Return: whether a device other than the provider reaches it. */
static bool print_clients(const struct question *q, const struct provider *p,
			  const struct routes *routes)
{
	static const char * const titles[] = { "CLIENT", "ROUTE", ">LINKS", "DEVICE", "CAUSE" };
	char text[SIZE_TEXT], name[128];
	unsigned int left_out = 0;
	bool any = false;
	struct table table;

	printf("%s: %s of %s (%s)\n\n", p->bdf, size_text(p->size, text),
	       pci_name_of(p->bdf, name),
	       p->driver[0] ? p->driver : "no driver");
	table_init(&table, ARRAY_SIZE(titles), titles);
	table.flexible = 3;
	for (unsigned int i = 0; i < routes->nr; i++) {
		const struct route *r = &routes->r[i];
		bool self = !strcmp(r->client, p->bdf);
		struct text why = {};

		if (!is_shown(q, p, r)) {
			left_out += !self;
			continue;
		}
		any |= r->way != WAY_NONE && !self;
		route_reasons(r, &why);
		table_row(&table);
		table_cell(&table, 0, "%s", r->client);
		table_cell(&table, 1, "%s", way_name(r->way));
		table_cell(&table, 2, "%d", r->links);
		table_cell(&table, 3, "%.40s", self ? "(the provider itself)" :
			   route_name(r->client, name));
		if (why.len)
			table_cell(&table, 4, "%s", why.s);
		free(why.s);
	}
	table_print(&table, stdout, true);
	table_free(&table);
	explain_all(q, p, routes);
	if (left_out)
		printf("\nNot shown: %u without a driver that does DMA; --all shows them.\n",
		       left_out);
	return any;
}

static void print_layers(const struct client *client, const struct routes *routes)
{
	for (unsigned int i = 0; i < client->nr; i++) {
		const struct layer *layer = &client->layers[i];
		const struct route *r = layer->bdf[0] ? route_find(routes, layer->bdf) : NULL;

		printf("  %*s%s", layer->depth * 2, "", layer->what);
		if (layer->bdf[0])
			printf(" at %s", layer->bdf);
		if (r)
			printf(": %s, %d links", way_name(r->way), r->links);
		printf("%s\n", layer->obstacle ? ": can't use peer-to-peer memory" : "");
	}
}

static const char *verdict(const struct answer *answer)
{
	if (!answer->yes)
		return "no";
	return answer->way == WAY_BUS ? "yes, across the switch" : "yes, through the host bridge";
}

static void print_probe(enum probe result, bool said_yes, const char *why)
{
	static const char * const title[] = { "Tried:  ", "Tried:  ", "Tried:  ", "Not tried:" };

	paragraph(stdout, result == PROBE_IMPOSSIBLE ? 11 : 8, title[result], why);
	if ((result == PROBE_P2P && !said_yes) || (result == PROBE_REFUSED && said_yes))
		paragraph(stdout, 8, "", "This differs from the answer above; the kernel's answer is the right one.");
}

/* Return: whether the answer is yes. */
static bool print_answer(const struct question *q, const struct provider *p,
			 const struct routes *routes)
{
	struct answer answer;
	bool yes;

	answer_find(&answer, &q->client, routes);
	yes = answer.yes;
	printf("%s -> %s: %s\n", q->client.name, p->bdf, verdict(&answer));
	print_layers(&q->client, routes);
	if (answer.why.len)
		paragraph(stdout, 8, answer.yes ? "Note:" : "Why:", answer.why.s);
	if (answer.remedy.len)
		paragraph(stdout, 8, "Remedy:", answer.remedy.s);
	if (p->pageless)
		paragraph(stdout, 8, "Note:", "this memory has no struct pages: it can't be used for O_DIRECT, only by drivers that support such memory");
	if (q->probe) {
		char *why;
		enum probe result = probe_read(p, q->client.name, &why);

		print_probe(result, answer.yes, why);
		if (result == PROBE_P2P || result == PROBE_REFUSED)
			yes = result == PROBE_P2P;
		free(why);
	}
	answer_free(&answer);
	return yes;
}

static void add_causes(struct json_object *object, const struct route *r)
{
	struct json_object *list = json_put_list(object, "causes");

	for (unsigned int i = 0; r && i < r->nr_causes; i++) {
		struct json_object *member = json_add_member(list);

		json_put_text(member, "word", r->causes[i].word);
		json_put_text(member, "value", r->causes[i].value);
	}
}

static bool add_clients(struct json_object *object, const struct provider *p,
			const struct routes *routes)
{
	struct json_object *list = json_put_list(object, "clients");
	bool any = false;

	for (unsigned int i = 0; i < routes->nr; i++) {
		const struct route *r = &routes->r[i];
		struct json_object *member = json_add_member(list);
		char name[128], people[64], driver[64];

		json_put_text(member, "address", r->client);
		json_put_text(member, "device", pci_name_of(r->client, name));
		json_put_text(member, "name", pci_people_name(r->client, people));
		json_put_text(member, "driver", pci_driver(r->client, driver));
		json_put_text(member, "route", way_name(r->way));
		json_put_number(member, "links", r->links);
		add_causes(member, r);
		any |= r->way != WAY_NONE && strcmp(r->client, p->bdf);
	}
	return any;
}

static bool add_probe(struct json_object *object, const struct provider *p, const char *path,
		      bool yes)
{
	static const char * const words[] = { "peer-to-peer", "refused", "nothing", "impossible" };
	char *why;
	enum probe result = probe_read(p, path, &why);

	json_put_text(object, "probe", words[result]);
	json_put_text(object, "probe_detail", why);
	free(why);
	return result == PROBE_P2P || (result > PROBE_REFUSED && yes);
}

static bool add_answer(struct json_object *object, const struct question *q,
		       const struct provider *p, const struct routes *routes)
{
	struct json_object *list;
	struct answer answer;
	bool yes;

	answer_find(&answer, &q->client, routes);
	yes = answer.yes;
	json_put_text(object, "client", q->client.name);
	json_put_bool(object, "reaches", answer.yes);
	json_put_text(object, "route", way_name(answer.way));
	json_put_number(object, "links", answer.links);
	json_put_text(object, "why", answer.why.s);
	json_put_text(object, "remedy", answer.remedy.s);
	list = json_put_list(object, "layers");
	for (unsigned int i = 0; i < q->client.nr; i++) {
		const struct layer *layer = &q->client.layers[i];
		struct json_object *member = json_add_member(list);
		const struct route *r = layer->bdf[0] ? route_find(routes, layer->bdf) : NULL;

		json_put_number(member, "depth", layer->depth);
		json_put_text(member, "what", layer->what);
		json_put_text(member, "obstacle", layer->obstacle);
		json_put_text(member, "address", layer->bdf);
		json_put_text(member, "route", r ? way_name(r->way) : NULL);
		add_causes(member, r);
	}
	if (q->probe)
		yes = add_probe(object, p, q->client.name, yes);
	answer_free(&answer);
	return yes;
}

/* Return: whether the answer is yes. */
static bool ask(const struct question *q, const struct provider *p, struct json_object *list)
{
	struct json_object *object = list ? json_add_member(list) : NULL;
	struct routes routes;
	bool yes;

	if (!routes_load(&routes, p->bdf))
		error("%s: can't read its p2pmem/routes", p->bdf);
	if (object)
		json_put_text(object, "provider", p->bdf);
	if (q->has_client)
		yes = list ? add_answer(object, q, p, &routes) : print_answer(q, p, &routes);
	else
		yes = list ? add_clients(object, p, &routes) : print_clients(q, p, &routes);
	routes_free(&routes);
	return yes;
}

/* Finds a provider by the name of its device. */
static const struct provider *find_provider(struct providers *all, const char *name, bool must)
{
	struct client client;
	struct provider *p = NULL;

	if (!client_resolve(&client, name))
		exit(ST_USAGE);
	for (unsigned int i = 0; i < client.nr && !p; i++)
		if (client.is_pci || must)
			p = provider_find(all, client.layers[i].bdf);
	client_free(&client);
	if (!p && must) {
		error("%s offers no peer-to-peer memory", name);
		hint("p2pctl list shows the devices that do; p2pctl bind offers a BAR");
		exit(ST_USAGE);
	}
	return p;
}

static void parse_arguments(struct question *q, int argc, char **argv)
{
	if (argc > 2)
		usage_error("route", "%s: unexpected argument after PROVIDER and CLIENT", argv[2]);
	q->all = providers_load();
	if (argc == 2) {
		q->provider = find_provider(&q->all, argv[0], true);
	} else if (argc == 1) {
		/* A device that is both is taken as the provider. */
		q->provider = find_provider(&q->all, argv[0], false);
		if (q->provider)
			return;
	}
	if (!argc)
		return;
	if (!client_resolve(&q->client, argv[argc - 1]))
		exit(ST_USAGE);
	q->has_client = true;
}

int cmd_route(int argc, char **argv)
{
	static const struct option options[] = {
		{ "all", no_argument, NULL, 'a' },
		{ "probe", no_argument, NULL, 'p' },
		{ "json", no_argument, NULL, 'j' },
		OPTION_HELP, {}
	};
	struct json_object *object = NULL, *list = NULL;
	struct question q = {};
	bool yes = false, first = true;
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (option) {
		case 'a':
			q.show_all = true;
			break;
		case 'p':
			q.probe = true;
			break;
		case 'j':
			q.json = true;
			break;
		case 'h':
			print_usage("route");
			return ST_OK;
		default:
			return ST_USAGE;
		}
	}
	parse_arguments(&q, argc - optind, argv + optind);
	if (q.probe && (!q.has_client || !strchr(q.client.name, '/')))
		usage_error("route", "--probe requires the path of a file or a block device as CLIENT");
	if (!q.all.nr && !q.json) {
		no_providers();
		return ST_NO;
	}
	if (q.json) {
		object = json_answer("route");
		list = json_put_list(object, "routes");
	}
	for (unsigned int i = 0; i < q.all.nr; i++) {
		if (q.provider && q.provider != &q.all.p[i])
			continue;
		if (!first && !q.json)
			putchar('\n');
		first = false;
		yes |= ask(&q, &q.all.p[i], list);
	}
	if (q.json)
		json_print(object, false);
	return yes ? ST_OK : ST_NO;
}
