#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# fio, unmodified, with --fixedbufs: its I/O buffers are in peer-to-peer memory, and
# registered with io_uring.
#
# Takes P2P_PROVIDERS, P2P_DISK_RAW and P2P_ROUTE from the environment, see
# p2pmem.h, and overwrites the drive from 216 MiB on.
set -euo pipefail

driver=/sys/bus/pci/drivers/p2pmem-bar
first=216

# The options of an engine, and the drive's file for it.
engine_options() {
	local same="--fixedbufs=1 --numjobs=2"
	local chr=${P2P_DISK_RAW/nvme/ng}

	case $1 in
	io_uring) echo "--ioengine=io_uring --direct=1 --filename=$P2P_DISK_RAW $same" ;;
	io_uring_cmd) echo "--ioengine=io_uring_cmd --cmd_type=nvme --filename=$chr $same" ;;
	esac
}

# shellcheck source=tools/testing/selftests/p2p_gup/fio_common.sh
. ./fio_common.sh

# The provider's driver is unbound while fio reads as fast as it can. This takes
# no longer than the requests in flight, and ends all of fio's jobs.
unbind_under_load() {
	local engine=$1 mem=$2 provider=$3 options job status=0 start before

	before=$(<"$devices/$provider/p2pmem/available")
	read -ra options <<<"$(engine_options "$engine")"
	fio "${options[@]}" --iodepth=32 --thread \
		--size=16M --bs=4k --rw=randread --time_based --runtime=600 \
		--iomem="$mem" --name=load >"$out" 2>&1 &
	job=$!
# Wait until its buffers are allocated, and a little longer.
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
# fio has to fail, and immediately.
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

engines=(io_uring io_uring_cmd)

# The tests to run, with engine and provider.
points=()
for provider in "${providers[@]}"; do
	for engine in "${engines[@]}"; do
		points+=("transfers $engine $provider")
		# Without a route there is no load.
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
# The kernel frees the ring some time after its process has exited.
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
