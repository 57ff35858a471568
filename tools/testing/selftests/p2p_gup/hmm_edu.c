// SPDX-License-Identifier: GPL-2.0
/*
 * The sample driver samples/p2pdma/p2p-edu-mirror.c: a device copies between
 * addresses of a process, with nothing pinned, while mappings are zapped,
 * moved, forked, protected and unmapped, and while the provider or the client
 * is unbound.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "edu_fixture.h"
#include "range.h"

/* The buffers of the fixture, one after the other, and room for two more. */
#define NR_PLACES	(2 * NR_BUFFERS + 2)
#define ROOM		(NR_PLACES * SIZE)

/* A place without a buffer. */
#define SPARE(room)	((room) + 2 * NR_BUFFERS * SIZE)

static bool move(char **mem, char *to)
{
	if (mremap(*mem, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, to) != to)
		return false;
	*mem = to;
	return true;
}

/* Moves all buffers into one range that the device mirrors. NULL on failure. */
static char *set_up(struct _test_data_edu *self)
{
	char *room = mmap(NULL, ROOM, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	int i;

	if (room == MAP_FAILED)
		return NULL;
	for (i = 0; i < NR_BUFFERS; i++)
		if (!move(&self->bar[i], room + i * SIZE) ||
		    !move(&self->ram[i], room + (NR_BUFFERS + i) * SIZE))
			return NULL;
	return mirror_edu(self->fd, room, ROOM) ? NULL : room;
}

TEST_F(edu, every_way)
{
	char *src, *dst;
	int i;

	ASSERT_NE(NULL, set_up(self));
	for (i = 0; i < 4; i++) {
		src = i & 1 ? self->bar[SRC] : self->ram[SRC];
		dst = i & 2 ? self->bar[DST] : self->ram[DST];
		fill(src, dst);
		EXPECT_EQ(LEN, mirrored(self->fd, src, dst, LEN));
		EXPECT_TRUE(is_copied(src, dst, 0, 0, LEN));
		/* and across the bounds of pages */
		fill(src, dst);
		EXPECT_EQ(3000, mirrored(self->fd, src + 4001, dst + 123, 3000));
		EXPECT_TRUE(is_copied(src, dst, 4001, 123, 3000));
	}
}

/* Nothing is pinned, but DMA mappings stay until a page table entry changes. */
TEST_F(edu, stays_mapped)
{
	ASSERT_NE(NULL, set_up(self));
	fill(self->bar[SRC], self->ram[DST]);
	EXPECT_EQ(LEN, mirrored(self->fd, self->bar[SRC], self->ram[DST], LEN));
	EXPECT_EQ(LEN, mapped(self));
	EXPECT_EQ(LEN, mirrored(self->fd, self->bar[SRC], self->ram[DST], LEN));
	EXPECT_EQ(LEN, mapped(self));

	/* Only the entries are dropped, the memory keeps its data. */
	ASSERT_EQ(0, madvise(self->bar[SRC], self->page, MADV_DONTNEED));
	EXPECT_EQ(LEN, mirrored(self->fd, self->bar[SRC], self->ram[DST], LEN));
	EXPECT_EQ(LEN + self->page, mapped(self));
	EXPECT_TRUE(is_copied(self->bar[SRC], self->ram[DST], 0, 0, LEN));
}

TEST_F(edu, zapped_in_flight)
{
	struct edu_call call;
	int round;

	ASSERT_NE(NULL, set_up(self));
	for (round = 0; round < 2; round++) {
		fill(self->bar[SRC], self->bar[DST]);
		ASSERT_TRUE(start_call(self, &call, self->bar[SRC], self->bar[DST]));
		do {
			EXPECT_EQ(0, madvise(self->bar[SRC], SIZE, MADV_DONTNEED));
			EXPECT_EQ(0, madvise(self->bar[DST], SIZE, MADV_DONTNEED));
			usleep(30000);
		} while (!edu_is_done(&call));
		ASSERT_EQ(0, pthread_join(call.thread, NULL));
		EXPECT_EQ(LEN, call.ret);
		EXPECT_TRUE(is_copied(self->bar[SRC], self->bar[DST], 0, 0, LEN));
	}
	/* The second copy at least can't reuse DMA mappings of the first. */
	EXPECT_LT(2 * LEN, mapped(self));
}

/*
 * When mremap() returns, the device no longer uses the old address, and the
 * memory is unchanged.
 */
TEST_F(edu, moved_in_flight)
{
	static uint64_t then[SIZE / 8];
	char *room = set_up(self);
	struct edu_call call;

	ASSERT_NE(NULL, room);
	fill(self->ram[SRC], self->bar[DST]);
	ASSERT_TRUE(start_call(self, &call, self->ram[SRC], self->bar[DST]));
	ASSERT_TRUE(move(&self->bar[DST], SPARE(room)));
	snapshot(then, self->bar[DST], SIZE);
	ASSERT_EQ(0, pthread_join(call.thread, NULL));
	EXPECT_EQ(-EFAULT, call.ret);
	EXPECT_EQ(-1, p2p_unlike(then, self->bar[DST], SIZE));

	/* The device finds the buffer at its new address. */
	fill(self->ram[SRC], self->bar[DST]);
	EXPECT_EQ(LEN, mirrored(self->fd, self->ram[SRC], self->bar[DST], LEN));
	EXPECT_TRUE(is_copied(self->ram[SRC], self->bar[DST], 0, 0, LEN));
}

/*
 * After munmap() the memory may have a new owner, who sees nothing of the copy.
 */
TEST_F(edu, unmapped_in_flight)
{
	long long before;
	struct edu_call call;
	char *other;

	ASSERT_NE(NULL, set_up(self));
	fill(self->ram[SRC], self->bar[DST]);
	ASSERT_TRUE(start_call(self, &call, self->ram[SRC], self->bar[DST]));
	before = p2p_available(self->provider);
	ASSERT_EQ(0, munmap(self->bar[DST], SIZE));
	/* Immediately, since no page is held. */
	EXPECT_EQ(before + SIZE, p2p_available(self->provider));
	other = p2p_map(self->provider, SIZE);
	ASSERT_NE(MAP_FAILED, other);
	p2p_fill(other, SIZE, 7, 0);
	ASSERT_EQ(0, pthread_join(call.thread, NULL));
	EXPECT_EQ(-EFAULT, call.ret);
	EXPECT_EQ(-1, p2p_differs(other, SIZE, 7, 0));
	EXPECT_EQ(0, munmap(other, SIZE));
}

/*
 * Other memory is mapped at the same address: the rest of the data goes there.
 */
TEST_F(edu, replaced_in_flight)
{
	struct edu_call call;
	char *ram;

	ASSERT_NE(NULL, set_up(self));
	fill(self->bar[SRC], self->bar[DST]);
	ASSERT_TRUE(start_call(self, &call, self->bar[SRC], self->bar[DST]));
	ram = mmap(self->bar[DST], SIZE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	ASSERT_EQ(self->bar[DST], ram);
	ASSERT_EQ(0, pthread_join(call.thread, NULL));
	EXPECT_EQ(LEN, call.ret);
	EXPECT_EQ(-1, p2p_differs(ram + LEN - 2048, 2048, SRC, LEN - 2048));
	EXPECT_EQ(-1, p2p_not_set(ram + LEN, SIZE - LEN, 0));
}

/*
 * The child keeps the old RAM contents, the parent gets the data; pins would
 * break copy-on-write.
 */
TEST_F(edu, forked)
{
	int go[2], i;
	pid_t child;
	char c = 0;

	ASSERT_NE(NULL, set_up(self));
	ASSERT_EQ(0, pipe(go));
	fill(self->bar[SRC], self->ram[DST]);
	p2p_fill(self->bar[DST], SIZE, DST, 0);
	EXPECT_EQ(1, mirrored(self->fd, self->bar[SRC], self->ram[DST], 1));
	p2p_fill(self->ram[DST], SIZE, DST, 0);
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		if (read(go[0], &c, 1) != 1 ||
		    p2p_differs(self->ram[DST], SIZE, DST, 0) != -1)
			_exit(1);
		/* Peer-to-peer memory is shared. */
		if (p2p_differs(self->bar[DST], LEN, SRC, 0) != -1)
			_exit(2);
		/* The mirror still belongs to the parent. */
		for (i = 0; i < NR_BUFFERS; i++)
			munmap(self->ram[i], SIZE);
		_exit(mirrored(self->fd, self->ram[SRC], self->ram[DST], 1) != 1);
	}
	EXPECT_EQ(LEN, mirrored(self->fd, self->bar[SRC], self->ram[DST], LEN));
	EXPECT_EQ(LEN, mirrored(self->fd, self->ram[DST], self->bar[DST], LEN));
	EXPECT_TRUE(is_copied(self->bar[SRC], self->ram[DST], 0, 0, LEN));
	EXPECT_EQ(1, write(go[1], &c, 1));
	EXPECT_EQ(0, p2p_wait(child));
	close(go[0]);
	close(go[1]);
}

TEST_F(edu, forked_in_flight)
{
	struct edu_call call;
	pid_t child;
	int i;

	ASSERT_NE(NULL, set_up(self));
	fill(self->bar[SRC], self->bar[DST]);
	ASSERT_TRUE(start_call(self, &call, self->bar[SRC], self->bar[DST]));
	for (i = 0; i < 3; i++) {
		child = fork();
		ASSERT_LE(0, child);
		if (!child)
			_exit(munmap(self->bar[SRC], SIZE) ||
			      p2p_fault_of(self->bar[DST], true));
		EXPECT_EQ(0, p2p_wait(child));
	}
	ASSERT_EQ(0, pthread_join(call.thread, NULL));
	EXPECT_EQ(LEN, call.ret);
	/* The last word is the one that the children wrote to. */
	EXPECT_EQ(-1, p2p_differs(self->bar[DST] + 8, LEN - 8, SRC, 8));
}

TEST_F(edu, protected)
{
	char *dst[2];
	int i;

	ASSERT_NE(NULL, set_up(self));
	dst[0] = self->ram[DST];
	dst[1] = self->bar[DST];
	for (i = 0; i < 2; i++) {
		fill(self->bar[SRC], dst[i]);
		EXPECT_EQ(8, mirrored(self->fd, self->bar[SRC], dst[i], 8));
		ASSERT_EQ(0, mprotect(dst[i], SIZE, PROT_READ));
		EXPECT_EQ(-EPERM, mirrored(self->fd, self->bar[SRC], dst[i], LEN));
		EXPECT_EQ(8, mirrored(self->fd, dst[i], self->bar[SRC], 8));
		ASSERT_EQ(0, mprotect(dst[i], SIZE, PROT_NONE));
		EXPECT_EQ(-EFAULT, mirrored(self->fd, self->bar[SRC], dst[i], 8));
		EXPECT_EQ(-EFAULT, mirrored(self->fd, dst[i], self->bar[SRC], 8));
		ASSERT_EQ(0, mprotect(dst[i], SIZE, PROT_READ | PROT_WRITE));
		EXPECT_TRUE(is_copied(self->bar[SRC], dst[i], 0, 0, 8));
		EXPECT_EQ(LEN, mirrored(self->fd, self->bar[SRC], dst[i], LEN));
		EXPECT_TRUE(is_copied(self->bar[SRC], dst[i], 0, 0, LEN));
	}
}

/*
 * Maps the provider's memory at the same address, with its driver bound again.
 */
static void comes_back(struct __test_metadata *_metadata,
		       struct _test_data_edu *self)
{
	int fd;

	EXPECT_EQ(-EFAULT, mirrored(self->fd, self->bar[SRC], self->ram[DST], LEN));
	EXPECT_EQ(-EFAULT, mirrored(self->fd, self->ram[SRC], self->bar[DST], LEN));
	fill(self->ram[SRC], self->ram[DST]);
	EXPECT_EQ(LEN, mirrored(self->fd, self->ram[SRC], self->ram[DST], LEN));
	EXPECT_TRUE(is_copied(self->ram[SRC], self->ram[DST], 0, 0, LEN));

	ASSERT_EQ(0, p2p_bind(self->provider));
	EXPECT_EQ(-EFAULT, mirrored(self->fd, self->bar[SRC], self->ram[DST], LEN));
	fd = p2p_open(self->provider, O_RDWR);
	ASSERT_LE(0, fd);
	ASSERT_EQ(self->bar[SRC], mmap(self->bar[SRC], SIZE, PROT_READ | PROT_WRITE,
				       MAP_SHARED | MAP_FIXED, fd, 0));
	close(fd);
	fill(self->bar[SRC], self->ram[DST]);
	EXPECT_EQ(LEN, mirrored(self->fd, self->bar[SRC], self->ram[DST], LEN));
	EXPECT_TRUE(is_copied(self->bar[SRC], self->ram[DST], 0, 0, LEN));
}

/* Mapped for DMA, but idle: unbinding revokes the mapping without waiting. */
TEST_F(edu, provider_unbound)
{
	ASSERT_NE(NULL, set_up(self));
	fill(self->bar[SRC], self->bar[DST]);
	EXPECT_EQ(LEN, mirrored(self->fd, self->bar[SRC], self->bar[DST], LEN));
	ASSERT_EQ(0, p2p_unbind(self->provider));
	comes_back(_metadata, self);
}

TEST_F(edu, provider_unbound_in_flight)
{
	struct edu_call call;

	ASSERT_NE(NULL, set_up(self));
	fill(self->ram[SRC], self->bar[DST]);
	ASSERT_TRUE(start_call(self, &call, self->ram[SRC], self->bar[DST]));
	ASSERT_EQ(0, p2p_unbind(self->provider));
	/* Unbinding waits for the current command, not for the whole copy. */
	ASSERT_EQ(0, pthread_join(call.thread, NULL));
	EXPECT_EQ(-EFAULT, call.ret);
	comes_back(_metadata, self);
}

TEST_F(edu, provider_removed)
{
	char path[P2P_PATH_LEN];

	ASSERT_NE(NULL, set_up(self));
	fill(self->bar[SRC], self->bar[DST]);
	EXPECT_EQ(LEN, mirrored(self->fd, self->bar[SRC], self->bar[DST], LEN));
	p2p_path(path, self->provider, "remove");
	ASSERT_EQ(0, p2p_write_file(path, "1"));
	EXPECT_EQ(-EFAULT, mirrored(self->fd, self->bar[SRC], self->ram[DST], LEN));
	ASSERT_EQ(0, p2p_write_file("/sys/bus/pci/rescan", "1"));
	if (!p2p_has_driver(self->provider, P2P_BAR_DRIVER)) {
		p2p_path(path, self->provider, "driver_override");
		ASSERT_EQ(0, p2p_write_file(path, P2P_BAR_DRIVER));
		ASSERT_EQ(0, p2p_bind(self->provider));
	}
}

TEST_F(edu, provider_reset)
{
	if (!p2p_can_reset(self->provider))
		SKIP(return, "the device has no way to be reset");
	ASSERT_NE(NULL, set_up(self));
	fill(self->bar[SRC], self->bar[DST]);
	EXPECT_EQ(LEN, mirrored(self->fd, self->bar[SRC], self->bar[DST], LEN));
	ASSERT_EQ(0, p2p_reset(self->provider));
	fill(self->bar[SRC], self->bar[DST]);
	EXPECT_EQ(LEN, mirrored(self->fd, self->bar[SRC], self->bar[DST], LEN));
	EXPECT_EQ(4 * LEN, mapped(self));
	EXPECT_TRUE(is_copied(self->bar[SRC], self->bar[DST], 0, 0, LEN));
}

/* No DMA mapping is left for a device without a driver. */
TEST_F(edu, client_unbound)
{
	struct edu_call call;
	char *room = set_up(self);

	ASSERT_NE(NULL, room);
	fill(self->bar[SRC], self->bar[DST]);
	EXPECT_EQ(LEN, mirrored(self->fd, self->bar[SRC], self->bar[DST], LEN));
	ASSERT_EQ(0, p2p_driver_unbind(EDU, self->wide));
	EXPECT_EQ(-ENODEV, mirrored(self->fd, self->bar[SRC], self->bar[DST], LEN));
	ASSERT_EQ(0, bind_edu(self->wide, WIDE_BITS));
	EXPECT_EQ(-ENODEV, mirrored(self->fd, self->bar[SRC], self->bar[DST], LEN));
	EXPECT_EQ(-ENODEV, mirrored(self->fd, self->ram[SRC], self->ram[DST], LEN));
	/* The notifier is still registered. */
	ASSERT_EQ(0, madvise(room, ROOM, MADV_DONTNEED));
	close(self->fd);

	self->fd = open_edu(self->wide);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, mirror_edu(self->fd, room, ROOM));
	fill(self->bar[SRC], self->bar[DST]);
	ASSERT_TRUE(start_call(self, &call, self->bar[SRC], self->bar[DST]));
	ASSERT_EQ(0, p2p_driver_unbind(EDU, self->wide));
	ASSERT_EQ(0, pthread_join(call.thread, NULL));
	EXPECT_EQ(-ENODEV, call.ret);
	EXPECT_EQ(-ENODEV, mirror_edu(self->fd, room, ROOM));
	ASSERT_EQ(0, bind_edu(self->wide, WIDE_BITS));
}

