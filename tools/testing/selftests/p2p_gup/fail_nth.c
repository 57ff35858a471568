// SPDX-License-Identifier: GPL-2.0
/*
 * Allocations fail, one after the other, while memory is mapped, touched,
 * pinned, mapped for DMA, and used for direct I/O. A transfer that retried an
 * allocation has the same data and length as any other.
 *
 * Page tables are allocated each time: no other mapping is near this one.
 */
#define _GNU_SOURCE
#include <lib/test_p2p_uapi.h>
#include <linux/aio_abi.h>
#include <linux/io_uring.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>

#include "variants.h"
#include "gup_call.h"
#include "klog.h"
#include "ring.h"
#include "uring_buf.h"
#include "fail_nth.h"

#define PAGES		8
#define HUGE		(2 * MIB)
#define WHERE		((void *)(1UL << 45))
#define ELSEWHERE	((void *)(1UL << 46))

FIXTURE(fail_nth)
{
	const char *provider;
	long long before;
	size_t page;
	size_t size;			/* of the mapping */
	int sysfs;
	int disk;
	bool works;			/* the drive reaches the provider */
	const char *file;		/* file to read */
	const struct form *form;	/* form to call */
	struct p2p_test_function client;
	struct p2p_test_segment segments[PAGES];
	aio_context_t aio;
	struct ring ring;
	int gup;
	int extents;
	int dma;
	char *ram, *back;		/* HUGE each */
	uint64_t seed;			/* of the old drive data */
};

P2P_VARIANTS(fail_nth, NULL, "raw", NULL);

FIXTURE_SETUP(fail_nth)
{
	if (!fail_setup(FAIL_ANYTHING))
		SKIP(p2p_skip_now(), "no " FAIL_NTH ": CONFIG_FAULT_INJECTION?");
	self->provider = variant->p2p.provider;
	self->works = p2p_reaches(variant->p2p.disk, self->provider);
	self->page = sysconf(_SC_PAGESIZE);
	self->before = p2p_available(self->provider);
	self->sysfs = p2p_open(self->provider, O_RDWR);
	ASSERT_LE(0, self->sysfs);
	self->disk = open(p2p_disk(variant->p2p.disk), O_RDWR | O_DIRECT);
	ASSERT_LE(0, self->disk);
	ASSERT_TRUE(p2p_client_of(p2p_disk(variant->p2p.disk), &self->client));
	ASSERT_EQ(0, syscall(__NR_io_setup, 1, &self->aio));
	ASSERT_TRUE(ring_init(&self->ring, 1, 0));
	self->gup = open(P2P_TEST_FILE, O_RDWR);
	self->extents = open(P2P_TEST_FILE "_extents", O_RDWR);
	self->dma = open(P2P_TEST_FILE "_dma", O_RDWR);
	ASSERT_LE(0, self->gup);
	ASSERT_LE(0, self->extents);
	ASSERT_LE(0, self->dma);
	self->size = PAGES * self->page;
	self->ram = p2p_ram(HUGE);
	ASSERT_NE(MAP_FAILED, self->ram);
	self->back = p2p_ram(HUGE);
	ASSERT_NE(MAP_FAILED, self->back);
}

