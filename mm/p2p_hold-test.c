// SPDX-License-Identifier: GPL-2.0
/* KUnit test of holds on peer-to-peer memory: their states, without any memory. */

#include <kunit/test.h>
#include <linux/delay.h>
#include <linux/device.h>
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/p2p_hold.h>
#include <linux/string.h>
#include <linux/workqueue.h>

/* How long to wait for something that has to happen, in milliseconds. */
#define PATIENCE	10000
/* How long to wait for something that must not. */
#define A_WHILE		50

static struct p2p_holds holds;
static struct address_space mapping;
static struct file file;
static struct device provider;

/* Calls of the holder's methods, and what the methods do besides counting. */
static struct {
	unsigned int nr_revoke;
	unsigned int nr_pause;
	void (*also)(struct p2p_hold *hold);
} called;

static void note_revoke(struct p2p_hold *hold)
{
	if (called.also)
		called.also(hold);
	WRITE_ONCE(called.nr_revoke, called.nr_revoke + 1);
}

static void note_pause(struct p2p_hold *hold)
{
	if (called.also)
		called.also(hold);
	called.nr_pause++;
}

static const struct p2p_hold_ops lease = {
	.name	= "lease",
	.mode	= P2P_HOLD_LEASE,
	.revoke	= note_revoke,
};

static const struct p2p_hold_ops ticket = {
	.name	= "ticket",
	.mode	= P2P_HOLD_TICKET,
	.revoke	= note_revoke,
	.pause	= note_pause,
};

/* A holder without methods. */
static const struct p2p_hold_ops plain_ticket = {
	.name	= "plain ticket",
	.mode	= P2P_HOLD_TICKET,
};

static int test_init(struct kunit *test)
{
	memset(&called, 0, sizeof(called));
	memset(&file, 0, sizeof(file));
	memset(&provider, 0, sizeof(provider));
	provider.init_name = "p2p-hold-test";
	atomic_long_set(&file.f_count, 1);
	file.f_mapping = &mapping;
	p2p_holds_init(&holds, &mapping, &provider);
	p2p_holds_go_live(&holds);
	return 0;
}

/* Tickets are freed a grace period later. */
static bool wait_no_holds(void)
{
	int i;

	for (i = 0; i < PATIENCE && file_count(&file) > 1; i++)
		usleep_range(1000, 2000);
	return file_count(&file) == 1;
}

/* All holds are freed, and with them their references to the file. */
static void test_exit(struct kunit *test)
{
	KUNIT_EXPECT_TRUE(test, wait_no_holds());
	KUNIT_EXPECT_TRUE(test, list_empty(&holds.list));
}

static struct p2p_hold *create(struct kunit *test, const struct p2p_hold_ops *ops)
{
	struct p2p_hold *hold = p2p_hold_create(&file, NULL, 0, ops, NULL, test);

	KUNIT_ASSERT_FALSE(test, IS_ERR(hold));
	return hold;
}

static struct p2p_hold *create_armed(struct kunit *test, const struct p2p_hold_ops *ops)
{
	struct p2p_hold *hold = create(test, ops);

	KUNIT_EXPECT_EQ(test, 0, p2p_hold_arm(hold));
	return hold;
}

static long create_error(const struct p2p_hold_ops *ops)
{
	struct p2p_hold *hold = p2p_hold_create(&file, NULL, 0, ops, NULL, NULL);

	if (IS_ERR(hold))
		return PTR_ERR(hold);
	p2p_hold_destroy(hold);
	return 0;
}

/* A call of p2p_holds_stop() in another thread. */
struct stop {
	struct work_struct work;
	enum p2p_holds_status how;
	bool done;
};

static void do_stop(struct work_struct *work)
{
	struct stop *stop = container_of(work, struct stop, work);

	p2p_holds_stop(&holds, stop->how);
	WRITE_ONCE(stop->done, true);
}

static void start_stop(struct stop *stop, enum p2p_holds_status how)
{
	stop->how = how;
	stop->done = false;
	INIT_WORK_ONSTACK(&stop->work, do_stop);
	queue_work(system_unbound_wq, &stop->work);
}

static void end_stop(struct stop *stop)
{
	flush_work(&stop->work);
	destroy_work_on_stack(&stop->work);
}

