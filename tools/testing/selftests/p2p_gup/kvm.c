// SPDX-License-Identifier: GPL-2.0
/*
 * A virtual machine with peer-to-peer memory: its CPU accesses it through
 * entries as large as those of the process, and loses it when the process does.
 */
#define _GNU_SOURCE
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>

#include "mapping.h"
#include "range.h"
#include "removal.h"

#define CODE_AT		0x1000		/* guest physical, as real mode sees it */
#define DATA_AT		0x40000000ULL	/* guest physical; base of %ds */
#define HUGE		(2 * MIB)
#define PAGES_2M	"/sys/kernel/debug/kvm/pages_2m"
#define LONG_S		60		/* seconds, for nested emulation */

#define PORT		0x10		/* accessed at the end of code */
#define CLOCK_AT	0x50000000ULL	/* guest physical, of RAM */
#define CLOCK_SIZE	32		/* struct pvclock_vcpu_time_info */
#define MSR_CLOCK	0x4b564d01	/* MSR_KVM_SYSTEM_TIME_NEW */
#define CLOCK_ENABLE	1
#define FLAGS		0x2		/* always set */
#define FLAGS_IF	0x200		/* interrupts are enabled, as by sti */

/* mov al, [0]; out PORT, al */
static const uint8_t load[] = { 0xa0, 0, 0, 0xe6, PORT };
/* mov [0], al; out PORT, al */
static const uint8_t store[] = { 0xa2, 0, 0, 0xe6, PORT };
/* 1: inc byte [0]; jmp 1b */
static const uint8_t count[] = { 0xfe, 0x06, 0, 0, 0xeb, 0xfa };

struct vm {
	int fd, vcpu;
	struct kvm_run *run;
	size_t run_size;
	char *code;
	size_t page;
	bool irqchip;
	pthread_t thread;
	int ret;		/* of KVM_RUN in the thread, the error as a negative number */
	unsigned int refused;	/* how often the thread got EFAULT */
};

static bool set_slot(struct vm *vm, int slot, uint64_t at, void *mem,
		     size_t size, unsigned int flags)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.flags = flags,
		.guest_phys_addr = at,
		.memory_size = size,
		.userspace_addr = (uintptr_t)mem,
	};

	return !ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region);
}

static bool set_data(struct vm *vm, void *mem, size_t size)
{
	return set_slot(vm, 1, DATA_AT, mem, size, 0);
}

/*
 * A machine with one CPU, a page of code, and the data. With in-kernel
 * interrupt controllers and interrupts enabled, KVM lets a guest continue while
 * it waits for memory (asynchronous page faults).
 */
static bool vm_init_irqchip(struct vm *vm, void *data, size_t size, bool irqchip)
{
	int kvm = open("/dev/kvm", O_RDWR);
	int run_size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);

	vm->page = sysconf(_SC_PAGESIZE);
	vm->fd = ioctl(kvm, KVM_CREATE_VM, 0);
	close(kvm);
	vm->code = p2p_ram(vm->page);
	if (run_size < 0 || vm->fd < 0 || vm->code == MAP_FAILED)
		return false;
	vm->irqchip = irqchip;
	if (irqchip && ioctl(vm->fd, KVM_CREATE_IRQCHIP, 0))
		return false;
	vm->run_size = run_size;
	vm->vcpu = ioctl(vm->fd, KVM_CREATE_VCPU, 0);
	vm->run = mmap(NULL, run_size, PROT_READ | PROT_WRITE, MAP_SHARED,
		       vm->vcpu, 0);
	return vm->run != MAP_FAILED &&
	       set_slot(vm, 0, CODE_AT, vm->code, vm->page, 0) &&
	       set_data(vm, data, size);
}

static bool vm_init(struct vm *vm, void *data, size_t size)
{
	return vm_init_irqchip(vm, data, size, false);
}

static void vm_end(struct vm *vm)
{
	munmap(vm->run, vm->run_size);
	munmap(vm->code, vm->page);
	close(vm->vcpu);
	close(vm->fd);
}

