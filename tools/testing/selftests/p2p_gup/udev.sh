#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# udev with the example rule for administrators: each time a provider is bound,
# and at boot, its files get the owners, modes and limits of the rule.
#
# Takes P2P_PROVIDERS from the environment, see p2pmem.h. All of them are unbound, and bound again.
# shellcheck disable=SC2154,SC2317 # the libraries have the variables, plan calls functions
set -uo pipefail

# shellcheck source=tools/testing/selftests/p2p_gup/stack.sh
. ./stack.sh
# shellcheck source=tools/testing/selftests/p2p_gup/p2pctl_common.sh
. ./p2pctl_common.sh

udevd=/lib/systemd/systemd-udevd
rules=/run/udev/rules.d
# A group that exists on all systems, since the test must not change /etc.
group=daemon

# owns MODE FILE: waits a moment if necessary.
owns() {
	local i

	for ((i = 0; i < 100; i++)); do
		[ "$(stat -c '%a %G' "$2" 2>/dev/null)" != "$1 $group" ] || return 0
		sleep 0.1
	done
	complain "$2: $(stat -c '%a %G' "$2" 2>&1)"
}

# limit VALUE PROVIDER
limit() {
	local i file=$devices/$2/p2pmem/user_limit

	for ((i = 0; i < 100; i++)); do
		[ "$(cat "$file" 2>/dev/null)" != "$1" ] || return 0
		sleep 0.1
	done
	complain "$file: $(cat "$file" 2>&1)"
}

# An NVMe drive offers its memory only some time after the driver was bound.
bound() {
	local driver

	driver=$(readlink -f "$devices/$1/driver")
	must sh -c "echo $1 >$driver/unbind"
	must sh -c "echo $1 >$driver/bind"
	owns "$2" "$devices/$1/p2pmem/allocate"
	limit "$3" "$1"
}

# The driver was bound before udev ran.
boot() {
	local p2pmem=$devices/$1/p2pmem

	must chown root:root "$p2pmem/allocate"
	must chmod 600 "$p2pmem/allocate"
	must sh -c "echo 4096 >$p2pmem/user_limit"
	must udevadm trigger --action=add --subsystem-match=pci --settle
	owns "$2" "$p2pmem/allocate"
	limit "$3" "$1"
}

heap() {
	local node=/dev/dma_heap/p2pmem-$1

	must chown root:root "$node"
	must chmod 600 "$node"
	must udevadm trigger --action=add --subsystem-match=dma_heap --settle
	owns 660 "$node"
}

needs_p2pctl
need udevadm
[ -x "$udevd" ] || skip "$udevd is not installed"
mkdir -p "$rules"
# The lines for one provider are comments.
sed -e "s/^#KERNEL==\"0000:03:00\.0\"/KERNEL==\"${providers[-1]}\"/; s/chgrp p2pmem/chgrp $group/; s/GROUP=\"p2pmem\"/GROUP=\"$group\"/" \
	"$examples/61-p2pmem.rules" >"$rules/61-p2pmem.rules"
"$udevd" --daemon
points=()
for provider in "${providers[@]}"; do
	mode=660 max=1073741824
	[ "$provider" != "${providers[-1]}" ] || mode=666 max=max
	points+=("bound_$provider: bound $provider $mode $max")
	points+=("boot_$provider: boot $provider $mode $max")
	[ ! -e "/dev/dma_heap/p2pmem-$provider" ] || points+=("heap_$provider: heap $provider")
done
plan "${points[@]}"
