#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Vectors of RAM and of all providers' memory, on drives and on stacked devices:
# a drive with its own memory buffer may need several commands for one request.
# The data arrives, no array loses a member, and no bad blocks are recorded.
#
# Takes from the environment, see p2pmem.h: P2P_PROVIDERS; P2P_ROUTE; P2P_DISK_CMB, a
# drive with a controller memory buffer, and P2P_DISK_RAW, one without. Both are
# overwritten.
# shellcheck disable=SC2154,SC2317 # need_disks makes variables, plan calls functions
set -uo pipefail

# shellcheck source=tools/testing/selftests/p2p_gup/stack.sh
. ./stack.sh

# A process that hangs in a request can't be killed, and others must not wait
# for the device then. The limit is far beyond the time a slow machine needs.
in_time() {
	local program end=$((SECONDS + 300))

	"$@" &
	program=$!
	while [ "$SECONDS" -lt "$end" ]; do
		grep -qs '^State:.[^Z]' "/proc/$program/status" || {
			wait "$program"
			return
		}
		sleep 0.1
	done
	kill -KILL "$program"
	complain "hangs: $*"
	echo "Bail out! requests of $md or $dm don't come back"
	echo b >/proc/sysrq-trigger
}

# Where drives don't reach each other's memory a mirror refuses it, since both
# have to.
mixed() {
	[ -b "$1" ] || complain "no block device $1"
	if [ "$P2P_ROUTE" = none ]; then
		in_time ./block_io "$1" refused || complain "$1: should be refused"
	else
		in_time ./block_io "$1" mixed || complain "$1: should work"
	fi
}

whole() {
	local state

	grep -A 1 "^$(basename "$(readlink -f "$md")") " /proc/mdstat | grep '\[UU\]' >/dev/null ||
		complain "the array is degraded"
	for state in "$(md_dir)"/dev-*/state; do
		! grep -qE 'faulty|want_replacement|write_error|blocked' "$state" ||
			complain "$state: $(<"$state")"
	done
	[ -z "$(cat "$(md_dir)"/dev-*/bad_blocks)" ] || complain "there are bad blocks"
	[ "$(cat "$(md_dir)"/dev-*/errors | sort -u)" = 0 ] ||
		complain "errors are counted against a member"
	same_legs "$@"
}

# raid LEVEL DRIVE... [-- OPTION...]
raid() {
	local level=$1 drives=() size=()

	shift
	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		drives+=("$1")
		shift
	done
	[[ $level != raid1* ]] || size=(--size=16M)
	md "${drives[@]}" "${@:2}" --level="$level" "${size[@]}" \
		--raid-devices=${#drives[@]}
}

mirror() {
	raid "$@"
	mixed "$md"
	whole "$2" "$3"
}

# Reads go to the other leg.
write_mostly() {
	raid raid1 "$raw" "$cmb" -- --bitmap=internal
	echo writemostly >"$(md_dir)/dev-$(basename "$1")/state"
	mixed "$md"
	whole "$raw" "$cmb"
}

need mdadm dmsetup
need_disks CMB RAW
mirrors=(
	"raid1: mirror raid1 $cmb $raw"
	"raid1_other: mirror raid1 $raw $cmb"
	"raid1_bitmap: mirror raid1 $raw $cmb -- --bitmap=internal"
	"raid10: mirror raid10 $cmb $raw"
	"write_mostly_cmb: write_mostly $cmb"
	"write_mostly_raw: write_mostly $raw"
)
[ "$P2P_ROUTE" != none ] || plan "${mirrors[@]}"
plan \
	"raw: mixed $raw" \
	"cmb: mixed $cmb" \
	"linear: dm 0 $sectors linear $cmb 0; mixed \$dm" \
	"striped: dm 0 $((2 * sectors)) striped 2 16 $cmb 0 $raw 0; mixed \$dm" \
	"md_linear: raid linear $cmb $raw; mixed \$md" \
	"raid0: raid raid0 $cmb $raw; mixed \$md" \
	"${mirrors[@]}"
