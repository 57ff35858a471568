// SPDX-License-Identifier: GPL-2.0
/*
 * RDMA memory regions in peer-to-peer memory, on an adapter whose driver can
 * revoke them: registration, work requests, and revocation when the provider is
 * unbound. The two queue pairs are connected to each other.
 *
 * P2P_RDMA is the name of the adapter.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <infiniband/verbs.h>
#include <linux/pci_regs.h>
#include <net/if.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "removal.h"
#include "variants.h"

#define SIZE		(3 * MIB)
#define PIECE		(64 * KIB)
#define ALL_RIGHTS	(IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_WRITE)
#define NOBODY		65534
#define PATIENCE	10
#define RESETS		20
#define SIGNALS		200
#define FAIL_REVOKE	"/sys/module/ib_uverbs/parameters/fail_revoke"

struct end {
	struct ibv_cq *cq;
	struct ibv_qp *qp;
};

FIXTURE(rdma_mr)
{
	P2P_FIXTURE;
	struct ibv_context *context;
	struct ibv_pd *pd;
	union ibv_gid gid;
	int gid_index;
	struct end ends[2];
	struct ibv_mr *far;	/* of peer-to-peer memory */
	struct ibv_mr *near;	/* of RAM */
};

P2P_VARIANTS(rdma_mr, P2P_BAR_DRIVER, NULL);

static struct ibv_context *open_adapter(void)
{
	const char *name = getenv("P2P_RDMA");
	struct ibv_device **list = ibv_get_device_list(NULL);
	struct ibv_context *context = NULL;
	int i;

	for (i = 0; list && list[i] && !context; i++)
		if (!strcmp(ibv_get_device_name(list[i]), name))
			context = ibv_open_device(list[i]);
	if (list)
		ibv_free_device_list(list);
	return context;
}

/* For a child: resources in its parent's context would outlive it. */
static struct ibv_pd *open_pd(void)
{
	struct ibv_context *context = open_adapter();

	return context ? ibv_alloc_pd(context) : NULL;
}

/* Brings up all network interfaces, including the adapter's. */
static void bring_up(void)
{
	struct if_nameindex *all = if_nameindex(), *one;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	for (one = all; one && one->if_index; one++) {
		struct ifreq request = {};

		snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", one->if_name);
		request.ifr_flags = IFF_UP;
		ioctl(fd, SIOCSIFFLAGS, &request);
	}
	if (all)
		if_freenameindex(all);
	close(fd);
}

/* Finds the first GID. The port gets one some time after it is up. */
static bool find_gid(struct _test_data_rdma_mr *self)
{
	time_t last = time(NULL) + PATIENCE;
	static const union ibv_gid none;
	int i;

	do {
		for (i = 0; i < 4; i++) {
			if (ibv_query_gid(self->context, 1, i, &self->gid) ||
			    !memcmp(&self->gid, &none, sizeof(none)))
				continue;
			self->gid_index = i;
			return true;
		}
		usleep(10000);
	} while (time(NULL) <= last);
	return false;
}

static bool make_end(struct _test_data_rdma_mr *self, struct end *end)
{
	struct ibv_qp_init_attr init = {
		.qp_type = IBV_QPT_RC,
		.cap = {
			.max_send_wr = 16, .max_recv_wr = 16,
			.max_send_sge = 1, .max_recv_sge = 1,
		},
		.sq_sig_all = 1,
	};
	struct ibv_qp_attr attr = {
		.qp_state = IBV_QPS_INIT, .port_num = 1,
		.qp_access_flags = ALL_RIGHTS,
	};

	end->cq = ibv_create_cq(self->context, 64, NULL, NULL, 0);
	if (!end->cq)
		return false;
	init.send_cq = end->cq;
	init.recv_cq = end->cq;
	end->qp = ibv_create_qp(self->pd, &init);
	return end->qp &&
	       !ibv_modify_qp(end->qp, &attr, IBV_QP_STATE | IBV_QP_PKEY_INDEX |
					      IBV_QP_PORT | IBV_QP_ACCESS_FLAGS);
}

