#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# make check-all [MINUTES=30]: for a night, every verb that judges the series, one after the other, and
# a table of what came of each. What fails does not stop the rest. The logs are build/check-all/*.log.
set -euo pipefail
# shellcheck source=lab/lib.sh
. "$(dirname "$0")/lib.sh"

minutes=${MINUTES:-30}
# What to type for each; the name of its log is made of that.
runs=(
	"check"
	"demo"
	"demo-two"
	"lint"
	"docs"
	"unchanged"
	"bisect"
	"soak MINUTES=$minutes KERNEL=debug"
	"fuzz MINUTES=$minutes KERNEL=debug"
	"check KERNEL=kcsan TOPO=switch"
	"regress"
	"bench-gup"
	"bench"
)
# Each is run as its line says.
unset KSRC DISCARD TOPO TEST QUICK KERNEL MINUTES SEED UNPLUG FROM TO ALL DIRS ONLY FRESH REROLL SINCE

lock check-all
logs=$build/check-all
rm -rf "$logs"
mkdir "$logs"
failed=0
for run in "${runs[@]}"; do
	log=$logs/${run//[ =]/-}.log
	step "make $run"
	SECONDS=0
	read -ra words <<<"$run"
	verdict=ok
	make -C "$top" "${words[@]}" >"$log" 2>&1 </dev/null || verdict=FAILED failed=$((failed + 1))
	printf '%-38s %3d:%02d:%02d  %-6s  %s\n' "make $run" $((SECONDS / 3600)) $((SECONDS / 60 % 60)) $((SECONDS % 60)) \
		"$verdict" "$(grep -v '^make' "$log" | tail -n 1 | cut -c 1-100)" | tee -a "$logs/table"
done
step "in all:"
cat "$logs/table"
[ "$failed" -eq 0 ] || die "$failed of ${#runs[@]} failed" "their logs are in build/check-all/"
ok "all ${#runs[@]}"
