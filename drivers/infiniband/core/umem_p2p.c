// SPDX-License-Identifier: GPL-2.0
/*
 * User MRs in peer-to-peer memory.
 *
 * An MR lets the adapter, and all peers that have its rkey, access memory at any time,
 * until the program ends that. The memory of another device can go before. So such an MR
 * has a lease (mm/p2p_hold.c) in place of pins that nobody could take back, and when the
 * provider goes, or is reset, the driver makes the adapter forget the memory:
 *
 *	umem = ib_umem_get_p2p()	holds the memory and maps it for DMA
 *	tell the adapter of it
 *	ib_umem_arm_p2p(umem, mr)	from here on it can be revoked
 *
 *	ops.revoke_user_mr(mr)		the keys are dead; then it is unmapped
 *
 * The program keeps the MR, without memory. Work requests that use it end with a
 * protection error, as if it had been deregistered, and so does RDMA of the
 * peer. As then, the adapter may use the numbers of the keys for another MR.
 *
 * p2p->lock orders revocation and dereg_mr(): a driver never sees them at the same time.
 * dereg_mr() runs with it held, and releases the umem. Therefore the hold is destroyed
 * afterwards: p2p_hold_destroy() waits for a revocation that may wait for the lock.
 *
 * It does not matter who goes first. A process that exits, and an adapter that is removed,
 * deregister through uverbs. The lock is taken inside of all that uverbs has, and
 * outside of what drivers take to talk to their adapters. The reset of a drive revokes MRs in
 * its memory, so the lock must not be held while waiting for memory to be written out to
 * that drive.
 *
 * As for MRs of dma-bufs, nothing counts for RLIMIT_MEMLOCK: the memory can't be swapped,
 * and whoever allocated it was charged for it by the provider.
 */

#include <linux/dma-mapping.h>
#include <linux/err.h>
#include <linux/export.h>
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/overflow.h>
#include <linux/p2p_hold.h>
#include <linux/p2p_ratelimit.h>
#include <linux/pci.h>
#include <linux/scatterlist.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>

#include <rdma/ib_umem.h>
#include <rdma/ib_verbs.h>

#include "restrack.h"
#include "umem_p2p.h"

struct ib_umem_p2p {
	struct ib_umem umem;		/* the driver's, until it is released */
	struct p2p_hold *hold;
	unsigned long dma_attrs;
	struct mutex lock;		/* of revocation against dereg_mr() */
	/* Protected by it: */
	struct ib_mr *mr;		/* NULL if there is nothing to revoke */
	bool in_dereg;
	bool released;			/* during dereg_mr() */
	bool revoked;
	bool mapped;
};

static struct ib_umem_p2p *to_ib_umem_p2p(const struct ib_umem *umem)
{
	return container_of(umem, struct ib_umem_p2p, umem);
}

static void ib_umem_p2p_unmap(struct ib_umem_p2p *p2p)
{
	if (p2p->mapped)
		ib_dma_unmap_sgtable_attrs(p2p->umem.ibdev,
					   &p2p->umem.sgt_append.sgt,
					   DMA_BIDIRECTIONAL, p2p->dma_attrs);
	p2p->mapped = false;
}

/*
 * The adapter did not do what it was told, and may still access the memory, which somebody
 * else may get. So it gets no access to anything any more. It can't answer then, either,
 * so nothing more is asked of it.
 */
static void ib_umem_p2p_cut_off(struct ib_device *device, int error)
{
	struct device *dev = device->dma_device;

	if (ib_device_is_cut_off(device))
		return;
	WRITE_ONCE(device->p2p_cut_off, true);
	ibdev_err(device, "does not let go of peer-to-peer memory (%d): its DMA is stopped until its driver is bound again\n",
		  error);
	if (dev_is_pci(dev))
		pci_clear_master(to_pci_dev(dev));
}

#ifdef CONFIG_INFINIBAND_P2P_FAIL
static bool fail_revoke;
module_param(fail_revoke, bool, 0600);
MODULE_PARM_DESC(fail_revoke, "Revocation of peer-to-peer memory fails, for tests");
#else
#define fail_revoke	false
#endif

static int ib_umem_p2p_call_driver(struct ib_mr *mr)
{
	if (ib_device_is_cut_off(mr->device))
		return 0;
	return fail_revoke ? -EIO : mr->device->ops.revoke_user_mr(mr);
}

static unsigned int ib_umem_p2p_lock(struct ib_umem_p2p *p2p)
{
	unsigned int noio = memalloc_noio_save();

	mutex_lock(&p2p->lock);
	return noio;
}

static void ib_umem_p2p_unlock(struct ib_umem_p2p *p2p, unsigned int noio)
{
	mutex_unlock(&p2p->lock);
	memalloc_noio_restore(noio);
}

