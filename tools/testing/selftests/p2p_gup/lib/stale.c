// SPDX-License-Identifier: GPL-2.0
/*
 * Two users who get the same peer-to-peer memory, one after the other: what a
 * user leaves there, and what the next one finds, each in its own process.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../p2pmem.h"
#include "../stale.h"
#include "../users.h"

/* Opens p2pmem/allocate as another user. */
static int open_as(const char *provider, uid_t uid)
{
	int fd;

	if (setegid(USERS) || seteuid(uid))
		return -1;
	fd = p2p_open(provider, O_RDWR);
	return seteuid(0) || setegid(0) ? -1 : fd;
}

/* Files of an earlier binding of the provider are of no use. */
bool open_files(struct _test_data_stale *self)
{
	uid_t uid;

	for (uid = ALICE; uid <= BOB; uid++) {
		self->files[uid - ALICE] = open_as(self->provider, uid);
		if (self->files[uid - ALICE] < 0)
			return false;
	}
	return true;
}

void close_files(struct _test_data_stale *self)
{
	uid_t uid;

	for (uid = ALICE; uid <= BOB; uid++)
		close(self->files[uid - ALICE]);
}

/* Memory may be slow: writes only the first and the last word of each page. */
void put(char *mem, size_t size, uint64_t word)
{
	size_t i;

	for (i = 0; i < size; i += PAGE) {
		p2p_store(mem + i, word);
		p2p_store(mem + i + PAGE - 8, word);
	}
}

bool has(const char *mem, size_t size, uint64_t word)
{
	size_t i;

	for (i = 0; i < size; i += PAGE)
		if (p2p_load(mem + i) != word ||
		    p2p_load(mem + i + PAGE - 8) != word)
			return false;
	return true;
}

/* Runs a part in a child as this user, 0 for root with all capabilities. */
int as(uid_t uid, struct _test_data_stale *self, int (*part)(struct _test_data_stale *self))
{
	pid_t child = users_fork(uid);

	if (!child)
		_exit(part(self));
	return child < 0 ? -1 : p2p_wait(child);
}

/* Maps through the file that the user keeps open; root has none. */
static char *map_as_user(struct _test_data_stale *self)
{
	uid_t uid = getuid();

	if (!uid)
		return p2p_map(self->provider, self->size);
	return mmap(NULL, self->size, PROT_READ | PROT_WRITE, MAP_SHARED,
		    self->files[uid - ALICE], 0);
}

int leave(struct _test_data_stale *self)
{
	char *mem = map_as_user(self);

	if (mem == MAP_FAILED)
		return FOUND_ERROR;
	put(mem, self->size, getuid());
	self->shared->phys = users_phys(mem);
	return FOUND_AS_WANTED;
}

/* Maps the same memory once more, but does not touch it. */
char *again(struct _test_data_stale *self)
{
	char *mem = map_as_user(self);

	if (mem == MAP_FAILED)
		_exit(FOUND_ERROR);
	if (users_phys(mem) != self->shared->phys)
		_exit(FOUND_ELSEWHERE);
	return mem;
}

int expect(struct _test_data_stale *self, const char *mem, uint64_t word)
{
	return has(mem, self->size, word) ? FOUND_AS_WANTED : FOUND_OTHER;
}

int find_nothing(struct _test_data_stale *self)
{
	return expect(self, again(self), 0);
}

int find_own(struct _test_data_stale *self)
{
	return expect(self, again(self), getuid());
}

int find_alices(struct _test_data_stale *self)
{
	return expect(self, again(self), ALICE);
}

/* Writes every word, not only those that put() does. */
int leave_every_word(struct _test_data_stale *self)
{
	char *mem = map_as_user(self);

	if (mem == MAP_FAILED)
		return FOUND_ERROR;
	p2p_fill(mem, self->size, getuid(), 0);
	self->shared->phys = users_phys(mem);
	return FOUND_AS_WANTED;
}
