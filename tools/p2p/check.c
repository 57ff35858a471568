// SPDX-License-Identifier: GPL-2.0
/*
 * p2pctl check: shows on one page whether this machine can do peer-to-peer DMA,
 * the obstacles, and their remedies.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "lib/json.h"
#include "lib/kmsg.h"
#include "lib/provider.h"
#include "lib/route.h"
#include "lib/sysfs.h"
#include "lib/table.h"
#include "lib/util.h"
#include "p2pctl.h"

#define LEAST (2UL << 20)		/* the least memory with struct pages */

void find(struct findings *all, enum finding_state state, const char *topic, char *text,
	  char *remedy)
{
	GROW(all->f, all->nr);
	all->f[all->nr++] = (struct finding){ state, topic, text, remedy };
}

/* NVMe controllers with memory that is not offered. */
static unsigned int check_nvme_memory(struct findings *all, struct providers *providers)
{
	struct names ctrls = list_dir("/sys/class/nvme");
	unsigned int found = 0;

	for (unsigned int i = 0; i < ctrls.nr; i++) {
		char *path = real_path("/sys/class/nvme/%s", ctrls.name[i]), *said;
		char bdf[BDF_LEN];

		if (!path || !pci_of_path(path, bdf) || provider_find(providers, bdf)) {
			free(path);
			continue;
		}
		free(path);
		said = kmsg_find(bdf, "is not used");
		if (!said)
			said = kmsg_find(ctrls.name[i], "is not used");
		if (!said)
			continue;
		found++;
		find(all, FOUND_NOTE, xstrdup(ctrls.name[i]), said,
		     strstr(said, "use_pmr") ?
		     xasprintf("echo 1 > /sys/module/nvme/parameters/use_pmr, then unbind %s and bind it again; the contents of its PMR will be overwritten",
			       bdf) : NULL);
	}
	free_names(&ctrls);
	return found;
}

/* Devices without a driver whose BAR looks like memory. */
static unsigned int check_candidates(struct findings *all)
{
	struct names devices = list_dir(PCI_DEVICES);
	char driver[64], name[128], size[SIZE_TEXT];
	unsigned int found = 0;
	struct pci_bar bar;

	for (unsigned int i = 0; i < devices.nr; i++) {
		const char *bdf = devices.name[i];
		uint64_t class = 0;

		read_number(&class, PCI_DEVICES "/%s/class", bdf);
		if (pci_driver(bdf, driver)[0] || class >> 16 == 6)
			continue;
		for (int nr = 0; nr < 6; nr++) {
			if (!pci_bar(bdf, nr, &bar) || !bar.memory || !bar.prefetchable ||
			    bar.size < LEAST)
				continue;
			find(all, FOUND_NOTE, "BAR",
			     xasprintf("%s, %s, has %s of memory in BAR %d, and no driver", bdf,
				       pci_name_of(bdf, name), size_text(bar.size, size), nr),
			     xasprintf("p2pctl bind %s offers it, if it is plain memory", bdf));
			found++;
			break;
		}
	}
	free_names(&devices);
	return found;
}

static void check_providers(struct findings *all, struct providers *providers)
{
	unsigned int possible, usable = 0, with_pages = 0;
	char size[SIZE_TEXT], nr[SIZE_TEXT * 2];
	uint64_t sum = 0;

	for (unsigned int i = 0; i < providers->nr; i++) {
		usable += providers->p[i].usable;
		with_pages += !providers->p[i].pageless;
		sum += providers->p[i].size;
	}
	possible = check_nvme_memory(all, providers) + check_candidates(all);
	if (!providers->nr)
		find(all, FOUND_BAD, "providers",
		     xstrdup("no device offers peer-to-peer memory"),
		     xstrdup(possible ? "see the devices above" :
			     "add a device with memory behind a BAR: an NVMe drive with a controller memory buffer, an accelerator or an FPGA; the firmware settings 'Above 4G Decoding' and 'Resizable BAR' make large BARs possible"));
	else
		find(all, FOUND_GOOD, "providers",
		     xasprintf("%s of memory, offered by %s", size_text(sum, size),
			       count_text(providers->nr, "device", "devices", nr)), NULL);
	if (providers->nr && !with_pages)
		find(all, FOUND_BAD, "providers",
		     xstrdup("none of it has struct pages: it can't be used for system calls with O_DIRECT, only by drivers that support such memory"),
		     xstrdup("offer at least 2 MiB of a BAR, see p2pctl bind --size"));
	if (providers->nr && !usable)
		find(all, FOUND_NOTE, "rights", xstrdup("you may not allocate from any provider"),
		     xstrdup("root may; chgrp and chmod of p2pmem/allocate let others do so"));
}

