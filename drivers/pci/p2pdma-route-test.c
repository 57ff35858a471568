// SPDX-License-Identifier: GPL-2.0
/*
 * KUnit test of the routes between PCI devices, on a tree of fake devices,
 * because emulated switches rarely have ACS.
 *
 *	00.0 host bridge
 *	01.0 root port ----- upstream port --+-- downstream port 0 -- client
 *	                                     +-- downstream port 1 -- provider
 *	02.0 root port ----- another client
 */

#include <kunit/test.h>
#include <linux/atomic.h>
#include <linux/dma-mapping.h>
#include <linux/jiffies.h>
#include <linux/list.h>
#include <linux/pci.h>
#include <linux/pci-p2pdma.h>
#include <linux/seq_buf.h>
#include <linux/sizes.h>
#include <linux/string.h>

#include "p2pdma.h"
#include "p2pdma-route.h"

#define ACS_CAP		0x100

/* A device, and the bus below it if it is a bridge. */
struct node {
	struct pci_dev dev;
	struct pci_bus below;
	char name[16];
	u16 acs_ctrl;
	bool hidden;	/* its configuration reads all ones */
};

struct tree {
	struct pci_host_bridge host;
	struct pci_bus root;
	struct node bridge, port[2], up, down[2], client[2], provider, function;
};

static int tree_read(struct pci_bus *bus, unsigned int devfn, int where,
		     int size, u32 *value)
{
	struct pci_dev *dev;
	struct node *node;

	*value = 0;
	list_for_each_entry(dev, &bus->devices, bus_list) {
		node = container_of(dev, struct node, dev);
		if (dev->devfn == devfn && where == ACS_CAP + PCI_ACS_CTRL)
			*value = node->hidden ? ~0 : node->acs_ctrl;
	}
	return PCIBIOS_SUCCESSFUL;
}

static struct pci_ops tree_ops = {
	.read = tree_read,
};

static void tree_bus(struct pci_bus *bus, struct pci_bus *parent,
		     struct pci_dev *self, int number)
{
	INIT_LIST_HEAD(&bus->devices);
	bus->parent = parent;
	bus->self = self;
	bus->ops = &tree_ops;
	bus->number = number;
}

static void tree_add(struct node *node, struct pci_bus *bus, int slot,
		     int function, int number_below)
{
	node->dev.bus = bus;
	node->dev.devfn = PCI_DEVFN(slot, function);
	node->dev.error_state = pci_channel_io_normal;
	snprintf(node->name, sizeof(node->name), "0000:%02x:%02x.%d",
		 bus->number, slot, function);
	node->dev.dev.init_name = node->name;
	list_add_tail(&node->dev.bus_list, &bus->devices);
	if (number_below) {
		node->dev.acs_cap = ACS_CAP;
		tree_bus(&node->below, bus, &node->dev, number_below);
	}
}

static int tree_init(struct kunit *test)
{
	struct tree *tree = kunit_kzalloc(test, sizeof(*tree), GFP_KERNEL);

	KUNIT_ASSERT_NOT_NULL(test, tree);
	test->priv = tree;

	tree_bus(&tree->root, NULL, NULL, 0);
	tree->root.bridge = &tree->host.dev;
	tree->host.bus = &tree->root;
	tree_add(&tree->bridge, &tree->root, 0, 0, 0);
	tree->bridge.dev.vendor = 0x1234;
	tree->bridge.dev.device = 0x5678;
	tree_add(&tree->port[0], &tree->root, 1, 0, 1);
	tree_add(&tree->port[1], &tree->root, 2, 0, 5);
	tree_add(&tree->up, &tree->port[0].below, 0, 0, 2);
	tree_add(&tree->down[0], &tree->up.below, 0, 0, 3);
	tree_add(&tree->down[1], &tree->up.below, 1, 0, 4);
	tree_add(&tree->client[0], &tree->down[0].below, 0, 0, 0);
	tree_add(&tree->provider, &tree->down[1].below, 0, 0, 0);
	tree_add(&tree->function, &tree->down[1].below, 0, 1, 0);
	tree_add(&tree->client[1], &tree->port[1].below, 0, 0, 0);
	return 0;
}

