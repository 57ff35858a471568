// SPDX-License-Identifier: GPL-2.0
/*
 * A provider is unbound, or reset, while its memory is held: holds are revoked,
 * holders release the memory, and there is nothing else to wait for.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <lib/test_p2p_uapi.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "variants.h"
#include "gup_call.h"
#include "hold.h"
#include "removal.h"

#define SIZE		(256 * KIB)
#define MANY		1000
/* Longer than it takes to log the holder that is waited for. */
#define HANGS		1500
#define A_WHILE		100000

#define KIND()		TH_LOG("%s", kind->name)

static const struct hold_kind *const lease = &hold_kinds[0];
static const struct hold_kind *const ticket = &hold_kinds[1];

FIXTURE(hold_revoke)
{
	P2P_FIXTURE;
	struct p2p_test_function client;
	int fd;			/* of the holder */
	int klog;
};

P2P_VARIANTS(hold_revoke, P2P_BAR_DRIVER, "raw", NULL);

FIXTURE_SETUP(hold_revoke)
{
	ASSERT_TRUE(p2p_setup(&self->p2p, &variant->p2p, SIZE));
	ASSERT_TRUE(p2p_client_of(p2p_disk(variant->p2p.disk), &self->client));
	self->klog = klog_open();
	ASSERT_LE(0, self->klog);
	self->fd = HOLD_OPEN();
}

FIXTURE_TEARDOWN(hold_revoke)
{
	close(self->fd);
	close(self->klog);
	p2p_release(&self->p2p);
	EXPECT_BACK(self);
}

/* Maps memory of a provider that was bound again. */
static bool map_again(struct _test_data_hold_revoke *self)
{
	if (p2p_bind(self->provider) || munmap(self->mem, SIZE))
		return false;
	self->mem = p2p_map(self->provider, SIZE);
	return self->mem != MAP_FAILED;
}

/* A hold of the test module. */
static struct p2p_test_hold hold_arg(struct _test_data_hold_revoke *self,
				     const struct hold_kind *kind)
{
	return (struct p2p_test_hold) {
		.addr = (uintptr_t)self->mem,
		.len = SIZE,
		.nr = 1,
		.ticket = kind->ticket,
		.by_file = kind->by_file,
		.write = 1,
		.arm = 1,
		.client = self->client,
		.has_client = 1,
	};
}

static bool says_waiting(struct _test_data_hold_revoke *self,
			 const struct hold_kind *kind, pid_t holder)
{
	return klog_wait(self->klog,
			 "%s: waiting for test %s of hold_revoke[%d], device %04x:%02x:%02x.%x, to let go of peer-to-peer memory",
			 self->provider, kind->ticket ? "ticket" : "lease", holder,
			 self->client.domain, self->client.bus, self->client.devfn >> 3,
			 self->client.devfn & 7);
}

/* revoke() takes the mmap_lock, and the client maps a lease for DMA. */
static unsigned int all_flags(struct _test_data_hold_revoke *self,
			      const struct hold_kind *kind)
{
	return P2P_TEST_HOLD_MMAP_LOCK |
	       (self->works && !kind->ticket ? P2P_TEST_HOLD_MAP : 0);
}

