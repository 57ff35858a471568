// SPDX-License-Identifier: GPL-2.0
/* Files of sysfs and procfs. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sysfs.h"
#include "util.h"

static char *format_path(const char *fmt, va_list ap)
{
	char *path;

	if (vasprintf(&path, fmt, ap) < 0)
		die(ST_FAILED, "out of memory");
	return path;
}

#define FORMAT_PATH(path, fmt) do {	\
	va_list ap_;			\
					\
	va_start(ap_, fmt);		\
	(path) = format_path(fmt, ap_);	\
	va_end(ap_);			\
} while (0)

static char *read_path(const char *path)
{
	struct text text = {};
	char buf[4096];
	ssize_t n;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return NULL;
	text_add(&text, "%s", "");
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		text_add(&text, "%.*s", (int)n, buf);
	close(fd);
	if (n < 0) {
		free(text.s);
		return NULL;
	}
	while (text.len && (text.s[text.len - 1] == '\n' || text.s[text.len - 1] == ' '))
		text.s[--text.len] = '\0';
	return text.s;
}

/* Return: the text without its last newline; NULL if it can't be read. */
char *read_text(const char *fmt, ...)
{
	char *path, *text;

	FORMAT_PATH(path, fmt);
	text = read_path(path);
	free(path);
	return text;
}

bool read_number(uint64_t *number, const char *fmt, ...)
{
	char *path, *text, *end;
	bool good = false;

	FORMAT_PATH(path, fmt);
	text = read_path(path);
	free(path);
	if (text) {
		errno = 0;
		*number = strtoull(text, &end, 0);
		good = !errno && end != text;
	}
	free(text);
	return good;
}

bool exists(const char *fmt, ...)
{
	char *path;
	bool there;

	FORMAT_PATH(path, fmt);
	there = !access(path, F_OK);
	free(path);
	return there;
}

/* The last component of a link's target: a device's driver, for example. */
char *link_name(const char *fmt, ...)
{
	char target[PATH_MAX], *path, *slash;
	ssize_t n;

	FORMAT_PATH(path, fmt);
	n = readlink(path, target, sizeof(target) - 1);
	free(path);
	if (n < 0)
		return NULL;
	target[n] = '\0';
	slash = strrchr(target, '/');
	return xstrdup(slash ? slash + 1 : target);
}

char *real_path(const char *fmt, ...)
{
	char *path, *real;

	FORMAT_PATH(path, fmt);
	real = realpath(path, NULL);
	free(path);
	return real;
}

/* Return: 0, or a negative errno. */
int write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	size_t len = strlen(text);
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, len) != (ssize_t)len)
		ret = -errno;
	close(fd);
	return ret;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char * const *)a, *(char * const *)b);
}

struct names list_dir(const char *fmt, ...)
{
	struct names names = {};
	struct dirent *entry;
	char *path;
	DIR *dir;

	FORMAT_PATH(path, fmt);
	dir = opendir(path);
	free(path);
	if (!dir)
		return names;
	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		GROW(names.name, names.nr);
		names.name[names.nr++] = xstrdup(entry->d_name);
	}
	closedir(dir);
	if (names.nr)
		qsort(names.name, names.nr, sizeof(*names.name), compare_names);
	return names;
}

void free_names(struct names *names)
{
	for (unsigned int i = 0; i < names->nr; i++)
		free(names->name[i]);
	free(names->name);
	*names = (struct names){};
}
