// SPDX-License-Identifier: GPL-2.0
/* Providers, their memory and their clients, through sysfs and procfs. */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "p2pmem.h"

#define SETTLE_MS	5000
#define PCI_STD_BARS	6

void p2p_path(char *path, const char *provider, const char *file)
{
	snprintf(path, P2P_PATH_LEN, P2P_PCI_DEVICES "/%s/%s", provider, file);
}

/* Returns 0 or an errno. */
int p2p_write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	int error = 0;

	if (fd < 0)
		return errno;
	if (write(fd, text, strlen(text)) < 0)
		error = errno;
	close(fd);
	return error;
}

long long p2p_number(const char *provider, const char *file)
{
	char path[P2P_PATH_LEN], text[32] = "";
	long long number = -1;
	int fd;

	p2p_path(path, provider, file);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return -1;
	if (read(fd, text, sizeof(text) - 1) > 0)
		number = strtoll(text, NULL, 0);
	close(fd);
	return number;
}

bool p2p_has_driver(const char *provider, const char *driver)
{
	char path[P2P_PATH_LEN], link[PATH_MAX];
	ssize_t len;

	p2p_path(path, provider, "driver");
	len = readlink(path, link, sizeof(link) - 1);
	if (len < 0)
		return false;
	link[len] = '\0';
	return !strcmp(strrchr(link, '/') + 1, driver);
}

static int find_providers(char addrs[][P2P_ADDR_LEN])
{
	const char *given = getenv("P2P_PROVIDERS");
	struct dirent *entry;
	char path[P2P_PATH_LEN];
	int nr = 0;
	DIR *dir;

	if (given) {
		while (nr < P2P_MAX && sscanf(given, " %23s", addrs[nr]) == 1) {
			given = strstr(given, addrs[nr]) + strlen(addrs[nr]);
			nr++;
		}
		return nr;
	}

	dir = opendir(P2P_PCI_DEVICES);
	while (dir && nr < P2P_MAX && (entry = readdir(dir))) {
		p2p_path(path, entry->d_name, "p2pmem/allocate");
		if (!access(path, F_OK))
			snprintf(addrs[nr++], P2P_ADDR_LEN, "%.23s",
				 entry->d_name);
	}
	if (dir)
		closedir(dir);
	return nr;
}

/*
 * Lists all pairs of a provider and a drive of the NULL-terminated disks[]; all
 * providers if disks[] is empty. driver: only providers bound to it.
 */
int p2p_variants(struct p2p_variant *list, const char *driver,
		 const char *const *disks)
{
	static const char *const no_disk[] = { "", NULL };
	static char addrs[P2P_MAX][P2P_ADDR_LEN];
	int nr_addrs = find_providers(addrs);
	int i, nr = 0;

	/* I/O tests need it to know the expected result. */
	if (disks[0] && !getenv("P2P_ROUTE"))
		return 0;
	if (!disks[0])
		disks = no_disk;
	for (; *disks; disks++) {
		if (**disks && !p2p_disk(*disks))
			continue;
		for (i = 0; i < nr_addrs && nr < P2P_MAX; i++) {
			struct p2p_variant *v = &list[nr];

			if (driver && !p2p_has_driver(addrs[i], driver))
				continue;
			v->provider = addrs[i];
			v->disk = *disks;
			snprintf(v->name, sizeof(v->name), "%.23s%s%s", addrs[i],
				 **disks ? "_" : "", *disks);
			v->index = i;
			nr++;
		}
	}
	return nr;
}

long long p2p_available(const char *provider)
{
	return p2p_number(provider, "p2pmem/available");
}

/* Waits for I/O in flight: is this much available again? */
bool p2p_settles(const char *provider, long long available)
{
	const struct timespec ms = { .tv_nsec = 1000000 };
	int i;

	for (i = 0; i < SETTLE_MS; i++) {
		if (p2p_available(provider) == available)
			return true;
		nanosleep(&ms, NULL);
	}
	return false;
}

int p2p_open(const char *provider, int flags)
{
	char path[P2P_PATH_LEN];

	p2p_path(path, provider, "p2pmem/allocate");
	return open(path, flags | O_CLOEXEC);
}

/*
 * Maps a file descriptor, and closes it. Returns MAP_FAILED, with errno set, on
 * failure, also for a negative descriptor.
 */
void *p2p_map_fd(int fd, size_t size, int flags, off_t offset)
{
	int error;
	void *mem;

	if (fd < 0)
		return MAP_FAILED;
	mem = mmap(NULL, size, PROT_READ | PROT_WRITE, flags, fd, offset);
	error = errno;
	close(fd);
	errno = error;
	return mem;
}

