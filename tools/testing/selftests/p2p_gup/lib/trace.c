// SPDX-License-Identifier: GPL-2.0
/* The tracepoints of peer-to-peer memory. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../p2pmem.h"
#include "../trace.h"

bool trace_write(const char *file, const char *text)
{
	char path[128];

	snprintf(path, sizeof(path), TRACING "%s", file);
	return !p2p_write_file(path, text);
}

bool trace_clear(void)
{
	int fd = open(TRACING "trace", O_WRONLY | O_TRUNC);

	if (fd < 0)
		return false;
	close(fd);
	return true;
}

void trace_stop(void)
{
	trace_write("events/p2pmem/enable", "0");
	trace_write("events/vm_p2p/enable", "0");
	trace_write("events/p2pdma/enable", "0");
}

/* Counts the lines of the trace that contain the text. */
int __attribute__((format(printf, 1, 2))) traced(const char *format, ...)
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
