// SPDX-License-Identifier: GPL-2.0
/* Messages of the kernel log. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../klog.h"

/* Opens the log at its end. */
int klog_open(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0)
		lseek(fd, 0, SEEK_END);
	return fd;
}

/* Reads the next record: 0, EAGAIN if there is none yet, or another errno. */
int klog_next(int fd, char *record, size_t size)
{
	ssize_t len;

	/* Records may have been lost. */
	do {
		len = read(fd, record, size - 1);
	} while (len < 0 && errno == EPIPE);
	if (len <= 0)
		return len ? errno : ENODATA;
	record[len] = '\0';
	return 0;
}

/* Does any of the available lines contain both texts? */
bool klog_said(int fd, const char *one, const char *other)
{
	char record[8192];
	bool found = false;

	while (!klog_next(fd, record, sizeof(record)))
		found |= strstr(record, one) && strstr(record, other);
	return found;
}

/* Waits for a line with this text, skipping others. */
bool __attribute__((format(printf, 2, 3)))
klog_wait(int fd, const char *format, ...)
{
	char want[256], record[8192];
	va_list args;
	int error;

	va_start(args, format);
	vsnprintf(want, sizeof(want), format, args);
	va_end(args);

	for (;;) {
		error = klog_next(fd, record, sizeof(record));
		if (!error && strstr(record, want))
			return true;
		if (error && error != EAGAIN)
			return false;
		if (error)
			usleep(1000);
	}
}
