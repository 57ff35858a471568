// SPDX-License-Identifier: GPL-2.0
/*
 * Management datagrams. QEMU's pvrdma talks to a daemon, rdmacm-mux, which passes them on
 * and is told which GIDs the guest has. Here a thread of QEMU itself listens at the
 * socket that P2P_VERBS_MADS names. It answers each message with "done", passes
 * nothing on, and remembers the GIDs: they are those of the emulated port.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "verbs.h"

/* The beginning of a message of contrib/rdmacm-mux/rdmacm-mux.h, as QEMU 7.2 has it. */
struct mux_header {
	uint32_t type;
	uint32_t operation;
	union ibv_gid gid;
	uint32_t status;
};

enum { MUX_RESPONSE = 1 };
enum { MUX_REGISTER = 0, MUX_UNREGISTER = 1 };
enum { MUX_DONE = 0 };

static pthread_mutex_t gids_lock = PTHREAD_MUTEX_INITIALIZER;
static union ibv_gid gids[MAX_GIDS];
static const union ibv_gid no_gid;

static void change_gid(const union ibv_gid *from, const union ibv_gid *to)
{
	int i;

	pthread_mutex_lock(&gids_lock);
	/* QEMU takes the first for an error. */
	for (i = 1; i < MAX_GIDS; i++)
		if (!memcmp(&gids[i], from, sizeof(*from))) {
			gids[i] = *to;
			break;
		}
	pthread_mutex_unlock(&gids_lock);
}

int ibv_query_gid(struct ibv_context *context, uint8_t port, int index, union ibv_gid *gid)
{
	(void)context;
	(void)port;
	if (index < 0 || index >= MAX_GIDS)
		return -1;
	pthread_mutex_lock(&gids_lock);
	*gid = gids[index];
	pthread_mutex_unlock(&gids_lock);
	return 0;
}

static void *answer(void *arg)
{
	static _Alignas(struct mux_header) char message[8192];
	struct mux_header *header = (void *)message;
	int listener = *(int *)arg;
	int peer = accept(listener, NULL, NULL);
	ssize_t len;

	/* QEMU writes a message at once, and waits for the answer, which is as long. */
	while (peer >= 0 && (len = read(peer, message, sizeof(message))) > 0) {
		if (header->operation == MUX_REGISTER)
			change_gid(&no_gid, &header->gid);
		else if (header->operation == MUX_UNREGISTER)
			change_gid(&header->gid, &no_gid);
		header->type = MUX_RESPONSE;
		header->status = MUX_DONE;
		if (write(peer, message, len) != len)
			break;
	}
	return NULL;
}

/* Before main(), since QEMU connects to the socket when it reads its command line. */
__attribute__((constructor))
static void listen_for_mads(void)
{
	static int listener;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	const char *path = getenv("P2P_VERBS_MADS");
	pthread_t thread;

	if (!path || strlen(path) >= sizeof(address.sun_path))
		return;
	strcpy(address.sun_path, path);
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	unlink(path);
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) ||
	    listen(listener, 1) || pthread_create(&thread, NULL, answer, &listener))
		abort();
	pthread_detach(thread);
}
