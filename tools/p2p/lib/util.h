/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Messages, memory and sizes.
 */
#ifndef P2P_UTIL_H
#define P2P_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_SIZE(x) (sizeof(x) / sizeof((x)[0]))
#define MIB (1024.0 * 1024.0)

/* Part of the interface, see p2pctl(8). */
enum status {
	ST_OK = 0,
	ST_NO = 1,		/* the answer is no */
	ST_USAGE = 2,		/* the request is invalid */
	ST_FAILED = 3,		/* the system or a device failed */
	ST_INTERRUPTED = 4,	/* copy: can be resumed */
	ST_DIFFERS = 5,		/* copy: --verify found a difference */
};

void error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void hint(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void die(enum status status, const char *fmt, ...)
	__attribute__((noreturn, format(printf, 2, 3)));

/* None of these returns NULL. */
void *xcalloc(size_t nr, size_t size);
void *xrealloc(void *mem, size_t size);
char *xstrdup(const char *text);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Makes room for one more in an array of nr elements. */
#define GROW(array, nr) \
	((array) = xrealloc(array, ((nr) + 1) * sizeof(*(array))))

struct text {
	char *s;
	size_t len;
};

void text_add(struct text *text, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

bool parse_size(const char *text, uint64_t *size);
uint64_t size_option(const char *option, const char *text);
unsigned long number_option(const char *option, const char *text,
			    unsigned long min, unsigned long max);

#define SIZE_TEXT 24
const char *size_text(uint64_t bytes, char text[SIZE_TEXT]);
const char *mib_text(uint64_t bytes, char text[SIZE_TEXT]);
const char *count_text(uint64_t nr, const char *one, const char *many,
		       char text[SIZE_TEXT * 2]);
double now(void);

#endif