/* Returns MAP_FAILED, with errno set, on failure. */
void *p2p_map(const char *provider, size_t size)
{
	return p2p_map_fd(p2p_open(provider, O_RDWR), size, MAP_SHARED, 0);
}

/* Older CPUs have no entries of 1 GiB. */
bool p2p_cpu_has_pud(void)
{
	FILE *file = fopen("/proc/cpuinfo", "r");
	char line[8192];
	bool found = false;

	while (file && fgets(line, sizeof(line), file))
		found |= !!strstr(line, " pdpe1gb ");
	if (file)
		fclose(file);
	return found;
}

/* The entry of a page in /proc/self/pagemap; 0 if there is none. */
uint64_t p2p_pagemap(const void *addr)
{
	int fd = open("/proc/self/pagemap", O_RDONLY);
	uint64_t entry = 0;

	if (fd < 0)
		return 0;
	if (pread(fd, &entry, sizeof(entry), (uintptr_t)addr /
		  sysconf(_SC_PAGESIZE) * sizeof(entry)) != sizeof(entry))
		entry = 0;
	close(fd);
	return entry;
}

/* Does this BAR exist, and where is it? */
bool p2p_bar(const char *provider, int bar, uint64_t *start, uint64_t *len,
	     uint64_t *flags)
{
	char path[P2P_PATH_LEN];
	uint64_t end = 0;
	bool found = true;
	FILE *file;
	int i;

	p2p_path(path, provider, "resource");
	file = fopen(path, "r");
	if (!file)
		return false;
	for (i = 0; found && i <= bar; i++)
		found = fscanf(file, "%lx %lx %lx", start, &end, flags) == 3;
	fclose(file);
	*len = end - *start + 1;
	return found && end;
}

/* The number and location of the BAR that a page is in; -1 if in none. */
int p2p_bar_of_pfn(const char *provider, uint64_t pfn, uint64_t *start,
		   uint64_t *len, uint64_t *flags)
{
	uint64_t addr = pfn * sysconf(_SC_PAGESIZE);
	int bar;

	for (bar = 0; bar < PCI_STD_BARS; bar++)
		if (p2p_bar(provider, bar, start, len, flags) &&
		    addr >= *start && addr - *start < *len)
			return bar;
	return -1;
}

bool p2p_pfn_in_bar(const char *provider, uint64_t pfn)
{
	uint64_t start, len, flags;

	return p2p_bar_of_pfn(provider, pfn, &start, &len, &flags) >= 0;
}

static sigjmp_buf fault_env;

static void on_fault(int sig)
{
	siglongjmp(fault_env, sig);
}

/* Loads or stores a word; returns the signal raised, or 0. */
int p2p_fault_of(void *addr, bool store)
{
	struct sigaction action = { .sa_handler = on_fault };
	int sig;

	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	sig = sigsetjmp(fault_env, 1);
	if (!sig) {
		if (store)
			p2p_store(addr, 1);
		else
			p2p_load(addr);
	}

	action.sa_handler = SIG_DFL;
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	return sig;
}

/* The block device of a drive, or NULL. */
const char *p2p_disk(const char *disk)
{
	char name[32] = "P2P_DISK_";
	size_t i, len = strlen(name);

	for (i = 0; disk[i] && len + i < sizeof(name) - 1; i++)
		name[len + i] = toupper(disk[i]);
	return getenv(name);
}

/* Does the block device at this path belong to the provider itself? */
bool p2p_path_is_own(const char *path, const char *provider)
{
	char link[64], device[PATH_MAX], want[P2P_ADDR_LEN + 2];
	struct stat st;

	if (stat(path, &st) || !S_ISBLK(st.st_mode))
		return false;
	snprintf(link, sizeof(link), "/sys/dev/block/%u:%u", major(st.st_rdev),
		 minor(st.st_rdev));
	snprintf(want, sizeof(want), "/%s/", provider);
	return realpath(link, device) && strstr(device, want);
}

/* The same for a drive. */
bool p2p_is_own(const char *disk, const char *provider)
{
	return p2p_path_is_own(p2p_disk(disk), provider);
}

/* A drive always reaches its own memory; otherwise P2P_ROUTE decides. */
bool p2p_reaches(const char *disk, const char *provider)
{
	return strcmp(getenv("P2P_ROUTE"), "none") || p2p_is_own(disk, provider);
}
