/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Kernel messages about a device.
 */
#ifndef P2P_KMSG_H
#define P2P_KMSG_H

int kmsg_open(void);
char *kmsg_about(int fd, const char *what);
char *kmsg_find(const char *what, const char *and);

#endif
