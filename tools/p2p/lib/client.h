/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Clients, by any name that a person has for them, and the PCI functions behind these.
 */
#ifndef P2P_CLIENT_H
#define P2P_CLIENT_H

#include <stdbool.h>
#include <sys/types.h>

#include "pciname.h"

/*
 * What the data passes on its way to the devices, from the top down. One that would touch
 * it is an obstacle, whichever provider it is about.
 */
struct layer {
	unsigned int depth;
	char *what;			/* "raid1 array md0" */
	char *obstacle;			/* why it takes no peer-to-peer memory, or NULL */
	char *remedy;			/* or NULL */
	char bdf[BDF_LEN];		/* the PCI function, where the way ends; "" above */
};

struct client {
	char *name;			/* as it was given */
	struct layer *layers;
	unsigned int nr;
	bool is_pci;			/* given as a PCI function, or a driver's name for one */
};

bool client_resolve(struct client *client, const char *name);
bool client_new_file(struct client *client, const char *path);
void client_free(struct client *client);
bool client_has_obstacle(const struct client *client);

struct layer *client_add(struct client *client, unsigned int depth, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void layer_refuses(struct layer *layer, const char *obstacle, const char *remedy);

/* Add what is below. */
void client_add_block(struct client *client, unsigned int depth, dev_t dev);
void client_add_file(struct client *client, const char *path);
const char *dm_obstacle(const char *disk, char **remedy);

#endif
