// SPDX-License-Identifier: GPL-2.0
/*
 * The transfers of p2pctl copy: reads into peer-to-peer memory, and writes out of it.
 *
 * One buffer is divided into slots. A slot is read into, written out, and then
 * free again. Slots start in the order of the data, so all data before the
 * first busy slot has arrived. A transfer that ends early is continued from
 * there.
 *
 * If a device can't reach the memory, the first transfer fails. With
 * --allow-ram the slot starts again in RAM, and so do all later ones.
 */
#include <errno.h>
#include <liburing.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "copy.h"
#include "lib/util.h"

#define SAVE_EVERY 5.0			/* seconds */
#define ZERO_AT_A_TIME (64UL << 20)

struct slot {
	char *mem, *ram;
	uint64_t at;			/* offset of its data */
	uint32_t len, moved;		/* of the transfer under way */
	bool busy, writing, in_ram;
};

struct ring {
	struct copy *c;
	struct io_uring uring;
	struct slot *slots;
	unsigned int busy;
	uint64_t next, end;		/* data that has no slot yet */
	uint64_t data_end;		/* end of the data extent of next */
	double saved;
	int status;
};

/* Prints what failed, and why if there is no route. */
void copy_io_error(const struct copy *c, bool writing, uint64_t at, int err)
{
	const struct end *end = writing ? &c->dst : &c->src;

	if (err == EREMOTEIO) {
		error("%s can't %s peer-to-peer memory of %s", end->path,
		      writing ? "read from" : "write to", c->via ? c->via->bdf : "?");
		hint("p2pctl route %s %s shows why; --allow-ram copies through RAM",
		     c->via ? c->via->bdf : "", end->path);
		return;
	}
	error("%s: %s at byte %llu failed: %s", end->path, writing ? "writing" : "reading",
	      (unsigned long long)at, strerror(err));
	if (err == ENOSPC || err == EDQUOT)
		hint("make room, then continue with --resume");
}

static void fail(struct ring *r, enum status status)
{
	if (r->status == ST_OK)
		r->status = status;
}

static void submit(struct ring *r, struct slot *slot)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&r->uring);
	char *mem = (slot->in_ram ? slot->ram : slot->mem) + slot->moved;
	unsigned int len = slot->len - slot->moved;
	uint64_t at = slot->at + slot->moved;
	bool fixed = r->c->fixed_buffers && !slot->in_ram;

	if (slot->writing && fixed)
		io_uring_prep_write_fixed(sqe, r->c->dst.fd, mem, len, at, 0);
	else if (slot->writing)
		io_uring_prep_write(sqe, r->c->dst.fd, mem, len, at);
	else if (fixed)
		io_uring_prep_read_fixed(sqe, r->c->src.fd, mem, len, at, 0);
	else
		io_uring_prep_read(sqe, r->c->src.fd, mem, len, at);
	io_uring_sqe_set_data(sqe, slot);
	io_uring_submit(&r->uring);
}

static void use_ram(struct ring *r, struct slot *slot)
{
	if (!slot->ram && posix_memalign((void **)&slot->ram, 4096, r->c->block_size))
		die(ST_FAILED, "out of memory");
	slot->in_ram = true;
}

static void free_slot(struct ring *r, struct slot *slot)
{
	slot->busy = false;
	r->busy--;
}

/* All before this has arrived. */
static uint64_t arrived(const struct ring *r)
{
	uint64_t least = r->next;

	for (unsigned int i = 0; i < r->c->queue_depth; i++)
		if (r->slots[i].busy && r->slots[i].at < least)
			least = r->slots[i].at;
	return least;
}

static void start_again(struct ring *r, struct slot *slot)
{
	struct copy *c = r->c;

	if (!c->refused && !c->quiet)
		error("peer-to-peer DMA with %s was refused: continuing through RAM",
		      slot->writing ? c->dst.path : c->src.path);
	c->refused = true;
	use_ram(r, slot);
	slot->writing = false;
	slot->moved = 0;
	submit(r, slot);
}

