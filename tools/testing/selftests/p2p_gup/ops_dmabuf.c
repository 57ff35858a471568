// SPDX-License-Identifier: GPL-2.0
/* Operations of programs and drivers on dma-bufs of peer-to-peer memory. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../kselftest.h"
#include "dmabuf.h"
#include "ops.h"

static int *slot_of(struct ops_worker *w, const struct ops_call *call)
{
	return &w->dmabufs[call->r[4] % OPS_DMABUFS];
}

/* Replaces the previous dma-buf, which may have other users. */
static long keep(struct ops_worker *w, const struct ops_call *call, int fd)
{
	int *slot = slot_of(w, call);

	if (fd < 0)
		return fd;
	if (*slot >= 0)
		close(*slot);
	*slot = fd;
	return 0;
}

static const char *provider_of(struct ops_worker *w, const struct ops_call *call)
{
	return w->stats->providers[call->r[5] % w->stats->nr_providers];
}

static unsigned int fd_flags(const struct ops_call *call)
{
	return O_CLOEXEC | (call->r[3] % 4 ? O_RDWR : O_RDONLY);
}

/* A heap survives unbinding the provider, but not removing the device. */
static long run_dmabuf(struct ops_worker *w, const struct ops_call *call)
{
	int heap = heap_open(provider_of(w, call)), fd;

	if (heap < 0)
		return -errno;
	fd = heap_alloc_flags(heap, ops_len(call), fd_flags(call));
	close(heap);
	return keep(w, call, fd);
}

/* Exports the buffer that is mapped there, if any. */
static long run_export(struct ops_worker *w, const struct ops_call *call)
{
	int heap = heap_open(provider_of(w, call)), fd;
	uint64_t offset = 0, len = 1;

	if (heap < 0)
		return -errno;
	fd = heap_export(heap, ops_addr(call), fd_flags(call), &offset, &len);
	close(heap);
	if (fd >= 0 && offset >= len)
		ops_wrong(w, "an address beyond the end of its buffer", offset);
	return keep(w, call, fd);
}

static long run_dmabuf_mmap(struct ops_worker *w, const struct ops_call *call)
{
	static const int prots[] = {
		PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE, PROT_READ, PROT_NONE,
	};
	static const int flags[] = {
		MAP_SHARED, MAP_SHARED, MAP_SHARED | MAP_POPULATE, MAP_PRIVATE,
	};

	if (mmap(ops_addr(call), ops_len(call), prots[call->r[2] % 4],
		 flags[call->r[3] % 4] | MAP_FIXED, *slot_of(w, call),
		 call->r[5] % 4 ? 0 : call->r[5] / 4 % 32 * OPS_PAGE) == MAP_FAILED)
		return -errno;
	return 0;
}

/* Calls without meaning for a dma-buf, and DMA_BUF_IOCTL_SYNC. */
static long run_dmabuf_call(struct ops_worker *w, const struct ops_call *call)
{
	int fd = *slot_of(w, call);

	switch (call->r[2] % 4) {
	case 0:
		return p2p_result(pread(fd, ops_addr(call), ops_len(call), 0));
	case 1:
		return p2p_result(lseek(fd, 0, call->r[3] % 5));
	default:
		return dmabuf_sync(fd, call->r[3] % 8);
	}
}

/* The importer unmaps when notified, as it must, so it never delays removal. */
static long run_attach(struct ops_worker *w, const struct ops_call *call)
{
	struct p2p_test_attach arg = {
		.client = w->client,
		.fd = *slot_of(w, call),
		.importer = call->r[3] % 8 ? P2P_TEST_DYNAMIC : P2P_TEST_STATIC,
	};

	ioctl(w->importer, P2P_TEST_PUT);
	return p2p_result(ioctl(w->importer, P2P_TEST_ATTACH, &arg)) ?: arg.result;
}

static long run_dmabuf_dma(struct ops_worker *w, const struct ops_call *call)
{
	struct p2p_test_dmabuf_map map = { .dir = call->r[2] % 3 };

	if (call->r[3] % 4 == 0)
		return p2p_result(ioctl(w->importer, P2P_TEST_UNMAP));
	return p2p_result(ioctl(w->importer, P2P_TEST_MAP, &map)) ?: map.result;
}

/* A fence, as if DMA were in flight. It ends before the worker's next call. */
static long run_fence(struct ops_worker *w, const struct ops_call *call)
{
	long ret = p2p_result(ioctl(w->importer, P2P_TEST_FENCE));

	if (!ret) {
		usleep(call->r[2] % 10000);
		ioctl(w->importer, P2P_TEST_SIGNAL);
	}
	return ret;
}

static long run_dmabuf_close(struct ops_worker *w, const struct ops_call *call)
{
	int *slot = slot_of(w, call);
	long ret = p2p_result(close(*slot));

	*slot = -1;
	return ret;
}

const struct ops_op ops_dmabuf[] = {
	{ "dmabuf", run_dmabuf, OPS_MEM, 6 },
	{ "dmabuf_export", run_export, OPS_MEM, 6 },
	{ "dmabuf_mmap", run_dmabuf_mmap, OPS_MEM, 8 },
	{ "dmabuf_call", run_dmabuf_call, OPS_IO, 2 },
	{ "dmabuf_attach", run_attach, OPS_GUP, 4 },
	{ "dmabuf_dma", run_dmabuf_dma, OPS_GUP, 6 },
	{ "dmabuf_fence", run_fence, OPS_GUP, 3 },
	{ "dmabuf_close", run_dmabuf_close, OPS_MEM, 3 },
	{ }
};
