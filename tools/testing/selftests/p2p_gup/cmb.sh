#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Controller memory buffers of odd sizes: only whole 2 MiB units are used.
#
# P2P_CMB lists them as SERIAL:SIZE:USED, in MiB, separated by spaces. The
# drives of these controllers are overwritten.
set -uo pipefail

out=$(mktemp)
trap 'rm -f "$out"' EXIT

# The controller with a serial number, its provider, and its first drive.
find_controller() {
	for controller in /sys/class/nvme/nvme*; do
		[ "$(tr -d ' ' <"$controller/serial")" = "$1" ] || continue
		pool=$controller/device/p2pmem
		drive=/dev/$(basename "$(echo "$controller"/nvme*n1)")
		return
	done
	return 1
}

# Not grep -q, which stops at the first match: dmesg would fail with SIGPIPE.
logged() {
	dmesg | grep "$1" >/dev/null
}

# The message is not repeated after a reset of the controller.
check_said_once() {
	local nr

	echo 1 >"$controller/reset_controller" || return 1
	until [ "$(<"$controller/state")" = live ]; do sleep 0.1; done
	nr=$(dmesg | grep -c "$1")
	[ "$nr" = 1 ] || { echo "# $nr times in the log: $1"; return 1; }
}

check() {
	local serial=$1 size=$2 used=$3

	find_controller "$serial" || { echo "# no controller $serial"; return 1; }
	if [ "$used" = 0 ]; then
		[ ! -e "$pool" ] || { echo "# it has p2pmem"; return 1; }
		check_said_once "CMB of $((size << 10)) KiB in BAR . is not used"
		return
	fi
	[ "$(<"$pool/size")" = $((used << 20)) ] ||
		{ echo "# size: $(<"$pool/size")"; return 1; }
	if [ "$size" != "$used" ]; then
		logged "CMB: using $((used << 10)) of $((size << 10)) KiB" ||
			{ echo "# nothing in the log"; return 1; }
	fi
# With the drive's own buffer, and those of the others.
	./block_io "$drive" works
}

[ "${P2P_CMB:-}" ] || { echo "1..0 # SKIP P2P_CMB is not set"; exit 4; }
read -ra list <<<"$P2P_CMB"
echo "TAP version 13"
echo "1..${#list[@]}"
nr=0
failed=0
for item in "${list[@]}"; do
	nr=$((nr + 1))
	verdict="ok"
	IFS=: read -r serial size used <<<"$item"
	check "$serial" "$size" "$used" || { verdict="not ok"; failed=1; }
	echo "$verdict $nr $serial"
done
exit $failed
