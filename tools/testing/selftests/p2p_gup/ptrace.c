// SPDX-License-Identifier: GPL-2.0
/* A debugger's view of peer-to-peer memory: ptrace() and /proc/PID/mem. */
#define _GNU_SOURCE
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

#include "klog.h"
#include "mapping.h"

/* DEFAULT_RATELIMIT_INTERVAL of the kernel, in seconds */
#define NOTICE_INTERVAL	5

/* A stopped child that shares the mapping, and has not touched it. */
static pid_t stopped_child(void)
{
	pid_t child = fork();
	int status;

	if (!child) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		_exit(0);
	}
	if (child > 0 && (waitpid(child, &status, 0) != child ||
			  !WIFSTOPPED(status)))
		return -1;
	return child;
}

static void end_child(pid_t child)
{
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

/* Reads a word that need not be aligned. */
static uint64_t word_at(const char *mem)
{
	uint64_t word;

	memcpy(&word, mem, sizeof(word));
	return word;
}

static int open_mem(pid_t pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	return open(path, O_RDWR);
}

TEST_F(mapping, peek_and_poke)
{
	/* aligned, unaligned, over the boundary of two pages */
	const size_t at[] = { 0, self->page + 3, 2 * self->page - 3 };
	pid_t child = stopped_child();
	uint64_t word;
	size_t i;

	ASSERT_LT(0, child);
	for (i = 0; i < ARRAY_SIZE(at); i++) {
		errno = 0;
		word = ptrace(PTRACE_PEEKDATA, child, self->mem + at[i], NULL);
		EXPECT_EQ(0, errno);
		EXPECT_EQ(word_at(self->mem + at[i]), word);

		word = 0x0102030405060708 * (i + 1);
		EXPECT_EQ(0, ptrace(PTRACE_POKEDATA, child, self->mem + at[i],
				    word));
		EXPECT_EQ(word, word_at(self->mem + at[i]));
	}
	end_child(child);
}

/* The last bytes, and not one more. */
TEST_F(mapping, peek_past_the_end)
{
	char *last = self->mem + self->size - self->page;
	pid_t child;
	char buf[16];
	int fd;

	ASSERT_EQ(0, munmap(last, self->page));
	child = stopped_child();
	ASSERT_LT(0, child);
	errno = 0;
	EXPECT_EQ(word_at(last - 8),
		  ptrace(PTRACE_PEEKDATA, child, last - 8, NULL));
	EXPECT_EQ(0, errno);
	EXPECT_ERRNO(EIO, ptrace(PTRACE_PEEKDATA, child, last - 4, NULL));
	EXPECT_ERRNO(EIO, ptrace(PTRACE_PEEKDATA, child, last, NULL));

	fd = open_mem(child);
	ASSERT_LE(0, fd);
	EXPECT_EQ(5, pread(fd, buf, sizeof(buf), (off_t)(last - 5)));
	EXPECT_EQ(0, memcmp(buf, last - 5, 5));
	EXPECT_ERRNO(EIO, pread(fd, buf, sizeof(buf), (off_t)last));
	close(fd);
	end_child(child);
}

TEST_F(mapping, proc_mem)
{
	char *ram = p2p_ram(self->size);
	int fd = open_mem(getpid());

	ASSERT_LE(0, fd);
	ASSERT_NE(MAP_FAILED, ram);
	EXPECT_EQ(self->size, pread(fd, ram, self->size, (off_t)self->mem));
	EXPECT_EQ(-1, p2p_differs(ram, self->size, SEED, 0));

	p2p_fill(ram, self->size, SEED + 1, 0);
	EXPECT_EQ(self->size - 100, pwrite(fd, ram + 50, self->size - 100,
					   (off_t)self->mem + 50));
	EXPECT_EQ(0, memcmp(ram + 50, self->mem + 50, self->size - 100));
	p2p_fill(ram, self->size, SEED, 0);
	EXPECT_EQ(0, memcmp(ram, self->mem, 50));
	EXPECT_EQ(0, memcmp(ram + self->size - 50,
			    self->mem + self->size - 50, 50));
	close(fd);
}

/* A debugger may read despite mprotect(), but not write to shared memory. */
TEST_F(mapping, proc_mem_and_protection)
{
	int fd = open_mem(getpid());
	uint64_t word = 5;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, mprotect(self->mem, self->page, PROT_READ));
	EXPECT_EQ(8, pread(fd, &word, sizeof(word), (off_t)self->mem));
	EXPECT_EQ(p2p_load(self->mem), word);
	EXPECT_ERRNO(EIO, pwrite(fd, "no", 2, (off_t)self->mem));

	ASSERT_EQ(0, mprotect(self->mem, self->page, PROT_NONE));
	word = 5;
	EXPECT_EQ(8, pread(fd, &word, sizeof(word), (off_t)self->mem));
	EXPECT_ERRNO(EIO, pwrite(fd, "no", 2, (off_t)self->mem));

	ASSERT_EQ(0, mprotect(self->mem, self->page, PROT_READ | PROT_WRITE));
	EXPECT_EQ(p2p_load(self->mem), word);
	EXPECT_TRUE(p2p_intact(self));
	close(fd);
}

TEST_F(mapping, poke_read_only_refused)
{
	int mem = p2p_open(self->provider, O_RDONLY);
	uint64_t word;
	char *addr;
	pid_t child;

	ASSERT_LE(0, mem);
	addr = mmap(NULL, self->page, PROT_READ, MAP_SHARED, mem, 0);
	ASSERT_NE(MAP_FAILED, addr);
	close(mem);
	child = stopped_child();
	ASSERT_LT(0, child);
	word = p2p_load(addr);
	EXPECT_ERRNO(EIO, ptrace(PTRACE_POKEDATA, child, addr, ~word));
	errno = 0;
	EXPECT_EQ(word, ptrace(PTRACE_PEEKDATA, child, addr, NULL));
	EXPECT_EQ(0, errno);
	EXPECT_EQ(word, p2p_load(addr));
	end_child(child);
	EXPECT_EQ(0, munmap(addr, self->page));
}

/* Do the new lines of the kernel log have a notice of a refusal? */
static bool notice(int log)
{
	return klog_said(log, "p2p: ", "can't be used here");
}

/* A debugger's access is not refused, so nothing is logged. */
TEST_F(mapping, no_notice)
{
	int log, fd = open_mem(getpid());
	uint64_t word;
	struct iovec local = { &word, sizeof(word) };
	struct iovec remote = { self->mem, sizeof(word) };

	ASSERT_LE(0, fd);
	/* Lets the rate limit expire that other tests may have used up. */
	sleep(NOTICE_INTERVAL + 1);
	log = klog_open();
	if (log < 0)
		SKIP(return, WITHOUT "PRINTK");
	EXPECT_EQ(8, pread(fd, &word, sizeof(word), (off_t)self->mem));
	EXPECT_EQ(8, pwrite(fd, &word, sizeof(word), (off_t)self->mem));
	EXPECT_FALSE(notice(log));
	/* A real refusal is logged. */
	EXPECT_ERRNO(EFAULT, process_vm_readv(getpid(), &local, 1, &remote, 1,
					      0));
	EXPECT_TRUE(notice(log));
	close(log);
	close(fd);
}

TEST_HARNESS_MAIN
