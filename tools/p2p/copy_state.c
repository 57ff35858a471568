// SPDX-License-Identifier: GPL-2.0
/*
 * The progress of a copy, in a file beside the destination, for --resume.
 *
 * The state is written only after the destination was synced, so that it is
 * correct even after a crash. It identifies both ends, so that a copy is not
 * resumed with other files.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "copy.h"
#include "lib/sysfs.h"
#include "lib/util.h"

static void describe(const struct end *end, bool content, struct text *text)
{
	if (end->is_block)
		text_add(text, "block %" PRIx64 " %" PRIu64 "\n", (uint64_t)end->st.st_rdev,
			 end->size);
	else if (content)
		text_add(text, "file %" PRIx64 " %" PRIu64 " %" PRIu64 " %" PRId64 ".%09ld\n",
			 (uint64_t)end->st.st_dev, (uint64_t)end->st.st_ino, end->size,
			 (int64_t)end->st.st_mtim.tv_sec, end->st.st_mtim.tv_nsec);
	else
		text_add(text, "file %" PRIx64 " %" PRIu64 "\n", (uint64_t)end->st.st_dev,
			 (uint64_t)end->st.st_ino);
}

/* Identifies both ends; must be the same when the copy is resumed. */
static char *identity(const struct copy *c)
{
	struct text text = {};

	text_add(&text, "p2pctl copy 1\nsize %" PRIu64 "\n", c->size);
	describe(&c->src, true, &text);
	describe(&c->dst, false, &text);
	return text.s;
}

/**
 * state_load() - find out where to resume
 * @c: the copy; both ends are open
 *
 * Sets c->first.
 *
 * Return: false, with an error printed, if the copy can't be resumed.
 */
bool state_load(struct copy *c)
{
	char *text = read_text("%s", c->state_path);
	int err = errno;
	char *same = identity(c);
	bool good = text && !strncmp(text, same, strlen(same)) &&
		sscanf(text + strlen(same), "done %" SCNu64, &c->first) == 1 &&
		c->first <= c->size;

	if (!text) {
		error("nothing to resume: %s: %s", c->state_path, strerror(err));
		hint("--state FILE names another one; without --resume the copy starts afresh");
	} else if (!good) {
		error("%s belongs to another copy: SRC was modified, or SRC, DST or --size differs",
		      c->state_path);
		hint("without --resume the copy starts afresh");
	}
	free(text);
	free(same);
	return good;
}

void state_save(struct copy *c)
{
	char *temporary = xasprintf("%s.new", c->state_path), *same;
	uint64_t done = c->done;
	FILE *file;

	/* The data must be on the drive before the state file says so. */
	fdatasync(c->dst.fd);
	same = identity(c);
	file = fopen(temporary, "w");
	if (!file || fprintf(file, "%sdone %" PRIu64 "\n", same, done) < 0 || fflush(file) ||
	    fdatasync(fileno(file)) || rename(temporary, c->state_path)) {
		static bool told;

		if (!told)
			error("%s: %s; the progress was not saved, so the copy can't be resumed",
			      c->state_path, strerror(errno));
		told = true;
		unlink(temporary);
	}
	if (file)
		fclose(file);
	free(temporary);
	free(same);
}

void state_remove(struct copy *c)
{
	unlink(c->state_path);
}
