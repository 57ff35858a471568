/* SPDX-License-Identifier: GPL-2.0 */
/* The parts of bench_p2p. */
#ifndef BENCH_P2P_H
#define BENCH_P2P_H

#include <stdbool.h>
#include <stddef.h>

#define GIB (1UL << 30)

/* bench_p2p.c: memory of the device; addresses are those that room() gave */
bool have_p2p(void);
char *room(size_t size, size_t offset);
void *p2p_map(char *at, size_t size);
size_t p2p_available(void);

/* bench_map.c */
void measure_mappings(void);

/* bench_uring.c: at has a huge page's size */
void measure_uring(int fd, const char *kind, char *at);

#endif
