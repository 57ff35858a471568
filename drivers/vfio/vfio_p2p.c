// SPDX-License-Identifier: GPL-2.0
/*
 * Peer-to-peer memory in the DMA mappings of a vfio container.
 *
 * RAM that a container maps is pinned until it is unmapped. Memory behind a BAR
 * may go away before that, so a mapping of it is a lease (mm/p2p_hold.c). When
 * the provider revokes the lease, it is unmapped from all IOMMU domains. The
 * user's mapping remains until the user unmaps it, but DMA to it faults.
 *
 * A container pins memory and copies from and to its user under iommu->lock, so
 * userspace can block that lock indefinitely, for example with userfaultfd. A
 * revocation must not wait for userspace. Therefore it takes p2p->lock, under
 * which user memory is never accessed:
 *
 *	iommu->lock	protects the lists of leases and of domains
 *	  group->mutex	of an IOMMU group, while its devices are checked
 *	    p2p->lock	also protects the lists, and lease->revoked; held
 *			while a lease is mapped or unmapped. IOMMU domains need
 *			no lock for different addresses.
 *
 * For the same reason a lease is armed before iommu->lock is taken, when no
 * device can use it yet. If the lease was revoked meanwhile, vfio_p2p_map()
 * returns -EAGAIN and the caller starts over. After a reset, vfio_p2p_create()
 * then returns a new lease; if the provider is gone, an error.
 *
 * A reset of a drive revokes leases, too, so the holder of p2p->lock must not
 * wait for memory to be swapped out to that drive.
 */

#include <linux/device.h>
#include <linux/err.h>
#include <linux/export.h>
#include <linux/iommu.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/p2p_hold.h>
#include <linux/pci.h>
#include <linux/pci-p2pdma.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/vm_p2p.h>

#include "vfio_p2p.h"

/* The peer-to-peer memory of a DMA mapping, which consists of nothing else. */
struct vfio_p2p_lease {
	struct vfio_p2p *p2p;
	struct p2p_hold *hold;
	struct list_head node;		/* empty until it is mapped */
	dma_addr_t iova;
	size_t size;
	int prot;
	bool revoked;
};

/**
 * vfio_p2p_init() - prepare a container for peer-to-peer memory
 * @p2p: the container's state
 *
 * Context: Any.
 */
void vfio_p2p_init(struct vfio_p2p *p2p)
{
	mutex_init(&p2p->lock);
	INIT_LIST_HEAD(&p2p->domains);
	INIT_LIST_HEAD(&p2p->leases);
}
EXPORT_SYMBOL_GPL(vfio_p2p_init);

/* Extents are folios. Map contiguous ones together. */
static int vfio_p2p_map_domain(const struct vfio_p2p_lease *lease,
			       struct iommu_domain *domain)
{
	const struct p2p_extent *extents = lease->hold->extents;
	unsigned int i, nr = lease->hold->nr_extents;
	size_t done, len;
	int error;

	for (i = 0, done = 0; i < nr; done += len) {
		phys_addr_t phys = p2p_extent_phys(&extents[i]);

		for (len = 0; i < nr &&
		     p2p_extent_phys(&extents[i]) == phys + len; i++)
			len += extents[i].len;
		error = iommu_map(domain, lease->iova + done, phys, len,
				  lease->prot | IOMMU_MMIO);
		if (error)
			goto err_unmap;
		cond_resched();
	}
	return 0;

err_unmap:
	if (done)
		iommu_unmap(domain, lease->iova, done);
	return error;
}

static int vfio_p2p_map_all(struct vfio_p2p_lease *lease)
{
	struct vfio_p2p *p2p = lease->p2p;
	struct vfio_p2p_domain *d;
	int error;

	list_for_each_entry(d, &p2p->domains, node) {
		error = vfio_p2p_map_domain(lease, d->domain);
		if (error)
			goto err_unmap;
	}
	return 0;

err_unmap:
	list_for_each_entry_continue_reverse(d, &p2p->domains, node)
		iommu_unmap(d->domain, lease->iova, lease->size);
	return error;
}

/* No device can use the addresses once iommu_unmap() has returned. */
static void vfio_p2p_unmap_all(struct vfio_p2p_lease *lease)
{
	struct vfio_p2p_domain *d;

	if (list_empty(&lease->node) || lease->revoked)
		return;
	list_for_each_entry(d, &lease->p2p->domains, node)
		iommu_unmap(d->domain, lease->iova, lease->size);
}

