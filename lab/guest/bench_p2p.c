// SPDX-License-Identifier: GPL-2.0
/*
 * What peer-to-peer memory costs beside ordinary memory, on any kernel.
 *
 *	bench_p2p SECTION...
 *
 * resource	giving the device's memory struct pages
 * mmap		a mapping, from mmap() to munmap()
 * pin		pin_user_pages_fast() and unpinning
 * dma		dma_map_sgtable() and dma_unmap_sgtable(), dma_map_page(), and how long
 *		finding the way takes when many clients do so
 * direct	O_DIRECT
 * uring	O_DIRECT by io_uring, with buffers that are registered and that are not
 *
 * It runs on kernels with the series, without it, and on those with another
 * implementation: what the kernel has is found out here, and what it has not is
 * left out. See bench.h for how figures are told, lab/bench.py for what is done
 * with them.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <gup_test.h>

#include "../bench/p2p_bench.h"
#include "bench.h"
#include "bench_p2p.h"

#define PCI "/sys/bus/pci"
#define RAM_POOL (256UL << 20)
/* The slowest implementation takes less than a tick for it. */
#define P2P_POOL (64UL << 20)
#define SMALL 65536UL

/* The device with the memory, and its file; none where programs can't map it. */
static char provider[64];
static int allocate = -1;
/* /sys/kernel/debug/p2p_bench */
static int bench;
static unsigned int foll_p2p;

bool have_p2p(void)
{
	return allocate >= 0;
}

/* --- memory of the device ---------------------------------------------- */

/* Where nothing is mapped: as far behind a huge page's beginning as asked for. */
char *room(size_t size, size_t offset)
{
	size_t align = size >= GIB ? GIB : HUGE_PAGE;
	char *p = mmap(NULL, size + 2 * align, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		die("no room");
	munmap(p, size + 2 * align);
	return (char *)(((uintptr_t)p + align - 1) & ~(align - 1)) + offset;
}

void *p2p_map(char *at, size_t size)
{
	return mmap(at, size, PROT_READ | PROT_WRITE,
		    MAP_SHARED | (at ? MAP_FIXED_NOREPLACE : 0), allocate, 0);
}

size_t p2p_available(void)
{
	char path[PATH_MAX], text[32] = "";
	int fd;

	snprintf(path, sizeof(path), PCI "/devices/%s/p2pmem/available", provider);
	fd = open(path, O_RDONLY);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		die(path);
	close(fd);
	return strtoull(text, NULL, 0);
}

/*
 * P2P: one mapping that starts at a huge page's address. P2P_UNALIGNED: a page
 * later, so that no huge page fits. P2P_SMALL: buffers of 64 KiB side by side, of
 * which none continues the one before it.
 */
enum p2p_kind { P2P, P2P_UNALIGNED, P2P_SMALL, P2P_KINDS };
static const char * const p2p_name[] = { "p2p", "p2p-unaligned", "p2p-small" };

static char *p2p_memory(enum p2p_kind kind, size_t size)
{
	char *at = room(size, kind == P2P ? 0 : PAGE);
	size_t step = kind == P2P_SMALL ? SMALL : size;

	for (size_t i = 0; i < size; i += step) {
		if (p2p_map(at + i, step) != at + i)
			die("p2pmem");
		if (kind == P2P_SMALL && p2p_map(NULL, PAGE) == MAP_FAILED)
			die("p2pmem");
	}
	for (size_t i = 0; i < size; i += PAGE)
		at[i] = 1;
	return at;
}

/* --- the device -------------------------------------------------------- */

static long mem_free_kib(void)
{
	FILE *f = fopen("/proc/meminfo", "r");
	char line[128];
	long kib = -1;

	while (f && kib < 0 && fgets(line, sizeof(line), f))
		sscanf(line, "MemFree: %ld", &kib);
	if (kib < 0)
		die("/proc/meminfo");
	fclose(f);
	return kib;
}

static bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);
	bool good = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return good;
}

