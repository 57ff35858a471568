#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Reports the results of the KUnit tests of peer-to-peer memory at boot: each
# case is a test point.
set -uo pipefail

suites=(p2pmem-pool p2pmem-last-user p2pmem-quota p2pdma-route p2p-hold p2p-ratelimit)
dir=/sys/kernel/debug/kunit

skip() {
	echo "1..0 # SKIP $*"
	exit 4
}

[ -d $dir ] || skip "no $dir: CONFIG_KUNIT_DEBUGFS, debugfs?"
for suite in "${suites[@]}"; do
	[ -e "$dir/$suite/results" ] ||
		skip "no suite $suite: CONFIG_PCI_P2PMEM_KUNIT_TEST?"
done

echo "TAP version 13"
# Cases are indented, and numbered within each suite. The log of a case is
# limited to a few lines, and its verdict is the last: a case may be missing,
# but not the verdict on the suite.
for suite in "${suites[@]}"; do
	cat "$dir/$suite/results"
done | awk '
	/^ +1\.\.[0-9]+/ {
		sub(/.*\.\./, "")
		missing += $0
		next
	}
	/^ *(not )?ok [0-9]+/ {
		missing -= /^ /
		failed += $1 == "not"
		sub(/^ +/, "")
		sub(/ok [0-9]+( -)?/, "ok " ++n)
		print
		next
	}
	/^ +[^ ]/ && !/KTAP version|Subtest/ {
		sub(/^ +(# )?/, "# ")
		print
	}
	END {
		print (missing ? "not " : "") "ok " ++n " every_case"
		print "1.." n
		exit failed || missing || n < 3
	}'