static void count(struct copy *c, const struct slot *slot)
{
	if (slot->in_ram)
		c->ram_bytes += slot->len;
	else
		c->p2p_bytes += slot->len;
}

static void completed(struct ring *r, struct slot *slot, int res)
{
	struct copy *c = r->c;

	if (res == -EREMOTEIO && !slot->in_ram && c->allow_ram) {
		start_again(r, slot);
		return;
	}
	if (res == -EINTR || res == -EAGAIN) {
		submit(r, slot);
		return;
	}
	if (res <= 0) {
		if (res)
			copy_io_error(c, slot->writing, slot->at + slot->moved, -res);
		else if (slot->writing)
			error("%s: no more data can be written at byte %llu", c->dst.path,
			      (unsigned long long)slot->at + slot->moved);
		else
			error("%s: the file became shorter while it was being copied", c->src.path);
		fail(r, res == -EREMOTEIO ? ST_NO : ST_FAILED);
		/* The slot stays busy, for arrived(), but has no transfer. */
		r->busy--;
		return;
	}
	slot->moved += res;
	if (slot->moved < slot->len) {
		submit(r, slot);
		return;
	}
	slot->moved = 0;
	if (!slot->writing) {
		slot->writing = true;
		submit(r, slot);
		return;
	}
	count(c, slot);
	free_slot(r, slot);
}

/* The destination gets zeros where the source has a hole; a new file has them already. */
static bool skip_hole(struct ring *r, uint64_t to)
{
	struct copy *c = r->c;

	while (c->dst.is_block && r->next < to && !copy_stop) {
		uint64_t range[2] = { r->next, to - r->next };

		if (range[1] > ZERO_AT_A_TIME)
			range[1] = ZERO_AT_A_TIME;
		if (ioctl(c->dst.fd, BLKZEROOUT, range)) {
			copy_io_error(c, true, r->next, errno);
			fail(r, ST_FAILED);
			return false;
		}
		r->next += range[1];
		c->hole_bytes += range[1];
	}
	if (!c->dst.is_block) {
		c->hole_bytes += to - r->next;
		r->next = to;
	}
	return r->next == to;
}

/* Moves on to data. Return: false if there is no more. */
static bool find_data(struct ring *r)
{
	struct copy *c = r->c;
	off_t data, hole;

	if (r->next < r->data_end)
		return true;
	if (r->next >= r->end)
		return false;
	data = c->src.is_block ? (off_t)r->next : lseek(c->src.fd, r->next, SEEK_DATA);
	if (data < 0 && errno == ENXIO)
		data = r->end;
	else if (data < 0)
		data = r->next;
	data -= data % c->dst.align;
	if ((uint64_t)data > r->end)
		data = r->end;
	if ((uint64_t)data > r->next && !skip_hole(r, data))
		return false;
	hole = c->src.is_block ? (off_t)r->end : lseek(c->src.fd, r->next, SEEK_HOLE);
	r->data_end = hole < 0 || (uint64_t)hole > r->end ? r->end : (uint64_t)hole;
	/* Round up to a whole block of the destination. */
	r->data_end += (c->dst.align - r->data_end % c->dst.align) % c->dst.align;
	if (r->data_end > r->end)
		r->data_end = r->end;
	return r->next < r->end;
}

static void start_slots(struct ring *r)
{
	struct copy *c = r->c;

	for (unsigned int i = 0; i < c->queue_depth && r->status == ST_OK; i++) {
		struct slot *slot = &r->slots[i];

		if (slot->busy)
			continue;
		if (copy_stop || !find_data(r))
			return;
		slot->at = r->next;
		slot->len = r->data_end - r->next < c->block_size ? r->data_end - r->next :
								     c->block_size;
		slot->moved = 0;
		slot->writing = false;
		slot->in_ram = false;
		slot->busy = true;
		if (!c->via || c->refused)
			use_ram(r, slot);
		r->busy++;
		r->next += slot->len;
		submit(r, slot);
	}
}

