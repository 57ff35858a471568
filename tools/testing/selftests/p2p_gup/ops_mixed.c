// SPDX-License-Identifier: GPL-2.0
/*
 * Transfers of vectors of RAM and of all providers' memory, with a drive and
 * with mirrors. Unlike in other calls the data is known: a worker has its own
 * areas on these devices, and its own memory.
 *
 * Providers may be removed and routes may change meanwhile, so a transfer may
 * fail. Each sector then has either the new or the old data. Transfers of RAM
 * are not affected and never fail.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "../kselftest.h"
#include "acs.h"
#include "mixed.h"
#include "ops.h"

#define SEGMENTS	16
#define SIZE		(SEGMENTS * MIXED_SEGMENT)
#define SLOTS		((OPS_DISK_END - OPS_DISK_MIXED) / SIZE)
#define SETTLE_S	300

enum { BEFORE, WRITTEN, READ };		/* data of one call */

struct transfer {
	struct ops_worker *w;
	struct mixed m;
	struct iovec vec[SEGMENTS];
	int kind[SEGMENTS];
	int nr;
	bool async;
	bool ram_only;
	bool right;
	off_t where;
	size_t len;
	ssize_t done;			/* bytes of the last transfer */
	const char *name[P2P_MAX + 1];	/* of each kind of memory */
};

/* Reports the transfer, and what is wrong with it. */
static void wrong(struct transfer *t, const char *what, long value)
{
	int i;

	printf("# %s of %d segments at %#lx%s:", t->m.fd == t->w->disk ? "drive" : "mirror", t->nr,
	       t->where, t->async ? ", libaio" : "");
	for (i = 0; i < t->nr; i++)
		printf(" %s+%#zx", t->kind[i] ? t->name[t->kind[i]] : "RAM", t->vec[i].iov_len);
	printf("; %zd of %zu bytes done\n", t->done, t->len);
	ops_wrong(t->w, what, value);
}

static uint64_t data(const struct transfer *t, int which)
{
	return t->m.seed * 4UL + which;
}

static void fill_vector(void *arg)
{
	struct transfer *t = arg;
	off_t where = t->where;
	int i;

	for (i = 0; i < t->nr; i++) {
		p2p_fill(t->vec[i].iov_base, t->vec[i].iov_len, data(t, WRITTEN), where);
		where += t->vec[i].iov_len;
	}
}

static void poison_vector(void *arg)
{
	struct transfer *t = arg;
	int i;

	for (i = 0; i < t->nr; i++)
		p2p_set(t->vec[i].iov_base, t->vec[i].iov_len, MIXED_POISON);
}

/* Checks as much of the vector as was read. */
static void check_vector(void *arg)
{
	struct transfer *t = arg;
	off_t where = t->where;
	ssize_t left = t->done;
	size_t len;
	int i;

	t->right = true;
	for (i = 0; left > 0; i++) {
		len = left < t->vec[i].iov_len ? left : t->vec[i].iov_len;
		if (p2p_differs(t->vec[i].iov_base, len, data(t, READ), where) != -1)
			t->right = false;
		where += len;
		left -= len;
	}
}

/* Writes from RAM, which never fails. */
static bool put(struct transfer *t, int which)
{
	ssize_t ret;

	p2p_fill(t->m.back, t->len, data(t, which), t->where);
	ret = p2p_result(pwrite(t->m.fd, t->m.back, t->len, t->where));
	if (ret != t->len)
		wrong(t, "write from RAM", ret);
	return ret == t->len;
}

/* The sectors done have the new data, the others the new or the old data. */
static void check_device(struct transfer *t)
{
	ssize_t at, ret;
	char *sector;
	bool is_new;

	p2p_set(t->m.back, t->len, MIXED_POISON);
	ret = p2p_result(pread(t->m.fd, t->m.back, t->len, t->where));
	if (ret != t->len) {
		wrong(t, "read to RAM", ret);
		return;
	}
	for (at = 0; at < t->len; at += SECTOR) {
		sector = t->m.back + at;
		is_new = p2p_differs(sector, SECTOR, data(t, WRITTEN), t->where + at) == -1;
		if (is_new || (at >= t->done &&
			       p2p_differs(sector, SECTOR, data(t, BEFORE), t->where + at) == -1))
			continue;
		wrong(t, "data of a mixed write", at);
		break;
	}
}

