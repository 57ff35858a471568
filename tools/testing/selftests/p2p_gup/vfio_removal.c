// SPDX-License-Identifier: GPL-2.0
/*
 * vfio: the provider of memory that a process has mapped for a device is
 * unbound or reset. This does not wait for the process, and the device loses
 * access.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "variants.h"
#include "range.h"
#include "removal.h"
#include "vfio.h"

#define CONTROL		77	/* seed of data in RAM, always accessible */
#define PATIENCE_MS	60000

FIXTURE(vfio_removal)
{
	P2P_FIXTURE;
	const char *driver;		/* of the provider */
	const char *vram;		/* a provider without struct pages */
	struct vfio vfio;
	char edu[P2P_ADDR_LEN];
};

P2P_VARIANTS(vfio_removal, P2P_BAR_DRIVER, NULL);

FIXTURE_SETUP(vfio_removal)
{
	if (access("/dev/vfio/vfio", F_OK))
		SKIP(p2p_skip_now(), "not configured: CONFIG_VFIO");
	if (!vfio_find_edu(self->edu, sizeof(self->edu)))
		SKIP(p2p_skip_now(), "no edu device is bound to vfio-pci");
	self->driver = P2P_BAR_DRIVER;
	self->vram = getenv("P2P_VRAM");
	ASSERT_TRUE(p2p_setup(&self->p2p, &variant->p2p, PAGES * sysconf(_SC_PAGESIZE)));
	ASSERT_TRUE(vfio_open_with_ram(&self->vfio, self->edu, &self->p2p));
}

FIXTURE_TEARDOWN(vfio_removal)
{
	vfio_close(&self->vfio);
	p2p_release(&self->p2p);
	EXPECT_BACK(self);
	if (self->vram && !p2p_has_driver(self->vram, VRAM))
		EXPECT_EQ(0, p2p_driver_bind(VRAM, self->vram));
}

static char *map_provider(const struct _test_data_vfio_removal *self)
{
	return self->provider == self->vram ? map_vram(self->vram, self->size, 0) :
					      p2p_map(self->provider, self->size);
}

/* The same with memory without struct pages. */
static bool take_vram(const struct _test_data_vfio_removal *self,
		      struct _test_data_vfio_removal *range)
{
	*range = *self;
	range->driver = VRAM;
	range->provider = self->vram;
	range->before = p2p_available(self->vram);
	range->mem = map_provider(range);
	if (range->mem == MAP_FAILED)
		return false;
	p2p_fill(range->mem, range->size, SEED, 0);
	return true;
}

enum got {
	IT,		/* the expected data */
	NOTHING,	/* no word of it */
	ELSE,		/* part of it, or other data */
	BROKEN,		/* reads of RAM fail, too */
};

/* Is a page filled with one word that indicates a failed read? */
static bool is_nothing(const char *mem, size_t len)
{
	return p2p_not_set(mem, len, POISON) == -1 || p2p_not_set(mem, len, 0) == -1 ||
	       p2p_not_set(mem, len, ~0ULL) == -1;
}

/*
 * Classifies what the device reads from the page at P2P_AT, and then writes to
 * RAM. After a failed read that is the device's old data, or data supplied by
 * the IOMMU.
 */
static enum got reads(struct _test_data_vfio_removal *self, uint64_t seed)
{
	char *ram = self->ram;
	size_t page = self->page;

	p2p_set(ram, self->size, POISON);
	p2p_fill(ram, page, CONTROL, 0);
	if (!vfio_edu_copy(&self->vfio, RAM_AT, RAM_AT + page, page) ||
	    p2p_differs(ram + page, page, CONTROL, 0) != -1)
		return BROKEN;

	p2p_set(ram, self->size, POISON);
	if (!vfio_edu_copy(&self->vfio, RAM_AT, RAM_AT + page, page) ||
	    !vfio_edu_copy(&self->vfio, P2P_AT, RAM_AT, page))
		return BROKEN;
	/* The device wrote only that page. */
	if (p2p_not_set(ram + page, self->size - page, POISON) != -1)
		return ELSE;
	if (p2p_differs(ram, page, seed, 0) == -1)
		return IT;
	return is_nothing(ram, page) ? NOTHING : ELSE;
}

