// SPDX-License-Identifier: GPL-2.0
/*
 * Tries a transfer: reads one block from a file or a device into peer-to-peer
 * memory. Writes nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "answer.h"

#define SIZE (64 * 1024)

/* Return: the offset of the first data that is not in a hole. */
static off_t first_data(int fd)
{
	off_t at = lseek(fd, 0, SEEK_DATA);

	return at < 0 ? 0 : at & ~(off_t)(SIZE - 1);
}

static enum probe judge(ssize_t n, int err, const struct counters *before,
			const struct counters *after, char **why)
{
	if (n < 0 && err == EREMOTEIO) {
		*why = xstrdup("the kernel refused the read (EREMOTEIO); dmesg shows why");
		return PROBE_REFUSED;
	}
	if (n < 0) {
		*why = xasprintf("reading failed: %s", strerror(err));
		return PROBE_IMPOSSIBLE;
	}
	if (after->bus + after->host_bridge == before->bus + before->host_bridge) {
		*why = xstrdup(n ? "the data was read, but not from device to device" :
			       "there is nothing to read");
		return n ? PROBE_REFUSED : PROBE_NOTHING;
	}
	*why = xasprintf("%zd bytes went %s", n,
			 after->bus > before->bus ? "across the switch (bus)" :
						    "through the host bridge");
	return PROBE_P2P;
}

/**
 * probe_read() - read a block into peer-to-peer memory
 * @p: the provider
 * @path: the file or block device
 * @why: where to store the result as text, to be freed
 *
 * Return: the result.
 */
enum probe probe_read(const struct provider *p, const char *path, char **why)
{
	struct counters before, after;
	int fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	enum probe result;
	ssize_t n;
	void *mem;
	int err;

	if (fd < 0) {
		err = errno;
		*why = xasprintf("can't be opened with O_DIRECT: %s", strerror(err));
		return err == EINVAL ? PROBE_REFUSED : PROBE_IMPOSSIBLE;
	}
	mem = provider_map(p, SIZE);
	if (!mem) {
		*why = xasprintf("can't allocate memory of %s to try it: %s", p->bdf,
				 strerror(errno));
		close(fd);
		return PROBE_IMPOSSIBLE;
	}
	provider_counters(p->bdf, &before);
	n = pread(fd, mem, SIZE, first_data(fd));
	err = errno;
	provider_counters(p->bdf, &after);
	result = judge(n, err, &before, &after, why);
	munmap(mem, SIZE);
	close(fd);
	return result;
}
