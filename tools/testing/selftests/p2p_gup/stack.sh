# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034
# Common code of scripts that create block devices; sourced by them.

export MDADM_NO_UDEV=1
sectors=$((24 << 11))		# of a drive used by mapped devices, 24 MiB
crypt="crypt aes-xts-plain64 $(printf '%0128d' 7) 0"
dm=/dev/mapper/p2p
md=/dev/md/p2p
loop=
problems=0

complain() {
	echo "# $*"
	problems=$((problems + 1))
}

must() {
	"$@" >"$log" 2>&1 && return
	complain "failed: $*"
	sed 's/^/#   /' "$log"
}

skip() {
	echo "1..0 # SKIP $*"
	exit 4
}

need() {
	local program

	for program; do
		command -v "$program" >/dev/null || skip "$program is not installed"
	done
	[ "${P2P_PROVIDERS:-}" ] || skip "P2P_PROVIDERS is not set"
}

# need_disks NAME...: each becomes a variable, in lower case.
need_disks() {
	local name disk

	for name; do
		disk=P2P_DISK_$name
		[ "${!disk:-}" ] || skip "$disk is not set"
		declare -g "${name,,}=${!disk}"
	done
}

# A device whose driver lacks the capability: a loop device on a file in RAM.
make_loop() {
	truncate -s 64M "$work/loop"
	loop=$(losetup --find --show "$work/loop")
}

part() {
	case $1 in
	*[0-9]) echo "${1}p1" ;;
	*) echo "${1}1" ;;
	esac
}

works() {
	[ -b "$1" ] || complain "no block device $1"
	./block_io "$1" works || complain "$1: should work"
}

# Vectors of RAM and of peer-to-peer memory, on a device that supports it.
mixes() {
	./block_io "$1" mixed || complain "$1: vectors should work"
}

refused() {
	[ -b "$1" ] || complain "no block device $1"
	./block_io "$1" refused || complain "$1: should be refused"
}

# Some drives below the device may have completed their parts.
unreached() {
	./block_io "$1" write
	[ $? = 121 ] || complain "$1: should fail with EREMOTEIO"
}

# dm TABLE: makes $dm; dm_named NAME TABLE: makes /dev/mapper/NAME.
dm() {
	dm_named p2p "$*"
}

dm_named() {
	must dmsetup create "$1" --table "$2"
	nodes
}

# dm_disk NAME: the kernel's name of /dev/mapper/NAME.
dm_disk() {
	dmsetup info --columns --noheadings -o blkdevname "$1"
}

# dm_linear_and_crypt DRIVE DRIVE: makes $dm, of which only the second half touches the data.
dm_linear_and_crypt() {
	must dmsetup create p2p <<-END
		0 $sectors linear $1 0
		$sectors $sectors $crypt $2 0
	END
	nodes
}

# There is no udev to create and remove device nodes.
nodes() {
	must dmsetup mknodes
}

# Legs start with the same data, so there is nothing to synchronize.
md() {
	local device

	for device; do
		[ ! -b "$device" ] || must dd if=/dev/zero of="$device" bs=1M \
			count=20 oflag=direct
	done
	must mdadm --create "$md" --run --force --metadata=1.2 \
		--homehost=any --data-offset=1M --assume-clean "$@"
}

md_dir() {
	echo "/sys/block/$(basename "$(readlink -f "$md")")/md"
}

end_md() {
	[ ! -e "$md" ] || must mdadm --stop "$md"
}

# The data of two legs of a mirror is the same, past the superblocks.
same_legs() {
	blockdev --flushbufs "$1" "$2"
	cmp --ignore-initial=1M --bytes=4M "$1" "$2" >"$log" 2>&1 ||
		complain "legs differ: $(<"$log")"
}

clean_up() {
	local device

	end_md
	for device in p2p-outer p2p; do
		! dmsetup info "$device" >"$log" 2>&1 ||
			must dmsetup remove --retry "$device"
	done
	nodes
}

# plan CASE...: a case is a name, a colon, and a command.
plan() {
	local case nr=0 failed=0 verdict

	echo "TAP version 13"
	echo "1..$#"
	for case; do
		nr=$((nr + 1))
		problems=0
		eval "${case#*:}"
		clean_up
		verdict=ok
		if [ $problems != 0 ]; then
			verdict="not ok"
			failed=1
		fi
		echo "$verdict $nr ${case%%:*}"
	done
	exit $failed
}

work=$(mktemp -d)
log=$work/log
trap 'if [ "$loop" ]; then losetup -d "$loop"; fi; rm -rf "$work"' EXIT