static void find_provider(void)
{
	static const char id[] = "PCI_ID=1AF4:1110\n";
	char path[PATH_MAX], uevent[1024];
	DIR *dir = opendir(PCI "/devices");
	struct dirent *d;

	while (dir && !provider[0] && (d = readdir(dir))) {
		ssize_t n;
		int fd;

		snprintf(path, sizeof(path), PCI "/devices/%s/uevent", d->d_name);
		fd = open(path, O_RDONLY);
		if (fd < 0)
			continue;
		n = read(fd, uevent, sizeof(uevent) - 1);
		close(fd);
		uevent[n > 0 ? n : 0] = '\0';
		if (strstr(uevent, id))
			snprintf(provider, sizeof(provider), "%.60s", d->d_name);
	}
	if (dir)
		closedir(dir);
	errno = ENODEV;
	if (!provider[0])
		die("no device with memory");
	snprintf(path, sizeof(path), PCI "/devices/%s/driver_override", provider);
	if (!write_file(path, "p2pmem-bar"))
		die(path);
}

static void bind_provider(void)
{
	if (!write_file(PCI "/drivers/p2pmem-bar/bind", provider))
		die("p2pmem-bar does not bind");
}

static void unbind_provider(void)
{
	if (!write_file(PCI "/drivers/p2pmem-bar/unbind", provider))
		die("p2pmem-bar does not unbind");
}

/* Binds, measures that, and unbinds. */
static void measure_bind(const char *name)
{
	long before = mem_free_kib(), after;
	uint64_t start = clock_now();

	bind_provider();
	start = clock_now() - start;
	after = mem_free_kib();
	point(true, name);
	printf("# figure %s-time instructions %lu\n", name, start);
	printf("# figure %s-memory KiB %ld\n", name, before - after);
	unbind_provider();
}

/* A way of the driver to need less of both, where the kernel can do it. */
static const char folio_size[] = "/sys/module/p2pmem_bar/parameters/folio_size";

static void measure_resource(void)
{
	measure_bind("add_resource");
	if (!foll_p2p || !write_file(folio_size, "2097152"))
		return;
	/* Elsewhere the driver has the parameter, too, and does not bind with it. */
	if (ioctl(bench, P2P_BENCH_EXTENTS, NULL) && errno != ENOTTY) {
		measure_bind("add_resource-2m");
		write_file(folio_size, "1073741824");
		measure_bind("add_resource-1g");
	}
	write_file(folio_size, "0");
}

static void open_provider(void)
{
	char path[PATH_MAX];

	bind_provider();
	snprintf(path, sizeof(path), PCI "/devices/%s/p2pmem/allocate", provider);
	allocate = open(path, O_RDWR);
	/* Without the one the other makes no sense. */
	if (have_p2p() != !!foll_p2p)
		die(path);
}

/* --- pin_user_pages_fast() --------------------------------------------- */

static void measure_pins(void)
{
	static const struct call call = { "pin", "unpin", PIN_FAST_BENCHMARK };
	int fd = open("/sys/kernel/debug/gup_test", O_RDWR);
	static const unsigned int per_call[] = { 512, 1 };
	unsigned long pages;
	char *at;

	if (fd < 0)
		die("gup_test");
	for (size_t i = 0; i < ARRAY_SIZE(per_call); i++) {
		pages = per_call[i] == 1 ? 12288 : RAM_POOL / PAGE;
		for (enum kind kind = BASE; kind <= HUGETLB; kind++) {
			at = memory(kind, RAM_POOL);
			measure_call(fd, &call, kind_name[kind], at, pages, per_call[i], 0);
			munmap(at, RAM_POOL);
		}
		pages = per_call[i] == 1 ? 12288 : P2P_POOL / PAGE;
		for (enum p2p_kind kind = 0; have_p2p() && kind < P2P_KINDS; kind++) {
			at = p2p_memory(kind, P2P_POOL);
			measure_call(fd, &call, p2p_name[kind], at, pages, per_call[i], foll_p2p);
			munmap(at, P2P_POOL);
		}
	}
	close(fd);
}

/* --- extents ------------------------------------------------------------ */

static void measure_extent(const char *size_name, char *at, size_t size)
{
	struct p2p_bench_extents arg = {
		.addr = (uintptr_t)at, .len = size, .rounds = 200,
	};
	char name[80];
	bool good = !ioctl(bench, P2P_BENCH_EXTENTS, &arg) && arg.extents > 0;

	snprintf(name, sizeof(name), "pin_extent-p2p-%s", size_name);
	point(good, name);
	if (!good)
		return;
	printf("# figure %s call %lu\n", name, (unsigned long)arg.pin);
	printf("# figure unpin_extent-p2p-%s call %lu\n", size_name, (unsigned long)arg.unpin);
	printf("# %s: %d extents\n", name, arg.extents);
}

