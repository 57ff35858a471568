/* SPDX-License-Identifier: GPL-2.0 */
#ifndef DM_P2P_H
#define DM_P2P_H

#include <linux/types.h>

struct bio_vec;
struct dm_table;
struct gendisk;
struct request_queue;

#ifdef CONFIG_VM_P2P
void dm_table_set_p2p(struct dm_table *t, struct request_queue *q);
bool dm_p2p_reaches(struct gendisk *disk, const struct bio_vec *bv);
#else
static inline void dm_table_set_p2p(struct dm_table *t, struct request_queue *q)
{
}
#endif

#endif /* DM_P2P_H */