static void take_completions(struct ring *r)
{
	struct io_uring_cqe *cqe;
	int error_code = io_uring_wait_cqe(&r->uring, &cqe);

	if (error_code == -EINTR)
		return;
	if (error_code)
		die(ST_FAILED, "io_uring: %s", strerror(-error_code));
	do {
		struct slot *slot = io_uring_cqe_get_data(cqe);
		int res = cqe->res;

		io_uring_cqe_seen(&r->uring, cqe);
		completed(r, slot, res);
	} while (!io_uring_peek_cqe(&r->uring, &cqe));
}

static void note_progress(struct ring *r)
{
	struct copy *c = r->c;

	c->done = arrived(r);
	progress_update(&c->progress, c->done);
	if (now() - r->saved > SAVE_EVERY) {
		state_save(c);
		r->saved = now();
	}
}

/* For all slots; copy_tail() needs two blocks. */
static uint64_t buffer_size(const struct copy *c)
{
	uint64_t size = c->block_size * c->queue_depth;

	if (size < 2 * c->src.align)
		size = 2 * c->src.align;
	return size < 2 * c->dst.align ? 2 * c->dst.align : size;
}

/* Optional: kernels without io_uring support for such memory refuse it. */
static void register_buffer(struct ring *r, void *mem)
{
	struct copy *c = r->c;
	struct iovec iov = { mem, buffer_size(c) };

	c->fixed_buffers = mem && !io_uring_register_buffers(&r->uring, &iov, 1);
}

static void *map_buffer(struct copy *c)
{
	void *mem = c->via ? provider_map(c->via, buffer_size(c)) : NULL;
	char need[SIZE_TEXT], have[SIZE_TEXT];

	if (mem || !c->via)
		return mem;
	error("%s: can't allocate %s of peer-to-peer memory: %s", c->via->bdf,
	      size_text(buffer_size(c), need), strerror(errno));
	if (errno == EACCES || errno == EPERM)
		hint("p2pctl list shows who may allocate, p2pctl check if lockdown forbids it");
	else
		hint("%s is free, but maybe not in one piece; lower --queue-depth or --block-size",
		     size_text(c->via->available, have));
	exit(ST_FAILED);
}

/**
 * copy_data() - copy, from c->first on
 * @c: the copy; c->done is set to how far it came
 *
 * Return: ST_OK, or why not all was copied.
 */
int copy_data(struct copy *c)
{
	uint64_t align = c->src.align > c->dst.align ? c->src.align : c->dst.align;
	struct ring r = { .c = c, .next = c->first, .saved = now() };
	char *mem = map_buffer(c);
	int err = io_uring_queue_init(c->queue_depth, &r.uring, 0);

	if (err)
		die(ST_FAILED, "io_uring: %s%s", strerror(-err), err == -EPERM ?
		    "; see /proc/sys/kernel/io_uring_disabled" : "");
	r.end = c->size - c->size % align;
	r.slots = xcalloc(c->queue_depth, sizeof(*r.slots));
	for (unsigned int i = 0; i < c->queue_depth; i++)
		r.slots[i].mem = mem ? mem + i * c->block_size : NULL;
	register_buffer(&r, mem);

	for (;;) {
		start_slots(&r);
		note_progress(&r);
		if (!r.busy)
			break;
		take_completions(&r);
	}
	if (r.status == ST_OK && copy_stop && r.next < r.end)
		r.status = ST_INTERRUPTED;
	if (r.status == ST_OK && r.end < c->size)
		r.status = copy_tail(c, c->refused ? NULL : mem);
	progress_end(&c->progress);

	io_uring_queue_exit(&r.uring);
	for (unsigned int i = 0; i < c->queue_depth; i++)
		free(r.slots[i].ram);
	free(r.slots);
	if (mem)
		munmap(mem, buffer_size(c));
	return r.status;
}
