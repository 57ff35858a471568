// SPDX-License-Identifier: GPL-2.0
/*
 * p2pctl bind and unbind: bind a device to p2pmem-bar, which offers its BAR, or
 * unbind it.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/client.h"
#include "lib/inuse.h"
#include "lib/kmsg.h"
#include "lib/mappers.h"
#include "lib/provider.h"
#include "lib/sysfs.h"
#include "lib/util.h"
#include "p2pctl.h"

#define DRIVER "/sys/bus/pci/drivers/p2pmem-bar"
#define PARAMETERS "/sys/module/p2pmem_bar/parameters/"
#define RULES "/etc/udev/rules.d/60-p2pmem-%s.rules"

/* Module parameters; they apply to the next device that is bound. */
static const char * const parameters[] = { "bar", "offset", "size", "folio_size" };

struct binding {
	char bdf[BDF_LEN];
	char *value[ARRAY_SIZE(parameters)];	/* NULL: the module's value */
	bool force, persist;
	const char *rules;		/* udev rule; NULL: default path */
};

static void parse_device(struct binding *b, const char *command, int argc, char **argv)
{
	struct client client;

	if (argc != 1)
		usage_error(command, "exactly one DEVICE is required");
	if (!client_resolve(&client, argv[0]))
		exit(ST_USAGE);
	if (!client.nr || !client.layers[0].bdf[0])
		die(ST_USAGE, "%s is not a PCI function; name one, such as 0000:03:00.0", argv[0]);
	memcpy(b->bdf, client.layers[0].bdf, BDF_LEN);
	client_free(&client);
}

static void must_write(const char *path, const char *text, const char *what)
{
	int err = write_text(path, text);

	if (!err)
		return;
	error("%s: %s: %s", path, what, strerror(-err));
	if (err == -EACCES || err == -EPERM)
		hint("only root can do this");
	exit(ST_FAILED);
}

