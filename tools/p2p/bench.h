/* SPDX-License-Identifier: GPL-2.0 */
/*
 * p2pctl bench: common declarations.
 */
#ifndef P2P_BENCH_H
#define P2P_BENCH_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/provider.h"

#define MAX_SIZES 16

struct figure {
	/* cpu: seconds per second */
	double bytes_per_second, per_second, cpu;
};

struct bench {
	const char *target;
	const struct provider *via;
	uint64_t sizes[MAX_SIZES];
	unsigned int nr_sizes, queue_depth;
	double seconds;
	uint64_t span;
	bool write, json;
	const char *plot;
	int fd;
	/* read of P2P, read of RAM, write of P2P, write of RAM */
	struct figure figures[MAX_SIZES][4];
	/* Peer-to-peer bytes: by the kernel's count, and by the program's. */
	uint64_t counted, transferred;
};

/* The titles of the figures of a size. */
extern const char * const bench_columns[4];

void bench_print_table(const struct bench *b);
void bench_print_json(const struct bench *b);
void bench_plot(const struct bench *b);

#endif