/* Revoked once, with the memory still present; revoke() may take time. */
TEST_F(hold_revoke, unbind)
{
	const struct hold_kind *kind;

	for_each_hold_kind(kind) {
		struct p2p_test_hold arg = hold_arg(self, kind);
		struct p2p_test_holds look;

		arg.flags = all_flags(self, kind);
		ASSERT_EQ(0, hold_call(self->fd, &arg)) KIND();
		ASSERT_EQ(0, p2p_unbind(self->provider)) KIND();
		look = hold_look(self->fd);
		EXPECT_EQ(1, look.nr_revoke) KIND();
		EXPECT_EQ(1, look.nr_revoked) KIND();
		EXPECT_EQ(0, look.nr_pause) KIND();
		EXPECT_EQ(0, look.nr_wrong) KIND();
		if (kind->ticket)
			EXPECT_EQ(-ENODEV, hold_use(self->fd)) KIND();
		EXPECT_EQ(SIGBUS, p2p_fault_of(self->mem, true)) KIND();

		/* The old hold does not apply to the new memory. */
		ASSERT_EQ(0, p2p_bind(self->provider));
		EXPECT_EQ(self->before, p2p_available(self->provider)) KIND();
		if (kind->ticket)
			EXPECT_EQ(-ENODEV, hold_use(self->fd)) KIND();
		EXPECT_EQ(0, hold_put(self->fd)) KIND();
		EXPECT_EQ(-EFAULT, hold(self->fd, kind, self->mem, SIZE, true)) KIND();
		ASSERT_EQ(0, p2p_unbind(self->provider));
		ASSERT_TRUE(map_again(self));
		close(self->fd);
		self->fd = HOLD_OPEN();
	}
}

/* The mapping and the process are gone. */
TEST_F(hold_revoke, without_mapping)
{
	const struct hold_kind *kind;
	pid_t child;

	for_each_hold_kind(kind) {
		unsigned int before = hold_revokes(self->fd);

		child = fork();
		ASSERT_LE(0, child);
		if (!child) {
			struct p2p_test_hold arg = hold_arg(self, kind);

			arg.flags = all_flags(self, kind);
			_exit(hold_call(self->fd, &arg) != 0);
		}
		ASSERT_EQ(0, p2p_wait(child)) KIND();
		ASSERT_EQ(0, munmap(self->mem, SIZE));
		self->mem = NULL;
		EXPECT_EQ(self->before - SIZE, p2p_available(self->provider));
		EXPECT_EQ(0, p2p_unbind(self->provider)) KIND();
		EXPECT_EQ(before + 1, hold_revokes(self->fd)) KIND();
		EXPECT_EQ(0, hold_look(self->fd).nr_wrong) KIND();
		EXPECT_EQ(0, hold_put(self->fd));
		ASSERT_EQ(0, p2p_bind(self->provider));
		self->mem = p2p_map(self->provider, SIZE);
		ASSERT_NE(MAP_FAILED, self->mem);
	}
}

/* Unbinding waits for a hold that is not armed yet; arming then fails. */
TEST_F(hold_revoke, before_it_is_armed)
{
	const struct hold_kind *kind;
	pid_t child;

	for (kind = hold_kinds; kind <= ticket; kind++) {
		struct p2p_test_hold arg = hold_arg(self, kind);

		arg.arm = 0;
		ASSERT_EQ(0, hold_call(self->fd, &arg)) KIND();
		child = start_unbind(self->provider);
		ASSERT_LT(0, child);
		EXPECT_TRUE(says_waiting(self, kind, getpid())) KIND();
		EXPECT_TRUE(still_runs(child)) KIND();
		EXPECT_EQ(-ENODEV, hold_arm(self->fd)) KIND();
		usleep(A_WHILE);
		EXPECT_TRUE(still_runs(child)) KIND();
		EXPECT_EQ(0, hold_put(self->fd)) KIND();
		EXPECT_EQ(0, p2p_wait(child)) KIND();
		EXPECT_EQ(0, hold_revokes(self->fd)) KIND();
		ASSERT_TRUE(map_again(self));
	}
}

/* Unbinding waits for a use, which does not delay other holders. */
TEST_F(hold_revoke, in_use)
{
	struct p2p_test_hold arg = hold_arg(self, ticket);
	int other = HOLD_OPEN(), late = HOLD_OPEN();
	pid_t child;

	ASSERT_EQ(0, hold_call(self->fd, &arg));
	ASSERT_EQ(0, hold_call(other, &arg));
	ASSERT_EQ(0, hold_use(self->fd));
	child = start_unbind(self->provider);
	ASSERT_LT(0, child);
	EXPECT_TRUE(hold_wait_revoked(self->fd));
	EXPECT_TRUE(hold_wait_revoked(other));
	EXPECT_EQ(-ENODEV, hold_use(self->fd));
	EXPECT_EQ(-ENODEV, hold_use(other));
	EXPECT_EQ(-EFAULT, hold(late, ticket, self->mem, SIZE, true));
	EXPECT_TRUE(says_waiting(self, ticket, getpid()));
	EXPECT_TRUE(still_runs(child));
	EXPECT_EQ(0, hold_put(other));
	/* The ticket may end before the use. */
	EXPECT_EQ(0, hold_put(self->fd));
	usleep(A_WHILE);
	EXPECT_TRUE(still_runs(child));
	EXPECT_EQ(0, hold_unuse(self->fd));
	EXPECT_EQ(0, p2p_wait(child));
	close(late);
	close(other);
}