/* Of each size in a mapping that is as large as it may be. */
static void measure_extents(void)
{
	char *at;

	if (!have_p2p() || (ioctl(bench, P2P_BENCH_EXTENTS, NULL) && errno == ENOTTY))
		return;
	at = p2p_memory(P2P, GIB);
	measure_extent("4k", at, PAGE);
	measure_extent("64k", at, SMALL);
	measure_extent("2m", at, HUGE_PAGE);
	measure_extent("1g", at, GIB);
	munmap(at, GIB);
	at = p2p_memory(P2P_UNALIGNED, HUGE_PAGE);
	measure_extent("2m-unaligned", at, HUGE_PAGE);
	munmap(at, HUGE_PAGE);
}

/* --- DMA --------------------------------------------------------------- */

/* The PCI address of the controller that the drive belongs to. */
static void find_client(const char *drive, struct p2p_bench_dma *dma)
{
	char link[PATH_MAX], path[PATH_MAX];
	unsigned int slot, function;

	snprintf(link, sizeof(link), "/sys/block/%s/device/device", strrchr(drive, '/') + 1);
	if (!realpath(link, path) ||
	    sscanf(strrchr(path, '/') + 1, "%x:%x:%x.%x", &dma->domain, &dma->bus, &slot,
		   &function) != 4)
		die(link);
	dma->devfn = slot << 3 | function;
}

/* form: dma_map for a scatterlist, dma_map_page for a page at a time. */
static void measure_segments(struct p2p_bench_dma *dma, const char *form, const char *kind,
			     unsigned int segments)
{
	const char *unmap = dma->single ? "dma_unmap_page" : "dma_unmap";
	char name[80];
	bool good;

	dma->nr_pages = segments;
	dma->rounds = 200;
	good = !ioctl(bench, P2P_BENCH_DMA, dma);
	snprintf(name, sizeof(name), "%s-%s-%u", form, kind, segments);
	point(good, name);
	if (!good)
		return;
	printf("# figure %s segment %.2f\n", name, dma->map * 1.0 / segments);
	printf("# figure %s-%s-%u segment %.2f\n", unmap, kind, segments,
	       dma->unmap * 1.0 / segments);
}

static void measure_mapping(struct p2p_bench_dma *dma, const char *kind, char *at,
			    unsigned int flags)
{
	dma->addr = (uintptr_t)at;
	dma->gup_flags = flags;
	dma->single = 0;
	measure_segments(dma, "dma_map", kind, 1);
	measure_segments(dma, "dma_map", kind, 16);
	measure_segments(dma, "dma_map", kind, 256);
	dma->single = 1;
	measure_segments(dma, "dma_map_page", kind, 256);
}

/* How long finding the way to the memory takes, by how many want to know it. */
static void measure_routes(void)
{
	static const unsigned int clients[] = { 1, 16, 64 };
	char name[80];

	for (size_t i = 0; have_p2p() && i < ARRAY_SIZE(clients); i++) {
		struct p2p_bench_routes arg = {
			.addr = (uintptr_t)p2p_memory(P2P, HUGE_PAGE), .gup_flags = foll_p2p,
			.clients = clients[i], .rounds = 20,
		};
		bool good = !ioctl(bench, P2P_BENCH_ROUTES, &arg);

		snprintf(name, sizeof(name), "route-p2p-%u", clients[i]);
		point(good, name);
		if (!good)
			continue;
		printf("# figure route_cold-p2p-%u call %lu\n", clients[i], (unsigned long)arg.cold);
		printf("# figure route_again-p2p-%u call %lu\n", clients[i], (unsigned long)arg.again);
		printf("# figure route_warm-p2p-%u call %lu\n", clients[i], (unsigned long)arg.warm);
	}
}

