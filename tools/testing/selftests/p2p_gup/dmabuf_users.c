// SPDX-License-Identifier: GPL-2.0
/*
 * Two users share a provider through its dma-heap: neither sees data that the
 * other left in the memory, through any handle, and a buffer is charged to the
 * user who allocated it, as long as anyone has it.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <lib/test_p2p_uapi.h>

#include "dmabuf.h"
#include "gup_call.h"
#include "trace.h"
#include "users.h"
#include "variants.h"

#define PAGE		(4 * KIB)
#define SMALL		(32 * PAGE)	/* base pages */
#define PMD		(2 * MIB)

FIXTURE(dmabuf_users)
{
	P2P_FIXTURE;		/* without a mapping */
	int sock[2];
	struct p2p_test_function client;
};

P2P_VARIANTS(dmabuf_users, NULL, "raw", NULL);

FIXTURE_SETUP(dmabuf_users)
{
	if (!heap_there(variant->p2p.provider))
		SKIP(p2p_skip_now(), "no heap: CONFIG_PCI_P2PMEM_DMABUF?");
	ASSERT_TRUE(p2p_setup(&self->p2p, &variant->p2p, 0));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_SEQPACKET, 0, self->sock));
	ASSERT_TRUE(p2p_client_of(p2p_disk("raw"), &self->client));
	ASSERT_TRUE(users_admit(self->provider, USERS));
	ASSERT_TRUE(heap_admit(self->provider, USERS));
}

