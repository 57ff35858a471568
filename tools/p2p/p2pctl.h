/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The subcommands. Each gets its own name as argv[0], and returns an enum status.
 */
#ifndef P2PCTL_H
#define P2PCTL_H

int cmd_list(int argc, char **argv);
int cmd_route(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_bind(int argc, char **argv);
int cmd_unbind(int argc, char **argv);
int cmd_watch(int argc, char **argv);
int cmd_copy(int argc, char **argv);
int cmd_bench(int argc, char **argv);

/* For getopt_long() of the subcommands. */
#define OPTION_HELP { "help", no_argument, NULL, 'h' }

void print_usage(const char *command);
void usage_error(const char *command, const char *fmt, ...)
	__attribute__((noreturn, format(printf, 2, 3)));

#endif