static bool connect_end(struct _test_data_rdma_mr *self, struct end *end, struct end *peer)
{
	struct ibv_qp_attr attr = {
		.qp_state = IBV_QPS_RTR, .path_mtu = IBV_MTU_1024,
		.dest_qp_num = peer->qp->qp_num, .max_dest_rd_atomic = 1,
		.min_rnr_timer = 12,
		.ah_attr = {
			.is_global = 1, .port_num = 1,
			.grh = {
				.dgid = self->gid, .sgid_index = self->gid_index,
				.hop_limit = 1,
			},
		},
	};

	if (ibv_modify_qp(end->qp, &attr, IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU |
			  IBV_QP_DEST_QPN | IBV_QP_RQ_PSN | IBV_QP_MAX_DEST_RD_ATOMIC |
			  IBV_QP_MIN_RNR_TIMER))
		return false;
	attr.qp_state = IBV_QPS_RTS;
	attr.timeout = 14;
	attr.retry_cnt = 7;
	attr.rnr_retry = 7;
	attr.max_rd_atomic = 1;
	return !ibv_modify_qp(end->qp, &attr, IBV_QP_STATE | IBV_QP_TIMEOUT |
			      IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_SQ_PSN |
			      IBV_QP_MAX_QP_RD_ATOMIC);
}

static void destroy_ends(struct _test_data_rdma_mr *self)
{
	int i;

	for (i = 0; i < 2; i++) {
		if (self->ends[i].qp)
			ibv_destroy_qp(self->ends[i].qp);
		if (self->ends[i].cq)
			ibv_destroy_cq(self->ends[i].cq);
	}
	memset(self->ends, 0, sizeof(self->ends));
}

/* Connects the queue pairs, also again after an error. */
static bool connect_ends(struct _test_data_rdma_mr *self)
{
	destroy_ends(self);
	return make_end(self, &self->ends[0]) && make_end(self, &self->ends[1]) &&
	       connect_end(self, &self->ends[0], &self->ends[1]) &&
	       connect_end(self, &self->ends[1], &self->ends[0]);
}

/*
 * The fixture's resources of the adapter; tests may release and set them up
 * again.
 */
static bool set_up_adapter(struct _test_data_rdma_mr *self)
{
	self->context = open_adapter();
	if (!self->context)
		return false;
	self->pd = ibv_alloc_pd(self->context);
	if (!self->pd)
		return false;
	bring_up();
	if (!find_gid(self) || !connect_ends(self))
		return false;
	self->near = ibv_reg_mr(self->pd, self->ram, SIZE, ALL_RIGHTS);
	self->far = ibv_reg_mr(self->pd, self->mem, SIZE, ALL_RIGHTS);
	return self->near && self->far;
}

static int release_adapter(struct _test_data_rdma_mr *self)
{
	int error = 0;

	destroy_ends(self);
	if (self->far)
		error |= ibv_dereg_mr(self->far);
	if (self->near)
		error |= ibv_dereg_mr(self->near);
	if (self->pd)
		error |= ibv_dealloc_pd(self->pd);
	if (self->context)
		error |= ibv_close_device(self->context);
	self->far = NULL;
	self->near = NULL;
	self->pd = NULL;
	self->context = NULL;
	return error;
}

FIXTURE_SETUP(rdma_mr)
{
	if (!getenv("P2P_RDMA"))
		SKIP(p2p_skip_now(), "P2P_RDMA is not set");
	ASSERT_TRUE(p2p_setup(&self->p2p, &variant->p2p, SIZE));
	ASSERT_TRUE(p2p_setup_ram(&self->p2p));
	ASSERT_TRUE(set_up_adapter(self));
}

