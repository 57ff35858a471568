// SPDX-License-Identifier: GPL-2.0
/*
 * User MRs in peer-to-peer memory.
 *
 * An MR lets the adapter, and all peers that have its rkey, access memory at
 * any time until the program deregisters it. The memory of another device may
 * go away before that. So such an MR has a lease (mm/p2p_hold.c) instead of
 * pins, which could not be revoked. When the provider is unbound or reset, the
 * driver makes the adapter forget the memory:
 *
 *	umem = ib_umem_get_p2p()	holds the memory and maps it for DMA
 *	create the MR in the adapter
 *	ib_umem_arm_p2p(umem, mr)	from here on the MR can be revoked
 *
 *	ops.revoke_user_mr(mr)		kills the keys; then memory is unmapped
 *
 * The program keeps the MR, but without memory. Work requests that use it, and
 * RDMA by peers, end with a protection error, as if the MR had been
 * deregistered. As after deregistration, the adapter may use the key numbers
 * for another MR.
 *
 * p2p->lock serializes revocation and dereg_mr(). dereg_mr() runs with the lock
 * held and releases the umem. The hold is destroyed after unlocking, since
 * p2p_hold_destroy() waits for a revocation, which may wait for the lock.
 *
 * The process, the adapter and the provider may go away in any order. When a
 * process exits or an adapter is removed, uverbs deregisters the MRs. The lock
 * nests inside all locks of uverbs, and outside those that drivers take to talk
 * to their adapters. The reset of a drive revokes MRs in its memory, so the
 * holder of the lock must not wait for memory to be written out to that drive.
 *
 * As for MRs of dma-bufs, nothing is charged to RLIMIT_MEMLOCK: the memory
 * can't be swapped, and the provider has charged it to the user that allocated
 * it.
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
	struct ib_umem umem;		/* owned by the driver until released */
	struct p2p_hold *hold;
	unsigned long dma_attrs;
	struct mutex lock;		/* revocation against dereg_mr() */
	/* Protected by @lock: */
	struct ib_mr *mr;		/* NULL if there is nothing to revoke */
	bool in_dereg;
	bool released;			/* by the driver's dereg_mr() */
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
 * The adapter failed to forget the memory and may still access it when it has
 * been reallocated. So stop all DMA of the adapter. It can't answer commands
 * without DMA, so send none from then on.
 */
static void ib_umem_p2p_cut_off(struct ib_device *device, int error)
{
	struct device *dev = device->dma_device;

	if (ib_device_is_cut_off(device))
		return;
	if (dev_is_pci(dev))
		pci_clear_master(to_pci_dev(dev));
	/* Pairs with ib_device_is_cut_off(). */
	smp_store_release(&device->p2p_cut_off, true);
	ibdev_err(device, "does not let go of peer-to-peer memory (%d): its DMA is stopped until its driver is bound again\n",
		  error);
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

/* Each entry is within one folio, and no longer than the adapter supports. */
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

	/* Revocation can't find the keys of memory windows. */
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
	/* If the adapter has no route to the memory, this logs why. */
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
 * @udata: of reg_user_mr(); NULL for a kernel MR, which can't be revoked
 *
 * For use in reg_user_mr() in place of ib_umem_get(), by drivers with
 * revoke_user_mr(), and never for queues, which the CPU reads. For other
 * memory, the same as ib_umem_get(). For peer-to-peer memory the umem has DMA
 * addresses, but the CPU must not access the memory; ib_umem_copy_from() does
 * not work. This function checks that the adapter reaches the memory. The
 * driver then passes the memory to the adapter, without waiting for userspace,
 * and calls ib_umem_arm_p2p() as the last step.
 *
 * revoke_user_mr() makes the adapter forget the memory permanently. When it
 * returns 0, the adapter does not access the memory any more, and the keys
 * behave like keys that don't exist. Either the keys stay reserved, or
 * dereg_mr() does not touch them any more, see ib_umem_is_revoked().
 * revoke_user_mr() may sleep. It is not called during or after dereg_mr(). It
 * must not take locks under which user memory is accessed, ib_umem_get_p2p() is
 * called, or memory is allocated in a way that may wait for writeback. It
 * leaves the umem alone. If it fails, all DMA of the adapter is stopped.
 *
 * Context: Process context, without the mmap_lock. May sleep.
 * Return: the umem, for ib_umem_release(); an ERR_PTR() as from ib_umem_get(), or
 *	   -EIO if the adapter's DMA was stopped; for peer-to-peer memory:
 *	   -EREMOTEIO if the adapter can't reach it, it has no struct pages, or
 *	   @access permits memory windows; -EFAULT if part of it is not mapped,
 *	   or does not permit the access; -EINVAL if it spans several buffers;
 *	   -ENODEV if the provider is going away or has failed; -EAGAIN while
 *	   the provider is being reset; -EOPNOTSUPP if it does not support
 *	   holds; -EINTR after a fatal signal; -ENOMEM.
 */
struct ib_umem *ib_umem_get_p2p(struct ib_device *device, unsigned long addr,
				size_t size, int access, struct ib_udata *udata)
{
	unsigned long start = addr & PAGE_MASK, end;
	struct ib_umem_p2p *p2p;
	int error;

	/* ib_umem_get() refuses peer-to-peer memory, and invalid ranges. */
	if (!ib_umem_p2p_is_possible(device) || !udata || !size ||
	    access & IB_ACCESS_ON_DEMAND ||
	    check_add_overflow(addr, size, &end) || PAGE_ALIGN(end) < end)
		return ib_umem_get(device, addr, size, access);
	/* It can't execute the commands that would follow. */
	if (ib_device_is_cut_off(device))
		return ERR_PTR(-EIO);

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
	 * Don't wait for a reset of the provider: the removal of the adapter
	 * waits for this call, and in error recovery it may precede the end of
	 * that reset.
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
 * ib_umem_arm_p2p() - allow the memory of an MR to be revoked
 * @umem: what ib_umem_get_p2p() returned
 * @mr: the MR, already created in the adapter
 *
 * The last step of reg_user_mr(). revoke_user_mr() may be called before this returns.
 * Does nothing for a umem of other memory.
 *
 * Context: Process context.
 * Return: 0; -EAGAIN if the provider was reset or removed since
 *	   ib_umem_get_p2p(): the driver then makes the adapter forget the MR,
 *	   and returns the error.
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
 * ib_umem_cut_off_p2p() - stop the DMA of an adapter that may still use a umem
 * @umem: what ib_umem_get_p2p() returned
 * @error: the adapter's error, for the log
 *
 * For reg_user_mr() if it fails and can't make the adapter forget the MR, or
 * does not know the outcome of a command, and for dereg_mr() if it releases the
 * umem although the adapter did not destroy the MR. Stops all DMA of the
 * adapter, as if revoke_user_mr() had failed. The driver may then call
 * ib_umem_release(). Does nothing for a umem of other memory.
 *
 * Context: Process context. May sleep.
 * Return: true if @umem is peer-to-peer memory: its provider may be waiting for
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
 * @umem: a umem of peer-to-peer memory
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

	/*
	 * Before taking the lock, which revocation waits for: this waits for
	 * dumps of the MR, which may allocate memory.
	 */
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
 * ib_umem_p2p_abandon() - release the memory of an MR after dereg_mr() failed
 * @mr: an MR of any memory
 *
 * The driver's dereg_mr() is not called again, and the adapter may be removed
 * before the provider.
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
 * @error: the error of reg_user_mr()
 *
 * If the adapter has no route to the memory, the reason is in the log already.
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