static void vfio_p2p_revoke(struct p2p_hold *hold)
{
	struct vfio_p2p_lease *lease = hold->private;

	mutex_lock(&lease->p2p->lock);
	vfio_p2p_unmap_all(lease);
	lease->revoked = true;
	mutex_unlock(&lease->p2p->lock);
}

static const struct p2p_hold_ops vfio_p2p_hold_ops = {
	.name	= "vfio",
	.mode	= P2P_HOLD_LEASE,
	.revoke	= vfio_p2p_revoke,
};

/**
 * vfio_p2p_create() - hold user memory if it is peer-to-peer memory
 * @p2p: the container's state
 * @vaddr: user address
 * @size: size in bytes
 * @prot: what devices may do, IOMMU_READ and IOMMU_WRITE
 *
 * The memory is not charged as locked memory of the process: it stays charged
 * to the user that allocated it.
 *
 * Context: Process context, without any lock. Waits while the provider is being reset.
 * Return: the lease, not mapped yet; NULL if there is other memory at @vaddr;
 *	   an ERR_PTR() of -EAGAIN if the lease was revoked already, or of an
 *	   error of p2p_hold_create_user(), such as -EINVAL if other memory
 *	   follows, or -ENODEV if the provider is going away.
 */
struct vfio_p2p_lease *vfio_p2p_create(struct vfio_p2p *p2p,
				       unsigned long vaddr, size_t size,
				       int prot)
{
	struct vfio_p2p_lease *lease;
	struct p2p_hold *hold;

	/* The caller reports these errors itself. */
	if (!size || !access_ok((void __user *)vaddr, size))
		return NULL;

	/*
	 * Allocate before creating the hold: a reset of a swap drive may wait
	 * for an unarmed hold.
	 */
	lease = kzalloc(sizeof(*lease), GFP_KERNEL_ACCOUNT);
	if (!lease)
		return ERR_PTR(-ENOMEM);
	lease->p2p = p2p;
	lease->size = size;
	lease->prot = prot;
	INIT_LIST_HEAD(&lease->node);

	hold = p2p_hold_create_user(vaddr, size,
				    prot & IOMMU_WRITE ? FOLL_WRITE : 0,
				    &vfio_p2p_hold_ops, NULL, lease);
	if (IS_ERR_OR_NULL(hold)) {
		kfree(lease);
		return ERR_CAST(hold);
	}
	lease->hold = hold;
	if (!p2p_hold_arm(hold))
		return lease;

	p2p_hold_destroy(hold);
	kfree(lease);
	return ERR_PTR(-EAGAIN);
}
EXPORT_SYMBOL_GPL(vfio_p2p_create);

/**
 * vfio_p2p_destroy() - unmap a lease, if it is mapped, and free it
 * @lease: the lease, in any state, or NULL
 *
 * Context: Process context. The caller holds iommu->lock if the lease was ever mapped.
 */
void vfio_p2p_destroy(struct vfio_p2p_lease *lease)
{
	if (!lease)
		return;

	mutex_lock(&lease->p2p->lock);
	vfio_p2p_unmap_all(lease);
	list_del_init(&lease->node);
	mutex_unlock(&lease->p2p->lock);

	p2p_hold_destroy(lease->hold);
	kfree(lease);
}
EXPORT_SYMBOL_GPL(vfio_p2p_destroy);

static int vfio_p2p_check_dev(struct device *dev, void *data)
{
	struct vfio_p2p_lease *lease = data;
	unsigned int noio;
	int error = 0;

	/* The group may have bridges, which do no DMA of their own. */
	if (dev_is_pci(dev) && pci_is_bridge(to_pci_dev(dev)))
		return 0;

	/*
	 * The memory exists while the lease is not revoked, since revoke()
	 * takes the lock. If the provider is being removed, the mapping is
	 * revoked soon.
	 */
	mutex_lock(&lease->p2p->lock);
	noio = memalloc_noio_save();
	if (lease->revoked)
		error = -EAGAIN;
	else if (!pci_p2p_hold_is_reached_by_iova(lease->hold, dev))
		error = -EREMOTEIO;
	memalloc_noio_restore(noio);
	mutex_unlock(&lease->p2p->lock);
	return error;
}