FIXTURE_TEARDOWN(rdma_mr)
{
	if (!access(FAIL_REVOKE, W_OK))
		EXPECT_EQ(0, p2p_write_file(FAIL_REVOKE, "0"));
	EXPECT_EQ(0, release_adapter(self));
	p2p_release(&self->p2p);
	EXPECT_BACK(self);
}

/* The status of the next completion, or -1 if there is none. */
static int next_completion(struct end *end)
{
	time_t last = time(NULL) + PATIENCE;
	struct ibv_wc wc;
	int nr;

	do {
		nr = ibv_poll_cq(end->cq, 1, &wc);
		if (nr > 0)
			return wc.status;
		usleep(100);
	} while (!nr && time(NULL) <= last);
	return -1;
}

static int post_receive(struct end *end, struct ibv_mr *mr, size_t offset)
{
	struct ibv_sge sge = {
		.addr = (uintptr_t)mr->addr + offset, .length = PIECE, .lkey = mr->lkey,
	};
	struct ibv_recv_wr wr = { .sg_list = &sge, .num_sge = 1 }, *bad;

	return ibv_post_recv(end->qp, &wr, &bad);
}

static int post(struct end *end, enum ibv_wr_opcode opcode, struct ibv_mr *mr, size_t offset,
		struct ibv_mr *remote, size_t remote_offset)
{
	struct ibv_sge sge = {
		.addr = (uintptr_t)mr->addr + offset, .length = PIECE, .lkey = mr->lkey,
	};
	struct ibv_send_wr wr = {
		.sg_list = &sge, .num_sge = 1, .opcode = opcode,
		.send_flags = IBV_SEND_SIGNALED,
	}, *bad;

	if (remote) {
		wr.wr.rdma.remote_addr = (uintptr_t)remote->addr + remote_offset;
		wr.wr.rdma.rkey = remote->rkey;
	}
	return ibv_post_send(end->qp, &wr, &bad);
}

/* Sends from one region to another; returns the sender's status. */
static int send_piece(struct _test_data_rdma_mr *self, struct ibv_mr *from, size_t from_offset,
		      struct ibv_mr *to, size_t to_offset)
{
	int status;

	if (post_receive(&self->ends[1], to, to_offset) ||
	    post(&self->ends[0], IBV_WR_SEND, from, from_offset, NULL, 0))
		return -1;
	status = next_completion(&self->ends[0]);
	if (!status && next_completion(&self->ends[1]))
		return -1;
	return status;
}

static int rdma(struct _test_data_rdma_mr *self, enum ibv_wr_opcode opcode,
		struct ibv_mr *local, size_t offset, struct ibv_mr *remote, size_t remote_offset)
{
	if (post(&self->ends[0], opcode, local, offset, remote, remote_offset))
		return -1;
	return next_completion(&self->ends[0]);
}

/*
 * The adapter reads and writes the provider's memory, which the counter shows.
 */
TEST_F(rdma_mr, send)
{
	long long before = p2p_number(self->provider, "p2pmem/dma_bus_bytes");
	struct ibv_mr *again;

	p2p_fill(self->ram, PIECE, 1, 0);
	ASSERT_EQ(0, send_piece(self, self->near, 0, self->far, SIZE - PIECE));
	EXPECT_EQ(-1, p2p_differs(self->mem + SIZE - PIECE, PIECE, 1, 0));
	p2p_fill(self->mem + PIECE, PIECE, 2, 0);
	ASSERT_EQ(0, send_piece(self, self->far, PIECE, self->near, PIECE));
	EXPECT_EQ(-1, p2p_differs(self->ram + PIECE, PIECE, 2, 0));
	ASSERT_EQ(0, send_piece(self, self->far, PIECE, self->far, 8 * PIECE));
	EXPECT_EQ(-1, p2p_differs(self->mem + 8 * PIECE, PIECE, 2, 0));

	again = ibv_reg_mr(self->pd, self->mem, SIZE, ALL_RIGHTS);
	ASSERT_NE(NULL, again);
	EXPECT_EQ(before + SIZE, p2p_number(self->provider, "p2pmem/dma_bus_bytes"));
	EXPECT_EQ(0, ibv_dereg_mr(again));
}

