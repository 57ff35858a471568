#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Stacked block devices: they accept peer-to-peer memory while all drives below
# do, and while no layer in between accesses the data.
#
# Takes from the environment, see p2pmem.h: P2P_PROVIDERS; P2P_DISK_A, _B and _C,
# drives that reach all providers; P2P_DISK_FAR, one that reaches none; and two
# more that reach all: P2P_DISK_MULTI, with two paths, and P2P_DISK_PI, with
# protection information. All are overwritten.
# shellcheck disable=SC2154,SC2317 # need_disks makes variables, plan calls functions
set -uo pipefail

# shellcheck source=tools/testing/selftests/p2p_gup/stack.sh
. ./stack.sh

dm_linear() {
	dm 0 "$sectors" linear "$1" 0
}

# logged PATTERN: the kernel has logged it since dmesg -C
logged() {
	dmesg | grep "$1" >/dev/null || complain "the log lacks: $1"
}

# The device accepts peer-to-peer memory as long as its live table does.
reload() {
	local table

	dm_linear "$a"
	works "$dm"
	for table in "linear $loop 0" "$crypt $a 0"; do
		must dmsetup reload p2p --table "0 $sectors $table"
		works "$dm"		# the old table is the live one still
		must dmsetup suspend p2p
		must dmsetup resume p2p
		refused "$dm"
		must dmsetup reload p2p --table "0 $sectors linear $a 0"
		must dmsetup resume p2p
		works "$dm"
	done
}

# The outer device isn't notified when the table of the inner one changes.
reload_below() {
	dm_linear "$a"
	dm_named p2p-outer "0 $sectors linear $dm 0"
	works /dev/mapper/p2p-outer
	must dmsetup reload p2p --table "0 $sectors $crypt $a 0"
	must dmsetup resume p2p
	refused /dev/mapper/p2p-outer
	must dmsetup remove p2p-outer
}

# A bio that waits while the table is swapped must not be encrypted by the CPU.
reload_in_flight() {
	local writer status disk

	dm_linear "$a"
	disk=$(dm_disk p2p)
	sleep 6				# a line of before may keep back this one
	dmesg -C
	must dmsetup suspend --noflush p2p
	./block_io "$dm" write &
	writer=$!
	for _ in {1..100}; do
		grep -q '^State:.D' "/proc/$writer/status" && break
		sleep 0.1
	done
	must dmsetup reload p2p --table "0 $sectors $crypt $a 0"
	must dmsetup resume p2p
	wait "$writer"
	status=$?
	[ "$status" = 121 ] || complain "the write ended with $status, not EREMOTEIO"
	logged "$disk: can't use peer-to-peer memory of [0-9a-f:.]*: it, or a device"
}

# Two targets in one table, one of which accesses the data.
table_of_two() {
	dm_linear_and_crypt "$a" "$b"
	refused "$dm"
}

