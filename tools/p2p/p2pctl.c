// SPDX-License-Identifier: GPL-2.0
/*
 * p2pctl - inspect, diagnose and use peer-to-peer memory of PCI devices.
 *
 * Each subcommand is a file. Common code is in lib/.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/util.h"
#include "p2pctl.h"

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *what;
	const char *usage;
} commands[] = {
	{ "list", cmd_list, "the providers of peer-to-peer memory, and the processes that map it",
	  "p2pctl list [--largest] [--json]\n\n"
	  "  --largest             also show how much can be allocated in one piece\n"
	  "  --json                print JSON, for programs\n" },
	{ "route", cmd_route, "which devices and files reach which provider, and why others don't",
	  "p2pctl route [--all] [--probe] [--json] [PROVIDER] [CLIENT]\n\n"
	  "  PROVIDER              a PCI address, or a name of the device\n"
	  "  CLIENT                a PCI address, a device (/dev/nvme0n1, /dev/md0), a file,\n"
	  "                        a network interface or an RDMA device\n"
	  "  --all                 also show devices without a driver, which do no DMA\n"
	  "  --probe               also ask the kernel, by reading a block of CLIENT\n"
	  "  --json                print JSON, for programs\n" },
	{ "check", cmd_check, "whether this machine can do peer-to-peer DMA, and what to do if not",
	  "p2pctl check [--json]\n\n"
	  "  --json                print JSON, for programs\n" },
	{ "bind", cmd_bind, "offer the BAR of a device as peer-to-peer memory",
	  "p2pctl bind [OPTIONS] DEVICE\n\n"
	  "  --bar N               number of the BAR (the largest prefetchable one)\n"
	  "  --offset BYTES        offset of the memory in the BAR (0)\n"
	  "  --size BYTES          how much to offer (up to the end of the BAR)\n"
	  "  --folio-size BYTES    2M or 1G: fewer struct pages, for large buffers only\n"
	  "  --force               unbind the current driver of the device first\n"
	  "  --persist[=FILE]      also write a udev rule that does this at each boot\n" },
	{ "unbind", cmd_unbind, "stop offering the BAR of a device as peer-to-peer memory",
	  "p2pctl unbind [OPTIONS] DEVICE\n\n"
	  "  --force               unbind even while processes map the memory\n"
	  "  --persist[=FILE]      also remove the udev rule that bind --persist wrote\n" },
	{ "watch", cmd_watch, "counters and rates, as they change",
	  "p2pctl watch [--interval SECONDS] [--count N] [--json]\n\n"
	  "  --interval SECONDS    time between two screens (1)\n"
	  "  --count N             stop after N screens\n"
	  "  --json                print JSON, one line for each interval\n" },
	{ "copy", cmd_copy, "copy a file or a drive from device to device",
	  "p2pctl copy [OPTIONS] SRC DST\n\n"
	  "  --via PROVIDER        provider of the memory that the data goes through\n"
	  "  --block-size BYTES    size of a transfer (1M)\n"
	  "  --queue-depth N       transfers at a time (8)\n"
	  "  --size BYTES          how much of SRC to copy (all)\n"
	  "  --verify              read both again, and compare them\n"
	  "  --resume              continue an interrupted copy\n"
	  "  --state FILE          file in which the progress is saved\n"
	  "  --allow-ram           copy through RAM if peer-to-peer DMA is refused\n"
	  "  --quiet               print no progress and no closing lines\n" },
	{ "bench", cmd_bench, "how fast transfers with peer-to-peer memory are, compared with RAM",
	  "p2pctl bench [OPTIONS] TARGET\n\n"
	  "  --via PROVIDER        provider of the memory to measure\n"
	  "  --block-sizes LIST    sizes of transfers (4K,16K,64K,256K,1M)\n"
	  "  --queue-depth N       transfers at a time (8)\n"
	  "  --seconds S           duration of each measurement (1)\n"
	  "  --span BYTES          how much of TARGET to access (256M, or all)\n"
	  "  --write               also measure writing, which destroys the data in TARGET\n"
	  "  --plot FILE.svg       draw a plot, with gnuplot\n"
	  "  --json                print JSON, for programs\n" },
};

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

/* To standard output: the user asked for help. */
void print_usage(const char *name)
{
	const struct command *command = name ? find_command(name) : NULL;

	if (command) {
		printf("usage: %s\n%s: %s. See p2pctl(8).\n", command->usage, command->name,
		       command->what);
		return;
	}
	printf("usage: p2pctl COMMAND [OPTIONS] [ARGUMENTS]\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		printf("  %-8s %s\n", commands[i].name, commands[i].what);
	printf("\np2pctl COMMAND --help shows the options; p2pctl(8) is the manual page.\n");
}

void usage_error(const char *command, const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = "out of memory";
	va_end(ap);
	error("%s%s%s", command ?: "", command ? ": " : "", text);
	hint("p2pctl %s%s--help shows the usage", command ?: "", command ? " " : "");
	exit(ST_USAGE);
}

int main(int argc, char **argv)
{
	const struct command *command;
	int status;

	if (argc < 2)
		usage_error(NULL, "no command given");
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		print_usage(argc > 2 ? argv[2] : NULL);
		return ST_OK;
	}
	if (!strcmp(argv[1], "--version")) {
		printf("p2pctl %s\n", P2PCTL_VERSION);
		return ST_OK;
	}
	command = find_command(argv[1]);
	if (!command)
		usage_error(NULL, "%s: no such command", argv[1]);
	status = command->run(argc - 1, argv + 1);
	if (fflush(stdout) || ferror(stdout))
		die(ST_FAILED, "can't write to standard output");
	return status;
}
