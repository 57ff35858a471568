/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Providers of peer-to-peer memory, and their files in sysfs.
 */
#ifndef P2P_PROVIDER_H
#define P2P_PROVIDER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "pciname.h"

#define NO_LIMIT UINT64_MAX

struct counters {
	uint64_t bus, host_bridge, refused;
};

struct provider {
	char bdf[BDF_LEN];
	char driver[64];
	char people_name[64];		/* nvme1, or "" */
	uint64_t size, available;
	uint64_t user_limit;		/* or NO_LIMIT */
	struct counters dma;
	bool pageless;			/* p2pmem/range instead of p2pmem/allocate */
	int bar;			/* -1: not known */
	mode_t mode;			/* of the file that is mapped */
	uid_t uid;
	gid_t gid;
	bool usable;			/* the caller may map it */
};

/* A user to whom memory is charged. */
struct payer {
	uid_t uid;
	uint64_t bytes;
};

struct payers {
	struct payer *p;
	unsigned int nr;
	bool known;			/* else the caller may not know */
};

struct providers {
	struct provider *p;
	unsigned int nr;
};

struct providers providers_load(void);
struct provider *provider_find(struct providers *all, const char *bdf);
bool provider_counters(const char *bdf, struct counters *dma);
struct payers provider_payers(const struct provider *p);
void provider_set_bar(struct provider *p, uint64_t phys);
uint64_t provider_largest_piece(const struct provider *p);
void *provider_map(const struct provider *p, size_t size);
void no_providers(void);

#endif
