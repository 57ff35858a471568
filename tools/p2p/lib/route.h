/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How clients reach a provider: p2pmem/routes, and remedies.
 */
#ifndef P2P_ROUTE_H
#define P2P_ROUTE_H

#include <stdbool.h>

#include "pciname.h"
#include "util.h"

enum way { WAY_NONE, WAY_HOST_BRIDGE, WAY_BUS };

struct cause {
	char word[32];			/* "acs-redirect" */
	char *value;			/* the devices or the address, or NULL */
};

struct route {
	char client[BDF_LEN];
	enum way way;
	int links;
	struct cause *causes;
	unsigned int nr_causes;
};

struct routes {
	struct route *r;
	unsigned int nr;
};

const char *way_name(enum way way);
bool routes_load(struct routes *routes, const char *provider);
void routes_free(struct routes *routes);
const struct route *route_find(const struct routes *routes, const char *client);
void route_reasons(const struct route *route, struct text *text);
void cause_explain(const struct cause *cause, enum way way, struct text *why,
		   struct text *remedy);

#endif
