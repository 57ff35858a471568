/* SPDX-License-Identifier: GPL-2.0 */
/* The fixture of the tests of data left in memory, see stale.h. */
#ifndef P2P_STALE_FIXTURE_H
#define P2P_STALE_FIXTURE_H

#include "stale.h"
#include "variants.h"

FIXTURE(stale);

P2P_VARIANTS(stale, NULL, "raw", NULL);

FIXTURE_SETUP(stale)
{
	ASSERT_TRUE(p2p_setup(&self->p2p, &variant->p2p, 0));
	ASSERT_TRUE(p2p_setup_drive(&self->p2p, &variant->p2p, O_RDWR));
	self->size = SMALL;
	self->shared = mmap(NULL, sizeof(*self->shared), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->shared);
	ASSERT_TRUE(users_admit(self->provider, USERS));
	ASSERT_TRUE(open_files(self));
}

FIXTURE_TEARDOWN(stale)
{
	close_files(self);
	p2p_release(&self->p2p);
	EXPECT_TRUE(users_admit(self->provider, 0));
	EXPECT_TRUE(p2p_settles(self->provider, self->before));
}

#endif