/* revoke() ends the uses itself. */
TEST_F(hold_revoke, ends_uses)
{
	struct p2p_test_hold arg = hold_arg(self, ticket);

	arg.flags = P2P_TEST_HOLD_END_USES;
	ASSERT_EQ(0, hold_call(self->fd, &arg));
	ASSERT_EQ(0, hold_use(self->fd));
	ASSERT_EQ(0, hold_use(self->fd));
	EXPECT_EQ(0, p2p_unbind(self->provider));
	EXPECT_EQ(1, hold_revokes(self->fd));
	EXPECT_EQ(-EINVAL, hold_unuse(self->fd));
}

/* A revoke() that hangs is logged. Ending the hold meanwhile waits for it. */
TEST_F(hold_revoke, hangs)
{
	const struct hold_kind *kind;
	pid_t child;

	for (kind = hold_kinds; kind <= ticket; kind++) {
		struct p2p_test_hold arg = hold_arg(self, kind);
		unsigned int before = hold_revokes(self->fd);

		arg.delay = HANGS;
		ASSERT_EQ(0, hold_call(self->fd, &arg)) KIND();
		child = start_unbind(self->provider);
		ASSERT_LT(0, child);
		EXPECT_TRUE(says_waiting(self, kind, getpid())) KIND();
		EXPECT_EQ(0, hold_put(self->fd)) KIND();
		EXPECT_EQ(before + 1, hold_revokes(self->fd)) KIND();
		EXPECT_EQ(0, p2p_wait(child)) KIND();
		ASSERT_TRUE(map_again(self));
	}
}

TEST_F(hold_revoke, many)
{
	struct p2p_test_hold arg = hold_arg(self, lease);
	int other = HOLD_OPEN();

	arg.nr = MANY;
	ASSERT_EQ(0, hold_call(self->fd, &arg));
	arg.ticket = 1;
	ASSERT_EQ(0, hold_call(other, &arg));
	ASSERT_EQ(0, p2p_unbind(self->provider));
	EXPECT_EQ(MANY, hold_revokes(self->fd));
	EXPECT_EQ(MANY, hold_revokes(other));
	EXPECT_EQ(0, hold_look(self->fd).nr_wrong + hold_look(other).nr_wrong);
	EXPECT_FALSE(klog_said(self->klog, "to let go of", ""));
	close(other);
}

/* A lease ends with a reset, a ticket does not. */
TEST_F(hold_revoke, reset)
{
	const struct hold_kind *kind;

	if (!p2p_can_reset(self->provider))
		SKIP(return, "the device has no way to be reset");
	for_each_hold_kind(kind) {
		struct p2p_test_hold arg = hold_arg(self, kind);
		struct p2p_test_holds before = hold_look(self->fd), look;

		arg.flags = all_flags(self, kind);
		ASSERT_EQ(0, hold_call(self->fd, &arg)) KIND();
		ASSERT_EQ(0, p2p_reset(self->provider)) KIND();
		look = hold_look(self->fd);
		EXPECT_EQ(before.nr_revoke + !kind->ticket, look.nr_revoke) KIND();
		EXPECT_EQ(before.nr_pause + kind->ticket, look.nr_pause) KIND();
		EXPECT_EQ(!kind->ticket, look.nr_revoked) KIND();
		if (kind->ticket) {
			EXPECT_EQ(0, hold_wait(self->fd)) KIND();
			EXPECT_EQ(0, hold_use(self->fd)) KIND();
			EXPECT_EQ(0, hold_unuse(self->fd)) KIND();
		}
		EXPECT_EQ(0, hold_put(self->fd));
		/* The buffer still exists, and can be held again. */
		EXPECT_EQ(0, hold(self->fd, kind, self->mem, SIZE, true)) KIND();
		EXPECT_EQ(0, hold_put(self->fd));
	}
}

