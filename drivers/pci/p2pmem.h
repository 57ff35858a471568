/* SPDX-License-Identifier: GPL-2.0 */
/*
 * PCI peer-to-peer memory whose pages may be referenced by anybody: what
 * p2pdma.c, the owner of the pool, calls.
 */
#ifndef _PCI_P2PMEM_H
#define _PCI_P2PMEM_H

#include <linux/fs.h>
#include <linux/genalloc.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/types.h>
#include <linux/uidgid.h>

struct bin_attribute;
struct device;
struct device_attribute;
struct p2pmem_history;
struct p2pmem_limit;
struct p2pmem_payers;
struct p2pmem_provider;
struct p2pmem_stats;
struct pci_dev;
struct pci_p2pdma_pagemap;
struct wait_queue_head;

#ifdef CONFIG_PCI_P2PMEM
struct p2pmem_pool;

struct p2pmem_pool *p2pmem_pool_create(int nid);
void p2pmem_pool_destroy(struct p2pmem_pool *pool);
void __p2pmem_pool_destroy(struct p2pmem_pool *pool);
int p2pmem_pool_set_order(struct p2pmem_pool *pool, unsigned int order);
unsigned long p2pmem_pool_pages(struct p2pmem_pool *pool, size_t size);
int p2pmem_pool_add(struct p2pmem_pool *pool, unsigned long pfn,
		    unsigned long nr_pages, void *owner);
unsigned long p2pmem_pool_alloc(struct p2pmem_pool *pool,
				unsigned long nr_pages, void **owner);
bool p2pmem_pool_free(struct p2pmem_pool *pool, unsigned long pfn,
		      unsigned long nr_pages);
bool __p2pmem_pool_free(struct p2pmem_pool *pool, unsigned long pfn,
			unsigned long nr_pages);
struct p2pmem_history *p2pmem_pool_history(struct p2pmem_pool *pool,
					   unsigned long pfn);
void p2pmem_pool_forget(struct p2pmem_pool *pool);
struct p2pmem_limit *p2pmem_pool_limit(struct p2pmem_pool *pool);
struct list_head *p2pmem_pool_holders(struct p2pmem_pool *pool);
size_t p2pmem_pool_size(struct p2pmem_pool *pool);
size_t p2pmem_pool_avail(struct p2pmem_pool *pool);
unsigned long p2pmem_pool_visits(struct p2pmem_pool *pool);

/* The pool by kernel virtual address, as in-kernel users know the memory. */
static inline int p2pmem_pool_add_virt(struct p2pmem_pool *pool, void *addr,
				       phys_addr_t bus_addr, size_t size,
				       int nid, void *owner)
{
	return p2pmem_pool_add(pool, page_to_pfn(virt_to_page(addr)),
			       size >> PAGE_SHIFT, owner);
}

static inline void *p2pmem_pool_alloc_virt(struct p2pmem_pool *pool,
					   size_t size, void **owner)
{
	unsigned long nr_pages = p2pmem_pool_pages(pool, size);
	unsigned long pfn = p2pmem_pool_alloc(pool, nr_pages, owner);

	return pfn ? page_to_virt(pfn_to_page(pfn)) : NULL;
}

static inline void p2pmem_pool_free_virt(struct p2pmem_pool *pool, void *addr,
					 size_t size, void **owner)
{
	struct page *page = virt_to_page(addr);

	if (owner)
		*owner = &page_pgmap(page)->ref;
	p2pmem_pool_free(pool, page_to_pfn(page),
			 p2pmem_pool_pages(pool, size));
}

struct p2pmem_holder;

struct p2pmem_holder *p2pmem_holder_create(kuid_t uid);
const struct p2pmem_payers *
p2pmem_holder_payers(const struct p2pmem_holder *holder);
void p2pmem_holder_leave(struct p2pmem_holder *holder, struct page *page,
			 unsigned long nr_pages);
void p2pmem_holder_return(struct page *page, unsigned long nr_pages);
void p2pmem_holder_done(struct p2pmem_holder *holder);
bool p2pmem_has_holders(struct p2pmem_pool *pool);
void p2pmem_holders_report(struct pci_dev *pdev, struct p2pmem_pool *pool);

/* Was p2pmem_use() called for the folio that begins with this page of a buffer? */
static inline bool p2pmem_is_used(const struct page *page)
{
	/* Pairs with the release in page_ref_unfreeze(). */
	return atomic_read_acquire(&page->_refcount);
}

void p2pmem_init_pgmap(struct dev_pagemap *pgmap, struct p2pmem_pool *pool);
void p2pmem_get_pages(struct page *first, unsigned long nr_pages);
unsigned int p2pmem_order(unsigned long pfn, unsigned long first,
			  unsigned long nr_pages);
void p2pmem_use(struct page *page, unsigned long nr_pages, unsigned int order);
void p2pmem_put_pages(struct page *first, unsigned long nr_pages);
void p2pmem_put_buffer(unsigned long first, unsigned long nr_pages,
		       struct p2pmem_holder *holder);
bool p2pmem_is_held(unsigned long first, unsigned long nr_pages);

