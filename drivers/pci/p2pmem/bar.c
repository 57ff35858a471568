// SPDX-License-Identifier: GPL-2.0
/*
 * Offers a memory BAR of any PCI device as peer-to-peer memory.
 *
 * For devices with memory behind a BAR that no other driver manages. The driver
 * binds only on request, by driver_override or new_id, and touches nothing but
 * the BAR's address range:
 *
 *	# cd /sys/bus/pci/devices/0000:03:00.0
 *	# echo p2pmem-bar > driver_override
 *	# echo 0000:03:00.0 > /sys/bus/pci/drivers_probe
 *	# cat p2pmem/size
 */

#include <linux/ioport.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/mmzone.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/pci-p2p-range.h>
#include <linux/pci-p2pdma.h>
#include <linux/pgtable.h>
#include <linux/security.h>
#include <linux/sizes.h>
#include <linux/slab.h>

/* The parameters apply to devices that are bound after they were set. */
static int p2pmem_bar_bar = -1;
module_param_named(bar, p2pmem_bar_bar, int, 0644);
MODULE_PARM_DESC(bar, "Number of the BAR, 0 to 5 (default -1: the largest prefetchable memory BAR)");

static unsigned long long p2pmem_bar_offset;
module_param_named(offset, p2pmem_bar_offset, ullong, 0644);
MODULE_PARM_DESC(offset, "Offset of the memory in the BAR, in bytes, a multiple of 2 MiB, or of a page if size is smaller than 2 MiB (default 0)");

static unsigned long long p2pmem_bar_size;
module_param_named(size, p2pmem_bar_size, ullong, 0644);
MODULE_PARM_DESC(size, "Size of the memory, in bytes, a multiple of 2 MiB, or of a page if smaller (default 0: up to the end of the BAR)");

static unsigned long p2pmem_bar_folio_size;
module_param_named(folio_size, p2pmem_bar_folio_size, ulong, 0644);
MODULE_PARM_DESC(folio_size, "Make the memory of folios of this size, in bytes, 2 MiB or 1 GiB: less memory for struct pages, but nothing smaller can be allocated (default 0: folios as they are needed)");

static int p2pmem_bar_choose(struct pci_dev *pdev)
{
	resource_size_t largest = 0;
	int bar, best = -ENODEV;

	for (bar = 0; bar < PCI_STD_NUM_BARS; bar++) {
		unsigned long flags = pci_resource_flags(pdev, bar);

		if (!(flags & IORESOURCE_MEM) ||
		    !(flags & IORESOURCE_PREFETCH) ||
		    pci_resource_len(pdev, bar) <= largest)
			continue;

		largest = pci_resource_len(pdev, bar);
		best = bar;
	}

	if (best < 0)
		pci_err(pdev, "no prefetchable memory BAR; choose another one with the parameter bar=\n");
	return best;
}

/* Checks that the device has such a memory BAR, with an address. */
static int p2pmem_bar_check_bar(struct pci_dev *pdev, int bar)
{
	if (bar < 0 || bar >= PCI_STD_NUM_BARS) {
		pci_err(pdev, "bar=%d: BARs have the numbers 0 to %d\n",
			bar, PCI_STD_NUM_BARS - 1);
		return -EINVAL;
	}
	if (!pci_resource_len(pdev, bar)) {
		pci_err(pdev, "BAR %d: the device has no such BAR\n", bar);
		return -EINVAL;
	}
	if (!(pci_resource_flags(pdev, bar) & IORESOURCE_MEM)) {
		pci_err(pdev, "BAR %d: is an I/O BAR, not memory\n", bar);
		return -EINVAL;
	}
	if (pci_resource_flags(pdev, bar) & IORESOURCE_UNSET) {
		pci_err(pdev, "BAR %d: was not given an address; see the kernel log, and pci=realloc\n",
			bar);
		return -EINVAL;
	}
	return 0;
}

static bool p2pmem_bar_overlaps(struct pci_dev *pdev, int reg, u64 len, int bar,
				u64 offset, u64 size)
{
	u32 at;

	pci_read_config_dword(pdev, reg, &at);
	if ((at & PCI_MSIX_TABLE_BIR) != bar)
		return false;
	at &= PCI_MSIX_TABLE_OFFSET;
	return at < offset + size && at + len > offset;
}

/* By writes to the MSI-X table, users could make the device write anywhere. */
static bool p2pmem_bar_has_msix(struct pci_dev *pdev, int bar, u64 offset,
				u64 size)
{
	int cap = pci_find_capability(pdev, PCI_CAP_ID_MSIX);
	unsigned int nr;
	u16 flags;

	if (!cap)
		return false;

	pci_read_config_word(pdev, cap + PCI_MSIX_FLAGS, &flags);
	nr = (flags & PCI_MSIX_FLAGS_QSIZE) + 1;
	return p2pmem_bar_overlaps(pdev, cap + PCI_MSIX_TABLE,
				   nr * PCI_MSIX_ENTRY_SIZE, bar, offset, size) ||
		p2pmem_bar_overlaps(pdev, cap + PCI_MSIX_PBA,
				    DIV_ROUND_UP(nr, 64) * sizeof(u64), bar,
				    offset, size);
}