static bool wait_revoked(struct p2p_hold *hold)
{
	int i;

	for (i = 0; i < PATIENCE && !p2p_hold_is_revoked(hold); i++)
		usleep_range(1000, 2000);
	return p2p_hold_is_revoked(hold);
}

static void comes_and_goes(struct kunit *test)
{
	struct p2p_hold *hold;

	hold = create_armed(test, &lease);
	KUNIT_EXPECT_PTR_EQ(test, (void *)test, hold->private);
	KUNIT_EXPECT_EQ(test, 2, file_count(&file));
	p2p_hold_destroy(hold);
	KUNIT_EXPECT_EQ(test, 1, file_count(&file));

	/* Not armed. */
	p2p_hold_destroy(create(test, &lease));
	p2p_hold_destroy(create(test, &ticket));
	KUNIT_EXPECT_EQ(test, 1, file_count(&file));

	hold = create_armed(test, &ticket);
	KUNIT_EXPECT_EQ(test, 0, p2p_hold_begin_use(hold));
	KUNIT_EXPECT_EQ(test, 0, p2p_hold_begin_use(hold));
	p2p_hold_end_use(hold);
	p2p_hold_end_use(hold);
	p2p_hold_destroy(hold);
	KUNIT_EXPECT_EQ(test, 0, called.nr_revoke + called.nr_pause);
}

static void who_may(struct kunit *test)
{
	struct address_space none = {};

	p2p_holds_stop(&holds, P2P_HOLDS_PAUSED);
	KUNIT_EXPECT_EQ(test, -EAGAIN, create_error(&lease));
	KUNIT_EXPECT_EQ(test, 0, create_error(&ticket));
	p2p_holds_stop(&holds, P2P_HOLDS_LOST);
	KUNIT_EXPECT_EQ(test, -ENODEV, create_error(&lease));
	KUNIT_EXPECT_EQ(test, -ENODEV, create_error(&ticket));
	p2p_holds_go_live(&holds);
	KUNIT_EXPECT_EQ(test, 0, create_error(&lease));
	p2p_holds_stop(&holds, P2P_HOLDS_GONE);
	KUNIT_EXPECT_EQ(test, -ENODEV, create_error(&lease));
	KUNIT_EXPECT_EQ(test, -ENODEV, create_error(&ticket));

	file.f_mapping = &none;
	KUNIT_EXPECT_EQ(test, -EOPNOTSUPP, create_error(&ticket));
}

static void revoked_for_good(struct kunit *test)
{
	struct p2p_hold *hold = create_armed(test, &lease);

	KUNIT_EXPECT_FALSE(test, p2p_hold_is_revoked(hold));
	p2p_holds_stop(&holds, P2P_HOLDS_PAUSED);
	KUNIT_EXPECT_EQ(test, 1, called.nr_revoke);
	KUNIT_EXPECT_TRUE(test, p2p_hold_is_revoked(hold));
	KUNIT_EXPECT_FALSE(test, p2p_holds_are_busy(&holds));
	p2p_holds_go_live(&holds);
	KUNIT_EXPECT_TRUE(test, p2p_hold_is_revoked(hold));
	p2p_holds_stop(&holds, P2P_HOLDS_GONE);
	KUNIT_EXPECT_EQ(test, 1, called.nr_revoke);
	p2p_hold_destroy(hold);
}

/* p2p_hold_arm() fails, and revoke() is not called. */
static void revoked_before_armed(struct kunit *test)
{
	struct p2p_hold *hold = create(test, &lease);

	p2p_holds_stop(&holds, P2P_HOLDS_PAUSED);
	KUNIT_EXPECT_TRUE(test, p2p_holds_are_busy(&holds));
	KUNIT_EXPECT_EQ(test, -ENODEV, p2p_hold_arm(hold));
	KUNIT_EXPECT_TRUE(test, p2p_holds_are_busy(&holds));
	p2p_hold_destroy(hold);
	KUNIT_EXPECT_FALSE(test, p2p_holds_are_busy(&holds));
	KUNIT_EXPECT_EQ(test, 0, called.nr_revoke);
}

