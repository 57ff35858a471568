// SPDX-License-Identifier: GPL-2.0
/*
 * How clients reach a provider: p2pmem/routes, and remedies.
 *
 * The words are those of Documentation/admin-guide/p2pmem.rst. Later kernels
 * may have more: unknown words are passed on unchanged.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "route.h"
#include "sysfs.h"

const char *way_name(enum way way)
{
	static const char * const names[] = { "none", "host-bridge", "bus" };

	return names[way];
}

static void parse_causes(struct route *route, char *text)
{
	char *word, *value;

	while ((word = strsep(&text, " "))) {
		struct cause *cause;

		if (!*word)
			continue;
		value = strchr(word, '=');
		if (value)
			*value++ = '\0';
		GROW(route->causes, route->nr_causes);
		cause = &route->causes[route->nr_causes++];
		snprintf(cause->word, sizeof(cause->word), "%s", word);
		cause->value = value ? xstrdup(value) : NULL;
	}
}

static bool parse_line(struct route *route, char *line)
{
	char way[16];
	int len;

	if (sscanf(line, "%12s %15s %d%n", route->client, way, &route->links, &len) != 3)
		return false;
	route->way = !strcmp(way, "bus") ? WAY_BUS :
		     !strcmp(way, "host-bridge") ? WAY_HOST_BRIDGE : WAY_NONE;
	parse_causes(route, line + len);
	return true;
}

/* Return: false if the provider is gone, or the kernel reports no routes. */
bool routes_load(struct routes *routes, const char *provider)
{
	char *text = read_text(PCI_DEVICES "/%s/p2pmem/routes", provider);
	char *rest = text, *line;

	*routes = (struct routes){};
	if (!text)
		return false;
	while ((line = strsep(&rest, "\n"))) {
		struct route route = {};

		if (!parse_line(&route, line))
			continue;
		GROW(routes->r, routes->nr);
		routes->r[routes->nr++] = route;
	}
	free(text);
	return true;
}

void routes_free(struct routes *routes)
{
	for (unsigned int i = 0; i < routes->nr; i++) {
		for (unsigned int n = 0; n < routes->r[i].nr_causes; n++)
			free(routes->r[i].causes[n].value);
		free(routes->r[i].causes);
	}
	free(routes->r);
	*routes = (struct routes){};
}

const struct route *route_find(const struct routes *routes, const char *client)
{
	for (unsigned int i = 0; i < routes->nr; i++)
		if (!strcmp(routes->r[i].client, client))
			return &routes->r[i];
	return NULL;
}

/* The causes as the kernel writes them. */
void route_reasons(const struct route *route, struct text *text)
{
	text_add(text, "%s", "");
	for (unsigned int i = 0; i < route->nr_causes; i++) {
		const struct cause *c = &route->causes[i];

		text_add(text, "%s%s%s%s", i ? " " : "", c->word, c->value ? "=" : "",
			 c->value ?: "");
	}
}

/* "0000:00:00.0,8086:29c0": what comes after the comma. */
static const char *id_of(const char *value)
{
	const char *comma = value ? strchr(value, ',') : NULL;

	return comma ? comma + 1 : NULL;
}

static void explain_host_bridge(const struct cause *cause, struct text *why, struct text *remedy)
{
	const char *id = id_of(cause->value);

	text_add(why, "the route leads through the host bridge%s%s, and the kernel does not know whether it forwards such transfers",
		 id ? " " : "", id ?: "");
	text_add(remedy, "put both devices below one PCIe switch");
	if (id)
		text_add(remedy, "; or, if you know that this host bridge forwards between its ports, boot with pci_p2pdma.host_bridges=%s (if it does not, data is silently lost)",
			 id);
}

static void explain_dma_mask(const struct cause *cause, struct text *why, struct text *remedy)
{
	text_add(why, "the memory is above %s, the highest address that the device can use",
		 cause->value ?: "");
	text_add(remedy, "load the driver of the device, without which the DMA mask has 32 bits; or let the firmware place the BAR lower, if it fits there (turn off Above 4G Decoding)");
}

static void explain_acs(const struct cause *cause, enum way way, struct text *why,
			struct text *remedy)
{
	text_add(why, "ACS redirection at %s sends requests up to the root instead of across the switch",
		 cause->value ?: "a bridge");
	/* A shorter route is only an improvement, not a fix. */
	text_add(remedy, "boot with 'pci=disable_acs_redir=%s'%s; this ends the isolation of these devices from each other, so don't do it if they belong to different virtual machines",
		 cause->value ?: "BRIDGES",
		 way == WAY_NONE ? "" : " for a route across the switch");
}

/**
 * cause_explain() - explain a cause and its remedy
 * @cause: a cause of a route
 * @way: the kind of that route
 * @why: where to add the explanation
 * @remedy: where to add the remedy; unchanged if there is none
 */
void cause_explain(const struct cause *cause, enum way way, struct text *why,
		   struct text *remedy)
{
	if (!strcmp(cause->word, "acs-redirect")) {
		explain_acs(cause, way, why, remedy);
	} else if (!strcmp(cause->word, "acs-unknown")) {
		text_add(why, "the ACS settings of %s can't be read at the moment: it is being reset, or has no power",
			 cause->value ?: "a bridge");
		text_add(remedy, "try again in a moment; 'echo on > power/control' in the bridge's sysfs directory keeps it awake");
	} else if (!strcmp(cause->word, "host-bridge")) {
		explain_host_bridge(cause, why, remedy);
	} else if (!strcmp(cause->word, "dma-mask")) {
		explain_dma_mask(cause, why, remedy);
	} else if (!strcmp(cause->word, "bounce-buffer")) {
		text_add(why, "the kernel copies all DMA of the device through a bounce buffer in RAM");
		text_add(remedy, "boot without swiotlb=force");
	} else if (!strcmp(cause->word, "dma-ops")) {
		text_add(why, "the code that translates the device's DMA does not support peer-to-peer memory");
		text_add(remedy, "use the IOMMU driver of the platform instead; iommu=pt may help as well");
	} else if (!strcmp(cause->word, "untrusted")) {
		text_add(why, "the device is plugged into an external port, so all its DMA has to pass the IOMMU");
		text_add(remedy, "plug it into a slot inside the machine");
	} else if (!strcmp(cause->word, "iommu")) {
		text_add(why, "the IOMMU translates the transfer, which is no obstacle");
	} else {
		text_add(why, "%s%s%s", cause->word, cause->value ? "=" : "", cause->value ?: "");
	}
}
