# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034,SC2154 # sourced by scripts
#
# fio with its I/O buffers in peer-to-peer memory: common code of fio.sh and
# uring_fio.sh. A script that sources this provides engine_options() and $first,
# see run_fio().

devices=/sys/bus/pci/devices
out=$(mktemp)
trap 'rm -f "$out"' EXIT

skip() {
	echo "1..0 # SKIP $*"
	exit 4
}

# run_fio ENGINE SECTION...: a section is a name and fio's options. Sections run
# one after the other, from $first MiB of the drive on, and each of their jobs
# has its own part of it. engine_options ENGINE prints the options of an engine.
run_fio() {
	local engine=$1 section start=$first options

	read -ra options <<<"$(engine_options "$engine")"
	options+=(--iodepth=8 --size=2M --offset_increment=2M --bsrange=4k-128k
		--verify_fatal=1 --group_reporting)
	shift
	for section; do
		# shellcheck disable=SC2206 # an option has no space in it
		options+=(--name=$section --stonewall --offset="${start}M")
		start=$((start + 8))
	done
	fio "${options[@]}" >"$out" 2>&1
}

# Data is written from one kind of memory and verified in the other, both ways,
# and also both in peer-to-peer memory. A job must have the same number in both
# runs to recognize its own blocks.
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

# The drive doesn't reach the memory: fio has to report the right error.
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