/* Prepares the CPU to run code on the byte at this offset of the data. */
static bool vm_prepare(struct vm *vm, const uint8_t *code, size_t len,
		       uint64_t offset, uint8_t value)
{
	struct kvm_regs regs = {
		.rip = CODE_AT,
		.rflags = FLAGS | (vm->irqchip ? FLAGS_IF : 0),
		.rax = value,
	};
	struct kvm_sregs sregs;

	memcpy(vm->code, code, len);
	if (ioctl(vm->vcpu, KVM_GET_SREGS, &sregs))
		return false;
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	sregs.ds.base = DATA_AT + offset;
	return !ioctl(vm->vcpu, KVM_SET_SREGS, &sregs) &&
	       !ioctl(vm->vcpu, KVM_SET_REGS, &regs);
}

/* 0 when the guest is at the end of its code, or a negative number. */
static int vm_run(struct vm *vm)
{
	if (ioctl(vm->vcpu, KVM_RUN, 0))
		return -errno;
	return vm->run->exit_reason == KVM_EXIT_IO && vm->run->io.port == PORT ?
	       0 : -ENOTRECOVERABLE;
}

static int vm_store(struct vm *vm, uint64_t offset, uint8_t value)
{
	if (!vm_prepare(vm, store, sizeof(store), offset, value))
		return -EINVAL;
	return vm_run(vm);
}

/* The value, or a negative number. */
static int vm_load(struct vm *vm, uint64_t offset)
{
	struct kvm_regs regs;
	int ret;

	if (!vm_prepare(vm, load, sizeof(load), offset, 0))
		return -EINVAL;
	ret = vm_run(vm);
	if (!ret && ioctl(vm->vcpu, KVM_GET_REGS, &regs))
		ret = -errno;
	return ret ? ret : (int)(regs.rax & 0xff);
}

/* A thread in which the guest counts, until KVM_RUN returns. */
static void *vm_thread(void *arg)
{
	struct vm *vm = arg;

	vm->ret = vm_run(vm);
	return NULL;
}

static bool vm_start(struct vm *vm)
{
	return vm_prepare(vm, count, sizeof(count), 0, 0) &&
	       !pthread_create(&vm->thread, NULL, vm_thread, vm);
}

/*
 * A thread in which the guest keeps trying to count after the memory is gone.
 */
static void *vm_stubborn_thread(void *arg)
{
	struct vm *vm = arg;

	while ((vm->ret = vm_run(vm)) == -EFAULT)
		__atomic_add_fetch(&vm->refused, 1, __ATOMIC_RELEASE);
	return NULL;
}

static bool vm_start_stubborn(struct vm *vm)
{
	vm->refused = 0;
	return vm_prepare(vm, count, sizeof(count), 0, 0) &&
	       !pthread_create(&vm->thread, NULL, vm_stubborn_thread, vm);
}

/* Has the thread got EFAULT? */
static bool vm_is_refused(const struct vm *vm)
{
	const struct timespec ms = { .tv_nsec = 1000000 };
	int i;

	for (i = 0; i < LONG_S * 1000; i++) {
		if (__atomic_load_n(&vm->refused, __ATOMIC_ACQUIRE))
			return true;
		nanosleep(&ms, NULL);
	}
	return false;
}

static void kicked(int sig)
{
}

/* Returns what KVM_RUN returned. */
static int vm_stop(struct vm *vm)
{
	struct sigaction action = { .sa_handler = kicked };

	sigaction(SIGUSR1, &action, NULL);
	vm->run->immediate_exit = 1;
	pthread_kill(vm->thread, SIGUSR1);
	pthread_join(vm->thread, NULL);
	vm->run->immediate_exit = 0;
	return vm->ret;
}

/* Does KVM_RUN return by itself? */
static bool vm_ended(struct vm *vm)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += LONG_S;
	if (!pthread_timedjoin_np(vm->thread, NULL, &until))
		return true;
	vm_stop(vm);
	return false;
}

static uint8_t byte_at(const char *mem)
{
	return __atomic_load_n(mem, __ATOMIC_RELAXED);
}

/* Does a guest count at that place? */
static bool counts(const char *mem)
{
	const struct timespec ms = { .tv_nsec = 1000000 };
	uint8_t first = byte_at(mem);
	int i;

	for (i = 0; i < LONG_S * 1000; i++) {
		if (byte_at(mem) != first)
			return true;
		nanosleep(&ms, NULL);
	}
	return false;
}

