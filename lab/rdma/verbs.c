// SPDX-License-Identifier: GPL-2.0
/*
 * Stands in for libibverbs.so.1 in QEMU, whose RDMA NIC, pvrdma, passes on what its guest
 * does to a verbs device of the machine where QEMU runs. No such device is needed here:
 * this is one, for queue pairs (RC) of one QEMU or of two that are connected to each other.
 *
 * It checks what hardware checks: the state of a queue pair, and for each piece of a
 * request, when it is its turn, that the key is of a region that exists, of the queue
 * pair's protection domain, with the range and the rights. See transfer.c.
 *
 *   verbs.c	objects, and the calls that QEMU makes
 *   transfer.c	work requests: checks, copies, completions
 *   wire.c	the way to another QEMU
 *   guest.c	what QEMU does not pass on
 *   mads.c	GIDs
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "verbs.h"

#undef ibv_query_port
#undef ibv_reg_mr

pthread_mutex_t verbs_lock = PTHREAD_MUTEX_INITIALIZER;
static struct queue_pair *queue_pairs;
static struct completion_queue *completion_queues;
static struct ibv_comp_channel *the_channel;
static uint32_t next_number = 0x100;
struct region *regions;

static struct ibv_device the_device = {
	.node_type = IBV_NODE_CA, .transport_type = IBV_TRANSPORT_IB,
	.name = "standin", .dev_name = "standin",
};

struct queue_pair *find_queue_pair(uint32_t number)
{
	struct queue_pair *qp;

	for (qp = queue_pairs; qp; qp = qp->next)
		if (qp->qp.qp_num == number)
			return qp;
	return NULL;
}

/* Takes an object off its list; the lists are short. */
#define UNLINK(list, object) do {				\
	__typeof__(object) *where = &(list);			\
	while (*where && *where != (object))			\
		where = &(*where)->next;			\
	if (*where)						\
		*where = (object)->next;			\
} while (0)

static void *allocate(size_t size)
{
	void *memory = calloc(1, size);

	if (!memory)
		abort();
	return memory;
}

/* Completion queues */

void complete(struct ibv_cq *ibcq, struct queue_pair *qp, uint64_t id,
	      enum ibv_wc_status status, enum ibv_wc_opcode opcode, uint32_t len)
{
	struct completion_queue *cq = (struct completion_queue *)ibcq;
	struct completion *new = allocate(sizeof(*new));

	new->wc.wr_id = id;
	new->wc.status = status;
	new->wc.opcode = opcode;
	new->wc.byte_len = len;
	new->wc.qp_num = qp->qp.qp_num;
	*cq->last = new;
	cq->last = &new->next;
	if (cq->armed && cq->cq.channel) {
		cq->armed = false;
		if (!cq->has_event)
			eventfd_write(cq->cq.channel->fd, 1);
		cq->has_event = true;
	}
}

static int poll_cq(struct ibv_cq *ibcq, int max, struct ibv_wc *wc)
{
	struct completion_queue *cq = (struct completion_queue *)ibcq;
	struct completion *done;
	int nr;

	pthread_mutex_lock(&verbs_lock);
	for (nr = 0; nr < max && (done = cq->first); nr++) {
		wc[nr] = done->wc;
		cq->first = done->next;
		if (!cq->first)
			cq->last = &cq->first;
		free(done);
	}
	pthread_mutex_unlock(&verbs_lock);
	return nr;
}

static int req_notify_cq(struct ibv_cq *ibcq, int solicited)
{
	(void)solicited;
	pthread_mutex_lock(&verbs_lock);
	((struct completion_queue *)ibcq)->armed = true;
	pthread_mutex_unlock(&verbs_lock);
	return 0;
}

struct ibv_comp_channel *ibv_create_comp_channel(struct ibv_context *context)
{
	the_channel = allocate(sizeof(*the_channel));
	the_channel->context = context;
	the_channel->fd = eventfd(0, EFD_SEMAPHORE | EFD_CLOEXEC);
	return the_channel;
}

int ibv_destroy_comp_channel(struct ibv_comp_channel *channel)
{
	close(channel->fd);
	free(channel);
	return 0;
}

struct ibv_cq *ibv_create_cq(struct ibv_context *context, int cqe, void *cq_context,
			     struct ibv_comp_channel *channel, int vector)
{
	struct completion_queue *cq = allocate(sizeof(*cq));