/* Removal waits for unarmed holds, too. */
static void removal_awaits_unarmed(struct kunit *test)
{
	const struct p2p_hold_ops *const all[] = { &lease, &ticket };
	struct p2p_hold *hold;
	struct stop stop;
	int i;

	for (i = 0; i < ARRAY_SIZE(all); i++) {
		p2p_holds_go_live(&holds);
		hold = create(test, all[i]);
		start_stop(&stop, P2P_HOLDS_GONE);
		KUNIT_EXPECT_TRUE(test, wait_revoked(hold));
		KUNIT_EXPECT_EQ(test, -ENODEV, p2p_hold_arm(hold));
		msleep(A_WHILE);
		KUNIT_EXPECT_FALSE(test, READ_ONCE(stop.done));
		p2p_hold_destroy(hold);
		end_stop(&stop);
	}
	KUNIT_EXPECT_EQ(test, 0, called.nr_revoke);
}

static void ticket_survives_reset(struct kunit *test)
{
	struct p2p_hold *hold = create_armed(test, &ticket);
	struct p2p_hold *late;

	p2p_holds_stop(&holds, P2P_HOLDS_PAUSED);
	KUNIT_EXPECT_EQ(test, 1, called.nr_pause);
	KUNIT_EXPECT_EQ(test, -EAGAIN, p2p_hold_begin_use(hold));
	/* A ticket that is created during a reset is usable afterwards. */
	late = create_armed(test, &plain_ticket);
	KUNIT_EXPECT_EQ(test, -EAGAIN, p2p_hold_begin_use(late));
	p2p_holds_go_live(&holds);
	KUNIT_EXPECT_EQ(test, 0, p2p_hold_begin_use(late));
	p2p_hold_end_use(late);
	KUNIT_EXPECT_EQ(test, 0, p2p_hold_wait_usable(hold));
	KUNIT_EXPECT_EQ(test, 0, p2p_hold_begin_use(hold));
	p2p_hold_end_use(hold);

	p2p_holds_stop(&holds, P2P_HOLDS_LOST);
	KUNIT_EXPECT_EQ(test, 2, called.nr_pause);
	KUNIT_EXPECT_EQ(test, -ENODEV, p2p_hold_begin_use(hold));
	KUNIT_EXPECT_EQ(test, -ENODEV, p2p_hold_wait_usable(hold));
	p2p_holds_go_live(&holds);
	KUNIT_EXPECT_EQ(test, 0, p2p_hold_wait_usable(hold));

	KUNIT_EXPECT_EQ(test, 0, called.nr_revoke);
	p2p_holds_stop(&holds, P2P_HOLDS_GONE);
	KUNIT_EXPECT_EQ(test, 1, called.nr_revoke);
	KUNIT_EXPECT_EQ(test, -ENODEV, p2p_hold_begin_use(hold));
	p2p_hold_destroy(hold);
	p2p_hold_destroy(late);
}

/* A use ends only after a reset that did not wait for it. */
static void use_outlasts_reset(struct kunit *test)
{
	struct p2p_hold *hold = create_armed(test, &plain_ticket);

	KUNIT_ASSERT_EQ(test, 0, p2p_hold_begin_use(hold));
	p2p_holds_stop(&holds, P2P_HOLDS_PAUSED);
	/* Still true after the grace period of the counter. */
	msleep(A_WHILE);
	KUNIT_EXPECT_TRUE(test, p2p_holds_are_busy(&holds));
	p2p_holds_go_live(&holds);
	KUNIT_EXPECT_EQ(test, -EAGAIN, p2p_hold_begin_use(hold));
	p2p_hold_end_use(hold);
	KUNIT_EXPECT_EQ(test, 0, p2p_hold_wait_usable(hold));
	KUNIT_EXPECT_EQ(test, 0, p2p_hold_begin_use(hold));
	p2p_hold_end_use(hold);
	p2p_hold_destroy(hold);
}

/* A counter reaches 0 a grace period later. */
static bool wait_idle(void)
{
	int i;

	for (i = 0; i < PATIENCE && p2p_holds_are_busy(&holds); i++)
		usleep_range(1000, 2000);
	return !p2p_holds_are_busy(&holds);
}

