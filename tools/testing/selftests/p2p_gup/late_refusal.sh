#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A drive of a mirror refuses peer-to-peer memory at the last moment: md has
# checked that all drives reach it, and then the route changes. The transfer
# fails, but the drive is not faulty: it stays a member, gets no bad blocks and
# is not to be replaced; and the copies are the same at the end. There is a
# pause between resyncs that users can cause in this way; a real drive failure
# shortens it.
#
# The drive is below a linear mapping, where requests wait while it is
# suspended. The route changes by ACS redirection of the port above the drive,
# since the host bridge is one that forwards nothing.
#
# Takes from the environment, see p2pmem.h: P2P_PROVIDERS; P2P_DISK_RAW and _B, drives
# below ports with ACS, which are overwritten; P2P_DISK_RO, one that fails all writes.
# With the argument one-pause only the first of the tests that wait for a pause to end.
# shellcheck disable=SC2154,SC2317 # need_disks makes variables, plan calls functions
set -uo pipefail

# shellcheck source=tools/testing/selftests/p2p_gup/stack.sh
. ./stack.sh

port=				# above drive A

# redirect BITS: request and completion redirection of the port, as hex
redirect() {
	must setpci -s "$port" "ECAP_ACS+6.w=$1:c"
}

# waits PROCESS: waits until it blocks in a system call
waits() {
	for _ in {1..100}; do
		grep -q '^State:.D' "/proc/$1/status" && return
		sleep 0.1
	done
	complain "the transfer has not begun"
}

# late TRANSFER [MIB...]: starts it, at each of these offsets of the array,
# while A reaches the memory, and submits it to A when A no longer does
late() {
	local transfer=$1 worker workers=() place status

	shift
	[ $# -gt 0 ] || set -- 1
# md's own metadata writes must not wait in the drive, too.
	echo 100 >"$(md_dir)/safe_mode_delay"
	for place; do
		must dd if=/dev/zero of="$md" bs=64k seek=$((place * 16)) count=1 \
			oflag=direct
	done
	must dmsetup suspend --noflush --nolockfs p2p
	for place; do
		./block_io "$md" "$transfer" "$place" &
		workers+=($!)
	done
	for worker in "${workers[@]}"; do
		waits "$worker"
	done
	redirect c
	must dmsetup resume p2p
	for worker in "${workers[@]}"; do
		wait "$worker"
		status=$?
		[ "$status" = 121 ] ||
			complain "the $transfer ended with $status, not EREMOTEIO"
	done
	redirect 0
}

# member_has DRIVE FILE PLACE: the drive has the data of the file, at this
# multiple of 64 KiB of the array
member_has() {
	local start

	start=$(<"$(md_dir)/dev-${1##*/}/offset")
	blockdev --flushbufs "$1"
	cmp --ignore-initial=0:$((start * 512 + $3 * 65536)) --bytes=64K "$2" "$1" >"$log" 2>&1
}

sound() {
	local member

	grep -q '\[UU\]' /proc/mdstat || complain "$(grep -A1 ^md /proc/mdstat)"
	for member in "$(md_dir)"/dev-*; do
		[ ! -s "$member/bad_blocks" ] || [ -z "$(<"$member/bad_blocks")" ] ||
			complain "${member##*/} has bad blocks: $(<"$member/bad_blocks")"
		case $(<"$member/state") in
		*want_replacement* | *write_error* | *faulty*)
			complain "${member##*/}: $(<"$member/state")" ;;
		esac
		[ "$(<"$member/errors")" = 0 ] ||
			complain "${member##*/}: $(<"$member/errors") errors"
	done
	! dmesg | grep -E 'I/O error|critical|rescheduling|redirecting|Disk failure' ||
		complain "the log has errors of drives"
}

# mirror LEVEL [OPTION...]: makes an array of a mapping of A, and of B
mirror() {
	dmesg -C
	dm 0 "$sectors" linear "$a" 0
	md "$dm" "$b" --level="$1" --raid-devices=2 "${@:2}"
}

late_write() {
	mirror "$@"
	late write
# The resync starts soon by itself.
	for _ in {1..100}; do
		! dmesg | grep 'resync done' >/dev/null || break
		sleep 0.1
	done
	dmesg | grep 'resync done' >/dev/null || complain "nothing was synchronized"
	sound
	[ "$(<"$(md_dir)/sync_action")" = idle ] || complain "it goes on"
	must ./block_io "$md" works
	same_legs "$dm" "$b"
}

# Only the written range is synchronized.
resync_of_range() {
	mirror "$1"
	must dd if=/dev/urandom of="$b" bs=64k seek=$((13 * 16)) count=1 oflag=direct
	late write
	resynced 1
	same_legs "$dm" "$b"
	! cmp --ignore-initial=13M --bytes=64K "$dm" "$b" >"$log" 2>&1 ||
		complain "more was synchronized than was written"
}

# A late write with write-behind is not copied by the CPU.
late_write_behind() {
	mirror raid1 --bitmap=internal --write-behind=256
	echo writemostly >"$(md_dir)/dev-$(dm_disk p2p)/state"
	echo 256 >"$(md_dir)/bitmap/backlog"
	late write
	resynced 1
	sound
	same_legs "$dm" "$b"
}

