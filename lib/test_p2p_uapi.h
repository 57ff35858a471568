/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * The ioctl() interface of the files p2p_test* in debugfs. Private to
 * lib/test_p2p*.c and the selftests.
 */
#ifndef _LIB_TEST_P2P_UAPI_H
#define _LIB_TEST_P2P_UAPI_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define P2P_TEST_MAX_PAGES	4096

/* The functions that can be called. */
enum p2p_test_form {
	P2P_TEST_GET,			/* get_user_pages() */
	P2P_TEST_GET_REMOTE,		/* get_user_pages_remote() */
	P2P_TEST_GET_UNLOCKED,
	P2P_TEST_GET_FAST,
	P2P_TEST_GET_FAST_ONLY,
	P2P_TEST_PIN,			/* pin_user_pages() */
	P2P_TEST_PIN_REMOTE,
	P2P_TEST_PIN_UNLOCKED,
	P2P_TEST_PIN_FAST,
	P2P_TEST_PIN_FAST_ONLY,
	P2P_TEST_FOLLOW,		/* follow_page(); one page */
	P2P_TEST_DUMP,			/* get_dump_page(); one page */
	P2P_TEST_ITER,			/* iov_iter_get_pages_flags() */
	P2P_TEST_ITER_ALLOC,		/* iov_iter_get_pages_alloc_flags() */
	P2P_TEST_GET_VMAS,		/* get_user_pages(), with the VMAs */
	P2P_TEST_NR_FORMS
};

/**
 * struct p2p_test_page - a page that a call returned
 * @pfn: its page frame number
 * @count: its reference count, including the references that the call took
 * @is_p2p: whether it is peer-to-peer memory
 */
struct p2p_test_page {
	__u64 pfn;
	__s32 count;
	__u32 is_p2p;
};

/**
 * struct p2p_test_gup - one call
 * @addr: (in) user address, page-aligned
 * @pages: (in) array of @nr_pages struct p2p_test_page to be filled, or 0
 * @nr_pages: (in) how many pages to ask for
 * @form: (in) enum p2p_test_form
 * @gup_flags: (in) FOLL_* flags; -EINVAL for those that the form does not allow
 * @pid: (in) for the remote forms: the process to use; 0 for the caller
 * @hold: (in) 1: keep the pages until P2P_TEST_PUT or close()
 * @result: (out) what the function returned: how many pages, or -errno;
 *	    -EBADMSG if it returned wrong VMAs
 */
struct p2p_test_gup {
	__u64 addr;
	__u64 pages;
	__u32 nr_pages;
	__u32 form;
	__u32 gup_flags;
	__s32 pid;
	__u32 hold;
	__s32 result;
};

/**
 * struct p2p_test_sg - makes a scatterlist of the held pages
 * @lengths: (in) array of @nr_entries __u32, receives the length of each entry
 * @nr_entries: (in) room in @lengths; (out) how many entries there are
 * @first: (in) how many of the pages to add in a first step; the others are
 *	   appended in a second one. 0: all in one step
 */
struct p2p_test_sg {
	__u64 lengths;
	__u32 nr_entries;
	__u32 first;
};

/**
 * struct p2p_test_extent - an extent that was pinned
 * @pfn: page frame number of its folio's first page
 * @offset: its offset in the folio, in bytes
 * @len: its length, in bytes
 * @count: the reference count of the folio, which includes the pin
 * @order: the order of the folio
 */
struct p2p_test_extent {
	__u64 pfn;
	__u64 offset;
	__u64 len;
	__s32 count;
	__u32 order;
};

/**
 * struct p2p_test_pin - one call of pin_user_p2p_extents()
 * @addr: (in) user address
 * @len: (in) length of the range, in bytes
 * @extents: (in) array of @nr_extents struct p2p_test_extent to be filled, or 0
 * @nr_extents: (in) how many extents to ask for
 * @gup_flags: (in) FOLL_WRITE, FOLL_NOFAULT
 * @hold: (in) 1: keep the pins until P2P_TEST_PUT or close()
 * @result: (out) what the function returned: how many extents, or -errno
 */
struct p2p_test_pin {
	__u64 addr;
	__u64 len;
	__u64 extents;
	__u32 nr_extents;
	__u32 gup_flags;
	__u32 hold;
	__s32 result;
};