/* Each reset calls pause() until the use has ended. */
static void told_each_time(struct kunit *test)
{
	struct p2p_hold *hold = create_armed(test, &ticket);

	KUNIT_ASSERT_EQ(test, 0, p2p_hold_begin_use(hold));
	p2p_holds_stop(&holds, P2P_HOLDS_PAUSED);
	KUNIT_EXPECT_EQ(test, 1, called.nr_pause);
	p2p_holds_go_live(&holds);
	p2p_holds_stop(&holds, P2P_HOLDS_PAUSED);
	KUNIT_EXPECT_EQ(test, 2, called.nr_pause);
	p2p_holds_stop(&holds, P2P_HOLDS_LOST);
	KUNIT_EXPECT_EQ(test, 3, called.nr_pause);

	/* No call of pause() while there can't be a use. */
	p2p_hold_end_use(hold);
	KUNIT_EXPECT_TRUE(test, wait_idle());
	p2p_holds_stop(&holds, P2P_HOLDS_PAUSED);
	KUNIT_EXPECT_EQ(test, 3, called.nr_pause);
	p2p_holds_go_live(&holds);
	KUNIT_EXPECT_EQ(test, 0, p2p_hold_wait_usable(hold));
	p2p_hold_destroy(hold);
}

static void removal_awaits_use(struct kunit *test)
{
	struct p2p_hold *hold = create_armed(test, &ticket);
	struct stop stop;

	KUNIT_ASSERT_EQ(test, 0, p2p_hold_begin_use(hold));
	start_stop(&stop, P2P_HOLDS_GONE);
	KUNIT_EXPECT_TRUE(test, wait_revoked(hold));
	KUNIT_EXPECT_EQ(test, -ENODEV, p2p_hold_begin_use(hold));
	msleep(A_WHILE);
	KUNIT_EXPECT_FALSE(test, READ_ONCE(stop.done));
	p2p_hold_end_use(hold);
	end_stop(&stop);
	KUNIT_EXPECT_EQ(test, 1, called.nr_revoke);
	p2p_hold_destroy(hold);
}

/* A use keeps the buffer after the hold was destroyed. */
static void use_outlasts_hold(struct kunit *test)
{
	struct p2p_hold *hold = create_armed(test, &ticket);
	struct stop stop;

	KUNIT_ASSERT_EQ(test, 0, p2p_hold_begin_use(hold));
	p2p_hold_destroy(hold);
	start_stop(&stop, P2P_HOLDS_GONE);
	msleep(A_WHILE);
	KUNIT_EXPECT_FALSE(test, READ_ONCE(stop.done));
	KUNIT_EXPECT_EQ(test, 2, file_count(&file));
	p2p_hold_end_use(hold);
	end_stop(&stop);
	KUNIT_EXPECT_EQ(test, 0, called.nr_revoke);
}

static void end_the_use(struct p2p_hold *hold)
{
	p2p_hold_end_use(hold);
}

/* As move_notify() of a dma-buf importer may do. */
static void called_to_end_uses(struct kunit *test)
{
	struct p2p_hold *hold = create_armed(test, &ticket);

	called.also = end_the_use;
	KUNIT_ASSERT_EQ(test, 0, p2p_hold_begin_use(hold));
	p2p_holds_stop(&holds, P2P_HOLDS_PAUSED);
	KUNIT_EXPECT_EQ(test, 1, called.nr_pause);
	p2p_holds_go_live(&holds);
	KUNIT_ASSERT_EQ(test, 0, p2p_hold_wait_usable(hold));
	KUNIT_ASSERT_EQ(test, 0, p2p_hold_begin_use(hold));
	p2p_holds_stop(&holds, P2P_HOLDS_GONE);
	KUNIT_EXPECT_EQ(test, 1, called.nr_revoke);
	p2p_hold_destroy(hold);
}

static DEFINE_MUTEX(holders_lock);
static struct p2p_hold *another;

static void create_and_destroy(struct p2p_hold *hold)
{
	mutex_lock(&holders_lock);
	WARN_ON(!IS_ERR(p2p_hold_create(&file, NULL, 0, &lease, NULL, NULL)));
	if (another && another != hold)
		p2p_hold_destroy(another);
	another = NULL;
	mutex_unlock(&holders_lock);
}

/* revoke() may take a lock under which holds of a file come and go. */
static void revoke_takes_locks(struct kunit *test)
{
	struct p2p_hold *hold = create_armed(test, &lease);

	another = create_armed(test, &plain_ticket);
	called.also = create_and_destroy;
	p2p_holds_stop(&holds, P2P_HOLDS_GONE);
	KUNIT_EXPECT_EQ(test, 1, called.nr_revoke);
	KUNIT_EXPECT_PTR_EQ(test, NULL, another);
	p2p_hold_destroy(hold);
}