TEST_F(rdma_mr, write_and_read)
{
	p2p_fill(self->ram, PIECE, 1, 0);
	ASSERT_EQ(0, rdma(self, IBV_WR_RDMA_WRITE, self->near, 0, self->far, 2 * PIECE));
	EXPECT_EQ(-1, p2p_differs(self->mem + 2 * PIECE, PIECE, 1, 0));
	p2p_fill(self->mem, PIECE, 2, 0);
	ASSERT_EQ(0, rdma(self, IBV_WR_RDMA_WRITE, self->far, 0, self->near, PIECE));
	EXPECT_EQ(-1, p2p_differs(self->ram + PIECE, PIECE, 2, 0));

	p2p_fill(self->mem, PIECE, 3, 0);
	ASSERT_EQ(0, rdma(self, IBV_WR_RDMA_READ, self->near, 0, self->far, 0));
	EXPECT_EQ(-1, p2p_differs(self->ram, PIECE, 3, 0));
	p2p_fill(self->ram, PIECE, 4, 0);
	ASSERT_EQ(0, rdma(self, IBV_WR_RDMA_READ, self->far, PIECE, self->near, 0));
	EXPECT_EQ(-1, p2p_differs(self->mem + PIECE, PIECE, 4, 0));
}

/* Tests of revoked regions rely on this: an invalid key is refused. */
TEST_F(rdma_mr, wrong_key)
{
	struct ibv_mr wrong = *self->far;

	wrong.rkey ^= 1 << 8;
	EXPECT_EQ(IBV_WC_REM_ACCESS_ERR,
		  rdma(self, IBV_WR_RDMA_WRITE, self->near, 0, &wrong, 0));
	ASSERT_TRUE(connect_ends(self));
	EXPECT_EQ(0, rdma(self, IBV_WR_RDMA_WRITE, self->near, 0, self->far, 0));
}

/* Any offset, not only multiples of the page size. */
TEST_F(rdma_mr, unaligned)
{
	char *start = self->mem + self->page + 256;
	struct ibv_mr *mr = ibv_reg_mr(self->pd, start, 2 * PIECE + 3, ALL_RIGHTS);

	ASSERT_NE(NULL, mr);
	p2p_fill(self->ram, PIECE, 5, 0);
	ASSERT_EQ(0, send_piece(self, self->near, 0, mr, 8));
	EXPECT_EQ(-1, p2p_differs(start + 8, PIECE, 5, 0));
	EXPECT_EQ(0, ibv_dereg_mr(mr));
}

TEST_F(rdma_mr, read_only)
{
	ASSERT_EQ(0, mprotect(self->mem, SIZE, PROT_READ));
	errno = 0;
	EXPECT_EQ(NULL, ibv_reg_mr(self->pd, self->mem, SIZE, ALL_RIGHTS));
	EXPECT_EQ(EFAULT, errno);
	ASSERT_EQ(0, ibv_dereg_mr(self->far));
	self->far = ibv_reg_mr(self->pd, self->mem, SIZE, 0);
	ASSERT_NE(NULL, self->far);
	EXPECT_EQ(0, send_piece(self, self->far, 0, self->near, 0));
}

