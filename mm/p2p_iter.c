// SPDX-License-Identifier: GPL-2.0
/*
 * ITER_P2P: peer-to-peer memory of a ticket as an iov_iter.
 *
 * A program registers a buffer with io_uring once, and then uses it for many
 * requests. The iterator of such a request refers to a hold, not to user
 * addresses. A request takes references to the pages that it needs, as
 * get_user_pages() would, but without reading page tables. From then on, a
 * driver, a reset or a removal of the provider treats it like any other direct
 * I/O request, however long the request is queued. The ticket is in use only
 * while the references are taken.
 *
 * This is a separate iterator type, because code that handles ITER_BVEC assumes
 * that the CPU may copy its pages, a network card may send them, and any device
 * reaches them. For an ITER_P2P, functions that copy return 0 bytes, those that
 * fault in memory don't succeed, and iov_iter_get_pages2() fails. Callers that
 * can handle peer-to-peer memory pass FOLL_PCI_P2PDMA, as for user memory. The
 * exception is iov_iter_zero(), since a read of a file's hole is direct I/O,
 * too.
 *
 * The memory of such an iterator is physically contiguous, and iov_offset counts from
 * its beginning.
 */

#include <linux/cache.h>
#include <linux/errno.h>
#include <linux/export.h>
#include <linux/io.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/p2p_hold.h>
#include <linux/p2p_iter.h>
#include <linux/p2p_ratelimit.h>
#include <linux/page_ref.h>
#include <linux/pfn.h>
#include <linux/sched.h>
#include <linux/sizes.h>
#include <linux/uio.h>
#include <linux/vm_p2p.h>

#include "internal.h"

/* Size of one write of zeros, for which a removal of the provider waits. */
#define P2P_ITER_ZERO	SZ_64K

/**
 * iov_iter_p2p() - initialise an iterator of a ticket's memory
 * @i: the iterator
 * @direction: ITER_SOURCE or ITER_DEST
 * @hold: an armed ticket with a single extent, which has struct pages; must
 *	  outlive @i, but not the pages taken from it
 * @offset: where in the ticket's memory to begin, in bytes
 * @count: how many bytes from @offset on
 *
 * Context: Any.
 */
void iov_iter_p2p(struct iov_iter *i, unsigned int direction,
		  struct p2p_hold *hold, size_t offset, size_t count)
{
	*i = (struct iov_iter) {
		.iter_type = ITER_P2P,
		.data_source = direction,
		.iov_offset = offset,
		.count = count,
		.hold = hold,
		.nr_segs = 1,
	};
}

static bool p2p_iter_may_wait(const struct iov_iter *i)
{
	return i->nr_segs;
}

static struct page *iov_iter_p2p_page(const struct iov_iter *i)
{
	/* Device memory has a memory map without gaps. */
	return &i->hold->extents->folio->page +
	       PFN_DOWN(iov_iter_p2p_offset(i));
}

/* Returns -EAGAIN only without @may_wait. */
static int p2p_iter_begin_use(struct p2p_hold *hold, bool may_wait)
{
	int error;

	do {
		error = p2p_hold_begin_use(hold);
		if (likely(!error))
			return 0;
		if (error != -EAGAIN || !may_wait)
			break;
		/* Wait as a fault would. The next reset may have begun then. */
		error = p2p_hold_wait_usable(hold);
	} while (!error || error == -EAGAIN);
	return error == -ENODEV ? -EREMOTEIO : error;
}

/*
 * Takes a reference to each page (@each) or to each folio. During a use, the
 * references of the buffer keep the folios from changing. Returns false,
 * without taking any reference, if a folio has too many.
 */
