// SPDX-License-Identifier: GPL-2.0
/*
 * get_user_pages() of device-mapped entries, in runs.
 *
 * ZONE_DEVICE pages may form folios, and page tables map a folio by one entry, by
 * several, or only a part of it. A run is the mapped memory that follows a user
 * address within one folio. A run is taken with one reference, or with one reference
 * per page by two atomic additions, whatever its length.
 *
 * The page tables are read without a lock, as in get_user_pages_fast(). Only a
 * reference to the folio behind an entry prevents its pages from being reused. So
 * entries are read once to find the folio and once more while it is held; only the
 * second reading counts.
 *
 * Interrupts are off meanwhile, as in get_user_pages_fast(). So the work of one call
 * is bounded, no matter how much the caller asks for.
 */

#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/pgtable.h>
#include <linux/range.h>
#include <linux/vm_p2p.h>

#include "internal.h"

/* Roughly how many page table entries and folios one call looks at. */
#define GUP_DEVICE_WORK		1024

/* May the walk use an entry? The lockless walk has no VMA to ask. */
static bool gup_device_pte_ok(pte_t pte, unsigned int flags, bool locked)
{
	if (!pte_devmap(pte))
		return false;
	if (!locked)
		return pte_access_permitted(pte, flags & FOLL_WRITE);
	if (pte_protnone(pte) && !gup_can_follow_protnone(flags))
		return false;
	return pte_present(pte) && (!(flags & FOLL_WRITE) || pte_write(pte));
}

#ifdef CONFIG_TRANSPARENT_HUGEPAGE
static bool gup_device_pmd_ok(pmd_t pmd, unsigned int flags, bool locked)
{
	if (pmd_protnone(pmd) && !gup_can_follow_protnone(flags))
		return false;
	if (!locked)
		return pmd_access_permitted(pmd, flags & FOLL_WRITE);
	return !(flags & FOLL_WRITE) || pmd_write(pmd);
}

static bool gup_device_pud_ok(pud_t pud, unsigned int flags, bool locked)
{
	if (!locked)
		return pud_access_permitted(pud, flags & FOLL_WRITE);
	return !(flags & FOLL_WRITE) || pud_write(pud);
}
#else
static bool gup_device_pmd_ok(pmd_t pmd, unsigned int flags, bool locked)
{
	return false;
}

static bool gup_device_pud_ok(pud_t pud, unsigned int flags, bool locked)
{
	return false;
}
#endif

/* The memory mapped at an address, by one entry or by entries of one page table. */
struct gup_device_leaf {
	unsigned long pfn;
	unsigned long nr_pages;		/* physically contiguous */
	const void *entry;		/* the first */
	unsigned long huge;		/* value of a huge entry, or 0 */
};

/* How many entries from @ptep on, at most @max, map contiguous memory? */
static unsigned long gup_device_ptes(const pte_t *ptep, unsigned long max,
				     unsigned int flags, bool locked,
				     unsigned long *pfn)
{
	unsigned long nr;

	for (nr = 0; nr < max; nr++) {
		pte_t pte = ptep_get_lockless((pte_t *)ptep + nr);

		if (!gup_device_pte_ok(pte, flags, locked))
			break;
		if (!nr)
			*pfn = pte_pfn(pte);
		else if (pte_pfn(pte) != *pfn + nr)
			break;
	}
	return nr;
}

/* Finds what is mapped at @addr, by a huge entry or by at most @max others. */
static bool gup_device_find(struct mm_struct *mm, unsigned long addr,
			    unsigned long max, unsigned int flags, bool locked,
			    struct gup_device_leaf *leaf)
{
	pgd_t pgd, *pgdp = pgd_offset(mm, addr);
	p4d_t p4d, *p4dp;
	pud_t pud, *pudp;
	pmd_t pmd, *pmdp;

	/* Device memory exists only where a page table entry is one word. */
	BUILD_BUG_ON(sizeof(pud) != sizeof(leaf->huge));
	BUILD_BUG_ON(sizeof(pmd) != sizeof(leaf->huge));

	pgd = READ_ONCE(*pgdp);
	if (pgd_none(pgd) || pgd_bad(pgd))
		return false;

	p4dp = p4d_offset_lockless(pgdp, pgd, addr);
	p4d = READ_ONCE(*p4dp);
	if (p4d_none(p4d) || p4d_bad(p4d))
		return false;

