// SPDX-License-Identifier: GPL-2.0
/* Calls that create and end processes, and that remove providers. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../kselftest.h"
#include "bind.h"
#include "ops.h"

#define RESCAN		"/sys/bus/pci/rescan"
#define COME_BACK_MS	60000

static void access_room(void *arg)
{
	const struct ops_call *call = arg;

	p2p_load(ops_addr(call));
	p2p_store(ops_addr(call), call->r[2]);
}

/*
 * The child touches memory that it inherited, reads the drive into it, unmaps it,
 * and ends in one of several ways.
 */
static void be_child(struct ops_worker *w, const struct ops_call *call)
{
	static char *const argv[] = { OPS_EXEC, NULL };
	struct ops_call arg = *call;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	ops_guard(access_room, &arg);
	if (call->r[3] % 2)
		p2p_result(pread(w->disk, ops_addr(call), OPS_PAGE, 0));
	switch (call->r[4] % 4) {
	case 0:
		munmap(OPS_ROOM, OPS_ROOM_SIZE);
		break;
	case 1:
		execv("/proc/self/exe", argv);
		break;
	case 2:
		kill(getpid(), SIGKILL);
		break;
	}
	_exit(0);
}

static long run_fork(struct ops_worker *w, const struct ops_call *call)
{
	bool shares = call->r[5] % 4 == 0;
	int status;
	pid_t pid;

	pid = fork();
	if (pid < 0)
		return -errno;
	if (!pid)
		be_child(w, call);
	/* Some children are killed at an arbitrary time. */
	if (shares)
		kill(pid, SIGKILL);
	if (waitpid(pid, &status, 0) != pid)
		return -errno;
	return WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL ?
		OPS_SIGNAL(WTERMSIG(status)) : 0;
}

/* Only one removal at a time, which must not wait for its own caller. */
static int lock_providers(struct ops_worker *w)
{
	int fd;

	ops_let_go(w);
	ops_reap_all(w);
	fd = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		flock(fd, LOCK_EX);
	return fd;
}

int ops_rebind(struct ops_worker *w, const char *provider)
{
	int error = p2p_unbind(provider);

	if (!error) {
		__atomic_add_fetch(&w->stats->unbound, 1, __ATOMIC_RELAXED);
		error = p2p_bind(provider);
	}
	return error;
}

int ops_reset(struct ops_worker *w, const char *provider)
{
	int error = p2p_reset(provider);

	if (!error)
		__atomic_add_fetch(&w->stats->reset, 1, __ATOMIC_RELAXED);
	return error;
}

/*
 * Waits for a device to appear, and binds its driver again. Someone else may be
 * probing it at the same time.
 */
bool ops_bring_back(const char *provider)
{
	char path[P2P_PATH_LEN];
	int i;

	p2p_path(path, provider, "driver_override");
	for (i = 0; i < COME_BACK_MS; i++) {
		if (!p2p_write_file(path, P2P_BAR_DRIVER))
			p2p_write_file("/sys/bus/pci/drivers_probe", provider);
		if (p2p_has_driver(provider, P2P_BAR_DRIVER))
			return true;
		usleep(1000);
	}
	return false;
}

int ops_remove_and_scan(struct ops_worker *w, const char *provider)
{
	char path[P2P_PATH_LEN];
	int error;

	p2p_path(path, provider, "remove");
	error = p2p_write_file(path, "1");
	if (error)
		return error;
	__atomic_add_fetch(&w->stats->removed, 1, __ATOMIC_RELAXED);
	error = p2p_write_file(RESCAN, "1");
	if (!error && !ops_bring_back(provider))
		error = ENODEV;
	return error;
}

/* The file "power" of the slot that a device is in; false if there is none. */
static bool slot_power(const char *provider, char *path)
{
	char address[32];
	glob_t slots;
	size_t i;
	int fd;

	*path = 0;
	if (glob("/sys/bus/pci/slots/*/address", 0, NULL, &slots))
		return false;
	for (i = 0; !*path && i < slots.gl_pathc; i++) {
		memset(address, 0, sizeof(address));
		fd = open(slots.gl_pathv[i], O_RDONLY);
		if (read(fd, address, sizeof(address) - 1) == 11 &&
		    !strncmp(provider, address, 10))
			snprintf(path, P2P_PATH_LEN, "%.*s/power",
				 (int)strlen(slots.gl_pathv[i]) - 8,
				 slots.gl_pathv[i]);
		close(fd);
	}
	globfree(&slots);
	return *path;
}

/*
 * Switches the power of a slot off: the host notices that the device is gone
 * and plugs it in again, which looks like a press of the attention button.
 * Switching the power on avoids waiting for another press.
 */
int ops_unplug(struct ops_worker *w, const char *provider)
{
	char path[P2P_PATH_LEN], device[P2P_PATH_LEN];
	int i, error;

	if (!slot_power(provider, path))
		return ENODEV;
	error = p2p_write_file(path, "0");
	if (error)
		return error;
	__atomic_add_fetch(&w->stats->unplugged, 1, __ATOMIC_RELAXED);
	p2p_path(device, provider, "vendor");
	for (i = 0; access(device, F_OK) && i < COME_BACK_MS; i += 200) {
		p2p_write_file(path, "1");
		usleep(200000);
	}
	return ops_bring_back(provider) ? 0 : ENODEV;
}

/* Is all memory of all providers available at the end? */
bool ops_all_back(struct ops_stats *stats)
{
	bool all = true;
	int i;

	for (i = 0; i < stats->nr_providers; i++) {
		if (!p2p_has_driver(stats->providers[i], P2P_BAR_DRIVER))
			ops_bring_back(stats->providers[i]);
		if (p2p_settles(stats->providers[i], stats->size[i]))
			continue;
		printf("# %s: %lld bytes are available, not %lld\n",
		       stats->providers[i], p2p_available(stats->providers[i]),
		       stats->size[i]);
		all = false;
	}
	return all;
}

static long disturb(struct ops_worker *w, const struct ops_call *call,
		    int (*how)(struct ops_worker *w, const char *provider))
{
	int error, fd = lock_providers(w);

	error = how(w, w->stats->providers[call->r[5] % w->stats->nr_providers]);
	close(fd);
	return -error;
}

/* Resets are rare, because others may hold pages, for which a reset waits. */
static long run_rebind_or_reset(struct ops_worker *w, const struct ops_call *call)
{
	return disturb(w, call, call->r[4] % 16 ? ops_rebind : ops_reset);
}

static long run_remove(struct ops_worker *w, const struct ops_call *call)
{
	return disturb(w, call, ops_remove_and_scan);
}

const struct ops_op ops_task[] = {
	{ "fork", run_fork, OPS_TASK, 3 },
	{ "rebind_or_reset", run_rebind_or_reset, OPS_LIFE, 2 },
	{ "remove", run_remove, OPS_LIFE, 1 },
	{ }
};
