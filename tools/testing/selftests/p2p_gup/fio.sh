#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# fio, unmodified, with its I/O buffers in peer-to-peer memory.
#
# Takes P2P_PROVIDERS, P2P_DISK_RAW and P2P_ROUTE from the environment, see
# p2pmem.h, and overwrites the drive from 192 MiB on.
set -euo pipefail

devices=/sys/bus/pci/devices
out=$(mktemp)
trap 'rm -f "$out"' EXIT

skip() {
	echo "1..0 # SKIP $*"
	exit 4
}

# run_fio ENGINE SECTION...: a section is a name and fio's options. Sections run
# one after the other, with three jobs each, and each job has a part of the drive
# to itself.
run_fio() {
	local engine=$1 section start=192
	local options=(--filename="$P2P_DISK_RAW" --direct=1
		--ioengine="$engine" --iodepth=8 --numjobs=3 --size=2M
		--offset_increment=2M --bsrange=4k-128k --verify_fatal=1
		--group_reporting)

	shift
	for section; do
		# shellcheck disable=SC2206 # an option has no space in it
		options+=(--name=$section --stonewall --offset="${start}M")
		start=$((start + 8))
	done
	fio "${options[@]}" >"$out" 2>&1
}

# Written from one kind of memory and verified in another, both ways, and both in
# peer-to-peer memory. A job must have the same number in both runs, or it does
# not know its own blocks again.
transfers() {
	local engine=$1 p2p="--iomem=$2" ram=--iomem=malloc

	run_fio "$engine" \
		"out $p2p --rw=write --verify=crc32c --do_verify=0" \
		"in $ram --rw=write --verify=md5 --do_verify=0" \
		"both $p2p --rw=randwrite --verify=crc32c" &&
		run_fio "$engine" \
			"out $ram --rw=write --verify=crc32c --verify_only" \
			"in $p2p --rw=write --verify=md5 --verify_only"
}

# The drive doesn't reach the memory: fio has to see the error for what it is.
refused() {
	local engine=$1 p2p="--iomem=$2"

	if run_fio "$engine" "both $p2p --rw=randwrite --verify=crc32c"; then
		echo "# fio did not notice"
		return 1
	fi
	grep -q "Remote I/O error" "$out" &&
		run_fio "$engine" "ram --rw=randwrite --verify=crc32c"
}

check() {
	if [ "$P2P_ROUTE" = none ]; then
		refused "$@"
	else
		transfers "$@"
	fi
}

command -v fio >/dev/null || skip "fio is not installed"
[ "${P2P_DISK_RAW:-}" ] || skip "P2P_DISK_RAW is not set"
[ "${P2P_ROUTE:-}" ] || skip "P2P_ROUTE is not set"
[ "${P2P_PROVIDERS:-}" ] || skip "P2P_PROVIDERS is not set"
read -ra providers <<<"$P2P_PROVIDERS"
engines=(psync io_uring)
echo "TAP version 13"
echo "1..$((${#providers[@]} * ${#engines[@]}))"
nr=0
failed=0
for provider in "${providers[@]}"; do
	pool=$devices/$provider/p2pmem
	for engine in "${engines[@]}"; do
		nr=$((nr + 1))
		verdict="ok"
		before=$(<"$pool/available")
		if ! check "$engine" "mmapshared:$pool/allocate"; then
			verdict="not ok"
			sed 's/^/# /' "$out"
		fi
		if [ "$(<"$pool/available")" != "$before" ]; then
			verdict="not ok"
			echo "# $(<"$pool/available") bytes available, $before before"
		fi
		[ "$verdict" = ok ] || failed=1
		echo "$verdict $nr $engine.$provider"
	done
done
exit $failed
