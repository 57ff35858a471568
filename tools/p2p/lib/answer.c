// SPDX-License-Identifier: GPL-2.0
/* Can this client use the memory of that provider? */
#include <stdlib.h>
#include <string.h>

#include "answer.h"

/* Adds a sentence, once: two legs may have the same problem. */
static void add_sentence(struct text *to, const char *sentence)
{
	if (!sentence || !*sentence || (to->s && strstr(to->s, sentence)))
		return;
	text_add(to, "%s%s", to->len ? ". " : "", sentence);
}

static void add_causes(struct answer *answer, const struct layer *layer, const struct route *route)
{
	for (unsigned int i = 0; i < route->nr_causes; i++) {
		struct text why = {}, remedy = {};

		cause_explain(&route->causes[i], route->way, &why, &remedy);
		if (why.len && route->way == WAY_NONE) {
			struct text named = {};

			text_add(&named, "%s: %s", layer->bdf, why.s);
			add_sentence(&answer->why, named.s);
			free(named.s);
		} else {
			add_sentence(&answer->why, why.s);
		}
		add_sentence(&answer->remedy, remedy.s);
		free(why.s);
		free(remedy.s);
	}
}

static void add_leg(struct answer *answer, const struct layer *layer, const struct routes *routes)
{
	const struct route *route = route_find(routes, layer->bdf);

	if (!route) {
		struct text why = {};

		text_add(&why, "%s: the kernel lists no route for this device; bridges do no DMA of their own",
			 layer->bdf);
		add_sentence(&answer->why, why.s);
		free(why.s);
		answer->way = WAY_NONE;
		return;
	}
	if (route->way < answer->way)
		answer->way = route->way;
	if (route->links > answer->links)
		answer->links = route->links;
	add_causes(answer, layer, route);
}

/**
 * answer_find() - can a client use the memory of a provider?
 * @answer: where to store the answer
 * @client: the client; all devices below it have to reach the memory
 * @routes: routes to the provider
 */
void answer_find(struct answer *answer, const struct client *client, const struct routes *routes)
{
	bool any = false;

	*answer = (struct answer){ .way = WAY_BUS };
	text_add(&answer->why, "%s", "");
	text_add(&answer->remedy, "%s", "");
	for (unsigned int i = 0; i < client->nr; i++) {
		const struct layer *layer = &client->layers[i];

		if (layer->obstacle) {
			struct text why = {};

			text_add(&why, "%s: %s", layer->what, layer->obstacle);
			add_sentence(&answer->why, why.s);
			add_sentence(&answer->remedy, layer->remedy);
			free(why.s);
		}
		if (layer->bdf[0]) {
			any = true;
			add_leg(answer, layer, routes);
		}
	}
	if (!any)
		answer->way = WAY_NONE;
	answer->yes = answer->way != WAY_NONE && !client_has_obstacle(client);
}

void answer_free(struct answer *answer)
{
	free(answer->why.s);
	free(answer->remedy.s);
	*answer = (struct answer){};
}
