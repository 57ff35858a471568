// SPDX-License-Identifier: GPL-2.0
/* Mirrors of page tables for a device of the test's choice, through lib/test_p2p_hmm.c. */
#define _GNU_SOURCE
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "../gup_call.h"
#include "../mirror.h"
#include "../p2pmem.h"

/* Reads the clients and their routes from p2pmem/routes. */
bool find_clients(struct mirror *self, const char *provider)
{
	char path[P2P_PATH_LEN], line[512], way[16];
	struct client *client;
	FILE *file;

	p2p_path(path, provider, "p2pmem/routes");
	file = fopen(path, "r");
	if (!file)
		return false;
	while (self->nr_clients < MAX_CLIENTS && fgets(line, sizeof(line), file)) {
		client = self->clients + self->nr_clients;
		if (sscanf(line, "%23s %15s", client->name, way) != 2 ||
		    !p2p_function_of(client->name, &client->function))
			continue;
		if (!strcmp(way, "bus"))
			client->flags = VALID | P2P | BUS | MAPPED | IS_BUS;
		else if (!strcmp(way, "host-bridge"))
			client->flags = VALID | P2P | MAPPED;
		if (!self->client || client->flags > self->client->flags)
			self->client = client;
		self->nr_clients++;
	}
	fclose(file);
	return self->client;
}

int call_hmm(struct mirror *self, struct p2p_test_hmm *arg, const void *addr,
	     int nr_pages, int fault)
{
	arg->addr = (uintptr_t)addr;
	arg->entries = (uintptr_t)self->entries;
	arg->nr_pages = nr_pages;
	arg->fault = fault;
	memset(self->entries, 0xff, sizeof(self->entries));
	if (ioctl(self->fd, P2P_TEST_HMM, arg)) {
		perror("P2P_TEST_HMM");
		return -1000;
	}
	return arg->result;
}

/* Mirrors pages for a client: 0, or the error of hmm_range_fault(). */
int mirror_for(struct mirror *self, const struct client *client,
	       const void *addr, int nr_pages, int fault)
{
	struct p2p_test_hmm arg = {
		.client = client->function,
		.has_client = 1,
	};

	return call_hmm(self, &arg, addr, nr_pages, fault);
}

/* Counts entries that are not as expected. */
int wrong(struct mirror *self, int first, int nr, unsigned int flags,
	  unsigned int order)
{
	struct p2p_test_entry *entry = self->entries + first;
	int i, bad = 0;

	for (i = 0; i < nr; i++)
		bad += entry[i].flags != flags || entry[i].order != order ||
		       (flags & VALID ? entry[i].pfn != entry->pfn + i :
					entry[i].pfn);
	if (bad)
		printf("# %d entries, the first has flags %x, order %u, not %x, %u\n",
		       bad, entry->flags, entry->order, flags, order);
	return bad;
}