static bool no_kvm(void)
{
	return access("/dev/kvm", R_OK | W_OK);
}

static void load_and_store(struct __test_metadata *_metadata,
			   struct _test_data_mapping *self, bool irqchip)
{
	char *ram = p2p_ram(self->page);
	struct vm vm;
	size_t at;

	if (no_kvm())
		SKIP(return, WITHOUT "KVM");
	ASSERT_NE(MAP_FAILED, ram);
	ASSERT_TRUE(vm_init_irqchip(&vm, self->mem, self->size, irqchip));
	/* read first, so that it is mapped by a read fault */
	EXPECT_EQ((uint8_t)self->mem[0], vm_load(&vm, 0));
	EXPECT_TRUE(p2p_intact(self));

	for (at = 0; at < self->size; at += self->page) {
		EXPECT_EQ(0, vm_store(&vm, at + 1, at / self->page + 1));
		EXPECT_EQ(at / self->page + 1, byte_at(self->mem + at + 1));
		self->mem[at + 2] = 0x80 + at / self->page;
		EXPECT_EQ(0x80 + at / self->page, vm_load(&vm, at + 2));
	}

	/* also without an entry in the process */
	p2p_fill(self->mem, self->size, SEED, 0);
	ASSERT_EQ(0, madvise(self->mem, self->size, MADV_DONTNEED));
	EXPECT_FALSE(p2p_present(self->mem));
	EXPECT_EQ(0, vm_store(&vm, 0, self->mem[0]));
	EXPECT_TRUE(p2p_intact(self));

	/* The machine continues with other memory at the same address. */
	ASSERT_TRUE(set_data(&vm, NULL, 0));
	ASSERT_TRUE(set_data(&vm, ram, self->page));
	EXPECT_EQ(0, vm_store(&vm, 0, 0x5a));
	EXPECT_EQ(0x5a, ram[0]);
	EXPECT_TRUE(p2p_intact(self));
	vm_end(&vm);
	munmap(ram, self->page);
}

TEST_F(mapping, kvm)
{
	load_and_store(_metadata, self, false);
}

TEST_F(mapping, kvm_irqchip)
{
	load_and_store(_metadata, self, true);
}

/* The guest has no more access rights than the process. */
static void read_only(struct __test_metadata *_metadata,
		      struct _test_data_mapping *self, bool irqchip)
{
	struct vm vm;

	if (no_kvm())
		SKIP(return, WITHOUT "KVM");
	ASSERT_EQ(0, mprotect(self->mem, self->size, PROT_READ));
	ASSERT_TRUE(vm_init_irqchip(&vm, self->mem, self->size, irqchip));
	EXPECT_EQ((uint8_t)self->mem[1], vm_load(&vm, 1));
	EXPECT_EQ(-EFAULT, vm_store(&vm, 1, 0x5a));
	EXPECT_TRUE(p2p_intact(self));
	/* neither before nor after mprotect() */
	ASSERT_EQ(0, mprotect(self->mem, self->size, PROT_READ | PROT_WRITE));
	EXPECT_EQ(0, vm_store(&vm, 1, self->mem[1]));
	ASSERT_EQ(0, mprotect(self->mem, self->size, PROT_READ));
	EXPECT_EQ(-EFAULT, vm_store(&vm, 1, 0x5a));
	EXPECT_TRUE(p2p_intact(self));
	vm_end(&vm);
}

TEST_F(mapping, kvm_read_only)
{
	read_only(_metadata, self, false);
}

TEST_F(mapping, kvm_read_only_irqchip)
{
	read_only(_metadata, self, true);
}

/* A guest holds no references: unmapped memory is free immediately. */
static void unmapped(struct __test_metadata *_metadata,
		     struct _test_data_mapping *self, bool irqchip)
{
	struct vm vm;

	if (no_kvm())
		SKIP(return, WITHOUT "KVM");
	ASSERT_TRUE(vm_init_irqchip(&vm, self->mem, self->size, irqchip));
	ASSERT_TRUE(vm_start(&vm));
	EXPECT_TRUE(counts(self->mem));
	ASSERT_EQ(0, munmap(self->mem, self->size));
	EXPECT_TRUE(vm_ended(&vm));
	EXPECT_EQ(-EFAULT, vm.ret);
	EXPECT_EQ(self->before, p2p_available(self->provider));
	EXPECT_EQ(-EFAULT, vm_load(&vm, 0));

