#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A drive of a mirror that refuses peer-to-peer memory at the last moment: md has
# asked all drives whether they reach it, and then the route changes. The transfer
# fails, but nothing is wrong with the drive: it stays a member, has no bad blocks and
# is not to be replaced; and the copies are the same in the end.
#
# The drive is below a linear mapping, where requests wait while that is suspended.
# The route changes by ACS redirection of the port above the drive, since the host
# bridge is one that forwards nothing.
#
# Takes from the environment, see p2pmem.h: P2P_PROVIDERS; P2P_DISK_RAW and _B, drives
# below ports with ACS. Both are overwritten.
# shellcheck disable=SC2154,SC2317 # need_disks makes variables, plan calls functions
set -uo pipefail

# shellcheck source=tools/testing/selftests/p2p_gup/stack.sh
. ./stack.sh

port=				# above the drive A

# redirect BITS: request and completion redirection of the port, as hex
redirect() {
	must setpci -s "$port" "ECAP_ACS+6.w=$1:c"
}

# waits PROCESS: until it is in a system call that does not end
waits() {
	for _ in {1..100}; do
		grep -q '^State:.D' "/proc/$1/status" && return
		sleep 0.1
	done
	complain "the transfer has not begun"
}

# late TRANSFER: begins it while A can be reached, and lets A have it when not
late() {
	local worker status

	# What md writes about itself must not wait in the drive, too.
	echo 100 >"$(md_dir)/safe_mode_delay"
	must dd if=/dev/zero of="$md" bs=64k seek=16 count=1 oflag=direct
	must dmsetup suspend --noflush --nolockfs p2p
	./block_io "$md" "$1" &
	worker=$!
	waits "$worker"
	redirect c
	must dmsetup resume p2p
	wait "$worker"
	status=$?
	[ "$status" = 121 ] || complain "the $1 ended with $status, not EREMOTEIO"
	redirect 0
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

# mirror LEVEL [OPTION...]: of a mapping of A, and of B
mirror() {
	dmesg -C
	must dd if=/dev/zero of="$a" bs=1M count=20 oflag=direct
	dm 0 "$sectors" linear "$a" 0
	md "$dm" "$b" --level="$1" --raid-devices=2 "${@:2}"
}

late_write() {
	mirror "$@"
	late write
	# The resync begins by itself, soon.
	for _ in {1..100}; do
		! dmesg | grep -q 'resync done' || break
		sleep 0.1
	done
	dmesg | grep -q 'resync done' || complain "nothing was synchronized"
	sound
	[ "$(<"$(md_dir)/sync_action")" = idle ] || complain "it goes on"
	must ./block_io "$md" works
	same_legs "$dm" "$b"
}

# Whatever is written to the other drive only, the first one has, too, afterwards.
late_write_with_bitmap() {
	mirror "$1" --bitmap=internal
	echo 100 >"$(md_dir)/bitmap/time_base"
	late write
	for _ in {1..100}; do
		! dmesg | grep -q 'resync done' || break
		sleep 0.1
	done
	sound
	end_md
	same_legs "$dm" "$b"
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
need_disks RAW B
a=$raw
port=$(basename "$(dirname "$(readlink -f "/sys/block/${a##*/}/device/device")")")
plan \
	"raid1_write: late_write raid1" \
	"raid1_write_with_bitmap: late_write_with_bitmap raid1" \
	"raid1_read: late_read raid1" \
	"raid10_write: late_write raid10" \
	"raid10_write_with_bitmap: late_write_with_bitmap raid10" \
	"raid10_read: late_read raid10"
