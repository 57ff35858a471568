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
 * iov_iter_p2p_offset() - offset of the remaining data in the folio
 * @i: the iterator
 *
 * A folio is aligned to its size, so the offset is aligned like the physical
 * address.
 *
 * Context: Any.
 * Return: the offset in the first folio of the ticket, in bytes; may be past
 *	   its end.
 */
static inline size_t iov_iter_p2p_offset(const struct iov_iter *i)
{
	return i->hold->extents->offset + i->iov_offset;
}

/**
 * iov_iter_p2p_set_nowait() - should an ITER_P2P not wait for a reset?
 * @i: the iterator; one of another type is left alone
 * @nowait: true if the caller must not wait, as with IOCB_NOWAIT. An ITER_P2P
 *	    waits by default.
 *
 * Context: Any.
 */
static inline void iov_iter_p2p_set_nowait(struct iov_iter *i, bool nowait)
{
	/* nr_segs has no other use, because an ITER_P2P is contiguous. */
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
