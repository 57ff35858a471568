// SPDX-License-Identifier: GPL-2.0
/*
 * The driver of a provider is unbound while pages are held, which is logged but
 * not waited for, or while a drive still writes, which is waited for.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "variants.h"
#include "aio.h"
#include "gup_call.h"
#include "removal.h"
#include "ring.h"

#define SMALL		(64 * KIB)
#define LARGE		(4 * MIB)
#define FOLIO_PAGES	512UL		/* of 2 MiB */
#define NR_REQUESTS	8
#define REQUEST		(64 * KIB)

FIXTURE(removal)
{
	P2P_FIXTURE;
	int fd;
	int test;
	int klog;
	int *shared;		/* with children */
};

P2P_VARIANTS(removal, P2P_BAR_DRIVER, "slow", NULL);

FIXTURE_SETUP(removal)
{
	ASSERT_TRUE(p2p_setup(&self->p2p, &variant->p2p, 0));
	ASSERT_TRUE(p2p_setup_drive(&self->p2p, &variant->p2p, O_RDONLY));
	self->fd = p2p_open(self->provider, O_RDWR);
	ASSERT_LE(0, self->fd);
	self->klog = klog_open();
	ASSERT_LE(0, self->klog);
	self->shared = mmap(NULL, sizeof(int), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->shared);
	self->test = P2P_TEST_OPEN();
}

FIXTURE_TEARDOWN(removal)
{
	close(self->test);
	close(self->klog);
	close(self->fd);
	p2p_release(&self->p2p);
	EXPECT_BACK(self);
}

static bool says_in_use(struct _test_data_removal *self, unsigned long nr_pages,
			pid_t mapped_by)
{
	return klog_wait(self->klog, "%s: %lu pages of peer-to-peer memory are in use",
			 self->provider, nr_pages) &&
	       klog_wait(self->klog, "%s: %lu of these pages were mapped by removal[%d]",
			 self->provider, nr_pages, mapped_by);
}

/* Holds one page; nr_pages is how many pages this keeps in use. */
static void kept_page(struct __test_metadata *_metadata,
		      struct _test_data_removal *self, size_t size,
		      unsigned long nr_pages)
{
	char *mem = p2p_map(self->provider, size);
	struct p2p_test_page page;

	ASSERT_NE(MAP_FAILED, mem);
	ASSERT_EQ(1, gup_hold(self->test, P2P_TEST_PIN_FAST, mem + self->page, 1,
			      FOLL_PCI_P2PDMA, &page));
	EXPECT_EQ(0, p2p_unbind(self->provider));
	EXPECT_TRUE(says_in_use(self, nr_pages, getpid()));

	/* All other users have lost the memory. */
	EXPECT_EQ(SIGBUS, p2p_fault_of(mem, false));
	EXPECT_EQ(SIGBUS, p2p_fault_of(mem + self->page, true));
	EXPECT_EQ(-EFAULT, p2p_result(pread(self->disk, mem, SMALL, 0)));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, SMALL, PROT_READ, MAP_SHARED,
				   self->fd, 0));
	EXPECT_EQ(ENODEV, errno);
	/* Only the pin's reference to the page is left. */
	if (nr_pages == 1)
		EXPECT_EQ(GUP_PIN_COUNTING_BIAS, gup_count(self->test, page.pfn));

	EXPECT_EQ(0, gup_put(self->test));
	EXPECT_TRUE(klog_wait(self->klog, "is no longer in use"));
	EXPECT_EQ(0, munmap(mem, size));
	EXPECT_EQ(0, p2p_bind(self->provider));
	EXPECT_EQ(self->before, p2p_available(self->provider));
}

TEST_F(removal, page_is_kept)
{
	kept_page(_metadata, self, SMALL, 1);
}

TEST_F(removal, page_of_folio_is_kept)
{
	kept_page(_metadata, self, LARGE, FOLIO_PAGES);
}

/* The process has exited and the mapping is gone: the log still names it. */
TEST_F(removal, page_outlives_process)
{
	pid_t mapper;
	int status;

	mapper = fork();
	ASSERT_LE(0, mapper);
	if (!mapper) {
		char *mem = p2p_map(self->provider, SMALL);

		/* The file of the test module is the parent's, too. */
		_exit(mem == MAP_FAILED ||
		      gup_hold(self->test, P2P_TEST_GET, mem, 3,
			       FOLL_PCI_P2PDMA, NULL) != 3);
	}
	ASSERT_EQ(mapper, waitpid(mapper, &status, 0));
	ASSERT_EQ(0, status);
	EXPECT_EQ(self->before - 3 * (long long)self->page,
		  p2p_available(self->provider));

	EXPECT_EQ(0, p2p_unbind(self->provider));
	EXPECT_TRUE(says_in_use(self, 3, mapper));
	EXPECT_EQ(0, gup_put(self->test));
}

