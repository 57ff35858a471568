/* SPDX-License-Identifier: GPL-2.0 */
/* How get_user_pages() treats mappings of peer-to-peer memory. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM vm_p2p

#if !defined(_TRACE_VM_P2P_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_VM_P2P_H

#include <linux/mm_types.h>
#include <linux/tracepoint.h>

DECLARE_EVENT_CLASS(p2p_gup,

	TP_PROTO(unsigned long pfn, unsigned long nr_pages,
		 unsigned int gup_flags),

	TP_ARGS(pfn, nr_pages, gup_flags),

	TP_STRUCT__entry(
		__field(unsigned long, pfn)
		__field(unsigned long, nr_pages)
		__field(unsigned int, gup_flags)
	),

	TP_fast_assign(
		__entry->pfn = pfn;
		__entry->nr_pages = nr_pages;
		__entry->gup_flags = gup_flags;
	),

	TP_printk("pfn=0x%lx nr_pages=%lu gup_flags=0x%x", __entry->pfn,
		  __entry->nr_pages, __entry->gup_flags)
);

/* The lockless walk found physically contiguous pages. */
DEFINE_EVENT(p2p_gup, p2p_gup_fast,
	TP_PROTO(unsigned long pfn, unsigned long nr_pages,
		 unsigned int gup_flags),
	TP_ARGS(pfn, nr_pages, gup_flags)
);

/* A walk under the mmap_lock found physically contiguous pages. */
DEFINE_EVENT(p2p_gup, p2p_gup_locked,
	TP_PROTO(unsigned long pfn, unsigned long nr_pages,
		 unsigned int gup_flags),
	TP_ARGS(pfn, nr_pages, gup_flags)
);

/*
 * A caller was refused a mapping: -EREMOTEIO for lack of FOLL_PCI_P2PDMA,
 * -EOPNOTSUPP for a long-term pin.
 */
TRACE_EVENT(p2p_gup_refused,

	TP_PROTO(const struct vm_area_struct *vma, unsigned int gup_flags,
		 int error),

	TP_ARGS(vma, gup_flags, error),

	TP_STRUCT__entry(
		__field(unsigned long, start)
		__field(unsigned long, end)
		__field(unsigned int, gup_flags)
		__field(int, error)
		__field(unsigned int, reason)	/* for __print_symbolic(), which is unsigned */
	),

	TP_fast_assign(
		__entry->start = vma->vm_start;
		__entry->end = vma->vm_end;
		__entry->gup_flags = gup_flags;
		__entry->error = error;
		__entry->reason = -error;
	),

	TP_printk("mapping=0x%lx-0x%lx gup_flags=0x%x error=%d reason=%s",
		  __entry->start, __entry->end, __entry->gup_flags,
		  __entry->error,
		  __print_symbolic(__entry->reason,
			{ EREMOTEIO, "no-peer-to-peer-support" },
			{ EOPNOTSUPP, "long-term-pin" }))
);

#endif /* _TRACE_VM_P2P_H */

/* This part must be outside protection */
#include <trace/define_trace.h>
