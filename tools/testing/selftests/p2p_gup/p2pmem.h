/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shared by the tests of peer-to-peer memory.
 *
 * A test runs once for each provider, a PCI device with p2pmem/allocate in
 * sysfs, and an I/O test once for each client drive. The environment describes
 * the devices and the expected results:
 *
 *	P2P_PROVIDERS	addresses of the providers, separated by spaces; if not
 *			set: all devices with p2pmem/allocate
 *	P2P_DISK_NAME	block device of the drive NAME (RAW, CMB, EXT4, XFS); what
 *			it holds is overwritten
 *	P2P_ROUTE	how a drive reaches the memory of another device: bus,
 *			host-bridge, or none (EREMOTEIO)
 */
#ifndef P2PMEM_H
#define P2PMEM_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/types.h>

#define P2P_PCI_DEVICES	"/sys/bus/pci/devices"
#define P2P_ADDR_LEN	24
#define P2P_PATH_LEN	300
#define P2P_MAX		32

#define KIB		1024UL
#define MIB		(1024UL * KIB)
#define SECTOR		512UL

/* One instance of a test: the provider, and the client drive if it has one. */
struct p2p_variant {
	char name[2 * P2P_ADDR_LEN];
	const char *provider;
	const char *disk;		/* lower case, empty for no drive */
	int index;			/* of the provider */
};

int p2p_variants(struct p2p_variant *list, const char *driver,
		 const char *const *disks);
int p2p_variants_or_skip(struct p2p_variant *list, const char *driver,
			 const char *const *disks);

/* Common members of fixtures. */
struct p2p_fixture {
	const char *provider;
	long long total;		/* size of its memory */
	long long before;		/* available before the test */
	size_t page;
	size_t size;			/* of mem and ram */
	char *mem;			/* peer-to-peer memory */
	char *ram;
	int disk;			/* the drive, opened for O_DIRECT */
	bool works;			/* it reaches the provider */
};

/* For use in a fixture, which gets the members of struct p2p_fixture. */
#define P2P_FIXTURE				\
	union {					\
		struct p2p_fixture;		\
		struct p2p_fixture p2p;		\
	}

/* lib/fixture.c, for FIXTURE_SETUP() and FIXTURE_TEARDOWN() */
bool p2p_setup(struct p2p_fixture *self, const struct p2p_variant *variant, size_t size);
bool p2p_setup_ram(struct p2p_fixture *self);
bool p2p_setup_drive(struct p2p_fixture *self, const struct p2p_variant *variant,
		     int flags);
bool p2p_setup_io(struct p2p_fixture *self, const struct p2p_variant *variant,
		  size_t size, int flags);
bool p2p_drive_holds(struct p2p_fixture *self, off_t where, size_t len, uint64_t seed);
void p2p_release(struct p2p_fixture *self);
int p2p_wait(pid_t child);

/* small files; a number is -1 if it can't be read */
int p2p_write_file(const char *path, const char *text);
long long p2p_number(const char *provider, const char *file);
void p2p_path(char *path, const char *provider, const char *file);
bool p2p_has_driver(const char *provider, const char *driver);

/* A single access to a word: never torn, repeated or omitted. */
static inline uint64_t p2p_load(const void *addr)
{
	return __atomic_load_n((const uint64_t *)addr, __ATOMIC_RELAXED);
}

static inline void p2p_store(void *addr, uint64_t word)
{
	__atomic_store_n((uint64_t *)addr, word, __ATOMIC_RELAXED);
}

/* The result of a system call, with an error as a negative errno. */
static inline ssize_t p2p_result(ssize_t ret)
{
	return ret < 0 ? -errno : ret;
}

/* Ordinary memory; MAP_FAILED if there is none. */
static inline void *p2p_ram(size_t size)
{
	return mmap(NULL, size, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

/* memory */
long long p2p_available(const char *provider);
bool p2p_settles(const char *provider, long long available);
int p2p_open(const char *provider, int flags);
void *p2p_map_fd(int fd, size_t size, int flags, off_t offset);
void *p2p_map(const char *provider, size_t size);
bool p2p_cpu_has_pud(void);
uint64_t p2p_pagemap(const void *addr);
bool p2p_bar(const char *provider, int bar, uint64_t *start, uint64_t *len,
	     uint64_t *flags);
int p2p_fault_of(void *addr, bool store);
int p2p_bar_of_pfn(const char *provider, uint64_t pfn, uint64_t *start,
		   uint64_t *len, uint64_t *flags);
bool p2p_pfn_in_bar(const char *provider, uint64_t pfn);

#define PAGEMAP_SOFT_DIRTY	(UINT64_C(1) << 55)
#define PAGEMAP_EXCLUSIVE	(UINT64_C(1) << 56)
#define PAGEMAP_FILE		(UINT64_C(1) << 61)
#define PAGEMAP_SWAP		(UINT64_C(1) << 62)
#define PAGEMAP_PRESENT		(UINT64_C(1) << 63)
#define PAGEMAP_PFN(entry)	((entry) & ((UINT64_C(1) << 55) - 1))

/* drives */
const char *p2p_disk(const char *disk);
bool p2p_path_is_own(const char *path, const char *provider);
bool p2p_is_own(const char *disk, const char *provider);
bool p2p_reaches(const char *disk, const char *provider);

/* pattern.c: data that identifies its position and its seed */
void p2p_fill(void *buf, size_t len, uint64_t seed, uint64_t where);
ssize_t p2p_differs(const void *buf, size_t len, uint64_t seed, uint64_t where);
void p2p_set(void *buf, size_t len, uint64_t word);
ssize_t p2p_not_set(const void *buf, size_t len, uint64_t word);
ssize_t p2p_unlike(const void *a, const void *b, size_t len);
void p2p_host_expect(const char *disk, uint64_t offset, size_t len,
		     uint64_t seed);

#endif
