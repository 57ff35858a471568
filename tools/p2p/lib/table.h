/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Text for a terminal: tables, paragraphs.
 */
#ifndef P2P_TABLE_H
#define P2P_TABLE_H

#include <stdbool.h>
#include <stdio.h>

#define TABLE_COLUMNS 10

struct table {
	unsigned int columns;
	const char *title[TABLE_COLUMNS];
	bool right[TABLE_COLUMNS];	/* numbers */
	char *(*cell)[TABLE_COLUMNS];
	unsigned int rows;
	unsigned int flexible;		/* column to cut if needed; 0: none */
};

/* titles: one for each column; those of number columns begin with '>'. */
void table_init(struct table *table, unsigned int columns, const char * const *titles);
/* Begins a row. table_cell() sets its cells. */
void table_row(struct table *table);
void table_cell(struct table *table, unsigned int column, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The last column is wrapped or cut where the screen is too narrow. */
void table_print(struct table *table, FILE *out, bool wrap);
void table_free(struct table *table);

unsigned int screen_width(void);
void paragraph(FILE *out, unsigned int indent, const char *first, const char *text);

#endif
