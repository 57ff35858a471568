/* SPDX-License-Identifier: GPL-2.0 */
/* Files in debugfs through which the programs of selftests/p2p_gup call the kernel. */
#ifndef _LIB_TEST_P2P_H
#define _LIB_TEST_P2P_H

#include "test_p2p_uapi.h"

/* Argument and result of an ioctl(). */
union p2p_test_arg {
	unsigned long value;		/* of a command without a structure */
	struct p2p_test_gup gup;
	struct p2p_test_sg sg;
	struct p2p_test_page look;
	struct p2p_test_pin pin;
	struct p2p_test_dma dma;
	struct p2p_test_pool pool;
	struct p2p_test_contexts contexts;
	struct p2p_test_range range;
	struct p2p_test_create create;
	struct p2p_test_hold hold;
	struct p2p_test_holds holds;
	struct p2p_test_attach attach;
	struct p2p_test_dmabuf_map map;
	struct p2p_test_vmap vmap;
	struct p2p_test_hmm hmm;
};

/**
 * struct p2p_test_file - a file in debugfs
 * @name: its name there
 * @state_size: size of the state of an open file, or 0. The state is zeroed when
 *		the file is opened
 * @open: prepares the state of an open file and returns 0 or a negative errno.
 *	  Optional
 * @release: cleans up the state before it is freed. Optional
 * @ioctl: carries out a command, one at a time for each open file. The argument is
 *	   copied from the caller, and back to it unless @ioctl returns a negative errno
 */
struct p2p_test_file {
	const char *name;
	size_t state_size;
	int (*open)(void *state);
	void (*release)(void *state);
	long (*ioctl)(void *state, unsigned int cmd, union p2p_test_arg *arg);
};

void p2p_test_create_file(const struct p2p_test_file *file);

#endif
