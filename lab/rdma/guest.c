// SPDX-License-Identifier: GPL-2.0
/*
 * What QEMU's pvrdma does not pass on: it turns each request into a SEND, and does not tell
 * where the guest has a region. Both can be found. QEMU passes a request's pieces on
 * where they are, in the guest's ring, so the guest's own request is before them. And it
 * remembers a region beside the pointer that ibv_reg_mr() returned.
 *
 * This knows QEMU 7.2. What it finds is compared with what is known; if it does not
 * fit, RDMA requests end with a remote access error, and SENDs work on.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "verbs.h"

/* struct pvrdma_sq_wqe_hdr of include/uapi/rdma/vmw_pvrdma-abi.h, as far as needed. */
struct request {
	uint64_t id;
	uint32_t nr_sge;
	uint32_t total_len;
	uint32_t opcode;
	uint32_t flags;
	uint32_t immediate;
	uint32_t reserved;
	uint64_t remote_address;
	uint32_t remote_key;
	/* The longest of a union is for UD: two words and an address vector. */
	uint8_t rest[36];
};

_Static_assert(sizeof(struct request) == 80, "size of the header of a request");

/* Of its opcodes, the first ones are those of verbs. */
void read_request(const struct ibv_sge *sge, struct work *work)
{
	const struct request *request = (const struct request *)sge - 1;

	work->opcode = request->opcode;
	work->remote_address = request->remote_address;
	work->remote_key = request->remote_key;
}

/* struct RdmaRmMR of hw/rdma/rdma_rm_defs.h. */
struct remembered {
	struct ibv_pd *pd;
	struct ibv_mr *mr;
	void *address;
	uint64_t guest_address;
	uint64_t length;
};

static bool is_it(const struct region *region, const struct remembered *it)
{
	return it->mr == &region->mr && it->pd == region->mr.pd &&
	       it->address == region->mr.addr && it->length == region->mr.length;
}

/* Memory may be unmapped meanwhile, so it is read by a system call. */
static bool search(struct region *region, uintptr_t start, uintptr_t end)
{
	static char buffer[1 << 20];
	const size_t overlap = sizeof(struct remembered);

	while (start + overlap <= end) {
		size_t len = end - start < sizeof(buffer) ? end - start : sizeof(buffer), at;
		struct iovec to = { buffer, len }, from = { (void *)start, len };
		ssize_t got = process_vm_readv(getpid(), &to, 1, &from, 1, 0);

		for (at = 0; got > 0 && at + overlap <= (size_t)got; at += sizeof(void *)) {
			const struct remembered *it = (const void *)(buffer + at);

			if (is_it(region, it)) {
				region->guest_address = it->guest_address;
				return true;
			}
		}
		if (len < sizeof(buffer))
			break;
		start += len - overlap;
	}
	return false;
}

/* Once per region. The memory of the guest is shared, so it is not searched. */
bool find_guest_address(struct region *region)
{
	unsigned long start, end;
	char line[512], rights[5];
	FILE *maps;

	if (region->has_guest_address)
		return true;
	maps = fopen("/proc/self/maps", "r");
	if (!maps)
		return false;
	while (!region->has_guest_address && fgets(line, sizeof(line), maps))
		if (sscanf(line, "%lx-%lx %4s", &start, &end, rights) == 3 &&
		    !strcmp(rights, "rw-p"))
			region->has_guest_address = search(region, start, end);
	fclose(maps);
	if (!region->has_guest_address)
		fprintf(stderr, "verbs: QEMU remembers regions in another way\n");
	return region->has_guest_address;
}
