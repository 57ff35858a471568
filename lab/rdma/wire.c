// SPDX-License-Identifier: GPL-2.0
/*
 * The network between two QEMUs, each of which has this library: a stream socket. The one
 * that P2P_VERBS_LISTEN names is made by this end, the one that P2P_VERBS_CONNECT names by
 * the other end, which has the odd numbers of queue pairs. A queue pair whose peer has a
 * number of the other end sends its requests over it, one at a time: each waits for the
 * answer to the one before, as a NIC may do.
 *
 * Threads of their own receive and send, since neither QEMU nor the thread that receives
 * may wait for the other end to read.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "verbs.h"

enum { REQUEST, ANSWER };

/* Both ends are of the same build. @len bytes of data follow. */
struct header {
	uint32_t type;
	uint32_t opcode;
	uint32_t from, to;	/* numbers of queue pairs */
	uint32_t serial;	/* of the request */
	uint32_t status;
	uint32_t key;
	uint32_t size;		/* of the transfer */
	uint64_t address;
	uint64_t len;
};

struct message {
	struct message *next;
	struct header header;
	char data[];
};

_Static_assert(offsetof(struct message, data) ==
	       offsetof(struct message, header) + sizeof(struct header), "sent in one piece");

static int link_fd = -1;
static bool connects;
static pthread_cond_t added = PTHREAD_COND_INITIALIZER;
static struct message *to_send, **last_to_send = &to_send;

static struct message *new_message(size_t len)
{
	struct message *message = calloc(1, sizeof(*message) + len);

	if (!message)
		abort();
	message->header.len = len;
	return message;
}

static void enqueue(struct message *message)
{
	*last_to_send = message;
	last_to_send = &message->next;
	pthread_cond_signal(&added);
}

bool is_at_other_end(uint32_t number)
{
	return link_fd >= 0 && number % 2 != connects;
}

bool is_odd_end(void)
{
	return connects;
}

void send_request(struct queue_pair *qp, struct work *work)
{
	static uint32_t serial;
	uint32_t size = length(work);
	struct message *message = new_message(work->opcode == IBV_WR_RDMA_READ ? 0 : size);
	char *at = message->data;

	for (int i = 0; message->header.len && i < work->nr_sge; i++) {
		memcpy(at, (void *)(uintptr_t)work->sge[i].addr, work->sge[i].length);
		at += work->sge[i].length;
	}
	work->serial = ++serial;
	message->header.type = REQUEST;
	message->header.opcode = work->opcode;
	message->header.from = qp->qp.qp_num;
	message->header.to = qp->peer;
	message->header.serial = work->serial;
	message->header.key = work->remote_key;
	message->header.address = work->remote_address;
	message->header.size = size;
	enqueue(message);
}

/* Answers a request. @data: the bytes that it asked for, if any. */
static void answer(const struct header *request, enum ibv_wc_status status,
		   struct message *message)
{
	message->header.type = ANSWER;
	message->header.from = request->to;
	message->header.to = request->from;
	message->header.serial = request->serial;
	message->header.status = status;
	enqueue(message);
}

/* Carries out a request of the other end. False if it has to wait for the queue pair. */
static bool serve(const struct message *message)
{
	const struct header *request = &message->header;
	struct queue_pair *qp = find_queue_pair(request->to);
	struct message *reply;
	enum ibv_wc_status status;
	struct work work = {
		.opcode = request->opcode, .remote_address = request->address,
		.remote_key = request->key, .nr_sge = 1, .sge[0].length = request->size,
	};

	if (!qp || qp->qp.state == IBV_QPS_ERR) {
		answer(request, IBV_WC_RETRY_EXC_ERR, new_message(0));
		return true;
	}
	if (!is_ready(qp, request->opcode))
		return false;
	reply = new_message(request->opcode == IBV_WR_RDMA_READ ? request->size : 0);
	work.sge[0].addr = (uintptr_t)(reply->header.len ? reply->data : message->data);
	status = respond(qp, &work);
	answer(request, status, reply);
	return true;
}

