// SPDX-License-Identifier: GPL-2.0
/* A progress bar on a terminal. */
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "progress.h"
#include "util.h"

#define EVERY 0.1			/* seconds */
#define WIDEST_BAR 40

/**
 * progress_begin() - begin to show progress
 * @progress: to be filled in
 * @label: name of the operation
 * @first: number of bytes that were done before
 * @total: number of bytes in all
 * @quiet: show nothing, as if standard error is not a terminal
 */
void progress_begin(struct progress *progress, const char *label, uint64_t first,
		    uint64_t total, bool quiet)
{
	*progress = (struct progress){
		.label = label, .first = first, .total = total, .began = now(),
		.shown = !quiet && isatty(STDERR_FILENO),
	};
}

static int columns(void)
{
	struct winsize size;

	if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) || size.ws_col < 40)
		return 80;
	return size.ws_col;
}

static void time_left(double seconds, char text[32])
{
	unsigned int s = seconds < 360000 ? (unsigned int)(seconds + 0.5) : 360000;

	if (s >= 3600)
		snprintf(text, 32, "%u:%02u:%02u", s / 3600, s / 60 % 60, s % 60);
	else
		snprintf(text, 32, "%u:%02u", s / 60, s % 60);
}

/* copy  45% [==========>          ] 115 of 256 MiB, 80.0 MiB/s, 0:02 left */
static void draw(const struct progress *progress, uint64_t done)
{
	double took = now() - progress->began, rate;
	double part = progress->total ? (double)done / progress->total : 1;
	char numbers[96], left[32], bar[WIDEST_BAR + 1];
	int width, filled;

	rate = took > 0 ? (done - progress->first) / took : 0;
	time_left(rate > 0 ? (progress->total - done) / rate : 0, left);
	snprintf(numbers, sizeof(numbers), "%.0f of %.0f MiB, %.1f MiB/s, %s left", done / MIB,
		 progress->total / MIB, rate / MIB, rate > 0 ? left : "?");
	width = columns() - 1 - (int)strlen(progress->label) - 9 - (int)strlen(numbers);
	if (width > WIDEST_BAR)
		width = WIDEST_BAR;
	fprintf(stderr, "\r%s %3d%% ", progress->label, (int)(part * 100));
	if (width >= 8) {
		filled = part * width;
		memset(bar, ' ', width);
		memset(bar, '=', filled);
		if (filled < width)
			bar[filled] = '>';
		bar[width] = '\0';
		fprintf(stderr, "[%s] ", bar);
	}
	fprintf(stderr, "%s\033[K", numbers);
	fflush(stderr);
}

void progress_update(struct progress *progress, uint64_t done)
{
	double t;

	if (!progress->shown)
		return;
	t = now();
	if (t - progress->drawn < EVERY)
		return;
	progress->drawn = t;
	draw(progress, done);
}

/* Clears the line for the next output. */
void progress_end(struct progress *progress)
{
	if (progress->shown && progress->drawn > 0)
		fprintf(stderr, "\r\033[K");
	progress->shown = false;
}
