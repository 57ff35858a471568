// SPDX-License-Identifier: GPL-2.0
/* Registered buffers of an io_uring. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/nvme_ioctl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../p2pmem.h"
#include "../uring_buf.h"

#define MARGIN		(4 * KIB)

const struct uring_part uring_parts[URING_NR_PARTS] = {
	{ 0,				SECTOR },
	{ 0,				4 * KIB },
	{ SECTOR,			4 * KIB },
	{ 5 * 4 * KIB,			4 * KIB },
	{ 37 * 4 * KIB + 3 * SECTOR,	64 * KIB },
	{ 2 * MIB - 4 * KIB,		8 * KIB },
	{ 2 * MIB - SECTOR,		2 * SECTOR },
	{ 2 * MIB + SECTOR,		MIB + SECTOR },
	{ URING_SIZE - SECTOR,		SECTOR },
	{ 0,				URING_SIZE },
};

size_t uring_before(const struct uring_part *part)
{
	return part->at < MARGIN ? part->at : MARGIN;
}

size_t uring_after(const struct uring_part *part)
{
	size_t rest = URING_SIZE - part->at - part->len;

	return rest < MARGIN ? rest : MARGIN;
}

static int uring_result(struct ring *ring, unsigned int opcode, void *arg,
			unsigned int nr)
{
	int ret = syscall(__NR_io_uring_register, ring->fd, opcode, arg, nr);

	return ret < 0 ? -errno : ret;
}

static int uring_call(struct ring *ring, unsigned int opcode, void *arg,
		      unsigned int nr)
{
	int ret = uring_result(ring, opcode, arg, nr);

	return ret < 0 ? ret : 0;
}

/* Registers the only buffer, in slot 0. */
int uring_register(struct ring *ring, void *mem, size_t len)
{
	struct iovec buf = { mem, len };

	return uring_call(ring, IORING_REGISTER_BUFFERS, &buf, 1);
}

int uring_register_empty(struct ring *ring, unsigned int slots)
{
	struct io_uring_rsrc_register reg = {
		.nr = slots,
		.flags = IORING_RSRC_REGISTER_SPARSE,
	};

	return uring_call(ring, IORING_REGISTER_BUFFERS2, &reg, sizeof(reg));
}

/*
 * Puts a buffer, or nothing, into a slot; the tag is posted when it is
 * released.
 */
int uring_update(struct ring *ring, unsigned int slot, void *mem, size_t len,
		 uint64_t tag)
{
	struct iovec buf = { mem, len };
	struct io_uring_rsrc_update2 update = {
		.offset = slot,
		.data = (uintptr_t)&buf,
		.tags = (uintptr_t)&tag,
		.nr = 1,
	};

	return uring_call(ring, IORING_REGISTER_BUFFERS_UPDATE, &update,
			  sizeof(update));
}

int uring_update_descs(struct ring *ring, unsigned int slot,
		       const struct io_uring_regbuf_desc *descs, const uint64_t *tags,
		       unsigned int nr)
{
	struct io_uring_rsrc_update2 update = {
		.offset = slot,
		.flags = IORING_RSRC_UPDATE_EXTENDED,
		.data = (uintptr_t)descs,
		.tags = (uintptr_t)tags,
		.nr = nr,
	};

	return uring_result(ring, IORING_REGISTER_BUFFERS_UPDATE, &update,
			    sizeof(update));
}

int uring_update_dmabuf(struct ring *ring, unsigned int slot, int dmabuf, int target,
			uint64_t tag)
{
	struct io_uring_regbuf_desc desc = uring_dmabuf_desc(dmabuf, target);
	int ret = uring_update_descs(ring, slot, &desc, &tag, 1);

	return ret < 0 ? ret : 0;
}

int uring_unregister(struct ring *ring)
{
	return uring_call(ring, IORING_UNREGISTER_BUFFERS, NULL, 0);
}

struct io_uring_sqe uring_request(int opcode, int fd, unsigned int slot, void *mem,
				  size_t len, off_t where)
{
	return (struct io_uring_sqe) {
		.opcode = opcode,
		.fd = fd,
		.buf_index = slot,
		.addr = (uintptr_t)mem,
		.len = len,
		.off = where,
	};
}

/*
 * Runs a request to completion; returns its result, or why it was not
 * submitted.
 */
int uring_fixed(struct ring *ring, int opcode, int fd, unsigned int slot, void *mem,
		size_t len, off_t where)
{
	struct io_uring_sqe sqe = uring_request(opcode, fd, slot, mem, len, where);
	struct io_uring_cqe cqe;

	return ring_do(ring, &sqe, &cqe) ?: cqe.res;
}

bool uring_nvme_open(struct uring_nvme *nvme, const char *disk)
{
	char path[64];
	int nsid;

	snprintf(path, sizeof(path), "/dev/ng%s", strstr(disk, "nvme") + 4);
	nvme->chr = open(path, O_RDWR);
	if (nvme->chr < 0)
		return false;
	nsid = ioctl(nvme->chr, NVME_IOCTL_ID);
	nvme->nsid = nsid;
	return nsid > 0;
}

/* For a ring with IORING_SETUP_SQE128; the buffer is in slot 0. */
void uring_nvme_request(const struct uring_nvme *nvme, struct io_uring_sqe sqe[2],
			int opcode, void *mem, size_t len, off_t where)
{
	const struct nvme_uring_cmd cmd = {
		.opcode = opcode,
		.nsid = nvme->nsid,
		.addr = (uintptr_t)mem,
		.data_len = len,
		.cdw10 = where / SECTOR,
		.cdw12 = len / SECTOR - 1,
	};

	memset(sqe, 0, 2 * sizeof(*sqe));
	sqe->opcode = IORING_OP_URING_CMD;
	sqe->fd = nvme->chr;
	sqe->cmd_op = NVME_URING_CMD_IO;
	sqe->uring_cmd_flags = IORING_URING_CMD_FIXED;
	memcpy(&sqe->cmd, &cmd, sizeof(cmd));
}
