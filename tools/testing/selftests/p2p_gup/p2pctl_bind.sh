#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# p2pctl bind and unbind: the driver p2pmem-bar on a device, and refusals.
#
# Takes P2P_PROVIDERS and P2P_DISK_RAW from the environment, see p2pmem.h. A
# provider of p2pmem-bar is unbound, and bound again at the end.
# shellcheck disable=SC2154,SC2317 # stack.sh has the variables, plan calls functions
set -uo pipefail

# shellcheck source=tools/testing/selftests/p2p_gup/stack.sh
. ./stack.sh
# shellcheck source=tools/testing/selftests/p2p_gup/p2pctl_common.sh
. ./p2pctl_common.sh

parameters=/sys/module/p2pmem_bar/parameters

default_parameters() {
	is parameters "$(cat "$parameters"/{bar,offset,size,folio_size} | tr '\n' ' ')" \
		"-1 0 0 0 "
}

unbound() {
	run 0 unbind "$bdf"
	[ ! -e "$devices/$bdf/driver" ] || complain "it still has a driver"
	is driver_override "$(<"$devices/$bdf/driver_override")" "(null)"
}

bound() {
	[ ! -e "$devices/$bdf/driver" ] || unbound
	run 0 bind "$bdf"
	is driver "$(basename "$(readlink "$devices/$bdf/driver")")" p2pmem-bar
}

# Options apply to this device only.
options() {
	unbound
	run 0 bind --bar 2 --offset 2M --size 4M "$bdf"
	says "4 MiB"
	is size "$(counter "$bdf" size)" $((4 << 20))
	default_parameters
	run 0 bind "$bdf"
	says "already"
	unbound
	run 0 bind --folio-size 2M "$bdf"
	bound
}

# The driver's message is passed on, and nothing is left behind.
driver_refuses() {
	unbound
	run 3 bind --bar 5 "$bdf"
	says "no such BAR"
	run 3 bind --offset 4K --size 8M "$bdf"
	says "must be multiples"
	[ ! -e "$devices/$bdf/driver" ] || complain "it has a driver"
	is driver_override "$(<"$devices/$bdf/driver_override")" "(null)"
	default_parameters
	bound
}

# A udev rule with the requested options.
persist() {
	local rule=$work/rule

	unbound
	run 0 bind --size 8M --persist="$rule" "$bdf"
	grep -q "KERNEL==\"$bdf\"" "$rule" || complain "$(<"$rule")"
	grep -q "RUN+=\"/usr/sbin/p2pctl bind --size 8388608 \$kernel\"" "$rule" ||
		complain "$(<"$rule")"
	grep -q "ATTR{vendor}==\"$(<"$devices/$bdf/vendor")\"" "$rule" || complain "$(<"$rule")"
	run 0 unbind --persist="$rule" "$bdf"
	[ ! -e "$rule" ] || complain "the rule is still there"
	bound
}

in_use() {
	hold "$bdf" 4096
	run 3 unbind "$bdf"
	says "python3\[$holder\] maps its memory"
	run 0 unbind --force "$bdf"
	let_go
	bound
}

# A bound driver is not replaced unless forced, and never under a file system.
has_driver() {
	local drive ctrl

	ctrl=$(readlink -f "/sys/block/${P2P_DISK_RAW##*/}/device")
	drive=$(basename "$(readlink -f "/sys/class/nvme/$(basename "$ctrl")/device")")
	run 3 bind "$drive"
	says "is bound to the driver nvme"
	if [ "${P2P_DISK_EXT4:-}" ]; then
		mkdir -p "$work/mnt"
		must mount "$P2P_DISK_EXT4" "$work/mnt"
		run 3 bind --force "$drive"
		says "is in use: a file system on it is mounted"
		must umount "$work/mnt"
	fi
	# As file systems have theirs.
	start_holder "$P2P_DISK_RAW" <<<'os.open(sys.argv[1], os.O_RDONLY | os.O_EXCL)'
	run 3 bind --force "$drive"
	says "is in use: its ${P2P_DISK_RAW##*/} is open exclusively"
	let_go
	[ -e "$devices/$drive/driver" ] || complain "$drive has lost its driver"
}

needs_p2pctl
need_disks RAW
bdf=
for provider in "${providers[@]}"; do
	[ "$(basename "$(readlink "$devices/$provider/driver")")" != p2pmem-bar ] || bdf=$provider
done
[ "$bdf" ] || skip "no provider is of p2pmem-bar"
plan \
	"options: options" \
	"driver_refuses: driver_refuses" \
	"persist: persist" \
	"in_use: in_use" \
	"has_driver: has_driver"
