/* SPDX-License-Identifier: GPL-2.0 */
/* The tracepoints of peer-to-peer memory. */
#ifndef P2P_TRACE_H
#define P2P_TRACE_H

#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "p2pmem.h"

#define TRACING		"/sys/kernel/tracing/"

bool trace_write(const char *file, const char *text);

static inline bool trace_there(void)
{
	return !access(TRACING "events/p2pmem", F_OK);
}

bool trace_clear(void);

static inline bool trace_start(void)
{
	return trace_write("tracing_on", "0") && trace_clear() &&
	       trace_write("events/p2pmem/enable", "1") &&
	       trace_write("events/vm_p2p/enable", "1") &&
	       trace_write("events/p2pdma/enable", "1") &&
	       trace_write("tracing_on", "1");
}

void trace_stop(void);
int __attribute__((format(printf, 1, 2)))
traced(const char *format, ...);

#endif
