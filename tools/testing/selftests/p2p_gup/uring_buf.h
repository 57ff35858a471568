/* SPDX-License-Identifier: GPL-2.0 */
/* Registered buffers of an io_uring. */
#ifndef P2P_URING_BUF_H
#define P2P_URING_BUF_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "p2pmem.h"
#include "ring.h"

enum { NVME_WRITE = 1, NVME_READ = 2 };

/* The character device of a drive's namespace, for commands. */
struct uring_nvme {
	int chr;
	uint32_t nsid;
};

/* Offset and length in a registered buffer of 4 MiB, with folios of 2 MiB. */
#define URING_SIZE	(4 * MIB)
#define URING_NR_PARTS	10

struct uring_part {
	size_t at, len;
};

extern const struct uring_part uring_parts[URING_NR_PARTS];

/* The number of bytes before and after a part that must not change. */
size_t uring_before(const struct uring_part *part);
size_t uring_after(const struct uring_part *part);

/* All return 0 or a negative errno. */
int uring_register(struct ring *ring, void *mem, size_t len);
int uring_register_empty(struct ring *ring, unsigned int slots);
int uring_update(struct ring *ring, unsigned int slot, void *mem, size_t len,
		 uint64_t tag);
int uring_unregister(struct ring *ring);

/*
 * Describes a dma-buf, for one file; requests pass offsets instead of
 * addresses.
 */
static inline struct io_uring_regbuf_desc uring_dmabuf_desc(int dmabuf, int target)
{
	return (struct io_uring_regbuf_desc) {
		.type = IO_REGBUF_TYPE_DMABUF,
		.dmabuf_fd = dmabuf,
		.target_fd = target,
	};
}

static inline void *uring_at(size_t offset)
{
	return (void *)offset;
}

/* Returns how many slots were updated, or a negative errno. */
int uring_update_descs(struct ring *ring, unsigned int slot,
		       const struct io_uring_regbuf_desc *descs, const uint64_t *tags,
		       unsigned int nr);
/* 0 or a negative errno. */
int uring_update_dmabuf(struct ring *ring, unsigned int slot, int dmabuf, int target,
			uint64_t tag);

struct io_uring_sqe uring_request(int opcode, int fd, unsigned int slot, void *mem,
				  size_t len, off_t where);
int uring_fixed(struct ring *ring, int opcode, int fd, unsigned int slot, void *mem,
		size_t len, off_t where);

bool uring_nvme_open(struct uring_nvme *nvme, const char *disk);
void uring_nvme_request(const struct uring_nvme *nvme, struct io_uring_sqe sqe[2],
			int opcode, void *mem, size_t len, off_t where);

static inline int uring_read(struct ring *ring, int fd, unsigned int slot, void *mem,
			     size_t len, off_t where)
{
	return uring_fixed(ring, IORING_OP_READ_FIXED, fd, slot, mem, len, where);
}

static inline int uring_write(struct ring *ring, int fd, unsigned int slot, void *mem,
			      size_t len, off_t where)
{
	return uring_fixed(ring, IORING_OP_WRITE_FIXED, fd, slot, mem, len, where);
}

#endif