static enum pci_p2pdma_map_type path(struct tree *tree, struct node *client,
				     int *dist, char *why, size_t size)
{
	enum pci_p2pdma_map_type type;
	struct seq_buf buf;

	memset(why, 0, size);
	seq_buf_init(&buf, why, size - 1);
	type = p2pdma_explain_route(&tree->provider.dev, &client->dev, dist, &buf);
	return type;
}

static void same_switch(struct kunit *test)
{
	struct tree *tree = test->priv;
	char why[128];
	int dist;

	KUNIT_EXPECT_EQ(test, path(tree, &tree->client[0], &dist, why, sizeof(why)),
			PCI_P2PDMA_MAP_BUS_ADDR);
	KUNIT_EXPECT_EQ(test, dist, 4);
	KUNIT_EXPECT_STREQ(test, why, "");

	KUNIT_EXPECT_EQ(test, path(tree, &tree->provider, &dist, why, sizeof(why)),
			PCI_P2PDMA_MAP_BUS_ADDR);
	KUNIT_EXPECT_EQ(test, dist, 0);

	KUNIT_EXPECT_EQ(test, path(tree, &tree->function, &dist, why, sizeof(why)),
			PCI_P2PDMA_MAP_BUS_ADDR);
	KUNIT_EXPECT_EQ(test, dist, 2);
}

/* Each of the three bits, on either side, sends requests to the host bridge. */
static void acs_redirect(struct kunit *test)
{
	static const u16 bits[] = { PCI_ACS_RR, PCI_ACS_CR, PCI_ACS_EC };
	struct tree *tree = test->priv;
	char why[128], expected[64];
	int i, side, dist;

	for (i = 0; i < ARRAY_SIZE(bits); i++) {
		for (side = 0; side < 2; side++) {
			tree->down[side].acs_ctrl = bits[i];
			KUNIT_EXPECT_NE(test, path(tree, &tree->client[0], &dist,
						   why, sizeof(why)),
					PCI_P2PDMA_MAP_BUS_ADDR);
			KUNIT_EXPECT_EQ(test, dist, 4);
			snprintf(expected, sizeof(expected), " acs-redirect=%s",
				 tree->down[side].name);
			KUNIT_EXPECT_TRUE_MSG(test, strstarts(why, expected),
					      "%s", why);
			tree->down[side].acs_ctrl = 0;
		}
	}

	tree->down[0].acs_ctrl = PCI_ACS_SV | PCI_ACS_TB | PCI_ACS_UF;
	KUNIT_EXPECT_EQ(test, path(tree, &tree->client[0], &dist, why, sizeof(why)),
			PCI_P2PDMA_MAP_BUS_ADDR);
}

static void acs_redirect_on_both(struct kunit *test)
{
	static const char expected[] =
		" acs-redirect=0000:02:01.0;0000:02:00.0";
	struct tree *tree = test->priv;
	char why[128];
	int dist;

	tree->down[0].acs_ctrl = PCI_ACS_RR;
	tree->down[1].acs_ctrl = PCI_ACS_RR;
	path(tree, &tree->client[0], &dist, why, sizeof(why));
	KUNIT_EXPECT_TRUE_MSG(test, strstarts(why, expected), "%s", why);
}

/* The common bridge matters, those above it do not. */
static void acs_redirect_above(struct kunit *test)
{
	struct tree *tree = test->priv;
	char why[128];
	int dist;

	tree->up.acs_ctrl = PCI_ACS_RR | PCI_ACS_CR;
	KUNIT_EXPECT_NE(test, path(tree, &tree->client[0], &dist, why, sizeof(why)),
			PCI_P2PDMA_MAP_BUS_ADDR);
	tree->up.acs_ctrl = 0;

	tree->port[0].acs_ctrl = PCI_ACS_RR | PCI_ACS_CR;
	KUNIT_EXPECT_EQ(test, path(tree, &tree->client[0], &dist, why, sizeof(why)),
			PCI_P2PDMA_MAP_BUS_ADDR);
	KUNIT_EXPECT_STREQ(test, why, "");
}

