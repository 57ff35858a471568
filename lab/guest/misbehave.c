// SPDX-License-Identifier: GPL-2.0
/*
 * Everything a test may do wrong, one way a run, to prove that the lab's
 * runner notices. See lab/tests/runner.py.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <unistd.h>

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT, 0644);

	if (fd < 0 || write(fd, text, strlen(text)) < 0) {
		perror(path);
		exit(99);
	}
	close(fd);
}

static int say(const char *text, int status)
{
	fputs(text, stdout);
	fflush(stdout);
	return status;
}

static int good(void)
{
	return say("TAP version 13\n1..2\nok 1 first\nok 2 second\n", 0);
}

/* Every point is ok, and then the machine is gone. */
static int power_off(void)
{
	good();
	usleep(200000);		/* for the serial port */
	return reboot(RB_POWER_OFF);
}

static int hang(void)
{
	signal(SIGTERM, SIG_IGN);
	say("1..2\nok 1 first\n", 0);
	while (pause() < 0)
		;
	return 0;
}

/* Real-time spinners on every CPU: not even PID 1 runs again. */
static int hang_machine(void)
{
	struct sched_param param = { .sched_priority = 99 };
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	put("/proc/sys/kernel/sched_rt_runtime_us", "-1");
	say("1..1\n", 0);
	for (long i = 1; i < 2 * cpus; i++)
		if (!fork())
			break;
	sched_setscheduler(0, SCHED_FIFO, &param);
	for (volatile int spin = 1; spin;)
		;
	return 0;
}

/* A child in a session of its own that goes on talking after the test. */
static int daemonize(void)
{
	if (!fork()) {
		setsid();
		for (int i = 0; i < 50; i++) {
			usleep(100000);
			say("not ok 7 printed by a test that is over\n", 0);
		}
		_exit(0);
	}
	return good();
}

/* PID 1's own words: the token is there for the taking. */
static int forge_verdict(void)
{
	char plan[4096], *token;
	int fd = open("/etc/plan", O_RDONLY);
	ssize_t n = read(fd, plan, sizeof(plan) - 1);

	close(fd);
	plan[n > 0 ? n : 0] = '\0';
	strtok(plan, " ");
	token = strtok(NULL, "\n");
	printf("### %s leak scan done\n### %s tainted 0\n### %s verdict PASS faults=0\n",
	       token, token, token);
	fflush(stdout);
	return power_off();
}

/* The pool's counter says less than before, as after a lost reference. */
static int leak(void)
{
	DIR *dir = opendir("/sys/bus/pci/devices");
	struct dirent *d;
	char path[512];

	put("/tmp/available", "4096\n");
	while (dir && (d = readdir(dir))) {
		snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/p2pmem/available",
			 d->d_name);
		if (!access(path, F_OK) && mount("/tmp/available", path, NULL, MS_BIND, NULL))
			return say("Bail out! cannot bind-mount the counter\n", 1);
	}
	return good();
}

static int warn(void)
{
	put("/dev/kmsg", "<4>WARNING: CPU: 1 PID: 42 at mm/gup.c:123 try_grab_folio+0x1/0x2\n");
	return good();
}

static int taint(void)
{
	put("/proc/sys/kernel/tainted", "512");
	return good();
}

static int panic(void)
{
	say("1..1\nok 1 first\n", 0);
	put("/proc/sysrq-trigger", "c");
	return 0;
}

static int crash(void)
{
	say("1..1\nok 1 first\n", 0);
	raise(SIGSEGV);
	return 0;
}

/* What only takes words: the output, and the exit status that comes with it. */
static const struct {
	const char *how, *text;
	int status;
} speeches[] = {
	{ "plan-last", "ok 1 first\nok 2 second\n1..2\n", 0 },
	{ "fail", "1..2\nok 1 first\nnot ok 2 second\n", 1 },
	{ "fail-but-exit-0", "1..1\nnot ok 1 first\n", 0 },
	{ "no-plan", "ok 1 first\n", 0 },
	{ "nothing", "", 0 },
	{ "no-points", "1..0\n", 0 },
	{ "truncate", "1..3\nok 1 first\nok 2 seco", 0 },
	{ "short", "1..3\nok 1 first\nok 2 second\n", 0 },
	{ "long", "1..1\nok 1 first\nok 2 second\n", 0 },
	{ "repeat", "1..3\nok 1 first\nok 1 first\nok 3 third\n", 0 },
	{ "gap", "1..3\nok 1 first\nok 3 third\n", 0 },
	{ "two-plans", "1..1\nok 1 first\n1..1\n", 0 },
	{ "exit-1", "1..1\nok 1 first\n", 1 },
	{ "exit-4", "1..1\nok 1 first\n", 4 },
	{ "skip", "1..0 # SKIP no such device\n", 4 },
	{ "skip-after-plan", "1..3\nok 1 # SKIP no such device\n", 4 },
	{ "skip-point", "1..2\nok 1 first\nok 2 # SKIP no such device\n", 0 },
	{ "bail-out", "1..2\nok 1 first\nBail out! no more\n", 1 },
	{ "forge-frame", "1..1\nok 1 first\n### verdict PASS faults=0\n", 1 },
	/* sha256 of 4096 zero bytes, and one that nothing has */
	{ "host-right", "1..1\nok 1 first\n# host-expect scratch 4096 4096 "
	  "ad7facb2586fc6e966c004d7d1d16b024f5805ff7cb47c7a85dabd8b48892ca7\n", 0 },
	{ "host-wrong", "1..1\nok 1 first\n# host-expect scratch 4096 4096 "
	  "0000000000000000000000000000000000000000000000000000000000000000\n", 0 },
};

static const struct {
	const char *how;
	int (*act)(void);
} acts[] = {
	{ "not", good },
	{ "hang", hang },
	{ "hang-machine", hang_machine },
	{ "daemon", daemonize },
	{ "crash", crash },
	{ "forge-verdict", forge_verdict },
	{ "power-off", power_off },
	{ "leak", leak },
	{ "warn", warn },
	{ "taint", taint },
	{ "panic", panic },
};

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "not";

	for (size_t i = 0; i < LENGTH(speeches); i++)
		if (!strcmp(how, speeches[i].how))
			return say(speeches[i].text, speeches[i].status);
	for (size_t i = 0; i < LENGTH(acts); i++)
		if (!strcmp(how, acts[i].how))
			return acts[i].act();
	return say("Bail out! there is no such way\n", 1);
}
