// SPDX-License-Identifier: GPL-2.0
/*
 * PID 1 of the lab's guests: prepares the machine, runs what /etc/plan says,
 * scans for leaks, gives a verdict, powers off.
 *
 * The kernel log goes to ttyS0, the output of programs to ttyS1. A line that
 * frames that output starts with "### TOKEN ", and the token is new for every
 * boot: no test prints one by accident.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "init.h"

#define TESTS_DIR "/tests"
#define HOST_LIMIT_MS 30000
#define TAINT_TEST 18			/* a bit, see tainted-kernels.rst */

static char token[64] = "none";
static int kmsg_fd = -1, out_fd = -1;
static bool frames_on_output;
static int faults;

/* One write is one record of the kernel log: nothing mixes with it. */
static void log_line(int level, const char *prefix, const char *text)
{
	char line[900];
	int len = snprintf(line, sizeof(line), "<%d>init: %s%s\n", level, prefix, text);

	if (len >= (int)sizeof(line))
		len = sizeof(line) - 1;
	if (kmsg_fd >= 0 && write(kmsg_fd, line, len) < 0)
		return;
}

void note(const char *fmt, ...)
{
	char text[800];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_line(6, "", text);
}

static void vframe(const char *fmt, va_list ap)
{
	char text[800], prefix[80];

	vsnprintf(text, sizeof(text), fmt, ap);
	snprintf(prefix, sizeof(prefix), "### %s ", token);
	/* Level 1: "quiet" on the command line must not hide it. */
	log_line(1, prefix, text);
	/* The newline in front ends what a killed test left unfinished. */
	if (frames_on_output)
		dprintf(out_fd, "\n%s%s\n", prefix, text);
}

void frame(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vframe(fmt, ap);
	va_end(ap);
}

void fault(const char *fmt, ...)
{
	char text[700];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	faults++;
	frame("fault %s", text);
}

void output(const char *data, size_t len)
{
	ssize_t n;

	for (; len; data += n, len -= n) {
		n = write(out_fd, data, len);
		if (n <= 0)
			return;
	}
}