/* While a bridge on the way can't be read, there is no route by bus address. */
static void expect_unknown(struct kunit *test, bool unknown)
{
	struct tree *tree = test->priv;
	char why[128];
	int dist;

	KUNIT_EXPECT_EQ(test, unknown,
			path(tree, &tree->client[0], &dist, why, sizeof(why)) !=
			PCI_P2PDMA_MAP_BUS_ADDR);
	KUNIT_EXPECT_EQ_MSG(test, unknown,
			    strstarts(why, " acs-unknown=0000:02:00.0"),
			    "%s", why);
	/* That bridge is not on the way of the other client. */
	path(tree, &tree->client[1], &dist, why, sizeof(why));
	KUNIT_EXPECT_PTR_EQ_MSG(test, strstr(why, "acs"), NULL, "%s", why);
}

static void being_reset(struct kunit *test)
{
	struct tree *tree = test->priv;
	struct node *down = &tree->down[0];

	expect_unknown(test, false);
	down->hidden = true;
	expect_unknown(test, true);
	down->hidden = false;

	down->dev.block_cfg_access = 1;
	expect_unknown(test, true);
	down->dev.block_cfg_access = 0;

	down->dev.error_state = pci_channel_io_frozen;
	expect_unknown(test, true);
	down->dev.error_state = pci_channel_io_normal;

	down->dev.current_state = PCI_D3cold;
	expect_unknown(test, true);
	down->dev.current_state = PCI_D0;
	expect_unknown(test, false);
}

static void other_root_port(struct kunit *test)
{
	struct tree *tree = test->priv;
	char why[128];
	int dist;

	/* With some CPUs any host bridge is allowed. */
	if (path(tree, &tree->client[1], &dist, why, sizeof(why)) ==
	    PCI_P2PDMA_MAP_THRU_HOST_BRIDGE)
		KUNIT_EXPECT_STREQ(test, why, "");
	else
		KUNIT_EXPECT_STREQ(test, why,
				   " host-bridge=0000:00:00.0,1234:5678");
	KUNIT_EXPECT_EQ(test, dist, 6);
}

/* Only writes to ACS control make the kernel forget its routes. */
static void written_by_userspace(struct kunit *test)
{
	struct tree *tree = test->priv;
	struct pci_dev *bridge = &tree->down[0].dev;
	int before = atomic_read(&pci_p2pdma_generation);

	pci_p2pdma_config_written(bridge, PCI_COMMAND, 2);
	pci_p2pdma_config_written(bridge, ACS_CAP + PCI_ACS_CTRL - 2, 2);
	pci_p2pdma_config_written(bridge, ACS_CAP + PCI_ACS_CTRL + 2, 2);
	pci_p2pdma_config_written(&tree->provider.dev, PCI_ACS_CTRL, 2);
	KUNIT_EXPECT_EQ(test, atomic_read(&pci_p2pdma_generation), before);

	pci_p2pdma_config_written(bridge, ACS_CAP + PCI_ACS_CTRL, 2);
	KUNIT_EXPECT_EQ(test, atomic_read(&pci_p2pdma_generation), before + 2);
	pci_p2pdma_config_written(bridge, ACS_CAP + PCI_ACS_CTRL - 2, 4);
	KUNIT_EXPECT_EQ(test, atomic_read(&pci_p2pdma_generation), before + 4);
	pci_p2pdma_config_written(bridge, ACS_CAP + PCI_ACS_CTRL + 1, 1);
	KUNIT_EXPECT_EQ(test, atomic_read(&pci_p2pdma_generation), before + 6);
}

/*
 * pci_p2pdma_route() is right whether a slot holds the route or not. Two
 * devices share a slot here. Neither is a PCI device, so no topology is needed.
 */
