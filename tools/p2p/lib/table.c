// SPDX-License-Identifier: GPL-2.0
/* Text for a terminal: tables, paragraphs. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "table.h"
#include "util.h"

#define WIDEST 100
#define NARROWEST 60
#define GAP 2

/* The length of lines: that of the terminal, within a readable limit. */
unsigned int screen_width(void)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size;
	unsigned int width = 0;

	if (isatty(STDOUT_FILENO) && !ioctl(STDOUT_FILENO, TIOCGWINSZ, &size))
		width = size.ws_col;
	if (!width && columns)
		width = atoi(columns);
	if (!width || width > WIDEST)
		return WIDEST;
	return width < NARROWEST ? NARROWEST : width;
}

/*
 * How much of text fits on a line of width columns, up to a space. A word that
 * is longer than a line, such as a file name, is not broken, so that it can be
 * copied.
 */
static size_t line_length(const char *text, size_t width)
{
	size_t len = strlen(text);

	if (len <= width)
		return len;
	for (size_t i = width; i; i--)
		if (text[i] == ' ')
			return i;
	return strcspn(text, " ");
}

/* Prints wrapped text. The cursor is at column indent of the first line. */
static void print_wrapped(FILE *out, unsigned int indent, const char *text)
{
	unsigned int width = screen_width();

	width = width > indent + 20 ? width - indent : 20;
	for (;;) {
		size_t len = line_length(text, width);

		fprintf(out, "%.*s\n", (int)len, text);
		text += len;
		while (*text == ' ')
			text++;
		if (!*text)
			return;
		fprintf(out, "%*s", indent, "");
	}
}

/**
 * paragraph() - print text wrapped to the width of the screen
 * @out: the output file
 * @indent: number of columns to indent all lines by
 * @first: text for these columns of the first line
 * @text: the text
 */
void paragraph(FILE *out, unsigned int indent, const char *first, const char *text)
{
	fprintf(out, "%-*s", indent, first);
	print_wrapped(out, indent, text);
}

void table_init(struct table *table, unsigned int columns, const char * const *titles)
{
	*table = (struct table){ .columns = columns };
	for (unsigned int i = 0; i < columns; i++) {
		table->right[i] = titles[i][0] == '>';
		table->title[i] = titles[i] + table->right[i];
	}
}

void table_row(struct table *table)
{
	GROW(table->cell, table->rows);
	memset(table->cell[table->rows++], 0, sizeof(*table->cell));
}

void table_cell(struct table *table, unsigned int column, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&table->cell[table->rows - 1][column], fmt, ap) < 0)
		die(ST_FAILED, "out of memory");
	va_end(ap);
}

static unsigned int widest(const struct table *table, unsigned int column)
{
	size_t width = strlen(table->title[column]);

	for (unsigned int row = 0; row < table->rows; row++) {
		const char *cell = table->cell[row][column];

		if (cell && strlen(cell) > width)
			width = strlen(cell);
	}
	return width;
}

/* The last column can be wrapped at spaces, and only there. */
static unsigned int longest_word(const struct table *table, unsigned int column)
{
	size_t longest = strlen(table->title[column]);

	for (unsigned int row = 0; row < table->rows; row++) {
		for (const char *p = table->cell[row][column]; p && *p; p += *p == ' ') {
			size_t len = strcspn(p, " ");

			longest = len > longest ? len : longest;
			p += len;
		}
	}
	return longest;
}

/* Makes the flexible column as narrow as necessary. */
static void fit(const struct table *table, unsigned int *width)
{
	unsigned int i, sum = 0, least = strlen(table->title[table->flexible]), last;

	last = table->columns - 1;
	for (i = 0; i < last; i++)
		sum += width[i] + GAP;
	sum += table->right[last] ? width[last] : longest_word(table, last);
	if (!table->flexible || sum <= screen_width())
		return;
	sum -= screen_width();
	i = table->flexible;
	width[i] = width[i] > sum + least ? width[i] - sum : least;
}

static void print_row(const struct table *table, FILE *out, const char * const *cell,
		      const unsigned int *width, bool wrap)
{
	unsigned int at = 0, last = table->columns - 1;

	/* Avoid trailing spaces. */
	while (last && !cell[last])
		last--;
	for (unsigned int i = 0; i < last; i++) {
		fprintf(out, table->right[i] ? "%*.*s%*s" : "%-*.*s%*s", width[i], width[i],
			cell[i] ?: "", GAP, "");
		at += width[i] + GAP;
	}
	if (table->right[last])
		fprintf(out, "%*s\n", width[last], cell[last] ?: "");
	else if (wrap && last == table->columns - 1)
		print_wrapped(out, at, cell[last] ?: "");
	else if (last == table->columns - 1 && screen_width() > at)
		fprintf(out, "%.*s\n", (int)(screen_width() - at), cell[last] ?: "");
	else
		fprintf(out, "%s\n", cell[last] ?: "");
}

void table_print(struct table *table, FILE *out, bool wrap)
{
	unsigned int width[TABLE_COLUMNS];

	for (unsigned int i = 0; i < table->columns; i++)
		width[i] = widest(table, i);
	fit(table, width);
	print_row(table, out, table->title, width, wrap);
	for (unsigned int row = 0; row < table->rows; row++)
		print_row(table, out, (const char * const *)table->cell[row], width, wrap);
}

void table_free(struct table *table)
{
	for (unsigned int row = 0; row < table->rows; row++)
		for (unsigned int i = 0; i < table->columns; i++)
			free(table->cell[row][i]);
	free(table->cell);
	table->cell = NULL;
	table->rows = 0;
}
