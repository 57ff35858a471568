#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# fio, unmodified, with --fixedbufs: its I/O buffers are in peer-to-peer memory, and
# registered with io_uring.
#
# Takes P2P_PROVIDERS, P2P_DISK_RAW and P2P_ROUTE from the environment, see
# p2pmem.h, and overwrites the drive from 216 MiB on.
set -euo pipefail

devices=/sys/bus/pci/devices
driver=/sys/bus/pci/drivers/p2pmem-bar
out=$(mktemp)
trap 'rm -f "$out"' EXIT

skip() {
	echo "1..0 # SKIP $*"
	exit 4
}

# The options of an engine, and the file that is the drive for it.
engine_options() {
	case $1 in
	io_uring) echo "--ioengine=io_uring --direct=1 --filename=$P2P_DISK_RAW" ;;
	io_uring_cmd) echo "--ioengine=io_uring_cmd --cmd_type=nvme --filename=${P2P_DISK_RAW/nvme/ng}" ;;
	esac
}

# run_fio ENGINE SECTION...: a section is a name and fio's options. Sections run
# one after the other, with two jobs each, and each job has a part of the drive
# to itself.
run_fio() {
	local engine=$1 section start=216 options

	read -ra options <<<"$(engine_options "$engine")"
	options+=(--fixedbufs=1 --iodepth=8 --numjobs=2 --size=2M
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
# peer-to-peer memory.
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

# The provider's driver is unbound while fio reads as fast as it can. That takes no
# longer than the requests do, and ends all of fio's jobs.
unbind_under_load() {
	local engine=$1 mem=$2 provider=$3 options job status=0 start before

	before=$(<"$devices/$provider/p2pmem/available")
	read -ra options <<<"$(engine_options "$engine")"
	fio "${options[@]}" --fixedbufs=1 --iodepth=32 --numjobs=2 --thread \
		--size=16M --bs=4k --rw=randread --time_based --runtime=600 \
		--iomem="$mem" --name=load >"$out" 2>&1 &
	job=$!
	# Its buffers are allocated, and then some.
	while kill -0 $job 2>/dev/null &&
		[ "$(<"$devices/$provider/p2pmem/available")" = "$before" ]; do
		sleep 0.1
	done
	sleep 2
	if ! kill -0 $job 2>/dev/null; then
		echo "# fio ended before the unbinding"
		return 1
	fi
	start=$SECONDS
	echo "$provider" >$driver/unbind
	if [ $((SECONDS - start)) -gt 20 ]; then
		echo "# unbinding took $((SECONDS - start)) s"
		status=1
	fi
	# It fails, and at once.
	if wait $job || ! grep -q "Remote I/O error" "$out"; then
		echo "# fio did not notice"
		status=1
	fi
	if [ $((SECONDS - start)) -gt 60 ]; then
		echo "# fio went on for $((SECONDS - start)) s"
		status=1
	fi
	echo "$provider" >$driver/bind
	return $status
}

command -v fio >/dev/null || skip "fio is not installed"
[ "${P2P_DISK_RAW:-}" ] || skip "P2P_DISK_RAW is not set"
[ "${P2P_ROUTE:-}" ] || skip "P2P_ROUTE is not set"
[ "${P2P_PROVIDERS:-}" ] || skip "P2P_PROVIDERS is not set"
read -ra providers <<<"$P2P_PROVIDERS"
engines=(io_uring io_uring_cmd)

# What is to be run, with which engine and provider.
points=()
for provider in "${providers[@]}"; do
	for engine in "${engines[@]}"; do
		points+=("transfers $engine $provider")
		# Who can't read at all has no load.
		if [ -e "$driver/$provider" ] && [ "$P2P_ROUTE" != none ]; then
			points+=("unbind $engine $provider")
		fi
	done
done
echo "TAP version 13"
echo "1..${#points[@]}"
nr=0
failed=0
for point in "${points[@]}"; do
	read -r what engine provider <<<"$point"
	pool=$devices/$provider/p2pmem
	nr=$((nr + 1))
	verdict="ok"
	before=$(<"$pool/available")
	mem=mmapshared:$pool/allocate
	good=true
	case $what in
	transfers) check "$engine" "$mem" || good=false ;;
	unbind) unbind_under_load "$engine" "$mem" "$provider" || good=false ;;
	esac
	if ! $good; then
		verdict="not ok"
		sed 's/^/# /' "$out"
	fi
	# The kernel takes the ring apart after its process has gone.
	for _ in {1..50}; do
		[ "$(<"$pool/available")" != "$before" ] || break
		sleep 0.2
	done
	if [ "$(<"$pool/available")" != "$before" ]; then
		verdict="not ok"
		echo "# $(<"$pool/available") bytes available, $before before"
	fi
	[ "$verdict" = ok ] || failed=1
	echo "$verdict $nr $what.$engine.$provider"
done
exit $failed