	pudp = pud_offset_lockless(p4dp, p4d, addr);
	pud = READ_ONCE(*pudp);
	if (!pud_present(pud))
		return false;
	if (pud_devmap(pud)) {
		leaf->pfn = pud_pfn(pud) + ((addr & ~PUD_MASK) >> PAGE_SHIFT);
		leaf->nr_pages = (PUD_SIZE - (addr & ~PUD_MASK)) >> PAGE_SHIFT;
		leaf->entry = pudp;
		leaf->huge = pud_val(pud);
		return gup_device_pud_ok(pud, flags, locked);
	}
	if (pud_bad(pud))
		return false;

	pmdp = pmd_offset_lockless(pudp, pud, addr);
	pmd = READ_ONCE(*pmdp);
	if (!pmd_present(pmd))
		return false;
	if (pmd_devmap(pmd)) {
		leaf->pfn = pmd_pfn(pmd) + ((addr & ~PMD_MASK) >> PAGE_SHIFT);
		leaf->nr_pages = (PMD_SIZE - (addr & ~PMD_MASK)) >> PAGE_SHIFT;
		leaf->entry = pmdp;
		leaf->huge = pmd_val(pmd);
		return gup_device_pmd_ok(pmd, flags, locked);
	}
	if (pmd_bad(pmd))
		return false;

	leaf->entry = pte_offset_map(&pmd, addr);
	leaf->huge = 0;
	max = min(max, PTRS_PER_PTE - pte_index(addr));
	leaf->nr_pages = gup_device_ptes(leaf->entry, max, flags, locked,
					 &leaf->pfn);
	return leaf->nr_pages;
}

/* Are the first @nr_pages of @leaf still mapped? */
static bool gup_device_still(const struct gup_device_leaf *leaf,
			     unsigned long nr_pages, unsigned int flags,
			     bool locked)
{
	unsigned long pfn;

	if (leaf->huge)
		return READ_ONCE(*(const unsigned long *)leaf->entry) ==
		       leaf->huge;
	return gup_device_ptes(leaf->entry, nr_pages, flags, locked,
			       &pfn) == nr_pages && pfn == leaf->pfn;
}

/**
 * gup_device_mapped() - number of contiguous pages mapped at an address
 * @mm: the address space
 * @addr: user address, page-aligned
 * @max: the most pages to look at, at least 1
 * @flags: FOLL_WRITE if they must be writable; other FOLL_* flags
 *
 * Context: The caller holds the mmap_lock.
 * Return: how many physically contiguous pages are mapped; fewer than there are
 *	   if a page table ends.
 */
unsigned long gup_device_mapped(struct mm_struct *mm, unsigned long addr,
				unsigned long max, unsigned int flags)
{
	struct gup_device_leaf leaf;
	unsigned long irq;
	bool found;

	local_irq_save(irq);
	found = gup_device_find(mm, addr, max, flags, true, &leaf);
	local_irq_restore(irq);
	return found ? min(max, leaf.nr_pages) : 0;
}

/*
 * Returns the page map of a page that an entry pointed to a moment ago. In a tail page,
 * compound_head overlays page->pgmap, and the folio may be changing, so read each
 * word once.
 */
static struct dev_pagemap *gup_device_pgmap(const struct page *page)
{
	unsigned long word = READ_ONCE(page->compound_head);

	while (unlikely(word & 1))
		word = READ_ONCE(((struct page *)(word - 1))->compound_head);
	return (struct dev_pagemap *)word;
}

/*
 * Returns the page map behind an entry, or NULL if @flags do not permit its pages.
 * Peer-to-peer memory is unmapped before its page map is killed, and memunmap_pages()
 * waits for an RCU grace period after that, so the page map exists as long as
 * interrupts are off. It needs no reference either, since each page in use has one.
 * For other memory, *@held has a reference.
 */
static struct dev_pagemap *gup_device_allowed(unsigned long pfn,
					      unsigned int flags,
					      struct dev_pagemap **held)
{
	if (IS_ENABLED(CONFIG_VM_P2P)) {
		struct dev_pagemap *pgmap = gup_device_pgmap(pfn_to_page(pfn));

		if (pgmap->type == MEMORY_DEVICE_PCI_P2PDMA)
			return flags & FOLL_PCI_P2PDMA ? pgmap : NULL;
	}
	*held = get_dev_pagemap(pfn, *held);
	return *held;
}

/*
 * try_grab_folio() with an error code: -EAGAIN if the folio has no reference, because
 * it was unmapped a moment ago; -ENOMEM if it has too many.
 */
