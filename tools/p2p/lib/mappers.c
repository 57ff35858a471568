// SPDX-License-Identifier: GPL-2.0
/*
 * Which processes map peer-to-peer memory.
 *
 * The kernel has no list of them, so read the mappings of all processes. Shared
 * memory counts for each process that maps it. Memory that only a device still
 * uses counts for none.
 */
#include <ctype.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "mappers.h"
#include "sysfs.h"
#include "util.h"

static struct mapper *find_mapper(struct mappers *all, pid_t pid, const char *bdf)
{
	struct mapper *m;

	if (all->nr) {
		/* The entries of one process are adjacent. */
		for (unsigned int i = all->nr; i-- && all->m[i].pid == pid; )
			if (!strcmp(all->m[i].provider, bdf))
				return &all->m[i];
	}
	GROW(all->m, all->nr);
	m = &all->m[all->nr++];
	*m = (struct mapper){ .pid = pid, .phys = UINT64_MAX };
	memcpy(m->provider, bdf, BDF_LEN);
	return m;
}

static void add_mapping(struct mappers *all, pid_t pid, const char *line)
{
	unsigned long long start, end, offset;
	const char *name = strstr(line, " p2pmem:");
	char bdf[BDF_LEN];
	struct mapper *m;

	if (!name || sscanf(line, "%llx-%llx %*s %llx", &start, &end, &offset) != 3 ||
	    sscanf(name, " p2pmem:%12s", bdf) != 1)
		return;
	m = find_mapper(all, pid, bdf);
	m->bytes += end - start;
	m->nr_mappings++;
	if (offset < m->phys)
		m->phys = offset;
}

static void name_mappers(struct mappers *all, unsigned int from, pid_t pid)
{
	char *comm = read_text("/proc/%d/comm", pid);
	char *path = xasprintf("/proc/%d", pid);
	struct stat st = {};

	stat(path, &st);
	for (; from < all->nr; from++) {
		snprintf(all->m[from].comm, sizeof(all->m[from].comm), "%s", comm ?: "?");
		all->m[from].uid = st.st_uid;
	}
	free(path);
	free(comm);
}

struct mappers mappers_load(void)
{
	struct names processes = list_dir("/proc");
	struct mappers all = { .complete = true };

	for (unsigned int i = 0; i < processes.nr; i++) {
		unsigned int before = all.nr;
		char line[512], *path;
		FILE *maps;
		pid_t pid;

		if (!isdigit((unsigned char)processes.name[i][0]))
			continue;
		pid = atoi(processes.name[i]);
		path = xasprintf("/proc/%d/maps", pid);
		maps = fopen(path, "r");
		free(path);
		if (!maps) {
			all.complete &= !exists("/proc/%d", pid);
			continue;
		}
		while (fgets(line, sizeof(line), maps))
			add_mapping(&all, pid, line);
		fclose(maps);
		name_mappers(&all, before, pid);
	}
	free_names(&processes);
	return all;
}

const char *user_name(uid_t uid, char name[40])
{
	struct passwd *pw = getpwuid(uid);

	if (pw)
		snprintf(name, 40, "%s", pw->pw_name);
	else
		snprintf(name, 40, "%u", uid);
	return name;
}

const char *group_name(gid_t gid, char name[40])
{
	struct group *gr = getgrgid(gid);

	if (gr)
		snprintf(name, 40, "%s", gr->gr_name);
	else
		snprintf(name, 40, "%u", gid);
	return name;
}
