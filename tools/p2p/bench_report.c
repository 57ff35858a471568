// SPDX-License-Identifier: GPL-2.0
/*
 * p2pctl bench: prints the results as a table or JSON, and plots them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "lib/json.h"
#include "lib/table.h"
#include "lib/util.h"

void bench_print_table(const struct bench *b)
{
	static const char * const titles[] = { ">BLOCK", ">READ P2P", ">RAM", ">CPU P2P", ">RAM",
					       ">WRITE P2P", ">RAM", ">CPU P2P", ">RAM" };
	char text[SIZE_TEXT], other[SIZE_TEXT];
	struct table table;

	printf("%s, memory of %s, %u transfers at a time:\nMiB/s, CPU time in %% of one CPU\n\n",
	       b->target, b->via->bdf, b->queue_depth);
	table_init(&table, b->write ? 9 : 5, titles);
	for (unsigned int i = 0; i < b->nr_sizes; i++) {
		const struct figure *f = b->figures[i];

		table_row(&table);
		table_cell(&table, 0, "%s", size_text(b->sizes[i], text));
		for (int way = 0; way < (b->write ? 2 : 1); way++) {
			const struct figure *p2p = &f[way * 2], *ram = &f[way * 2 + 1];

			table_cell(&table, 1 + way * 4, "%.1f", p2p->bytes_per_second / MIB);
			table_cell(&table, 2 + way * 4, "%.1f", ram->bytes_per_second / MIB);
			table_cell(&table, 3 + way * 4, "%.0f", p2p->cpu * 100);
			table_cell(&table, 4 + way * 4, "%.0f", ram->cpu * 100);
		}
	}
	table_print(&table, stdout, false);
	table_free(&table);
	printf("\nPeer to peer, as counted by the kernel: %s of %s.\n", size_text(b->counted, text),
	       size_text(b->transferred, other));
}

void bench_print_json(const struct bench *b)
{
	static const char * const kinds[] = { "read_p2p", "read_ram", "write_p2p", "write_ram" };
	struct json_object *answer = json_answer("bench"), *list;

	json_put_text(answer, "target", b->target);
	json_put_text(answer, "provider", b->via->bdf);
	json_put_number(answer, "queue_depth", b->queue_depth);
	json_put_number(answer, "p2p_bytes", b->transferred);
	json_put_number(answer, "p2p_bytes_counted", b->counted);
	list = json_put_list(answer, "figures");
	for (unsigned int i = 0; i < b->nr_sizes; i++) {
		for (int column = 0; column < (b->write ? 4 : 2); column++) {
			const struct figure *f = &b->figures[i][column];
			struct json_object *object = json_add_member(list);

			json_put_text(object, "kind", kinds[column]);
			json_put_number(object, "block_size", b->sizes[i]);
			json_put_real(object, "bytes_per_second", f->bytes_per_second);
			json_put_real(object, "transfers_per_second", f->per_second);
			json_put_real(object, "cpu", f->cpu);
		}
	}
	json_print(answer, false);
}

/* A string for gnuplot, without special characters. */
static void put_quoted(FILE *gnuplot, const char *text)
{
	fputc('\'', gnuplot);
	for (; *text; text++) {
		if (*text == '\'')
			fputc('\'', gnuplot);
		fputc(*text == '\n' ? ' ' : *text, gnuplot);
	}
	fputc('\'', gnuplot);
}

/* Runs gnuplot, which gets the data along with the commands. */
void bench_plot(const struct bench *b)
{
	FILE *gnuplot = popen("gnuplot", "w");
	char text[SIZE_TEXT], *title;
	int nr = b->write ? 4 : 2;

	if (!gnuplot)
		die(ST_FAILED, "gnuplot can't be started: %s", strerror(errno));
	title = xasprintf("%s, memory of %s, %u transfers at a time", b->target, b->via->bdf,
			  b->queue_depth);
	fprintf(gnuplot, "set terminal svg size 800,480 background 'white'\nset output ");
	put_quoted(gnuplot, b->plot);
	fprintf(gnuplot, "\nset title ");
	put_quoted(gnuplot, title);
	fprintf(gnuplot, " noenhanced\n");
	free(title);
	fprintf(gnuplot, "set ylabel 'MiB/s'\nset xlabel 'block size'\nset yrange [0:*]\n");
	fprintf(gnuplot, "set key outside right top\nset style data histogram\n");
	fprintf(gnuplot, "set style fill solid border -1\nset grid ytics\nplot ");
	for (int column = 0; column < nr; column++)
		fprintf(gnuplot, "%s'-' using 2:xtic(1) title '%s'", column ? ", " : "",
			bench_columns[column]);
	fputc('\n', gnuplot);
	for (int column = 0; column < nr; column++) {
		for (unsigned int i = 0; i < b->nr_sizes; i++)
			fprintf(gnuplot, "\"%s\" %.3f\n", size_text(b->sizes[i], text),
				b->figures[i][column].bytes_per_second / MIB);
		fprintf(gnuplot, "e\n");
	}
	if (pclose(gnuplot)) {
		error("%s was not created: gnuplot failed, or is not installed", b->plot);
		hint("Debian has gnuplot in the package gnuplot-nox");
		exit(ST_FAILED);
	}
	if (!b->json)
		printf("The plot is in %s.\n", b->plot);
}
