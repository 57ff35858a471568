// SPDX-License-Identifier: GPL-2.0
/* Clients, by any of their names. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "client.h"
#include "sysfs.h"
#include "util.h"

/* Return: the new layer, valid until another one is added. */
struct layer *client_add(struct client *client, unsigned int depth, const char *fmt, ...)
{
	struct layer *layer;
	va_list ap;

	GROW(client->layers, client->nr);
	layer = &client->layers[client->nr++];
	*layer = (struct layer){ .depth = depth };
	va_start(ap, fmt);
	if (vasprintf(&layer->what, fmt, ap) < 0)
		die(ST_FAILED, "out of memory");
	va_end(ap);
	return layer;
}

/* Only the first obstacle of a layer is reported. */
void layer_refuses(struct layer *layer, const char *obstacle, const char *remedy)
{
	if (layer->obstacle)
		return;
	layer->obstacle = xstrdup(obstacle);
	layer->remedy = remedy ? xstrdup(remedy) : NULL;
}

bool client_has_obstacle(const struct client *client)
{
	for (unsigned int i = 0; i < client->nr; i++)
		if (client->layers[i].obstacle)
			return true;
	return false;
}

void client_free(struct client *client)
{
	for (unsigned int i = 0; i < client->nr; i++) {
		free(client->layers[i].what);
		free(client->layers[i].obstacle);
		free(client->layers[i].remedy);
	}
	free(client->layers);
	free(client->name);
	*client = (struct client){};
}

static void add_pci(struct client *client, const char *kind, const char *bdf)
{
	struct layer *layer = client_add(client, 0, "%s", kind);

	snprintf(layer->bdf, BDF_LEN, "%s", bdf);
	client->is_pci = true;
}

/* A device in sysfs: is there a PCI function above it? */
static bool add_by_sysfs(struct client *client, const char *kind, char *path)
{
	char bdf[BDF_LEN];
	bool found = path && pci_of_path(path, bdf);

	if (found) {
		add_pci(client, kind, bdf);
	} else if (path) {
		layer_refuses(client_add(client, 0, "%s", kind),
			      "it is not a PCI device, and is not connected through one", NULL);
		found = true;
	}
	free(path);
	return found;
}

/* By the name of a class device: eth0, mlx5_0, nvme0, card0. */
static bool add_by_class(struct client *client, const char *name)
{
	static const char * const first[] = { "net", "infiniband", "nvme", "drm" };
	struct names classes;
	bool found = false;

	if (strchr(name, '/'))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(first); i++)
		if (exists("/sys/class/%s/%s", first[i], name))
			return add_by_sysfs(client, first[i],
					    real_path("/sys/class/%s/%s", first[i], name));
	classes = list_dir("/sys/class");
	for (unsigned int i = 0; i < classes.nr && !found; i++)
		if (strcmp(classes.name[i], "block") && strcmp(classes.name[i], "pci_bus"))
			found = add_by_sysfs(client, classes.name[i],
					     real_path("/sys/class/%s/%s", classes.name[i], name));
	free_names(&classes);
	return found;
}

/* /dev/nvme0n1 without /dev/; also the names of LVM and mdadm. */
static bool add_by_block_name(struct client *client, const char *name)
{
	unsigned int major, minor;
	char *text;

	if (strchr(name, '/'))
		return false;
	text = read_text("/sys/class/block/%s/dev", name);
	if (!text || sscanf(text, "%u:%u", &major, &minor) != 2) {
		free(text);
		return false;
	}
	free(text);
	client_add_block(client, 0, makedev(major, minor));
	return true;
}

static bool add_by_path(struct client *client, const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return false;
	if (S_ISBLK(st.st_mode))
		client_add_block(client, 0, st.st_rdev);
	else if (S_ISCHR(st.st_mode))
		return add_by_sysfs(client, "character device",
				    real_path("/sys/dev/char/%u:%u", major(st.st_rdev),
					      minor(st.st_rdev)));
	else if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))
		client_add_file(client, path);
	else
		layer_refuses(client_add(client, 0, "%s", path),
			      "it is neither a device nor a file", NULL);
	return true;
}

/* A PCI function in a directory of sysfs. */
static bool add_by_sysfs_path(struct client *client, const char *path)
{
	char *real = real_path("%s", path);
	bool is = real && !strncmp(real, "/sys/devices/", 13);

	if (is)
		return add_by_sysfs(client, "device", real);
	free(real);
	return false;
}

/**
 * client_resolve() - find the devices behind a name
 * @client: where to store them
 * @name: the address of a PCI function, a device node, a mapped device, an
 *	  array, a file, a network interface, an RDMA device, or another device
 *	  in sysfs
 *
 * Return: false, with an error printed, if there is nothing of that name.
 */
bool client_resolve(struct client *client, const char *name)
{
	char bdf[BDF_LEN];

	*client = (struct client){ .name = xstrdup(name) };
	if (pci_address(name, bdf)) {
		if (pci_is_there(bdf)) {
			add_pci(client, "PCI function", bdf);
			return true;
		}
		error("%s: there is no PCI function %s", name, bdf);
		hint("lspci -D lists all PCI functions");
		return false;
	}
	if (add_by_sysfs_path(client, name) ||
	    (strchr(name, '/') && add_by_path(client, name)) ||
	    add_by_class(client, name) || add_by_block_name(client, name) ||
	    add_by_path(client, name))
		return true;

	/* Tell a missing device from other errors. */
	errno = 0;
	if (exists("%s", name) || errno == EACCES)
		error("%s: %s", name, errno ? strerror(errno) : "can't find the device behind it");
	else
		error("%s: no such device, interface or file", name);
	hint("give a PCI address (0000:02:00.0), a device (/dev/nvme0n1, /dev/md0), a file (/data/x), a network interface (eth0) or an RDMA device (mlx5_0)");
	return false;
}

/* A file that does not exist yet. Return: true. */
bool client_new_file(struct client *client, const char *path)
{
	*client = (struct client){ .name = xstrdup(path) };
	client_add_file(client, path);
	return true;
}