/**
 * struct p2pmem_user - for whom memory is cleared
 * @uid: the user whom the memory counts for
 * @owner: whose data is in it; no two have the same number, ever
 * @sees_all: who allocated it may see anybody's data
 */
struct p2pmem_user {
	kuid_t uid;
	u64 owner;
	bool sees_all;
};

void p2pmem_user_init(struct p2pmem_user *user, struct file *file);
int p2pmem_clear(struct p2pmem_history *history,
		 const struct p2pmem_user *user, unsigned long pfn,
		 unsigned long nr_pages);

int p2pmem_copy(const struct vm_area_struct *vma, unsigned long addr, void *buf,
		int len, bool write);
vm_fault_t p2pmem_wait_resumed(struct vm_fault *vmf,
			       struct wait_queue_head *resumed,
			       const bool *paused);

extern struct bin_attribute p2pmem_allocate_attr;
extern struct bin_attribute p2pmem_routes_attr;
extern struct device_attribute dev_attr_user_limit;
int p2pmem_setup(struct pci_dev *pdev, struct p2pmem_pool *pool,
		 struct p2pmem_provider **provider_p);
struct p2pmem_provider *p2pmem_provider(struct pci_dev *pdev);
int p2pmem_add_region(struct pci_dev *pdev);
bool p2pmem_has_region(struct pci_dev *pdev);
void p2pmem_announce(struct pci_dev *pdev, bool there);
bool p2pmem_is_system_down(void);
struct file *p2pmem_pseudo_file(struct pci_dev *pdev,
				const struct file_operations *fops, void *priv);

extern struct device_attribute dev_attr_dma_bus_bytes;
extern struct device_attribute dev_attr_dma_host_bridge_bytes;
extern struct device_attribute dev_attr_dma_refused;
int p2pmem_stats_setup(struct pci_dev *pdev,
		       struct p2pmem_stats __percpu **stats);
struct p2pmem_stats __percpu *p2pmem_stats(struct pci_dev *pdev);
void p2pmem_stats_refuse(struct pci_p2pdma_pagemap *p2p,
			 const struct device *client, phys_addr_t phys,
			 size_t size);
#else
#define p2pmem_pool gen_pool

static inline struct p2pmem_pool *p2pmem_pool_create(int nid)
{
	return gen_pool_create(PAGE_SHIFT, nid);
}

static inline int p2pmem_pool_set_order(struct p2pmem_pool *pool,
					unsigned int order)
{
	return order ? -EOPNOTSUPP : 0;
}

static inline unsigned long p2pmem_pool_pages(struct p2pmem_pool *pool,
					      size_t size)
{
	return PFN_UP(size);
}

static inline void p2pmem_pool_destroy(struct p2pmem_pool *pool)
{
	gen_pool_destroy(pool);
}

static inline int p2pmem_pool_add_virt(struct p2pmem_pool *pool, void *addr,
				       phys_addr_t bus_addr, size_t size,
				       int nid, void *owner)
{
	return gen_pool_add_owner(pool, (unsigned long)addr, bus_addr, size,
				  nid, owner);
}

static inline void *p2pmem_pool_alloc_virt(struct p2pmem_pool *pool,
					   size_t size, void **owner)
{
	return (void *)gen_pool_alloc_owner(pool, size, owner);
}

static inline void p2pmem_pool_free_virt(struct p2pmem_pool *pool, void *addr,
					 size_t size, void **owner)
{
	gen_pool_free_owner(pool, (unsigned long)addr, size, owner);
}

static inline size_t p2pmem_pool_size(struct p2pmem_pool *pool)
{
	return gen_pool_size(pool);
}

static inline size_t p2pmem_pool_avail(struct p2pmem_pool *pool)
{
	return gen_pool_avail(pool);
}

static inline void p2pmem_init_pgmap(struct dev_pagemap *pgmap,
				     struct p2pmem_pool *pool)
{
}

static inline void p2pmem_get_pages(struct page *first, unsigned long nr_pages)
{
}

static inline void p2pmem_put_pages(struct page *first, unsigned long nr_pages)
{
}

static inline int p2pmem_setup(struct pci_dev *pdev, struct p2pmem_pool *pool,
			       struct p2pmem_provider **provider_p)
{
	return 0;
}

static inline int p2pmem_add_region(struct pci_dev *pdev)
{
	return 0;
}

static inline bool p2pmem_has_region(struct pci_dev *pdev)
{
	return true;
}

static inline bool p2pmem_is_system_down(void)
{
	return false;
}

static inline void p2pmem_announce(struct pci_dev *pdev, bool there)
{
}

static inline int p2pmem_stats_setup(struct pci_dev *pdev,
				     struct p2pmem_stats __percpu **stats)
{
	return 0;
}

static inline void p2pmem_stats_refuse(struct pci_p2pdma_pagemap *p2p,
				       const struct device *client,
				       phys_addr_t phys, size_t size)
{
}
#endif /* CONFIG_PCI_P2PMEM */

#endif /* _PCI_P2PMEM_H */
