/* SPDX-License-Identifier: GPL-2.0 */
/* Buffers as dma-bufs (dmabuf.c), and the heaps that they come from (heap.c). */
#ifndef _PCI_P2PMEM_DMABUF_H
#define _PCI_P2PMEM_DMABUF_H

#include <linux/types.h>

struct dma_buf;
struct file;
struct p2pmem;
struct pci_dev;

#ifdef CONFIG_PCI_P2PMEM_DMABUF
struct dma_buf *p2pmem_dmabuf_export(struct file *file, int flags);

void p2pmem_heap_publish(struct pci_dev *pdev, bool publish);
void p2pmem_heap_forget(struct p2pmem *p2pmem);
#else
static inline void p2pmem_heap_publish(struct pci_dev *pdev, bool publish)
{
}

static inline void p2pmem_heap_forget(struct p2pmem *p2pmem)
{
}
#endif

#endif /* _PCI_P2PMEM_DMABUF_H */
