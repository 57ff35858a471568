// SPDX-License-Identifier: GPL-2.0
/*
 * Adjacent requests on a drive, some with peer-to-peer memory, others with RAM.
 *
 * The block layer merges such requests where it can. The outcome of those with
 * peer-to-peer memory must not affect the others: they may be refused, or need
 * commands of their own if the memory is the drive's own buffer.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "variants.h"

#define NR		32	/* requests at once */
#define SIZE		(NR * 8 * KIB)
#define LARGE		(128 * MIB)
#define WINDOW		(4 * MIB)
#define POISON		0xdeadbeefcafef00dULL
#define THREADS		8
#define PAIRS		64	/* an even and an odd block each */
#define BLOCK		(4 * KIB)
#define SECONDS		2
#define NOBODY		65534

static const char *const schedulers[] = { "none", "mq-deadline" };

FIXTURE(block_merge)
{
	P2P_FIXTURE;
	const char *path;
	aio_context_t ctx;
	off_t where;
};

P2P_VARIANTS(block_merge, NULL, "raw", "cmb", NULL);

static bool set_scheduler(const char *disk, const char *scheduler)
{
	char path[P2P_PATH_LEN];

	snprintf(path, sizeof(path), "/sys/block/%s/queue/scheduler",
		 strrchr(disk, '/') + 1);
	return !p2p_write_file(path, scheduler);
}

FIXTURE_SETUP(block_merge)
{
	uint64_t capacity;

	ASSERT_TRUE(p2p_setup_io(&self->p2p, &variant->p2p, SIZE, O_RDWR));
	self->path = p2p_disk(variant->p2p.disk);
	ASSERT_EQ(0, ioctl(self->disk, BLKGETSIZE64, &capacity));
	self->where = (capacity >= LARGE ? 96 * MIB : 40 * MIB) +
		      variant->p2p.index * WINDOW;
	ASSERT_LE(self->where + WINDOW, capacity);
	ASSERT_EQ(0, syscall(__NR_io_setup, NR, &self->ctx));
}

