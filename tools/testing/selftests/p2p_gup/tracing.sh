#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2317 # point() calls the others
#
# The trace-cmd examples of Documentation/admin-guide/p2pmem.rst, applied to
# unmodified fio: did its transfers go from device to device, for the process,
# and for one file?
#
# Takes P2P_PROVIDERS, P2P_DISK_RAW, P2P_DISK_EXT4 and P2P_ROUTE from the
# environment, see p2pmem.h. Reads from the raw drive, and writes to a file on
# the other one.
set -euo pipefail

devices=/sys/bus/pci/devices
size=$((1024 * 1024))
dir=$(mktemp -d)
trap 'umount "$dir/mnt" 2>/dev/null || :; rm -rf "$dir"' EXIT
cd "$dir"
nr=0
failed=0

skip() {
	echo "1..0 # SKIP $*"
	exit 4
}

# point NAME COMMAND...
point() {
	local name=$1
	shift
	nr=$((nr + 1))
	if "$@"; then
		echo "ok $nr $name"
	else
		failed=1
		echo "not ok $nr $name"
		sed 's/^/# /' fio.log report.txt | tail -n 40
	fi
}

# record EVENT... -- OPTION...: traces fio with trace-cmd, into report.txt
record() {
	local events=() status=0

	while [ "$1" != -- ]; do
		events+=(-e "$1")
		shift
	done
	shift
	rm -f trace.dat
	trace-cmd record -q "${events[@]}" -c -F \
		fio --name=job --direct=1 --ioengine=psync --bs=64k \
		--size="$size" --rw=read "$@" >fio.log 2>&1 || status=$?
	trace-cmd report 2>/dev/null >report.txt
	return "$status"
}

# bytes ROUTE PROVIDER: bytes that took this route, according to the report
bytes() {
	sed -n -E "s/.* provider=$2 .* bytes=([0-9]+) route=$1\$/\1/p" report.txt |
		awk '{ sum += $1 } END { print sum + 0 }'
}

process() {
	record p2pdma:p2pdma_map -- --filename="$P2P_DISK_RAW" \
		--iomem="mmapshared:$devices/$1/p2pmem/allocate" || :
	if [ "$P2P_ROUTE" = none ]; then
		grep -q " provider=$1 .* route=none$" report.txt &&
			grep -q 'Remote I/O error' fio.log
	else
		[ "$(bytes "$P2P_ROUTE" "$1")" = "$size" ]
	fi
}

process_with_ram() {
	record p2pdma:p2pdma_map -- --filename="$P2P_DISK_RAW" --iomem=malloc &&
		! grep p2pdma_map report.txt
}

# In the events of one task, p2pdma_map events follow those of the file.
file() {
	local inode

	record iomap:iomap_iter_dstmap iomap:iomap_iter_srcmap p2pdma:p2pdma_map \
		-- --filename=mnt/file \
		--iomem="mmapshared:$devices/$1/p2pmem/allocate" || return 1
	inode=$(printf '0x%x' "$(stat -c %i mnt/file)")
	grep -q "iomap_iter_.* ino $inode " report.txt &&
		[ "$(sed -n "/ ino $inode /,\$p" report.txt | grep -c ' p2pdma_map: ')" -gt 0 ] &&
		[ "$(bytes "$P2P_ROUTE" "$1")" = "$size" ]
}

why_refused() {
	record vm_p2p:p2p_gup_refused -- --filename=/dev/loop0 \
		--iomem="mmapshared:$devices/$1/p2pmem/allocate" || :
	grep -q 'Remote I/O error' fio.log &&
		grep -q 'p2p_gup_refused: .* reason=no-peer-to-peer-support$' report.txt
}

for name in P2P_PROVIDERS P2P_ROUTE P2P_DISK_RAW P2P_DISK_EXT4; do
	[ "${!name:-}" ] || skip "$name is not set"
done
for program in trace-cmd fio losetup; do
	command -v $program >/dev/null || skip "$program is not installed"
done
[ -d /sys/kernel/tracing/events/p2pdma ] ||
	skip "no events in /sys/kernel/tracing: CONFIG_FTRACE, tracefs?"

touch fio.log report.txt
truncate -s 1M image
losetup /dev/loop0 image
mkdir mnt
mount "$P2P_DISK_EXT4" mnt
dd if=/dev/urandom of=mnt/file bs=$size count=1 conv=fsync status=none
read -ra providers <<<"$P2P_PROVIDERS"
files=0
[ "$P2P_ROUTE" = none ] || files=1
echo "TAP version 13"
echo "1..$(((2 + files) * ${#providers[@]} + 1))"
point process_with_ram process_with_ram
for provider in "${providers[@]}"; do
	point "process.$provider" process "$provider"
	[ $files -eq 0 ] || point "file.$provider" file "$provider"
	point "why_refused.$provider" why_refused "$provider"
done
rm -f mnt/file
losetup -d /dev/loop0
exit $failed