TEST_F(rdma_mr, several_buffers)
{
	char *mem = mmap(NULL, 2 * PIECE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int i, fd = p2p_open(self->provider, O_RDWR);

	for (i = 0; i < 2; i++)
		ASSERT_EQ(mem + i * PIECE,
			  mmap(mem + i * PIECE, PIECE, PROT_READ | PROT_WRITE,
			       MAP_SHARED | MAP_FIXED, fd, 0));
	close(fd);
	errno = 0;
	EXPECT_EQ(NULL, ibv_reg_mr(self->pd, mem, 2 * PIECE, ALL_RIGHTS));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(0, munmap(mem, 2 * PIECE));
}

/*
 * Re-registration is refused, though adapters may support it for RAM. The
 * region is unchanged.
 */
TEST_F(rdma_mr, rereg)
{
	if (ibv_rereg_mr(self->near, IBV_REREG_MR_CHANGE_ACCESS, NULL, NULL, 0, ALL_RIGHTS))
		SKIP(return, "the adapter can't reregister regions");
	errno = 0;
	EXPECT_NE(0, ibv_rereg_mr(self->far, IBV_REREG_MR_CHANGE_ACCESS, NULL, NULL, 0,
				  ALL_RIGHTS));
	EXPECT_EQ(EOPNOTSUPP, errno);
	EXPECT_EQ(0, send_piece(self, self->near, 0, self->far, 0));
}

/* The region keeps the memory. */
TEST_F(rdma_mr, outlives_mapping)
{
	p2p_fill(self->mem, PIECE, 6, 0);
	ASSERT_EQ(0, munmap(self->mem, SIZE));
	self->mem = NULL;
	EXPECT_EQ(self->before - SIZE, p2p_available(self->provider));
	ASSERT_EQ(0, send_piece(self, self->far, 0, self->near, 0));
	EXPECT_EQ(-1, p2p_differs(self->ram, PIECE, 6, 0));
	EXPECT_EQ(0, ibv_dereg_mr(self->far));
	self->far = NULL;
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

/* It does not count as locked memory, unlike RAM. */
TEST_F(rdma_mr, no_memlock)
{
	const struct rlimit none = { 0, 0 };
	struct ibv_mr *mr;
	pid_t child;

	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		if (setrlimit(RLIMIT_MEMLOCK, &none) || setuid(NOBODY))
			_exit(1);
		if (ibv_reg_mr(self->pd, self->ram, SIZE, ALL_RIGHTS))
			_exit(2);
		mr = ibv_reg_mr(self->pd, self->mem, SIZE, ALL_RIGHTS);
		_exit(mr ? ibv_dereg_mr(mr) : 3);
	}
	EXPECT_EQ(0, p2p_wait(child));
}

TEST_F(rdma_mr, killed)
{
	int ready[2];
	pid_t child;
	char byte;

	ASSERT_EQ(0, pipe(ready));
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		struct ibv_pd *pd = open_pd();
		void *mem = p2p_map(self->provider, SIZE);

		if (pd && mem != MAP_FAILED && ibv_reg_mr(pd, mem, SIZE, ALL_RIGHTS) &&
		    write(ready[1], "", 1) == 1)
			pause();
		_exit(1);
	}
	close(ready[1]);
	EXPECT_EQ(1, read(ready[0], &byte, 1));
	close(ready[0]);
	EXPECT_EQ(self->before - 2 * SIZE, p2p_available(self->provider));
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	EXPECT_TRUE(p2p_settles(self->provider, self->before - SIZE));
}

/* Any use of the region afterwards fails. */
TEST_F(rdma_mr, unbind)
{
	static const enum ibv_wr_opcode opcodes[] = { IBV_WR_RDMA_WRITE, IBV_WR_RDMA_READ };
	unsigned int i;

	ASSERT_EQ(0, send_piece(self, self->near, 0, self->far, 0));
	ASSERT_EQ(0, p2p_unbind(self->provider));
	/* as the source, as the destination, and by RDMA */
	EXPECT_LT(0, send_piece(self, self->far, 0, self->near, 0));
	ASSERT_TRUE(connect_ends(self));
	ASSERT_EQ(0, post_receive(&self->ends[1], self->far, 0));
	EXPECT_LT(0, next_completion(&self->ends[1]));
	for (i = 0; i < 2; i++) {
		ASSERT_TRUE(connect_ends(self));
		EXPECT_EQ(IBV_WC_REM_ACCESS_ERR,
			  rdma(self, opcodes[i], self->near, 0, self->far, 0));
	}
	ASSERT_TRUE(connect_ends(self));
	EXPECT_EQ(0, send_piece(self, self->near, 0, self->near, PIECE));
	errno = 0;
	EXPECT_EQ(NULL, ibv_reg_mr(self->pd, self->mem, SIZE, ALL_RIGHTS));
	EXPECT_EQ(EFAULT, errno);
}

