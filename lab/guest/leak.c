// SPDX-License-Identifier: GPL-2.0
/* The leak scan: what the tests took must be back before there is a verdict. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "init.h"

#define PCI "/sys/bus/pci/devices"
#define KMEMLEAK "/sys/kernel/debug/kmemleak"
#define MAX_PROVIDERS 32

/* kmemleak holds back objects younger than five seconds. */
#define KMEMLEAK_AGE_MS 5200
/* The last reference may drop in a softirq or an RCU callback. */
#define SETTLE_MS 3000

static struct pool {
	char addr[32];
	long long size, available;
} pools[MAX_PROVIDERS];
static int nr_pools;

/* Open from the beginning: a test may lock the kernel down, and debugfs with it. */
static int kmemleak = -1;

static bool kmemleak_write(const char *command)
{
	return write(kmemleak, command, strlen(command)) == (ssize_t)strlen(command);
}

static void kmemleak_read(char *report, size_t size)
{
	size_t len = 0;
	ssize_t n = 0;

	lseek(kmemleak, 0, SEEK_SET);
	while (len < size - 1 && (n = read(kmemleak, report + len, size - 1 - len)) > 0)
		len += n;
	report[len] = '\0';
	if (n < 0)
		fault("kmemleak can't be read: %s", strerror(errno));
}

static long long pool_value(const char *addr, const char *what)
{
	char path[512];

	snprintf(path, sizeof(path), PCI "/%.31s/p2pmem/%s", addr, what);
	return read_number(path);
}

void leak_scan_begin(void)
{
	DIR *dir = opendir(PCI);
	struct dirent *d;
	long long size;

	while (dir && nr_pools < MAX_PROVIDERS && (d = readdir(dir))) {
		size = pool_value(d->d_name, "size");
		if (size < 0)
			continue;
		snprintf(pools[nr_pools].addr, sizeof(pools[0].addr), "%.31s", d->d_name);
		pools[nr_pools].size = size;
		pools[nr_pools].available = pool_value(d->d_name, "available");
		nr_pools++;
	}
	if (dir)
		closedir(dir);
	/* Its own thread would scan in the middle of a test. */
	kmemleak = open(KMEMLEAK, O_RDWR | O_CLOEXEC);
	if (kmemleak >= 0 && !kmemleak_write("scan=off"))
		fault("kmemleak scans by itself");
}

static void scan_pool(const struct pool *p)
{
	long long available = -1, size;

	for (int ms = 0; ms < SETTLE_MS; ms += 50) {
		available = pool_value(p->addr, "available");
		if (available == p->available)
			break;
		sleep_ms(50);
	}
	size = pool_value(p->addr, "size");
	frame("leak p2pmem %s size=%lld available=%lld before=%lld/%lld", p->addr,
	      size, available, p->available, p->size);
	if (size != p->size || available != p->available)
		fault("%s: p2pmem leaked, %lld bytes available, %lld before the tests",
		      p->addr, available, p->available);
}

/* An object counts only when two scans in a row find nothing that points to it. */
static void scan_kmemleak(void)
{
	static char report[65536];
	char *line, *save;
	int leaks = 0;

	if (kmemleak < 0)
		return;
	sleep_ms(KMEMLEAK_AGE_MS);
	if (!kmemleak_write("scan") || !kmemleak_write("scan")) {
		fault("kmemleak does not scan");
		return;
	}
	kmemleak_read(report, sizeof(report));
	for (line = strtok_r(report, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		note("kmemleak: %s", line);
		leaks += !strncmp(line, "unreferenced object", 19);
	}
	frame("leak kmemleak objects=%d", leaks);
	if (leaks)
		fault("kmemleak: %d unreferenced objects, see the kernel log", leaks);
}

void leak_scan_end(void)
{
	for (int i = 0; i < nr_pools; i++)
		scan_pool(&pools[i]);
	scan_kmemleak();
	frame("leak scan done");
}