/* Counts the pairs by route, and keeps each cause of a missing one once. */
struct pairs {
	unsigned int bus, host_bridge, none;
	struct findings causes;
};

static void keep_cause(struct pairs *pairs, const struct cause *cause)
{
	struct text why = {}, remedy = {};

	cause_explain(cause, WAY_NONE, &why, &remedy);
	for (unsigned int i = 0; i < pairs->causes.nr; i++) {
		if (!strcmp(pairs->causes.f[i].text, why.s)) {
			free(why.s);
			free(remedy.s);
			return;
		}
	}
	find(&pairs->causes, FOUND_BAD, xstrdup(cause->word), why.s, remedy.s);
}

static void count_pair(struct pairs *pairs, const struct route *r)
{
	if (r->way == WAY_BUS)
		pairs->bus++;
	else if (r->way == WAY_HOST_BRIDGE)
		pairs->host_bridge++;
	else
		pairs->none++;
	for (unsigned int i = 0; r->way == WAY_NONE && i < r->nr_causes; i++)
		if (strcmp(r->causes[i].word, "iommu"))
			keep_cause(pairs, &r->causes[i]);
}

/* Only devices with a driver: others do no DMA. */
static void count_pairs(struct pairs *pairs, const struct provider *p)
{
	struct routes routes;
	char driver[64];

	if (!routes_load(&routes, p->bdf))
		return;
	for (unsigned int i = 0; i < routes.nr; i++) {
		const struct route *r = &routes.r[i];

		if (!strcmp(r->client, p->bdf) || !pci_driver(r->client, driver)[0] ||
		    !strcmp(driver, "p2pmem-bar"))
			continue;
		count_pair(pairs, r);
	}
	routes_free(&routes);
}

/* Drives are the clients that programs use by system calls. */
static unsigned int check_drives(struct findings *all, struct providers *providers,
				 struct pairs *pairs)
{
	struct names ctrls = list_dir("/sys/class/nvme");
	unsigned int reaching = 0, nr = 0;

	for (unsigned int i = 0; i < ctrls.nr; i++) {
		char *path = real_path("/sys/class/nvme/%s", ctrls.name[i]);
		char bdf[BDF_LEN];
		bool reaches = false;

		if (path && pci_of_path(path, bdf)) {
			nr++;
			for (unsigned int n = 0; n < providers->nr; n++) {
				const struct route *r;
				struct routes routes;

				if (providers->p[n].pageless ||
				    !routes_load(&routes, providers->p[n].bdf))
					continue;
				r = route_find(&routes, bdf);
				reaches |= r && r->way != WAY_NONE;
				routes_free(&routes);
			}
			reaching += reaches;
		}
		free(path);
	}
	free_names(&ctrls);
	if (!providers->nr)
		return 0;
	if (!nr)
		find(all, FOUND_NOTE, "drives", xstrdup("there is no NVMe drive to use the memory with files and O_DIRECT; drivers of other devices may use it"), NULL);
	else
		find(all, reaching ? FOUND_GOOD : FOUND_BAD, "drives",
		     xasprintf("%u of %u NVMe drives reach a provider", reaching, nr),
		     reaching == nr ? NULL : xstrdup("p2pctl route shows which don't, and why"));
	return nr ? reaching : pairs->bus + pairs->host_bridge;
}

