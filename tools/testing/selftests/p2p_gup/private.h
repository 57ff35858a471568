/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Device private memory of lib/test_hmm.c, with its data in a provider's BAR.
 */
#ifndef PRIVATE_H
#define PRIVATE_H

#include <stdbool.h>
#include <stddef.h>

#define DMIRROR			"/dev/hmm_dmirror0"
#define DMIRROR_PROVIDER	"/sys/module/test_hmm/parameters/p2p_provider"
#define NO_PROVIDER		"\n"	/* RAM, the default */

/*
 * The file applies to the process that opened it; ranges are whole pages. All
 * but the last function return 0 or a negative errno.
 */
int private_to_device(int fd, void *mem, size_t size);
int private_to_ram(int fd, void *mem, size_t size);
int private_read(int fd, void *mem, size_t size, void *to);
int private_pages(int fd, const void *mem, size_t size);

#endif