static ssize_t transfer(struct transfer *t, bool writes)
{
	ssize_t ret;

	if (t->async)
		ret = mixed_async(t->m.fd, writes ? IOCB_CMD_PWRITEV : IOCB_CMD_PREADV, t->vec,
				  t->nr, t->where);
	else if (writes)
		ret = p2p_result(pwritev(t->m.fd, t->vec, t->nr, t->where));
	else
		ret = p2p_result(preadv(t->m.fd, t->vec, t->nr, t->where));
	t->done = ret > 0 ? ret : 0;
	/*
	 * Refused, or the memory is gone: EIO if a part is already in flight.
	 */
	if (ret != t->len && (t->ram_only || (ret < 0 && ret != -EREMOTEIO && ret != -EFAULT &&
					      ret != -EIO)))
		wrong(t, writes ? "mixed write" : "mixed read", ret);
	return ret;
}

static long write_and_read(struct transfer *t)
{
	struct ops_stats *stats = t->w->stats;
	ssize_t wrote, ret;
	int sig;

	if (!put(t, BEFORE))
		return -EIO;
	sig = ops_guard(fill_vector, t);
	if (sig)
		return OPS_SIGNAL(sig);
	wrote = transfer(t, true);
	check_device(t);

	if (!put(t, READ))
		return -EIO;
	sig = ops_guard(poison_vector, t);
	if (sig)
		return OPS_SIGNAL(sig);
	ret = transfer(t, false);
	sig = ops_guard(check_vector, t);
	if (sig)
		return OPS_SIGNAL(sig);
	if (!t->right)
		wrong(t, "data of a mixed read", ret);

	if (wrote == -EREMOTEIO || ret == -EREMOTEIO)
		__atomic_add_fetch(&stats->refused, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&stats->verified, t->len, __ATOMIC_RELAXED);
	return wrote < 0 ? wrote : ret;
}

/* Gets RAM, and as much memory of each provider that is present now. */
static bool get_memory(struct transfer *t)
{
	struct ops_stats *stats = t->w->stats;
	struct mixed *m = &t->m;
	int i;

	m->back = p2p_ram(SIZE);
	m->mem[m->nr++] = p2p_ram(SIZE);
	for (i = 0; i < stats->nr_providers && m->nr <= P2P_MAX; i++) {
		m->mem[m->nr] = p2p_map(stats->providers[i], SIZE);
		if (m->mem[m->nr] != MAP_FAILED)
			t->name[m->nr++] = stats->providers[i];
	}
	return m->back != MAP_FAILED && m->mem[0] != MAP_FAILED;
}

static long run_on(struct ops_worker *w, const struct ops_call *call, int fd)
{
	struct transfer t = {
		.w = w,
		.m = { .fd = fd, .sector = SECTOR, .seed = call->r[0] },
		.async = call->r[2] % 2,
		.ram_only = true,
	};
	long ret = -ENOMEM;
	int i;

	if (fd < 0 || w->slot >= SLOTS)
		return -EBADF;
	t.where = (fd == w->disk ? OPS_DISK_MIXED : 0) + w->slot * SIZE;
	if (get_memory(&t)) {
		t.nr = 1 + call->r[1] % SEGMENTS;
		t.len = mixed_vector(&t.m, t.vec, t.kind, t.nr);
		for (i = 0; i < t.nr; i++)
			if (t.kind[i])
				t.ram_only = false;
		ret = write_and_read(&t);
	}
	for (i = 0; i < t.m.nr; i++)
		munmap(t.m.mem[i], SIZE);
	munmap(t.m.back, SIZE);
	return ret;
}

static long run_mixed(struct ops_worker *w, const struct ops_call *call)
{
	return run_on(w, call, w->disk);
}

static long run_mirror(struct ops_worker *w, const struct ops_call *call)
{
	long ret = run_on(w, call, w->mirrors[call->r[3] % OPS_MIRRORS]);

	if (ret > 0)
		__atomic_add_fetch(&w->stats->mirrored, 1, __ATOMIC_RELAXED);
	return ret;
}

/* Takes the next path from the list; false at its end. */
static bool next_mirror(const char **list, char *path)
{
	int len = 0;

	if (!*list || sscanf(*list, " %63s%n", path, &len) != 1)
		return false;
	*list += len;
	return true;
}

void ops_open_mirrors(struct ops_worker *w)
{
	const char *list = getenv("P2P_MIRRORS");
	char path[64];
	int i;

	for (i = 0; i < OPS_MIRRORS; i++)
		w->mirrors[i] = next_mirror(&list, path) ? open(path, O_RDWR | O_DIRECT) : -1;
}

