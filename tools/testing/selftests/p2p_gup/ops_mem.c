// SPDX-License-Identifier: GPL-2.0
/* Calls that create, change and use mappings in the room. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "../kselftest.h"
#include "ops.h"

/* Not in every libc's headers. */
#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ	22
#define MADV_POPULATE_WRITE	23
#endif

/*
 * The file p2pmem/allocate of a provider; -1 and errno if it does not exist
 * now.
 */
static int allocate_file(struct ops_worker *w, const struct ops_call *call)
{
	int nr = call->r[5] % w->stats->nr_providers;

	if (w->sysfs[nr] < 0)
		w->sysfs[nr] = p2p_open(w->stats->providers[nr], O_RDWR);
	return w->sysfs[nr];
}

static void close_allocate_file(struct ops_worker *w,
				const struct ops_call *call)
{
	int nr = call->r[5] % w->stats->nr_providers;

	close(w->sysfs[nr]);
	w->sysfs[nr] = -1;
}

static long run_mmap(struct ops_worker *w, const struct ops_call *call)
{
	static const int prots[] = {
		PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE, PROT_READ,
		PROT_WRITE, PROT_NONE, PROT_READ | PROT_WRITE | PROT_EXEC,
		PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE,
	};
	static const int flags[] = {
		MAP_SHARED, MAP_SHARED, MAP_SHARED, MAP_SHARED | MAP_POPULATE,
		MAP_SHARED | MAP_LOCKED, MAP_SHARED_VALIDATE, MAP_PRIVATE,
		MAP_SHARED | MAP_NORESERVE,
	};
	int error, fd = allocate_file(w, call);

	if (fd < 0)
		return -errno;
	/* One in sixteen has an offset, which is refused. */
	if (mmap(ops_addr(call), ops_len(call), prots[call->r[2] % 8],
		 flags[call->r[3] % 8] | MAP_FIXED, fd,
		 call->r[4] % 16 ? 0 : OPS_PAGE) != MAP_FAILED)
		return 0;
	error = errno;
	/* The file belongs to an old binding: the next call opens a new one. */
	if (error == ENODEV)
		close_allocate_file(w, call);
	return -error;
}

/*
 * Never writable: the drive must not read into the same RAM several times at
 * once.
 */
static long run_mmap_ram(struct ops_worker *w, const struct ops_call *call)
{
	if (mmap(ops_addr(call), ops_len(call), PROT_READ, MAP_SHARED | MAP_FIXED,
		 w->rom, 0) == MAP_FAILED)
		return -errno;
	return 0;
}

static long run_munmap(struct ops_worker *w, const struct ops_call *call)
{
	return p2p_result(munmap(ops_addr(call), ops_len(call)));
}

static long run_mremap(struct ops_worker *w, const struct ops_call *call)
{
	struct ops_call to = { .r = { call->r[2], call->r[3] } };
	static const int flags[] = {
		MREMAP_MAYMOVE | MREMAP_FIXED, MREMAP_MAYMOVE | MREMAP_FIXED,
		MREMAP_MAYMOVE | MREMAP_FIXED | MREMAP_DONTUNMAP, 0,
	};
	size_t len = ops_len(call);
	size_t new_len = call->r[4] % 4 ? len : ops_len(&to);
	char *at = ops_addr(&to);

	if (new_len > OPS_ROOM + OPS_ROOM_SIZE - at)
		new_len = OPS_ROOM + OPS_ROOM_SIZE - at;
	if (mremap(ops_addr(call), len, new_len, flags[call->r[5] % 4], at) ==
	    MAP_FAILED)
		return -errno;
	return 0;
}

static long run_mprotect(struct ops_worker *w, const struct ops_call *call)
{
	static const int prots[] = {
		PROT_READ | PROT_WRITE, PROT_READ, PROT_NONE,
		PROT_READ | PROT_WRITE | PROT_EXEC,
	};

	return p2p_result(mprotect(ops_addr(call), ops_len(call),
				   prots[call->r[2] % 4]));
}

static long run_madvise(struct ops_worker *w, const struct ops_call *call)
{
	static const int advice[] = {
		MADV_DONTNEED, MADV_DONTNEED, MADV_HUGEPAGE, MADV_NOHUGEPAGE,
		MADV_POPULATE_READ, MADV_POPULATE_WRITE, MADV_DONTFORK,
		MADV_DOFORK, MADV_WILLNEED, MADV_COLD, MADV_PAGEOUT, MADV_FREE,
		MADV_REMOVE, MADV_MERGEABLE, MADV_DONTDUMP, MADV_DODUMP,
		MADV_WIPEONFORK, MADV_SEQUENTIAL,
	};

	return p2p_result(madvise(ops_addr(call), ops_len(call),
				  advice[call->r[2] % ARRAY_SIZE(advice)]));
}

