// SPDX-License-Identifier: GPL-2.0
/*
 * What gcov counted in this kernel, for the host: each file of debugfs as one frame
 * with its name and size, and after it the file's 32-bit words in hex. Most are 0.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "init.h"

#define GCOV "/sys/kernel/debug/gcov"
#define MAX_SIZE (1 << 20)
#define MAX_WORD 9			/* eight digits and a blank */

static void send_words(const unsigned int *data, size_t nr_words)
{
	static char text[MAX_SIZE / sizeof(unsigned int) * MAX_WORD + 2];
	size_t len = 0;

	for (size_t i = 0; i < nr_words; i++)
		len += sprintf(text + len, "%x%c", data[i], i % 32 == 31 ? '\n' : ' ');
	text[len++] = '\n';
	output(text, len);
}

static int send_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	static unsigned int data[MAX_SIZE / sizeof(unsigned int)];
	const char *suffix = strrchr(path, '.');
	size_t len = 0;
	ssize_t n;
	int fd;

	(void)st;
	(void)ftw;
	if (type != FTW_F || !suffix || strcmp(suffix, ".gcda"))
		return 0;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	while (fd >= 0 && (n = read(fd, (char *)data + len, sizeof(data) - len)) > 0)
		len += n;
	if (fd >= 0)
		close(fd);
	if (!len || len == sizeof(data))
		fault("%s cannot be read, or is too large", path);
	frame("gcov %s %zu", path + strlen(GCOV), len);
	send_words(data, len / sizeof(*data));
	return 0;
}

void send_gcov(void)
{
	if (access(GCOV, F_OK))
		fault("this kernel does not count lines: no " GCOV);
	/* debugfs links to the compiler's notes, which are not here. */
	nftw(GCOV, send_file, 8, FTW_PHYS);
	frame("gcov done");
}
