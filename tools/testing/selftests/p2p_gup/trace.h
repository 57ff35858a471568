/* SPDX-License-Identifier: GPL-2.0 */
/* What the tracepoints of peer-to-peer memory tell. */
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

static inline bool trace_write(const char *file, const char *text)
{
	char path[128];

	snprintf(path, sizeof(path), TRACING "%s", file);
	return !p2p_write_file(path, text);
}

static inline bool trace_there(void)
{
	return !access(TRACING "events/p2pmem", F_OK);
}

static inline bool trace_clear(void)
{
	int fd = open(TRACING "trace", O_WRONLY | O_TRUNC);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

static inline bool trace_start(void)
{
	return trace_write("tracing_on", "0") && trace_clear() &&
	       trace_write("events/p2pmem/enable", "1") &&
	       trace_write("events/vm_p2p/enable", "1") &&
	       trace_write("events/p2pdma/enable", "1") &&
	       trace_write("tracing_on", "1");
}

static inline void trace_stop(void)
{
	trace_write("events/p2pmem/enable", "0");
	trace_write("events/vm_p2p/enable", "0");
	trace_write("events/p2pdma/enable", "0");
}

/* How many lines of the trace have the text in them. */
static inline int __attribute__((format(printf, 1, 2)))
traced(const char *format, ...)
{
	char want[256], line[512];
	va_list args;
	FILE *file;
	int nr = 0;

	va_start(args, format);
	vsnprintf(want, sizeof(want), format, args);
	va_end(args);

	file = fopen(TRACING "trace", "r");
	while (file && fgets(line, sizeof(line), file))
		nr += line[0] != '#' && strstr(line, want);
	if (file)
		fclose(file);
	return nr;
}

#endif
