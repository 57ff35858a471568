/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Peer-to-peer memory of a ticket as an iov_iter, see mm/p2p_iter.c.
 */
#ifndef _LINUX_P2P_ITER_H
#define _LINUX_P2P_ITER_H

#include <linux/errno.h>
#include <linux/p2p_hold.h>
#include <linux/types.h>
#include <linux/uio.h>

struct page;

#ifdef CONFIG_VM_P2P

/**
 * iov_iter_p2p_offset() - where in its folio the rest of an ITER_P2P begins
 * @i: the iterator
 *
 * A folio is aligned to its size. So this has the alignment of the memory's physical
 * address, too.
 *
 * Context: Any.
 * Return: the offset in the first folio of the ticket, in bytes; may be behind its end.
 */
static inline size_t iov_iter_p2p_offset(const struct iov_iter *i)
{
	return i->hold->extents->offset + i->iov_offset;
}

/**
 * iov_iter_p2p_set_nowait() - let an ITER_P2P wait for the end of a reset, or not
 * @i: the iterator; nothing happens if it is another one
 * @nowait: true if its user must not wait, as with IOCB_NOWAIT. An ITER_P2P waits unless
 *	    it was told not to.
 *
 * Context: Any.
 */
static inline void iov_iter_p2p_set_nowait(struct iov_iter *i, bool nowait)
{
	/* It is contiguous, so the number of its segments says nothing else. */
	if (unlikely(iov_iter_is_p2p(i)))
		i->nr_segs = nowait ? 0 : 1;
}

void iov_iter_p2p(struct iov_iter *i, unsigned int direction,
		  struct p2p_hold *hold, size_t offset, size_t count);
ssize_t iov_iter_get_p2p_run(struct iov_iter *i, size_t maxsize,
			     struct page **page, size_t *start,
			     unsigned int gup_flags);
ssize_t iov_iter_get_p2p_pages(struct iov_iter *i, struct page **pages,
			       size_t maxsize, unsigned int maxpages,
			       size_t *start, unsigned int gup_flags);
size_t iov_iter_zero_p2p(size_t bytes, struct iov_iter *i);
int iov_iter_p2p_zero_error(const struct iov_iter *i);
int iov_iter_wait_p2p(const struct iov_iter *i);
ssize_t iov_iter_p2p_refused(void);

#else /* CONFIG_VM_P2P */

static inline void iov_iter_p2p_set_nowait(struct iov_iter *i, bool nowait)
{
}

static inline size_t iov_iter_p2p_offset(const struct iov_iter *i)
{
	return 0;
}

static inline size_t iov_iter_zero_p2p(size_t bytes, struct iov_iter *i)
{
	return 0;
}

static inline int iov_iter_p2p_zero_error(const struct iov_iter *i)
{
	return -EREMOTEIO;
}

static inline int iov_iter_wait_p2p(const struct iov_iter *i)
{
	return -EREMOTEIO;
}

static inline ssize_t iov_iter_p2p_refused(void)
{
	return -EREMOTEIO;
}

#endif /* CONFIG_VM_P2P */

#endif /* _LINUX_P2P_ITER_H */
