/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Fixture variants that are found at run time: one for each provider, or for
 * each pair of a provider and a drive.
 */
#ifndef P2P_VARIANTS_H
#define P2P_VARIANTS_H

#include "../kselftest_harness.h"
#include "p2pmem.h"

/*
 * For use after FIXTURE(). driver: only providers that are bound to it, or
 * NULL; then the names of the drives, if any, and NULL. Without any variant the
 * whole program is skipped.
 */
#define P2P_VARIANTS(fixture_name, driver, ...) \
	FIXTURE_VARIANT(fixture_name) { \
		struct p2p_variant p2p; \
	}; \
	static void __attribute__((constructor)) \
	_p2p_variants_##fixture_name(void) \
	{ \
		static const char *const disks[] = { __VA_ARGS__ }; \
		static struct p2p_variant variants[P2P_MAX]; \
		static struct __fixture_variant_metadata metas[P2P_MAX]; \
		int i, nr = p2p_variants_or_skip(variants, driver, disks); \
		\
		for (i = 0; i < nr; i++) { \
			metas[i].name = variants[i].name; \
			metas[i].data = &variants[i]; \
			__register_fixture_variant(&_##fixture_name##_fixture_object, \
						   &metas[i]); \
		} \
	} \
	struct p2p_variant

/* Emulated devices and debug kernels are slow. */
#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT	300

/*
 * For SKIP() in FIXTURE_SETUP(), after which the harness would still run the
 * test: ends the test's process like the harness after a skipped test.
 */
static inline void p2p_skip_now(void)
{
	_exit(255);
}

#endif
