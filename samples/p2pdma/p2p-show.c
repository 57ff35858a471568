// SPDX-License-Identifier: GPL-2.0
/*
 * Shows a picture that a drive writes into a graphics card's memory by itself.
 *
 *	# cd /sys/bus/pci/devices/0000:04:00.0
 *	# echo p2pmem-bar > driver_override
 *	# echo 0000:04:00.0 > /sys/bus/pci/drivers_probe
 *	# p2p-show /dev/nvme0n1 0000:04:00.0
 *
 * The card is QEMU's bochs-display, whose BAR 0 is video memory and whose BAR 2
 * has the registers that set the mode. The picture is raw pixels, 32 bits each,
 * at an offset of a drive or of a file.
 *
 * The only peer-to-peer part of this program is the source of its buffer: an
 * mmap() of the card's p2pmem/allocate. The read() is an ordinary O_DIRECT
 * read(). With -c, for comparison, the data is transferred by DMA into RAM, and
 * copied from there into the card by the CPU.
 */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/types.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PAGE		4096UL
#define RAM_BUFFER	(1024 * 1024UL)

#define DISPI_OFFSET	0x500	/* in BAR 2, 16 bits each */
enum { DISPI_XRES = 1, DISPI_YRES, DISPI_BPP, DISPI_ENABLE };
#define DISPI_ENABLED	0x41	/* on, linear frame buffer */

struct account {	/* how the picture was moved, in bytes */
	size_t dma_to_card;
	size_t dma_to_ram;
	size_t cpu;
	__u64 cpu_ns;
};

static int open_attr(const char *card, const char *name, int flags)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/%s", card, name);
	fd = open(path, flags | O_CLOEXEC);
	if (fd < 0)
		err(1, "%s", path);
	return fd;
}

/* The first number in a file. */
static __u64 read_attr(const char *card, const char *name)
{
	int fd = open_attr(card, name, O_RDONLY);
	char text[64] = "";

	if (read(fd, text, sizeof(text) - 1) < 0)
		err(1, "%s: %s", card, name);
	close(fd);
	return strtoull(text, NULL, 0);
}

/* The offset column of /proc/self/maps: for p2pmem, where the memory is. */
static __u64 address_of(const void *mapping)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	__u64 start, offset;
	char line[512];

	if (!maps)
		err(1, "/proc/self/maps");
	while (fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%llx-%*x %*s %llx", &start, &offset) == 2 &&
		    start == (unsigned long)mapping) {
			fclose(maps);
			return offset;
		}
	}
	errx(1, "/proc/self/maps: no mapping at %p", mapping);
}

/* The buffer has to begin at the start of BAR 0, so allocate all the memory. */
static void *map_screen(const char *card, size_t need)
{
	int fd = open_attr(card, "p2pmem/allocate", O_RDWR);
	size_t size = read_attr(card, "p2pmem/size");
	__u64 bar, address;
	void *screen;

	if (size < need)
		errx(1, "%s: %zu bytes of p2pmem, the picture needs %zu", card, size, need);
	screen = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (screen == MAP_FAILED)
		err(1, "%s: mmap of all of p2pmem (does another process use it?)", card);
	close(fd);

	bar = read_attr(card, "resource");	/* the first line is BAR 0 */
	address = address_of(screen);
	if (address != bar)
		errx(1, "%s: p2pmem begins at %#llx, BAR 0 at %#llx", card, address, bar);
	return screen;
}

/* Each store reaches the device, after those before it. */
static void write_dispi(char *bar, int reg, __u16 value)
{
	__atomic_store_n((__u16 *)(bar + DISPI_OFFSET) + reg, value, __ATOMIC_RELEASE);
}

static void set_mode(const char *card, unsigned int width, unsigned int height)
{
	int fd = open_attr(card, "resource2", O_RDWR);
	char *bar;

	bar = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (bar == MAP_FAILED)
		err(1, "%s: resource2", card);
	write_dispi(bar, DISPI_ENABLE, 0);
	write_dispi(bar, DISPI_XRES, width);
	write_dispi(bar, DISPI_YRES, height);
	write_dispi(bar, DISPI_BPP, 32);
	write_dispi(bar, DISPI_ENABLE, DISPI_ENABLED);
	munmap(bar, PAGE);
	close(fd);
}

