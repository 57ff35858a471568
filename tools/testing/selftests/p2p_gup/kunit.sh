#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# What the KUnit tests of peer-to-peer memory said at boot: each case as a point.
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
# The cases are indented, and numbered in each suite. Each has room for a few
# lines only, of which its verdict is the last: a case may be missing, but not
# the verdict on the suite.
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
