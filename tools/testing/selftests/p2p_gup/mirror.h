/* SPDX-License-Identifier: GPL-2.0 */
/* Mirrors of page tables for a device of the test's choice, through lib/test_p2p_hmm.c. */
#ifndef MIRROR_H
#define MIRROR_H

#include <stdbool.h>

#include "gup_call.h"
#include "p2pmem.h"

#define HMM_FILE	"/sys/kernel/debug/p2p_test_hmm"

#define VALID		P2P_TEST_HMM_VALID
#define WRITE		P2P_TEST_HMM_WRITE
#define ERROR		P2P_TEST_HMM_ERROR
#define P2P		P2P_TEST_HMM_P2P
#define BUS		P2P_TEST_HMM_BUS
#define MAPPED		P2P_TEST_HMM_MAPPED
#define IS_BUS		P2P_TEST_HMM_IS_BUS

#define MAX_CLIENTS	64

/* Which pages to fault in: none, or all for reading or writing. */
enum { LOOK, FAULT, FAULT_WRITE };

struct client {
	char name[P2P_ADDR_LEN];
	struct p2p_test_function function;
	unsigned int flags;	/* expected of entries; 0: no route */
};

struct mirror {
	int fd;
	struct client clients[MAX_CLIENTS];
	int nr_clients;
	struct client *client;	/* the one with the best route */
	struct p2p_test_entry entries[4096];
};

/* For use in a fixture, like P2P_FIXTURE. */
#define MIRROR_FIXTURE				\
	union {					\
		struct mirror;			\
		struct mirror mirror;		\
	}

bool find_clients(struct mirror *self, const char *provider);
int call_hmm(struct mirror *self, struct p2p_test_hmm *arg, const void *addr,
	     int nr_pages, int fault);
int mirror_for(struct mirror *self, const struct client *client,
	       const void *addr, int nr_pages, int fault);
int wrong(struct mirror *self, int first, int nr, unsigned int flags,
	  unsigned int order);

static inline int mirror(struct mirror *self, const void *addr, int nr_pages,
			 int fault)
{
	return mirror_for(self, self->client, addr, nr_pages, fault);
}

/* How often the mirror was invalidated since. */
static inline int changes(struct mirror *self)
{
	return ioctl(self->fd, P2P_TEST_HMM_CHANGED);
}

#endif