static void unbind(struct __test_metadata *_metadata,
		   struct _test_data_vfio_removal *self, int gone)
{
	ASSERT_EQ(0, vfio_map(&self->vfio, P2P_AT, self->mem, self->size));
	EXPECT_EQ(IT, reads(self, SEED));
	ASSERT_EQ(0, p2p_driver_unbind(self->driver, self->provider));
	EXPECT_EQ(NOTHING, reads(self, SEED));

	/* For the process it remains mapped until it unmaps. */
	EXPECT_EQ(-EEXIST, vfio_map(&self->vfio, P2P_AT, self->ram, self->size));
	EXPECT_EQ(gone, vfio_map(&self->vfio, 2 * P2P_AT, self->mem, self->size));
	EXPECT_EQ((long long)self->size, vfio_unmap(&self->vfio, P2P_AT, self->size));
	EXPECT_EQ(0, vfio_unmap(&self->vfio, P2P_AT, self->size));
	EXPECT_EQ(0, vfio_map(&self->vfio, P2P_AT, self->ram, self->size));
}

TEST_F(vfio_removal, unbind)
{
	unbind(_metadata, self, -EFAULT);
}

TEST_F(vfio_removal, unbind_range)
{
	struct _test_data_vfio_removal range;

	if (!self->vram)
		SKIP(return, "P2P_VRAM names no device");
	ASSERT_TRUE(take_vram(self, &range));
	unbind(_metadata, &range, -ENODEV);
	munmap(range.mem, range.size);
}

/* The device has no access to the next owner's memory. */
TEST_F(vfio_removal, stays_revoked)
{
	char *mem;

	ASSERT_EQ(0, vfio_map(&self->vfio, P2P_AT, self->mem, self->size));
	ASSERT_EQ(0, p2p_unbind(self->provider));
	ASSERT_EQ(0, p2p_bind(self->provider));
	EXPECT_EQ(self->before, p2p_available(self->provider));
	mem = p2p_map(self->provider, self->size);
	ASSERT_NE(MAP_FAILED, mem);
	p2p_fill(mem, self->size, SEED + 1, 0);
	EXPECT_EQ(NOTHING, reads(self, SEED + 1));
	p2p_fill(self->ram, self->page, SEED + 2, 0);
	EXPECT_TRUE(vfio_edu_copy(&self->vfio, RAM_AT, P2P_AT, self->page));
	EXPECT_EQ(-1, p2p_differs(mem, self->size, SEED + 1, 0));

	/*
	 * The device still works in both directions once the memory is mapped.
	 */
	EXPECT_EQ((long long)self->size, vfio_unmap(&self->vfio, P2P_AT, self->size));
	ASSERT_EQ(0, vfio_map(&self->vfio, P2P_AT, mem, self->size));
	EXPECT_EQ(IT, reads(self, SEED + 1));
	p2p_fill(self->ram, self->page, SEED + 2, 0);
	EXPECT_TRUE(vfio_edu_copy(&self->vfio, RAM_AT, P2P_AT, self->page));
	EXPECT_EQ(-1, p2p_differs(mem, self->page, SEED + 2, 0));
	EXPECT_EQ(-1, p2p_differs(mem + self->page, self->size - self->page, SEED + 1,
				  self->page));
	munmap(mem, self->size);
}

/* Waits until the condition is true. */
#define WAIT_UNTIL(condition)						\
	({								\
		int _ms;						\
									\
		for (_ms = 0; _ms < PATIENCE_MS && !(condition); _ms++)	\
			usleep(1000);					\
		(bool)(condition);					\
	})

static unsigned int number(const unsigned int *nr)
{
	return __atomic_load_n(nr, __ATOMIC_ACQUIRE);
}

static void another(unsigned int *nr)
{
	__atomic_add_fetch(nr, 1, __ATOMIC_RELEASE);
}

/*
 * A thread that copies from the first page of the memory, and to the last,
 * until told to stop.
 */
struct copies {
	struct _test_data_vfio_removal *self;
	pthread_t thread;
	bool stop;
	unsigned int nr;		/* copies */
	unsigned int nr_it;		/* with the expected data */
	unsigned int nr_nothing;
	unsigned int nr_torn;		/* part data, part nothing */
	unsigned int nr_broken;
};

/*
 * Each transfer gets all of its data or nothing; a page takes several
 * transfers.
 */
static unsigned int *count_of(struct copies *copies, const char *ram)
{
	size_t page = copies->self->page, at;
	bool it, all = true, any = false;

	for (at = 0; at < page; at += EDU_STEP) {
		it = p2p_differs(ram + at, EDU_STEP, SEED, at) == -1;
		if (!it && !is_nothing(ram + at, EDU_STEP))
			return &copies->nr_broken;
		all &= it;
		any |= it;
	}
	return all ? &copies->nr_it : any ? &copies->nr_torn : &copies->nr_nothing;
}

