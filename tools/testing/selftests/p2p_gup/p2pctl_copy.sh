#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# p2pctl copy and bench: the data arrives, from device to device, and the
# reported figures match the kernel's counters.
#
# Takes P2P_PROVIDERS, P2P_ROUTE, P2P_DISK_RAW, _EXT4 and _SLOW from the
# environment, see p2pmem.h. The last drive is overwritten; files are created on
# the file system of the second one.
# shellcheck disable=SC2154,SC2317 # need_disks makes variables, plan calls functions
set -uo pipefail

# shellcheck source=tools/testing/selftests/p2p_gup/stack.sh
. ./stack.sh
# shellcheck source=tools/testing/selftests/p2p_gup/p2pctl_common.sh
. ./p2pctl_common.sh

mib=$((1 << 20))
mnt=$work/mnt

# copied STATUS BYTES ARGUMENT...: through peer-to-peer memory of $p, twice BYTES in all, and a
# little more, the blocks of a tail
copied() {
	local status=$1 bytes=$2 before after

	shift 2
	before=$(moved "$p")
	run "$status" copy --via "$p" "$@"
	after=$(moved "$p")
	[ $((after - before >= 2 * bytes && after - before <= 2 * bytes + 16384)) = 1 ] ||
		complain "copy $*: $((after - before)) bytes went peer to peer, not 2 * $bytes"
}

same() {
	cmp -s "$@" || complain "cmp $*: they differ"
}

# A file with holes, and a partial block at the end.
make_file() {
	dd if=/dev/urandom of="$1" bs=1M count=3 status=none
	dd if=/dev/urandom of="$1" bs=64k count=1 seek=80 conv=notrunc status=none
	truncate -s 7M "$1"
	printf 'the tail' >>"$1"
	sync "$1"
}

file_to_file() {
	local a=$mnt/a b=$mnt/b size=$((7 * mib + 8))

	make_file "$a"
	copied 0 $((3 * mib + 65536)) "$a" "$b" --verify
	says "Verified"
	says "of it are holes"
	same "$a" "$b"
	is size "$(stat -c %s "$b")" "$size"
	[ "$(stat -c %b "$b")" -le $((7 * 2048)) ] ||
		complain "the holes are filled: $(stat -c %b "$b") blocks"
	[ ! -e "$b.p2pctl" ] || complain "its state is still there"
	# One at a time, in small blocks, over a longer file.
	dd if=/dev/urandom of="$b" bs=1M count=9 status=none
	copied 0 $((3 * mib + 65536)) --block-size 4K --queue-depth 1 "$a" "$b"
	same "$a" "$b"
	rm "$a" "$b"
}

# The drive's data after the tail stays; holes become zeros.
file_to_drive() {
	local a=$mnt/a size=$((7 * mib + 8))

	make_file "$a"
	dd if=/dev/urandom of="$slow" bs=1M count=8 oflag=direct status=none
	dd if="$slow" of="$work/behind" bs=8 skip=$((size / 8)) count=128 status=none
	copied 0 $((3 * mib + 65536)) "$a" "$slow"
	blockdev --flushbufs "$slow"
	same -n "$size" "$a" "$slow"
	dd if="$slow" of="$work/behind2" bs=8 skip=$((size / 8)) count=128 status=none
	same "$work/behind" "$work/behind2"
	rm "$a"
}

drive_to_file() {
	local b=$mnt/b size=5000001

	copied 0 "$size" --size "$size" --block-size 256K --queue-depth 3 --verify "$raw" "$b"
	same -n "$size" "$raw" "$b"
	is size "$(stat -c %s "$b")" "$size"
	rm "$b"
}

# The closing line has the kernel's figures, and the use of RAM.
closing_line() {
	local b=$mnt/b way=bus

	[ "$P2P_ROUTE" = bus ] || way='host bridge'
	copied 0 $((4 * mib)) --size 4M "$raw" "$b"
	says "^4.0 MiB copied in "
	says "^Peer to peer: 8.0 of 8.0 MiB read and written; .*$way 8.0"
	copied 0 $((4 * mib)) --quiet --size 4M "$raw" "$b"
	[ -z "$(cat "$out" "$err")" ] || complain "it isn't quiet: $(cat "$out" "$err")"
	rm "$b"
}

