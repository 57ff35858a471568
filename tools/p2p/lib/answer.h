/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Can this client use the memory of that provider?
 */
#ifndef P2P_ANSWER_H
#define P2P_ANSWER_H

#include "client.h"
#include "provider.h"
#include "route.h"

struct answer {
	bool yes;
	enum way way;			/* the worst of all legs */
	int links;			/* of the farthest leg */
	struct text why;		/* for people; may be "" */
	struct text remedy;
};

void answer_find(struct answer *answer, const struct client *client,
		 const struct routes *routes);
void answer_free(struct answer *answer);

/* The kernel's answer to a trial transfer, see probe.c. */
enum probe { PROBE_P2P, PROBE_REFUSED, PROBE_NOTHING, PROBE_IMPOSSIBLE };

enum probe probe_read(const struct provider *p, const char *path, char **why);

#endif
