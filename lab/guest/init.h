/* SPDX-License-Identifier: GPL-2.0 */
/* What the parts of the lab's PID 1 share. */
#ifndef LAB_INIT_H
#define LAB_INIT_H

#include <stdbool.h>
#include <stddef.h>

/* init.c: a framing line, on the kernel log and on the program output */
void frame(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* init.c: a remark, on the kernel log only */
void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* init.c: something that makes the verdict FAIL */
void fault(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* init.c: bytes on the program output, between two frames */
void output(const char *data, size_t len);

/* file.c: small files in /proc and /sys */
bool read_file(const char *path, char *buf, size_t size);
bool write_file(const char *path, const char *text);
long long read_number(const char *path);
void sleep_ms(long ms);

/* devices.c */
void bind_devices(const char *id, const char *driver);
void wait_for_disk(const char *variable, const char *serial, const char *nsid);
void wait_for_providers(int expected);

/* leak.c */
void leak_scan_begin(void);
void leak_scan_end(void);

/* gcov.c */
void send_gcov(void);

/* mounts.c */
void mount_basics(void);
bool mount_host_root(void);
void enter_host_root(void);
void unmount_all(void);

#endif