static long run_mlock(struct ops_worker *w, const struct ops_call *call)
{
	if (call->r[2] % 2)
		return p2p_result(munlock(ops_addr(call), ops_len(call)));
	return p2p_result(mlock2(ops_addr(call), ops_len(call),
				 call->r[2] / 2 % 2));
}

static long run_msync(struct ops_worker *w, const struct ops_call *call)
{
	static const int flags[] = { MS_ASYNC, MS_SYNC, MS_INVALIDATE };

	return p2p_result(msync(ops_addr(call), ops_len(call),
				flags[call->r[2] % 3]));
}

static long run_mincore(struct ops_worker *w, const struct ops_call *call)
{
	return p2p_result(mincore(ops_addr(call), ops_len(call), w->scratch));
}

static long run_mbind(struct ops_worker *w, const struct ops_call *call)
{
	unsigned long nodes = 1;

	return p2p_result(syscall(__NR_mbind, ops_addr(call), ops_len(call),
				  MPOL_BIND, &nodes, 8,
				  call->r[2] % 2 ? MPOL_MF_MOVE : 0));
}

struct touch {
	char *addr;
	size_t len;
	size_t step;
	uint32_t store;
};

static void touch(void *arg)
{
	struct touch *touch = arg;
	size_t i;

	for (i = 0; i + sizeof(uint64_t) <= touch->len; i += touch->step) {
		if (touch->store)
			p2p_store(touch->addr + i, touch->store);
		else
			p2p_load(touch->addr + i);
	}
}

static long run_touch(struct ops_worker *w, const struct ops_call *call)
{
	struct touch arg = {
		.addr = ops_addr(call),
		.len = ops_len(call),
		.step = call->r[2] % 4 ? 64 * KIB : OPS_PAGE,
		.store = call->r[3] % 2 * call->r[3],
	};
	int sig = ops_guard(touch, &arg);

	return sig ? OPS_SIGNAL(sig) : 0;
}

/* Like a debugger, through the mapping's access() method. */
static long run_proc_mem(struct ops_worker *w, const struct ops_call *call)
{
	int fd = open("/proc/self/mem", O_RDWR);
	size_t len = ops_len(call) % (64 * KIB);
	long ret;

	if (fd < 0)
		return -errno;
	ret = p2p_result(call->r[2] % 2 ?
			 pread(fd, w->ram, len, (off_t)ops_addr(call)) :
			 pwrite(fd, w->ram, len, (off_t)ops_addr(call)));
	close(fd);
	return ret;
}

/* The name in /proc/PID/map_files of the mapping at an address. */
static bool mapping_at(const char *addr, char *name, size_t size)
{
	FILE *maps = fopen("/proc/self/maps", "r");
	unsigned long start, end;
	bool found = false;
	char line[512];

	while (maps && !found && fgets(line, sizeof(line), maps))
		found = sscanf(line, "%lx-%lx", &start, &end) == 2 &&
			(unsigned long)addr >= start && (unsigned long)addr < end;
	if (maps)
		fclose(maps);
	if (found)
		snprintf(name, size, "/proc/self/map_files/%lx-%lx", start, end);
	return found;
}

/* Opens the file of a mapping through map_files. */
static long run_map_files(struct ops_worker *w, const struct ops_call *call)
{
	char path[64];
	long ret;
	int fd;

	if (!mapping_at(ops_addr(call), path, sizeof(path)))
		return -ENOENT;
	fd = open(path, O_RDWR);
	if (fd < 0)
		return -errno;
	if (call->r[2] % 2)
		ret = p2p_result(pread(fd, w->ram, OPS_PAGE, 0));
	else
		ret = mmap(ops_addr(call), OPS_PAGE, PROT_READ,
			   MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED ?
			-errno : 0;
	close(fd);
	return ret;
}

const struct ops_op ops_mem[] = {
	{ "mmap", run_mmap, OPS_MEM, 48 },
	{ "mmap_ram", run_mmap_ram, OPS_MEM, 3 },
	{ "munmap", run_munmap, OPS_MEM, 5 },
	{ "mremap", run_mremap, OPS_MEM, 6 },
	{ "mprotect", run_mprotect, OPS_MEM, 4 },
	{ "madvise", run_madvise, OPS_MEM, 12 },
	{ "mlock", run_mlock, OPS_MEM, 2 },
	{ "msync", run_msync, OPS_MEM, 1 },
	{ "mincore", run_mincore, OPS_MEM, 1 },
	{ "mbind", run_mbind, OPS_MEM, 1 },
	{ "touch", run_touch, OPS_MEM, 16 },
	{ "proc_mem", run_proc_mem, OPS_MEM, 2 },
	{ "map_files", run_map_files, OPS_MEM, 1 },
	{ }
};