static struct folio *gup_device_grab_folio(struct page *page,
					   unsigned int flags)
{
	struct folio *folio;

	if (unlikely(folio_ref_count(page_folio(page)) > GUP_DEVICE_MAX_REFS))
		return ERR_PTR(-ENOMEM);
	folio = try_grab_folio(page, 1, flags);
	return folio ?: ERR_PTR(-EAGAIN);
}

/**
 * gup_device_run() - take one reference to the folio that is mapped at an address
 * @mm: the address space
 * @addr: user address, page-aligned
 * @max: the most pages that are wanted, at least 1
 * @flags: FOLL_GET or FOLL_PIN, with the other FOLL_* flags of the walk
 * @locked: the caller holds the mmap_lock of @mm, and has checked the VMA
 * @held: a page map with a reference, or NULL; may be changed, and if it is not
 *	  NULL afterwards the caller has to put it, whatever is returned
 * @page: where to store the page at @addr
 *
 * Context: Interrupts are off. Without @locked, @mm is the caller's own.
 * Return: how many pages from @page on belong to the same folio and are mapped at
 *	   @addr, one after the other; possibly fewer, since the work is bounded. 0 and
 *	   no reference if the memory is not device memory, is not mapped, or @flags do
 *	   not permit its use; -ENOMEM and no reference if the folio has too many.
 */
long gup_device_run(struct mm_struct *mm, unsigned long addr, unsigned long max,
		    unsigned int flags, bool locked, struct dev_pagemap **held,
		    struct page **page)
{
	unsigned long first, nr, work;
	struct gup_device_leaf leaf;
	struct dev_pagemap *pgmap;
	struct folio *folio;

	/* One page, unless the entry is huge: the folio may have no more. */
	if (!gup_device_find(mm, addr, 1, flags, locked, &leaf))
		return 0;
	first = leaf.pfn;
	pgmap = gup_device_allowed(first, flags, held);
	if (!pgmap)
		return 0;

	*page = pfn_to_page(first);
	folio = gup_device_grab_folio(*page, flags);
	if (IS_ERR(folio))
		return PTR_ERR(folio) == -ENOMEM ? -ENOMEM : 0;

	max = min_t(unsigned long, max,
		    folio_nr_pages(folio) - folio_page_idx(folio, *page));
	nr = min(max, leaf.nr_pages);
	if (!gup_device_still(&leaf, nr, flags, locked)) {
		gup_put_folio(folio, 1, flags);
		return 0;
	}
	/* The folio is held, so reading each further entry once is enough. */
	for (work = 0; work < GUP_DEVICE_WORK && nr < max; ) {
		if (!gup_device_find(mm, addr + nr * PAGE_SIZE, max - nr, flags,
				     locked, &leaf) || leaf.pfn != first + nr)
			break;
		work += leaf.huge ? 1 : leaf.nr_pages;
		nr += min(max - nr, leaf.nr_pages);
	}

	p2p_gup_found(pgmap, first, nr, flags, locked);
	return nr;
}

/* Returns the number of pages from @pfn to the end of its range in @pgmap. */
static unsigned long gup_device_left(const struct dev_pagemap *pgmap,
				     unsigned long pfn)
{
	int i;

	for (i = 0; i < pgmap->nr_range; i++) {
		const struct range *range = &pgmap->ranges[i];

		if (pfn >= PHYS_PFN(range->start) &&
		    pfn <= PHYS_PFN(range->end))
			return PHYS_PFN(range->end) - pfn + 1;
	}
	return 1;
}

/*
 * Takes the pages from @pfn on, and returns their number: with one reference to each,
 * or, if @pages is NULL, with one to each folio. Stops after *@folios folios, and counts
 * *@folios down. If the first folio can't be taken, returns the error of
 * gup_device_grab_folio().
 */
static long gup_device_grab(unsigned long pfn, unsigned long nr_pages,
			    unsigned int flags, struct page **pages,
			    unsigned long *folios)
{
	unsigned long done = 0, nr, i;

	for (; done < nr_pages && *folios; --*folios) {
		/* Device memory has a memory map without gaps. */
		struct page *page = pfn_to_page(pfn + done);
		struct folio *folio = gup_device_grab_folio(page, flags);

		if (IS_ERR(folio)) {
			if (!done)
				return PTR_ERR(folio);
			break;
		}
		/* The reference keeps the folio from changing. */
		nr = 1;
		if (folio_test_large(folio))
			nr = min_t(unsigned long, nr_pages - done,
				   folio_nr_pages(folio) -
				   folio_page_idx(folio, page));
		if (pages) {
			if (nr > 1 && !try_grab_folio(page, nr - 1, flags)) {
				gup_put_folio(folio, 1, flags);
				break;
			}
			for (i = 0; i < nr; i++)
				pages[done + i] = page + i;
		}
		done += nr;
	}
	return done;
}