#define P2P_TEST_GUP	_IOWR('P', 0x01, struct p2p_test_gup)
#define P2P_TEST_PUT	_IO('P', 0x02)
#define P2P_TEST_SG	_IOWR('P', 0x03, struct p2p_test_sg)
/* P2P_TEST_PUT, in softirq context. */
#define P2P_TEST_PUT_SOFTIRQ	_IO('P', 0x09)
/* in: a pfn of struct p2p_test_page; out: the rest */
#define P2P_TEST_LOOK	_IOWR('P', 0x04, struct p2p_test_page)

/* Returns the result of follow_pfn() for the address that is the argument. */
#define P2P_TEST_FOLLOW_PFN	_IO('P', 0x14)
/* Takes P2P_TEST_MANY references to the folio of the first held page. */
#define P2P_TEST_EXHAUST	_IO('P', 0x13)
#define P2P_TEST_MANY		0x40000000

/* The file p2p_test_extents, which also supports P2P_TEST_PUT. */
#define P2P_TEST_EXTENTS _IOWR('P', 0x05, struct p2p_test_pin)

/* A PCI function. */
struct p2p_test_function {
	__u32 domain;
	__u32 bus;
	__u32 devfn;
};

/**
 * struct p2p_test_segment - a page, and a DMA segment of a range of pages
 * @phys: physical address of the page
 * @page_addr: what pci_p2pdma_map_page(), or for RAM dma_map_page(), returned as the
 *	       address of the page, ~0 for an error
 * @plain_addr: what dma_map_page() returned for the page, ~0 for an error
 * @sg_addr: DMA address of the segment with this index, if there is one
 * @sg_len: its length in bytes, 0 if there is none
 * @is_bus_addr: whether the segment is marked as a bus address
 * @reaches: whether pci_p2pdma_reaches() says that the page can be reached
 * @run_reaches: the same for the pages up to this one, if they are contiguous
 * @page_is_bus_addr: whether @page_addr was reported as a bus address
 * @page_error: what pci_p2pdma_map_page() returned
 */
struct p2p_test_segment {
	__u64 phys;
	__u64 page_addr;
	__u64 plain_addr;
	__u64 sg_addr;
	__u32 sg_len;
	__u32 is_bus_addr;
	__u32 reaches;
	__u32 run_reaches;
	__u32 page_is_bus_addr;
	__s32 page_error;
};

/**
 * struct p2p_test_dma - maps user memory for DMA, and unmaps it
 * @addr: (in) user address, page-aligned
 * @segments: (in) array of @nr_pages struct p2p_test_segment to be filled
 * @mask: (in) DMA mask for the client, which must have no driver; 0: unchanged
 * @nr_pages: (in) how many pages; each is an entry of a scatterlist
 * @client: (in) the device
 * @result: (out) how many segments dma_map_sgtable() made, or -errno
 * @reserved: 0
 */
struct p2p_test_dma {
	__u64 addr;
	__u64 segments;
	__u64 mask;
	__u32 nr_pages;
	struct p2p_test_function client;
	__s32 result;
	__u32 reserved;
};

/**
 * struct p2p_test_pool - allocates and maps memory like a driver
 * @client: (in) the device that needs memory
 * @len: (in) how much memory, in bytes
 * @provider: (out) what pci_p2pmem_find_many() found
 * @distance: (out) what pci_p2pdma_distance_many() returned for both
 * @nr_entries: (out) entries of the scatterlist that pci_p2pmem_alloc_sgl() made
 * @bus_addr: (out) pci_p2pmem_virt_to_bus() of other memory of the provider
 * @single_addr: (out) what dma_map_single() returned for it, ~0 for an error
 * @sg_addr: (out) DMA address of the scatterlist's first entry
 * @sg_bytes: (out) length of all segments of the mapped scatterlist
 * @result: (out) how many segments dma_map_sgtable() made, or -errno
 */
struct p2p_test_pool {
	struct p2p_test_function client;
	__u32 len;
	struct p2p_test_function provider;
	__s32 distance;
	__u32 nr_entries;
	__s32 result;
	__u64 bus_addr;
	__u64 single_addr;
	__u64 sg_addr;
	__u64 sg_bytes;
};

