/* SPDX-License-Identifier: GPL-2.0 */
/* The device and its files, for p2p-edu.c and p2p-edu-mirror.c. */
#ifndef P2P_EDU_DEV_H
#define P2P_EDU_DEV_H

#include <linux/completion.h>
#include <linux/dma-direction.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/miscdevice.h>
#include <linux/mutex.h>
#include <linux/types.h>

struct dma_buf_attachment;
struct p2p_edu_copy;
struct p2p_edu_mirror;
struct p2p_edu_shadow;
struct pci_dev;
struct sg_table;

/* Of 4096: QEMU up to 7.2 exits if a command includes the last byte. */
#define EDU_BUFFER_USED		2048

/*
 * Open files outlive the device: the driver may be unbound, or the device
 * unplugged, while a program has them open. So this is not managed memory; the
 * last reference frees it.
 */
struct p2p_edu {
	struct kref ref;		/* the driver's, and each open file's */
	struct mutex lock;		/* the device; held for a whole transfer */
	bool gone;			/* the members below must not be used */
	bool stopped;			/* the device may no longer do DMA */
	struct pci_dev *pdev;
	void __iomem *regs;
	struct completion done;		/* of the running command */
	struct list_head files;		/* with a dma-buf attached */
	struct list_head mirrors;
	struct miscdevice misc;
	char name[32];
};

struct p2p_edu_file {
	struct p2p_edu *edu;		/* a reference */
	/* Under edu->lock: */
	struct dma_buf_attachment *attach;	/* NULL for none */
	struct list_head node;
	/* Under the lock of the dma-buf's reservation object: */
	struct sg_table *sgt;		/* NULL if not mapped */
	enum dma_data_direction dir;	/* of the mapping */
	/* NULL until it is set, once; valid until the file is closed: */
	struct p2p_edu_shadow *mirror;
};

int p2p_edu_dma(struct p2p_edu *edu, dma_addr_t addr, u32 len,
		enum dma_data_direction dir);

/* p2p-edu-mirror.c */
int p2p_edu_mirror_begin(struct p2p_edu_file *file,
			 const struct p2p_edu_mirror *arg);
int p2p_edu_mirror_copy(struct p2p_edu_file *file,
			const struct p2p_edu_copy *copy);
void p2p_edu_mirror_end(struct p2p_edu_file *file);
void p2p_edu_mirrors_stop(struct p2p_edu *edu);

#endif