FIXTURE_TEARDOWN(dmabuf_users)
{
	char path[P2P_PATH_LEN];

	p2p_path(path, self->provider, "p2pmem/user_limit");
	EXPECT_EQ(0, p2p_write_file(path, "max\n"));
	close(self->sock[0]);
	close(self->sock[1]);
	EXPECT_TRUE(heap_admit(self->provider, 0));
	EXPECT_TRUE(users_admit(self->provider, 0));
	p2p_release(&self->p2p);
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

/* Runs a part in a child of this user; returns its result. */
static int as(uid_t uid, struct _test_data_dmabuf_users *self,
	      int (*part)(struct _test_data_dmabuf_users *self))
{
	pid_t child = users_fork(uid);

	if (!child)
		_exit(part(self));
	return child < 0 ? -1 : p2p_wait(child);
}

static int allocate(struct _test_data_dmabuf_users *self, size_t size)
{
	int heap = heap_open(self->provider);
	int fd = heap_alloc(heap, size);

	close(heap);
	return fd;
}

/* Do the first and last word of each page have this value? */
static bool has(const char *mem, size_t size, uint64_t word)
{
	size_t i;

	for (i = 0; i < size; i += PAGE)
		if (p2p_load(mem + i) != word ||
		    p2p_load(mem + i + PAGE - 8) != word)
			return false;
	return true;
}

static void put(char *mem, size_t size, uint64_t word)
{
	size_t i;

	for (i = 0; i < size; i += PAGE) {
		p2p_store(mem + i, word);
		p2p_store(mem + i + PAGE - 8, word);
	}
}

static int find_nothing_and_leave(struct _test_data_dmabuf_users *self)
{
	int fd = allocate(self, self->size);
	char *mem = dmabuf_map(fd, self->size, 0);

	if (mem == MAP_FAILED)
		return 2;
	if (!has(mem, self->size, 0))
		return 1;
	put(mem, self->size, getuid() + 1);
	return 0;
}

static int leave_in_mapping(struct _test_data_dmabuf_users *self)
{
	char *mem = p2p_map(self->provider, self->size);

	if (mem == MAP_FAILED)
		return 2;
	put(mem, self->size, getuid() + 1);
	return 0;
}

static int find_nothing_in_mapping(struct _test_data_dmabuf_users *self)
{
	char *mem = p2p_map(self->provider, self->size);

	if (mem == MAP_FAILED)
		return 2;
	return !has(mem, self->size, 0);
}

/* Root could see old data through p2pmem/allocate, but not through the heap. */
static void take_turns(struct __test_metadata *_metadata,
		       struct _test_data_dmabuf_users *self, size_t size)
{
	self->size = size;
	EXPECT_EQ(0, as(ALICE, self, find_nothing_and_leave));
	EXPECT_EQ(0, as(BOB, self, find_nothing_and_leave));
	EXPECT_EQ(0, as(BOB, self, find_nothing_and_leave));
	EXPECT_EQ(0, as(0, self, find_nothing_and_leave));
	EXPECT_EQ(0, as(ALICE, self, leave_in_mapping));
	EXPECT_EQ(0, as(BOB, self, find_nothing_and_leave));
	EXPECT_EQ(0, as(ALICE, self, find_nothing_in_mapping));
}

TEST_F(dmabuf_users, base_pages)
{
	take_turns(_metadata, self, SMALL);
}

TEST_F(dmabuf_users, pmd)
{
	take_turns(_metadata, self, PMD);
}

/*
 * A device does not see old data, either: attaching clears all of the buffer;
 * mapping, with the reservation object locked, clears nothing.
 */
TEST_F(dmabuf_users, attached_before_it_is_touched)
{
	struct p2p_test_dmabuf_map map = { 0 };
	struct p2p_test_attach attach = {
		.client = self->client,
		.importer = P2P_TEST_DYNAMIC,
	};
	int importer, fd, cleared;
	char *mem;

	if (!self->works)
		return;
	if (!trace_there())
		SKIP(return, "no tracepoints");
	importer = open(IMPORTER_FILE, O_RDWR);
	ASSERT_LE(0, importer);
	self->size = SMALL;
	EXPECT_EQ(0, as(ALICE, self, find_nothing_and_leave));
	fd = allocate(self, SMALL);
	ASSERT_LE(0, fd);

	ASSERT_TRUE(trace_start());
	attach.fd = fd;
	ASSERT_EQ(0, ioctl(importer, P2P_TEST_ATTACH, &attach));
	ASSERT_EQ(0, attach.result);
	cleared = traced("p2pmem_clear:");
	EXPECT_LT(0, cleared);
	ASSERT_EQ(0, ioctl(importer, P2P_TEST_MAP, &map));
	EXPECT_EQ(0, map.result);
	EXPECT_EQ(cleared, traced("p2pmem_clear:"));
	mem = dmabuf_map(fd, SMALL, 0);
	ASSERT_NE(MAP_FAILED, mem);
	EXPECT_TRUE(has(mem, SMALL, 0));
	EXPECT_EQ(cleared, traced("p2pmem_clear:"));
	trace_stop();

	/* Memory in use is not cleared again by another attachment. */
	put(mem, SMALL, 1);
	ASSERT_EQ(0, ioctl(importer, P2P_TEST_PUT, 0));
	ASSERT_EQ(0, ioctl(importer, P2P_TEST_ATTACH, &attach));
	EXPECT_EQ(0, attach.result);
	EXPECT_TRUE(has(mem, SMALL, 1));
	munmap(mem, SMALL);
	close(fd);
	close(importer);
}

static bool set_limit(struct _test_data_dmabuf_users *self, size_t bytes)
{
	char path[P2P_PATH_LEN], text[32];

	p2p_path(path, self->provider, "p2pmem/user_limit");
	snprintf(text, sizeof(text), "%zu\n", bytes);
	return !p2p_write_file(path, text);
}

/* Allocates by each kind of handle. */
static int can_have_all(struct _test_data_dmabuf_users *self)
{
	int fd = allocate(self, SMALL);
	char *mem;

	if (fd < 0)
		return 1;
	if (allocate(self, PAGE) != -ENOMEM)
		return 2;
	if (p2p_map(self->provider, PAGE) != MAP_FAILED || errno != ENOMEM)
		return 3;
	close(fd);
	mem = p2p_map(self->provider, SMALL);
	if (mem == MAP_FAILED)
		return 4;
	return allocate(self, PAGE) == -ENOMEM ? 0 : 5;
}

static int can_have_nothing(struct _test_data_dmabuf_users *self)
{
	return allocate(self, PAGE) != -ENOMEM;
}

TEST_F(dmabuf_users, one_limit_for_all_handles)
{
	ASSERT_TRUE(set_limit(self, SMALL));
	EXPECT_EQ(0, as(ALICE, self, can_have_all));
	EXPECT_EQ(0, as(BOB, self, can_have_all));
}

static int allocate_and_send(struct _test_data_dmabuf_users *self)
{
	int fd = allocate(self, SMALL);

	return fd < 0 || !fd_send(self->sock[0], fd);
}

/* Another handle of a buffer costs nothing. */
static int export(struct _test_data_dmabuf_users *self)
{
	char *mem = p2p_map(self->provider, SMALL);
	int heap = heap_open(self->provider);
	int i;

	if (mem == MAP_FAILED)
		return 1;
	for (i = 0; i < 4; i++)
		if (heap_export(heap, mem, O_RDWR, NULL, NULL) < 0)
			return 2;
	return 0;
}

TEST_F(dmabuf_users, export_is_free)
{
	ASSERT_TRUE(set_limit(self, SMALL));
	EXPECT_EQ(0, as(ALICE, self, export));
}

/* Receives a buffer and keeps it, which leaves the user's own limit unused. */
static int receive(struct _test_data_dmabuf_users *self)
{
	int fd = fd_receive(self->sock[1]);
	char *mem = dmabuf_map(fd, SMALL, 0);
	int ret;

	if (mem == MAP_FAILED)
		return 10;
	ret = can_have_all(self);
	if (ret)
		return ret;
	/* Keeps it until the other side shuts the socket down. */
	close(self->sock[0]);
	return fd_receive(self->sock[1]) < 0 ? 0 : 11;
}

TEST_F(dmabuf_users, allocator_pays)
{
	pid_t bob;

	ASSERT_TRUE(set_limit(self, SMALL));
	EXPECT_EQ(0, as(ALICE, self, allocate_and_send));
	/* The buffer is in the socket, and Alice's process has exited. */
	EXPECT_EQ(0, as(ALICE, self, can_have_nothing));
	bob = users_fork(BOB);
	ASSERT_LE(0, bob);
	if (!bob)
		_exit(receive(self));
	usleep(100000);
	EXPECT_EQ(0, as(ALICE, self, can_have_nothing));
	shutdown(self->sock[0], SHUT_RDWR);
	EXPECT_EQ(0, p2p_wait(bob));
	EXPECT_EQ(0, as(ALICE, self, can_have_all));
}

TEST_HARNESS_MAIN