static void ib_umem_p2p_revoke(struct p2p_hold *hold)
{
	struct ib_umem_p2p *p2p = hold->private;
	unsigned int noio;
	int error;

	noio = ib_umem_p2p_lock(p2p);
	if (p2p->mr) {
		p2p->revoked = true;
		error = ib_umem_p2p_call_driver(p2p->mr);
		if (error)
			ib_umem_p2p_cut_off(p2p->umem.ibdev, error);
		p2p->mr = NULL;
	}
	ib_umem_p2p_unmap(p2p);
	ib_umem_p2p_unlock(p2p, noio);
}

static const struct p2p_hold_ops ib_umem_p2p_hold_ops = {
	.name	= "an RDMA region",
	.mode	= P2P_HOLD_LEASE,
	.revoke	= ib_umem_p2p_revoke,
};

/* An entry of a scatterlist is in one folio, and not longer than the adapter can have it. */
static int ib_umem_p2p_fill(struct ib_umem_p2p *p2p)
{
	size_t max = ib_dma_max_seg_size(p2p->umem.ibdev) & PAGE_MASK;
	const struct p2p_hold *hold = p2p->hold;
	struct scatterlist *sg = NULL;
	unsigned int i, nents = 0;
	size_t done, len;
	int error;

	if (!max)
		return -EINVAL;
	for (i = 0; i < hold->nr_extents; i++)
		nents += DIV_ROUND_UP(hold->extents[i].len, max);
	error = sg_alloc_table(&p2p->umem.sgt_append.sgt, nents,
			       GFP_KERNEL_ACCOUNT);
	if (error)
		return error;

	for (i = 0; i < hold->nr_extents; i++) {
		const struct p2p_extent *extent = &hold->extents[i];

		for (done = 0; done < extent->len; done += len) {
			len = min(extent->len - done, max);
			sg = sg ? sg_next(sg) : p2p->umem.sgt_append.sgt.sgl;
			sg_set_page(sg, folio_page(extent->folio,
						   (extent->offset + done) >>
						   PAGE_SHIFT), len, 0);
		}
	}
	return 0;
}

static int ib_umem_p2p_map(struct ib_umem_p2p *p2p, int access)
{
	int error;

	/* Windows have keys of their own, which revocation would have to find. */
	if (access & IB_ACCESS_MW_BIND) {
		if (p2p_ratelimit())
			ibdev_notice(p2p->umem.ibdev, "%s[%d]: no memory window can be in peer-to-peer memory; register it without IBV_ACCESS_MW_BIND\n",
				     current->comm, task_tgid_nr(current));
		return -EREMOTEIO;
	}
	if (!p2p->hold->extents->folio) {
		if (p2p_ratelimit())
			ibdev_notice(p2p->umem.ibdev, "%s[%d]: peer-to-peer memory without struct pages can't be registered; use a provider that has them\n",
				     current->comm, task_tgid_nr(current));
		return -EREMOTEIO;
	}

	error = ib_umem_p2p_fill(p2p);
	if (error)
		return error;
	/* If there is no way from the adapter to the memory, that logs why. */
	error = ib_dma_map_sgtable_attrs(p2p->umem.ibdev,
					 &p2p->umem.sgt_append.sgt,
					 DMA_BIDIRECTIONAL, p2p->dma_attrs);
	p2p->mapped = !error;
	return error;
}

static void ib_umem_p2p_free(struct ib_umem_p2p *p2p)
{
	p2p_hold_destroy(p2p->hold);
	sg_free_table(&p2p->umem.sgt_append.sgt);
	mutex_destroy(&p2p->lock);
	kfree(p2p);
}

static bool ib_umem_p2p_is_possible(struct ib_device *device)
{
	return device->ops.revoke_user_mr &&
	       ib_dma_pci_p2p_dma_supported(device);
}

