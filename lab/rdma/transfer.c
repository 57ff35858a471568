// SPDX-License-Identifier: GPL-2.0
/*
 * Work requests: what hardware does for them. Everything here is called with the lock of
 * verbs.c held, and copies at once.
 */
#include <stdlib.h>
#include <string.h>

#include "verbs.h"

struct work *add_work(struct work_list *list, uint64_t id, const struct ibv_sge *sge, int nr_sge)
{
	struct work *work = calloc(1, sizeof(*work));

	if (!work || nr_sge > MAX_SGE)
		abort();
	work->id = id;
	work->nr_sge = nr_sge;
	memcpy(work->sge, sge, nr_sge * sizeof(*sge));
	*list->last = work;
	list->last = &work->next;
	return work;
}

struct work *take_work(struct work_list *list)
{
	struct work *work = list->first;

	if (work) {
		list->first = work->next;
		if (!list->first)
			list->last = &list->first;
	}
	return work;
}

static bool is_within(uint64_t address, uint64_t len, uint64_t start, uint64_t size)
{
	return address >= start && len <= size && address - start <= size - len;
}

/* Where a piece of a request is. */
static void *find_local(struct queue_pair *qp, const struct ibv_sge *sge, int access)
{
	struct region *region;

	for (region = regions; region; region = region->next)
		if (region->mr.lkey == sge->lkey)
			break;
	if (!region || region->mr.pd != qp->qp.pd || (region->access & access) != access ||
	    !is_within(sge->addr, sge->length, (uintptr_t)region->mr.addr, region->mr.length))
		return NULL;
	return (void *)(uintptr_t)sge->addr;
}

/*
 * The same at the other end, for RDMA. QEMU gives all regions of its guest the same key for
 * that, so it is the region of the protection domain that the address is in.
 */
#define QEMU_REMOTE_KEY	0xffffffff

static void *find_remote(struct queue_pair *qp, uint32_t key, uint64_t address, uint64_t len,
			 int access)
{
	struct region *region;

	if (key != QEMU_REMOTE_KEY)
		return NULL;
	for (region = regions; region; region = region->next)
		if (region->mr.pd == qp->qp.pd && (region->access & access) == access &&
		    find_guest_address(region) &&
		    is_within(address, len, region->guest_address, region->mr.length))
			return (char *)region->mr.addr + (address - region->guest_address);
	return NULL;
}

uint32_t length(const struct work *work)
{
	uint32_t sum = 0;
	int i;

	for (i = 0; i < work->nr_sge; i++)
		sum += work->sge[i].length;
	return sum;
}

bool check_local(struct queue_pair *qp, const struct work *work, int access)
{
	int i;

	for (i = 0; i < work->nr_sge; i++)
		if (work->sge[i].length && !find_local(qp, &work->sge[i], access))
			return false;
	return true;
}

/* A queue pair in the error state: no request is lost. */
void flush(struct queue_pair *qp)
{
	struct work *work;

	while ((work = take_work(&qp->sends))) {
		complete(qp->qp.send_cq, qp, work->id, IBV_WC_WR_FLUSH_ERR, IBV_WC_SEND, 0);
		free(work);
	}
	while ((work = take_work(&qp->receives))) {
		complete(qp->qp.recv_cq, qp, work->id, IBV_WC_WR_FLUSH_ERR, IBV_WC_RECV, 0);
		free(work);
	}
	serve_waiting(qp);
}

static void fail(struct queue_pair *qp)
{
	qp->qp.state = IBV_QPS_ERR;
	flush(qp);
}

/* The receive that comes first gets the data. */
static enum ibv_wc_status send_to(struct queue_pair *peer, const struct work *send,
				  struct work *receive)
{
	enum ibv_wc_status status = IBV_WC_SUCCESS;
	uint32_t len = length(send), done = 0, at = 0, step;
	int i, j = 0;

