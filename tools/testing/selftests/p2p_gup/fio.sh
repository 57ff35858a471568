#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# fio, unmodified, with its I/O buffers in peer-to-peer memory.
#
# Takes P2P_PROVIDERS, P2P_DISK_RAW and P2P_ROUTE from the environment, see
# p2pmem.h, and overwrites the drive from 192 MiB on.
set -euo pipefail

first=192

engine_options() {
	echo "--filename=$P2P_DISK_RAW --direct=1 --ioengine=$1 --numjobs=3"
}

# shellcheck source=tools/testing/selftests/p2p_gup/fio_common.sh
. ./fio_common.sh

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
