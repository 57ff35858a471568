#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Sets groups and quotas of peer-to-peer memory from a table, without udev or
# systemd: to be run at boot, from /etc/rc.local or by an init script, and after
# a driver was bound.
#
#	p2pmem-quota.sh [TABLE]
#
# A line of the table, /etc/p2pmem.conf, has the address of a provider, or *,
# the group that may allocate, and the bytes that each user may have, or max:
#
#	*             p2pmem  1073741824
#	0000:03:00.0  video   max
#
# The last line that matches a provider applies.
table=${1:-/etc/p2pmem.conf}
status=0

[ -r "$table" ] || {
	echo "p2pmem-quota.sh: can't read $table" >&2
	exit 2
}
for p2pmem in /sys/bus/pci/devices/*/p2pmem; do
	[ -e "$p2pmem/allocate" ] || continue
	address=$(basename "$(dirname "$p2pmem")")
	group=
	while read -r who whose limit _; do
		case $who in
		"$address" | '*')
			group=$whose
			bytes=$limit
			;;
		esac
	done <"$table"
	[ "$group" ] || continue
	if chgrp "$group" "$p2pmem/allocate" && chmod 0660 "$p2pmem/allocate" &&
		echo "$bytes" >"$p2pmem/user_limit"; then
		echo "$address: group $group, $bytes bytes for each user"
	else
		echo "p2pmem-quota.sh: $address: can't set the group, the mode or the limit" >&2
		status=1
	fi
done
exit $status
