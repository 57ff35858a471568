// SPDX-License-Identifier: GPL-2.0
/* fork, exec, exit and core dumps of processes with a mapping. */
#define _GNU_SOURCE
#include <linux/elf.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "mapping.h"

#define CORE_PATTERN	"/proc/sys/kernel/core_pattern"
#define CORE_FILE	"/tmp/p2p_core"
#define EXEC_VARIABLE	"P2P_PROCESS_EXEC"

/*
 * Runs after exec(): reports that it runs, and waits for the end of its input.
 */
static void __attribute__((constructor)) exec_child(void)
{
	char c = 'x';

	if (!getenv(EXEC_VARIABLE))
		return;
	if (write(STDOUT_FILENO, &c, 1) == 1 && !read(STDIN_FILENO, &c, 1))
		_exit(0);
	_exit(1);
}

/* The new program has no mapping, and the memory is free. */
TEST_F(mapping, exec)
{
	int up[2], down[2];
	pid_t child;
	char c;

	ASSERT_EQ(0, pipe2(up, O_CLOEXEC));
	ASSERT_EQ(0, pipe2(down, O_CLOEXEC));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		char *mem = p2p_map(self->provider, self->size);

		if (mem == MAP_FAILED)
			_exit(2);
		p2p_store(mem, 1);
		dup2(up[1], STDOUT_FILENO);
		dup2(down[0], STDIN_FILENO);
		setenv(EXEC_VARIABLE, "1", 1);
		execl("/proc/self/exe", "process", NULL);
		_exit(3);
	}
	close(up[1]);
	close(down[0]);
	EXPECT_EQ(1, read(up[0], &c, 1));
	EXPECT_EQ(self->before - self->size, p2p_available(self->provider));
	close(down[1]);
	EXPECT_EQ(0, p2p_wait(child));
	EXPECT_TRUE(p2p_intact(self));
	close(up[0]);
}

TEST_F(mapping, exit)
{
	pid_t child = fork();

	ASSERT_LE(0, child);
	if (!child) {
		char *mem = p2p_map(self->provider, self->size);

		if (mem == MAP_FAILED)
			_exit(1);
		p2p_store(mem, 1);
		p2p_store(self->mem, p2p_load(self->mem));
		_exit(p2p_available(self->provider) !=
		      self->before - 2 * (long long)self->size);
	}
	EXPECT_EQ(0, p2p_wait(child));
	EXPECT_EQ(self->before - self->size, p2p_available(self->provider));
	EXPECT_TRUE(p2p_intact(self));
}

TEST_F(mapping, vfork)
{
	pid_t child = vfork();

	if (!child) {
		p2p_store(self->mem, 17);
		_exit(0);
	}
	ASSERT_LE(0, child);
	EXPECT_EQ(0, p2p_wait(child));
	EXPECT_EQ(17, p2p_load(self->mem));
	EXPECT_EQ(self->before - self->size, p2p_available(self->provider));
}

static int unmap_half(void *data)
{
	struct _test_data_mapping *self = data;

	p2p_store(self->mem + self->size / 2, 18);
	return munmap(self->mem, self->size / 2) ? 1 : 0;
}

/* One address space, two processes. */
TEST_F(mapping, clone_vm)
{
	char *stack = p2p_ram(64 * KIB);
	pid_t child;

	ASSERT_NE(MAP_FAILED, stack);
	child = clone(unmap_half, stack + 64 * KIB, CLONE_VM | SIGCHLD, self);
	ASSERT_LT(0, child);
	EXPECT_EQ(0, p2p_wait(child));
	EXPECT_EQ(SIGSEGV, p2p_fault_of(self->mem, false));
	EXPECT_EQ(18, p2p_load(self->mem + self->size / 2));
	EXPECT_EQ(self->before - self->size, p2p_available(self->provider));
}

/* The program header of an address in a core file; p_type is PT_NULL if none. */
static struct elf64_phdr core_segment(int core, const void *addr)
{
	struct elf64_phdr none = { .p_type = PT_NULL }, ph;
	struct elf64_hdr head;
	int i;

	if (pread(core, &head, sizeof(head), 0) != sizeof(head) ||
	    memcmp(head.e_ident, ELFMAG, SELFMAG))
		return none;
	for (i = 0; i < head.e_phnum; i++) {
		if (pread(core, &ph, sizeof(ph), head.e_phoff +
			  i * sizeof(ph)) != sizeof(ph))
			break;
		if (ph.p_type == PT_LOAD && ph.p_vaddr == (uintptr_t)addr)
			return ph;
	}
	return none;
}

/* All kinds of memory are dumped, except peer-to-peer memory. */
TEST_F(mapping, coredump)
{
	const struct rlimit no_limit = { RLIM_INFINITY, RLIM_INFINITY };
	char *ram = p2p_ram(2 * self->page), pattern[128] = "";
	struct elf64_phdr segment;
	int fd, status;
	pid_t child;

	fd = open(CORE_PATTERN, O_RDONLY);
	if (fd < 0)
		SKIP(return, WITHOUT "COREDUMP");
	ASSERT_LT(0, read(fd, pattern, sizeof(pattern) - 1));
	close(fd);
	/* Keep the mapping from merging with adjacent ones. */
	ASSERT_EQ(0, mprotect(ram + self->page, self->page, PROT_NONE));
	p2p_set(ram, self->page, 4);
	mkdir("/tmp", 01777);
	unlink(CORE_FILE);
	ASSERT_EQ(0, p2p_write_file(CORE_PATTERN, CORE_FILE));
	child = fork();
	if (!child) {
		p2p_load(self->mem);
		setrlimit(RLIMIT_CORE, &no_limit);
		if (p2p_write_file("/proc/self/coredump_filter", "0x1ff"))
			_exit(1);
		abort();
	}
	EXPECT_EQ(child, waitpid(child, &status, 0));
	EXPECT_EQ(0, p2p_write_file(CORE_PATTERN, pattern));
	EXPECT_TRUE(WIFSIGNALED(status) && WCOREDUMP(status));

	fd = open(CORE_FILE, O_RDONLY);
	ASSERT_LE(0, fd);
	segment = core_segment(fd, self->mem);
	EXPECT_EQ(PT_LOAD, segment.p_type);
	EXPECT_EQ(0, segment.p_filesz);
	EXPECT_EQ(self->size, segment.p_memsz);
	segment = core_segment(fd, ram + self->page);
	EXPECT_EQ(PT_LOAD, segment.p_type);
	close(fd);
	unlink(CORE_FILE);
	EXPECT_TRUE(p2p_intact(self));
}

TEST_HARNESS_MAIN
