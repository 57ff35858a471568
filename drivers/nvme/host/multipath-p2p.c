// SPDX-License-Identifier: GPL-2.0
/*
 * Peer-to-peer memory as data of multipath namespaces.
 *
 * A bio may take any path, so all paths must support peer-to-peer DMA.
 */
#include <linux/blk-p2p.h>

#include "nvme.h"

/*
 * Called after the paths of @head have changed. The caller holds the lock of
 * the subsystem.
 */
void nvme_mpath_update_p2p(struct nvme_ns_head *head)
{
	struct nvme_ns *ns;
	bool capable = true;

	lockdep_assert_held(&head->subsys->lock);
	if (!head->disk)
		return;

	list_for_each_entry(ns, &head->list, siblings)
		capable &= blk_queue_pci_p2pdma(ns->queue);
	if (capable && !list_empty(&head->list))
		blk_queue_flag_set(QUEUE_FLAG_PCI_P2PDMA, head->disk->queue);
	else
		blk_queue_flag_clear(QUEUE_FLAG_PCI_P2PDMA, head->disk->queue);
}

/* Implements block_device_operations.p2p_reaches. */
bool nvme_mpath_p2p_reaches(struct gendisk *disk, const struct bio_vec *bv)
{
	struct nvme_ns_head *head = disk->private_data;
	bool reaches = true;
	struct nvme_ns *ns;
	int srcu_idx;

	srcu_idx = srcu_read_lock(&head->srcu);
	list_for_each_entry_rcu(ns, &head->list, siblings,
				srcu_read_lock_held(&head->srcu))
		reaches &= bdev_p2p_reaches(ns->disk->part0, bv);
	srcu_read_unlock(&head->srcu, srcu_idx);
	return reaches;
}