/* How much of a range of the drive is in the page cache. */
static size_t cached_bytes(int drive, off_t offset, size_t len)
{
	size_t pages = (len + PAGE - 1) / PAGE, cached = 0;
	unsigned char *in_core = malloc(pages);
	void *map = mmap(NULL, len, PROT_READ, MAP_SHARED, drive, offset);

	if (!in_core || map == MAP_FAILED || mincore(map, len, in_core))
		err(1, "looking at the drive's page cache");
	for (size_t i = 0; i < pages; i++)
		cached += in_core[i] & 1 ? PAGE : 0;
	munmap(map, len);
	free(in_core);
	return cached;
}

static __u64 cpu_time(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static void read_all(int drive, char *to, size_t len, off_t offset)
{
	while (len) {
		ssize_t n = pread(drive, to, len, offset);

		if (n < 0)
			err(1, errno == EREMOTEIO ? "the drive can't reach the card" : "the drive");
		if (!n)
			errx(1, "the drive ends within the picture");
		to += n;
		len -= n;
		offset += n;
	}
}

static void copy_picture(int drive, off_t offset, char *screen, size_t len,
			 struct account *a)
{
	char *ram = mmap(NULL, RAM_BUFFER, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (ram == MAP_FAILED)
		err(1, "a buffer in RAM");
	for (size_t done = 0, n; done < len; done += n) {
		n = len - done < RAM_BUFFER ? len - done : RAM_BUFFER;
		read_all(drive, ram, n, offset + done);
		a->dma_to_ram += n;
		memcpy(screen + done, ram, n);
		a->cpu += n;
	}
	munmap(ram, RAM_BUFFER);
}

/*
 * The kernel may complete a short O_DIRECT read() through the page cache, from
 * which the CPU copies; so growth of the cache is data not moved by DMA.
 */
static void show(int drive, off_t offset, char *screen, size_t len, bool copy,
		 struct account *a)
{
	size_t before = cached_bytes(drive, offset, len), after;
	__u64 start = cpu_time();

	if (copy)
		copy_picture(drive, offset, screen, len, a);
	else
		read_all(drive, screen, len, offset);
	a->cpu_ns = cpu_time() - start;

	after = cached_bytes(drive, offset, len);
	if (after > before)
		a->cpu += after - before;
	if (!copy)
		a->dma_to_card = len - a->cpu;
}

int main(int argc, char **argv)
{
	unsigned int width = 1024, height = 768;
	struct account a = { 0 };
	off_t offset = 0;
	bool copy = false;
	size_t len;
	char *screen;
	int drive, c;

	while ((c = getopt(argc, argv, "cg:o:")) != -1) {
		if (c == 'c')
			copy = true;
		else if (c == 'o')
			offset = strtoll(optarg, NULL, 0);
		else if (c != 'g' || sscanf(optarg, "%ux%u", &width, &height) != 2)
			optind = argc;		/* usage */
	}
	if (optind != argc - 2 || offset % PAGE)
		errx(2, "usage: p2p-show [-c] [-g WIDTHxHEIGHT] [-o OFFSET] DRIVE CARD\n"
			"  CARD is a PCI address such as 0000:04:00.0, OFFSET a multiple of 4096\n"
			"  -c: copy through RAM with the CPU");
	len = (size_t)width * height * 4;

	drive = open(argv[optind], O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (drive < 0)
		err(1, "%s", argv[optind]);
	screen = map_screen(argv[optind + 1], len);
	set_mode(argv[optind + 1], width, height);
	show(drive, offset, screen, len, copy, &a);

	printf("by DMA, drive to card: %zu bytes\n", a.dma_to_card);
	printf("by DMA, drive to RAM:  %zu bytes\n", a.dma_to_ram);
	printf("by the CPU:            %zu bytes\n", a.cpu);
	printf("CPU time:              %llu ns\n", a.cpu_ns);
	return 0;
}
