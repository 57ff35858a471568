// SPDX-License-Identifier: GPL-2.0
/* Setup and teardown common to most fixtures. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../p2pmem.h"

#define POISON		0xdeadbeefcafef00dULL

/* Sets up the provider, and a mapping of its memory if size is not 0. */
bool p2p_setup(struct p2p_fixture *self, const struct p2p_variant *variant, size_t size)
{
	self->provider = variant->provider;
	self->total = p2p_number(self->provider, "p2pmem/size");
	self->before = p2p_available(self->provider);
	self->page = sysconf(_SC_PAGESIZE);
	self->size = size;
	self->disk = -1;
	self->works = *variant->disk && p2p_reaches(variant->disk, self->provider);
	if (!size)
		return true;
	self->mem = p2p_map(self->provider, size);
	if (self->mem == MAP_FAILED) {
		perror(self->provider);
		return false;
	}
	return true;
}

/* Maps as much RAM. */
bool p2p_setup_ram(struct p2p_fixture *self)
{
	self->ram = p2p_ram(self->size);
	return self->ram != MAP_FAILED;
}

/* Opens the drive of a variant that has one. */
bool p2p_setup_drive(struct p2p_fixture *self, const struct p2p_variant *variant,
		     int flags)
{
	self->disk = open(p2p_disk(variant->disk), flags | O_DIRECT);
	if (self->disk < 0)
		perror(p2p_disk(variant->disk));
	return self->disk >= 0;
}

/* Sets up all of these. */
bool p2p_setup_io(struct p2p_fixture *self, const struct p2p_variant *variant,
		  size_t size, int flags)
{
	return p2p_setup(self, variant, size) && p2p_setup_ram(self) &&
	       p2p_setup_drive(self, variant, flags);
}

/* Does the drive have the data of this seed there? Overwrites the RAM. */
bool p2p_drive_holds(struct p2p_fixture *self, off_t where, size_t len, uint64_t seed)
{
	p2p_set(self->ram, len, POISON);
	return pread(self->disk, self->ram, len, where) == (ssize_t)len &&
	       p2p_differs(self->ram, len, seed, where) == -1;
}

/* mem may point to a mapping that the test has already unmapped. */
void p2p_release(struct p2p_fixture *self)
{
	if (self->disk >= 0)
		close(self->disk);
	if (self->mem)
		munmap(self->mem, self->size);
	if (self->ram)
		munmap(self->ram, self->size);
}

/* Returns the exit status of a child, or -1 if it was killed. */
int p2p_wait(pid_t child)
{
	int status;

	if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}