# One of the drives temporarily requires stable pages.
stable_writes() {
	local queue=/sys/block/${a##*/}/queue

	must dm_linear "$a"
	echo 1 >"$queue/stable_writes"
	refused "$a"
	refused "$dm"
	must dmsetup reload p2p --table "0 $sectors linear $a 0"
	must dmsetup resume p2p
	refused "$dm"
	echo 0 >"$queue/stable_writes"
	works "$a"
}

# raid LEVEL DRIVE... [-- OPTION...]
raid() {
	local level=$1 drives=() size=(--size=16M)

	shift
	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		drives+=("$1")
		shift
	done
	[[ $level = raid[15]* ]] || size=()
	md "${drives[@]}" "${@:2}" --level="$level" "${size[@]}" \
		--raid-devices=${#drives[@]}
}

# Adds a spare without the capability, and removes it again.
raid1_spare() {
	raid raid1 "$a" "$b"
	works "$md"
	must mdadm -q --manage "$md" --add "$loop"
	refused "$md"
	must mdadm -q --manage "$md" --remove "$loop"
	works "$md"
}

# A mirror becomes an array with parity, and a mirror again.
level_changes() {
	raid raid1 "$a" "$b"
	works "$md"
	must mdadm -q --grow "$md" --level=raid5
	refused "$md"
	must mdadm -q --grow "$md" --level=raid1
	works "$md"
}

raid1_grows() {
	raid raid1 "$a" missing
	works "$md"
	must mdadm -q --manage "$md" --add "$loop"
	refused "$md"
	mdadm --wait "$md"		# fails when there is nothing to wait for
	refused "$md"
	must mdadm -q --manage "$md" --fail "$loop"
	must mdadm -q --manage "$md" --remove "$loop"
	works "$md"
}

# Writes during a rebuild; the legs are the same at the end.
raid1_rebuild() {
	raid raid1 "$a" missing
	must mdadm -q --manage "$md" --add "$b"
	works "$md"
	mdadm --wait "$md"
	works "$md"
	same_legs "$a" "$b"
}

# Not reaching a provider does not fail the drive, and the legs stay the same.
far_leg() {
	local level=$1

	raid "$level" "$a" "$far"
	sleep 6				# a line of before may keep back this one
	dmesg -C
	refused "$md"
	grep -q '\[UU\]' /proc/mdstat || complain "the array is degraded"
	[ -z "$(cat "$(md_dir)"/dev-*/bad_blocks)" ] ||
		complain "there are bad blocks"
	same_legs "$a" "$far"
	logged ": its drive ${far##*/} can't use peer-to-peer memory of [0-9a-f:.]*: [0-9a-f:.]* none"
}

far_stripe() {
	dm 0 $((2 * sectors)) striped 2 64 "$a" 0 "$far" 0
	unreached "$dm"
	dmsetup status p2p | grep 'AA' >/dev/null || complain "$(dmsetup status p2p)"
}

# Write-behind copies written data with the CPU. It is used when the first drive
# is write-mostly.
write_behind() {
	local bitmap

	raid raid1 "$a" "$b" -- --bitmap=internal --write-behind=256
	bitmap=$(md_dir)/bitmap
	echo writemostly >"$(md_dir)/dev-${a##*/}/state"
	echo 256 >"$bitmap/backlog"
	echo 0 >"$bitmap/max_backlog_used"
	./block_io "$md" write || complain "write: $?"
	[ "$(<"$bitmap/max_backlog_used")" = 0 ] || complain "the CPU has copied"
	dd if=/dev/urandom of="$md" bs=64k count=1 oflag=direct status=none
	[ "$(<"$bitmap/max_backlog_used")" != 0 ] ||
		complain "there is no write-behind, and nothing is tested"
	works "$md"
	same_legs "$a" "$b"
}

# All paths of a namespace accept it; a mapped device on it, too.
multipath() {
	[ "$(cat /sys/class/nvme-subsystem/*/nvme*/serial | grep -c multi)" = 2 ] ||
		complain "there are no two controllers"
	works "$multi"
	mixes "$multi"
	dm_linear "$multi"
	works "$dm"
}

# The CPU computes the protection information, until this is disabled.
protection() {
	local attribute integrity=/sys/block/${pi##*/}/integrity
	local queue=/sys/block/${pi##*/}/queue

	refused "$pi"
	dm 0 16384 linear "$pi" 0
	refused "$dm"
	for attribute in write_generate read_verify; do
		refused "$pi"
		echo 0 >"$integrity/$attribute"
	done
	refused "$pi"
	echo 0 >"$queue/stable_writes"
	works "$pi"
	for attribute in write_generate read_verify; do
		echo 1 >"$integrity/$attribute"
		refused "$pi"
		echo 0 >"$integrity/$attribute"
		works "$pi"
	done
	echo 1 >"$integrity/write_generate"
	echo 1 >"$integrity/read_verify"
	echo 1 >"$queue/stable_writes"
	refused "$pi"
}

# raid1 on mapped devices, and a mapped device on raid1.
md_on_dm() {
	dm_linear "$a"
	raid raid1 "$dm" "$b"
	works "$md"
	dm_named p2p-outer "0 16384 linear $md 0"
	works /dev/mapper/p2p-outer
	mixes /dev/mapper/p2p-outer
	must dmsetup remove p2p-outer
}

# A mirror with an array, or a multipath device, as a leg: the capability check
# recurses into the members.
raid1_on_raid0() {
	local outer=$md inner=/dev/md/p2p-inner

	md=$inner
	raid raid0 "$a" "$1"
	md=$outer
	raid raid1 "$inner" "$b"
	"$2" "$md"
	[ "$2" = refused ] || mixes "$md"
	same_legs "$inner" "$b"
	end_md
	must mdadm --stop "$inner"
}

raid1_on_multipath() {
	raid raid1 "$multi" "$b"
	works "$md"
	same_legs "$multi" "$b"
}

partition() {
	must addpart "$a" 1 2048 65536
	works "$(part "$a")"
	mixes "$(part "$a")"
	raid raid1 "$(part "$a")" "$b"
	works "$md"
	end_md
	must delpart "$a" 1
}

need mdadm dmsetup losetup addpart
need_disks A B C FAR MULTI PI
make_loop
plan \
	"linear: dm_linear $a; works \$dm" \
	"striped: dm 0 $((2 * sectors)) striped 2 128 $a 0 $b 0; works \$dm" \
	"linear_on_loop: dm_linear $loop; refused \$dm" \
	"striped_with_loop: dm 0 $((2 * sectors)) striped 2 128 $a 0 $loop 0; refused \$dm" \
	"crypt: dm 0 $sectors $crypt $a 0; refused \$dm" \
	"table_of_two: table_of_two" \
	"reload: reload" \
	"reload_below: reload_below" \
	"reload_in_flight: reload_in_flight" \
	"stable_writes: stable_writes" \
	"far_stripe: far_stripe" \
	"md_linear: raid linear $a $b; works \$md" \
	"raid0: raid raid0 $a $b; works \$md" \
	"raid1: raid raid1 $a $b; works \$md; same_legs $a $b" \
	"raid10: raid raid10 $a $b $c; works \$md" \
	"raid5: raid raid5 $a $b $c; refused \$md" \
	"raid0_with_loop: raid raid0 $a $loop; refused \$md" \
	"raid1_with_loop: raid raid1 $a $loop; refused \$md" \
	"raid10_with_loop: raid raid10 $a $loop; refused \$md" \
	"raid1_spare: raid1_spare" \
	"raid1_grows: raid1_grows" \
	"raid1_rebuild: raid1_rebuild" \
	"level_changes: level_changes" \
	"raid1_far_leg: far_leg raid1" \
	"raid10_far_leg: far_leg raid10" \
	"write_behind: write_behind" \
	"md_on_dm: md_on_dm" \
	"raid1_on_raid0: raid1_on_raid0 $c works" \
	"raid1_on_far_raid0: raid1_on_raid0 $far refused" \
	"raid1_on_multipath: raid1_on_multipath" \
	"partition: partition" \
	"multipath: multipath" \
	"protection: protection"
