// SPDX-License-Identifier: GPL-2.0
/*
 * A virtual machine whose memory is peer-to-peer memory: KVM can't map it into
 * the guest, and says so where the guest touches it.
 */
#define _GNU_SOURCE
#include <linux/kvm.h>
#include <sys/ioctl.h>

#include "mapping.h"

#define CODE_AT	0x1000		/* guest physical, as real mode sees it */
#define DATA_AT	0x2000

/* mov al, [DATA_AT]; hlt */
static const uint8_t load[] = { 0xa0, DATA_AT & 0xff, DATA_AT >> 8, 0xf4 };
/* mov [DATA_AT], al; hlt */
static const uint8_t store[] = { 0xa2, DATA_AT & 0xff, DATA_AT >> 8, 0xf4 };

struct vm {
	int kvm, fd, vcpu;
	struct kvm_run *run;
	size_t run_size;
	char *code;
};

static bool set_slot(struct vm *vm, int slot, uint64_t at, void *mem,
		     size_t size)
{
	struct kvm_userspace_memory_region region = {
		.slot = slot,
		.guest_phys_addr = at,
		.memory_size = size,
		.userspace_addr = (uintptr_t)mem,
	};

	return !ioctl(vm->fd, KVM_SET_USER_MEMORY_REGION, &region);
}

/* A machine with one CPU, a page of code, and a page of data. */
static bool vm_init(struct vm *vm, int kvm, void *data, size_t page)
{
	int size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);

	vm->kvm = kvm;
	vm->fd = ioctl(kvm, KVM_CREATE_VM, 0);
	vm->code = p2p_ram(page);
	if (size < 0 || vm->fd < 0 || vm->code == MAP_FAILED)
		return false;
	vm->run_size = size;
	vm->vcpu = ioctl(vm->fd, KVM_CREATE_VCPU, 0);
	vm->run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED,
		       vm->vcpu, 0);
	return vm->run != MAP_FAILED &&
	       set_slot(vm, 0, CODE_AT, vm->code, page) &&
	       set_slot(vm, 1, DATA_AT, data, page);
}

static void vm_end(struct vm *vm)
{
	munmap(vm->run, vm->run_size);
	close(vm->vcpu);
	close(vm->fd);
}

/* Runs code from its start: what KVM_RUN returned, with errno. */
static int vm_run(struct vm *vm, const uint8_t *code, size_t len)
{
	struct kvm_regs regs = { .rip = CODE_AT, .rflags = 2, .rax = 0x5a };
	struct kvm_sregs sregs;

	memcpy(vm->code, code, len);
	if (ioctl(vm->vcpu, KVM_GET_SREGS, &sregs))
		return -2;
	sregs.cs.base = 0;
	sregs.cs.selector = 0;
	if (ioctl(vm->vcpu, KVM_SET_SREGS, &sregs) ||
	    ioctl(vm->vcpu, KVM_SET_REGS, &regs))
		return -2;
	errno = 0;
	return ioctl(vm->vcpu, KVM_RUN, 0);
}

TEST_F(mapping, kvm)
{
	int kvm = open("/dev/kvm", O_RDWR);
	char *ram = p2p_ram(self->page);
	struct vm vm;

	if (kvm < 0)
		SKIP(return, WITHOUT "KVM");
	ASSERT_NE(MAP_FAILED, ram);
	ASSERT_TRUE(vm_init(&vm, kvm, self->mem, self->page));
	EXPECT_ERRNO(EFAULT, vm_run(&vm, load, sizeof(load)));
	EXPECT_ERRNO(EFAULT, vm_run(&vm, store, sizeof(store)));
	EXPECT_TRUE(p2p_intact(self));

	/* also where the CPU has no entry to find */
	ASSERT_EQ(0, madvise(self->mem, self->size, MADV_DONTNEED));
	EXPECT_ERRNO(EFAULT, vm_run(&vm, store, sizeof(store)));
	EXPECT_TRUE(p2p_intact(self));

	/* The machine goes on with other memory in that place. */
	ASSERT_TRUE(set_slot(&vm, 1, DATA_AT, NULL, 0));
	ASSERT_TRUE(set_slot(&vm, 1, DATA_AT, ram, self->page));
	EXPECT_EQ(0, vm_run(&vm, store, sizeof(store)));
	EXPECT_EQ(KVM_EXIT_HLT, vm.run->exit_reason);
	EXPECT_EQ(0x5a, ram[0]);
	vm_end(&vm);
	close(kvm);
}

TEST_HARNESS_MAIN
