// SPDX-License-Identifier: GPL-2.0
/*
 * One end of make demo-two: two machines that see the same BAR. One reads its drive into the
 * memory behind it, the other one writes that to its drive.
 *
 *	relay read|write OFFSET LENGTH DISK PROVIDER
 *
 * Each machine has the whole memory, so both have the same place for the data. What they
 * have to tell each other is in the last page. A machine clears the memory when it uses it
 * first; so they begin when both have done that, and say it again until they are heard.
 */
#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum state { NOWHERE, HERE, DATA, DONE };

struct ends {
	uint32_t reader;
	uint32_t writer;
};

static char *argument(char *text)
{
	if (*text != '$')
		return text;
	text = getenv(text + 1);
	if (!text)
		errx(1, "no such variable");
	return text;
}

static unsigned long long number(const char *provider, const char *name)
{
	char path[256];
	unsigned long long value;
	FILE *file;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/p2pmem/%s", provider, name);
	file = fopen(path, "r");
	if (!file || fscanf(file, "%llu", &value) != 1)
		err(1, "%s", path);
	fclose(file);
	return value;
}

/* Says @mine until the other end says @theirs. */
static void meet(uint32_t *mine, enum state say, uint32_t *theirs, enum state wanted)
{
	do {
		__atomic_store_n(mine, say, __ATOMIC_RELEASE);
		usleep(1000);
	} while (__atomic_load_n(theirs, __ATOMIC_ACQUIRE) != wanted);
}

static void transfer(int drive, int write, char *mem, size_t len, off_t offset)
{
	ssize_t done;

	for (; len; mem += done, offset += done, len -= done) {
		done = write ? pwrite(drive, mem, len, offset) : pread(drive, mem, len, offset);
		if (done <= 0)
			err(1, "%s", write ? "pwrite" : "pread");
	}
	if (write && fsync(drive))
		err(1, "fsync");
}

int main(int argc, char **argv)
{
	unsigned long long before;
	size_t size, len, page = getpagesize();
	int write, file, drive;
	char path[256], *provider;
	struct ends *ends;
	off_t offset;
	char *mem;

	if (argc != 6)
		errx(1, "usage: relay read|write OFFSET LENGTH DISK PROVIDER");
	write = !strcmp(argv[1], "write");
	offset = strtoll(argv[2], NULL, 0);
	len = strtoull(argv[3], NULL, 0);
	provider = argument(argv[5]);

	size = number(provider, "available");
	if (len > size - page)
		errx(1, "%s has %zu bytes", provider, size);
	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/p2pmem/allocate", provider);
	file = open(path, O_RDWR);
	if (file < 0)
		err(1, "%s", path);
	mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	drive = open(argument(argv[4]), O_RDWR | O_DIRECT);
	if (mem == MAP_FAILED || drive < 0)
		err(1, "%s", mem == MAP_FAILED ? "mmap" : argv[4]);

	for (size_t at = 0; at < size; at += page)
		*(volatile char *)(mem + at);
	ends = (struct ends *)(mem + size - page);
	before = number(provider, "dma_bus_bytes");
	if (write) {
		meet(&ends->writer, HERE, &ends->reader, DATA);
		transfer(drive, 1, mem, len, offset);
		__atomic_store_n(&ends->writer, DONE, __ATOMIC_RELEASE);
	} else {
		meet(&ends->reader, HERE, &ends->writer, HERE);
		transfer(drive, 0, mem, len, offset);
		meet(&ends->reader, DATA, &ends->writer, DONE);
	}
	printf("dma_bus_bytes: %llu\n", number(provider, "dma_bus_bytes") - before);
	printf("1..1\nok 1 %s\n", argv[1]);
	return 0;
}