static bool revoke_began;

static void take_a_while(struct p2p_hold *hold)
{
	WRITE_ONCE(revoke_began, true);
	msleep(A_WHILE);
}

static void destroy_awaits_revoke(struct kunit *test)
{
	struct p2p_hold *hold = create_armed(test, &lease);
	struct stop stop;

	revoke_began = false;
	called.also = take_a_while;
	start_stop(&stop, P2P_HOLDS_GONE);
	while (!READ_ONCE(revoke_began))
		usleep_range(1000, 2000);
	p2p_hold_destroy(hold);
	KUNIT_EXPECT_EQ(test, 1, READ_ONCE(called.nr_revoke));
	end_stop(&stop);
}

/* A failure during a reset, while revoke() is running. */
static void stops_take_turns(struct kunit *test)
{
	struct p2p_hold *hold = create_armed(test, &lease);
	struct stop stop;

	revoke_began = false;
	called.also = take_a_while;
	start_stop(&stop, P2P_HOLDS_PAUSED);
	while (!READ_ONCE(revoke_began))
		usleep_range(1000, 2000);
	p2p_holds_stop(&holds, P2P_HOLDS_LOST);
	KUNIT_EXPECT_EQ(test, 1, READ_ONCE(called.nr_revoke));
	end_stop(&stop);
	KUNIT_EXPECT_EQ(test, 1, called.nr_revoke);
	p2p_hold_destroy(hold);
}

/* A task that waits for a ticket, maybe with a lock that revoke() takes. */
static struct {
	struct work_struct work;
	struct p2p_hold *hold;
	int error;
	bool done;
	bool in_time;
} waiter;

static void do_wait(struct work_struct *work)
{
	waiter.error = p2p_hold_wait_usable(waiter.hold);
	WRITE_ONCE(waiter.done, true);
}

static void await_waiter(struct p2p_hold *hold)
{
	int i;

	for (i = 0; i < PATIENCE && !READ_ONCE(waiter.done); i++)
		usleep_range(1000, 2000);
	waiter.in_time = waiter.in_time && READ_ONCE(waiter.done);
}

static void waiters_come_first(struct kunit *test)
{
	/* Its revoke() is the first to be called. */
	struct p2p_hold *hold = create_armed(test, &ticket);

	memset(&waiter, 0, sizeof(waiter));
	waiter.in_time = true;
	waiter.hold = create_armed(test, &ticket);
	INIT_WORK(&waiter.work, do_wait);
	p2p_holds_stop(&holds, P2P_HOLDS_PAUSED);
	queue_work(system_unbound_wq, &waiter.work);
	msleep(A_WHILE);
	KUNIT_EXPECT_FALSE(test, READ_ONCE(waiter.done));

	called.also = await_waiter;
	p2p_holds_stop(&holds, P2P_HOLDS_GONE);
	KUNIT_EXPECT_EQ(test, 2, called.nr_revoke);
	KUNIT_EXPECT_TRUE(test, waiter.in_time);
	flush_work(&waiter.work);
	KUNIT_EXPECT_EQ(test, -ENODEV, waiter.error);
	p2p_hold_destroy(waiter.hold);
	p2p_hold_destroy(hold);
}

static struct kunit_case p2p_hold_cases[] = {
	KUNIT_CASE(comes_and_goes),
	KUNIT_CASE(who_may),
	KUNIT_CASE(revoked_for_good),
	KUNIT_CASE(revoked_before_armed),
	KUNIT_CASE(removal_awaits_unarmed),
	KUNIT_CASE(ticket_survives_reset),
	KUNIT_CASE(use_outlasts_reset),
	KUNIT_CASE(told_each_time),
	KUNIT_CASE(removal_awaits_use),
	KUNIT_CASE(use_outlasts_hold),
	KUNIT_CASE(called_to_end_uses),
	KUNIT_CASE(revoke_takes_locks),
	KUNIT_CASE(destroy_awaits_revoke),
	KUNIT_CASE(stops_take_turns),
	KUNIT_CASE(waiters_come_first),
	{}
};

static struct kunit_suite p2p_hold_suite = {
	.name = "p2p-hold",
	.init = test_init,
	.exit = test_exit,
	.test_cases = p2p_hold_cases,
};

kunit_test_suite(p2p_hold_suite);