static void open_output(void)
{
	struct termios t;

	kmsg_fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	out_fd = open("/dev/ttyS1", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (out_fd < 0) {
		note("no ttyS1 for the output of programs: %s", strerror(errno));
		return;
	}
	/* Bytes leave as the program wrote them. */
	if (!tcgetattr(out_fd, &t)) {
		cfmakeraw(&t);
		cfsetspeed(&t, B115200);
		tcsetattr(out_fd, TCSANOW, &t);
	}
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* A child's streams and signals; the caller execs next. */
static void become_program(bool interactive)
{
	sigset_t none;
	int in = interactive ? out_fd : open("/dev/null", O_RDONLY);

	setsid();
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (interactive)
		ioctl(out_fd, TIOCSCTTY, 1);
	dup2(in, 0);
	dup2(out_fd, 1);
	dup2(out_fd, 2);
}

/* Waits for one child, for ever when limit is 0. Returns false on time-out. */
static bool wait_child(pid_t pid, double limit, int *status)
{
	double end = now() + limit;
	struct timespec slice = { 0, 100000000 };
	sigset_t chld;
	pid_t got;

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	for (;;) {
		while ((got = waitpid(-1, status, WNOHANG)) > 0)
			if (got == pid)
				return true;
		if (limit && now() >= end)
			return false;
		sigtimedwait(&chld, NULL, &slice);
	}
}

/* After a test nothing of it may run on, whatever session it moved to. */
static void kill_everything(void)
{
	double end = now() + 10;
	pid_t got;

	kill(-1, SIGKILL);
	for (;;) {
		got = waitpid(-1, NULL, WNOHANG);
		if (got < 0)
			return;
		if (!got && now() > end) {
			fault("a process survives SIGKILL");
			return;
		}
		if (!got)
			sleep_ms(10);
	}
}

/* As a shell counts: exit status, 128 + signal, 124 for the time limit. */
static int shell_status(bool in_time, int status)
{
	if (!in_time)
		return 124;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void exec_words(char *command)
{
	char *argv[64], *save;
	char path[300];
	int n = 0;

	for (char *w = strtok_r(command, " ", &save); w && n < 63;
	     w = strtok_r(NULL, " ", &save))
		argv[n++] = w;
	argv[n] = NULL;
	if (!n || chdir(TESTS_DIR))
		_exit(127);
	snprintf(path, sizeof(path), TESTS_DIR "/%s", argv[0]);
	execv(path, argv);
	printf("# cannot run %s: %s\n", path, strerror(errno));
	fflush(stdout);
	_exit(127);
}

static void exec_shell(const char *command)
{
	enter_host_root();
	execl("/bin/sh", "sh", "-c", command, NULL);
	_exit(127);
}

/*
 * The host reads the drives' images between two tests, and says when it has.
 * A host that keeps silent is the runner's trouble, not this guest's.
 */
static void wait_for_host(void)
{
	struct pollfd p = { .fd = out_fd, .events = POLLIN };
	char answer;

	if (poll(&p, 1, HOST_LIMIT_MS) <= 0 || read(out_fd, &answer, 1) != 1)
		fault("no answer from the host");
}

static void run_test(const char *name, double limit, char *command, bool in_host)
{
	double start;
	bool in_time;
	int status = 0;
	pid_t pid;

	frame("test %s begin", name);
	start = now();
	pid = fork();
	if (!pid) {
		become_program(false);
		if (in_host)
			exec_shell(command);
		exec_words(command);
	}
	in_time = pid > 0 && wait_child(pid, limit, &status);
	kill_everything();
	tcdrain(out_fd);
	frame("test %s end status=%d seconds=%.1f%s", name,
	      shell_status(in_time, status), now() - start, in_time ? "" : " timeout");
	wait_for_host();
}

static void run_command(void)
{
	static char command[65536];
	bool in_time;
	int status = 0;
	pid_t pid;

	read_file("/etc/cmd", command, sizeof(command));
	frame("cmd begin");
	pid = fork();
	if (!pid) {
		become_program(false);
		exec_shell(command);
	}
	in_time = wait_child(pid, 0, &status);
	tcdrain(out_fd);
	frame("cmd end status=%d", shell_status(in_time, status));
}

static void sane_terminal(const char *rows_and_columns)
{
	struct winsize size = { 24, 80, 0, 0 };
	struct termios t;

	sscanf(rows_and_columns, "%hu %hu", &size.ws_row, &size.ws_col);
	ioctl(out_fd, TIOCSWINSZ, &size);
	if (tcgetattr(out_fd, &t))
		return;
	t.c_iflag |= ICRNL | BRKINT;
	t.c_oflag |= OPOST | ONLCR;
	t.c_lflag |= ICANON | ISIG | IEXTEN | ECHO | ECHOE | ECHOK | ECHOCTL | ECHOKE;
	t.c_cc[VINTR] = 3;
	t.c_cc[VERASE] = 127;
	t.c_cc[VEOF] = 4;
	t.c_cc[VSUSP] = 26;
	tcsetattr(out_fd, TCSANOW, &t);
}

static void run_shell(const char *rows_and_columns)
{
	int status = 0;
	pid_t pid;

	sane_terminal(rows_and_columns);
	frame("shell begin");
	pid = fork();
	if (!pid) {
		become_program(true);
		enter_host_root();
		execl("/bin/bash", "bash", "-i", NULL);
		execl("/bin/sh", "sh", "-i", NULL);
		_exit(127);
	}
	wait_child(pid, 0, &status);
	tcdrain(out_fd);
	frame("cmd end status=%d", shell_status(true, status));
}

/* The next word of a plan line; the rest stays in *line. */
static char *word(char **line)
{
	char *w = strsep(line, " ");

	return w ? w : "";
}

static void follow(char *line)
{
	char *verb = word(&line), *a, *b;

	if (!strcmp(verb, "token")) {
		snprintf(token, sizeof(token), "%s", word(&line));
		frame("boot");
	} else if (!strcmp(verb, "env")) {
		a = strsep(&line, "=");
		setenv(a, line ? line : "", 1);
	} else if (!strcmp(verb, "bind")) {
		a = word(&line);
		bind_devices(a, word(&line));
	} else if (!strcmp(verb, "disk")) {
		a = word(&line);
		b = word(&line);
		wait_for_disk(a, b, word(&line));
	} else if (!strcmp(verb, "providers")) {
		wait_for_providers(line ? atoi(line) : -1);
	} else if (!strcmp(verb, "hostroot")) {
		mount_host_root();
	} else if (!strcmp(verb, "begin")) {
		leak_scan_begin();
		frame("begin");
	} else if (!strcmp(verb, "test") || !strcmp(verb, "hosttest")) {
		a = word(&line);
		b = word(&line);
		if (line)
			run_test(a, atof(b), line, verb[0] == 'h');
	} else if (!strcmp(verb, "gcov")) {
		send_gcov();
	} else if (!strcmp(verb, "end")) {
		leak_scan_end();
		unmount_all();
		/* The unit tests at boot taint the kernel, too: no news. */
		frame("tainted %lld", read_number("/proc/sys/kernel/tainted") &
				      ~(1LL << TAINT_TEST));
		frame("verdict %s faults=%d", faults ? "FAIL" : "PASS", faults);
	} else if (!strcmp(verb, "cmd")) {
		run_command();
	} else if (!strcmp(verb, "shell")) {
		run_shell(line ? line : "");
	} else if (verb[0]) {
		fault("the plan says \"%s\", which is nothing known", verb);
	}
}

int main(void)
{
	static char plan[65536];
	sigset_t chld;
	char *next = plan, *line;

	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	sigprocmask(SIG_BLOCK, &chld, NULL);
	setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
	setenv("HOME", "/root", 1);

	sethostname("p2p", 3);
	mount_basics();
	open_output();
	if (!read_file("/etc/plan", plan, sizeof(plan)))
		fault("no /etc/plan in the initrd");
	/* Whoever asked for a verdict asked for its frames beside the output. */
	frames_on_output = out_fd >= 0 && strstr(plan, "\nbegin");
	while ((line = strsep(&next, "\n")))
		follow(line);

	unmount_all();
	sync();
	tcdrain(out_fd);
	reboot(RB_POWER_OFF);
	return 0;
}
