/* SPDX-License-Identifier: GPL-2.0 */
/* What the parts of the stand-in for libibverbs share; see verbs.c. */
#ifndef VERBS_H
#define VERBS_H

#include <infiniband/verbs.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MAX_GIDS	16
#define MAX_QP		1024
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
	/* Not 0 if the other end has it, see wire.c. */
	uint32_t serial;
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
	/* Requests of the other end that came too early, see wire.c. */
	struct message *waiting;
	struct queue_pair *next;
};

extern pthread_mutex_t verbs_lock;
extern struct region *regions;

/* guest.c: what QEMU's model of the device does not tell a verbs library. */
void read_request(const struct ibv_sge *sge, struct work *work);
bool find_guest_address(struct region *region);

/* transfer.c: what hardware does. Called with the lock held. */
void progress(struct queue_pair *qp);
void flush(struct queue_pair *qp);
struct work *add_work(struct work_list *list, uint64_t id, const struct ibv_sge *sge, int nr_sge);
struct work *take_work(struct work_list *list);
uint32_t length(const struct work *work);
bool check_local(struct queue_pair *qp, const struct work *work, int access);
/* Can a queue pair take a request of its peer? */
bool is_ready(struct queue_pair *qp, enum ibv_wr_opcode opcode);
/* Does what a peer asks of a queue pair. The pieces of the request are not checked. */
enum ibv_wc_status respond(struct queue_pair *qp, const struct work *work);
/* Completes the first request that was to be sent. False if the queue pair is no longer usable. */
bool finish(struct queue_pair *qp, enum ibv_wc_status status);

/* wire.c: the other QEMU, if there is one. Called with the lock held. */
bool is_at_other_end(uint32_t number);
/* Does this end number its queue pairs odd? */
bool is_odd_end(void);
void send_request(struct queue_pair *qp, struct work *work);
void serve_waiting(struct queue_pair *qp);

/* verbs.c */
struct queue_pair *find_queue_pair(uint32_t number);
void progress_all(void);
void complete(struct ibv_cq *cq, struct queue_pair *qp, uint64_t id,
	      enum ibv_wc_status status, enum ibv_wc_opcode opcode, uint32_t len);

#endif
