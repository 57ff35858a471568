/* SPDX-License-Identifier: GPL-2.0 */
/* Messages of the kernel log. */
#ifndef P2P_KLOG_H
#define P2P_KLOG_H

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int klog_open(void);
int klog_next(int fd, char *record, size_t size);
bool klog_said(int fd, const char *one, const char *other);
bool __attribute__((format(printf, 2, 3)))
klog_wait(int fd, const char *format, ...);

#endif