/**
 * struct p2p_test_contexts - maps a page in all contexts that drivers use
 * @addr: (in) user address, page-aligned
 * @client: (in) the device
 * @runs: (in) how often, in each context
 * @process: (out) what pci_p2pdma_map_page() returned in process context, other
 *	     than -ENOMEM; 1 if it returned nothing else
 * @softirq: (out) what it returned in softirq context
 * @hardirq: (out) what it returned in hardirq context
 * @differs: (out) how often the result changed within a context
 */
struct p2p_test_contexts {
	__u64 addr;
	struct p2p_test_function client;
	__u32 runs;
	__s32 process;
	__s32 softirq;
	__s32 hardirq;
	__u32 differs;
};

/* The file p2p_test_dma. */
#define P2P_TEST_DMA	_IOWR('P', 0x06, struct p2p_test_dma)
/* Fails with ENODEV if no provider can be used by the client. */
#define P2P_TEST_POOL	_IOWR('P', 0x07, struct p2p_test_pool)
/* Drops cached routes before each mapping. Fails with ETIME after a timeout. */
#define P2P_TEST_CONTEXTS _IOWR('P', 0x0c, struct p2p_test_contexts)

/* How long a mapping of a range is kept. */
enum p2p_test_keep {
	P2P_TEST_KEEP_NOT,		/* it is unmapped at once */
	P2P_TEST_KEEP,			/* kept until P2P_TEST_PUT or close() */
	P2P_TEST_KEEP_REVOCABLE,	/* or until the provider revokes it */
};

/**
 * struct p2p_test_range - maps memory without struct pages for DMA
 * @addr: (in) user address
 * @len: (in) length, in bytes
 * @skip: (in) bytes of the range to skip at @addr; need not be mapped there
 * @client: (in) the device
 * @write: (in) whether the device will write to the memory
 * @keep: (in) enum p2p_test_keep
 * @result: (out) 0; -ENOTTY if @addr is memory of another kind; -ENXIO if there is
 *	    no such device; or what pci_p2p_range_of_user() or pci_p2p_range_map()
 *	    returned
 * @offset: (out) offset of the memory at @addr in the range
 * @dma_addr: (out) the address that @client would use
 */
struct p2p_test_range {
	__u64 addr;
	__u64 len;
	__u64 skip;
	struct p2p_test_function client;
	__u32 write;
	__u32 keep;
	__s32 result;
	__u64 offset;
	__u64 dma_addr;
};

/**
 * struct p2p_test_create - creates memory without struct pages, and revokes it
 * @provider: (in) the device, which must have a driver
 * @bar: (in) number of the BAR
 * @offset: (in) offset in the BAR, in bytes
 * @len: (in) length, in bytes
 * @result: (out) 0; -ENXIO if there is no such device; or what
 *	    pci_p2p_range_create() returned
 * @reserved: 0
 */
struct p2p_test_create {
	struct p2p_test_function provider;
	__s32 bar;
	__u64 offset;
	__u64 len;
	__s32 result;
	__u32 reserved;
};

/* The file p2p_test_range, which also supports P2P_TEST_PUT. */
#define P2P_TEST_RANGE	_IOWR('P', 0x08, struct p2p_test_range)
#define P2P_TEST_CREATE	_IOWR('P', 0x0b, struct p2p_test_create)
/*
 * Adds memory with struct pages instead, as the device's driver might. The
 * memory stays until the driver is unbound. The result is that of
 * pci_p2pdma_add_resource().
 */
#define P2P_TEST_ADD	_IOWR('P', 0x15, struct p2p_test_create)
/* How many mappings of this file the provider has revoked. */
#define P2P_TEST_REVOKED _IO('P', 0x0a)

/* How a driver imports a dma-buf. */
enum p2p_test_importer {
	P2P_TEST_DYNAMIC,		/* unmaps in move_notify() */
	P2P_TEST_DEAF,			/* unmaps only at P2P_TEST_UNMAP */
	P2P_TEST_PINNED,		/* the same, with the memory pinned */
	P2P_TEST_RAM_ONLY,		/* can't use peer-to-peer memory */
	P2P_TEST_STATIC,		/* has no move_notify() */
	P2P_TEST_NO_IMPORTER,		/* attaches no device */
};

