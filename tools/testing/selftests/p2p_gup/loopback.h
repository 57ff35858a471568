/* SPDX-License-Identifier: GPL-2.0 */
/* Two connected sockets, over the loopback device. */
#ifndef P2P_LOOPBACK_H
#define P2P_LOOPBACK_H

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

bool loopback_pair(int type, int fds[2]);

#endif
