#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# A drive of another machine, by NVMe over fabrics: its driver copies or sends
# the data, so it refuses peer-to-peer memory. The drive behind it, which
# accepts it, is used by others at the same time.
#
# Takes from the environment, see p2pmem.h: P2P_PROVIDERS, and P2P_DISK_RAW, which is
# overwritten.
# shellcheck disable=SC2154,SC2317 # need_disks makes variables, plan calls functions
set -uo pipefail

# shellcheck source=tools/testing/selftests/p2p_gup/stack.sh
. ./stack.sh

target=/sys/kernel/config/nvmet
subsystem=$target/subsystems/p2p
port=$target/ports/1

# put VALUE FILE
put() {
	echo "$1" 2>"$log" >"$2" || complain "cannot write $1 to $2: $(<"$log")"
}

# serve DRIVE: makes a target with the drive as its namespace
serve() {
	mkdir "$subsystem" "$subsystem/namespaces/1" "$port"
	put 1 "$subsystem/attr_allow_any_host"
	put "$1" "$subsystem/namespaces/1/device_path"
	put 1 "$subsystem/namespaces/1/enable"
}

# reach ADDRESS: connects to the drive, as $remote, by the chosen transport
reach() {
	local controller

	ln -s "$subsystem" "$port/subsystems/p2p"
	put "$1,nqn=p2p" /dev/nvme-fabrics
	remote=
	for _ in {1..100}; do
		for controller in /sys/class/nvme/nvme*; do
			[ "$(<"$controller/subsysnqn")" = p2p ] || continue
			remote=$(find "$controller/" -maxdepth 1 -name 'nvme*n1' -printf /dev/%f)
		done
		[ ! -b "$remote" ] || return 0
		sleep 0.1
	done
	complain "there is no drive of the target"
}

leave() {
	local controller

	for controller in /sys/class/nvme/nvme*; do
		[ "$(<"$controller/subsysnqn")" != p2p ] ||
			put 1 "$controller/delete_controller"
	done
	rm -f "$port/subsystems/p2p"
	rmdir "$port"
	put 0 "$subsystem/namespaces/1/enable"
	rmdir "$subsystem/namespaces/1" "$subsystem"
}

# Both at once: the drive itself accepts memory that the NVMe-oF host refuses.
both() {
	local user

	refused "$remote"
	./block_io "$raw" works &
	user=$!
	dd if="$remote" of=/dev/null bs=1M count=32 iflag=direct status=none ||
		complain "$remote: RAM is refused, too"
	wait "$user" || complain "$raw: should work beside its target"
	refused "$remote"
}

loop() {
	serve "$1"
	put loop "$port/addr_trtype"
	reach transport=loop
	both
	leave
}

tcp() {
	serve "$1"
	put tcp "$port/addr_trtype"
	put ipv4 "$port/addr_adrfam"
	put 127.0.0.1 "$port/addr_traddr"
	put 4420 "$port/addr_trsvcid"
	reach transport=tcp,traddr=127.0.0.1,trsvcid=4420
	both
	leave
}

need_disks RAW
need ip
[ -e /dev/nvme-fabrics ] || skip "not configured: CONFIG_NVME_TARGET_LOOP"
mkdir -p /sys/kernel/config
mountpoint -q /sys/kernel/config || mount -t configfs none /sys/kernel/config
[ -d $target ] || skip "not configured: CONFIG_NVME_TARGET"
ip link set lo up
plan \
	"loop: loop $raw" \
	"tcp: tcp $raw"
