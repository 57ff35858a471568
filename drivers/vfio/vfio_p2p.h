/* SPDX-License-Identifier: GPL-2.0 */
/* Peer-to-peer memory in the DMA mappings of a container, see vfio_p2p.c. */
#ifndef _VFIO_P2P_H
#define _VFIO_P2P_H

#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/types.h>

struct iommu_domain;
struct iommu_group;
struct vfio_p2p_lease;

/* Part of a container. */
struct vfio_p2p {
	struct mutex lock;		/* see vfio_p2p.c */
	struct list_head domains;	/* of struct vfio_p2p_domain */
	struct list_head leases;	/* to be mapped in each domain */
};

/* Part of a domain of the container. */
struct vfio_p2p_domain {
	struct list_head node;
	struct iommu_domain *domain;
};

#ifdef CONFIG_PCI_P2PMEM
void vfio_p2p_init(struct vfio_p2p *p2p);
struct vfio_p2p_lease *vfio_p2p_create(struct vfio_p2p *p2p,
				       unsigned long vaddr, size_t size,
				       int prot);
void vfio_p2p_destroy(struct vfio_p2p_lease *lease);
int vfio_p2p_check(struct vfio_p2p_lease *lease, struct iommu_group *group);
int vfio_p2p_map(struct vfio_p2p_lease *lease, dma_addr_t iova);
int vfio_p2p_check_all(struct vfio_p2p *p2p, struct iommu_group *group);
int vfio_p2p_add_domain(struct vfio_p2p *p2p, struct vfio_p2p_domain *new,
			struct iommu_domain *domain);
void vfio_p2p_remove_domain(struct vfio_p2p *p2p, struct vfio_p2p_domain *old);
#else
static inline void vfio_p2p_init(struct vfio_p2p *p2p)
{
}

/* Without CONFIG_PCI_P2PMEM there is no such memory. */
static inline struct vfio_p2p_lease *
vfio_p2p_create(struct vfio_p2p *p2p, unsigned long vaddr, size_t size, int prot)
{
	return NULL;
}

static inline void vfio_p2p_destroy(struct vfio_p2p_lease *lease)
{
}

static inline int vfio_p2p_check(struct vfio_p2p_lease *lease,
				 struct iommu_group *group)
{
	return 0;
}

static inline int vfio_p2p_map(struct vfio_p2p_lease *lease, dma_addr_t iova)
{
	return 0;
}

static inline int vfio_p2p_check_all(struct vfio_p2p *p2p,
				     struct iommu_group *group)
{
	return 0;
}

static inline int vfio_p2p_add_domain(struct vfio_p2p *p2p,
				      struct vfio_p2p_domain *new,
				      struct iommu_domain *domain)
{
	return 0;
}

static inline void vfio_p2p_remove_domain(struct vfio_p2p *p2p,
					  struct vfio_p2p_domain *old)
{
}
#endif

#endif /* _VFIO_P2P_H */