/**
 * struct p2p_test_attach - attaches a dma-buf to a device
 * @client: (in) the device
 * @not_pci: (in) 1: a device that is not PCI instead
 * @fd: (in) the dma-buf
 * @importer: (in) enum p2p_test_importer
 * @boundary: (in) the client's segment boundary, as a mask; 0 leaves it
 * @max_segment: (in) the client's longest segment, in bytes; 0 leaves it
 * @result: (out) 0; -ENXIO if there is no such device; or what dma_buf_get(),
 *	    dma_buf_dynamic_attach() or dma_buf_pin() returned
 *
 * A file has one dma-buf at a time, until P2P_TEST_PUT or close().
 */
struct p2p_test_attach {
	struct p2p_test_function client;
	__u32 not_pci;
	__s32 fd;
	__u32 importer;
	__u64 boundary;
	__u32 max_segment;
	__s32 result;
};

/**
 * struct p2p_test_dmabuf_map - maps the dma-buf for DMA
 * @segments: (in) array of @nr_segments struct p2p_test_segment, of which sg_addr,
 *	      sg_len and is_bus_addr are filled
 * @nr_segments: (in) room in @segments; (out) how many there are
 * @nr_entries: (out) how many scatterlist entries they come from
 * @dir: (in) enum dma_data_direction: 0 both, 1 to the device, 2 from it
 * @result: (out) what dma_buf_map_attachment() returned
 */
struct p2p_test_dmabuf_map {
	__u64 segments;
	__u32 nr_segments;
	__u32 nr_entries;
	__u32 dir;
	__s32 result;
};

/**
 * struct p2p_test_vmap - maps the dma-buf into the kernel, and accesses a word
 * @offset: (in) of the word
 * @value: the word
 * @write: (in) 1: @value is written, else read
 * @is_iomem: (out) whether the mapping is I/O memory
 * @result: (out) what dma_buf_vmap() returned
 * @reserved: 0
 */
struct p2p_test_vmap {
	__u64 offset;
	__u64 value;
	__u32 write;
	__u32 is_iomem;
	__s32 result;
	__u32 reserved;
};

/* The file p2p_test_dmabuf, which also supports P2P_TEST_PUT. */
#define P2P_TEST_ATTACH	 _IOWR('P', 0x30, struct p2p_test_attach)
#define P2P_TEST_MAP	 _IOWR('P', 0x31, struct p2p_test_dmabuf_map)
#define P2P_TEST_UNMAP	 _IO('P', 0x32)
/* How often move_notify() was called. */
#define P2P_TEST_NOTIFIED _IO('P', 0x33)
/* Adds a fence, as if DMA had begun, and signals it. */
#define P2P_TEST_FENCE	 _IO('P', 0x34)
#define P2P_TEST_SIGNAL	 _IO('P', 0x35)
#define P2P_TEST_VMAP	 _IOWR('P', 0x36, struct p2p_test_vmap)
#define P2P_TEST_VUNMAP	 _IO('P', 0x37)

/*
 * The file p2p_test_stall, which can be open only once at a time. The calling
 * thread stops when it allocates its next page table or, with an argument of n,
 * after n others.
 */
#define P2P_TEST_STALL	 _IO('P', 0x10)
/* Returns 1 while the thread is stopped, else 0. */
#define P2P_TEST_STALLED _IO('P', 0x11)
#define P2P_TEST_GO_ON	 _IO('P', 0x12)

/* What revoke() and pause() of a holder do. */
#define P2P_TEST_HOLD_MMAP_LOCK	1	/* take the mmap_lock of the caller */
#define P2P_TEST_HOLD_END_USES	2	/* end the uses */
#define P2P_TEST_HOLD_MAP	4	/* unmap the lease, mapped by the client */
#define P2P_TEST_HOLD_FLAGS	7

/**
 * struct p2p_test_hold - holds memory, until P2P_TEST_PUT or close()
 * @addr: (in) user address
 * @len: (in) length, in bytes
 * @extents: (in) array of @nr_extents struct p2p_test_extent to be filled, or 0;
 *	     for memory without struct pages, pfn, count and order are 0, and
 *	     offset is the physical address
 * @nr_extents: (in) room in @extents; (out) how many extents a hold has
 * @nr: (in) how many holds to create, at least 1
 * @ticket: (in) whether they are tickets, rather than leases
 * @write: (in) whether a device will write to the memory
 * @arm: (in) whether to arm them at once
 * @by_file: (in) 1: pin the memory, and use p2p_hold_create()
 * @client: (in) the device that will use the memory
 * @has_client: (in) whether there is one
 * @flags: (in) P2P_TEST_HOLD_*
 * @delay: (in) how long revoke() and pause() take, in milliseconds
 * @result: (out) 0; -ENOTTY if the memory is of another kind; or the error of
 *	    the function that failed; after an error there is no hold
 * @reserved: 0
 */
