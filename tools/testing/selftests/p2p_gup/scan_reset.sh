#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# NVMe controllers are reset right after binding, while their namespaces are
# still being scanned: the reset completes, and the drives work.
#
# Takes all NVMe controllers. Drives may have other names afterwards.
set -uo pipefail

driver=/sys/bus/pci/drivers/nvme
rounds=10
limit=20			# seconds that a reset may take

complain() {
	echo "# $*"
	echo "not ok 1 scan_reset"
	exit 1
}

# reset_when_live DEVICE: resets it as soon as it is live, or a little later
reset_when_live() {
	local controller state='' i

	until [ "$state" = live ]; do
		for controller in "/sys/bus/pci/devices/$1/nvme/nvme"*; do
			read -r state <"$controller/state" || :
		done
	done 2>/dev/null
	for ((i = RANDOM % 100; i > 0; i--)); do :; done
# This fails if a reset is already in progress.
	echo 1 >"$controller/reset_controller" || :
} 2>/dev/null

# ends PROCESS: within the limit
ends() {
	local until=$((SECONDS + limit))

	while kill -0 "$1" 2>/dev/null; do
		[ $SECONDS -lt $until ] || return 1
		sleep 0.1
	done
}

devices=()
for device in "$driver"/*:*; do
	[ ! -e "$device" ] || devices+=("${device##*/}")
done
[ ${#devices[@]} != 0 ] || { echo "1..0 # SKIP there is no NVMe controller"; exit 4; }

echo "TAP version 13"
echo "1..1"
for ((round = 0; round < rounds; round++)); do
	for device in "${devices[@]}"; do
		echo "$device" >"$driver/unbind"
		reset_when_live "$device" &
		echo "$device" >"$driver/bind"
		ends $! || complain "$device: the reset does not end"
	done
done
for device in "${devices[@]}"; do
	for _ in {1..100}; do
		drives=("/sys/bus/pci/devices/$device/nvme/nvme"*/nvme*n*)
		[ ! -d "${drives[0]}" ] || break
		sleep 0.1
	done
	[ -d "${drives[0]}" ] || complain "$device has no namespaces"
	for drive in "${drives[@]}"; do
		dd if="/dev/${drive##*/}" of=/dev/null bs=4k count=1 iflag=direct 2>&1 ||
			complain "${drive##*/} can't be read"
	done
done
echo "ok 1 scan_reset"
