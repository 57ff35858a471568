// SPDX-License-Identifier: GPL-2.0
/*
 * Host bridges that the administrator trusts to forward peer-to-peer requests.
 *
 * PCI does not require a host bridge to forward requests from one root port to
 * another, and there is no way to find out: what it does not forward is lost, or
 * goes elsewhere. So the kernel has a list of bridges that are known to. Who knows
 * better can add others, and takes the risk: the parameter taints the kernel.
 */

#include <linux/kernel.h>
#include <linux/moduleparam.h>
#include <linux/pci.h>
#include <linux/string.h>

#include "p2pdma.h"

struct p2pdma_bridge {
	u16 vendor;
	u16 device;
};

static struct p2pdma_bridge allowed[16];
static int nr_allowed;

static int host_bridges_set(const char *val, const struct kernel_param *kp)
{
	struct p2pdma_bridge list[ARRAY_SIZE(allowed)];
	unsigned int vendor, device;
	int len, nr = 0;

	for (; *val && *val != '\n'; val += len) {
		if (nr == ARRAY_SIZE(list))
			return -ENOSPC;
		if (sscanf(val, "%4x:%4x%n", &vendor, &device, &len) != 2)
			return -EINVAL;
		if (val[len] == ',')
			len++;
		else if (val[len] && val[len] != '\n')
			return -EINVAL;
		list[nr].vendor = vendor;
		list[nr++].device = device;
	}
	/* All of it, or nothing: a list with an error leaves the last one. */
	memcpy(allowed, list, nr * sizeof(*list));
	nr_allowed = nr;
	return 0;
}

static int host_bridges_get(char *buffer, const struct kernel_param *kp)
{
	int len = 0, i;

	for (i = 0; i < nr_allowed; i++)
		len += scnprintf(buffer + len, PAGE_SIZE - len, "%s%04x:%04x",
				 i ? "," : "", allowed[i].vendor,
				 allowed[i].device);
	return len + scnprintf(buffer + len, PAGE_SIZE - len, "\n");
}

static const struct kernel_param_ops host_bridges_ops = {
	.set = host_bridges_set,
	.get = host_bridges_get,
};

#undef MODULE_PARAM_PREFIX
#define MODULE_PARAM_PREFIX "pci_p2pdma."
module_param_cb_unsafe(host_bridges, &host_bridges_ops, NULL, 0444);

/**
 * p2pdma_host_bridge_allowed() - did the administrator allow a host bridge?
 * @root: the device that stands for it
 * @quiet: don't tell the log that this is why
 *
 * Context: Any.
 * Return: true if pci_p2pdma.host_bridges= on the command line names @root.
 */
bool p2pdma_host_bridge_allowed(const struct pci_dev *root, bool quiet)
{
	int i;

	for (i = 0; i < nr_allowed; i++) {
		if (root->vendor != allowed[i].vendor ||
		    root->device != allowed[i].device)
			continue;
		if (!quiet)
			pci_notice(root, "peer-to-peer DMA through this host bridge is allowed by pci_p2pdma.host_bridges=\n");
		return true;
	}
	return false;
}