# A write of peer-to-peer memory must not overtake one that is still behind: the
# older data would stay on the slow drive.
after_write_behind() {
	local bitmap writer

	mirror raid1 --bitmap=internal --write-behind=256
	bitmap=$(md_dir)/bitmap
	echo writemostly >"$(md_dir)/dev-$(dm_disk p2p)/state"
	echo 256 >"$bitmap/backlog"
	echo 0 >"$bitmap/max_backlog_used"
	echo 100 >"$(md_dir)/safe_mode_delay"
	must dd if=/dev/urandom of="$log.data" bs=64k count=1
	must dd if=/dev/zero of="$md" bs=64k seek=16 count=1 oflag=direct
	must dmsetup suspend --noflush --nolockfs p2p
	must dd if="$log.data" of="$md" bs=64k seek=16 count=1 oflag=direct
	[ "$(<"$bitmap/max_backlog_used")" != 0 ] ||
		complain "there is no write-behind, and nothing is tested"
	./block_io "$md" write 1 &
	writer=$!
	waits "$writer"
	sleep 0.1
	member_has "$b" "$log.data" 16 || complain "a write has overtaken another"
	must dmsetup resume p2p
	wait "$writer" || complain "the write ended with $?"
	! member_has "$b" "$log.data" 16 || complain "nothing was written"
	same_legs "$dm" "$b"
	rm -f "$log.data"
}

# Two members on drive B, and a replacement on A, to which one of them is being
# copied when A refuses. The refused data is not copied again, but synchronized.
late_replacement() {
	local first=/dev/mapper/p2p-b0 second=/dev/mapper/p2p-b1

	dmesg -C
	dm_named p2p-b0 "0 $sectors linear $b 0"
	dm_named p2p-b1 "0 $sectors linear $b $sectors"
	must dd if=/dev/zero of="$a" bs=1M count=20 oflag=direct
	dm 0 "$sectors" linear "$a" 0
	md "$first" "$second" --level=raid10 --raid-devices=2 --size=16M
	speed 1000
	must mdadm -q --manage "$md" --add "$dm"
	must mdadm -q "$md" --replace "$first" --with "$dm"
	in_recovery
	speed 100000
	resynced 1
	[[ $(<"$(md_dir)/dev-$(dm_disk p2p)/state") = in_sync* ]] ||
		complain "the drive did not become a member"
	must mdadm -q --manage "$md" --remove "$first"
	sound
	same_legs "$dm" "$second"
	end_md
	must dmsetup remove --retry p2p-b0
	must dmsetup remove --retry p2p-b1
}

# A late write to a part of a leg that has already been rebuilt.
late_recovery() {
	dmesg -C
	must dd if=/dev/zero of="$a" bs=1M count=20 oflag=direct
	dm 0 "$sectors" linear "$a" 0
	md "$b" missing --level=raid1 --raid-devices=2 --size=16M
	speed 1000
	must mdadm -q --manage "$md" --add "$dm"
	in_recovery
	speed 100000
	resynced 1
	sound
	same_legs "$dm" "$b"
}

# in_recovery: a late write to a part that recovery has already copied
in_recovery() {
	local passed

	for _ in {1..300}; do
		case $(<"$(md_dir)/sync_completed") in
		none | delayed) ;;
		*)
			# Sectors, in steps of a sixteenth of the array.
			read -r passed _ <"$(md_dir)/sync_completed"
			[ "$passed" -lt $((2 << 11)) ] || break ;;
		esac
		sleep 0.1
	done
	late write
	[ "$(<"$(md_dir)/sync_action")" = recover ] ||
		complain "the recovery was over already"
}

# A write that only reached the other drive is copied to the first one
# afterwards.
late_write_with_bitmap() {
	mirror "$1" --bitmap=internal
	echo 100 >"$(md_dir)/bitmap/time_base"
	late write
	for _ in {1..100}; do
		! dmesg | grep 'resync done' >/dev/null || break
		sleep 0.1
	done
	sound
	end_md
	same_legs "$dm" "$b"
}

# resynced NR: waits until NR resyncs have ended since dmesg -C
resynced() {
	for _ in {1..1000}; do
		[ "$(dmesg | grep -c 'resync done')" -lt "$1" ] || return 0
		sleep 0.1
	done
	complain "no resync number $1"
}

# speed KIB: limits resyncs to KIB per second
speed() {
	echo 1000 >"$(md_dir)/sync_speed_min"
	echo "$1" >"$(md_dir)/sync_speed_max"
}

# A mirror with different copies, during the pause after a first resync, which
# has copied 12 MiB and taken some seconds.
paused() {
	mirror "$@"
	speed 4000
# Resync only after both were refused.
	echo frozen >"$(md_dir)/sync_action"
	late write 1 12
	echo idle >"$(md_dir)/sync_action"
	resynced 1
	late write
	speed 100000
	[ "$(dmesg | grep -c 'resync of')" = 1 ] || complain "there is no pause"
}