static void *copy_thread(void *arg)
{
	struct copies *copies = arg;
	struct _test_data_vfio_removal *self = copies->self;
	size_t page = self->page;

	while (!__atomic_load_n(&copies->stop, __ATOMIC_RELAXED)) {
		/*
		 * The second page primes the device's buffer, as the result of
		 * failed reads.
		 */
		p2p_set(self->ram, self->size, POISON);
		if (vfio_edu_copy(&self->vfio, RAM_AT + page, RAM_AT, page) &&
		    vfio_edu_copy(&self->vfio, P2P_AT, RAM_AT, page) &&
		    vfio_edu_copy(&self->vfio, RAM_AT + page,
				  P2P_AT + self->size - page, page))
			another(count_of(copies, self->ram));
		else
			another(&copies->nr_broken);
		another(&copies->nr);
	}
	return NULL;
}

static void unbind_in_flight(struct __test_metadata *_metadata,
			     struct _test_data_vfio_removal *self)
{
	struct copies copies = { .self = self };
	size_t last = self->size - self->page;
	unsigned int round, nr;

	ASSERT_EQ(0, pthread_create(&copies.thread, NULL, copy_thread, &copies));
	for (round = 0; round < 3; round++) {
		ASSERT_EQ(0, vfio_map(&self->vfio, P2P_AT, self->mem, self->size));
		nr = number(&copies.nr_it);
		EXPECT_TRUE(WAIT_UNTIL(number(&copies.nr_it) - nr >= 2));
		EXPECT_EQ(-1, p2p_not_set(self->mem + last, self->page, POISON));
		ASSERT_EQ(0, p2p_driver_unbind(self->driver, self->provider));
		ASSERT_EQ(0, p2p_driver_bind(self->driver, self->provider));
		EXPECT_EQ(self->before, p2p_available(self->provider));
		munmap(self->mem, self->size);
		self->mem = map_provider(self);
		ASSERT_NE(MAP_FAILED, self->mem);
		p2p_fill(self->mem, self->size, SEED, 0);

		/*
		 * One copy may have been in flight. Later ones fail in both
		 * directions.
		 */
		nr = number(&copies.nr);
		EXPECT_TRUE(WAIT_UNTIL(number(&copies.nr) != nr));
		nr = number(&copies.nr_nothing);
		EXPECT_TRUE(WAIT_UNTIL(number(&copies.nr_nothing) - nr >= 2));
		EXPECT_EQ(-1, p2p_differs(self->mem, self->size, SEED, 0));
		EXPECT_EQ((long long)self->size,
			  vfio_unmap(&self->vfio, P2P_AT, self->size));
	}
	__atomic_store_n(&copies.stop, true, __ATOMIC_RELAXED);
	EXPECT_EQ(0, pthread_join(copies.thread, NULL));
	EXPECT_EQ(0, copies.nr_broken);
	EXPECT_LE(6, copies.nr_it);
	EXPECT_LE(6, copies.nr_nothing);
	/* at most one per mapping and one per revocation */
	EXPECT_GE(6, copies.nr_torn);
}

TEST_F(vfio_removal, unbind_in_flight)
{
	unbind_in_flight(_metadata, self);
}

TEST_F(vfio_removal, unbind_range_in_flight)
{
	struct _test_data_vfio_removal range;

	if (!self->vram)
		SKIP(return, "P2P_VRAM names no device");
	ASSERT_TRUE(take_vram(self, &range));
	unbind_in_flight(_metadata, &range);
	munmap(range.mem, range.size);
}

/* Counters of a child, in shared memory. */
struct maps {
	unsigned int nr;		/* mapped and unmapped */
	unsigned int nr_refused;	/* the provider is gone */
	unsigned int nr_wrong;
	int wrong;			/* the last such error */
};

