// SPDX-License-Identifier: GPL-2.0
/*
 * get_user_pages() of device-mapped entries, in runs.
 *
 * The pages of ZONE_DEVICE memory may form folios, and page tables map a folio by
 * one entry, by several, or a part of it only. A run is what follows a user
 * address, is mapped, and lies in one folio. It is taken with one reference, or
 * with as many as it has pages by two atomic additions, however many that are.
 *
 * The page tables are read without a lock, as in get_user_pages_fast(). Only a
 * reference to a page map makes it safe to look at the struct page behind an
 * entry, and only a reference to the folio keeps that page what it is. So the
 * tables are looked up once to find the folio, and again with the folio held: what
 * they say then is true.
 */

#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/pgtable.h>
#include <linux/range.h>
#include <linux/vm_p2p.h>

#include "internal.h"

/* May the walk use an entry? The lockless one has no VMA that tells. */
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
	if (!locked)
		return pmd_access_permitted(pmd, flags & FOLL_WRITE);
	if (pmd_protnone(pmd) && !gup_can_follow_protnone(flags))
		return false;
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

static unsigned long gup_device_ptes(pmd_t pmd, unsigned long addr,
				     unsigned long max, unsigned int flags,
				     bool locked, unsigned long *pfn)
{
	unsigned long nr = 0;
	pte_t *ptep, *ptem;

	max = min(max, PTRS_PER_PTE - pte_index(addr));
	ptep = ptem = pte_offset_map(&pmd, addr);
	for (; nr < max; nr++, ptep++) {
		pte_t pte = ptep_get_lockless(ptep);

		if (!gup_device_pte_ok(pte, flags, locked))
			break;
		if (!nr)
			*pfn = pte_pfn(pte);
		else if (pte_pfn(pte) != *pfn + nr)
			break;
	}
	pte_unmap(ptem);
	return nr;
}

/*
 * How many pages, @max at most, does one entry, or do the entries of one page
 * table, map at @addr and physically one after the other? The first is @pfn.
 */
static unsigned long gup_device_lookup(struct mm_struct *mm, unsigned long addr,
				       unsigned long max, unsigned int flags,
				       bool locked, unsigned long *pfn)
{
	pgd_t pgd, *pgdp = pgd_offset(mm, addr);
	p4d_t p4d, *p4dp;
	pud_t pud, *pudp;
	pmd_t pmd, *pmdp;

	pgd = READ_ONCE(*pgdp);
	if (pgd_none(pgd) || pgd_bad(pgd))
		return 0;

	p4dp = p4d_offset_lockless(pgdp, pgd, addr);
	p4d = READ_ONCE(*p4dp);
	if (p4d_none(p4d) || p4d_bad(p4d))
		return 0;

	pudp = pud_offset_lockless(p4dp, p4d, addr);
	pud = READ_ONCE(*pudp);
	if (!pud_present(pud))
		return 0;
	if (pud_devmap(pud)) {
		if (!gup_device_pud_ok(pud, flags, locked))
			return 0;
		*pfn = pud_pfn(pud) + ((addr & ~PUD_MASK) >> PAGE_SHIFT);
		return min(max, (PUD_SIZE - (addr & ~PUD_MASK)) >> PAGE_SHIFT);
	}
	if (pud_bad(pud))
		return 0;

	pmdp = pmd_offset_lockless(pudp, pud, addr);
	pmd = READ_ONCE(*pmdp);
	if (!pmd_present(pmd))
		return 0;
	if (pmd_devmap(pmd)) {
		if (!gup_device_pmd_ok(pmd, flags, locked))
			return 0;
		*pfn = pmd_pfn(pmd) + ((addr & ~PMD_MASK) >> PAGE_SHIFT);
		return min(max, (PMD_SIZE - (addr & ~PMD_MASK)) >> PAGE_SHIFT);
	}
	if (pmd_bad(pmd))
		return 0;

	return gup_device_ptes(pmd, addr, max, flags, locked, pfn);
}

/**
 * gup_device_mapped() - how much is there already?
 * @mm: the address space
 * @addr: user address, page-aligned
 * @max: the most pages to look at, at least 1
 * @flags: FOLL_WRITE if they must be writable; other FOLL_* flags
 *
 * Context: The caller holds the mmap_lock.
 * Return: how many pages are mapped, physically one after the other; fewer than
 *	   there are if a page table ends.
 */
unsigned long gup_device_mapped(struct mm_struct *mm, unsigned long addr,
				unsigned long max, unsigned int flags)
{
	unsigned long irq, nr, pfn;

	local_irq_save(irq);
	nr = gup_device_lookup(mm, addr, max, flags, true, &pfn);
	local_irq_restore(irq);
	return nr;
}

/**
 * gup_device_run() - take one reference to the folio that is mapped at an address
 * @mm: the address space
 * @addr: user address, page-aligned
 * @max: the most pages that are wanted, at least 1
 * @flags: FOLL_GET or FOLL_PIN, with the other FOLL_* flags of the walk
 * @locked: the caller holds the mmap_lock of @mm, and has asked its VMA
 * @pgmap: a page map with a reference, or NULL; may be changed, and if it is not
 *	   NULL afterwards the caller has to put it, whatever is returned
 * @page: where to store the page at @addr
 *
 * Context: Interrupts are off. Without @locked, @mm is the caller's own.
 * Return: how many pages from @page on belong to the same folio and are mapped at
 *	   @addr, one after the other. 0, and no reference, if the memory is none
 *	   of a device, is not mapped, or must not be had with these flags.
 */
