/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Backing pages of the device private pages of lib/test_hmm.c: in RAM or, with
 * the parameter p2p_provider, in the BAR of a PCI device. Other devices can
 * access the data in the BAR, as they could with a driver of a device that has
 * its own memory.
 *
 * Such a driver adds the memory itself, and migrates its contents to RAM in
 * remove(). Here the memory belongs to another driver, so a bus notifier
 * reports when that driver is about to be unbound. Until then the memory stays
 * mapped. But it is inaccessible while its device is being reset. A real driver
 * handles that in reset_prepare(); with this one, don't reset the device.
 *
 * Lock order: device_lock(), dmirror_change_lock, dmirror_provider_lock. Pages
 * are allocated with the mmap_lock held, so allocation takes only the last one.
 */
#ifndef _LIB_TEST_HMM_P2P_H
#define _LIB_TEST_HMM_P2P_H

#include <linux/device/bus.h>
#include <linux/highmem.h>
#include <linux/io.h>
#include <linux/memremap.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/p2pdma-map.h>
#include <linux/pci.h>
#include <linux/pci-p2pdma.h>
#include <linux/sched.h>
#include <linux/string.h>

/* The CPU accesses a BAR with functions for I/O memory. */
static inline void __iomem *dmirror_place_io(struct page *place)
{
	return (void __iomem __force *)page_address(place);
}

static void dmirror_read_place(void *to, struct page *place)
{
	void *from;

	if (is_pci_p2pdma_page(place)) {
		memcpy_fromio(to, dmirror_place_io(place), PAGE_SIZE);
		return;
	}
	from = kmap_local_page(place);
	memcpy(to, from, PAGE_SIZE);
	kunmap_local(from);
}

static void dmirror_write_place(struct page *place, const void *from)
{
	void *to;

	if (is_pci_p2pdma_page(place)) {
		memcpy_toio(dmirror_place_io(place), from, PAGE_SIZE);
		/* The BAR may be write-combining; another device reads next. */
		wmb();
		return;
	}
	to = kmap_local_page(place);
	memcpy(to, from, PAGE_SIZE);
	kunmap_local(to);
}

/* At most one of the two pages is in a BAR. */
static void dmirror_copy_place(struct page *to, struct page *from)
{
	void *ram;

	if (is_pci_p2pdma_page(to)) {
		ram = kmap_local_page(from);
		dmirror_write_place(to, ram);
		kunmap_local(ram);
	} else if (is_pci_p2pdma_page(from)) {
		ram = kmap_local_page(to);
		dmirror_read_place(ram, from);
		kunmap_local(ram);
	} else {
		copy_highpage(to, from);
	}
}

static void dmirror_clear_place(struct page *place)
{
	if (is_pci_p2pdma_page(place)) {
		memset_io(dmirror_place_io(place), 0, PAGE_SIZE);
		/* See dmirror_write_place(). */
		wmb();
	} else {
		clear_highpage(place);
	}
}

#ifdef CONFIG_VM_P2P
/* Migrates what it can to RAM. */
static void dmirror_evict_all(void);

/* Device whose BAR has the backing pages. Changes under dmirror_change_lock. */
static struct pci_dev *dmirror_provider;
static DEFINE_MUTEX(dmirror_provider_lock);
static DEFINE_MUTEX(dmirror_change_lock);
static atomic_t dmirror_nr_p2p = ATOMIC_INIT(0);	/* pages in the BAR */

static struct pci_dev *dmirror_set_provider(struct pci_dev *pdev)
{
	struct pci_dev *old;

	mutex_lock(&dmirror_provider_lock);
	old = dmirror_provider;
	dmirror_provider = pdev;
	mutex_unlock(&dmirror_provider_lock);
	return old;
}

/*
 * Called with dmirror_change_lock held. A private page that is just being
 * mapped or unmapped can't be migrated, so try again.
 */
static void dmirror_change_provider(struct pci_dev *pdev)
{
	struct pci_dev *old = dmirror_set_provider(NULL);

	while (atomic_read(&dmirror_nr_p2p)) {
		dmirror_evict_all();
		if (atomic_read(&dmirror_nr_p2p))
			schedule_timeout_uninterruptible(1);
	}
	pci_dev_put(old);
	dmirror_set_provider(pdev);
}