# Interrupted twice, cleanly and not, and finally completed.
interrupted() {
	local b=$mnt/b pid status far resume=()

	dd if=/dev/urandom of="$slow" bs=1M count=4 oflag=direct status=none
	for signal in INT KILL; do
		"$p2pctl" copy --via "$p" --block-size 64K --queue-depth 4 --size 4M \
			"${resume[@]}" "$slow" "$b" >"$out" 2>"$err" &
		pid=$!
		sleep 2
		kill -"$signal" "$pid"
		wait "$pid" 2>/dev/null
		status=$?
		if [ "$signal" = INT ]; then
			is status "$status" 4
			says "interrupted: the first .* of 4 MiB are in"
			says "resume"
			far=$(sed -n 's/^done //p' "$b.p2pctl")
			[ $((far > 0 && far < 4 * mib)) = 1 ] ||
				complain "it was interrupted at $far"
			same -n "$far" "$slow" "$b"
			resume=(--resume)
		fi
	done
	[ -e "$b.p2pctl" ] || complain "nothing says how far it is"
	run 0 copy --via "$p" --size 4M --resume --verify "$slow" "$b"
	says "were already there"
	same -n $((4 * mib)) "$slow" "$b"
	[ ! -e "$b.p2pctl" ] || complain "its state is still there"
	run 2 copy --via "$p" --size 4M --resume "$slow" "$b"
	says "nothing to resume"
	rm "$b"
}

# A copy resumes only with the same arguments, and --verify checks all of it.
resumed() {
	local a=$mnt/a b=$mnt/b

	dd if=/dev/urandom of="$a" bs=1M count=4 status=none
	sync "$a"
	"$p2pctl" copy --via "$p" --queue-depth 1 --block-size 4K "$a" "$b" >"$out" 2>"$err" &
	sleep 0.3
	kill $!
	wait $! 2>/dev/null
	[ -e "$b.p2pctl" ] || { rm -f "$b"; return; }	# it was faster
# Claim that 2 MiB were copied, which they were not.
	sed -i 's/^done .*/done 2097152/' "$b.p2pctl"
	dd if=/dev/zero of="$b" bs=1M count=1 conv=notrunc oflag=direct status=none
	cp "$b.p2pctl" "$work/state"
	run 5 copy --via "$p" --resume --verify "$a" "$b"
	says "differ, first at byte"
	cp "$work/state" "$b.p2pctl"
	touch "$a"
	run 2 copy --via "$p" --resume "$a" "$b"
	says "belongs to another copy"
	rm -f "$a" "$b" "$b.p2pctl"
}

# If no provider is named, one is found.
finds_provider() {
	run 0 copy --size 1M "$raw" "$mnt/b"
	says "Peer to peer"
	same -n "$mib" "$raw" "$mnt/b"
	rm "$mnt/b"
}

too_large() {
	run 2 copy --via "$p" "$raw" "$slow"
	says "holds 16 MiB"
	run 3 copy --via "$p" "$raw" "$mnt/b"
	says "room for"
	rm -f "$mnt/b"
	run 3 copy --via "$p" --size 1M "$raw" "$ext4"
	says "in use"
	run 3 copy --via "$p" --queue-depth 1024 --block-size 1G --size 1M "$raw" "$mnt/b"
	says "can't allocate .* of peer-to-peer memory"
	rm -f "$mnt/b" "$mnt/b.p2pctl"
}

# Nothing is written if nothing can be copied; RAM is used only if allowed.
refused() {
	local before

	echo precious >"$mnt/b"
	run 1 copy --via "$p" --size 1M "$raw" "$mnt/b"
	says "can't be used with peer-to-peer memory of $p"
	says "allow-ram"
	is "the file" "$(<"$mnt/b")" precious
	before=$(moved "$p")
	run 0 copy --via "$p" --size 1000001 --allow-ram --verify "$raw" "$mnt/b"
	says "All of it went through RAM"
	same -n 1000001 "$raw" "$mnt/b"
	is "bytes from device to device" "$(moved "$p")" "$before"
	run 1 copy --size 1M "$raw" "$mnt/c"
	rm -f "$mnt/b"
}

bench() {
	run_json 0 bench --via "$p" --seconds 0.2 --block-sizes 4K,64K "$raw"
	is figures "$(value figures.nr)" 4
	is kind "$(value figures.3.kind)" read_ram
	[ "$(value p2p_bytes)" -gt 0 ] || complain "nothing was transferred"
	is counted "$(value p2p_bytes_counted)" "$(value p2p_bytes)"
	run 0 bench --via "$p" --seconds 0.1 --block-sizes 4K --write --plot "$work/x.svg" "$slow"
	says "WRITE P2P"
	command -v gnuplot >/dev/null || return
	grep -q '<svg' "$work/x.svg" || complain "there is no picture"
}

bench_refused() {
	run 1 bench --via "$p" --seconds 0.1 "$raw"
	says "route"
}

needs_p2pctl
need_disks RAW EXT4 SLOW
p=${providers[0]}
mkdir "$mnt"
must mount "$ext4" "$mnt"
trap 'umount "$mnt"; rm -rf "$work"' EXIT
if [ "$no" = 1 ]; then
	plan "refused: refused" "bench_refused: bench_refused"
fi
plan \
	"file_to_file: file_to_file" \
	"file_to_drive: file_to_drive" \
	"drive_to_file: drive_to_file" \
	"closing_line: closing_line" \
	"interrupted: interrupted" \
	"resumed: resumed" \
	"finds_provider: finds_provider" \
	"too_large: too_large" \
	"bench: bench" \
	"follows_schema: follows_schema"