	(void)vector;
	cq->cq.context = context;
	cq->cq.channel = channel;
	cq->cq.cq_context = cq_context;
	cq->cq.cqe = cqe;
	cq->last = &cq->first;
	pthread_mutex_lock(&verbs_lock);
	cq->next = completion_queues;
	completion_queues = cq;
	pthread_mutex_unlock(&verbs_lock);
	return &cq->cq;
}

/* Not freed: QEMU's thread may be about to poll it. A few bytes for each. */
int ibv_destroy_cq(struct ibv_cq *ibcq)
{
	struct completion_queue *cq = (struct completion_queue *)ibcq;
	struct ibv_wc wc;
	eventfd_t event;

	pthread_mutex_lock(&verbs_lock);
	UNLINK(completion_queues, cq);
	if (cq->has_event)
		eventfd_read(ibcq->channel->fd, &event);
	cq->has_event = false;
	cq->armed = false;
	pthread_mutex_unlock(&verbs_lock);
	while (poll_cq(ibcq, 1, &wc))
		;
	return 0;
}

int ibv_get_cq_event(struct ibv_comp_channel *channel, struct ibv_cq **found, void **cq_context)
{
	struct completion_queue *cq;
	eventfd_t event;

	pthread_mutex_lock(&verbs_lock);
	for (cq = completion_queues; cq && !cq->has_event; cq = cq->next)
		;
	if (cq) {
		cq->has_event = false;
		eventfd_read(channel->fd, &event);
		*found = &cq->cq;
		*cq_context = cq->cq.cq_context;
	}
	pthread_mutex_unlock(&verbs_lock);
	errno = EAGAIN;
	return cq ? 0 : -1;
}

void ibv_ack_cq_events(struct ibv_cq *cq, unsigned int nr)
{
	(void)cq;
	(void)nr;
}

/* Queue pairs */

static int post_send(struct ibv_qp *ibqp, struct ibv_send_wr *wr, struct ibv_send_wr **bad)
{
	struct queue_pair *qp = (struct queue_pair *)ibqp;

	pthread_mutex_lock(&verbs_lock);
	for (; wr; wr = wr->next) {
		read_request(wr->sg_list, add_work(&qp->sends, wr->wr_id, wr->sg_list,
						   wr->num_sge));
		*bad = wr;
	}
	progress(qp);
	pthread_mutex_unlock(&verbs_lock);
	return 0;
}

/* Those that wait for a receive of this queue pair. */
static void progress_peers(struct queue_pair *qp)
{
	struct queue_pair *peer;

	for (peer = queue_pairs; peer; peer = peer->next)
		if (peer->peer == qp->qp.qp_num)
			progress(peer);
}

static int post_recv(struct ibv_qp *ibqp, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
	struct queue_pair *qp = (struct queue_pair *)ibqp;

	pthread_mutex_lock(&verbs_lock);
	for (; wr; wr = wr->next) {
		add_work(&qp->receives, wr->wr_id, wr->sg_list, wr->num_sge);
		*bad = wr;
	}
	if (qp->qp.state == IBV_QPS_ERR)
		flush(qp);
	progress_peers(qp);
	serve_waiting(qp);
	pthread_mutex_unlock(&verbs_lock);
	return 0;
}

void progress_all(void)
{
	struct queue_pair *qp;

	for (qp = queue_pairs; qp; qp = qp->next) {
		progress(qp);
		serve_waiting(qp);
	}
}

static int post_srq_recv(struct ibv_srq *srq, struct ibv_recv_wr *wr, struct ibv_recv_wr **bad)
{
	pthread_mutex_lock(&verbs_lock);
	for (; wr; wr = wr->next) {
		add_work(&((struct shared_queue *)srq)->receives, wr->wr_id, wr->sg_list,
			 wr->num_sge);
		*bad = wr;
	}
	progress_all();
	pthread_mutex_unlock(&verbs_lock);
	return 0;
}

/*
 * Each end has every other number. The guest's driver has a table of MAX_QP, QEMU's
 * dev-caps-max-qp, and writes past its end if a queue pair with a higher number goes. A
 * number is used again as late as possible.
 */