	if (!check_local(peer, receive, IBV_ACCESS_LOCAL_WRITE))
		status = IBV_WC_LOC_PROT_ERR;
	else if (len > length(receive))
		status = IBV_WC_LOC_LEN_ERR;
	for (i = 0; !status && i < send->nr_sge; i++)
		for (done = 0; done < send->sge[i].length; done += step) {
			while (at == receive->sge[j].length) {
				at = 0;
				j++;
			}
			step = send->sge[i].length - done;
			if (step > receive->sge[j].length - at)
				step = receive->sge[j].length - at;
			memmove((char *)(uintptr_t)receive->sge[j].addr + at,
				(char *)(uintptr_t)send->sge[i].addr + done, step);
			at += step;
		}
	complete(peer->qp.recv_cq, peer, receive->id, status, IBV_WC_RECV, len);
	free(receive);
	if (!status)
		return IBV_WC_SUCCESS;
	fail(peer);
	return status == IBV_WC_LOC_LEN_ERR ? IBV_WC_REM_INV_REQ_ERR : IBV_WC_REM_OP_ERR;
}

static enum ibv_wc_status access_remote(struct queue_pair *peer, const struct work *work,
					bool write)
{
	char *remote = find_remote(peer, work->remote_key, work->remote_address, length(work),
				   write ? IBV_ACCESS_REMOTE_WRITE : IBV_ACCESS_REMOTE_READ);
	int i;

	if (!remote) {
		fail(peer);
		return IBV_WC_REM_ACCESS_ERR;
	}
	for (i = 0; i < work->nr_sge; i++) {
		char *local = (char *)(uintptr_t)work->sge[i].addr;

		memmove(write ? remote : local, write ? local : remote, work->sge[i].length);
		remote += work->sge[i].length;
	}
	return IBV_WC_SUCCESS;
}

static struct work_list *receives_of(struct queue_pair *qp)
{
	return qp->qp.srq ? &((struct shared_queue *)qp->qp.srq)->receives : &qp->receives;
}

bool is_ready(struct queue_pair *qp, enum ibv_wr_opcode opcode)
{
	return (qp->qp.state == IBV_QPS_RTR || qp->qp.state == IBV_QPS_RTS) &&
	       (opcode != IBV_WR_SEND || receives_of(qp)->first);
}

enum ibv_wc_status respond(struct queue_pair *qp, const struct work *work)
{
	switch (work->opcode) {
	case IBV_WR_SEND:
		return send_to(qp, work, take_work(receives_of(qp)));
	case IBV_WR_RDMA_WRITE:
	case IBV_WR_RDMA_READ:
		return access_remote(qp, work, work->opcode == IBV_WR_RDMA_WRITE);
	default:
		return IBV_WC_LOC_QP_OP_ERR;
	}
}

bool finish(struct queue_pair *qp, enum ibv_wc_status status)
{
	struct work *work = take_work(&qp->sends);

	complete(qp->qp.send_cq, qp, work->id, status, IBV_WC_SEND, length(work));
	free(work);
	if (status)
		fail(qp);
	return !status;
}

/* Executes what a queue pair was told to send, as far as its peer is ready. */
void progress(struct queue_pair *qp)
{
	enum ibv_wc_status status;
	struct queue_pair *peer;
	struct work *work;
	int access;

	if (qp->qp.state == IBV_QPS_ERR)
		flush(qp);
	if (qp->qp.state != IBV_QPS_RTS)
		return;

	while ((work = qp->sends.first)) {
		access = work->opcode == IBV_WR_RDMA_READ ? IBV_ACCESS_LOCAL_WRITE : 0;
		peer = find_queue_pair(qp->peer);
		if (is_at_other_end(qp->peer)) {
			if (work->serial)
				return;
			status = IBV_WC_LOC_PROT_ERR;
			if (check_local(qp, work, access)) {
				send_request(qp, work);
				return;
			}
		} else if (!peer || peer->qp.state == IBV_QPS_ERR) {
			status = IBV_WC_RETRY_EXC_ERR;
		} else if (!is_ready(peer, work->opcode)) {
			return;
		} else if (!check_local(qp, work, access)) {
			status = IBV_WC_LOC_PROT_ERR;
		} else {
			status = respond(peer, work);
			/* A queue pair may be its own peer. */
			if (qp->qp.state == IBV_QPS_ERR)
				return;
		}
		if (!finish(qp, status))
			return;
	}
}