/*
 * A receive posted before unbinding: it must not write to memory that has a new
 * owner, and the sender gets an error.
 */
TEST_F(rdma_mr, posted_before)
{
	size_t all = self->before;
	char *mem;

	ASSERT_EQ(0, post_receive(&self->ends[1], self->far, 0));
	ASSERT_EQ(0, p2p_unbind(self->provider));
	ASSERT_EQ(0, p2p_bind(self->provider));
	mem = p2p_map(self->provider, all);
	ASSERT_NE(MAP_FAILED, mem);
	p2p_fill(mem, all, 9, 0);
	ASSERT_EQ(0, post(&self->ends[0], IBV_WR_SEND, self->near, 0, NULL, 0));
	EXPECT_EQ(IBV_WC_REM_OP_ERR, next_completion(&self->ends[0]));
	EXPECT_EQ(IBV_WC_LOC_PROT_ERR, next_completion(&self->ends[1]));
	EXPECT_EQ(-1, p2p_differs(mem, all, 9, 0));
	EXPECT_EQ(0, munmap(mem, all));
}

/* Memory windows are refused: their keys would outlive the region. */
TEST_F(rdma_mr, window)
{
	int klog = klog_open();

	errno = 0;
	EXPECT_EQ(NULL, ibv_reg_mr(self->pd, self->mem, SIZE, ALL_RIGHTS | IBV_ACCESS_MW_BIND));
	EXPECT_EQ(EREMOTEIO, errno);
	EXPECT_TRUE(klog_said(klog, getenv("P2P_RDMA"), "no memory window"));
	close(klog);
}

/*
 * New regions of the newly bound provider work, whether old ones are
 * deregistered or not.
 */
TEST_F(rdma_mr, bound_again)
{
	struct ibv_mr *mr;
	char *mem;

	ASSERT_EQ(0, p2p_unbind(self->provider));
	ASSERT_EQ(0, p2p_bind(self->provider));
	EXPECT_EQ(self->before, p2p_available(self->provider));
	mem = p2p_map(self->provider, SIZE);
	ASSERT_NE(MAP_FAILED, mem);
	mr = ibv_reg_mr(self->pd, mem, SIZE, ALL_RIGHTS);
	ASSERT_NE(NULL, mr);
	p2p_fill(self->ram, PIECE, 7, 0);
	EXPECT_EQ(0, send_piece(self, self->near, 0, mr, 0));
	EXPECT_EQ(-1, p2p_differs(mem, PIECE, 7, 0));

	/*
	 * The adapter may have reused the old region's number for the new one.
	 */
	EXPECT_EQ(0, ibv_dereg_mr(self->far));
	self->far = NULL;
	p2p_fill(self->ram, PIECE, 8, 0);
	EXPECT_EQ(0, send_piece(self, self->near, 0, mr, PIECE));
	EXPECT_EQ(-1, p2p_differs(mem + PIECE, PIECE, 8, 0));
	EXPECT_EQ(0, ibv_dereg_mr(mr));
	EXPECT_EQ(0, munmap(mem, SIZE));
}

/*
 * A reset revokes the region; the mapping stays, and can be registered again.
 */