static struct maps *share_maps(void)
{
	return mmap(NULL, sizeof(struct maps), PROT_READ | PROT_WRITE,
		    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}

/* Maps and unmaps without end. */
static void map_and_unmap(struct _test_data_vfio_removal *self, struct maps *maps)
{
	long long ret;

	for (;;) {
		ret = vfio_map(&self->vfio, P2P_AT, self->mem, self->size);
		if (!ret) {
			ret = vfio_unmap(&self->vfio, P2P_AT, self->size);
			if (ret == (long long)self->size) {
				another(&maps->nr);
				continue;
			}
		} else if (ret == -ENODEV || ret == -EFAULT) {
			another(&maps->nr_refused);
			continue;
		}
		maps->wrong = ret;
		another(&maps->nr_wrong);
	}
}

static pid_t start_maps(struct _test_data_vfio_removal *self, struct maps *maps)
{
	pid_t child = fork();

	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		map_and_unmap(self, maps);
	}
	return child;
}

static void end_maps(struct _test_data_vfio_removal *self, pid_t child)
{
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	/* The child may have been killed while it was mapped. */
	vfio_unmap(&self->vfio, P2P_AT, self->size);
}

TEST_F(vfio_removal, race)
{
	struct maps *maps = share_maps();
	unsigned int round, nr, refused;
	pid_t child;

	ASSERT_NE(MAP_FAILED, maps);
	for (round = 0; round < 10; round++) {
		nr = number(&maps->nr);
		child = start_maps(self, maps);
		ASSERT_LE(0, child);
		EXPECT_TRUE(WAIT_UNTIL(number(&maps->nr) - nr >= 2));
		usleep(1000 * round);
		EXPECT_EQ(0, p2p_unbind(self->provider));

		/* The call in flight has ended. */
		refused = number(&maps->nr_refused);
		EXPECT_TRUE(WAIT_UNTIL(number(&maps->nr_refused) - refused >= 2));
		nr = number(&maps->nr);
		EXPECT_EQ(0, p2p_bind(self->provider));
		/* The old memory does not come back. */
		refused = number(&maps->nr_refused);
		EXPECT_TRUE(WAIT_UNTIL(number(&maps->nr_refused) - refused >= 2));
		EXPECT_EQ(nr, number(&maps->nr));
		end_maps(self, child);

		munmap(self->mem, self->size);
		self->mem = p2p_map(self->provider, self->size);
		ASSERT_NE(MAP_FAILED, self->mem);
	}
	EXPECT_EQ(0, maps->nr_wrong) TH_LOG("the last one: %d", maps->wrong);
	EXPECT_LE(20, maps->nr);

	/* Nothing is left behind. */
	p2p_fill(self->mem, self->size, SEED, 0);
	ASSERT_EQ(0, vfio_map(&self->vfio, P2P_AT, self->mem, self->size));
	EXPECT_EQ(IT, reads(self, SEED));
	munmap(maps, sizeof(*maps));
}

/* A reset is like a removal, except that the process can map the same memory again. */
TEST_F(vfio_removal, reset)
{
	if (!p2p_can_reset(self->provider))
		SKIP(return, "the device has no way to be reset");
	ASSERT_EQ(0, vfio_map(&self->vfio, P2P_AT, self->mem, self->size));
	EXPECT_EQ(IT, reads(self, SEED));
	ASSERT_EQ(0, p2p_reset(self->provider));
	EXPECT_EQ(NOTHING, reads(self, SEED));
	EXPECT_EQ((long long)self->size, vfio_unmap(&self->vfio, P2P_AT, self->size));
	ASSERT_EQ(0, vfio_map(&self->vfio, P2P_AT, self->mem, self->size));
	p2p_fill(self->mem, self->size, SEED + 1, 0);
	EXPECT_EQ(IT, reads(self, SEED + 1));
}

/* The memory survives a reset: mapping it meanwhile waits. */
TEST_F(vfio_removal, reset_race)
{
	struct maps *maps = share_maps();
	unsigned int round, nr;
	pid_t child;

	if (!p2p_can_reset(self->provider))
		SKIP(return, "the device has no way to be reset");
	ASSERT_NE(MAP_FAILED, maps);
	child = start_maps(self, maps);
	ASSERT_LE(0, child);
	for (round = 0; round < 10; round++) {
		nr = number(&maps->nr);
		EXPECT_TRUE(WAIT_UNTIL(number(&maps->nr) - nr >= 2));
		usleep(1000 * round);
		EXPECT_EQ(0, p2p_reset(self->provider));
	}
	nr = number(&maps->nr);
	EXPECT_TRUE(WAIT_UNTIL(number(&maps->nr) - nr >= 2));
	end_maps(self, child);
	EXPECT_EQ(0, maps->nr_refused);
	EXPECT_EQ(0, maps->nr_wrong) TH_LOG("the last one: %d", maps->wrong);
	munmap(maps, sizeof(*maps));
}

