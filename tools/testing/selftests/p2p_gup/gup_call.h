/* SPDX-License-Identifier: GPL-2.0 */
/* Calls of get_user_pages(), through lib/test_p2p.c. */
#ifndef GUP_CALL_H
#define GUP_CALL_H

#include <errno.h>
#include <fcntl.h>
#include <lib/test_p2p_uapi.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define P2P_TEST_FILE	"/sys/kernel/debug/p2p_test"

/* Copied from mm.h. */
#define FOLL_WRITE	0x01
#define FOLL_GET	0x04
#define FOLL_FORCE	0x10
#define FOLL_NOWAIT	0x20
#define FOLL_NOFAULT	0x80
#define FOLL_LONGTERM	0x10000
#define FOLL_PCI_P2PDMA	0x100000

/* How much a pin of a base page adds to its reference count. */
#define GUP_PIN_COUNTING_BIAS	1024

struct form {
	const char *name;
	unsigned int nr;	/* enum p2p_test_form */
	int bias;		/* what it adds to the reference count */
	bool lockless;		/* tries the lockless walk first */
	bool only;		/* and only that */
	bool longterm;		/* knows FOLL_LONGTERM */
};

/* All forms that can get several pages. */
static const struct form forms[] = {
	{ "get_user_pages", P2P_TEST_GET, 1 },
	{ "get_user_pages_remote", P2P_TEST_GET_REMOTE, 1 },
	{ "get_user_pages_unlocked", P2P_TEST_GET_UNLOCKED, 1 },
	{ "get_user_pages_fast", P2P_TEST_GET_FAST, 1, true },
	{ "get_user_pages_fast_only", P2P_TEST_GET_FAST_ONLY, 1, true, true },
	{ "pin_user_pages", P2P_TEST_PIN, GUP_PIN_COUNTING_BIAS,
	  .longterm = true },
	{ "pin_user_pages_remote", P2P_TEST_PIN_REMOTE, GUP_PIN_COUNTING_BIAS,
	  .longterm = true },
	{ "pin_user_pages_unlocked", P2P_TEST_PIN_UNLOCKED,
	  GUP_PIN_COUNTING_BIAS },
	{ "pin_user_pages_fast", P2P_TEST_PIN_FAST, GUP_PIN_COUNTING_BIAS, true,
	  .longterm = true },
	{ "pin_user_pages_fast_only", P2P_TEST_PIN_FAST_ONLY,
	  GUP_PIN_COUNTING_BIAS, true, true },
	{ "iov_iter_get_pages_flags", P2P_TEST_ITER, 1, true },
	{ "iov_iter_get_pages_alloc_flags", P2P_TEST_ITER_ALLOC, 1, true },
	{ "get_user_pages with VMAs", P2P_TEST_GET_VMAS, 1 },
};

#define for_each_form(form) \
	for ((form) = forms; (form) < forms + ARRAY_SIZE(forms); (form)++)

/*
 * Logs the name of the form when an expectation fails; for fixtures that keep
 * it in self->form.
 */
#define LOG() TH_LOG("%s", self->form->name)

long gup_call(int fd, unsigned int form, const void *addr,
	      unsigned int nr_pages, unsigned int flags,
	      struct p2p_test_page *pages, bool hold, pid_t pid);

/* For FIXTURE_SETUP(): opens the test module; skips the test without it. */
#define P2P_TEST_OPEN()							\
	({								\
		int fd_ = open(P2P_TEST_FILE, O_RDWR | O_CLOEXEC);	\
									\
		if (fd_ < 0)						\
			SKIP(p2p_skip_now(), "no " P2P_TEST_FILE	\
			     ": CONFIG_TEST_P2P, debugfs?");		\
		fd_;							\
	})

/* Gets pages and puts them again. */
static inline long gup(int fd, unsigned int form, const void *addr,
		       unsigned int nr_pages, unsigned int flags)
{
	return gup_call(fd, form, addr, nr_pages, flags, NULL, false, 0);
}

/* Gets pages that gup_put() puts. */
static inline long gup_hold(int fd, unsigned int form, const void *addr,
			    unsigned int nr_pages, unsigned int flags,
			    struct p2p_test_page *pages)
{
	return gup_call(fd, form, addr, nr_pages, flags, pages, true, 0);
}

static inline int gup_put(int fd)
{
	return ioctl(fd, P2P_TEST_PUT, 0);
}

int gup_count(int fd, uint64_t pfn);
bool p2p_function_of(const char *addr, struct p2p_test_function *function);
bool p2p_client_of(const char *disk, struct p2p_test_function *client);

#endif