TEST_F(rdma_mr, reset)
{
	struct ibv_mr *mr;

	if (!p2p_can_reset(self->provider))
		SKIP(return, "the device has no way to be reset");
	p2p_fill(self->mem, PIECE, 9, 0);
	ASSERT_EQ(0, post_receive(&self->ends[1], self->far, 0));
	ASSERT_EQ(0, p2p_reset(self->provider));
	ASSERT_EQ(0, post(&self->ends[0], IBV_WR_SEND, self->near, 0, NULL, 0));
	EXPECT_EQ(IBV_WC_REM_OP_ERR, next_completion(&self->ends[0]));
	ASSERT_TRUE(connect_ends(self));
	EXPECT_LT(0, send_piece(self, self->far, 0, self->near, 0));
	ASSERT_TRUE(connect_ends(self));
	EXPECT_EQ(IBV_WC_REM_ACCESS_ERR,
		  rdma(self, IBV_WR_RDMA_WRITE, self->near, 0, self->far, 0));
	EXPECT_EQ(-1, p2p_differs(self->mem, PIECE, 9, 0));

	ASSERT_TRUE(connect_ends(self));
	mr = ibv_reg_mr(self->pd, self->mem, SIZE, ALL_RIGHTS);
	ASSERT_NE(NULL, mr);
	EXPECT_EQ(0, send_piece(self, mr, 0, self->near, 0));
	EXPECT_EQ(-1, p2p_differs(self->ram, PIECE, 9, 0));
	EXPECT_EQ(0, ibv_dereg_mr(self->far));
	self->far = mr;
	EXPECT_EQ(0, send_piece(self, self->far, 0, self->near, PIECE));
	EXPECT_EQ(-1, p2p_differs(self->ram + PIECE, PIECE, 9, 0));
}

/* Registration during a reset fails with EAGAIN, at whatever stage. */
TEST_F(rdma_mr, reset_meets_registration)
{
	unsigned int *done = mmap(NULL, self->page, PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	unsigned int seen;
	pid_t child;
	int i;

	if (!p2p_can_reset(self->provider))
		SKIP(return, "the device has no way to be reset");
	ASSERT_NE(MAP_FAILED, done);
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		struct ibv_pd *pd = open_pd();
		void *mem = p2p_map(self->provider, SIZE);

		while (pd && mem != MAP_FAILED && !done[1]) {
			struct ibv_mr *mr = ibv_reg_mr(pd, mem, SIZE, ALL_RIGHTS);

			if (!mr && errno != EAGAIN)
				_exit(errno);
			if (mr && ibv_dereg_mr(mr))
				_exit(1);
			__atomic_add_fetch(&done[mr ? 0 : 2], 1, __ATOMIC_RELAXED);
		}
		_exit(pd && mem != MAP_FAILED ? 0 : 1);
	}
	for (i = 0; i < RESETS; i++) {
		EXPECT_EQ(0, p2p_reset(self->provider));
		seen = __atomic_load_n(done, __ATOMIC_RELAXED);
		while (still_runs(child) && __atomic_load_n(done, __ATOMIC_RELAXED) == seen)
			usleep(500);
		/* vary the time of the next reset */
		usleep(700 * i);
	}
	__atomic_store_n(&done[1], 1, __ATOMIC_RELAXED);
	EXPECT_EQ(0, p2p_wait(child));
	EXPECT_LT(0, done[2]);
	EXPECT_EQ(0, munmap(done, self->page));
}

static void ignore(int signal)
{
}

/* Signals do not make registration fail or leak regions. */
TEST_F(rdma_mr, signals)
{
	const struct itimerval often = { { 0, 500 }, { 0, 500 } }, never = {};
	const struct sigaction action = { .sa_handler = ignore };
	int i, failed = 0, error = 0;

	ASSERT_EQ(0, sigaction(SIGALRM, &action, NULL));
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &often, NULL));
	for (i = 0; i < SIGNALS; i++) {
		struct ibv_mr *mr = ibv_reg_mr(self->pd, self->mem, SIZE, ALL_RIGHTS);

		if (!mr)
			error = errno;
		if (!mr || ibv_dereg_mr(mr))
			failed++;
	}
	ASSERT_EQ(0, setitimer(ITIMER_REAL, &never, NULL));
	EXPECT_EQ(0, failed)
		TH_LOG("%d of %d: %s", failed, SIGNALS, strerror(error));
}

