// SPDX-License-Identifier: GPL-2.0
/* Two connected sockets, over the loopback device. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../loopback.h"

/* type: SOCK_STREAM for TCP, SOCK_DGRAM for UDP. fds[0] sends to fds[1]. */
bool loopback_pair(int type, int fds[2])
{
	struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	struct ifreq lo = { .ifr_flags = IFF_UP };
	socklen_t len = sizeof(addr);
	int listener;

	listener = socket(AF_INET, type, 0);
	fds[0] = socket(AF_INET, type, 0);
	if (listener < 0 || fds[0] < 0)
		return false;
	strcpy(lo.ifr_name, "lo");
	ioctl(fds[0], SIOCSIFFLAGS, &lo);
	if (bind(listener, (struct sockaddr *)&addr, len) ||
	    getsockname(listener, (struct sockaddr *)&addr, &len) ||
	    (type == SOCK_STREAM && listen(listener, 1)) ||
	    connect(fds[0], (struct sockaddr *)&addr, len))
		return false;
	if (type != SOCK_STREAM) {
		fds[1] = listener;
		return true;
	}
	fds[1] = accept(listener, NULL, NULL);
	close(listener);
	return fds[1] >= 0;
}