/* The address space may be destroyed before the file. */
TEST_F(edu, process_gone)
{
	int fd = open_edu(self->wide);
	pid_t child;

	ASSERT_LE(0, fd);
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		char *mem = self->bar[SRC];

		_exit(mirror_edu(fd, mem, SIZE) ||
		      mirrored(fd, mem, mem + SIZE / 2, 8) != 8);
	}
	EXPECT_EQ(0, p2p_wait(child));
	EXPECT_EQ(-EFAULT, mirrored(fd, self->bar[SRC], self->bar[SRC] + SIZE / 2, 8));
	close(fd);
}

TEST_F(edu, killed)
{
	long long before = p2p_available(self->provider);
	long long so_far = mapped(self);
	int status;
	pid_t child;

	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		char *own = p2p_map(self->provider, 4 * SIZE);
		int fd = open_edu(self->wide);

		if (own != MAP_FAILED && !mirror_edu(fd, own, 4 * SIZE))
			mirrored(fd, own, own + 2 * SIZE, LEN);
		_exit(1);
	}
	while (mapped(self) == so_far)
		usleep(1000);
	EXPECT_EQ(0, kill(child, SIGKILL));
	EXPECT_EQ(child, waitpid(child, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_TRUE(p2p_settles(self->provider, before));
}

/*
 * A device that can't address the memory, or has no route to it; RAM still
 * works.
 */
TEST_F(edu, no_route)
{
	const char *const others[] = { self->narrow, self->far };
	size_t i;
	char *room;
	int fd;

	room = set_up(self);
	ASSERT_NE(NULL, room);
	for (i = 0; i < ARRAY_SIZE(others); i++) {
		ASSERT_EQ(0, bind_edu(others[i], NARROW_BITS));
		fd = open_edu(others[i]);
		ASSERT_LE(0, fd);
		ASSERT_EQ(0, mirror_edu(fd, room, ROOM));
		fill(self->ram[SRC], self->bar[DST]);
		EXPECT_EQ(-EREMOTEIO, mirrored(fd, self->ram[SRC], self->bar[DST], LEN));
		EXPECT_EQ(-1, p2p_differs(self->bar[DST], SIZE, DST, 0));
		EXPECT_EQ(-EREMOTEIO, mirrored(fd, self->bar[SRC], self->ram[DST], LEN));
		fill(self->ram[SRC], self->ram[DST]);
		EXPECT_EQ(LEN, mirrored(fd, self->ram[SRC], self->ram[DST], LEN));
		EXPECT_TRUE(is_copied(self->ram[SRC], self->ram[DST], 0, 0, LEN));
		close(fd);
	}
}

TEST_F(edu, bad_arguments)
{
	char *room;
	int fd;

	EXPECT_EQ(-EBADF, mirrored(self->fd, self->bar[SRC], self->bar[DST], LEN));
	EXPECT_EQ(-EINVAL, mirror_edu(self->fd, self->bar[SRC], 0));
	EXPECT_EQ(-EINVAL, mirror_edu(self->fd, self->bar[SRC] + 1, SIZE));
	EXPECT_EQ(-EINVAL, mirror_edu(self->fd, self->bar[SRC], SIZE - 1));
	EXPECT_EQ(-EINVAL, mirror_edu(self->fd, self->bar[SRC],
				      P2P_EDU_MAX_MIRROR + self->page));
	EXPECT_EQ(-EINVAL, mirror_edu(self->fd, (void *)-self->page, self->page));
	EXPECT_EQ(-EFAULT, p2p_result(ioctl(self->fd, P2P_EDU_MIRROR, NULL)));

	room = set_up(self);
	ASSERT_NE(NULL, room);
	EXPECT_EQ(-EBUSY, mirror_edu(self->fd, room, ROOM));
	fill(self->bar[SRC], self->bar[DST]);
	EXPECT_EQ(-EINVAL, mirrored(self->fd, room - 1, self->bar[DST], LEN));
	EXPECT_EQ(-EINVAL, mirrored(self->fd, self->bar[SRC], room + ROOM - 1, LEN));
	EXPECT_EQ(-EINVAL, mirrored(self->fd, self->bar[SRC], room + ROOM + 1, 1));
	EXPECT_EQ(-EINVAL, mirrored(self->fd, self->bar[SRC], self->bar[DST], 0));
	EXPECT_EQ(-EINVAL, mirrored(self->fd, self->bar[SRC], self->bar[DST], LEN + 1));
	EXPECT_EQ(-EINVAL, copy_flags(self->fd, self->bar[SRC], self->bar[DST], LEN,
				      P2P_EDU_MIRRORED | P2P_EDU_SRC_DMABUF));
	EXPECT_EQ(-EFAULT, mirrored(self->fd, SPARE(room), self->bar[DST], LEN));
	EXPECT_EQ(-EFAULT, mirrored(self->fd, self->bar[SRC], SPARE(room), LEN));
	EXPECT_EQ(-1, p2p_differs(self->bar[DST], SIZE, DST, 0));

	/* Two files, two mirrors. */
	fd = open_edu(self->wide);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EBADF, mirrored(fd, self->bar[SRC], self->bar[DST], LEN));
	EXPECT_EQ(0, mirror_edu(fd, room, ROOM));
	EXPECT_EQ(LEN, mirrored(fd, self->bar[SRC], self->bar[DST], LEN));
	close(fd);
	EXPECT_TRUE(is_copied(self->bar[SRC], self->bar[DST], 0, 0, LEN));
}

/* Memory without struct pages can't be mirrored. */
TEST_F(edu, pageless)
{
	const char *vram = getenv("P2P_VRAM");
	char *room = set_up(self);
	char *mem;

	ASSERT_NE(NULL, room);
	if (!vram || !p2p_has_driver(vram, VRAM))
		SKIP(return, "P2P_VRAM names no device");
	mem = map_vram(vram, SIZE, 0);
	ASSERT_NE(MAP_FAILED, mem);
	ASSERT_TRUE(move(&mem, SPARE(room)));
	EXPECT_EQ(-EFAULT, mirrored(self->fd, SPARE(room), self->ram[DST], 8));
	EXPECT_EQ(-EFAULT, mirrored(self->fd, self->ram[SRC], SPARE(room), 8));
}

TEST_HARNESS_MAIN