/**
 * ib_umem_get_p2p() - get the memory of a user MR, which may be peer-to-peer memory
 * @device: the adapter
 * @addr: user address to start at
 * @size: length of the region in bytes
 * @access: IB_ACCESS_xxx flags of the MR
 * @udata: of reg_user_mr(); NULL if the MR is not a program's, and can't be revoked
 *
 * For use in reg_user_mr() in place of ib_umem_get(), by drivers with revoke_user_mr(), and
 * never for queues, which the CPU reads. Returns the same for other memory. For
 * peer-to-peer memory the umem has DMA addresses, but the CPU must not access it;
 * ib_umem_copy_from() does not work. Whether the adapter reaches the memory is found out
 * here. The driver tells the adapter of the memory, without waiting for userspace,
 * and calls ib_umem_arm_p2p() last of all.
 *
 * revoke_user_mr() makes the adapter forget the memory, for good. When it returns 0, the
 * adapter does not access the memory any more, and uses of the keys fail as those of
 * keys that don't exist; nobody else gets the keys, or the driver does not
 * touch them any more in dereg_mr(), see ib_umem_is_revoked(). It may sleep. It is not
 * called while dereg_mr() is, nor after it, and must not take locks under
 * which user memory is touched, ib_umem_get_p2p() is called, or memory is allocated that
 * may have to be written out first. It leaves the umem alone. If it fails, the
 * adapter loses its right to do DMA.
 *
 * Context: Process context, without the mmap_lock. May sleep.
 * Return: the umem, for ib_umem_release(); an ERR_PTR() of those of ib_umem_get(); for
 *	   peer-to-peer memory: -EREMOTEIO if the adapter can't reach it, it has no
 *	   struct pages, or @access permits memory windows; -EFAULT if some of it is not
 *	   there, or does not permit the access; -EINVAL if it is of several buffers;
 *	   -ENODEV if the provider is going; -EAGAIN while it is being reset; -EOPNOTSUPP
 *	   if it does not support holds; -EINTR after a fatal signal; -ENOMEM.
 */
struct ib_umem *ib_umem_get_p2p(struct ib_device *device, unsigned long addr,
				size_t size, int access, struct ib_udata *udata)
{
	unsigned long start = addr & PAGE_MASK, end;
	struct ib_umem_p2p *p2p;
	int error;

	/* Others are refused there, as is what is not even a range. */
	if (!ib_umem_p2p_is_possible(device) || !udata || !size ||
	    access & IB_ACCESS_ON_DEMAND ||
	    check_add_overflow(addr, size, &end) || PAGE_ALIGN(end) < end)
		return ib_umem_get(device, addr, size, access);

	p2p = kzalloc(sizeof(*p2p), GFP_KERNEL_ACCOUNT);
	if (!p2p)
		return ERR_PTR(-ENOMEM);
	p2p->umem.ibdev = device;
	p2p->umem.length = size;
	p2p->umem.address = addr;
	p2p->umem.iova = addr;
	p2p->umem.writable = ib_access_writable(access);
	p2p->umem.is_p2p = 1;
	if (access & IB_ACCESS_RELAXED_ORDERING)
		p2p->dma_attrs = DMA_ATTR_WEAK_ORDERING;
	mutex_init(&p2p->lock);

	/*
	 * The removal of the adapter waits for commands under way. In the recovery from an
	 * error it may come before the end of the provider's reset.
	 */
	p2p->hold = p2p_hold_create_user(start, PAGE_ALIGN(end) - start,
					 FOLL_NOWAIT | (p2p->umem.writable ? FOLL_WRITE : 0),
					 &ib_umem_p2p_hold_ops,
					 device->dma_device, p2p);
	if (IS_ERR_OR_NULL(p2p->hold)) {
		error = PTR_ERR_OR_ZERO(p2p->hold);
		mutex_destroy(&p2p->lock);
		kfree(p2p);
		return error ? ERR_PTR(error) :
			       ib_umem_get(device, addr, size, access);
	}

	error = ib_umem_p2p_map(p2p, access);
	if (error) {
		ib_umem_p2p_free(p2p);
		return ERR_PTR(error);
	}
	return &p2p->umem;
}
EXPORT_SYMBOL_GPL(ib_umem_get_p2p);

/**
 * ib_umem_arm_p2p() - let the memory of an MR be revoked
 * @umem: what ib_umem_get_p2p() returned
 * @mr: the MR that the adapter knows
 *
 * The last step of reg_user_mr(). revoke_user_mr() may be called before this returns.
 * Does nothing for a umem of other memory.
 *
 * Context: Process context.
 * Return: 0; -EAGAIN if the provider was reset, or has gone, since ib_umem_get_p2p(): the
 *	   driver makes the adapter forget the MR, and returns the error.
 */
int ib_umem_arm_p2p(struct ib_umem *umem, struct ib_mr *mr)
{
	struct ib_umem_p2p *p2p = to_ib_umem_p2p(umem);
	int error;

	if (!umem->is_p2p)
		return 0;

	mr->device = umem->ibdev;
	p2p->mr = mr;
	error = p2p_hold_arm(p2p->hold);
	if (error) {
		p2p->mr = NULL;
		return -EAGAIN;
	}
	mr->p2p_umem = umem;
	return 0;
}
EXPORT_SYMBOL_GPL(ib_umem_arm_p2p);