/* A softirq puts the last held pages, after unbinding. */
TEST_F(removal, put_in_softirq)
{
	char *mem = p2p_map(self->provider, SMALL);

	ASSERT_NE(MAP_FAILED, mem);
	ASSERT_EQ(3, gup_hold(self->test, P2P_TEST_GET, mem, 3, FOLL_PCI_P2PDMA, NULL));
	EXPECT_EQ(0, p2p_unbind(self->provider));
	EXPECT_TRUE(says_in_use(self, 3, getpid()));
	EXPECT_EQ(0, ioctl(self->test, P2P_TEST_PUT_SOFTIRQ, 0));
	EXPECT_TRUE(klog_wait(self->klog, "is no longer in use"));
	EXPECT_EQ(0, munmap(mem, SMALL));
}

/* A mapping is inherited twice; only the last child still has it. */
TEST_F(removal, passed_on)
{
	char *mem = p2p_map(self->provider, SMALL);
	int status;
	pid_t child;

	ASSERT_NE(MAP_FAILED, mem);
	p2p_fill(mem, SMALL, 1, 0);
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		if (fork())
			_exit(0);
		while (!__atomic_load_n(self->shared, __ATOMIC_ACQUIRE))
			usleep(500);
		*self->shared = p2p_differs(mem, SMALL, 1, 0) == -1 ? 2 : -1;
		while (__atomic_load_n(self->shared, __ATOMIC_ACQUIRE) != 3)
			usleep(500);
		*self->shared = 100 + p2p_fault_of(mem, false);
		_exit(0);
	}
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_EQ(0, status);
	EXPECT_EQ(0, munmap(mem, SMALL));
	*self->shared = 1;
	while (__atomic_load_n(self->shared, __ATOMIC_ACQUIRE) == 1)
		usleep(500);
	EXPECT_EQ(2, *self->shared);
	EXPECT_EQ(self->before - (long long)SMALL, p2p_available(self->provider));

	EXPECT_EQ(0, p2p_unbind(self->provider));
	__atomic_store_n(self->shared, 3, __ATOMIC_RELEASE);
	while (__atomic_load_n(self->shared, __ATOMIC_ACQUIRE) == 3)
		usleep(500);
	EXPECT_EQ(100 + SIGBUS, *self->shared);
}

/* All requests are in flight, so unbinding waits. */
TEST_F(removal, aio_in_flight)
{
	ssize_t due = self->works ? (ssize_t)REQUEST : -EREMOTEIO;
	char *mem = p2p_map(self->provider, NR_REQUESTS * REQUEST);
	struct io_event events[NR_REQUESTS];
	const struct timespec now = {};
	aio_context_t ctx = 0;
	int i;

	ASSERT_NE(MAP_FAILED, mem);
	ASSERT_EQ(0, syscall(__NR_io_setup, NR_REQUESTS, &ctx));
	ASSERT_EQ(NR_REQUESTS, aio_submit(ctx, self->disk, IOCB_CMD_PREAD, mem,
					  REQUEST, 0, NR_REQUESTS));
	EXPECT_EQ(0, p2p_unbind(self->provider));
	/* By now all requests are completed. */
	EXPECT_EQ(NR_REQUESTS, syscall(__NR_io_getevents, ctx, 0, NR_REQUESTS,
				       events, &now));
	for (i = 0; i < NR_REQUESTS; i++)
		EXPECT_EQ(due, events[i].res);
	EXPECT_EQ(0, syscall(__NR_io_destroy, ctx));
	EXPECT_EQ(0, munmap(mem, NR_REQUESTS * REQUEST));
}

TEST_F(removal, io_uring_in_flight)
{
	int due = self->works ? (int)REQUEST : -EREMOTEIO;
	char *mem = p2p_map(self->provider, NR_REQUESTS * REQUEST);
	struct io_uring_cqe cqe;
	struct ring ring;
	int i;

	ASSERT_NE(MAP_FAILED, mem);
	ASSERT_TRUE(ring_init(&ring, NR_REQUESTS, 0));
	for (i = 0; i < NR_REQUESTS; i++) {
		struct io_uring_sqe sqe = {
			.opcode = IORING_OP_READ,
			.fd = self->disk,
			.addr = (uintptr_t)mem + i * REQUEST,
			.len = REQUEST,
			.off = i * REQUEST,
		};

		ASSERT_EQ(0, ring_submit(&ring, &sqe));
	}
	EXPECT_EQ(0, p2p_unbind(self->provider));
	for (i = 0; i < NR_REQUESTS; i++) {
		ring_wait(&ring, &cqe);
		EXPECT_EQ(due, cqe.res);
	}
	ring_exit(&ring);
	EXPECT_EQ(0, munmap(mem, NR_REQUESTS * REQUEST));
}

TEST_HARNESS_MAIN