static void slots(struct kunit *test)
{
	char *room = kunit_kzalloc(test, SZ_64K, GFP_KERNEL);
	struct p2pdma_provider *provider;
	struct pci_p2pdma_map_state state;
	struct p2pdma_route_slot *slot;
	struct device *dev[2];
	unsigned int now;
	int i;

	provider = kunit_kzalloc(test, sizeof(*provider), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, provider);
	KUNIT_ASSERT_NOT_NULL(test, room);
	provider->live = true;
	dev[0] = (struct device *)room;
	dev[1] = (struct device *)(room + SZ_32K);
	slot = pci_p2pdma_slot(provider, dev[0]);
	KUNIT_ASSERT_PTR_EQ(test, slot, pci_p2pdma_slot(provider, dev[1]));

	for (i = 0; i < 2; i++) {
		pci_p2pdma_route(&state, dev[0], provider);
		KUNIT_EXPECT_EQ(test, state.map, PCI_P2PDMA_MAP_NOT_SUPPORTED);
		KUNIT_EXPECT_EQ(test, slot->key,
				(unsigned long)dev[0] + PCI_P2PDMA_MAP_NOT_SUPPORTED);
	}

	/* The slot changes hands at most once per tick. */
	do {
		slot->key = (unsigned long)dev[0] + PCI_P2PDMA_MAP_NOT_SUPPORTED;
		now = jiffies;
		slot->filled = now;
		pci_p2pdma_route(&state, dev[1], provider);
		KUNIT_EXPECT_EQ(test, state.map, PCI_P2PDMA_MAP_NOT_SUPPORTED);
	} while (now != (unsigned int)jiffies);
	KUNIT_EXPECT_EQ(test, slot->key & ~P2PDMA_ROUTE_MASK, (unsigned long)dev[0]);
	slot->filled = now - HZ;
	pci_p2pdma_route(&state, dev[1], provider);
	KUNIT_EXPECT_EQ(test, slot->key & ~P2PDMA_ROUTE_MASK, (unsigned long)dev[1]);

	/* An outdated slot changes hands at once. */
	slot->filled = jiffies;
	pci_p2pdma_routes_changed();
	pci_p2pdma_route(&state, dev[0], provider);
	KUNIT_EXPECT_EQ(test, slot->key & ~P2PDMA_ROUTE_MASK, (unsigned long)dev[0]);

	/* A slot that another CPU is filling is neither changed nor used. */
	slot->generation = 1;
	slot->filled = now - HZ;
	slot->key = (unsigned long)dev[1] + PCI_P2PDMA_MAP_BUS_ADDR;
	pci_p2pdma_route(&state, dev[1], provider);
	KUNIT_EXPECT_EQ(test, state.map, PCI_P2PDMA_MAP_NOT_SUPPORTED);
	KUNIT_EXPECT_EQ(test, slot->generation, 1);
}

/* There is no route to a stopped provider, whatever a slot says. */
static void stopped(struct kunit *test)
{
	struct tree *tree = test->priv;
	struct device *dev = &tree->client[0].dev.dev;
	struct p2pdma_provider *provider;
	struct pci_p2pdma_map_state state;
	struct p2pdma_route_slot *slot;
	u64 mask = DMA_BIT_MASK(64);

	provider = kunit_kzalloc(test, sizeof(*provider), GFP_KERNEL);
	KUNIT_ASSERT_NOT_NULL(test, provider);
	dev->bus = &pci_bus_type;
	dev->dma_mask = &mask;
	provider->live = true;
	slot = pci_p2pdma_slot(provider, dev);
	slot->key = (unsigned long)dev + PCI_P2PDMA_MAP_BUS_ADDR;
	slot->generation = atomic_read(&pci_p2pdma_generation);
	pci_p2pdma_route(&state, dev, provider);
	KUNIT_EXPECT_EQ(test, state.map, PCI_P2PDMA_MAP_BUS_ADDR);
	KUNIT_EXPECT_EQ(test, state.bus_end, U64_MAX);

	/* The topology is not looked at: @provider has no device. */
	p2pdma_provider_stop(provider);
	pci_p2pdma_route(&state, dev, provider);
	KUNIT_EXPECT_EQ(test, state.map, PCI_P2PDMA_MAP_NOT_SUPPORTED);
	KUNIT_EXPECT_EQ(test, state.bus_end, 0);
}

static struct kunit_case route_cases[] = {
	KUNIT_CASE(same_switch),
	KUNIT_CASE(acs_redirect),
	KUNIT_CASE(acs_redirect_on_both),
	KUNIT_CASE(acs_redirect_above),
	KUNIT_CASE(being_reset),
	KUNIT_CASE(other_root_port),
	KUNIT_CASE(written_by_userspace),
	KUNIT_CASE(slots),
	KUNIT_CASE(stopped),
	{}
};

static struct kunit_suite route_suite = {
	.name = "p2pdma-route",
	.init = tree_init,
	.test_cases = route_cases,
};

kunit_test_suites(&route_suite);