FIXTURE_TEARDOWN(fail_nth)
{
	syscall(__NR_io_destroy, self->aio);
	ring_exit(&self->ring);
	close(self->gup);
	close(self->extents);
	close(self->dma);
	close(self->disk);
	close(self->sysfs);
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

static long map_at(struct _test_data_fail_nth *self, int flags)
{
	void *mem = mmap(WHERE, self->size, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED_NOREPLACE | flags, self->sysfs, 0);

	return mem == MAP_FAILED ? -errno : mem != WHERE;
}

static bool map_new(void *data)
{
	return map_at(data, 0) == 0;
}

static bool map_touched(void *data)
{
	return map_at(data, MAP_POPULATE) == 0;
}

static bool unmap(void *data, long result)
{
	struct _test_data_fail_nth *self = data;

	munmap(WHERE, self->size);
	munmap(ELSEWHERE, self->size);
	return p2p_settles(self->provider, self->before);
}

static long do_mmap(void *data)
{
	return map_at(data, 0);
}

/* Pages that are not populated fault later. */
static long do_populate(void *data)
{
	return map_at(data, MAP_POPULATE);
}

TEST_F(fail_nth, mmap)
{
	static const struct fail_work work[] = {
		{ "mmap", NULL, do_mmap, unmap, { ENOMEM } },
		{ "mmap MAP_POPULATE", NULL, do_populate, unmap, { ENOMEM } },
	};
	int klog = klog_open();

	ASSERT_LE(0, klog);
	FAIL_EACH(&work[0], self);
	FAIL_EACH(&work[1], self);
	self->size = HUGE;
	FAIL_EACH(&work[0], self);
	FAIL_EACH(&work[1], self);
	/* The log must not blame a lack of provider memory. */
	EXPECT_FALSE(klog_said(klog, self->provider, "more than is left"));
	close(klog);
}

/* An access is repeated until there is memory for it. */
static long do_load(void *data)
{
	return -p2p_fault_of(WHERE, false);
}

static long do_store(void *data)
{
	return -p2p_fault_of(WHERE, true);
}

TEST_F(fail_nth, touch)
{
	static const struct fail_work work[] = {
		{ "load", map_new, do_load, unmap },
		{ "store", map_new, do_store, unmap },
	};

	FAIL_EACH(&work[0], self);
	FAIL_EACH(&work[1], self);
	self->size = HUGE;
	FAIL_EACH(&work[0], self);
	FAIL_EACH(&work[1], self);
}

static long do_gup(void *data)
{
	struct _test_data_fail_nth *self = data;
	struct p2p_test_gup gup = {
		.addr = (uintptr_t)WHERE,
		.nr_pages = self->size / self->page,
		.form = self->form->nr,
		.gup_flags = FOLL_PCI_P2PDMA |
			     (self->form->nr < P2P_TEST_ITER ? FOLL_WRITE : 0),
	};

	return ioctl(self->gup, P2P_TEST_GUP, &gup) ? -errno : gup.result;
}

static long do_extents(void *data)
{
	struct _test_data_fail_nth *self = data;
	struct p2p_test_pin pin = {
		.addr = (uintptr_t)WHERE,
		.len = self->size,
		.nr_extents = PAGES,
		.gup_flags = FOLL_WRITE,
	};

	return ioctl(self->extents, P2P_TEST_EXTENTS, &pin) ? -errno : pin.result;
}

TEST_F(fail_nth, get_user_pages)
{
	struct fail_work gup = { NULL, map_new, do_gup, unmap, { ENOMEM } };
	struct fail_work pin = { "pin_user_p2p_extents", map_new, do_extents,
				 unmap, { ENOMEM } };

	for (; self->size <= HUGE; self->size += HUGE - PAGES * self->page) {
		for_each_form(self->form) {
			gup.name = self->form->name;
			gup.prepare = self->form->only ? map_touched : map_new;
			FAIL_EACH(&gup, self);
		}
		FAIL_EACH(&pin, self);
	}
}

/* Old data can't be mistaken for that of the next transfer. */
static bool map_and_fill_drive(void *data)
{
	struct _test_data_fail_nth *self = data;

	p2p_fill(self->ram, self->size, ++self->seed, 0);
	return pwrite(self->disk, self->ram, self->size, 0) ==
		       (ssize_t)self->size && map_new(data);
}

static bool has_read(void *data, long result)
{
	struct _test_data_fail_nth *self = data;

	return result < 0 ||
	       (result == (long)self->size &&
		p2p_differs(WHERE, self->size, self->seed, 0) == -1);
}

/* Reads the drive's data into back. */
static bool read_back(struct _test_data_fail_nth *self, size_t len)
{
	return pread(self->disk, self->back, len, 0) == (ssize_t)len;
}

static bool has_written(void *data, long result)
{
	struct _test_data_fail_nth *self = data;

	return result < 0 ||
	       (result == (long)self->size && read_back(self, self->size) &&
		p2p_unlike(self->back, WHERE, self->size) == -1);
}

static long do_pread(void *data)
{
	struct _test_data_fail_nth *self = data;

	return p2p_result(pread(self->disk, WHERE, self->size, 0));
}

static long do_pwrite(void *data)
{
	struct _test_data_fail_nth *self = data;

	return p2p_result(pwrite(self->disk, WHERE, self->size, 0));
}

/*
 * RAM, provider memory, RAM. Only written to the drive: when DMA debugging
 * fails to allocate an entry for RAM that a device writes to, it disables
 * itself.
 */
static long do_pwritev(void *data)
{
	struct _test_data_fail_nth *self = data;
	struct iovec vec[] = {
		{ self->ram, self->page },
		{ WHERE, 2 * self->page },
		{ self->ram + self->page, self->page },
	};

	return p2p_result(pwritev(self->disk, vec, ARRAY_SIZE(vec), 0));
}

static bool has_written_vector(void *data, long result)
{
	struct _test_data_fail_nth *self = data;
	size_t page = self->page;

	return result < 0 ||
	       (result == (long)(4 * page) && read_back(self, 4 * page) &&
		p2p_unlike(self->back, self->ram, page) == -1 &&
		p2p_unlike(self->back + page, WHERE, 2 * page) == -1 &&
		p2p_unlike(self->back + 3 * page, self->ram + page, page) == -1);
}

static long do_uring(void *data)
{
	struct _test_data_fail_nth *self = data;
	struct io_uring_sqe sqe = {
		.opcode = IORING_OP_READ,
		.fd = self->disk,
		.addr = (uintptr_t)WHERE,
		.len = self->size,
	};
	struct io_uring_cqe cqe;
	long ret = ring_do(&self->ring, &sqe, &cqe);

	return ret ? ret : cqe.res;
}

static long do_aio(void *data)
{
	struct _test_data_fail_nth *self = data;
	struct iocb iocb = {
		.aio_lio_opcode = IOCB_CMD_PREAD,
		.aio_fildes = self->disk,
		.aio_buf = (uintptr_t)WHERE,
		.aio_nbytes = self->size,
	}, *list = &iocb;
	struct io_event event;

	if (syscall(__NR_io_submit, self->aio, 1, &list) != 1)
		return -errno;
	if (syscall(__NR_io_getevents, self->aio, 1, 1, &event, NULL) != 1)
		return -EIO;
	return event.res;
}

TEST_F(fail_nth, direct_io)
{
	/*
	 * EAGAIN: io_uring or libaio can't allocate the request. EIO: an error
	 * after the first bio was submitted.
	 */
	static const struct fail_work work[] = {
		{ "pread", map_and_fill_drive, do_pread, unmap, { ENOMEM },
		  has_read },
		{ "pwrite", map_and_fill_drive, do_pwrite, unmap, { ENOMEM },
		  has_written },
		{ "pwritev with RAM", map_and_fill_drive, do_pwritev, unmap,
		  { ENOMEM }, has_written_vector },
		{ "io_uring", map_and_fill_drive, do_uring, unmap,
		  { ENOMEM, EAGAIN, EIO }, has_read },
		{ "libaio", map_and_fill_drive, do_aio, unmap,
		  { ENOMEM, EAGAIN, EIO }, has_read },
	};
	size_t i;

	if (!self->works)
		SKIP(return, "the drive doesn't reach the provider");
	for (i = 0; i < ARRAY_SIZE(work); i++)
		FAIL_EACH(&work[i], self);
	self->size = HUGE;
	for (i = 0; i < ARRAY_SIZE(work); i++)
		FAIL_EACH(&work[i], self);
}

/* Registers the buffer, reads into it, and unregisters it. */
static long do_register(void *data)
{
	struct _test_data_fail_nth *self = data;
	long ret = uring_register(&self->ring, WHERE, self->size);

	if (ret)
		return ret;
	ret = uring_read(&self->ring, self->disk, 0, WHERE, self->size, 0);
	uring_unregister(&self->ring);
	return ret;
}

TEST_F(fail_nth, registered_buffer)
{
	static const struct fail_work work[] = {
		{ "of new memory", map_and_fill_drive, do_register, unmap,
		  { ENOMEM, EAGAIN, EIO }, has_read },
	};

	if (!self->works)
		SKIP(return, "the drive doesn't reach the provider");
	FAIL_EACH(&work[0], self);
	self->size = HUGE;
	FAIL_EACH(&work[0], self);
}

static long do_dma(void *data)
{
	struct _test_data_fail_nth *self = data;
	struct p2p_test_dma dma = {
		.addr = (uintptr_t)WHERE,
		.segments = (uintptr_t)self->segments,
		.nr_pages = PAGES,
		.client = self->client,
	};

	if (ioctl(self->dma, P2P_TEST_DMA, &dma))
		return -errno;
	/* A failed allocation of IOMMU tables is no -EREMOTEIO. */
	for (int i = 0; i < PAGES; i++)
		if (self->segments[i].page_error == -EREMOTEIO)
			return -EREMOTEIO;
	return dma.result;
}

static long do_pool(void *data)
{
	struct _test_data_fail_nth *self = data;
	struct p2p_test_pool pool = {
		.client = self->client,
		.len = self->size,
	};

	if (ioctl(self->dma, P2P_TEST_POOL, &pool))
		return -errno;
	return pool.result;
}

TEST_F(fail_nth, dma_map)
{
	static const struct fail_work work[] = {
		{ "dma_map_sgtable and dma_map_page", map_new, do_dma, unmap,
		  { ENOMEM } },
		/* ENODEV is all that pci_p2pmem_find_many() returns. */
		{ "memory for a driver", NULL, do_pool, unmap, { ENOMEM, ENODEV } },
	};

	if (!self->works)
		SKIP(return, "the drive doesn't reach the provider");
	FAIL_EACH(&work[0], self);
	FAIL_EACH(&work[1], self);
}

static long do_read(void *data)
{
	struct _test_data_fail_nth *self = data;
	char path[P2P_PATH_LEN], text[4096];
	long ret, error;
	int fd;

	p2p_path(path, self->provider, self->file);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return -errno;
	ret = read(fd, text, sizeof(text));
	error = errno;
	close(fd);
	return ret < 0 ? -error : ret > 0;
}

TEST_F(fail_nth, files)
{
	static const char *const files[] = {
		"p2pmem/size", "p2pmem/available", "p2pmem/published",
		"p2pmem/routes", "p2pmem/dma_bus_bytes", "p2pmem/dma_refused",
	};
	struct fail_work work = { NULL, NULL, do_read, NULL, { ENOMEM } };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(files); i++) {
		self->file = files[i];
		work.name = files[i];
		FAIL_EACH(&work, self);
	}
}

