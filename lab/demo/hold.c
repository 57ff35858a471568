// SPDX-License-Identifier: GPL-2.0
/*
 * Runs a program in the guest, then waits until the host has looked at the
 * screen. Prints TAP, so that the lab's verdict covers the demo as any test.
 *
 *	hold NAME EXPECTED-STATUS PROGRAM ARG...
 *
 * An argument $VARIABLE is taken from the environment, where PID 1 puts what
 * devices are called. The host answers on ttyS2.
 */
#include <err.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

static int run(char **argv)
{
	int status;
	pid_t pid;

	for (int i = 0; argv[i]; i++) {
		if (argv[i][0] != '$')
			continue;
		argv[i] = getenv(argv[i] + 1);
		if (!argv[i])
			errx(1, "argument %d: no such variable", i);
	}
	pid = fork();
	if (!pid) {
		execv(argv[0], argv);
		err(127, "%s", argv[0]);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		err(1, "%s", argv[0]);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Opened before the host is asked, so that its answer can't be missed. */
static int open_answer(void)
{
	int fd = open("/dev/ttyS2", O_RDWR | O_NOCTTY);
	struct termios t;

	if (fd < 0 || tcgetattr(fd, &t))
		err(1, "ttyS2");
	cfmakeraw(&t);
	if (tcsetattr(fd, TCSANOW, &t))
		err(1, "ttyS2");
	return fd;
}

int main(int argc, char **argv)
{
	int fd = open_answer();
	char answer;
	int status;

	if (argc < 4)
		errx(1, "usage: hold NAME EXPECTED-STATUS PROGRAM ARG...");
	setvbuf(stdout, NULL, _IOLBF, 0);
	status = run(argv + 3);
	printf("held %s\n", argv[1]);
	if (read(fd, &answer, 1) != 1)
		err(1, "ttyS2");

	printf("1..1\n%s 1 %s # exit status %d\n",
	       status == atoi(argv[2]) ? "ok" : "not ok", argv[1], status);
	return status != atoi(argv[2]);
}
