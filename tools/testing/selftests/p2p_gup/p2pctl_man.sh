#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# p2pctl: each example of the manual page works, with devices of this machine in
# place of the named ones; and so do the programs and the completion installed
# with it.
#
# Takes P2P_PROVIDERS, P2P_DISK_RAW and P2P_DISK_EXT4 from the environment, see p2pmem.h.
# shellcheck disable=SC2154,SC2317 # stack.sh has the variables, plan calls functions
set -uo pipefail

# shellcheck source=tools/testing/selftests/p2p_gup/stack.sh
. ./stack.sh
# shellcheck source=tools/testing/selftests/p2p_gup/p2pctl_common.sh
. ./p2pctl_common.sh

example() {
	local command=$1 status

	command=${command//0000:03:00.0/$bdf}
	command=${command//\/dev\/nvme0n1/$raw}
	command=${command//\/data/$work\/mnt}
	command=${command//p2pctl /$p2pctl }
	bash -c "$command" >"$out" 2>"$err" </dev/null
	status=$?
	[ "$status" = 0 ] || complain "$command: status $status: $(cat "$out" "$err")"
	[ -s "$out" ] || complain "$command: prints nothing"
}

page() {
	mandoc -T lint -W warning "$manual" >"$log" 2>&1 || complain "$(<"$log")"
	mandoc -T ascii "$manual" | col -b >"$work/page"
	for command in list route check bind unbind watch copy bench; do
		grep -q "^   $command" "$work/page" || complain "$command is not described"
		grep -q "p2pctl $command" "$work/examples" || complain "$command has no example"
	done
}

python() {
	"$examples/p2p_read.py" "$bdf" "$raw" >"$out" 2>"$err" || complain "$(<"$err")"
	says "^1048576 bytes read, 1048576 of them from device to device"
	says "^$(od -A n -t x1 -N 16 "$raw" | sed 's/^ //')$"
	"$examples/p2p_read.py" "$bdf" "$loop" >"$out" 2>"$err" && complain "from a loop device"
	says "can't use the memory"
}

quota() {
	local p=$devices/$bdf/p2pmem

	printf '%s\n' '* 0 max' "$bdf 65534 1048576" '0000:ff:1f.7 0 max' >"$work/table"
	"$examples/p2pmem-quota.sh" "$work/table" >"$out" 2>"$err" || complain "$(<"$err")"
	says "^$bdf: group 65534, 1048576 bytes"
	is limit "$(<"$p/user_limit")" 1048576
	is group "$(stat -c %g "$p/allocate")" 65534
	run_json 0 list
	is limit "$(value "providers.$bdf.user_limit")" 1048576
	is gid "$(value "providers.$bdf.gid")" 65534
	run 0 list
	says " 1 MiB "
	setpriv --reuid 65534 --regid 65534 --clear-groups "$p2pctl" copy --via "$bdf" --size 2M \
		--queue-depth 2 "$raw" "$work/mnt/z" >"$out" 2>"$err"
	is "beyond the limit" $? 3
	echo max >"$p/user_limit"
	chgrp 0 "$p/allocate"
}

# completes WORDS WANTED...: checks the completions of the last word
completes() {
	local line=$1 got

	shift
	got=$(bash --norc -c '. /usr/share/bash-completion/bash_completion; . "$1"
		COMP_WORDS=($2); [[ $2 = *" " ]] && COMP_WORDS+=("")
		COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMP_LINE=$2; COMP_POINT=${#2}
		_p2pctl; echo "${COMPREPLY[@]}"' bash "$completion" "$line" 2>&1)
	is "completion of '$line'" "$got" "$*"
}

completion() {
	[ -e /usr/share/bash-completion/bash_completion ] || return
	completes "p2pctl ro" route
	completes "p2pctl un" unbind
	completes "p2pctl route --p" --probe
	completes "p2pctl bind --folio-size 2" 2M
	completes "p2pctl copy --all" --allow-ram
}

needs_p2pctl
need mandoc
need_disks RAW EXT4
for provider in "${providers[@]}"; do
	[ "$(basename "$(readlink "$devices/$provider/driver")")" != p2pmem-bar ] || bdf=$provider
done
[ "${bdf:-}" ] || skip "no provider is of p2pmem-bar"
make_loop
mkdir "$work/mnt"
must mount "$ext4" "$work/mnt"
trap 'umount "$work/mnt"; losetup -d "$loop"; rm -rf "$work"' EXIT
dd if=/dev/urandom of="$work/mnt/x" bs=1M count=2 conv=fsync status=none
mkdir -p /etc/udev/rules.d

sed -n 's/^\.Dl # //p' "$manual" >"$work/examples"
points=("page: page")
while IFS= read -r line; do
	command=${line#p2pctl }
	name=example_${#points[@]}_${command%% *}
	case $command in
	bind*) points+=("$name: run 0 unbind $bdf; example '$line'") ;;
	unbind*) points+=("$name: example '$line'; run 0 bind $bdf") ;;
	*) points+=("$name: example '$line'") ;;
	esac
done <"$work/examples"
points+=("python: python" "quota: quota" "completion: completion")
points+=("follows_schema: follows_schema")
plan "${points[@]}"
