/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What lab/bench/p2p_bench.c, built into the kernels of make bench, and the
 * program that uses it, lab/guest/bench_p2p.c, tell each other.
 */
#ifndef P2P_BENCH_H
#define P2P_BENCH_H

#include <linux/types.h>

/* What this kernel can do. */
struct p2p_bench_info {
	__u32 foll_p2p;		/* its FOLL_PCI_P2PDMA; 0: it has none */
	__u32 reserved;
};

/*
 * Pins the pages of a buffer, makes a scatterlist of them with one entry a page,
 * and maps and unmaps it for DMA, rounds times. With single, maps and unmaps each
 * page by itself instead. The least time of each is returned, in cycles of the
 * time-stamp counter for the whole list.
 */
struct p2p_bench_dma {
	__u64 addr;
	__u32 nr_pages;
	__u32 gup_flags;
	__u32 domain;		/* the client's PCI address */
	__u32 bus;
	__u32 devfn;
	__u32 rounds;
	__u32 single;
	__u32 reserved;
	__u64 map;		/* out */
	__u64 unmap;		/* out */
};

/*
 * Pins a range of a VM_P2P mapping as extents, at most 64, and unpins it, rounds
 * times. The least time of each is returned, in cycles.
 */
struct p2p_bench_extents {
	__u64 addr;
	__u64 len;
	__u32 rounds;
	__s32 extents;		/* out: how many, or -errno */
	__u64 pin;		/* out */
	__u64 unpin;		/* out */
};

/*
 * Maps a page of the device's memory for DMA by one client after the other, first
 * the whole row once, then rounds times, each client twice. All of these are out,
 * in cycles of the time-stamp counter: what the slowest client took that
 *
 * cold		had never asked for the way to this memory
 * again	had, but so had all others since
 * warm		was the last to ask
 *
 * A round counts as its slowest client, the rounds as the fastest of them.
 */
struct p2p_bench_routes {
	__u64 addr;
	__u32 gup_flags;
	__u32 clients;		/* the first so many of P2P_BENCH_CLIENT */
	__u32 rounds;
	__u32 reserved;
	__u64 cold;		/* out */
	__u64 again;		/* out */
	__u64 warm;		/* out */
};

/* QEMU's pci-testdev: nothing drives it. */
#define P2P_BENCH_CLIENT	0x1b36, 0x0005

#define P2P_BENCH_INFO	_IOR('b', 1, struct p2p_bench_info)
#define P2P_BENCH_DMA	_IOWR('b', 2, struct p2p_bench_dma)
/* ENOTTY where there are no extents. */
#define P2P_BENCH_EXTENTS _IOWR('b', 3, struct p2p_bench_extents)
#define P2P_BENCH_ROUTES _IOWR('b', 4, struct p2p_bench_routes)

#endif