# Start and end times of resyncs, in seconds.
times() {
	dmesg | sed -nE 's/^\[ *([0-9.]+)\] md: .*(resync of|resync done).*/\1/p'
}

# The second resync waits at least ten seconds, and nine times as long as the
# first one took.
pause() {
	paused "$1"
	[ "$(<"$(md_dir)/sync_action")" = idle ] || complain "a resync is running"
	resynced 2
	awk '{ t[NR] = $1 }
	     END { exit !(NR == 4 && t[3] - t[2] >= 9.9 &&
			  t[3] - t[2] >= 9 * (t[2] - t[1])) }' <<<"$(times)" ||
		complain "resyncs began and ended at $(times | xargs)"
	sound
	must ./block_io "$md" works
	same_legs "$dm" "$b"
}

# Drive B fails writes at one place. The resync that detects this is delayed for
# no more than ten seconds after the first one; from then on the other leg
# suffices.
error_in_pause() {
	local good=$b where=$((5 << 11))

	dm_named p2p-outer "0 $sectors linear $b 0"
	b=/dev/mapper/p2p-outer
	paused "$@"
	must dmsetup reload p2p-outer <<-END
		0 $where linear $good 0
		$where 2048 linear $ro 0
		$((where + 2048)) $((sectors - where - 2048)) linear $good $((where + 2048))
	END
	must dmsetup suspend p2p-outer
	must dmsetup resume p2p-outer
	./block_io "$md" write 4
	[ $? = 5 ] || complain "the write should fail with EIO"
	resynced 2
	awk '{ t[NR] = $1 }
	     END { exit !(NR == 4 && t[3] - t[2] >= 9.9 &&
			  t[3] - t[2] < 8 * (t[2] - t[1])) }' <<<"$(times)" ||
		complain "resyncs began and ended at $(times | xargs)"
	must ./block_io "$md" write 4
	end_md
	must dmsetup remove --retry p2p-outer
	b=$good
}

# Stopping the array does not wait, and its metadata records the pending resync.
stop_in_pause() {
	paused "$@"
	end_md
	! cmp --ignore-initial=2M --bytes=64K "$dm" "$b" >"$log" 2>&1 ||
		complain "there is nothing to be synchronized"
	dmesg -C
	must mdadm --assemble "$md" "$dm" "$b"
	resynced 1
	sound
	end_md
	same_legs "$dm" "$b"
}

resyncs_begun() { dmesg | grep -c 'resync of'; }

# Reads where the copies differ use the same copy, however busy its drive is.
read_in_pause() {
	local reader readers=() reads=0

	paused "$1"
	for _ in {1..6}; do
		while dd if="$md" of=/dev/null bs=1M skip=4 count=16 iflag=direct; do
			:
		done >"$log" 2>&1 &
		readers+=($!)
	done
	# On a slow machine the pause may end before all of them are done.
	for _ in {1..30}; do
		dd if="$md" bs=64k skip=16 count=1 iflag=direct 2>"$log.dd" |
			cmp --bytes=64K - /dev/zero || {
			complain "a read returned other data"
			break
		}
		[ "$(resyncs_begun)" = 1 ] || break
		reads=$((reads + 1))
	done
	for reader in "${readers[@]}"; do
		kill "$reader"
		wait "$reader"
	done
	[ "$reads" -gt 0 ] || complain "nothing was read in the pause"
}

# Reads come from A if B is write-mostly, or if B is further away.
late_read() {
	mirror "$1"
	[ "$1" != raid1 ] || echo writemostly >"$(md_dir)/dev-${b##*/}/state"
	late read
	sound
	must ./block_io "$md" works
	same_legs "$dm" "$b"
}

need mdadm dmsetup setpci
need_disks RAW B RO
a=$raw
port=$(basename "$(dirname "$(readlink -f "/sys/block/${a##*/}/device/device")")")
pauses=(
	"raid1_pause: pause raid1"
	"raid1_error_in_pause: error_in_pause raid1"
	"raid10_error_in_pause: error_in_pause raid10"
	"raid1_stop_in_pause: stop_in_pause raid1"
	"raid1_stop_in_pause_with_bitmap: stop_in_pause raid1 --bitmap=internal"
	"raid1_read_in_pause: read_in_pause raid1"
	"raid10_read_in_pause: read_in_pause raid10"
)
[ "${1-}" != one-pause ] || pauses=("${pauses[0]}")
plan \
	"raid1_write: late_write raid1" \
	"raid1_write_with_bitmap: late_write_with_bitmap raid1" \
	"raid1_read: late_read raid1" \
	"raid10_write: late_write raid10" \
	"raid10_write_with_bitmap: late_write_with_bitmap raid10" \
	"raid10_read: late_read raid10" \
	"raid1_write_behind: late_write_behind" \
	"raid1_after_write_behind: after_write_behind" \
	"raid1_range: resync_of_range raid1" \
	"raid10_range: resync_of_range raid10" \
	"raid1_recovery: late_recovery" \
	"raid10_replacement: late_replacement" \
	"${pauses[@]}"