/* Called while the driver is still bound and the memory exists. */
static int dmirror_bus_notify(struct notifier_block *nb, unsigned long action,
			      void *data)
{
	struct pci_dev *pdev = to_pci_dev(data);

	if (action != BUS_NOTIFY_UNBIND_DRIVER)
		return NOTIFY_DONE;
	mutex_lock(&dmirror_change_lock);
	if (dmirror_provider == pdev)
		dmirror_change_provider(NULL);
	mutex_unlock(&dmirror_change_lock);
	return NOTIFY_OK;
}

static struct notifier_block dmirror_bus_notifier = {
	.notifier_call = dmirror_bus_notify,
};

static int dmirror_provider_set(const char *val, const struct kernel_param *kp)
{
	unsigned int domain, bus, slot, func;
	struct pci_dev *pdev;
	int error = -ENODEV;

	if (sysfs_streq(val, "")) {
		mutex_lock(&dmirror_change_lock);
		dmirror_change_provider(NULL);
		mutex_unlock(&dmirror_change_lock);
		return 0;
	}
	if (sscanf(val, "%x:%x:%x.%x", &domain, &bus, &slot, &func) != 4)
		return -EINVAL;
	pdev = pci_get_domain_bus_and_slot(domain, bus, PCI_DEVFN(slot, func));
	if (!pdev)
		return error;

	/* Wait for an unbind under way, which removes the memory. */
	device_lock(&pdev->dev);
	mutex_lock(&dmirror_change_lock);
	if (pci_has_p2pmem(pdev)) {
		dmirror_change_provider(pci_dev_get(pdev));
		error = 0;
	}
	mutex_unlock(&dmirror_change_lock);
	device_unlock(&pdev->dev);
	pci_dev_put(pdev);
	return error;
}

static int dmirror_provider_get(char *buffer, const struct kernel_param *kp)
{
	int len;

	mutex_lock(&dmirror_provider_lock);
	len = sysfs_emit(buffer, "%s\n",
			 dmirror_provider ? pci_name(dmirror_provider) : "");
	mutex_unlock(&dmirror_provider_lock);
	return len;
}

static const struct kernel_param_ops dmirror_provider_ops = {
	.set = dmirror_provider_set,
	.get = dmirror_provider_get,
};
module_param_cb(p2p_provider, &dmirror_provider_ops, NULL, 0644);
MODULE_PARM_DESC(p2p_provider, "Address of the PCI device in whose peer-to-peer memory the data of device private pages are (default: RAM)");

static struct page *dmirror_alloc_place(void)
{
	struct page *place = NULL;
	void *addr;

	mutex_lock(&dmirror_provider_lock);
	if (!dmirror_provider) {
		mutex_unlock(&dmirror_provider_lock);
		return alloc_page(GFP_HIGHUSER);
	}
	addr = pci_alloc_p2pmem(dmirror_provider, PAGE_SIZE);
	if (addr) {
		place = virt_to_page(addr);
		atomic_inc(&dmirror_nr_p2p);
	}
	mutex_unlock(&dmirror_provider_lock);
	return place;
}

/* May be called with a page table lock held. */
static void dmirror_free_place(struct page *place)
{
	if (!is_pci_p2pdma_page(place)) {
		__free_page(place);
		return;
	}
	pci_free_p2pmem(page_p2pdma_provider(place)->pdev, page_address(place),
			PAGE_SIZE);
	/* From here on the driver may be unbound. */
	atomic_dec(&dmirror_nr_p2p);
}

static int dmirror_p2p_init(void)
{
	return bus_register_notifier(&pci_bus_type, &dmirror_bus_notifier);
}

static void dmirror_p2p_exit(void)
{
	bus_unregister_notifier(&pci_bus_type, &dmirror_bus_notifier);
	mutex_lock(&dmirror_change_lock);
	dmirror_change_provider(NULL);
	mutex_unlock(&dmirror_change_lock);
}
#else
static struct page *dmirror_alloc_place(void)
{
	return alloc_page(GFP_HIGHUSER);
}

static void dmirror_free_place(struct page *place)
{
	__free_page(place);
}

static int dmirror_p2p_init(void)
{
	return 0;
}

static void dmirror_p2p_exit(void)
{
}
#endif

#endif /* _LIB_TEST_HMM_P2P_H */
