// SPDX-License-Identifier: GPL-2.0
/* Data of the tests of samples/p2pdma/p2p-edu.c. */
#define _GNU_SOURCE
#include <stdbool.h>
#include <string.h>

#include "../edu.h"
#include "../p2pmem.h"

/* Device memory is read by words. */
void snapshot(void *to, const void *from, size_t size)
{
	uint64_t *word = to;
	size_t i;

	for (i = 0; i < size / 8; i++)
		word[i] = p2p_load((const uint64_t *)from + i);
}

void fill(char *src, char *dst)
{
	p2p_fill(src, SIZE, SRC, 0);
	p2p_fill(dst, SIZE, DST, 0);
}

/* Does dst have len bytes of src at dst_at, and is all else unchanged? */
bool is_copied(const char *src, const char *dst, size_t src_at, size_t dst_at, size_t len)
{
	static __thread uint64_t from[SIZE / 8], to[SIZE / 8], now[SIZE / 8];

	p2p_fill(from, SIZE, SRC, 0);
	p2p_fill(to, SIZE, DST, 0);
	snapshot(now, src, SIZE);
	if (memcmp(now, from, SIZE))
		return false;
	memcpy((char *)to + dst_at, (char *)from + src_at, len);
	snapshot(now, dst, SIZE);
	return !memcmp(now, to, SIZE);
}
