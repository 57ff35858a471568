/* SPDX-License-Identifier: GPL-2.0 */
/*
 * All operations of a process on peer-to-peer memory, as calls chosen by random
 * numbers, for p2p_stress in many threads, and p2p_fuzz in reproducible order.
 *
 *	room	a range of addresses where a process maps, unmaps and moves
 *		memory of providers and RAM; its threads share it
 *	worker	a thread, and the files that it works with
 *	call	an operation and its numbers. What it does depends on nothing else,
 *		so that the same numbers make the same program
 *
 * Calls touch only memory in the room and their own buffers. Any call may find
 * nothing mapped at an address, which is an error like others.
 */
#ifndef P2P_OPS_H
#define P2P_OPS_H

#include <lib/test_p2p_uapi.h>
#include <linux/aio_abi.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "p2pmem.h"
#include "ring.h"

#define OPS_ROOM	((char *)(1UL << 45))
#define OPS_ROOM_SIZE	(16 * MIB)
#define OPS_PAGE	(4 * KIB)
#define OPS_NUMBERS	6
#define OPS_MAX		64
#define OPS_DEPTH	8		/* requests of a worker under way */
#define OPS_DMABUFS	3		/* of a worker */
#define OPS_EXEC	"p2p-exec"	/* argv[0] of a child that only ends */
#define OPS_DISK_SIZE	(8 * MIB)	/* start of the area of calls */
#define OPS_DISK_MIXED	(16 * MIB)	/* start of mixed transfers */
#define OPS_DISK_END	(24 * MIB)
#define OPS_MIRRORS	2		/* at most */

/* Results that are counted: 0, errno, and signals after them. */
#define OPS_ERRNOS	134
#define OPS_RESULTS	(OPS_ERRNOS + 32)
#define OPS_SIGNAL(sig)	(-(OPS_ERRNOS + (sig)))

struct ops_worker;

/* A call and the numbers that choose its arguments. */
struct ops_call {
	unsigned int op;
	uint32_t r[OPS_NUMBERS];
};

/* Address and length, from the first two numbers; within the room. */
char *ops_addr(const struct ops_call *call);
size_t ops_len(const struct ops_call *call);

enum ops_kind {
	OPS_MEM,		/* mappings and accesses */
	OPS_GUP,		/* get_user_pages() and DMA mappings */
	OPS_IO,			/* system calls with a buffer */
	OPS_TASK,		/* processes */
	OPS_LIFE,		/* takes a provider away and brings it back */
	OPS_NR_KINDS
};

#define OPS_ALL		((1U << OPS_NR_KINDS) - 1)

struct ops_op {
	const char *name;
	/* Returns 0 or more, a negative errno, or OPS_SIGNAL(). */
	long (*run)(struct ops_worker *w, const struct ops_call *call);
	enum ops_kind kind;
	unsigned int weight;
};

/* Shared by all processes. */
struct ops_stats {
	int nr_providers;
	char providers[P2P_MAX][P2P_ADDR_LEN];
	long long size[P2P_MAX];
	unsigned long calls[OPS_MAX][OPS_RESULTS];
	unsigned long wrong;
	unsigned long verified;		/* bytes */
	unsigned long unbound;
	unsigned long removed;
	unsigned long reset;
	unsigned long unplugged;
	unsigned long switched;		/* ACS redirection, on and off */
	unsigned long refused;		/* vectors, by EREMOTEIO */
	unsigned long mirrored;
	int stop;
};

struct ops_worker {
	struct ops_stats *stats;
	int sysfs[P2P_MAX];		/* p2pmem/allocate of each provider */
	struct p2p_test_function client;
	int disk;
	int slow;
	int mirrors[OPS_MIRRORS];	/* of P2P_MIRRORS, or -1 */
	unsigned int slot;		/* unique for each worker */
	int memfd;
	int rom;			/* the same, read-only */
	int pipe[2];
	int gup;
	int extents;
	int hold;
	int dma;
	int importer;
	int dmabufs[OPS_DMABUFS];	/* -1: none */
	aio_context_t aio;
	unsigned int aio_busy;
	struct ring ring;
	unsigned int ring_busy;
	char *ram;			/* OPS_ROOM_SIZE */
	void *scratch;			/* P2P_TEST_MAX_PAGES results */
};

/* ops.c */
uint64_t ops_random(uint64_t *state);
void ops_choose(uint64_t *state, unsigned int kinds, struct ops_call *call);
long ops_run(struct ops_worker *w, const struct ops_call *call);
struct ops_stats *ops_stats(void);
bool ops_worker_init(struct ops_worker *w, struct ops_stats *stats, unsigned int slot);
void ops_worker_exit(struct ops_worker *w);
void ops_wrong(struct ops_worker *w, const char *what, long value);
void ops_print(const struct ops_stats *stats);
unsigned long ops_calls(const struct ops_stats *stats);
unsigned long ops_buffers(const struct ops_stats *stats);
const char *ops_name(unsigned int op);
const char *ops_result(long result, char *text, size_t size);

/*
 * Calls work(), which may raise SIGBUS or SIGSEGV; returns the signal, or 0.
 * Calls can't be nested within a thread.
 */
int ops_guard(void (*work)(void *arg), void *arg);

/* Tables of operations, terminated by an entry without a name. */
extern const struct ops_op ops_mem[];		/* ops_mem.c */
extern const struct ops_op ops_gup[];		/* ops_gup.c */
extern const struct ops_op ops_io[];		/* ops_io.c */
extern const struct ops_op ops_mixed[];		/* ops_mixed.c */
extern const struct ops_op ops_dmabuf[];	/* ops_dmabuf.c */
extern const struct ops_op ops_task[];		/* ops_task.c */

/* ops_gup.c: or a removal would wait for the caller's own holds */
void ops_let_go(struct ops_worker *w);
/* ops_io.c */
void ops_reap_all(struct ops_worker *w);
/* ops_mixed.c */
void ops_open_mirrors(struct ops_worker *w);
void ops_close_mirrors(struct ops_worker *w);
bool ops_mirrors_whole(void);
pid_t ops_start_switcher(struct ops_stats *stats, uint64_t seed);
/* ops_task.c: 0 or an errno */
int ops_rebind(struct ops_worker *w, const char *provider);
int ops_reset(struct ops_worker *w, const char *provider);
int ops_remove_and_scan(struct ops_worker *w, const char *provider);
int ops_unplug(struct ops_worker *w, const char *provider);
bool ops_bring_back(const char *provider);
bool ops_all_back(struct ops_stats *stats);

#endif
