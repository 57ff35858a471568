// SPDX-License-Identifier: GPL-2.0
/*
 * p2pctl copy --verify: reads both ends again, into RAM, and compares.
 *
 * RAM, so that a fault of the peer-to-peer route can't hide itself.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "copy.h"
#include "lib/util.h"

#define CHUNK (1UL << 20)

/* O_DIRECT reads whole blocks, and fewer bytes only at the end of a file. */
static bool read_all(const struct end *end, char *to, uint64_t at,
		     uint64_t len)
{
	uint64_t want = (len + end->align - 1) / end->align * end->align, got = 0;

	while (got < len) {
		ssize_t n = pread(end->fd, to + got, want - got, at + got);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			error("%s: reading at byte %llu for --verify failed: %s", end->path,
			      (unsigned long long)(at + got),
			      n ? strerror(errno) : "unexpected end of data");
			return false;
		}
		got += n;
	}
	return true;
}

static uint64_t first_difference(const char *a, const char *b, uint64_t len)
{
	uint64_t i = 0;

	while (i < len && a[i] == b[i])
		i++;
	return i;
}

/* Return: ST_OK, ST_DIFFERS, ST_FAILED, or ST_INTERRUPTED. */
int copy_verify(struct copy *c)
{
	int status = ST_OK;
	void *mem;
	char *a, *b;

	if (posix_memalign(&mem, 4096, 2 * CHUNK))
		die(ST_FAILED, "out of memory");
	a = mem;
	b = a + CHUNK;
	progress_begin(&c->progress, "verify", 0, c->size, c->quiet);
	for (uint64_t at = 0; at < c->size && status == ST_OK; at += CHUNK) {
		uint64_t len = c->size - at < CHUNK ? c->size - at : CHUNK;

		if (copy_stop) {
			status = ST_INTERRUPTED;
		} else if (!read_all(&c->src, a, at, len) ||
			   !read_all(&c->dst, b, at, len)) {
			status = ST_FAILED;
		} else if (memcmp(a, b, len)) {
			progress_end(&c->progress);
			error("%s and %s differ, first at byte %llu", c->src.path, c->dst.path,
			      (unsigned long long)(at + first_difference(a, b, len)));
			status = ST_DIFFERS;
		}
		progress_update(&c->progress, at + len);
	}
	progress_end(&c->progress);
	free(mem);
	return status;
}