/**
 * vfio_p2p_check() - check whether the devices of a group reach the memory
 * @lease: the lease
 * @group: a group of the container
 *
 * Context: Process context. The caller holds iommu->lock.
 * Return: 0; -EREMOTEIO if a device does not; -EAGAIN if the lease was revoked.
 */
int vfio_p2p_check(struct vfio_p2p_lease *lease, struct iommu_group *group)
{
	return iommu_group_for_each_dev(group, lease, vfio_p2p_check_dev);
}
EXPORT_SYMBOL_GPL(vfio_p2p_check);

/**
 * vfio_p2p_map() - map a lease in all present and future domains
 * @lease: the lease; vfio_p2p_check() was called for all groups
 * @iova: the address that devices use
 *
 * Context: Process context. The caller holds iommu->lock.
 * Return: 0; -EAGAIN if the lease was revoked; errors of iommu_map().
 */
int vfio_p2p_map(struct vfio_p2p_lease *lease, dma_addr_t iova)
{
	struct vfio_p2p *p2p = lease->p2p;
	unsigned int noio;
	int error;

	mutex_lock(&p2p->lock);
	noio = memalloc_noio_save();
	lease->iova = iova;
	error = lease->revoked ? -EAGAIN : vfio_p2p_map_all(lease);
	if (!error)
		list_add(&lease->node, &p2p->leases);
	memalloc_noio_restore(noio);
	mutex_unlock(&p2p->lock);
	return error;
}
EXPORT_SYMBOL_GPL(vfio_p2p_map);

/**
 * vfio_p2p_check_all() - check whether a new group reaches all memory of a container
 * @p2p: the container's state
 * @group: the group
 *
 * Context: Process context. The caller holds iommu->lock until the leases are
 *	    mapped in the group's domain, or attaching the group has failed.
 * Return: 0; -EREMOTEIO if a device of @group does not reach a lease.
 */
int vfio_p2p_check_all(struct vfio_p2p *p2p, struct iommu_group *group)
{
	struct vfio_p2p_lease *lease;
	int error;

	list_for_each_entry(lease, &p2p->leases, node) {
		error = vfio_p2p_check(lease, group);
		/* A revoked lease is not mapped, so it does not matter. */
		if (error && error != -EAGAIN)
			return error;
	}
	return 0;
}
EXPORT_SYMBOL_GPL(vfio_p2p_check_all);

/**
 * vfio_p2p_add_domain() - map all leases of a container in a new domain
 * @p2p: the container's state
 * @new: zeroed; embedded in the owner of @domain
 * @domain: the domain
 *
 * Context: Process context. The caller holds iommu->lock.
 * Return: 0; errors of iommu_map().
 */
int vfio_p2p_add_domain(struct vfio_p2p *p2p, struct vfio_p2p_domain *new,
			struct iommu_domain *domain)
{
	struct vfio_p2p_lease *lease;
	unsigned int noio;
	int error = 0;

	mutex_lock(&p2p->lock);
	noio = memalloc_noio_save();
	list_for_each_entry(lease, &p2p->leases, node) {
		if (!lease->revoked)
			error = vfio_p2p_map_domain(lease, domain);
		if (error)
			goto err_unmap;
	}
	new->domain = domain;
	list_add(&new->node, &p2p->domains);
	goto unlock;

err_unmap:
	list_for_each_entry_continue_reverse(lease, &p2p->leases, node)
		if (!lease->revoked)
			iommu_unmap(domain, lease->iova, lease->size);
unlock:
	memalloc_noio_restore(noio);
	mutex_unlock(&p2p->lock);
	return error;
}
EXPORT_SYMBOL_GPL(vfio_p2p_add_domain);

/**
 * vfio_p2p_remove_domain() - forget a domain that is to be freed
 * @p2p: the container's state
 * @old: @new of vfio_p2p_add_domain(); still zeroed if that was not called
 *
 * Freeing the domain unmaps the leases that are mapped in it.
 *
 * Context: Process context. The caller holds iommu->lock, and no device is attached to
 *	    the domain.
 */
void vfio_p2p_remove_domain(struct vfio_p2p *p2p, struct vfio_p2p_domain *old)
{
	if (!old->domain)
		return;
	mutex_lock(&p2p->lock);
	list_del(&old->node);
	mutex_unlock(&p2p->lock);
}
EXPORT_SYMBOL_GPL(vfio_p2p_remove_domain);