/**
 * gup_device_release() - release what gup_device_pages() has taken
 * @pfn: page frame number of the first page
 * @nr_pages: how many pages, physically contiguous
 * @flags: the FOLL_* flags that the pages were taken with
 * @each: each page has a reference, rather than each folio
 *
 * Context: Any but NMI.
 */
void gup_device_release(unsigned long pfn, unsigned long nr_pages,
			unsigned int flags, bool each)
{
	while (nr_pages) {
		struct page *page = pfn_to_page(pfn);
		struct folio *folio = page_folio(page);
		unsigned long nr = min_t(unsigned long, nr_pages,
					 folio_nr_pages(folio) -
					 folio_page_idx(folio, page));

		gup_put_folio(folio, each ? nr : 1, flags);
		pfn += nr;
		nr_pages -= nr;
	}
}

/**
 * gup_device_pages() - take the pages that are mapped at an address
 * @mm: the address space
 * @addr: user address, page-aligned
 * @nr_pages: how many pages to take, at most
 * @flags: FOLL_GET or FOLL_PIN, with the other FOLL_* flags of the walk
 * @locked: the caller holds the mmap_lock of @mm, and has checked the VMA
 * @pages: where to store them; or NULL, for peer-to-peer memory of one page map
 *	   that is physically contiguous, of which each folio gets one reference
 * @first: where to store the page frame number of the first
 *
 * Context: Interrupts are off. Without @locked, @mm is the caller's own.
 * Return: how many pages were taken, up to the first that is not device memory, is
 *	   not mapped, or that @flags do not permit; possibly fewer, since the work is
 *	   bounded. -ENOMEM if the first has too many references already.
 */
long gup_device_pages(struct mm_struct *mm, unsigned long addr,
		      unsigned long nr_pages, unsigned int flags, bool locked,
		      struct page **pages, unsigned long *first)
{
	unsigned long done = 0, work = GUP_DEVICE_WORK, folios, looked, wanted;
	struct dev_pagemap *held = NULL, *pgmap = NULL;
	struct gup_device_leaf leaf;
	long nr = 0;

	/* Nothing could take the pages back when the device goes away. */
	if (flags & FOLL_LONGTERM)
		return 0;

	while (done < nr_pages && work) {
		struct dev_pagemap *last = pgmap;

		if (!gup_device_find(mm, addr, nr_pages - done, flags, locked,
				     &leaf))
			break;
		pgmap = gup_device_allowed(leaf.pfn, flags, &held);
		if (!pgmap)
			break;
		if (!done)
			*first = leaf.pfn;
		else if (!pages && (leaf.pfn != *first + done || pgmap != last))
			break;
		if (!pages && unlikely(held))
			break;

		folios = work;
		wanted = min(leaf.nr_pages, nr_pages - done);
		/* A huge entry has one page map, a page table may have several. */
		if (!leaf.huge)
			wanted = min(wanted, gup_device_left(pgmap, leaf.pfn));
		nr = gup_device_grab(leaf.pfn, wanted, flags,
				     pages ? pages + done : NULL, &folios);
		/* One entry may map several folios, and several entries one. */
		looked = leaf.huge ? 1 : leaf.nr_pages;
		work = min(folios, work - min(work, looked));
		if (nr < 0)
			break;
		if (!gup_device_still(&leaf, nr, flags, locked)) {
			gup_device_release(leaf.pfn, nr, flags, !!pages);
			break;
		}
		/* The folio has its reference from the previous entry. */
		if (!pages && done && PageTail(pfn_to_page(leaf.pfn)))
			gup_put_folio(page_folio(pfn_to_page(leaf.pfn)), 1,
				      flags);

		p2p_gup_found(pgmap, leaf.pfn, nr, flags, locked);
		done += nr;
		addr += nr * PAGE_SIZE;
		if (nr < wanted)
			break;
	}
	if (held)
		put_dev_pagemap(held);
	return done || nr != -ENOMEM ? done : nr;
}