static void measure_dma(const char *drive)
{
	struct p2p_bench_dma dma = { 0 };

	find_client(drive, &dma);
	measure_mapping(&dma, "base", scattered(256 * PAGE), 0);
	measure_mapping(&dma, "thp", memory(THP, HUGE_PAGE), 0);
	for (enum p2p_kind kind = 0; have_p2p() && kind < P2P_KINDS; kind++)
		measure_mapping(&dma, p2p_name[kind], p2p_memory(kind, HUGE_PAGE), foll_p2p);
	measure_routes();
}

/* --- O_DIRECT ---------------------------------------------------------- */

/* The drive reads as zeros: does it write where it shall? */
static void check_transfer(int fd, const char *kind, char *at, size_t size)
{
	char name[80];
	bool good;

	memset(at, 0x5a, size);
	good = pread(fd, at, size, 0) == (ssize_t)size;
	for (size_t i = 0; i < size; i++)
		good &= !at[i];
	snprintf(name, sizeof(name), "transfer-%s", kind);
	point(good, name);
}

static void measure_requests(int fd, const char *kind, char *at)
{
	static const struct {
		const char *name;
		size_t size;
	} sizes[] = { { "4k", 4096 }, { "64k", 65536 }, { "1m", 1 << 20 } };

	check_transfer(fd, kind, at, 1 << 20);
	for (size_t i = 0; i < 2 * ARRAY_SIZE(sizes); i++) {
		struct request request = {
			.op = i % 2 ? "write" : "read", .write = i % 2, .kind = kind, .at = at,
			.size_name = sizes[i / 2].name, .size = sizes[i / 2].size,
		};
		double system_time = measure_request(fd, &request);

		printf("# figure %s-%s-%s-system request %.0f\n", request.op, kind,
		       request.size_name, system_time);
	}
}

static void measure_direct(const char *drive)
{
	int fd = open(drive, O_RDWR | O_DIRECT);

	if (fd < 0)
		die(drive);
	for (enum kind kind = BASE; kind <= HUGETLB; kind++)
		measure_requests(fd, kind_name[kind], kind == BASE ? scattered(1 << 20)
								   : memory(kind, HUGE_PAGE));
	for (enum p2p_kind kind = 0; have_p2p() && kind < P2P_KINDS; kind++)
		measure_requests(fd, p2p_name[kind], p2p_memory(kind, HUGE_PAGE));
	close(fd);
}

static void measure_rings(const char *drive)
{
	int fd = open(drive, O_RDWR | O_DIRECT);

	if (fd < 0)
		die(drive);
	for (enum kind kind = BASE; kind <= HUGETLB; kind++)
		measure_uring(fd, kind_name[kind], kind == BASE ? scattered(HUGE_PAGE)
								: memory(kind, HUGE_PAGE));
	if (have_p2p())
		measure_uring(fd, p2p_name[P2P], p2p_memory(P2P, HUGE_PAGE));
	close(fd);
}

/* ------------------------------------------------------------------------ */

static void measure(const char *section, const char *drive)
{
	if (!strcmp(section, "resource")) {
		measure_resource();
		return;
	}
	if (!have_p2p() && foll_p2p)
		open_provider();
	if (!strcmp(section, "mmap")) {
		measure_mappings();
	} else if (!strcmp(section, "pin")) {
		measure_pins();
		measure_extents();
	} else if (!strcmp(section, "dma")) {
		measure_dma(drive);
	} else if (!strcmp(section, "direct")) {
		measure_direct(drive);
	} else if (!strcmp(section, "uring")) {
		measure_rings(drive);
	} else {
		errno = EINVAL;
		die(section);
	}
}

/* "resource" comes before all others, which bind the driver for good. */
int main(int argc, char **argv)
{
	const char *drive = getenv("P2P_DISK_NULL");
	struct p2p_bench_info info;

	setvbuf(stdout, NULL, _IONBF, 0);
	if (!drive) {
		errno = ENODEV;
		die("no drive");
	}
	bench = open("/sys/kernel/debug/p2p_bench", O_RDWR);
	if (bench < 0 || ioctl(bench, P2P_BENCH_INFO, &info))
		die("/sys/kernel/debug/p2p_bench");
	foll_p2p = info.foll_p2p;
	find_provider();
	for (int i = 1; i < argc; i++)
		measure(argv[i], drive);
	return end_of_points();
}