/*
 * struct pages can only be added for whole subsections, which are aligned.
 * Memory that is smaller than a subsection is offered without struct pages.
 */
static bool p2pmem_bar_is_pageless(u64 size)
{
	return IS_ENABLED(CONFIG_PCI_P2PMEM) && size < SUBSECTION_SIZE;
}

static int p2pmem_bar_check_range(struct pci_dev *pdev, int bar, u64 offset,
				  u64 *size)
{
	u64 len = pci_resource_len(pdev, bar);
	u64 least = SUBSECTION_SIZE;

	if (offset >= len || *size > len - offset) {
		pci_err(pdev, "BAR %d: offset=%#llx size=%#llx lies outside of its %#llx bytes\n",
			bar, offset, *size, len);
		return -EINVAL;
	}
	if (!*size)
		*size = len - offset;

	if (p2pmem_bar_has_msix(pdev, bar, offset, *size)) {
		pci_err(pdev, "BAR %d: the MSI-X table or pending bits lie in it; leave them out with the parameters offset= and size=\n",
			bar);
		return -EINVAL;
	}
	if (p2pmem_bar_is_pageless(*size))
		least = PAGE_SIZE;
	if (*size < least) {
		pci_err(pdev, "BAR %d: %#llx bytes are too small, %#llx are the least\n",
			bar, *size, least);
		return -EINVAL;
	}
	if (!IS_ALIGNED(pci_resource_start(pdev, bar) + offset, least) ||
	    !IS_ALIGNED(*size, least)) {
		pci_err(pdev, "BAR %d: address %#llx and size %#llx must be multiples of %#llx; adjust with the parameters offset= and size=\n",
			bar, (u64)pci_resource_start(pdev, bar) + offset, *size,
			least);
		return -EINVAL;
	}
	return 0;
}

static int p2pmem_bar_folio_order(struct pci_dev *pdev, int bar, u64 offset,
				  u64 size)
{
	unsigned long folio_size = p2pmem_bar_folio_size;

	if (!folio_size)
		return 0;

	if (!IS_ENABLED(CONFIG_PCI_P2PMEM)) {
		pci_err(pdev, "BAR %d: folio_size=%lu needs a kernel with CONFIG_PCI_P2PMEM\n",
			bar, folio_size);
		return -EOPNOTSUPP;
	}
	if (folio_size != PMD_SIZE && folio_size != PUD_SIZE) {
		pci_err(pdev, "BAR %d: folio_size=%lu: there are folios of %lu and of %lu bytes\n",
			bar, folio_size, PMD_SIZE, PUD_SIZE);
		return -EINVAL;
	}
	if (!IS_ALIGNED(pci_resource_start(pdev, bar) + offset, folio_size) ||
	    !IS_ALIGNED(size, folio_size)) {
		pci_err(pdev, "BAR %d: address %#llx and size %#llx must be multiples of folio_size=%lu; choose another folio_size=, offset= or size=\n",
			bar, (u64)pci_resource_start(pdev, bar) + offset, size,
			folio_size);
		return -EINVAL;
	}
	return ilog2(folio_size) - PAGE_SHIFT;
}

/* For client drivers that support ranges. The range is removed on unbind. */
static int p2pmem_bar_add_range(struct pci_dev *pdev, int bar, u64 offset,
				u64 size)
{
	struct pci_p2p_range *range;
	int error;

	range = pci_p2p_range_create(pdev, bar, offset, size);
	error = PTR_ERR_OR_ZERO(range);
	if (!error)
		error = pci_p2p_range_publish(range);
	if (error) {
		pci_err(pdev, "BAR %d: can't be used as peer-to-peer memory: %d\n",
			bar, error);
		return error;
	}
	pci_info(pdev, "BAR %d: %llu KiB of peer-to-peer memory without struct pages at offset %#llx: not for O_DIRECT; see p2pmem/range\n",
		 bar, size / SZ_1K, offset);
	return 0;
}

static void p2pmem_bar_free_state(void *state)
{
	kfree(state);
}

/* Saves what a reset clears, for p2pmem_bar_restore(). */
static int p2pmem_bar_save(struct pci_dev *pdev)
{
	struct pci_saved_state *state;
	int error;

	error = pci_save_state(pdev);
	if (error)
		return error;

	state = pci_store_saved_state(pdev);
	if (!state)
		return -ENOMEM;
	pci_set_drvdata(pdev, state);
	return devm_add_action_or_reset(&pdev->dev, p2pmem_bar_free_state,
					state);
}

