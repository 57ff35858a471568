// SPDX-License-Identifier: GPL-2.0
/* Calls of get_user_pages() and mappings for DMA, through the test modules. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>

#include "../kselftest.h"
#include "gup_call.h"
#include "hold.h"
#include "ops.h"

/*
 * Only callers that ask for peer-to-peer pages get them, and never long-term.
 */
static void check_pages(struct ops_worker *w, const struct p2p_test_gup *gup)
{
	const struct p2p_test_page *pages = w->scratch;
	bool may = gup->gup_flags & FOLL_PCI_P2PDMA &&
		   !(gup->gup_flags & FOLL_LONGTERM);
	int i;

	for (i = 0; i < gup->result; i++) {
		if (pages[i].is_p2p && !may)
			ops_wrong(w, "pages handed out, with the flags",
				  gup->gup_flags);
		if (pages[i].is_p2p && pages[i].count < 1)
			ops_wrong(w, "reference count of a page that is held",
				  pages[i].count);
	}
}

static long run_gup(struct ops_worker *w, const struct ops_call *call)
{
	static const unsigned int flags[] = {
		FOLL_PCI_P2PDMA, FOLL_PCI_P2PDMA, FOLL_PCI_P2PDMA | FOLL_WRITE,
		FOLL_PCI_P2PDMA | FOLL_WRITE, FOLL_PCI_P2PDMA | FOLL_NOFAULT,
		FOLL_WRITE, FOLL_PCI_P2PDMA | FOLL_LONGTERM,
		FOLL_PCI_P2PDMA | FOLL_WRITE | FOLL_FORCE,
	};
	struct p2p_test_gup gup = {
		.addr = (uintptr_t)ops_addr(call),
		.pages = (uintptr_t)w->scratch,
		.nr_pages = (ops_len(call) + OPS_PAGE - 1) / OPS_PAGE,
		.form = call->r[2] % P2P_TEST_NR_FORMS,
		.gup_flags = flags[call->r[3] % ARRAY_SIZE(flags)],
		.hold = call->r[4] % 4 == 0,
	};

	/* These forms get one page, and support few flags. */
	if (gup.form == P2P_TEST_FOLLOW) {
		gup.gup_flags &= FOLL_PCI_P2PDMA | FOLL_WRITE;
		gup.gup_flags |= FOLL_GET;
		gup.nr_pages = 1;
	} else if (gup.form == P2P_TEST_DUMP) {
		gup.gup_flags = 0;
		gup.nr_pages = 1;
	}
	if (ioctl(w->gup, P2P_TEST_GUP, &gup))
		return -errno;
	check_pages(w, &gup);
	return gup.result;
}

static long run_gup_put(struct ops_worker *w, const struct ops_call *call)
{
	return p2p_result(ioctl(w->gup, P2P_TEST_PUT, 0));
}

/* Makes a scatterlist of held pages, as a driver would. */
static long run_gup_sg(struct ops_worker *w, const struct ops_call *call)
{
	struct p2p_test_sg sg = {
		.lengths = (uintptr_t)w->scratch,
		.nr_entries = P2P_TEST_MAX_PAGES,
		.first = call->r[2] % 8,
	};

	return p2p_result(ioctl(w->gup, P2P_TEST_SG, &sg));
}

static long run_extents(struct ops_worker *w, const struct ops_call *call)
{
	struct p2p_test_pin pin = {
		.addr = (uintptr_t)ops_addr(call) + call->r[4] % 2 * SECTOR,
		.len = ops_len(call),
		.extents = (uintptr_t)w->scratch,
		.nr_extents = 1 + call->r[2] % 16,
		.gup_flags = call->r[3] % 4 ? FOLL_WRITE : FOLL_NOFAULT,
		.hold = call->r[3] / 4 % 4 == 0,
	};
	const struct p2p_test_extent *extents = w->scratch;
	int i;

	if (ioctl(w->extents, P2P_TEST_EXTENTS, &pin))
		return -errno;
	for (i = 0; i < pin.result; i++)
		if (extents[i].offset + extents[i].len > OPS_PAGE << extents[i].order)
			ops_wrong(w, "an extent beyond its folio", i);
	return pin.result;
}

static long run_extents_put(struct ops_worker *w, const struct ops_call *call)
{
	return p2p_result(ioctl(w->extents, P2P_TEST_PUT, 0));
}

