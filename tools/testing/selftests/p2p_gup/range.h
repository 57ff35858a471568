/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Peer-to-peer memory without struct pages, through the sample driver
 * samples/p2pdma/p2p-vram.c.
 *
 *	P2P_VRAM	address of the device that is bound to it
 */
#ifndef P2P_RANGE_TEST_H
#define P2P_RANGE_TEST_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "edu.h"
#include "p2pmem.h"

#define VRAM		"p2p-vram"

int open_vram(const char *device, int flags);
char *map_vram(const char *device, size_t size, off_t offset);
int export_vram(const char *device, size_t size, off_t offset);
int export_vram_flags(const char *device, size_t size, off_t offset, int flags);

#endif