FIXTURE_TEARDOWN(block_merge)
{
	syscall(__NR_io_destroy, self->ctx);
	EXPECT_TRUE(set_scheduler(self->path, "none"));
	p2p_release(&self->p2p);
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

/* Patterns of requests: alternating, one among many, and half of each kind. */
static bool is_peer(int pattern, int i)
{
	switch (pattern) {
	case 0:
		return i % 2;
	case 1:
		return i == NR / 2;
	default:
		return i < NR / 2;
	}
}

/*
 * Submits NR adjacent requests by one call, so that they share a plug list and
 * merge there.
 */
static void submit(struct __test_metadata *_metadata, struct _test_data_block_merge *self,
		   int opcode, int pattern, size_t len)
{
	struct iocb iocbs[NR], *list[NR];
	struct io_event events[NR];
	ssize_t due;
	char *buf;
	off_t off;
	int i;

	for (i = 0; i < NR; i++) {
		off = i * len;
		buf = (is_peer(pattern, i) ? self->mem : self->ram) + off;
		if (opcode == IOCB_CMD_PWRITE)
			p2p_fill(buf, len, 1, self->where + off);
		else
			p2p_set(buf, len, POISON);
		iocbs[i] = (struct iocb){
			.aio_lio_opcode = opcode,
			.aio_fildes = self->disk,
			.aio_buf = (uintptr_t)buf,
			.aio_nbytes = len,
			.aio_offset = self->where + off,
			.aio_data = i,
		};
		list[i] = &iocbs[i];
	}
	ASSERT_EQ(NR, syscall(__NR_io_submit, self->ctx, NR, list));
	ASSERT_EQ(NR, syscall(__NR_io_getevents, self->ctx, NR, NR, events, NULL));

	for (i = 0; i < NR; i++) {
		bool peer = is_peer(pattern, events[i].data);

		due = peer && !self->works ? -EREMOTEIO : len;
		EXPECT_EQ(due, events[i].res)
			TH_LOG("request %d of pattern %d, %s", (int)events[i].data, pattern,
			       peer ? "peer-to-peer memory" : "RAM");
	}
}

/* Is the data that the requests wrote or read in its place? */
static void check(struct __test_metadata *_metadata, struct _test_data_block_merge *self,
		  int opcode, int pattern, size_t len)
{
	char *buf;
	off_t off;
	int i;

	for (i = 0; i < NR; i++) {
		bool peer = is_peer(pattern, i);

		off = i * len;
		buf = (peer ? self->mem : self->ram) + off;
		if (opcode == IOCB_CMD_PWRITE) {
			buf = self->ram + off;
			ASSERT_EQ(len, pread(self->disk, buf, len, self->where + off));
		}
		/* A refused request has changed nothing. */
		if (peer && !self->works && opcode == IOCB_CMD_PREAD) {
			EXPECT_EQ(-1, p2p_not_set(buf, len, POISON));
		} else {
			bool old = peer && !self->works;

			EXPECT_EQ(-1, p2p_differs(buf, len, old ? 7 : 1, self->where + off));
		}
	}
}

TEST_F(block_merge, one_call)
{
	static const size_t sizes[] = { 4 * KIB, 8 * KIB, 3 * SECTOR };
	int pattern;
	size_t i, j;

	for (i = 0; i < ARRAY_SIZE(schedulers); i++) {
		ASSERT_TRUE(set_scheduler(self->path, schedulers[i]));
		for (j = 0; j < 3 * ARRAY_SIZE(sizes); j++) {
			size_t len = sizes[j / 3], all = NR * len;

			pattern = j % 3;
			p2p_fill(self->ram, all, 7, self->where);
			ASSERT_EQ(all, pwrite(self->disk, self->ram, all, self->where));
			submit(_metadata, self, IOCB_CMD_PWRITE, pattern, len);
			check(_metadata, self, IOCB_CMD_PWRITE, pattern, len);

			p2p_fill(self->ram, all, 1, self->where);
			ASSERT_EQ(all, pwrite(self->disk, self->ram, all, self->where));
			submit(_metadata, self, IOCB_CMD_PREAD, pattern, len);
			check(_metadata, self, IOCB_CMD_PREAD, pattern, len);
		}
	}
}

struct writer {
	int fd;
	char *mem;
	off_t where;
	unsigned int seed;
};

static void *write_odd_blocks(void *arg)
{
	struct writer *w = arg;

	/* These may be refused. */
	for (;;)
		if (pwrite(w->fd, w->mem, BLOCK,
			   w->where + (2 * (rand_r(&w->seed) % PAIRS) + 1) * BLOCK) < 0)
			continue;
	return NULL;
}

/* A user whose only rights are to use the memory and the drive. */
static pid_t start_neighbour(struct _test_data_block_merge *self)
{
	struct writer writers[THREADS];
	pid_t child = fork();
	pthread_t thread;
	int i;

	if (child)
		return child;
	if (setgid(NOBODY) || setuid(NOBODY))
		_exit(1);
	for (i = 0; i < THREADS; i++) {
		writers[i] = (struct writer){
			.fd = self->disk,
			.mem = self->mem + i * BLOCK,
			.where = self->where,
			.seed = i,
		};
		if (pthread_create(&thread, NULL, write_odd_blocks, &writers[i]))
			_exit(1);
	}
	pause();
	_exit(1);
}

/* Ordinary direct writes to even blocks; returns how many failed. */
static int write_even_blocks(struct _test_data_block_merge *self, int round)
{
	struct iocb iocbs[NR], *list[NR];
	struct io_event events[NR];
	int i, failed = 0;

	for (i = 0; i < NR; i++) {
		iocbs[i] = (struct iocb){
			.aio_lio_opcode = IOCB_CMD_PWRITE,
			.aio_fildes = self->disk,
			.aio_buf = (uintptr_t)self->ram + i * BLOCK,
			.aio_nbytes = BLOCK,
			.aio_offset = self->where + 2 * (2 * i + round % 2) * BLOCK,
		};
		list[i] = &iocbs[i];
	}
	if (syscall(__NR_io_submit, self->ctx, NR, list) != NR ||
	    syscall(__NR_io_getevents, self->ctx, NR, NR, events, NULL) != NR)
		return NR;
	for (i = 0; i < NR; i++)
		failed += events[i].res != BLOCK;
	return failed;
}

/*
 * Another user's I/O on the same drive: direct writes and page cache writeback.
 */
TEST_F(block_merge, neighbour)
{
	struct timespec now, end;
	int cached, i, j, round;
	int failed, lost;
	pid_t child;

	cached = open(self->path, O_RDWR);
	ASSERT_LE(0, cached);
	child = start_neighbour(self);
	ASSERT_LT(0, child);
	for (i = 0; i < ARRAY_SIZE(schedulers); i++) {
		EXPECT_TRUE(set_scheduler(self->path, schedulers[i]));
		clock_gettime(CLOCK_MONOTONIC, &end);
		end.tv_sec += SECONDS;
		failed = 0;
		lost = 0;
		round = 0;
		do {
			failed += write_even_blocks(self, round++);
			for (j = 0; j < PAIRS; j++)
				lost += pwrite(cached, self->ram, BLOCK,
					       self->where + 2 * j * BLOCK) != BLOCK;
			lost += fdatasync(cached) != 0;
			clock_gettime(CLOCK_MONOTONIC, &now);
		} while (now.tv_sec < end.tv_sec ||
			 (now.tv_sec == end.tv_sec && now.tv_nsec < end.tv_nsec));
		EXPECT_EQ(0, failed)
			TH_LOG("%s: %d direct writes failed", schedulers[i], failed);
		EXPECT_EQ(0, lost)
			TH_LOG("%s: %d writes of the page cache failed", schedulers[i], lost);
	}
	EXPECT_EQ(0, waitpid(child, NULL, WNOHANG));
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	close(cached);
}

TEST_HARNESS_MAIN