/* A debugger's access, through the mapping's access() method. */
static long do_access(void *data)
{
	uint64_t word = 1;
	int fd = open("/proc/self/mem", O_RDWR);
	long ret;

	if (fd < 0)
		return -errno;
	ret = p2p_result(pwrite(fd, &word, sizeof(word), (off_t)WHERE));
	close(fd);
	return ret;
}

static long do_split(void *data)
{
	struct _test_data_fail_nth *self = data;

	return p2p_result(munmap((char *)WHERE + self->size / 2, self->page));
}

static long do_mprotect(void *data)
{
	struct _test_data_fail_nth *self = data;

	return p2p_result(mprotect((char *)WHERE + self->size / 2, self->page,
				   PROT_READ));
}

static long do_mremap(void *data)
{
	struct _test_data_fail_nth *self = data;

	return mremap(WHERE, self->size, self->size,
		      MREMAP_MAYMOVE | MREMAP_FIXED, ELSEWHERE) == ELSEWHERE ?
		0 : -errno;
}

/* fork() copies all of the mapping, or fails. */
static long do_fork(void *data)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return -errno;
	if (!pid)
		_exit(p2p_fault_of(WHERE, true));
	if (waitpid(pid, &status, 0) != pid)
		return -ECHILD;
	return status ? -EINTR : 0;
}

TEST_F(fail_nth, mapping)
{
	static const struct fail_work work[] = {
		/* EIO is the only error of /proc/PID/mem. */
		{ "/proc/PID/mem", map_new, do_access, unmap, { ENOMEM, EIO } },
		{ "munmap of a part", map_touched, do_split, unmap, { ENOMEM } },
		{ "mprotect of a part", map_touched, do_mprotect, unmap,
		  { ENOMEM } },
		{ "mremap", map_touched, do_mremap, unmap, { ENOMEM } },
		{ "fork", map_touched, do_fork, unmap, { ENOMEM, EAGAIN } },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(work); i++)
		FAIL_EACH(&work[i], self);
	self->size = HUGE;
	for (i = 0; i < ARRAY_SIZE(work); i++)
		FAIL_EACH(&work[i], self);
}

TEST_HARNESS_MAIN
