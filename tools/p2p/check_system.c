// SPDX-License-Identifier: GPL-2.0
/*
 * p2pctl check: the kernel and the firmware.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "check.h"
#include "lib/sysfs.h"
#include "lib/util.h"

#define SECURE_BOOT "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"

struct option_line {
	const char *name;
	char value;			/* y, m, n; 0: not known */
};

static bool read_lines(FILE *config, struct option_line *options, unsigned int nr)
{
	char line[256], name[128], value;
	bool any = false;

	while (fgets(line, sizeof(line), config)) {
		if (sscanf(line, "CONFIG_%127[A-Z0-9_a-z]=%c", name, &value) == 2)
			any = true;
		else if (sscanf(line, "# CONFIG_%127[A-Z0-9_a-z] is not set", name) == 1)
			value = 'n';
		else
			continue;
		for (unsigned int i = 0; i < nr; i++)
			if (!strcmp(options[i].name, name))
				options[i].value = value;
	}
	return any;
}

/* Reads /proc/config.gz, or the file that distributions install. */
static bool read_config(struct option_line *options, unsigned int nr)
{
	bool any = false;
	struct utsname uts;
	FILE *config;
	char *path;

	if (exists("/proc/config.gz")) {
		config = popen("gzip -dc /proc/config.gz 2>/dev/null", "r");
		if (config) {
			any = read_lines(config, options, nr);
			pclose(config);
		}
	}
	if (!any && !uname(&uts)) {
		path = xasprintf("/boot/config-%s", uts.release);
		config = fopen(path, "r");
		free(path);
		if (config) {
			any = read_lines(config, options, nr);
			fclose(config);
		}
	}
	/* A missing option has unmet dependencies. */
	for (unsigned int i = 0; any && i < nr; i++)
		if (!options[i].value)
			options[i].value = 'n';
	return any;
}

void check_kernel(struct findings *all)
{
	struct option_line options[] = {
		{ "PCI_P2PDMA", 0 }, { "PCI_P2PMEM", 0 }, { "PCI_P2PMEM_BAR", 0 },
	};
	struct text missing = {};
	struct utsname uts = {};

	uname(&uts);
	if (!read_config(options, ARRAY_SIZE(options))) {
		if (exists("/sys/bus/pci/drivers/p2pmem-bar"))
			find(all, FOUND_GOOD, "kernel",
			     xasprintf("%s supports peer-to-peer memory of PCI devices", uts.release), NULL);
		else
			find(all, FOUND_NOTE, "kernel",
			     xasprintf("the options of %s are unknown: there is neither /proc/config.gz nor /boot/config-%s",
				       uts.release, uts.release),
			     xstrdup("CONFIG_PCI_P2PMEM and CONFIG_PCI_P2PMEM_BAR are needed"));
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (options[i].value == 'n')
			text_add(&missing, "%sCONFIG_%s", missing.len ? ", " : "", options[i].name);
	if (!missing.len)
		find(all, FOUND_GOOD, "kernel",
		     xasprintf("%s has all necessary options", uts.release), NULL);
	else
		find(all, options[1].value == 'n' ? FOUND_BAD : FOUND_NOTE, "kernel",
		     xasprintf("%s was built without %s", uts.release, missing.s),
		     xstrdup("use a kernel with these options"));
	free(missing.s);
}

/* The fifth byte of the EFI variable is 1. */
static bool secure_boot(void)
{
	FILE *file = fopen(SECURE_BOOT, "r");
	char bytes[5] = {};
	bool on = file && fread(bytes, 1, 5, file) == 5 && bytes[4] == 1;

	if (file)
		fclose(file);
	return on;
}

void check_lockdown(struct findings *all)
{
	char *mode = read_text("/sys/kernel/security/lockdown");

	if (mode && !strstr(mode, "[none]"))
		find(all, FOUND_BAD, "lockdown",
		     xasprintf("the kernel is locked down (%s)%s: programs can't map the memory of devices",
			       mode, secure_boot() ? " because of secure boot" : ""),
		     xstrdup(secure_boot() ? "turn off secure boot in the firmware settings" :
			     "boot without lockdown= on the command line"));
	else if (secure_boot())
		find(all, FOUND_NOTE, "lockdown",
		     xstrdup("secure boot is on, but does not lock down this kernel"), NULL);
	else
		find(all, FOUND_GOOD, "lockdown", xstrdup("the kernel is not locked down"), NULL);
	free(mode);
}

static unsigned int groups_of_type(const char *type, unsigned int *nr)
{
	struct names groups = list_dir("/sys/kernel/iommu_groups");
	unsigned int found = 0;

	for (unsigned int i = 0; i < groups.nr; i++) {
		char *text = read_text("/sys/kernel/iommu_groups/%s/type", groups.name[i]);

		found += text && !strncmp(text, type, strlen(type));
		free(text);
	}
	*nr = groups.nr;
	free_names(&groups);
	return found;
}

/* The IOMMU is no obstacle; its effect is shown with the routes. */
void check_iommu(struct findings *all)
{
	unsigned int nr, translated = groups_of_type("DMA", &nr);

	if (!nr)
		find(all, FOUND_GOOD, "IOMMU", xstrdup("no IOMMU is in use"), NULL);
	else if (!translated)
		find(all, FOUND_GOOD, "IOMMU",
		     xstrdup("the IOMMU translates nothing (iommu=pt)"), NULL);
	else
		find(all, FOUND_NOTE, "IOMMU",
		     xasprintf("the IOMMU translates the DMA of %u of %u groups of devices; for this the kernel turns on ACS redirection, so that transfers pass through the host bridge",
			       translated, nr),
		     xstrdup("nothing needs to be done if the host bridge forwards such transfers; for a route across a switch, see acs-redirect in p2pctl route"));
}

void check_io_uring(struct findings *all)
{
	uint64_t off;

	if (read_number(&off, "/proc/sys/kernel/io_uring_disabled") && off)
		find(all, FOUND_NOTE, "io_uring",
		     xstrdup("io_uring is disabled, so p2pctl copy and bench don't work; other programs do"),
		     xstrdup("sysctl kernel.io_uring_disabled=0"));
}
