#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# mirrors.sh PROGRAM [ARGUMENT...]: runs p2p_stress or p2p_fuzz with two
# mirrors, named in P2P_MIRRORS.
#
# Takes from the environment, see p2pmem.h: P2P_DISK_A to _D, drives that become a raid1,
# with a bitmap, and a raid10. They are overwritten. The port above A and C has ACS.
# shellcheck disable=SC2154 # need_disks makes variables
set -uo pipefail

# shellcheck source=tools/testing/selftests/p2p_gup/stack.sh
. ./stack.sh

mirrors=(/dev/md/p2p /dev/md/p2p10)

# mirror NAME LEVEL DRIVE DRIVE [OPTION...]
mirror() {
	md=$1
	md "$3" "$4" --level="$2" --raid-devices=2 --size=16M "${@:5}"
# Resync immediately, however busy the drives are.
	echo 1000000 >"$(md_dir)/sync_speed_min"
	echo 1000000 >"$(md_dir)/sync_speed_max"
}

need mdadm
need_disks A B C D
mirror "${mirrors[0]}" raid1 "$a" "$b" --bitmap=internal
mirror "${mirrors[1]}" raid10 "$c" "$d"
if [ $problems != 0 ]; then
	echo "Bail out! no mirrors"
	exit 1
fi
P2P_MIRRORS=${mirrors[*]} "$@"
status=$?
for md in "${mirrors[@]}"; do
	end_md
done
[ $problems = 0 ] || status=1
exit $status