	/* The slot refers to addresses, whatever is mapped there. */
	ASSERT_EQ(self->mem, mmap(self->mem, self->size, PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	EXPECT_EQ(0, vm_load(&vm, 0));
	EXPECT_EQ(0, vm_store(&vm, 0, 0x5a));
	EXPECT_EQ(0x5a, self->mem[0]);
	vm_end(&vm);
}

TEST_F(mapping, kvm_unmapped)
{
	unmapped(_metadata, self, false);
}

TEST_F(mapping, kvm_unmapped_irqchip)
{
	unmapped(_metadata, self, true);
}

/*
 * The dirty log reports pages written by the guest, which has small entries
 * then.
 */
TEST_F(mapping, kvm_dirty_log)
{
	uint64_t bitmap[2] = {};
	struct kvm_dirty_log log = { .slot = 1, .dirty_bitmap = bitmap };
	struct vm vm;

	if (no_kvm())
		SKIP(return, WITHOUT "KVM");
	ASSERT_TRUE(vm_init(&vm, self->mem, self->size));
	EXPECT_EQ(0, vm_store(&vm, self->page, 1));
	ASSERT_TRUE(set_slot(&vm, 1, DATA_AT, self->mem, self->size,
			     KVM_MEM_LOG_DIRTY_PAGES));
	EXPECT_EQ(0, vm_store(&vm, 2 * self->page, 1));
	EXPECT_EQ(0, vm_store(&vm, 5 * self->page, 1));
	ASSERT_EQ(0, ioctl(vm.fd, KVM_GET_DIRTY_LOG, &log));
	EXPECT_EQ((1 << 2) | (1 << 5), bitmap[0]);
	EXPECT_EQ(0, vm_store(&vm, 5 * self->page, 2));
	ASSERT_EQ(0, ioctl(vm.fd, KVM_GET_DIRTY_LOG, &log));
	EXPECT_EQ(1 << 5, bitmap[0]);
	vm_end(&vm);
}

static long long huge_entries(void)
{
	char text[32] = "";
	int fd = open(PAGES_2M, O_RDONLY);
	ssize_t len = read(fd, text, sizeof(text) - 1);

	close(fd);
	return len > 0 ? strtoll(text, NULL, 10) : -1;
}

TEST_F(mapping, kvm_huge)
{
	char *mem = p2p_map(self->provider, HUGE);
	struct vm vm;

	if (no_kvm())
		SKIP(return, WITHOUT "KVM");
	ASSERT_NE(MAP_FAILED, mem);
	ASSERT_EQ(0, (uintptr_t)mem % HUGE);
	ASSERT_TRUE(vm_init(&vm, mem, HUGE));
	EXPECT_EQ(0, huge_entries());
	EXPECT_EQ(0, vm_store(&vm, HUGE - 1, 0x5a));
	EXPECT_EQ(0x5a, byte_at(mem + HUGE - 1));
	EXPECT_EQ(1, huge_entries());
	EXPECT_EQ(0, vm_store(&vm, 1, 0x5b));
	EXPECT_EQ(0x5b, byte_at(mem + 1));

	/* Unmapping a part drops the huge entry. */
	ASSERT_EQ(0, munmap(mem, HUGE / 2));
	EXPECT_EQ(0, huge_entries());
	EXPECT_EQ(-EFAULT, vm_load(&vm, 1));
	EXPECT_EQ(0x5a, vm_load(&vm, HUGE - 1));
	EXPECT_EQ(0, huge_entries());
	ASSERT_EQ(0, munmap(mem + HUGE / 2, HUGE / 2));
	EXPECT_EQ(-EFAULT, vm_load(&vm, HUGE - 1));
	vm_end(&vm);
}

/* Makes KVM keep the guest's clock at this address, and runs the guest. */
static bool keep_clock(struct vm *vm, uint64_t at)
{
	struct {
		struct kvm_msrs msrs;
		struct kvm_msr_entry entry;
	} call = {
		.msrs.nmsrs = 1,
		.entry = { .index = MSR_CLOCK, .data = at | CLOCK_ENABLE },
	};

	return ioctl(vm->vcpu, KVM_SET_MSRS, &call) == 1 && vm_load(vm, 0) >= 0;
}

/* Guest memory that KVM itself accesses has to be RAM. */
static void clock_is_refused(struct __test_metadata *_metadata, const char *mem,
			     size_t size)
{
	char *ram = p2p_ram(sysconf(_SC_PAGESIZE));
	struct vm vm;

	ASSERT_NE(MAP_FAILED, ram);
	ASSERT_TRUE(vm_init(&vm, (void *)mem, size));
	ASSERT_TRUE(set_slot(&vm, 2, CLOCK_AT, ram, vm.page, 0));
	EXPECT_TRUE(keep_clock(&vm, CLOCK_AT + CLOCK_SIZE));
	EXPECT_EQ(-1, p2p_not_set(ram, CLOCK_SIZE, 0));
	EXPECT_NE(-1, p2p_not_set(ram + CLOCK_SIZE, CLOCK_SIZE, 0));

	EXPECT_TRUE(keep_clock(&vm, DATA_AT + CLOCK_SIZE));
	EXPECT_EQ(-1, p2p_differs(mem, size, SEED, 0));

	/* The guest still works. */
	EXPECT_EQ(0, vm_store(&vm, 1, 0x5a));
	EXPECT_EQ(0x5a, byte_at(mem + 1));
	p2p_set(ram, vm.page, 0);
	EXPECT_TRUE(keep_clock(&vm, CLOCK_AT));
	EXPECT_NE(-1, p2p_not_set(ram, CLOCK_SIZE, 0));
	vm_end(&vm);
	munmap(ram, sysconf(_SC_PAGESIZE));
}

TEST_F(mapping, kvm_clock)
{
	if (no_kvm())
		SKIP(return, WITHOUT "KVM");
	clock_is_refused(_metadata, self->mem, self->size);
}

/* The guest waits for the reset, and continues. */
static void reset(struct __test_metadata *_metadata, struct _test_data_mapping *self,
		  bool irqchip)
{
	struct vm vm;
	int round;

	if (no_kvm())
		SKIP(return, WITHOUT "KVM");
	if (!p2p_can_reset(self->provider))
		SKIP(return, "the device has no way to be reset");
	ASSERT_TRUE(vm_init_irqchip(&vm, self->mem, self->size, irqchip));
	ASSERT_TRUE(vm_start(&vm));
	for (round = 0; round < 3; round++) {
		EXPECT_TRUE(counts(self->mem));
		ASSERT_EQ(0, p2p_reset(self->provider));
	}
	EXPECT_TRUE(counts(self->mem));
	EXPECT_EQ(-EINTR, vm_stop(&vm));
	vm_end(&vm);
}

TEST_F(mapping, kvm_reset)
{
	reset(_metadata, self, false);
}

TEST_F(mapping, kvm_reset_irqchip)
{
	reset(_metadata, self, true);
}

/* Memory without struct pages; the fixture's drive is not involved. */
TEST_F(mapping, kvm_range)
{
	const char *vram = getenv("P2P_VRAM");
	struct vm vm;
	char *mem;

	if (no_kvm())
		SKIP(return, WITHOUT "KVM");
	if (!vram)
		SKIP(return, "P2P_VRAM names no device");
	mem = map_vram(vram, self->size, 0);
	ASSERT_NE(MAP_FAILED, mem);
	ASSERT_TRUE(vm_init(&vm, mem, self->size));
	EXPECT_EQ(0, vm_store(&vm, self->page, 0x5a));
	EXPECT_EQ(0x5a, byte_at(mem + self->page));
	mem[1] = 0x5b;
	EXPECT_EQ(0x5b, vm_load(&vm, 1));
	ASSERT_EQ(0, munmap(mem, self->size));
	EXPECT_EQ(-EFAULT, vm_load(&vm, 1));
	vm_end(&vm);
}

TEST_F(mapping, kvm_range_clock)
{
	const char *vram = getenv("P2P_VRAM");
	char *mem;

	if (no_kvm())
		SKIP(return, WITHOUT "KVM");
	if (!vram)
		SKIP(return, "P2P_VRAM names no device");
	mem = map_vram(vram, self->size, 0);
	ASSERT_NE(MAP_FAILED, mem);
	p2p_fill(mem, self->size, SEED, 0);
	clock_is_refused(_metadata, mem, self->size);
	munmap(mem, self->size);
}

FIXTURE(kvm_removal)
{
	P2P_FIXTURE;
};

P2P_VARIANTS(kvm_removal, P2P_BAR_DRIVER, NULL);

FIXTURE_SETUP(kvm_removal)
{
	ASSERT_TRUE(p2p_setup(&self->p2p, &variant->p2p, 4 * MIB));
}

FIXTURE_TEARDOWN(kvm_removal)
{
	p2p_release(&self->p2p);
	EXPECT_BACK(self);
}

/* The guest has the memory until the driver is unbound, and never again. */
static void unbind(struct __test_metadata *_metadata, const struct p2p_fixture *p2p,
		   const char *driver, bool irqchip)
{
	struct vm vm;

	if (no_kvm())
		SKIP(return, WITHOUT "KVM");
	ASSERT_TRUE(vm_init_irqchip(&vm, p2p->mem, p2p->size, irqchip));
	ASSERT_TRUE(vm_start(&vm));
	EXPECT_TRUE(counts(p2p->mem));
	ASSERT_EQ(0, p2p_driver_unbind(driver, p2p->provider));
	EXPECT_TRUE(vm_ended(&vm));
	EXPECT_EQ(-EFAULT, vm.ret);
	EXPECT_EQ(-EFAULT, vm_load(&vm, 0));

	ASSERT_EQ(0, p2p_driver_bind(driver, p2p->provider));
	EXPECT_EQ(p2p->before, p2p_available(p2p->provider));
	EXPECT_EQ(-EFAULT, vm_store(&vm, 0, 1));
	vm_end(&vm);
}

TEST_F(kvm_removal, unbind)
{
	unbind(_metadata, &self->p2p, P2P_BAR_DRIVER, false);
}

TEST_F(kvm_removal, unbind_irqchip)
{
	unbind(_metadata, &self->p2p, P2P_BAR_DRIVER, true);
}

/* The same with memory without struct pages. */
static void unbind_range(struct __test_metadata *_metadata, size_t size, bool irqchip)
{
	struct p2p_fixture range = { .provider = getenv("P2P_VRAM"), .size = size };

	if (!range.provider)
		SKIP(return, "P2P_VRAM names no device");
	range.before = p2p_available(range.provider);
	range.mem = map_vram(range.provider, size, 0);
	ASSERT_NE(MAP_FAILED, range.mem);
	unbind(_metadata, &range, VRAM, irqchip);
	munmap(range.mem, size);
}

TEST_F(kvm_removal, unbind_range)
{
	unbind_range(_metadata, self->size, false);
}

TEST_F(kvm_removal, unbind_range_irqchip)
{
	unbind_range(_metadata, self->size, true);
}

/*
 * The memory that the guest had goes to others once the driver is bound again.
 */
TEST_F(kvm_removal, race)
{
	const struct timespec moment = { .tv_nsec = 20000000 };
	struct vm vm;
	char *mem;
	int round;

	if (no_kvm())
		SKIP(return, WITHOUT "KVM");
	for (round = 0; round < 6; round++) {
		ASSERT_TRUE(vm_init_irqchip(&vm, self->mem, self->size, round & 1));
		ASSERT_TRUE(vm_start_stubborn(&vm));
		/* In every other pair of rounds, wait until the guest runs. */
		if (round & 2)
			EXPECT_TRUE(counts(self->mem));
		ASSERT_EQ(0, p2p_unbind(self->provider));
		ASSERT_EQ(0, p2p_bind(self->provider));

		/*
		 * At another address, since the guest may use mappings at the
		 * old one.
		 */
		mem = p2p_map(self->provider, self->size);
		ASSERT_NE(MAP_FAILED, mem);
		p2p_fill(mem, self->size, SEED, 0);
		EXPECT_TRUE(vm_is_refused(&vm));
		nanosleep(&moment, NULL);
		EXPECT_EQ(-1, p2p_differs(mem, self->size, SEED, 0));
		EXPECT_EQ(-EINTR, vm_stop(&vm));
		vm_end(&vm);
		ASSERT_EQ(0, munmap(self->mem, self->size));
		self->mem = mem;
	}
}

TEST_HARNESS_MAIN
