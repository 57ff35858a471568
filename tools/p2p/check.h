/* SPDX-License-Identifier: GPL-2.0 */
/*
 * p2pctl check: what was found out about the machine.
 */
#ifndef P2P_CHECK_H
#define P2P_CHECK_H

enum finding_state {
	FOUND_GOOD,
	FOUND_NOTE,		/* no obstacle, but could be better */
	FOUND_BAD,		/* an obstacle */
};

struct finding {
	enum finding_state state;
	const char *topic;	/* a word */
	char *text;
	char *remedy;		/* or NULL */
};

struct findings {
	struct finding *f;
	unsigned int nr;
};

/* Takes ownership of text and remedy, which were allocated. */
void find(struct findings *all, enum finding_state state, const char *topic, char *text,
	  char *remedy);

/* check_system.c: the kernel and the firmware */
void check_kernel(struct findings *all);
void check_lockdown(struct findings *all);
void check_iommu(struct findings *all);
void check_io_uring(struct findings *all);

#endif
