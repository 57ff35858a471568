// SPDX-License-Identifier: GPL-2.0
/* Fixture variants that are found at run time. */
#include "../../kselftest.h"
#include "../p2pmem.h"

/* Like p2p_variants(), but skips the whole program if there is no variant. */
int p2p_variants_or_skip(struct p2p_variant *list, const char *driver,
			 const char *const *disks)
{
	int nr = p2p_variants(list, driver, disks);

	if (!nr) {
		ksft_print_header();
		ksft_exit_skip("no PCI device with p2pmem/allocate%s%s%s\n",
			       driver ? " and the driver " : "", driver ?: "",
			       disks[0] ? ", or no drive to use it" : "");
	}
	return nr;
}
