/* SPDX-License-Identifier: GPL-2.0 */
/* What the parts of the stand-in for libibverbs share; see verbs.c. */
#ifndef VERBS_H
#define VERBS_H

#include <infiniband/verbs.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_GIDS	16
#define MAX_SGE		32

/* A memory region, in the list of all. */
struct region {
	struct ibv_mr mr;
	int access;
	/* Where the guest has it, once somebody asked; see find_guest_address(). */
	bool has_guest_address;
	uint64_t guest_address;
	struct region *next;
};

/* A work request, copied: QEMU's is in a ring of the guest, which may use it again. */
struct work {
	uint64_t id;
	enum ibv_wr_opcode opcode;
	uint64_t remote_address;
	uint32_t remote_key;
	struct ibv_sge sge[MAX_SGE];
	int nr_sge;
	struct work *next;
};

struct work_list {
	struct work *first;
	struct work **last;
};

struct shared_queue {
	struct ibv_srq srq;
	struct ibv_srq_attr attr;
	struct work_list receives;
	struct shared_queue *next;
};

struct completion {
	struct ibv_wc wc;
	struct completion *next;
};

struct completion_queue {
	struct ibv_cq cq;
	bool armed;
	bool has_event;
	struct completion *first, **last;
	struct completion_queue *next;
};

struct queue_pair {
	struct ibv_qp qp;
	struct ibv_qp_init_attr init;
	uint32_t peer;
	struct work_list sends, receives;
	struct queue_pair *next;
};

extern struct region *regions;

/* guest.c: what QEMU's model of the device does not tell a verbs library. */
void read_request(const struct ibv_sge *sge, struct work *work);
bool find_guest_address(struct region *region);

/* transfer.c: what hardware does. Called with the lock held. */
void progress(struct queue_pair *qp);
void flush(struct queue_pair *qp);
struct work *add_work(struct work_list *list, uint64_t id, const struct ibv_sge *sge, int nr_sge);
struct work *take_work(struct work_list *list);

/* verbs.c */
struct queue_pair *find_queue_pair(uint32_t number);
void complete(struct ibv_cq *cq, struct queue_pair *qp, uint64_t id,
	      enum ibv_wc_status status, enum ibv_wc_opcode opcode, uint32_t len);

#endif
