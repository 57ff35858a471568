/* SPDX-License-Identifier: GPL-2.0 */
/* The life of a buffer of PCI peer-to-peer memory. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM p2pmem

#if !defined(_TRACE_P2PMEM_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_P2PMEM_H

#include <linux/mm_types.h>
#include <linux/pci.h>
#include <linux/tracepoint.h>

/* mmap() of p2pmem/allocate. If it failed, pfn is 0. */
TRACE_EVENT(p2pmem_alloc,

	TP_PROTO(const struct pci_dev *provider, unsigned long pfn,
		 unsigned long nr_pages, int error),

	TP_ARGS(provider, pfn, nr_pages, error),

	TP_STRUCT__entry(
		__string(provider, pci_name(provider))
		__field(unsigned long, pfn)
		__field(unsigned long, nr_pages)
		__field(int, error)
	),

	TP_fast_assign(
		__assign_str(provider, pci_name(provider));
		__entry->pfn = pfn;
		__entry->nr_pages = nr_pages;
		__entry->error = error;
	),

	TP_printk("provider=%s pfn=0x%lx nr_pages=%lu error=%d",
		  __get_str(provider), __entry->pfn, __entry->nr_pages,
		  __entry->error)
);

/*
 * The last mapping of a buffer is gone. Pages that a system call or a device
 * still uses return to the pool later.
 */
TRACE_EVENT(p2pmem_release,

	TP_PROTO(unsigned long pfn, unsigned long nr_pages),

	TP_ARGS(pfn, nr_pages),

	TP_STRUCT__entry(
		__field(unsigned long, pfn)
		__field(unsigned long, nr_pages)
	),

	TP_fast_assign(
		__entry->pfn = pfn;
		__entry->nr_pages = nr_pages;
	),

	TP_printk("pfn=0x%lx nr_pages=%lu", __entry->pfn, __entry->nr_pages)
);

/* A fault was served with an entry of 1 << order pages, or refused. */
TRACE_EVENT(p2pmem_fault,

	TP_PROTO(unsigned long addr, unsigned long pfn, unsigned int order,
		 bool write, vm_fault_t result),

	TP_ARGS(addr, pfn, order, write, result),

	TP_STRUCT__entry(
		__field(unsigned long, addr)
		__field(unsigned long, pfn)
		__field(unsigned int, order)
		__field(bool, write)
		__field(unsigned int, result)
	),

	TP_fast_assign(
		__entry->addr = addr;
		__entry->pfn = pfn;
		__entry->order = order;
		__entry->write = write;
		__entry->result = (__force unsigned int)result;
	),

	TP_printk("addr=0x%lx pfn=0x%lx order=%u %s result=%s",
		  __entry->addr, __entry->pfn, __entry->order,
		  __entry->write ? "write" : "read",
		  __print_flags(__entry->result, "|", VM_FAULT_RESULT_TRACE))
);

/* Memory that held somebody else's data was cleared. */
TRACE_EVENT(p2pmem_clear,

	TP_PROTO(unsigned long pfn, unsigned long nr_pages, int error),

	TP_ARGS(pfn, nr_pages, error),

	TP_STRUCT__entry(
		__field(unsigned long, pfn)
		__field(unsigned long, nr_pages)
		__field(int, error)
	),

	TP_fast_assign(
		__entry->pfn = pfn;
		__entry->nr_pages = nr_pages;
		__entry->error = error;
	),

	TP_printk("pfn=0x%lx nr_pages=%lu error=%d", __entry->pfn,
		  __entry->nr_pages, __entry->error)
);

/* A provider loses its memory; bytes that are still in use delay it. */
TRACE_EVENT(p2pmem_revoke,

	TP_PROTO(const struct pci_dev *provider, size_t busy),

	TP_ARGS(provider, busy),

	TP_STRUCT__entry(
		__string(provider, pci_name(provider))
		__field(size_t, busy)
	),

	TP_fast_assign(
		__assign_str(provider, pci_name(provider));
		__entry->busy = busy;
	),

	TP_printk("provider=%s busy=%zu", __get_str(provider), __entry->busy)
);

#endif /* _TRACE_P2PMEM_H */

/* This part must be outside protection */
#include <trace/define_trace.h>