static void load_driver(void)
{
	pid_t pid;

	if (exists(DRIVER))
		return;
	pid = fork();
	if (!pid) {
		execlp("modprobe", "modprobe", "-q", "p2pmem-bar", NULL);
		_exit(127);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
	if (exists(DRIVER))
		return;
	error("the kernel does not have the driver p2pmem-bar, and it can't be loaded as a module");
	hint("it needs CONFIG_PCI_P2PMEM_BAR; p2pctl check shows the options of this kernel");
	exit(ST_FAILED);
}

/* Parameters that the user did not give keep the values of the module. */
static void set_parameters(const struct binding *b, char *old[])
{
	for (size_t i = 0; i < ARRAY_SIZE(parameters); i++) {
		char *path = xasprintf(PARAMETERS "%s", parameters[i]);

		old[i] = NULL;
		if (b->value[i]) {
			old[i] = read_text("%s", path);
			must_write(path, b->value[i], parameters[i]);
		}
		free(path);
	}
}

static void restore_parameters(char *old[])
{
	for (size_t i = 0; i < ARRAY_SIZE(parameters); i++) {
		char *path = xasprintf(PARAMETERS "%s", parameters[i]);

		if (old[i])
			write_text(path, old[i]);
		free(old[i]);
		free(path);
	}
}

static void set_override(const char *bdf, const char *driver)
{
	char *path = xasprintf(PCI_DEVICES "/%s/driver_override", bdf);

	must_write(path, driver, "can't select a driver");
	free(path);
}

static void check_not_used(const struct binding *b, const char *driver)
{
	char *why;

	if (!b->force) {
		error("%s is bound to the driver %s", b->bdf, driver);
		hint("--force unbinds that driver, which ends all other use of the device");
		exit(ST_FAILED);
	}
	why = pci_in_use(b->bdf);
	if (why)
		die(ST_FAILED, "%s is in use: %s; end this use first", b->bdf, why);
}

/*
 * Selects p2pmem-bar, and unbinds the device from its driver if it has one. A failure
 * leaves everything as it was.
 *
 * Return: the name of the previous driver, to be freed, or NULL.
 */
static char *take_device(const struct binding *b)
{
	char driver[64], *path;
	int err;

	if (pci_driver(b->bdf, driver)[0])
		check_not_used(b, driver);
	set_override(b->bdf, "p2pmem-bar");
	if (!driver[0])
		return NULL;
	path = xasprintf(PCI_DEVICES "/%s/driver/unbind", b->bdf);
	err = write_text(path, b->bdf);
	free(path);
	if (err) {
		set_override(b->bdf, "\n");
		die(ST_FAILED, "%s: can't unbind the driver %s: %s", b->bdf, driver,
		    strerror(-err));
	}
	return xstrdup(driver);
}

static bool is_bound(const char *bdf)
{
	char driver[64];

	return !strcmp(pci_driver(bdf, driver), "p2pmem-bar");
}

static bool probe(const struct binding *b)
{
	char *old[ARRAY_SIZE(parameters)];
	/* Another p2pctl bind must not see our parameters. */
	int lock = open(PARAMETERS, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (lock >= 0)
		flock(lock, LOCK_EX);
	set_parameters(b, old);
	write_text("/sys/bus/pci/drivers_probe", b->bdf);
	restore_parameters(old);
	if (lock >= 0)
		close(lock);
	return is_bound(b->bdf);
}

/* Undoes everything, and prints the kernel's messages about the device. */
static void give_up(const struct binding *b, int log, const char *old_driver)
{
	char *said = kmsg_about(log, b->bdf), *rest = said, *line;

	set_override(b->bdf, "\n");
	if (old_driver)
		write_text("/sys/bus/pci/drivers_probe", b->bdf);
	error("%s: the driver p2pmem-bar did not bind to it%s", b->bdf, said ? ":" : "");
	while ((line = strsep(&rest, "\n")))
		if (strstr(line, "p2pmem-bar") || strstr(line, "BAR"))
			hint("%s", line);
	if (!said)
		hint("dmesg may show why");
	if (old_driver && !exists(PCI_DEVICES "/%s/driver", b->bdf))
		hint("its driver %s did not bind again: it has no driver now", old_driver);
	free(said);
	exit(ST_FAILED);
}

static char *rules_path(const struct binding *b)
{
	return b->rules ? xstrdup(b->rules) : xasprintf(RULES, b->bdf);
}

/*
 * The rule matches the device's IDs, too, because addresses may change when a
 * card is added. It runs p2pctl, because options of the module would apply to
 * all devices.
 */
static void write_rule(const struct binding *b)
{
	char *path = rules_path(b), *vendor, *device;
	FILE *file = fopen(path, "w");
	bool any = false;

	if (!file)
		die(ST_FAILED, "%s: %s; without this rule the device is bound only until shutdown",
		    path, strerror(errno));
	vendor = read_text(PCI_DEVICES "/%s/vendor", b->bdf);
	device = read_text(PCI_DEVICES "/%s/device", b->bdf);
	for (size_t i = 0; i < ARRAY_SIZE(parameters); i++)
		any |= !!b->value[i];
	fprintf(file, "# Offers the memory of this device; written by p2pctl bind --persist.\n");
	fprintf(file, "ACTION==\"add\", SUBSYSTEM==\"pci\", KERNEL==\"%s\", \\\n"
		"  ATTR{vendor}==\"%s\", ATTR{device}==\"%s\", ", b->bdf, vendor, device);
	fprintf(file, "RUN+=\"" P2PCTL_PATH " bind");
	for (size_t i = 0; any && i < ARRAY_SIZE(parameters); i++)
		if (b->value[i])
			fprintf(file, " --%s %s", i == 3 ? "folio-size" : parameters[i],
				b->value[i]);
	fprintf(file, "%s $kernel\"\n", b->force ? " --force" : "");
	if (fclose(file))
		die(ST_FAILED, "%s: %s", path, strerror(errno));
	printf("%s binds the device at each boot.\n", path);
	free(vendor);
	free(device);
	free(path);
}

static void report(const struct binding *b)
{
	struct providers all = providers_load();
	const struct provider *p = provider_find(&all, b->bdf);
	char text[SIZE_TEXT];

	if (!p)
		die(ST_FAILED, "%s is bound, but offers no memory; see dmesg", b->bdf);
	printf("%s offers %s of peer-to-peer memory", b->bdf, size_text(p->size, text));
	if (p->bar >= 0)
		printf(" in BAR %d", p->bar);
	printf("%s.\n", p->pageless ? ", without struct pages: not for O_DIRECT" : "");
	printf("Only root may use it; chgrp and chmod " PCI_DEVICES "/%s/p2pmem/%s to share.\n",
	       b->bdf, p->pageless ? "range" : "allocate");
	free(all.p);
}

static char *size_value(const char *option, const char *text)
{
	return xasprintf("%llu", (unsigned long long)size_option(option, text));
}

/* Parses the arguments of a command. Only its @options are accepted. */
static void parse(struct binding *b, const char *command, const struct option *options, int argc,
		  char **argv)
{
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (option) {
		case 'b':
			b->value[0] = xasprintf("%lu", number_option("--bar", optarg, 0, 5));
			break;
		case 'o':
			b->value[1] = size_value("--offset", optarg);
			break;
		case 's':
			b->value[2] = size_value("--size", optarg);
			break;
		case 'f':
			b->value[3] = size_value("--folio-size", optarg);
			break;
		case 'F':
			b->force = true;
			break;
		case 'p':
			b->persist = true;
			b->rules = optarg;
			break;
		case 'h':
			print_usage(command);
			exit(ST_OK);
		default:
			exit(ST_USAGE);
		}
	}
	parse_device(b, command, argc - optind, argv + optind);
}

int cmd_bind(int argc, char **argv)
{
	static const struct option options[] = {
		{ "bar", required_argument, NULL, 'b' },
		{ "offset", required_argument, NULL, 'o' },
		{ "size", required_argument, NULL, 's' },
		{ "folio-size", required_argument, NULL, 'f' },
		{ "force", no_argument, NULL, 'F' },
		{ "persist", optional_argument, NULL, 'p' },
		OPTION_HELP, {}
	};
	struct binding b = {};
	char *old_driver;
	int log;

	parse(&b, "bind", options, argc, argv);
	if (is_bound(b.bdf)) {
		printf("%s is already bound to p2pmem-bar; unbind it to change its options.\n", b.bdf);
	} else {
		load_driver();
		old_driver = take_device(&b);
		log = kmsg_open();
		if (!probe(&b))
			give_up(&b, log, old_driver);
		free(old_driver);
		report(&b);
	}
	if (b.persist)
		write_rule(&b);
	return ST_OK;
}

/* Unbinding would make accesses of the mappers raise SIGBUS. */
static void check_not_mapped(const struct binding *b)
{
	struct mappers mappers = mappers_load();
	bool mapped = false;

	for (unsigned int i = 0; i < mappers.nr; i++) {
		const struct mapper *m = &mappers.m[i];

		if (strcmp(m->provider, b->bdf))
			continue;
		error("%s is in use: %s[%d] maps its memory", b->bdf, m->comm, m->pid);
		mapped = true;
	}
	if (mapped) {
		hint("--force unbinds it anyway: accesses of these processes then raise SIGBUS");
		exit(ST_FAILED);
	}
	free(mappers.m);
}

int cmd_unbind(int argc, char **argv)
{
	static const struct option options[] = {
		{ "force", no_argument, NULL, 'F' },
		{ "persist", optional_argument, NULL, 'p' },
		OPTION_HELP, {}
	};
	struct binding b = {};
	char driver[64], *path;

	parse(&b, "unbind", options, argc, argv);
	if (!is_bound(b.bdf) && !b.persist) {
		error("%s is not bound to p2pmem-bar%s%s", b.bdf,
		      pci_driver(b.bdf, driver)[0] ? ", but to " : "", driver);
		return ST_FAILED;
	}
	if (is_bound(b.bdf)) {
		if (!b.force)
			check_not_mapped(&b);
		must_write(DRIVER "/unbind", b.bdf, "can't unbind the driver");
		set_override(b.bdf, "\n");
		/* Binds its own driver, if there is one. */
		write_text("/sys/bus/pci/drivers_probe", b.bdf);
		pci_driver(b.bdf, driver);
		printf("%s no longer offers peer-to-peer memory%s%s.\n", b.bdf,
		       driver[0] ? "; its driver is " : "", driver);
	}
	if (b.persist) {
		path = rules_path(&b);
		if (unlink(path))
			die(ST_FAILED, "%s: %s", path, strerror(errno));
		printf("%s was removed.\n", path);
		free(path);
	}
	return ST_OK;
}
