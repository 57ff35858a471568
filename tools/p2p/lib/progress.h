/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A progress bar on a terminal: how much is done, how fast, how long it still takes.
 */
#ifndef P2P_PROGRESS_H
#define P2P_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
	const char *label;
	uint64_t first, total;		/* bytes: done before this began, and in all */
	double began, drawn;
	bool shown;
};

void progress_begin(struct progress *progress, const char *label, uint64_t first,
		    uint64_t total, bool quiet);
void progress_update(struct progress *progress, uint64_t done);
void progress_end(struct progress *progress);

#endif