static bool p2p_iter_get(struct page *page, unsigned long nr_pages, bool each)
{
	unsigned long done, nr;

	for (done = 0; done < nr_pages; done += nr) {
		struct folio *folio = page_folio(page + done);

		if (unlikely(folio_ref_count(folio) > GUP_DEVICE_MAX_REFS)) {
			gup_device_release(page_to_pfn(page), done, FOLL_GET,
					   each);
			return false;
		}
		nr = min_t(unsigned long, nr_pages - done,
			   folio_nr_pages(folio) -
			   folio_page_idx(folio, page + done));
		folio_ref_add(folio, each ? nr : 1);
	}
	return true;
}

static ssize_t p2p_iter_take(struct iov_iter *i, size_t maxsize,
			     struct page **page, size_t *start,
			     unsigned int gup_flags, bool each)
{
	size_t offset = offset_in_page(iov_iter_p2p_offset(i));
	size_t len = min(maxsize, i->count);
	bool held = gup_flags & FOLL_P2P_HELD;
	bool got;
	int error;

	error = p2p_iter_begin_use(i->hold, !held && p2p_iter_may_wait(i));
	if (unlikely(error))
		return error == -EAGAIN && held ? 0 : error;
	*page = iov_iter_p2p_page(i);
	got = p2p_iter_get(*page, PFN_UP(offset + len), each);
	p2p_hold_end_use(i->hold);
	if (unlikely(!got))
		return -ENOMEM;

	*start = offset;
	i->iov_offset += len;
	i->count -= len;
	return len;
}

/**
 * iov_iter_get_p2p_run() - get contiguous pages of an ITER_P2P
 * @i: the iterator; advanced by the number of bytes returned
 * @maxsize: how many bytes to get at the most, at least 1
 * @page: where to store the first page
 * @start: where to store the offset of the data in @page
 * @gup_flags: FOLL_P2P_HELD if the caller has pages or other resources that a
 *	       reset of the provider waits for
 *
 * As iov_iter_get_pages_flags(), for callers that keep a range without an array of
 * pages. The caller gets one reference to each folio, see put_user_p2p_run().
 *
 * Context: Process context. Waits while the provider is being reset, unless
 *	    @gup_flags has FOLL_P2P_HELD or iov_iter_p2p_set_nowait() has
 *	    forbidden it.
 * Return: how many bytes, less than @maxsize only if there are no more; if it
 *	   would have to wait and must not, 0 with FOLL_P2P_HELD, and -EAGAIN
 *	   without; -EREMOTEIO if the memory was revoked; -ENOMEM if a folio has
 *	   too many references; -EINTR after a fatal signal.
 */
ssize_t iov_iter_get_p2p_run(struct iov_iter *i, size_t maxsize,
			     struct page **page, size_t *start,
			     unsigned int gup_flags)
{
	return p2p_iter_take(i, maxsize, page, start, gup_flags, false);
}

/**
 * iov_iter_get_p2p_pages() - iov_iter_get_pages_flags() for an ITER_P2P
 * @i: the iterator; advanced by the number of bytes returned
 * @pages: receives the pages, each with a reference to be dropped by put_page()
 * @maxsize: how many bytes to get at the most, at least 1
 * @maxpages: how many pages @pages has room for, at least 1
 * @start: receives the offset of the first byte in the first page
 * @gup_flags: as for iov_iter_get_p2p_run()
 *
 * Context: As for iov_iter_get_p2p_run().
 * Return: As iov_iter_get_p2p_run().
 */
ssize_t iov_iter_get_p2p_pages(struct iov_iter *i, struct page **pages,
			       size_t maxsize, unsigned int maxpages,
			       size_t *start, unsigned int gup_flags)
{
	size_t room = maxpages * PAGE_SIZE -
		      offset_in_page(iov_iter_p2p_offset(i));
	struct page *page;
	unsigned long k;
	ssize_t len;

	len = p2p_iter_take(i, min(maxsize, room), &page, start, gup_flags,
			    true);
	for (k = 0; len > 0 && k < PFN_UP(*start + len); k++)
		pages[k] = page + k;
	return len;
}

