/* SPDX-License-Identifier: GPL-2.0 */
/* The sample driver samples/p2pdma/p2p-edu.c. */
#ifndef P2P_EDU_TEST_H
#define P2P_EDU_TEST_H

#include <fcntl.h>
#include <pthread.h>
#include <samples/p2pdma/p2p-edu.h>
#include <stdio.h>
#include <stdbool.h>
#include <sys/ioctl.h>

#include "bind.h"
#include "p2pmem.h"

#define PARAMETERS	"/sys/module/p2p_edu/parameters/"
#define EDU		"p2p-edu"

#define WIDE_BITS	"64"
#define NARROW_BITS	"28"

#define LEN		P2P_EDU_MAX_LEN
/* Room for the longest copy at the largest offset. */
#define SIZE		(LEN + 4096)
#define NR_BUFFERS	2

enum { SRC, DST };

/* Members of the fixtures, see P2P_FIXTURE: the driver, and memory to copy. */
struct edu_fixture {
	const char *provider;
	const char *wide;	/* a device that reaches all addresses */
	size_t page;
	char *bar[NR_BUFFERS];	/* peer-to-peer memory of the provider */
	char *ram[NR_BUFFERS];
	int fd;			/* of the wide device */
};

#define EDU_FIXTURE			\
	union {				\
		struct edu_fixture;	\
		struct edu_fixture edu;	\
	}

bool edu_begin(struct edu_fixture *self, const char *provider, const char *wide);
void edu_end(struct edu_fixture *self);
int bind_edu(const char *device, const char *bits);
int open_edu(const char *device);
ssize_t copy_flags(int fd, const void *src, void *dst, size_t len, unsigned int flags);

int attach_edu(int fd, int dmabuf);
int mirror_edu(int fd, const void *addr, size_t len);

/* A copy in a thread of its own. */
struct edu_call {
	pthread_t thread;
	int fd;
	const char *src;
	char *dst;
	unsigned int flags;
	ssize_t ret;		/* once the thread was joined */
	bool done;
};

bool edu_start(struct edu_call *call, int fd, const char *src, char *dst,
	       unsigned int flags);
bool edu_is_done(const struct edu_call *call);

static inline ssize_t copy(int fd, const void *src, void *dst, size_t len)
{
	return copy_flags(fd, src, dst, len, 0);
}

static inline ssize_t mirrored(int fd, const void *src, void *dst, size_t len)
{
	return copy_flags(fd, src, dst, len, P2P_EDU_MIRRORED);
}

#endif