/* Is the adapter allowed to do DMA? */
static bool is_master(void)
{
	char path[P2P_PATH_LEN];
	uint16_t command = 0;
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "/sys/class/infiniband/%s/device/config",
		 getenv("P2P_RDMA"));
	fd = open(path, O_RDONLY);
	len = pread(fd, &command, sizeof(command), PCI_COMMAND);
	close(fd);
	return len == sizeof(command) && command & PCI_COMMAND_MASTER;
}

/* The last component of the target of one of the adapter's links. */
static bool adapter_link(const char *link, char *name)
{
	char path[P2P_PATH_LEN], to[P2P_PATH_LEN];
	ssize_t len;

	snprintf(path, sizeof(path), "/sys/class/infiniband/%s/%s", getenv("P2P_RDMA"), link);
	len = readlink(path, to, sizeof(to) - 1);
	if (len <= 0)
		return false;
	to[len] = '\0';
	strcpy(name, strrchr(to, '/') + 1);
	return true;
}

/*
 * An adapter that does not answer is cut off from DMA, and unbinding completes.
 */
TEST_F(rdma_mr, cut_off)
{
	char address[P2P_PATH_LEN], driver[P2P_PATH_LEN];
	int klog = klog_open();

	if (access(FAIL_REVOKE, W_OK))
		SKIP(return, "the kernel has no ib_uverbs.fail_revoke");
	ASSERT_TRUE(adapter_link("device", address));
	ASSERT_TRUE(adapter_link("device/driver", driver));
	ASSERT_TRUE(is_master());
	ASSERT_EQ(0, p2p_write_file(FAIL_REVOKE, "1"));
	EXPECT_EQ(0, p2p_unbind(self->provider));
	ASSERT_EQ(0, p2p_write_file(FAIL_REVOKE, "0"));
	EXPECT_FALSE(is_master());
	EXPECT_TRUE(klog_said(klog, getenv("P2P_RDMA"),
			      "does not let go of peer-to-peer memory"));
	EXPECT_EQ(0, p2p_bind(self->provider));
	EXPECT_EQ(self->before, p2p_available(self->provider));

	/* The adapter's driver is bound again. */
	EXPECT_EQ(0, release_adapter(self));
	EXPECT_EQ(0, munmap(self->mem, SIZE));
	self->mem = p2p_map(self->provider, SIZE);
	ASSERT_NE(MAP_FAILED, self->mem);
	ASSERT_EQ(0, p2p_driver_unbind(driver, address));
	ASSERT_EQ(0, p2p_driver_bind(driver, address));
	ASSERT_TRUE(set_up_adapter(self));
	EXPECT_TRUE(is_master());
	EXPECT_EQ(0, send_piece(self, self->near, 0, self->far, 0));
	close(klog);
}

/* Registration races with unbinding of the provider. */
TEST_F(rdma_mr, race)
{
	unsigned int *done = mmap(NULL, self->page, PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t child;
	int i;

	ASSERT_NE(MAP_FAILED, done);
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		struct ibv_pd *pd = open_pd();

		while (pd) {
			void *mem = p2p_map(self->provider, SIZE);
			struct ibv_mr *mr;

			if (mem == MAP_FAILED)
				continue;
			mr = ibv_reg_mr(pd, mem, SIZE, ALL_RIGHTS);
			if (mr && !ibv_dereg_mr(mr))
				__atomic_add_fetch(done, 1, __ATOMIC_RELAXED);
			munmap(mem, SIZE);
		}
		_exit(1);
	}
	for (i = 0; i < 10; i++) {
		EXPECT_EQ(0, p2p_unbind(self->provider));
		usleep(1000 * i);
		EXPECT_EQ(0, p2p_bind(self->provider));
		usleep(30000 * (i % 4));
	}
	EXPECT_TRUE(still_runs(child));
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	EXPECT_LT(0, __atomic_load_n(done, __ATOMIC_RELAXED));
}

TEST_HARNESS_MAIN