/*
 * A container belongs to its holder, and the mappings belong to the container.
 */
TEST_F(vfio_removal, processes_end)
{
	pid_t child = fork();

	ASSERT_LE(0, child);
	if (!child)
		_exit(vfio_map(&self->vfio, P2P_AT, self->mem, self->size) != 0);
	EXPECT_EQ(0, p2p_wait(child));
	EXPECT_EQ(IT, reads(self, SEED));
	EXPECT_EQ(0, munmap(self->mem, self->size));
	EXPECT_EQ(IT, reads(self, SEED));
	EXPECT_EQ(self->before - (long long)self->size, p2p_available(self->provider));

	/* Close without unmapping. */
	vfio_close(&self->vfio);
	EXPECT_TRUE(p2p_settles(self->provider, self->before));

	/* and by a process that is killed */
	self->mem = p2p_map(self->provider, self->size);
	ASSERT_NE(MAP_FAILED, self->mem);
	child = fork();
	ASSERT_LE(0, child);
	if (!child) {
		if (!vfio_open(&self->vfio, self->edu) ||
		    vfio_map(&self->vfio, P2P_AT, self->mem, self->size))
			_exit(1);
		kill(getpid(), SIGKILL);
	}
	EXPECT_EQ(-1, p2p_wait(child));
	munmap(self->mem, self->size);
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

/*
 * Keeps the container's lock: the bitmap is in memory where userfaultfd blocks.
 */
struct dirty {
	struct vfio *vfio;
	void *bitmap;
	size_t page;
	int fd;			/* of userfaultfd() */
	pthread_t thread;
	int ret;
};

static void *dirty_thread(void *arg)
{
	struct dirty *dirty = arg;
	struct {
		struct vfio_iommu_type1_dirty_bitmap dirty;
		struct vfio_iommu_type1_dirty_bitmap_get get;
	} call = {
		.dirty = {
			.argsz = sizeof(call),
			.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_GET_BITMAP,
		},
		.get = {
			.iova = RAM_AT,
			.size = PAGES * dirty->page,
			.bitmap = {
				.pgsize = dirty->page,
				.size = sizeof(__u64),
				.data = dirty->bitmap,
			},
		},
	};

	dirty->ret = ioctl(dirty->vfio->container, VFIO_IOMMU_DIRTY_PAGES, &call);
	return NULL;
}

static bool userfault(int fd, void *mem, size_t size)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { .start = (uintptr_t)mem, .len = size },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};

	return !ioctl(fd, UFFDIO_API, &api) && !ioctl(fd, UFFDIO_REGISTER, &reg);
}

/* Makes a thread hold the container's lock until unlock_container(). */
static bool lock_container(struct dirty *dirty)
{
	struct vfio_iommu_type1_dirty_bitmap start = {
		.argsz = sizeof(start),
		.flags = VFIO_IOMMU_DIRTY_PAGES_FLAG_START,
	};
	struct uffd_msg msg;

	dirty->bitmap = p2p_ram(dirty->page);
	return dirty->bitmap != MAP_FAILED && userfault(dirty->fd, dirty->bitmap, dirty->page) &&
	       !ioctl(dirty->vfio->container, VFIO_IOMMU_DIRTY_PAGES, &start) &&
	       !pthread_create(&dirty->thread, NULL, dirty_thread, dirty) &&
	       /* The thread now waits in the page fault. */
	       read(dirty->fd, &msg, sizeof(msg)) == sizeof(msg);
}

/* 0, or what went wrong. */
static int unlock_container(struct dirty *dirty)
{
	struct uffdio_zeropage zero = {
		.range = { .start = (uintptr_t)dirty->bitmap, .len = dirty->page },
	};

	if (ioctl(dirty->fd, UFFDIO_ZEROPAGE, &zero))
		return -errno;
	if (pthread_join(dirty->thread, NULL))
		return -ECHILD;
	close(dirty->fd);
	munmap(dirty->bitmap, dirty->page);
	return dirty->ret;
}

static struct dirty make_dirty(struct _test_data_vfio_removal *self)
{
	return (struct dirty) {
		.vfio = &self->vfio, .page = self->page,
		.fd = syscall(__NR_userfaultfd, O_CLOEXEC),
	};
}