struct p2p_test_hold {
	__u64 addr;
	__u64 len;
	__u64 extents;
	__u32 nr_extents;
	__u32 nr;
	__u32 ticket;
	__u32 write;
	__u32 arm;
	__u32 by_file;
	struct p2p_test_function client;
	__u32 has_client;
	__u32 flags;
	__u32 delay;
	__s32 result;
	__u32 reserved;
};

/**
 * struct p2p_test_holds - state of the holds of a file
 * @nr_revoke: how often revoke() has returned
 * @nr_pause: how often pause() has returned
 * @nr_revoked: how many holds are revoked
 * @nr_wrong: how often revoke() found a folio with too few references
 */
struct p2p_test_holds {
	__u32 nr_revoke;
	__u32 nr_pause;
	__u32 nr_revoked;
	__u32 nr_wrong;
};

/* The file p2p_test_hold, which also supports P2P_TEST_PUT. */
#define P2P_TEST_HOLD		_IOWR('P', 0x20, struct p2p_test_hold)
/* Arms all holds, once; fails with ENODEV if one was revoked. */
#define P2P_TEST_HOLD_ARM	_IO('P', 0x21)
/*
 * Begins or ends a use of the first hold, which must be an armed ticket. A use
 * can also end after P2P_TEST_PUT.
 */
#define P2P_TEST_HOLD_USE	_IO('P', 0x22)
#define P2P_TEST_HOLD_UNUSE	_IO('P', 0x23)
/* Waits until the first hold can be used. */
#define P2P_TEST_HOLD_WAIT	_IO('P', 0x24)
#define P2P_TEST_HOLD_LOOK	_IOR('P', 0x25, struct p2p_test_holds)

/* Flags of struct p2p_test_entry. */
#define P2P_TEST_HMM_VALID	1	/* up to BUS: the HMM_PFN_* flags */
#define P2P_TEST_HMM_WRITE	2
#define P2P_TEST_HMM_ERROR	4
#define P2P_TEST_HMM_P2P	8
#define P2P_TEST_HMM_BUS	16
#define P2P_TEST_HMM_MAPPED	32	/* the client could map it for DMA */
#define P2P_TEST_HMM_IS_BUS	64	/* and got a bus address */

/**
 * struct p2p_test_entry - a page that is mirrored
 * @pfn: its page frame number, 0 if it is not valid
 * @dma_addr: its DMA address for the client
 * @flags: P2P_TEST_HMM_*
 * @order: order of its page table entry
 */
struct p2p_test_entry {
	__u64 pfn;
	__u64 dma_addr;
	__u32 flags;
	__u32 order;
};

/**
 * struct p2p_test_hmm - mirrors memory of the calling process, until P2P_TEST_PUT,
 *			 close(), or the next one
 * @addr: (in) user address, page-aligned
 * @entries: (in) array of @nr_pages struct p2p_test_entry to be filled
 * @nr_pages: (in) how many pages
 * @fault: (in) 1: all pages are required; 2: for writing; 0: none
 * @client: (in) the device that mirrors it, and briefly maps it for DMA
 * @not_pci: (in) 1: a device that is not PCI instead
 * @has_client: (in) 0: no device, like a driver without support for
 *		peer-to-peer memory
 * @result: (out) what hmm_range_fault() returned; -ENXIO if there is no such device
 */
struct p2p_test_hmm {
	__u64 addr;
	__u64 entries;
	__u32 nr_pages;
	__u32 fault;
	struct p2p_test_function client;
	__u32 not_pci;
	__u32 has_client;
	__s32 result;
};

/* The file p2p_test_hmm, which also supports P2P_TEST_PUT. */
#define P2P_TEST_HMM	 _IOWR('P', 0x40, struct p2p_test_hmm)
/* How often the mirror was invalidated. */
#define P2P_TEST_HMM_CHANGED _IO('P', 0x41)

#endif /* _LIB_TEST_P2P_UAPI_H */
