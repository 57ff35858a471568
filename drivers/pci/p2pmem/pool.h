/* SPDX-License-Identifier: GPL-2.0 */
/* The free peer-to-peer memory of a provider. */
#ifndef _PCI_P2PMEM_POOL_H
#define _PCI_P2PMEM_POOL_H

#include <linux/types.h>

struct p2pmem_last_user;
struct p2pmem_pool;

struct p2pmem_pool *p2pmem_pool_create(int nid);
void p2pmem_pool_destroy(struct p2pmem_pool *pool);
int p2pmem_pool_set_order(struct p2pmem_pool *pool, unsigned int order);
unsigned long p2pmem_pool_pages(struct p2pmem_pool *pool, size_t size);
int p2pmem_pool_add(struct p2pmem_pool *pool, unsigned long pfn,
		    unsigned long nr_pages, void *owner);
void p2pmem_pool_close(struct p2pmem_pool *pool, unsigned long pfn);
unsigned long p2pmem_pool_busy(struct p2pmem_pool *pool, unsigned long pfn);
unsigned long p2pmem_pool_next_used(struct p2pmem_pool *pool, unsigned long pfn);
void p2pmem_pool_move(struct p2pmem_pool *from, struct p2pmem_pool *to,
		      unsigned long pfn);
void p2pmem_pool_open(struct p2pmem_pool *pool, unsigned long pfn);
void p2pmem_pool_remove(struct p2pmem_pool *pool, unsigned long pfn);
unsigned long p2pmem_pool_alloc(struct p2pmem_pool *pool,
				unsigned long nr_pages, void **owner);
bool p2pmem_pool_free(struct p2pmem_pool *pool, unsigned long pfn,
		      unsigned long nr_pages);
struct p2pmem_last_user *p2pmem_pool_last_user(struct p2pmem_pool *pool,
					       unsigned long pfn);
void p2pmem_pool_forget(struct p2pmem_pool *pool);
void p2pmem_pool_forget_memory(struct p2pmem_pool *pool, unsigned long pfn);
size_t p2pmem_pool_size(struct p2pmem_pool *pool);
size_t p2pmem_pool_avail(struct p2pmem_pool *pool);

/* For the KUnit test. */
void __p2pmem_pool_destroy(struct p2pmem_pool *pool);
bool __p2pmem_pool_free(struct p2pmem_pool *pool, unsigned long pfn,
			unsigned long nr_pages);
unsigned long p2pmem_pool_visits(struct p2pmem_pool *pool);

#endif /* _PCI_P2PMEM_POOL_H */