static uint32_t new_queue_pair_number(void)
{
	static uint32_t last;

	do
		last = last + 2 < MAX_QP ? last + 2 : 2;
	while (find_queue_pair(last + is_odd_end()));
	return last + is_odd_end();
}

struct ibv_qp *ibv_create_qp(struct ibv_pd *pd, struct ibv_qp_init_attr *attr)
{
	struct queue_pair *qp;

	if (attr->qp_type != IBV_QPT_RC) {
		errno = EOPNOTSUPP;
		return NULL;
	}
	qp = allocate(sizeof(*qp));
	qp->init = *attr;
	qp->qp.context = pd->context;
	qp->qp.pd = pd;
	qp->qp.send_cq = attr->send_cq;
	qp->qp.recv_cq = attr->recv_cq;
	qp->qp.srq = attr->srq;
	qp->qp.qp_type = attr->qp_type;
	qp->qp.state = IBV_QPS_RESET;
	qp->sends.last = &qp->sends.first;
	qp->receives.last = &qp->receives.first;
	pthread_mutex_lock(&verbs_lock);
	qp->qp.qp_num = new_queue_pair_number();
	qp->next = queue_pairs;
	queue_pairs = qp;
	pthread_mutex_unlock(&verbs_lock);
	return &qp->qp;
}

static void empty(struct work_list *list)
{
	struct work *work;

	while ((work = take_work(list)))
		free(work);
}

int ibv_destroy_qp(struct ibv_qp *ibqp)
{
	struct queue_pair *qp = (struct queue_pair *)ibqp;

	pthread_mutex_lock(&verbs_lock);
	UNLINK(queue_pairs, qp);
	empty(&qp->sends);
	empty(&qp->receives);
	/* Nobody answers them any more. */
	progress_peers(qp);
	serve_waiting(qp);
	pthread_mutex_unlock(&verbs_lock);
	free(qp);
	return 0;
}

int ibv_modify_qp(struct ibv_qp *ibqp, struct ibv_qp_attr *attr, int mask)
{
	struct queue_pair *qp = (struct queue_pair *)ibqp;

	pthread_mutex_lock(&verbs_lock);
	if (mask & IBV_QP_DEST_QPN)
		qp->peer = attr->dest_qp_num;
	if (mask & IBV_QP_STATE)
		ibqp->state = attr->qp_state;
	if (ibqp->state == IBV_QPS_ERR)
		flush(qp);
	progress(qp);
	progress_peers(qp);
	serve_waiting(qp);
	pthread_mutex_unlock(&verbs_lock);
	return 0;
}

int ibv_query_qp(struct ibv_qp *ibqp, struct ibv_qp_attr *attr, int mask,
		 struct ibv_qp_init_attr *init)
{
	struct queue_pair *qp = (struct queue_pair *)ibqp;

	(void)mask;
	memset(attr, 0, sizeof(*attr));
	attr->qp_state = attr->cur_qp_state = ibqp->state;
	attr->dest_qp_num = qp->peer;
	attr->cap = qp->init.cap;
	*init = qp->init;
	return 0;
}

struct ibv_srq *ibv_create_srq(struct ibv_pd *pd, struct ibv_srq_init_attr *attr)
{
	struct shared_queue *srq = allocate(sizeof(*srq));

	srq->srq.context = pd->context;
	srq->srq.pd = pd;
	srq->attr = attr->attr;
	srq->receives.last = &srq->receives.first;
	return &srq->srq;
}

int ibv_destroy_srq(struct ibv_srq *srq)
{
	empty(&((struct shared_queue *)srq)->receives);
	free(srq);
	return 0;
}

int ibv_modify_srq(struct ibv_srq *srq, struct ibv_srq_attr *attr, int mask)
{
	if (mask & IBV_SRQ_LIMIT)
		((struct shared_queue *)srq)->attr.srq_limit = attr->srq_limit;
	return 0;
}

int ibv_query_srq(struct ibv_srq *srq, struct ibv_srq_attr *attr)
{
	*attr = ((struct shared_queue *)srq)->attr;
	return 0;
}

/* Protection domains and memory regions */

struct ibv_pd *ibv_alloc_pd(struct ibv_context *context)
{
	struct ibv_pd *pd = allocate(sizeof(*pd));

	pd->context = context;
	return pd;
}

