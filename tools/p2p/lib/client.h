/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Clients, by any of their names, and the PCI functions behind them.
 */
#ifndef P2P_CLIENT_H
#define P2P_CLIENT_H

#include <stdbool.h>
#include <sys/types.h>

#include "pciname.h"

/*
 * The layers that data passes on its way to the devices, from the top down. A
 * layer that would touch the data is an obstacle with any provider.
 */
struct layer {
	unsigned int depth;
	char *what;			/* "raid1 array md0" */
	char *obstacle;			/* why it takes no peer-to-peer memory, or NULL */
	char *remedy;			/* or NULL */
	char bdf[BDF_LEN];		/* set only in the last layer */
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

/* Add the layers below. */
void client_add_block(struct client *client, unsigned int depth, dev_t dev);
void client_add_file(struct client *client, const char *path);
const char *dm_obstacle(const char *disk, char **remedy);

#endif