static void check_routes(struct findings *all, struct providers *providers, struct pairs *pairs)
{
	bool works;

	for (unsigned int i = 0; i < providers->nr; i++)
		count_pairs(pairs, &providers->p[i]);
	if (!providers->nr)
		return;
	works = pairs->bus + pairs->host_bridge;
	if (pairs->bus || pairs->host_bridge || pairs->none)
		find(all, works ? FOUND_GOOD : FOUND_BAD, "routes",
		     xasprintf("of %u pairs (device with a driver, provider), %u have a route across a switch, %u have one through the host bridge, and %u have none",
			       pairs->bus + pairs->host_bridge + pairs->none, pairs->bus,
			       pairs->host_bridge, pairs->none), NULL);
	else
		find(all, FOUND_BAD, "routes", xstrdup("there is no device with a driver that could use the memory"), NULL);
	for (unsigned int i = 0; i < pairs->causes.nr; i++) {
		struct finding *f = &pairs->causes.f[i];

		/* Not an obstacle if other pairs work. */
		find(all, works ? FOUND_NOTE : FOUND_BAD, f->topic, f->text, f->remedy);
	}
}

static void print(const struct findings *all, unsigned int works, const char *verdict)
{
	static const char * const state[] = { "ok", "note", "NO" };
	char first[64];

	printf("%s\n\n", verdict);
	for (unsigned int i = 0; i < all->nr; i++) {
		const struct finding *f = &all->f[i];

		snprintf(first, sizeof(first), "%-5s %s", state[f->state], f->topic);
		paragraph(stdout, 22, first, f->text);
		if (f->remedy)
			paragraph(stdout, 22, "                   ->", f->remedy);
	}
	if (works)
		printf("\np2pctl list shows the memory, p2pctl route the devices that reach it.\n");
}

static void print_answer(const struct findings *all, bool works, const char *verdict)
{
	static const char * const state[] = { "good", "note", "bad" };
	struct json_object *answer = json_answer("check");
	struct json_object *list;

	json_put_bool(answer, "works", works);
	json_put_text(answer, "verdict", verdict);
	list = json_put_list(answer, "findings");
	for (unsigned int i = 0; i < all->nr; i++) {
		struct json_object *object = json_add_member(list);

		json_put_text(object, "state", state[all->f[i].state]);
		json_put_text(object, "topic", all->f[i].topic);
		json_put_text(object, "text", all->f[i].text);
		json_put_text(object, "remedy", all->f[i].remedy);
	}
	json_print(answer, false);
}

static bool is_in_the_way(const struct findings *all)
{
	for (unsigned int i = 0; i < all->nr; i++)
		if (all->f[i].state == FOUND_BAD)
			return true;
	return false;
}

int cmd_check(int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		OPTION_HELP, {}
	};
	struct findings all = {};
	struct pairs pairs = {};
	struct providers providers;
	const char *verdict;
	bool json = false, works;
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (option) {
		case 'j':
			json = true;
			break;
		case 'h':
			print_usage("check");
			return ST_OK;
		default:
			return ST_USAGE;
		}
	}
	if (optind < argc)
		usage_error("check", "%s: unexpected argument", argv[optind]);

	providers = providers_load();
	check_kernel(&all);
	check_lockdown(&all);
	check_iommu(&all);
	check_io_uring(&all);
	check_providers(&all, &providers);
	check_routes(&all, &providers, &pairs);
	works = check_drives(&all, &providers, &pairs) && !is_in_the_way(&all);
	verdict = works ? "Yes: this machine can do peer-to-peer DMA." :
		  "No: this machine can't do peer-to-peer DMA as it is.";
	if (json)
		print_answer(&all, works, verdict);
	else
		print(&all, works, verdict);
	return works ? ST_OK : ST_NO;
}
