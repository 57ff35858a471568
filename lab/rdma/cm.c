// SPDX-License-Identifier: GPL-2.0
/*
 * Stands in for librdmacm.so.1, which QEMU needs for migration, and for nothing else.
 * Each call fails.
 */
#include <errno.h>
#include <stddef.h>

/* C does not care here what a caller passes. */
#define FAILS(name)	\
	int name(void) { errno = ENOSYS; return -1; }
#define RETURNS_NULL(name)	\
	void *name(void) { errno = ENOSYS; return NULL; }

FAILS(rdma_accept)
FAILS(rdma_ack_cm_event)
FAILS(rdma_bind_addr)
FAILS(rdma_connect)
RETURNS_NULL(rdma_create_event_channel)
FAILS(rdma_create_id)
FAILS(rdma_create_qp)
FAILS(rdma_destroy_event_channel)
FAILS(rdma_destroy_id)
FAILS(rdma_destroy_qp)
FAILS(rdma_disconnect)
RETURNS_NULL(rdma_event_str)
FAILS(rdma_freeaddrinfo)
FAILS(rdma_get_cm_event)
FAILS(rdma_getaddrinfo)
FAILS(rdma_listen)
FAILS(rdma_resolve_addr)
FAILS(rdma_resolve_route)
FAILS(rdma_set_option)