void ops_close_mirrors(struct ops_worker *w)
{
	int i;

	for (i = 0; i < OPS_MIRRORS; i++)
		close(w->mirrors[i]);
}

/* Reads the named file in a directory, without the newline. */
static const char *text_of(const char *dir, const char *name)
{
	static char text[512];
	char path[PATH_MAX];
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDONLY);
	len = read(fd, text, sizeof(text) - 1);
	close(fd);
	if (len < 0)
		return "unreadable";
	text[len] = 0;
	text[strcspn(text, "\n")] = 0;
	return text;
}

/* Is no resync or check running or pending, for a whole second? */
static bool is_idle(const char *md)
{
	int ms, quiet = 0;

	for (ms = 0; ms < SETTLE_S * 1000 && quiet < 10; ms += 100) {
		usleep(100000);
		if (!strcmp(text_of(md, "sync_action"), "idle") &&
		    !strcmp(text_of(md, "resync_start"), "none"))
			quiet++;
		else
			quiet = 0;
	}
	return quiet == 10;
}

static int complain(const char *where, const char *what, const char *text)
{
	printf("# %s: %s: %s\n", where, what, text);
	return 1;
}

static int faults_of_member(const char *member)
{
	const char *state = text_of(member, "state");
	int faults = 0;

	if (!strstr(state, "in_sync") || strstr(state, "faulty") || strstr(state, "blocked") ||
	    strstr(state, "want_replacement") || strstr(state, "write_error"))
		faults += complain(member, "state", state);
	if (strcmp(text_of(member, "errors"), "0"))
		faults += complain(member, "errors", text_of(member, "errors"));
	if (*text_of(member, "bad_blocks"))
		faults += complain(member, "bad blocks", text_of(member, "bad_blocks"));
	return faults;
}

static int faults_of_mirror(const char *md)
{
	char path[PATH_MAX];
	glob_t members;
	int faults = 0;
	size_t i;

	if (!is_idle(md))
		faults += complain(md, "does not come to rest", text_of(md, "sync_action"));
	if (strcmp(text_of(md, "degraded"), "0"))
		faults += complain(md, "degraded", text_of(md, "degraded"));
	snprintf(path, sizeof(path), "%s/dev-*", md);
	if (glob(path, 0, NULL, &members))
		return faults + complain(md, "members", "none");
	for (i = 0; i < members.gl_pathc; i++)
		faults += faults_of_member(members.gl_pathv[i]);
	globfree(&members);

	/* Both copies are the same. */
	snprintf(path, sizeof(path), "%s/sync_action", md);
	if (p2p_write_file(path, "check") || !is_idle(md))
		faults += complain(md, "can't be checked", text_of(md, "sync_action"));
	if (strcmp(text_of(md, "mismatch_cnt"), "0"))
		faults += complain(md, "sectors that differ", text_of(md, "mismatch_cnt"));
	return faults;
}

/* Are the mirrors intact, whatever their members have refused? */
bool ops_mirrors_whole(void)
{
	const char *list = getenv("P2P_MIRRORS");
	char path[64], node[PATH_MAX], md[PATH_MAX];
	int faults = 0;

	while (next_mirror(&list, path)) {
		if (!realpath(path, node)) {
			faults += complain(path, "is gone", strerror(errno));
			continue;
		}
		snprintf(md, sizeof(md), "/sys/class/block/%.64s/md", strrchr(node, '/') + 1);
		faults += faults_of_mirror(md);
	}
	return !faults;
}

/*
 * Toggles ACS redirection of a port above the drive, so that routes change
 * while transfers are in flight. Returns 0 if no port supports it.
 */
pid_t ops_start_switcher(struct ops_stats *stats, uint64_t seed)
{
	char port[PATH_MAX];
	pid_t pid;
	int acs;

	if (!acs_path_of_disk(p2p_disk("raw"), port))
		return 0;
	*strrchr(port, '/') = 0;
	acs = acs_find(port);
	if (!acs)
		return 0;
	pid = fork();
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (!__atomic_load_n(&stats->stop, __ATOMIC_RELAXED)) {
		config_write(port, acs + ACS_CTRL, ACS_REDIRECT);
		usleep(ops_random(&seed) % 10000);
		config_write(port, acs + ACS_CTRL, 0);
		stats->switched++;
		usleep(ops_random(&seed) % 40000);
	}
	_exit(0);
}

const struct ops_op ops_mixed[] = {
	{ "mixed", run_mixed, OPS_IO, 3 },
	{ "mirror", run_mirror, OPS_IO, 4 },
	{ }
};