int ibv_dealloc_pd(struct ibv_pd *pd)
{
	free(pd);
	return 0;
}

struct ibv_mr *ibv_reg_mr_iova2(struct ibv_pd *pd, void *address, size_t len, uint64_t iova,
				unsigned int access)
{
	struct region *region = allocate(sizeof(*region));

	(void)iova;
	region->access = access;
	region->mr.context = pd->context;
	region->mr.pd = pd;
	region->mr.addr = address;
	region->mr.length = len;
	pthread_mutex_lock(&verbs_lock);
	/* A key is never used again. */
	region->mr.lkey = region->mr.rkey = next_number++;
	region->next = regions;
	regions = region;
	pthread_mutex_unlock(&verbs_lock);
	return &region->mr;
}

struct ibv_mr *ibv_reg_mr(struct ibv_pd *pd, void *address, size_t len, int access)
{
	return ibv_reg_mr_iova2(pd, address, len, (uintptr_t)address, access);
}

/* No copy from or to it is under way: there is one lock. */
int ibv_dereg_mr(struct ibv_mr *mr)
{
	struct region *region = (struct region *)mr;

	pthread_mutex_lock(&verbs_lock);
	UNLINK(regions, region);
	pthread_mutex_unlock(&verbs_lock);
	free(region);
	return 0;
}

struct ibv_ah *ibv_create_ah(struct ibv_pd *pd, struct ibv_ah_attr *attr)
{
	struct ibv_ah *ah = allocate(sizeof(*ah));

	(void)attr;
	ah->context = pd->context;
	ah->pd = pd;
	return ah;
}

int ibv_destroy_ah(struct ibv_ah *ah)
{
	free(ah);
	return 0;
}

/* The device */

struct ibv_device **ibv_get_device_list(int *nr)
{
	struct ibv_device **list = allocate(2 * sizeof(*list));

	list[0] = &the_device;
	if (nr)
		*nr = 1;
	return list;
}

void ibv_free_device_list(struct ibv_device **list)
{
	free(list);
}

const char *ibv_get_device_name(struct ibv_device *device)
{
	return device->name;
}

struct ibv_context *ibv_open_device(struct ibv_device *device)
{
	struct ibv_context *context = allocate(sizeof(*context));

	context->device = device;
	context->cmd_fd = context->async_fd = -1;
	context->num_comp_vectors = 1;
	context->ops.poll_cq = poll_cq;
	context->ops.req_notify_cq = req_notify_cq;
	context->ops.post_send = post_send;
	context->ops.post_recv = post_recv;
	context->ops.post_srq_recv = post_srq_recv;
	return context;
}

int ibv_close_device(struct ibv_context *context)
{
	free(context);
	return 0;
}

int ibv_query_device(struct ibv_context *context, struct ibv_device_attr *attr)
{
	(void)context;
	memset(attr, 0, sizeof(*attr));
	attr->max_mr_size = UINT64_MAX >> 1;
	attr->max_cq = attr->max_mr = attr->max_pd = 1 << 20;
	attr->max_qp = MAX_QP;
	attr->max_qp_wr = attr->max_cqe = attr->max_ah = attr->max_srq = 1 << 20;
	attr->max_qp_rd_atom = attr->max_qp_init_rd_atom = 1 << 10;
	attr->max_sge = attr->max_srq_sge = MAX_SGE;
	attr->max_srq_wr = 1 << 16;
	attr->phys_port_cnt = 1;
	return 0;
}

/* The structure as it was in this version of the symbol: the first fields of today's. */
int ibv_query_port(struct ibv_context *context, uint8_t port,
		   struct _compat_ibv_port_attr *compat)
{
	struct ibv_port_attr attr = {
		.state = IBV_PORT_ACTIVE, .max_mtu = IBV_MTU_4096, .active_mtu = IBV_MTU_1024,
		.gid_tbl_len = MAX_GIDS, .max_msg_sz = 1U << 30, .pkey_tbl_len = 1,
		.phys_state = 5 /* LinkUp */,
	};

	(void)context;
	(void)port;
	memcpy(compat, &attr, offsetof(struct ibv_port_attr, link_layer));
	return 0;
}

const char *ibv_wc_status_str(enum ibv_wc_status status)
{
	return status == IBV_WC_SUCCESS ? "success" : "error";
}