/* Adds 1 to a word; if it is not mapped, the fault keeps the mmap_lock. */
static int futex_add(void *word)
{
	uint32_t ram = 0;

	return p2p_result(syscall(__NR_futex, &ram, FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG,
				  1, 1UL, word,
				  FUTEX_OP(FUTEX_OP_ADD, 1, FUTEX_OP_CMP_EQ, 0)));
}

/*
 * revoke() takes the mmap_lock. A fault that can't drop the mmap_lock must not
 * wait for the reset. Another, slow revoke() is called first.
 */
TEST_F(hold_revoke, reset_meets_futex)
{
	struct p2p_test_hold first = hold_arg(self, lease), arg = first;
	int slow = HOLD_OPEN();
	uint64_t before;
	pid_t child;

	if (!p2p_can_reset(self->provider))
		SKIP(return, "the device has no way to be reset");
	p2p_store(self->mem, 1);
	ASSERT_EQ(0, futex_add(self->mem));
	EXPECT_EQ(2, p2p_load(self->mem));

	first.delay = HANGS;
	ASSERT_EQ(0, hold_call(slow, &first));
	arg.flags = P2P_TEST_HOLD_MMAP_LOCK;
	ASSERT_EQ(0, hold_call(self->fd, &arg));
	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		_exit(p2p_reset(self->provider));
	EXPECT_TRUE(hold_wait_revoked(self->fd));
	EXPECT_EQ(0, hold_revokes(self->fd));
	EXPECT_EQ(-EFAULT, futex_add(self->mem));
	EXPECT_EQ(0, p2p_wait(child));
	EXPECT_EQ(1, hold_revokes(self->fd));

	before = p2p_load(self->mem);
	EXPECT_EQ(0, futex_add(self->mem));
	EXPECT_EQ(before + 1, p2p_load(self->mem));
	close(slow);
}

/*
 * The reset waits for a use. With a pause() that ends uses it does not wait,
 * and logs nothing.
 */
TEST_F(hold_revoke, reset_in_use)
{
	struct p2p_test_hold arg = hold_arg(self, ticket);
	const char *const said = "resetting while peer-to-peer memory is still in use";
	pid_t child;

	if (!p2p_can_reset(self->provider))
		SKIP(return, "the device has no way to be reset");
	ASSERT_EQ(0, hold_call(self->fd, &arg));
	ASSERT_EQ(0, hold_use(self->fd));
	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		_exit(p2p_reset(self->provider));
	while (!hold_look(self->fd).nr_pause)
		usleep(500);
	usleep(A_WHILE);
	EXPECT_TRUE(still_runs(child));
	EXPECT_EQ(-EAGAIN, hold_use(self->fd));
	EXPECT_EQ(0, hold_unuse(self->fd));
	EXPECT_EQ(0, p2p_wait(child));
	EXPECT_EQ(0, hold_wait(self->fd));
	EXPECT_EQ(0, hold_use(self->fd));
	EXPECT_EQ(0, hold_unuse(self->fd));
	EXPECT_EQ(0, hold_put(self->fd));

	arg.flags = P2P_TEST_HOLD_END_USES;
	ASSERT_EQ(0, hold_call(self->fd, &arg));
	ASSERT_EQ(0, hold_use(self->fd));
	EXPECT_EQ(0, p2p_reset(self->provider));
	EXPECT_EQ(0, hold_wait(self->fd));
	EXPECT_FALSE(klog_said(self->klog, said, ""));
}

TEST_HARNESS_MAIN
