// SPDX-License-Identifier: GPL-2.0
/* The sample driver samples/p2pdma/p2p-edu.c. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <samples/p2pdma/p2p-edu.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../bind.h"
#include "../edu.h"
#include "../p2pmem.h"

/* Binds the wide device, and allocates the buffers. */
bool edu_begin(struct edu_fixture *self, const char *provider, const char *wide)
{
	int i;

	self->provider = provider;
	self->wide = wide;
	self->page = sysconf(_SC_PAGESIZE);
	self->fd = -1;
	for (i = 0; i < NR_BUFFERS; i++) {
		self->bar[i] = p2p_map(provider, SIZE);
		self->ram[i] = p2p_ram(SIZE);
		if (self->bar[i] == MAP_FAILED || self->ram[i] == MAP_FAILED) {
			perror(provider);
			return false;
		}
	}
	if (bind_edu(wide, WIDE_BITS))
		return false;
	self->fd = open_edu(wide);
	if (self->fd < 0)
		perror(wide);
	return self->fd >= 0;
}

/* The device stays bound. */
void edu_end(struct edu_fixture *self)
{
	int i;

	close(self->fd);
	for (i = 0; i < NR_BUFFERS; i++) {
		munmap(self->bar[i], SIZE);
		munmap(self->ram[i], SIZE);
	}
}

int bind_edu(const char *device, const char *bits)
{
	if (p2p_has_driver(device, EDU))
		p2p_driver_unbind(EDU, device);
	return p2p_write_file(PARAMETERS "dma_bits", bits) ?:
	       p2p_driver_bind(EDU, device);
}

int open_edu(const char *device)
{
	char path[P2P_PATH_LEN];

	snprintf(path, sizeof(path), "/dev/" EDU "-%s", device);
	return open(path, O_RDWR | O_CLOEXEC);
}

/* -1 detaches. Returns 0 or a negative errno. */
int attach_edu(int fd, int dmabuf)
{
	return p2p_result(ioctl(fd, P2P_EDU_ATTACH, dmabuf));
}

int mirror_edu(int fd, const void *addr, size_t len)
{
	struct p2p_edu_mirror mirror = {
		.addr = (uintptr_t)addr,
		.len = len,
	};

	return p2p_result(ioctl(fd, P2P_EDU_MIRROR, &mirror));
}

ssize_t copy_flags(int fd, const void *src, void *dst, size_t len,
		   unsigned int flags)
{
	struct p2p_edu_copy copy = {
		.src = (uintptr_t)src,
		.dst = (uintptr_t)dst,
		.len = len,
		.flags = flags,
	};

	return p2p_result(ioctl(fd, P2P_EDU_COPY, &copy));
}

static void *make_call(void *arg)
{
	struct edu_call *call = arg;

	call->ret = copy_flags(call->fd, call->src, call->dst, LEN, call->flags);
	__atomic_store_n(&call->done, true, __ATOMIC_RELEASE);
	return NULL;
}

/* Starts a copy of the maximum length of a call. */
bool edu_start(struct edu_call *call, int fd, const char *src, char *dst,
	       unsigned int flags)
{
	*call = (struct edu_call) {
		.fd = fd,
		.src = src,
		.dst = dst,
		.flags = flags,
	};
	return !pthread_create(&call->thread, NULL, make_call, call);
}

bool edu_is_done(const struct edu_call *call)
{
	return __atomic_load_n(&call->done, __ATOMIC_ACQUIRE);
}
