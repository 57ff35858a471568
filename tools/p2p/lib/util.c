// SPDX-License-Identifier: GPL-2.0
/* Messages, memory and sizes. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "table.h"
#include "util.h"

/* Wraps to the width of a terminal; a file gets one line for each message. */
static void message(const char *prefix, const char *fmt, va_list ap)
{
	char *text;

	fflush(stdout);
	if (vasprintf(&text, fmt, ap) < 0)
		return;
	if (isatty(STDERR_FILENO))
		paragraph(stderr, strlen(prefix), prefix, text);
	else
		fprintf(stderr, "%s%s\n", prefix, text);
	free(text);
}

void error(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	message("p2pctl: ", fmt, ap);
	va_end(ap);
}

/* The remedy, below an error. */
void hint(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	message("        ", fmt, ap);
	va_end(ap);
}

void die(enum status status, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	message("p2pctl: ", fmt, ap);
	va_end(ap);
	exit(status);
}

static void *checked(void *mem)
{
	if (!mem)
		die(ST_FAILED, "out of memory");
	return mem;
}

void *xcalloc(size_t nr, size_t size)
{
	return checked(calloc(nr, size));
}

void *xrealloc(void *mem, size_t size)
{
	return checked(realloc(mem, size));
}

char *xstrdup(const char *text)
{
	return checked(strdup(text));
}

char *xasprintf(const char *fmt, ...)
{
	char *text;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	return checked(text);
}

void text_add(struct text *text, const char *fmt, ...)
{
	char *more;
	va_list ap;
	int len;

	va_start(ap, fmt);
	len = vasprintf(&more, fmt, ap);
	va_end(ap);
	if (len < 0)
		checked(NULL);
	text->s = xrealloc(text->s, text->len + len + 1);
	memcpy(text->s + text->len, more, len + 1);
	text->len += len;
	free(more);
}

/**
 * parse_size() - parse a size with an optional unit
 * @text: a number, and K, M, G or T for powers of 1024, with or without iB
 * @size: where to store it, in bytes
 *
 * Return: false if @text is not a size, or the size is too large.
 */
bool parse_size(const char *text, uint64_t *size)
{
	static const char units[] = "KMGT";
	unsigned long long number;
	const char *unit = NULL;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	number = strtoull(text, &end, 0);
	if (errno)
		return false;
	if (*end)
		unit = strchr(units, *end & ~0x20);
	if (unit) {
		unsigned int shift = 10 * (unit - units + 1);

		if (number > UINT64_MAX >> shift)
			return false;
		number <<= shift;
		end++;
		if (end[0] == 'i' && end[1] == 'B')
			end += 2;
	}
	*size = number;
	return !*end;
}

uint64_t size_option(const char *option, const char *text)
{
	uint64_t size;

	if (!parse_size(text, &size))
		die(ST_USAGE, "%s %s: not a size; give bytes, or use a suffix, as in 64K, 2M, 1G",
		    option, text);
	return size;
}

unsigned long number_option(const char *option, const char *text,
			    unsigned long min, unsigned long max)
{
	unsigned long number;
	char *end;

	errno = 0;
	number = strtoul(text, &end, 0);
	if (errno || *end || *text < '0' || *text > '9' || number < min || number > max)
		die(ST_USAGE, "%s %s: not a number from %lu to %lu", option, text, min, max);
	return number;
}

/* In the largest unit that is exact, else with one digit after the point. */
const char *size_text(uint64_t bytes, char text[SIZE_TEXT])
{
	static const char * const units[] = { "B", "KiB", "MiB", "GiB", "TiB" };
	double value = bytes;
	size_t unit = 0;

	while (value >= 1024 && unit + 1 < ARRAY_SIZE(units)) {
		value /= 1024;
		unit++;
	}
	snprintf(text, SIZE_TEXT, value == (uint64_t)value ? "%.0f %s" : "%.1f %s", value,
		 units[unit]);
	return text;
}

/* Always in MiB, for figures that are to be compared. */
const char *mib_text(uint64_t bytes, char text[SIZE_TEXT])
{
	snprintf(text, SIZE_TEXT, "%.1f MiB", bytes / MIB);
	return text;
}

const char *count_text(uint64_t nr, const char *one, const char *many, char text[SIZE_TEXT * 2])
{
	snprintf(text, SIZE_TEXT * 2, "%llu %s", (unsigned long long)nr, nr == 1 ? one : many);
	return text;
}

double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}
