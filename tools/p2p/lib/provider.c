// SPDX-License-Identifier: GPL-2.0
/* Providers of peer-to-peer memory, and their files in sysfs. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "provider.h"
#include "sysfs.h"
#include "util.h"

#define NR_BARS 6

/* Return: false if the provider has gone. */
bool provider_counters(const char *bdf, struct counters *dma)
{
	return read_number(&dma->bus, PCI_DEVICES "/%s/p2pmem/dma_bus_bytes", bdf) &&
	       read_number(&dma->host_bridge, PCI_DEVICES "/%s/p2pmem/dma_host_bridge_bytes",
			   bdf) &&
	       read_number(&dma->refused, PCI_DEVICES "/%s/p2pmem/dma_refused", bdf);
}

/* p2pmem-bar claims the BAR by its name; only root sees addresses there. */
static int bar_in_iomem(const char *bdf)
{
	char line[256], name[64];
	struct pci_bar bar;
	int found = -1;
	unsigned long long start, end;
	FILE *iomem = fopen("/proc/iomem", "r");

	while (iomem && fgets(line, sizeof(line), iomem)) {
		if (sscanf(line, " %llx-%llx : %63s", &start, &end, name) != 3 || !end ||
		    strcmp(name, "p2pmem-bar"))
			continue;
		for (int i = 0; i < NR_BARS; i++)
			if (pci_bar(bdf, i, &bar) && bar.start == start)
				found = i;
	}
	if (iomem)
		fclose(iomem);
	return found;
}

/* The BAR of an NVMe CMB: BIR, the lowest bits of CMBLOC. */
static int bar_of_cmb(const char *bdf)
{
	struct names nvme = list_dir(PCI_DEVICES "/%s/nvme", bdf);
	unsigned int cmbloc, bar = -1;
	char *text = NULL, *at;

	if (nvme.nr)
		text = read_text(PCI_DEVICES "/%s/nvme/%s/cmb", bdf, nvme.name[0]);
	at = text ? strstr(text, "cmbloc") : NULL;
	if (at && sscanf(at, "cmbloc%*[ :]%x", &cmbloc) == 1 && strstr(text, "cmbsz"))
		bar = cmbloc & 7;
	free(text);
	free_names(&nvme);
	return bar;
}

static int bar_by_size(const struct provider *p)
{
	struct pci_bar bar;
	int found = -1;

	for (int i = 0; i < NR_BARS; i++) {
		if (!pci_bar(p->bdf, i, &bar) || !bar.memory || bar.size < p->size)
			continue;
		if (found >= 0)
			return -1;
		found = i;
	}
	return found;
}

/* Finds the BAR by the physical address of some of the provider's memory. */
void provider_set_bar(struct provider *p, uint64_t phys)
{
	struct pci_bar bar;

	for (int i = 0; i < NR_BARS; i++)
		if (pci_bar(p->bdf, i, &bar) && phys >= bar.start && phys - bar.start < bar.size)
			p->bar = i;
}

static void load_file(struct provider *p)
{
	struct stat st;
	char *path = xasprintf(PCI_DEVICES "/%s/p2pmem/allocate", p->bdf);

	p->pageless = stat(path, &st) != 0;
	if (p->pageless) {
		free(path);
		path = xasprintf(PCI_DEVICES "/%s/p2pmem/range", p->bdf);
		if (stat(path, &st))
			memset(&st, 0, sizeof(st));
	}
	p->mode = st.st_mode & 07777;
	p->uid = st.st_uid;
	p->gid = st.st_gid;
	p->usable = !access(path, R_OK | W_OK);
	free(path);
}