/**
 * ib_umem_cut_off_p2p() - keep an adapter from memory that it does not forget
 * @umem: what ib_umem_get_p2p() returned
 * @error: that of the adapter, for the log
 *
 * For reg_user_mr() if it fails and can't undo what it has told the adapter, or does not
 * know what became of a command, and for dereg_mr() if it releases the umem though the adapter
 * did not do its part. The adapter loses its right to do DMA, as if revoke_user_mr()
 * had failed, and the driver may call ib_umem_release(). Does nothing for a umem of
 * other memory.
 *
 * Context: Process context. May sleep.
 * Return: true if it is peer-to-peer memory: its provider may be waiting for
 *	   ib_umem_release().
 */
bool ib_umem_cut_off_p2p(struct ib_umem *umem, int error)
{
	if (!umem->is_p2p)
		return false;
	ib_umem_p2p_cut_off(umem->ibdev, error);
	return true;
}
EXPORT_SYMBOL_GPL(ib_umem_cut_off_p2p);

/**
 * ib_umem_is_revoked() - check whether revoke_user_mr() was called
 * @umem: the umem of a user MR, of any kind
 *
 * Context: dereg_mr(), where the answer does not change.
 * Return: true if it was, so that the adapter does not know the MR any more.
 */
bool ib_umem_is_revoked(const struct ib_umem *umem)
{
	return umem->is_p2p && to_ib_umem_p2p(umem)->revoked;
}
EXPORT_SYMBOL_GPL(ib_umem_is_revoked);

/**
 * ib_umem_p2p_release() - the driver is done with a umem
 * @umem: one of peer-to-peer memory
 *
 * Context: Process context. May sleep.
 */
void ib_umem_p2p_release(struct ib_umem *umem)
{
	struct ib_umem_p2p *p2p = to_ib_umem_p2p(umem);

	ib_umem_p2p_unmap(p2p);
	if (!p2p->in_dereg) {
		ib_umem_p2p_free(p2p);
		return;
	}
	p2p->mr = NULL;
	p2p->released = true;
}

/**
 * ib_umem_p2p_dereg_mr() - deregister a user MR of any memory
 * @mr: the MR
 * @udata: of the call, for the driver
 *
 * Context: Process context. May sleep. Waits for revoke_user_mr() of this MR.
 * Return: what dereg_mr() of the driver returned.
 */
int ib_umem_p2p_dereg_mr(struct ib_mr *mr, struct ib_udata *udata)
{
	struct ib_umem_p2p *p2p;
	unsigned int noio;
	bool released;
	int ret;

	if (!ib_mr_is_p2p(mr))
		return ib_dereg_mr_user(mr, udata);

	/* Who dumps the MR may allocate memory, and a revocation waits for the lock. */
	rdma_restrack_del(&mr->res);
	p2p = to_ib_umem_p2p(mr->p2p_umem);
	noio = ib_umem_p2p_lock(p2p);
	p2p->in_dereg = true;
	ret = ib_dereg_mr_user(mr, udata);
	p2p->in_dereg = false;
	released = p2p->released;
	ib_umem_p2p_unlock(p2p, noio);
	if (released)
		ib_umem_p2p_free(p2p);
	return ret;
}

/**
 * ib_umem_p2p_abandon() - end the memory of an MR that the driver can't deregister
 * @mr: an MR of any memory
 *
 * Nobody will ask the driver again, and the device may go before the provider does.
 *
 * Context: Process context. May sleep.
 */
void ib_umem_p2p_abandon(struct ib_mr *mr)
{
	struct ib_umem_p2p *p2p;
	unsigned int noio;

	if (!ib_mr_is_p2p(mr))
		return;

	p2p = to_ib_umem_p2p(mr->p2p_umem);
	noio = ib_umem_p2p_lock(p2p);
	if (p2p->mr)
		ib_umem_p2p_cut_off(p2p->umem.ibdev, -EIO);
	p2p->mr = NULL;
	ib_umem_p2p_unmap(p2p);
	ib_umem_p2p_unlock(p2p, noio);
	p2p_hold_destroy(p2p->hold);
}

/**
 * ib_umem_p2p_explain() - log why memory could not be registered
 * @device: the adapter
 * @error: that of reg_user_mr()
 *
 * If the reason is the way from the adapter to the memory, it is in the log already.
 *
 * Context: Process context.
 */
void ib_umem_p2p_explain(struct ib_device *device, int error)
{
	if (error != -EREMOTEIO || ib_umem_p2p_is_possible(device) ||
	    !p2p_ratelimit())
		return;

	if (!ib_dma_pci_p2p_dma_supported(device))
		ibdev_notice(device, "%s[%d]: can't register peer-to-peer memory: the CPU copies the data of this adapter; use one that has DMA\n",
			     current->comm, task_tgid_nr(current));
	else
		ibdev_notice(device, "%s[%d]: can't register peer-to-peer memory: the driver of this adapter can't revoke memory regions; register memory of the host\n",
			     current->comm, task_tgid_nr(current));
}
