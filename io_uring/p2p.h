/* SPDX-License-Identifier: GPL-2.0 */
/* Registered buffers in peer-to-peer memory. */
#ifndef IOU_P2P_H
#define IOU_P2P_H

#include <linux/fs.h>
#include <linux/p2p_iter.h>
#include <linux/sched.h>
#include <linux/sched/coredump.h>
#include <linux/uio.h>

#include <uapi/linux/io_uring.h>

#include "rsrc.h"

#ifdef CONFIG_VM_P2P

/* Is the buffer in peer-to-peer memory? Then it has a ticket, and no bio_vec. */
static inline bool io_ubuf_is_p2p(const struct io_mapped_ubuf *imu)
{
	return imu->hold;
}

static inline void io_ubuf_init_ram(struct io_mapped_ubuf *imu)
{
	imu->hold = NULL;
	imu->target = NULL;
}

/* False for nearly all processes, which never had peer-to-peer memory. */
static inline bool io_p2p_may_register(void)
{
	return unlikely(test_bit(MMF_HAS_P2P, &current->mm->flags));
}

/* Is the buffer a dma-buf, for reads and writes of one file only? */
static inline bool io_ubuf_is_dmabuf(const struct io_mapped_ubuf *imu)
{
	return imu->target;
}

extern const struct p2p_hold_ops io_p2p_hold_ops;

int io_p2p_buffer_create(struct p2p_hold *hold, u64 ubuf, size_t len,
			 struct io_mapped_ubuf **pimu);
int io_p2p_buffer_register(const struct iovec *iov, struct io_mapped_ubuf **pimu);
void io_p2p_buffer_unregister(struct io_mapped_ubuf *imu);
bool io_p2p_file_has_dma(const struct file *file);
int io_p2p_check_request(const struct io_mapped_ubuf *imu,
			 const struct kiocb *kiocb, const struct iov_iter *iter);

/* The buffer outlives the request. */
static inline void io_p2p_import(int ddir, struct iov_iter *iter,
				 struct io_mapped_ubuf *imu, size_t offset,
				 size_t len)
{
	iov_iter_p2p(iter, ddir, imu->hold, offset, len);
}

#else /* CONFIG_VM_P2P */

static inline bool io_ubuf_is_dmabuf(const struct io_mapped_ubuf *imu)
{
	return false;
}

static inline bool io_ubuf_is_p2p(const struct io_mapped_ubuf *imu)
{
	return false;
}

static inline void io_ubuf_init_ram(struct io_mapped_ubuf *imu)
{
}

static inline bool io_p2p_may_register(void)
{
	return false;
}

static inline int io_p2p_buffer_register(const struct iovec *iov,
					 struct io_mapped_ubuf **pimu)
{
	return -EREMOTEIO;
}

static inline void io_p2p_buffer_unregister(struct io_mapped_ubuf *imu)
{
}

static inline void io_p2p_import(int ddir, struct iov_iter *iter,
				 struct io_mapped_ubuf *imu, size_t offset,
				 size_t len)
{
}

static inline int io_p2p_check_request(const struct io_mapped_ubuf *imu,
				       const struct kiocb *kiocb,
				       const struct iov_iter *iter)
{
	return -EREMOTEIO;
}

#endif /* CONFIG_VM_P2P */

#ifdef CONFIG_PCI_P2PMEM_DMABUF
int io_p2p_dmabuf_register(const struct io_uring_regbuf_desc *desc,
			   struct io_mapped_ubuf **pimu);
#else
static inline int
io_p2p_dmabuf_register(const struct io_uring_regbuf_desc *desc,
		       struct io_mapped_ubuf **pimu)
{
	return -EOPNOTSUPP;
}
#endif

/*
 * Adjust the result of a read or write. Direct I/O may fall back to the page
 * cache, where copying fails with -EFAULT. Report -EREMOTEIO instead.
 */
static inline ssize_t io_p2p_result(const struct iov_iter *iter, ssize_t ret)
{
	if (unlikely(ret == -EFAULT) && iov_iter_is_p2p(iter))
		return iov_iter_p2p_refused();
	return ret;
}

#endif