unsigned long gup_device_run(struct mm_struct *mm, unsigned long addr,
			     unsigned long max, unsigned int flags, bool locked,
			     struct dev_pagemap **pgmap, struct page **page)
{
	unsigned long first, pfn, n, nr = 0;
	struct folio *folio;

	if (!gup_device_lookup(mm, addr, 1, flags, locked, &first))
		return 0;

	*pgmap = get_dev_pagemap(first, *pgmap);
	if (!*pgmap || !p2p_gup_allowed(*pgmap, flags))
		return 0;

	*page = pfn_to_page(first);
	folio = try_grab_folio(*page, 1, flags);
	if (!folio)
		return 0;

	max = min_t(unsigned long, max,
		    folio_nr_pages(folio) - folio_page_idx(folio, *page));
	while (nr < max) {
		n = gup_device_lookup(mm, addr + nr * PAGE_SIZE, max - nr,
				      flags, locked, &pfn);
		if (!n || pfn != first + nr)
			break;
		nr += n;
	}

	if (nr)
		p2p_gup_found(*pgmap, first, nr, flags, locked);
	else
		gup_put_folio(folio, 1, flags);
	return nr;
}

/* How many pages of a page map follow each other from @pfn on? */
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
 * Takes the pages from @pfn on, folio by folio, and returns how many. Does not
 * store them if @pages is NULL.
 */
static unsigned long gup_device_grab(unsigned long pfn, unsigned long nr_pages,
				     unsigned int flags, struct page **pages)
{
	unsigned long done = 0, i, nr;

	while (done < nr_pages) {
		/* Device memory has a memory map without gaps. */
		struct page *page = pfn_to_page(pfn + done);
		struct folio *folio = try_grab_folio(page, 1, flags);

		if (!folio)
			break;
		/* With a reference, the folio is what it is. */
		nr = 1;
		if (folio_test_large(folio))
			nr = min_t(unsigned long, nr_pages - done,
				   folio_nr_pages(folio) -
				   folio_page_idx(folio, page));
		if (nr > 1 && !try_grab_folio(page, nr - 1, flags)) {
			gup_put_folio(folio, 1, flags);
			break;
		}
		for (i = 0; pages && i < nr; i++)
			pages[done + i] = page + i;
		done += nr;
	}
	return done;
}

static void gup_device_release(unsigned long pfn, unsigned long nr_pages,
			       unsigned int flags)
{
	while (nr_pages--)
		gup_put_folio(page_folio(pfn_to_page(pfn + nr_pages)), 1,
			      flags);
}

/**
 * gup_device_pages() - take the pages that are mapped at an address
 * @mm: the address space
 * @addr: user address, page-aligned
 * @nr_pages: how many pages to take, at most
 * @flags: FOLL_GET or FOLL_PIN, with the other FOLL_* flags of the walk
 * @locked: the caller holds the mmap_lock of @mm, and has asked its VMA
 * @pages: where to store them; or NULL, for pages of one page map only that are
 *	   physically one after the other
 * @first: where to store the page frame number of the first
 *
 * Context: Interrupts are off. Without @locked, @mm is the caller's own.
 * Return: how many pages were taken, one reference each, up to the first that is
 *	   no device memory, not mapped, or must not be had with these flags.
 */
unsigned long gup_device_pages(struct mm_struct *mm, unsigned long addr,
			       unsigned long nr_pages, unsigned int flags,
			       bool locked, struct page **pages,
			       unsigned long *first)
{
	struct dev_pagemap *pgmap = NULL;
	unsigned long done = 0, wanted, nr, pfn, again;

	/* Nothing could take the pages back when the device goes away. */
	if (flags & FOLL_LONGTERM)
		return 0;

	while (done < nr_pages) {
		struct dev_pagemap *last = pgmap;

		wanted = gup_device_lookup(mm, addr, nr_pages - done, flags,
					   locked, &pfn);
		if (!wanted)
			break;
		if (!done)
			*first = pfn;
		else if (!pages && pfn != *first + done)
			break;

		pgmap = get_dev_pagemap(pfn, pgmap);
		if (!pgmap || !p2p_gup_allowed(pgmap, flags))
			break;
		if (!pages && done && pgmap != last)
			break;

		wanted = min(wanted, gup_device_left(pgmap, pfn));
		nr = gup_device_grab(pfn, wanted, flags,
				     pages ? pages + done : NULL);
		if (!nr)
			break;
		if (gup_device_lookup(mm, addr, nr, flags, locked,
				      &again) != nr || again != pfn) {
			gup_device_release(pfn, nr, flags);
			break;
		}

		p2p_gup_found(pgmap, pfn, nr, flags, locked);
		done += nr;
		addr += nr * PAGE_SIZE;
		if (nr < wanted)
			break;
	}
	if (pgmap)
		put_dev_pagemap(pgmap);
	return done;
}
