/* SPDX-License-Identifier: GPL-2.0 */
/* What the kernel says. */
#ifndef P2P_KLOG_H
#define P2P_KLOG_H

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* What is logged from now on. */
static inline int klog_open(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0)
		lseek(fd, 0, SEEK_END);
	return fd;
}

/* Waits until a line says this; those before it are passed over. */
static inline bool __attribute__((format(printf, 2, 3)))
klog_wait(int fd, const char *format, ...)
{
	char want[256], record[8192];
	va_list args;
	ssize_t len;

	va_start(args, format);
	vsnprintf(want, sizeof(want), format, args);
	va_end(args);

	for (;;) {
		len = read(fd, record, sizeof(record) - 1);
		if (len < 0 && errno == EAGAIN) {
			usleep(1000);
			continue;
		}
		if (len < 0 && errno != EPIPE)
			return false;
		record[len > 0 ? len : 0] = '\0';
		if (strstr(record, want))
			return true;
	}
}

#endif
