// SPDX-License-Identifier: GPL-2.0
/* Kernel messages about a device. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kmsg.h"
#include "util.h"

/* Return: a descriptor from which to read later messages, or -1. */
int kmsg_open(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0)
		lseek(fd, 0, SEEK_END);
	return fd;
}

/* A read() returns a record: "6,1234,567890,-;text", then "key=value" lines. */
static bool next_record(int fd, char *record, size_t size)
{
	ssize_t n;

	do {
		n = read(fd, record, size - 1);
	} while (n < 0 && errno == EPIPE);
	if (n <= 0)
		return false;
	record[n] = '\0';
	record[strcspn(record, "\n")] = '\0';
	return true;
}

static char *text_of(char *record)
{
	char *text = strchr(record, ';');

	return text ? text + 1 : record;
}

/* Return: messages since kmsg_open() with @what, to be freed, or NULL. */
char *kmsg_about(int fd, const char *what)
{
	char record[8192];
	struct text text = {};

	while (fd >= 0 && next_record(fd, record, sizeof(record)))
		if (strstr(record, what))
			text_add(&text, "%s%s", text.len ? "\n" : "", text_of(record));
	return text.s;
}

/* Return: the last message that contains both texts, to be freed, or NULL. */
char *kmsg_find(const char *what, const char *and)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	char record[8192], *found = NULL;

	while (fd >= 0 && next_record(fd, record, sizeof(record))) {
		if (!strstr(record, what) || !strstr(record, and))
			continue;
		free(found);
		found = xstrdup(text_of(record));
	}
	if (fd >= 0)
		close(fd);
	return found;
}