static long run_dma(struct ops_worker *w, const struct ops_call *call)
{
	struct p2p_test_dma dma = {
		.addr = (uintptr_t)ops_addr(call),
		.segments = (uintptr_t)w->scratch,
		.nr_pages = 1 + call->r[2] % 64,
		.client = w->client,
	};

	if (!ioctl(w->dma, P2P_TEST_DMA, &dma))
		return dma.result;
	/* The list differs from its state before it was mapped. */
	if (errno == EUCLEAN)
		ops_wrong(w, "a scatterlist after unmapping", -errno);
	return -errno;
}

static long run_pool(struct ops_worker *w, const struct ops_call *call)
{
	struct p2p_test_pool pool = {
		.client = w->client,
		.len = ops_len(call),
	};

	return ioctl(w->dma, P2P_TEST_POOL, &pool) ? -errno : pool.result;
}

/* One in eight holds is not armed: removal waits until the worker ends it. */
static long run_hold(struct ops_worker *w, const struct ops_call *call)
{
	struct p2p_test_hold arg = {
		.addr = (uintptr_t)ops_addr(call) + call->r[4] % 2 * SECTOR,
		.len = ops_len(call),
		.nr = 1 + call->r[2] % 4,
		.ticket = call->r[3] % 2,
		.by_file = call->r[3] / 2 % 2,
		.write = call->r[3] / 4 % 2,
		.arm = call->r[3] / 8 % 8 != 0,
		.client = w->client,
		.has_client = 1,
		.flags = call->r[5] % (P2P_TEST_HOLD_FLAGS + 1),
	};

	if (arg.ticket)
		arg.flags &= ~P2P_TEST_HOLD_MAP;
	return hold_call(w->hold, &arg);
}

static void check_holds(struct ops_worker *w)
{
	struct p2p_test_holds look = hold_look(w->hold);

	if (look.nr_wrong)
		ops_wrong(w, "memory taken from its holder", look.nr_wrong);
}

static long run_hold_put(struct ops_worker *w, const struct ops_call *call)
{
	check_holds(w);
	return hold_put(w->hold);
}

/* Uses an armed ticket; the module checks the state. */
static long run_hold_use(struct ops_worker *w, const struct ops_call *call)
{
	return hold_use(w->hold);
}

static long run_hold_unuse(struct ops_worker *w, const struct ops_call *call)
{
	return hold_unuse(w->hold);
}

/*
 * Random ioctl numbers on the files of memory and of test drivers. Not on the importer's,
 * whose fences and vmaps would hold up a removal.
 */
static long run_ioctl(struct ops_worker *w, const struct ops_call *call)
{
	int fds[] = {
		w->gup, w->extents, w->dma, w->hold,
		w->sysfs[call->r[5] % w->stats->nr_providers],
		w->dmabufs[call->r[5] % OPS_DMABUFS],
	};
	unsigned int cmd = call->r[3] % 2 ? call->r[4] :
			   _IOC(_IOC_READ | _IOC_WRITE, 'P',
				call->r[4] % 128, call->r[4] / 128 % 128);

	return p2p_result(ioctl(fds[call->r[2] % ARRAY_SIZE(fds)], cmd, ops_addr(call)));
}

void ops_let_go(struct ops_worker *w)
{
	ioctl(w->gup, P2P_TEST_PUT, 0);
	ioctl(w->extents, P2P_TEST_PUT, 0);
	ioctl(w->importer, P2P_TEST_PUT, 0);
	check_holds(w);
	hold_put(w->hold);
	while (!hold_unuse(w->hold))
		;
}

const struct ops_op ops_gup[] = {
	{ "gup", run_gup, OPS_GUP, 16 },
	{ "gup_put", run_gup_put, OPS_GUP, 8 },
	{ "gup_sg", run_gup_sg, OPS_GUP, 2 },
	{ "extents", run_extents, OPS_GUP, 6 },
	{ "extents_put", run_extents_put, OPS_GUP, 3 },
	{ "hold", run_hold, OPS_GUP, 6 },
	{ "hold_put", run_hold_put, OPS_GUP, 4 },
	{ "hold_use", run_hold_use, OPS_GUP, 3 },
	{ "hold_unuse", run_hold_unuse, OPS_GUP, 4 },
	{ "dma_map", run_dma, OPS_GUP, 4 },
	{ "driver_memory", run_pool, OPS_GUP, 2 },
	{ "ioctl", run_ioctl, OPS_GUP, 2 },
	{ }
};
