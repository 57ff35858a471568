// SPDX-License-Identifier: GPL-2.0
/*
 * Offers the largest prefetchable BAR of a device as peer-to-peer memory.
 *
 * Stands in for the driver p2pmem-bar in kernels without the series, under its
 * name: lab/bench-kernels.sh puts it into drivers/pci of Linux 6.1 and 6.12. It
 * does what binding costs in these kernels, which is the struct pages of the BAR,
 * and has no parameters.
 */

#include <linux/module.h>
#include <linux/pci.h>
#include <linux/pci-p2pdma.h>

static int p2pmem_bar_choose(struct pci_dev *pdev)
{
	resource_size_t largest = 0;
	int bar, best = -ENODEV;

	for (bar = 0; bar < PCI_STD_NUM_BARS; bar++) {
		if ((pci_resource_flags(pdev, bar) & IORESOURCE_PREFETCH) &&
		    pci_resource_len(pdev, bar) > largest) {
			largest = pci_resource_len(pdev, bar);
			best = bar;
		}
	}

	return best;
}

static int p2pmem_bar_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	int bar = p2pmem_bar_choose(pdev);
	int error;

	if (bar < 0)
		return bar;

	error = pcim_enable_device(pdev);
	if (error)
		return error;

	error = pci_request_region(pdev, bar, "p2pmem-bar");
	if (error)
		return error;

	error = pci_p2pdma_add_resource(pdev, bar, 0, 0);
	if (error)
		return error;

	pci_p2pmem_publish(pdev, true);
	return 0;
}

static struct pci_driver p2pmem_bar_driver = {
	.name	= "p2pmem-bar",
	.probe	= p2pmem_bar_probe,
};
module_pci_driver(p2pmem_bar_driver);
