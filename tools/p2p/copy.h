/* SPDX-License-Identifier: GPL-2.0 */
/*
 * p2pctl copy: common declarations.
 */
#ifndef P2P_COPY_H
#define P2P_COPY_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "lib/client.h"
#include "lib/progress.h"
#include "lib/provider.h"

/* The source or the destination. */
struct end {
	const char *path;
	int fd;
	struct stat st;
	bool is_block;
	bool created;			/* by this program */
	uint64_t size;			/* old size of a destination file */
	uint64_t align;			/* for O_DIRECT */
};

struct copy {
	struct end src, dst;
	const struct provider *via;	/* NULL: through RAM */
	uint64_t block_size;
	unsigned int queue_depth;
	uint64_t size;			/* bytes to copy, from the beginning */
	uint64_t first;			/* where this run begins */
	const char *state_path;
	bool allow_ram, verify, quiet;
	struct progress progress;

	/* Result. */
	uint64_t done;			/* all before this is in the destination */
	uint64_t p2p_bytes, ram_bytes, hole_bytes, tail_bytes;
	bool refused;			/* peer-to-peer DMA, during the copy */
	bool fixed_buffers;
	struct counters before;
};

extern volatile sig_atomic_t copy_stop;

/* copy_ends.c: these functions exit on errors. */
void copy_open_source(struct copy *c);
void copy_check_destination(const struct copy *c);
void copy_open_destination(struct copy *c, bool resume);
void copy_check_room(const struct copy *c);

/* copy_ring.c: from first to the last whole block. Return: an enum status. */
int copy_data(struct copy *c);
void copy_io_error(const struct copy *c, bool writing, uint64_t at, int err);

/* copy_tail.c: the rest, less than a block */
int copy_tail(struct copy *c, void *mem);

/* copy_state.c */
bool state_load(struct copy *c);
void state_save(struct copy *c);
void state_remove(struct copy *c);

/* verify.c */
int copy_verify(struct copy *c);

#endif