/* Uses the widest stores: each is a transaction unless they are write-combined. */
static void p2p_iter_zero(void __iomem *mem, size_t len)
{
	size_t head = min_t(size_t, len, -(unsigned long)mem % sizeof(u64));

	memset_io(mem, 0, head);
	for (mem += head, len -= head; len >= sizeof(u64); len -= sizeof(u64)) {
		__raw_writeq(0, mem);
		mem += sizeof(u64);
	}
	memset_io(mem, 0, len);
}

/**
 * iov_iter_zero_p2p() - iov_iter_zero() for an ITER_P2P
 * @bytes: how many bytes to set to zero
 * @i: the iterator; advanced by the number of bytes returned
 *
 * Context: Process context. Waits while the provider is being reset, unless
 *	    iov_iter_p2p_set_nowait() has forbidden it.
 * Return: how many bytes; less than @bytes if there are no more, if the memory was
 *	   revoked, after a fatal signal, or if it would have to wait and must
 *	   not. See iov_iter_p2p_zero_error().
 */
size_t iov_iter_zero_p2p(size_t bytes, struct iov_iter *i)
{
	size_t done, len;

	bytes = min(bytes, i->count);
	for (done = 0; done < bytes; done += len) {
		size_t offset = offset_in_page(iov_iter_p2p_offset(i));
		void __iomem *mem;

		if (fatal_signal_pending(current) ||
		    p2p_iter_begin_use(i->hold, p2p_iter_may_wait(i)))
			break;
		len = min_t(size_t, bytes - done, P2P_ITER_ZERO);
		/* The page map's own mapping of the BAR. */
		mem = (void __iomem *)page_to_virt(iov_iter_p2p_page(i));
		p2p_iter_zero(mem + offset, len);
		/* The read returns only after the zeros have arrived. */
		mb();
		readb(mem + offset + len - 1);
		p2p_hold_end_use(i->hold);

		i->iov_offset += len;
		i->count -= len;
		cond_resched();
	}
	return done;
}

/**
 * iov_iter_p2p_zero_error() - tell why iov_iter_zero_p2p() did nothing
 * @i: the iterator
 *
 * Context: Any but NMI.
 * Return: -EAGAIN if it would have to wait and must not; -EREMOTEIO otherwise.
 */
int iov_iter_p2p_zero_error(const struct iov_iter *i)
{
	if (!p2p_iter_may_wait(i) && p2p_hold_unusable(i->hold) == -EAGAIN)
		return -EAGAIN;
	return -EREMOTEIO;
}

/**
 * iov_iter_wait_p2p() - wait until pages of an ITER_P2P are available
 * @i: the iterator
 *
 * For callers that got no pages because of FOLL_P2P_HELD, after they have
 * released everything that the reset may wait for.
 *
 * Context: Process context. Waits while the provider is being reset.
 * Return: 0; -EREMOTEIO if the memory was revoked; -EINTR after a fatal signal.
 */
int iov_iter_wait_p2p(const struct iov_iter *i)
{
	int error = p2p_hold_wait_usable(i->hold);

	/* The caller tries again anyway, and waits again if that was too early. */
	if (error == -EAGAIN)
		return 0;
	return error == -ENODEV ? -EREMOTEIO : error;
}
EXPORT_SYMBOL_GPL(iov_iter_wait_p2p);

/**
 * iov_iter_p2p_refused() - log that an ITER_P2P can't be used
 *
 * Description: For functions that would return its pages to a caller without
 * FOLL_PCI_P2PDMA.
 *
 * Context: Process context.
 * Return: -EREMOTEIO.
 */
ssize_t iov_iter_p2p_refused(void)
{
	pr_p2p_notice("%s[%d]: a registered buffer in peer-to-peer memory can't be used here: the file, or the device it is on, does not support peer-to-peer DMA\n",
		      current->comm, task_pid_nr(current));
	return -EREMOTEIO;
}