TEST_F(vfio_removal, locked_container)
{
	struct dirty dirty = make_dirty(self);

	if (dirty.fd < 0)
		SKIP(return, "not configured: CONFIG_USERFAULTFD");
	ASSERT_EQ(0, vfio_map(&self->vfio, P2P_AT, self->mem, self->size));
	EXPECT_EQ(IT, reads(self, SEED));
	ASSERT_TRUE(lock_container(&dirty));

	EXPECT_EQ(0, p2p_unbind(self->provider));
	EXPECT_EQ(NOTHING, reads(self, SEED));

	EXPECT_EQ(0, unlock_container(&dirty));
	EXPECT_EQ((long long)self->size, vfio_unmap(&self->vfio, P2P_AT, self->size));
}

/* A thread that maps the memory, and the thread whose lock it waits for. */
struct mapper {
	struct _test_data_vfio_removal *self;
	struct dirty dirty;
	pthread_t thread;
	pid_t tid;
	int ret;
};

static void *map_thread(void *arg)
{
	struct mapper *mapper = arg;
	struct _test_data_vfio_removal *self = mapper->self;

	__atomic_store_n(&mapper->tid, gettid(), __ATOMIC_RELEASE);
	mapper->ret = vfio_map(&self->vfio, P2P_AT, self->mem, self->size);
	return NULL;
}

/*
 * Does a thread wait in MAP_DMA for the container's lock? Any other wait occurs
 * earlier, in vfio_p2p_create().
 */
static bool waits_for_lock(const pid_t *thread)
{
	pid_t tid = __atomic_load_n(thread, __ATOMIC_ACQUIRE);
	bool waits = false, creates = false;
	char path[64], line[200];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/stack", tid);
	file = tid ? fopen(path, "r") : NULL;
	while (file && fgets(line, sizeof(line), file)) {
		creates |= !!strstr(line, "vfio_p2p_create");
		/* vfio_dma_do_map() may have been inlined. */
		waits |= strstr(line, "vfio_dma_do_map") ||
			 strstr(line, "vfio_iommu_type1_ioctl");
	}
	if (file)
		fclose(file);
	return waits && !creates;
}

/* The first result may be transient. */
static bool keeps_waiting(const pid_t *thread)
{
	if (!waits_for_lock(thread))
		return false;
	usleep(20000);
	return waits_for_lock(thread);
}

/* Starts a thread that holds the memory and waits for the container's lock. */
static bool start_mapper(struct mapper *mapper)
{
	return lock_container(&mapper->dirty) &&
	       !pthread_create(&mapper->thread, NULL, map_thread, mapper) &&
	       WAIT_UNTIL(keeps_waiting(&mapper->tid));
}

TEST_F(vfio_removal, reset_meets_map)
{
	struct mapper mapper = { .self = self, .dirty = make_dirty(self) };

	if (mapper.dirty.fd < 0)
		SKIP(return, "not configured: CONFIG_USERFAULTFD");
	if (!p2p_can_reset(self->provider))
		SKIP(return, "the device has no way to be reset");
	ASSERT_TRUE(start_mapper(&mapper));
	EXPECT_EQ(0, p2p_reset(self->provider));
	EXPECT_EQ(0, unlock_container(&mapper.dirty));
	EXPECT_EQ(0, pthread_join(mapper.thread, NULL));

	/* The mapping succeeded as if there had been no reset. */
	EXPECT_EQ(0, mapper.ret);
	p2p_fill(self->mem, self->size, SEED + 1, 0);
	EXPECT_EQ(IT, reads(self, SEED + 1));
	EXPECT_EQ((long long)self->size, vfio_unmap(&self->vfio, P2P_AT, self->size));
}

TEST_F(vfio_removal, unbind_meets_map)
{
	struct mapper mapper = { .self = self, .dirty = make_dirty(self) };

	if (mapper.dirty.fd < 0)
		SKIP(return, "not configured: CONFIG_USERFAULTFD");
	ASSERT_TRUE(start_mapper(&mapper));
	EXPECT_EQ(0, p2p_unbind(self->provider));
	EXPECT_EQ(0, unlock_container(&mapper.dirty));
	EXPECT_EQ(0, pthread_join(mapper.thread, NULL));
	EXPECT_TRUE(mapper.ret == -ENODEV || mapper.ret == -EFAULT) TH_LOG("%d", mapper.ret);
	EXPECT_EQ(NOTHING, reads(self, SEED));
	EXPECT_EQ(0, vfio_unmap(&self->vfio, P2P_AT, self->size));
}

TEST_HARNESS_MAIN