static bool provider_load(struct provider *p, const char *bdf)
{
	char *limit;

	if (!pci_address(bdf, p->bdf) || !read_number(&p->size, PCI_DEVICES "/%s/p2pmem/size", bdf))
		return false;

	/* A kernel driver may offer memory that userspace can't allocate. */
	if (!exists(PCI_DEVICES "/%s/p2pmem/allocate", bdf) &&
	    !exists(PCI_DEVICES "/%s/p2pmem/range", bdf) &&
	    !exists(PCI_DEVICES "/%s/p2pmem/routes", bdf))
		return false;

	load_file(p);
	if (!read_number(&p->available, PCI_DEVICES "/%s/p2pmem/available", bdf))
		p->available = 0;
	limit = read_text(PCI_DEVICES "/%s/p2pmem/user_limit", bdf);
	if (!limit || !parse_size(limit, &p->user_limit))
		p->user_limit = NO_LIMIT;
	free(limit);
	provider_counters(bdf, &p->dma);
	pci_driver(bdf, p->driver);
	pci_people_name(bdf, p->people_name);
	p->bar = bar_in_iomem(bdf);
	if (p->bar < 0)
		p->bar = bar_of_cmb(bdf);
	if (p->bar < 0)
		p->bar = bar_by_size(p);
	return true;
}

/* All providers of the machine, in the order of their addresses. */
struct providers providers_load(void)
{
	struct names devices = list_dir(PCI_DEVICES);
	struct providers all = {};

	for (unsigned int i = 0; i < devices.nr; i++) {
		struct provider p = {};

		if (!provider_load(&p, devices.name[i]))
			continue;
		GROW(all.p, all.nr);
		all.p[all.nr++] = p;
	}
	free_names(&devices);
	return all;
}

/* Who has how much of the memory: root may know. */
struct payers provider_payers(const struct provider *p)
{
	char *text = read_text(PCI_DEVICES "/%s/p2pmem/users", p->bdf), *at = text;
	struct payers payers = { .known = text };
	unsigned long long bytes;
	unsigned int uid;
	int len;

	while (at && sscanf(at, "%u %llu %n", &uid, &bytes, &len) == 2) {
		GROW(payers.p, payers.nr);
		payers.p[payers.nr++] = (struct payer){ .uid = uid, .bytes = bytes };
		at += len;
	}
	free(text);
	return payers;
}

struct provider *provider_find(struct providers *all, const char *bdf)
{
	for (unsigned int i = 0; i < all->nr; i++)
		if (!strcmp(all->p[i].bdf, bdf))
			return &all->p[i];
	return NULL;
}

/**
 * provider_map() - allocate peer-to-peer memory and map it
 * @p: the provider
 * @size: how much, in bytes
 *
 * Return: the mapping, or NULL with errno set.
 */
void *provider_map(const struct provider *p, size_t size)
{
	char *path = xasprintf(PCI_DEVICES "/%s/p2pmem/allocate", p->bdf);
	int fd = open(path, O_RDWR | O_CLOEXEC);
	void *at = MAP_FAILED;
	int err;

	free(path);
	if (fd < 0)
		return NULL;
	at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	err = errno;
	close(fd);
	errno = err;
	return at == MAP_FAILED ? NULL : at;
}

/**
 * provider_largest_piece() - how much can be allocated in one piece?
 * @p: the provider
 *
 * The kernel does not report this, so try allocations. Each takes the memory
 * away from others for some microseconds, and does not touch it.
 *
 * Return: the size in bytes, a multiple of a page; 0 if nothing can be allocated.
 */
uint64_t provider_largest_piece(const struct provider *p)
{
	uint64_t page = sysconf(_SC_PAGESIZE), good = 0, bad = p->available / page + 1;

	while (bad - good > 1) {
		uint64_t pages = good + (bad - good) / 2;
		void *at;

		/* Most of the time all that is free is in one piece. */
		if (!good && bad == p->available / page + 1)
			pages = bad - 1;
		at = provider_map(p, pages * page);
		if (at) {
			munmap(at, pages * page);
			good = pages;
		} else {
			bad = pages;
		}
	}
	return good * page;
}

/* Prints an error with the remedies. */
void no_providers(void)
{
	error("no device offers peer-to-peer memory");
	if (!exists("/sys/module/pci_p2pdma") && !exists("/sys/bus/pci/drivers/p2pmem-bar") &&
	    !exists("/sys/module/p2pmem_bar"))
		hint("p2pctl check shows whether this kernel has CONFIG_PCI_P2PMEM");
	hint("p2pctl bind DEVICE offers the BAR of a device; NVMe drives with a controller memory buffer need no setup");
}