/* Returns whether the device decodes its BARs. */
static bool p2pmem_bar_decodes(struct pci_dev *pdev)
{
	u16 command;

	pci_read_config_word(pdev, PCI_COMMAND, &command);
	return !PCI_POSSIBLE_ERROR(command) && command & PCI_COMMAND_MEMORY;
}

/*
 * After a reset without notice to the PCI core, the BARs have their power-on
 * values. After any other reset the core has restored them. Returns whether the
 * memory can be reached.
 */
static bool p2pmem_bar_restore(struct pci_dev *pdev)
{
	if (p2pmem_bar_decodes(pdev))
		return true;
	if (pci_load_saved_state(pdev, pci_get_drvdata(pdev)))
		return false;
	pci_restore_state(pdev);
	return p2pmem_bar_decodes(pdev);
}

static int p2pmem_bar_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	u64 offset = p2pmem_bar_offset;
	u64 size = p2pmem_bar_size;
	int bar = p2pmem_bar_bar;
	int error, order;

	/* The memory gives the same access as the files resourceN. */
	error = security_locked_down(LOCKDOWN_PCI_ACCESS);
	if (error) {
		pci_err(pdev, "the kernel is locked down\n");
		return error;
	}

	if (bar == -1) {
		bar = p2pmem_bar_choose(pdev);
		if (bar < 0)
			return bar;
	}

	error = p2pmem_bar_check_bar(pdev, bar);
	if (error)
		return error;

	error = p2pmem_bar_check_range(pdev, bar, offset, &size);
	if (error)
		return error;

	order = p2pmem_bar_folio_order(pdev, bar, offset, size);
	if (order < 0)
		return order;

	error = pcim_enable_device(pdev);
	if (error) {
		pci_err(pdev, "can't be enabled: %d\n", error);
		return error;
	}

	/* An earlier driver may have left DMA enabled. */
	pci_clear_master(pdev);

	error = p2pmem_bar_save(pdev);
	if (error)
		return error;

	error = pci_request_region(pdev, bar, "p2pmem-bar");
	if (error) {
		pci_err(pdev, "BAR %d: is busy, %pR; /proc/iomem shows who uses it\n",
			bar, &pdev->resource[bar]);
		return error;
	}

	if (p2pmem_bar_is_pageless(size))
		return p2pmem_bar_add_range(pdev, bar, offset, size);

	error = pci_p2pdma_add_folios(pdev, bar, size, offset, order);
	if (error) {
		pci_err(pdev, "BAR %d: can't be used as peer-to-peer memory: %d\n",
			bar, error);
		return error;
	}
	pci_p2pmem_publish(pdev, true);

	pci_info(pdev, "BAR %d: %llu MiB of peer-to-peer memory at offset %#llx\n",
		 bar, size / SZ_1M, offset);
	return 0;
}

static void p2pmem_bar_reset_done(struct pci_dev *pdev)
{
	if (p2pmem_bar_restore(pdev))
		pci_p2pmem_resume(pdev);
	else
		pci_p2pmem_give_up(pdev);
}

static pci_ers_result_t p2pmem_bar_error_detected(struct pci_dev *pdev,
						  pci_channel_state_t state)
{
	switch (state) {
	case pci_channel_io_normal:
		/* The memory can be reached; nothing is to be recovered. */
		return PCI_ERS_RESULT_CAN_RECOVER;
	case pci_channel_io_perm_failure:
		pci_p2pmem_give_up(pdev);
		return PCI_ERS_RESULT_DISCONNECT;
	default:
		pci_p2pmem_freeze(pdev);
		return PCI_ERS_RESULT_NEED_RESET;
	}
}

static pci_ers_result_t p2pmem_bar_slot_reset(struct pci_dev *pdev)
{
	return p2pmem_bar_restore(pdev) ? PCI_ERS_RESULT_RECOVERED :
					  PCI_ERS_RESULT_DISCONNECT;
}

/* Mappings and buffers survive a reset; the data may not. */
static const struct pci_error_handlers p2pmem_bar_err_handler = {
	.error_detected	= p2pmem_bar_error_detected,
	.slot_reset	= p2pmem_bar_slot_reset,
	.resume		= pci_p2pmem_resume,
	.reset_prepare	= pci_p2pmem_pause,
	.reset_done	= p2pmem_bar_reset_done,
};

/* No remove(): devres revokes the memory and releases the BAR. */
static struct pci_driver p2pmem_bar_driver = {
	.name		= "p2pmem-bar",
	.id_table	= NULL,		/* only on request */
	.probe		= p2pmem_bar_probe,
	.err_handler	= &p2pmem_bar_err_handler,
};
module_pci_driver(p2pmem_bar_driver);

MODULE_DESCRIPTION("Generic provider of PCI peer-to-peer memory");
MODULE_AUTHOR("P2P GUP developers <p2p-gup@localhost>");
MODULE_LICENSE("GPL");