void serve_waiting(struct queue_pair *qp)
{
	struct message *message;

	/* Serving one may put the queue pair into the error state, and end up here again. */
	while ((message = qp->waiting)) {
		qp->waiting = message->next;
		if (!serve(message)) {
			message->next = qp->waiting;
			qp->waiting = message;
			return;
		}
		free(message);
	}
}

static void take_answer(const struct message *message)
{
	const struct header *header = &message->header;
	struct queue_pair *qp = find_queue_pair(header->to);
	struct work *work = qp ? qp->sends.first : NULL;
	const char *at = message->data;

	/* It may have been flushed. */
	if (!work || work->serial != header->serial)
		return;
	if (header->len && !header->status) {
		/* The region may be gone since the request was checked. */
		if (!check_local(qp, work, IBV_ACCESS_LOCAL_WRITE)) {
			finish(qp, IBV_WC_LOC_PROT_ERR);
			return;
		}
		for (int i = 0; i < work->nr_sge; i++) {
			memcpy((void *)(uintptr_t)work->sge[i].addr, at, work->sge[i].length);
			at += work->sge[i].length;
		}
	}
	if (finish(qp, header->status))
		progress(qp);
}

static void receive(struct message *message)
{
	struct queue_pair *qp;
	struct message **end;

	pthread_mutex_lock(&verbs_lock);
	if (message->header.type == ANSWER) {
		take_answer(message);
	} else {
		qp = find_queue_pair(message->header.to);
		if ((qp && qp->waiting) || !serve(message)) {
			for (end = &qp->waiting; *end; end = &(*end)->next)
				;
			*end = message;
			message = NULL;
		}
	}
	pthread_mutex_unlock(&verbs_lock);
	free(message);
}

static bool read_all(void *to, size_t len)
{
	return !len || recv(link_fd, to, len, MSG_WAITALL) == (ssize_t)len;
}

static void *receiver(void *arg)
{
	struct header header;
	struct message *message;

	while (read_all(&header, sizeof(header))) {
		message = new_message(header.len);
		message->header = header;
		if (!read_all(message->data, header.len))
			break;
		receive(message);
	}
	/* The other machine is gone, and with it all of its queue pairs. */
	pthread_mutex_lock(&verbs_lock);
	link_fd = -1;
	progress_all();
	pthread_mutex_unlock(&verbs_lock);
	return arg;
}

static void *sender(void *arg)
{
	struct message *message;
	const char *at;
	ssize_t done;
	size_t left;

	for (;;) {
		pthread_mutex_lock(&verbs_lock);
		while (!to_send)
			pthread_cond_wait(&added, &verbs_lock);
		message = to_send;
		to_send = message->next;
		if (!to_send)
			last_to_send = &to_send;
		pthread_mutex_unlock(&verbs_lock);
		at = (const char *)&message->header;
		left = sizeof(message->header) + message->header.len;
		for (; left; at += done, left -= done) {
			done = send(link_fd, at, left, MSG_NOSIGNAL);
			if (done <= 0)
				break;
		}
		free(message);
	}
	return arg;
}

static void start(void *(*thread)(void *))
{
	pthread_t id;

	if (pthread_create(&id, NULL, thread, NULL))
		abort();
	pthread_detach(id);
}

static void *join(void *arg)
{
	const char *path = getenv(connects ? "P2P_VERBS_CONNECT" : "P2P_VERBS_LISTEN");
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), peer = -1;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (!connects) {
		unlink(path);
		if (bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 1))
			abort();
		peer = accept(fd, NULL, NULL);
		close(fd);
	} else {
		/* The other machine may not have started yet. */
		while (connect(fd, (struct sockaddr *)&address, sizeof(address)))
			usleep(100000);
		peer = fd;
	}
	pthread_mutex_lock(&verbs_lock);
	link_fd = peer;
	pthread_mutex_unlock(&verbs_lock);
	start(sender);
	receiver(NULL);
	return arg;
}

__attribute__((constructor))
static void open_link(void)
{
	connects = getenv("P2P_VERBS_CONNECT");
	if (connects || getenv("P2P_VERBS_LISTEN"))
		start(join);
}
