/* SPDX-License-Identifier: GPL-2.0 */
/* User MRs in peer-to-peer memory: interface for uverbs. */
#ifndef _UMEM_P2P_H
#define _UMEM_P2P_H

#include <rdma/ib_umem.h>
#include <rdma/ib_verbs.h>

static inline bool ib_umem_is_p2p(const struct ib_umem *umem)
{
	return IS_ENABLED(CONFIG_INFINIBAND_P2P) && umem->is_p2p;
}

#ifdef CONFIG_INFINIBAND_P2P

/* Drivers without revoke_user_mr() may not zero their MRs. */
static inline bool ib_mr_is_p2p(const struct ib_mr *mr)
{
	return mr->device->ops.revoke_user_mr && mr->p2p_umem;
}

int ib_umem_p2p_dereg_mr(struct ib_mr *mr, struct ib_udata *udata);
void ib_umem_p2p_abandon(struct ib_mr *mr);
void ib_umem_p2p_release(struct ib_umem *umem);
void ib_umem_p2p_explain(struct ib_device *device, int error);

#else

static inline bool ib_mr_is_p2p(const struct ib_mr *mr)
{
	return false;
}

static inline int ib_umem_p2p_dereg_mr(struct ib_mr *mr, struct ib_udata *udata)
{
	return ib_dereg_mr_user(mr, udata);
}

static inline void ib_umem_p2p_abandon(struct ib_mr *mr)
{
}

static inline void ib_umem_p2p_release(struct ib_umem *umem)
{
}

static inline void ib_umem_p2p_explain(struct ib_device *device, int error)
{
}

#endif /* CONFIG_INFINIBAND_P2P */

#endif /* _UMEM_P2P_H */
