#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# p2pctl route on stacked block devices, and on files: it agrees with the
# kernel. And p2pctl copy, where only the kernel knows.
#
# Takes P2P_PROVIDERS and P2P_DISK_... from the environment, see p2pmem.h and stacking.sh. Drives
# A, B and C are overwritten, those with file systems get a file.
# shellcheck disable=SC2154,SC2317 # need_disks makes variables, plan calls functions
set -uo pipefail

# shellcheck source=tools/testing/selftests/p2p_gup/stack.sh
. ./stack.sh
# shellcheck source=tools/testing/selftests/p2p_gup/p2pctl_common.sh
. ./p2pctl_common.sh

# yes DEVICE, no DEVICE [WHY]: checks the answer, and the kernel's behaviour
yes() {
	run 0 route --probe "$p" "$1"
	says "yes, across the switch"
	says "Tried:  .* bytes went across the switch"
	! grep -q 'differs from the answer' "$out" || complain "the kernel disagrees: $(<"$out")"
}

no() {
	run 1 route --probe "$p" "$1"
	says "-> $p: no"
	says "Why:"
	says "Tried:"
	[ $# = 1 ] || tr -s '\n ' ' ' <"$out" | grep -e "$2" >/dev/null ||
		complain "it does not say \"$2\", but: $(<"$out")"
	! grep -q 'differs from the answer' "$out" || complain "the kernel disagrees: $(<"$out")"
}

dm_linear() {
	dm 0 "$sectors" linear "$1" 0
}

raid() {
	local level=$1 size=()

	shift
	[[ $level != raid[15] ]] || size=(--size=16M)
	md "$@" --level="$level" "${size[@]}" --raid-devices=$#
}

mapped() {
	dm_linear "$a"
	yes "$dm"
	says "mapped device p2p (dm-"
	says "    *drive ${a##*/} at "
	dm_named p2p-outer "0 8192 linear $dm 0"
	yes /dev/mapper/p2p-outer
	must dmsetup remove p2p-outer
}

crypt() {
	# shellcheck disable=SC2086 # it has several words
	dm 0 "$sectors" $crypt "$a" 0
	no "$dm" 'its target "crypt" touches the data'
}

table_of_two() {
	dm_linear_and_crypt "$a" "$b"
	no "$dm" crypt
}

far_leg() {
	raid raid1 "$a" "$far"
	no "$md" "the kernel does not know whether it forwards"
	says "Remedy:"
}

multipath() {
	yes "$multi"
	is paths "$(grep -c '^ *path nvme[0-9]*c[0-9]*n[0-9]* at 0000:' "$out")" 2
}

protection() {
	local disk=/sys/block/${pi##*/}

	no "$pi" "protection information"
	echo 0 >"$disk/integrity/write_generate"
	echo 0 >"$disk/integrity/read_verify"
	no "$pi" "queue/stable_writes"
	echo 0 >"$disk/queue/stable_writes"
	yes "$pi"
	echo 1 >"$disk/integrity/write_generate"
	echo 1 >"$disk/integrity/read_verify"
	echo 1 >"$disk/queue/stable_writes"
}

partition() {
	must addpart "$a" 1 2048 65536
	yes "$(part "$a")"
	says "partition"
	must delpart "$a" 1
}

# file DEVICE: mounts it, and creates a file
file() {
	mkdir -p "$work/mnt"
	must mount "$1" "$work/mnt"
	dd if=/dev/urandom of="$work/mnt/x" bs=64k count=2 conv=fsync status=none
}

end_file() {
	rm -f "$work/mnt/x"
	must umount "$work/mnt"
}

# file_on yes|no DEVICE [WHY]: the answer for a file is that for the device below it.
file_on() {
	must mkfs.ext4 -q -F "$2"
	file "$2"
	"$1" "$work/mnt/x" "${@:3}"
	says "^  file system ext4 on $work/mnt"
	end_file
}

ext4_on_array() {
	raid raid1 "$a" "$b"
	must mkfs.ext4 -q -F "$md"
	file "$md"
	yes "$work/mnt/x"
	says "^  file system ext4 on $work/mnt"
	says "^    raid1 array md"
	says "^      drive ${b##*/} at "
	mkdir "$work"/{upper,merged}
	must mount -t tmpfs none "$work/upper"
	mkdir "$work"/upper/{u,w}
	must mount -t overlay -o "lowerdir=$work/mnt,upperdir=$work/upper/u,workdir=$work/upper/w" \
		none "$work/merged"
	yes "$work/merged/x"
	says "file system overlay"
	echo >"$work/merged/y"
	run 1 route "$p" "$work/merged/y"
	says "RAM"
	must umount "$work/merged"
	must umount "$work/upper"
	end_file
}

btrfs_file() {
	file "$btrfs"
	no "$work/mnt/x" "btrfs"
	end_file
}

ext2_file() {
	file "$ext2"
	no "$work/mnt/x" "direct I/O"
	end_file
}

# A file of a directory with an encryption policy; the others of this file system can be used.
fscrypt_file() {
	file "$fscrypt"
	yes "$work/mnt/x"
	mkdir "$work/mnt/secret"
	must /usr/bin/python3 - "$work/mnt/secret" <<'END'
import fcntl, os, struct, sys

ADD_KEY, SET_POLICY, IDENTIFIER = 0xc0506617, 0x800c6613, 2
AES_256_XTS, AES_256_CTS, PAD_32 = 1, 4, 3
directory = os.open(sys.argv[1], os.O_RDONLY)
key = bytearray(struct.pack("=II32xII32x", IDENTIFIER, 0, 64, 0) + bytes(range(64)))
fcntl.ioctl(directory, ADD_KEY, key)
fcntl.ioctl(directory, SET_POLICY,
            struct.pack("=BBBB4x16s", 2, AES_256_XTS, AES_256_CTS, PAD_32, bytes(key[8:24])))
END
	dd if=/dev/urandom of="$work/mnt/secret/x" bs=64k count=2 conv=fsync status=none
	no "$work/mnt/secret/x" "fscrypt"
	rm -r "$work/mnt/secret"
	end_file
}

# A mapping with an outdated view of a drive's capability: only the kernel
# knows.
stale_mapping() {
	local queue=/sys/block/${a##*/}/queue

	echo 1 >"$queue/stable_writes"
	dm_linear "$a"
	no "$dm" "stable_writes"
	echo 0 >"$queue/stable_writes"
	echo 0 >"/sys/dev/block/$(stat -c %Hr:%Lr "$dm")/queue/stable_writes"
	run 1 route --probe "$p" "$dm"
	says "yes, across the switch"
	says "differs from the answer"
	run 1 copy --via "$p" --size 1M "$dm" "$b"
	says "can't write to peer-to-peer memory"
	dd if=/dev/urandom of="$a" bs=1M count=3 oflag=direct status=none
	run 0 copy --via "$p" --size 3000000 --block-size 64K --allow-ram --verify "$dm" "$b"
	says "was refused: continuing through RAM"
	says "^Peer to peer: 0.0 of 5.7 MiB read and written"
	says "^Through RAM: 5.7 MiB"
	rm -f /var/lib/p2pctl/"${b##*/}"
}

needs_p2pctl
need mkfs.ext4 mdadm dmsetup losetup addpart
need_disks A B C FAR MULTI PI BTRFS EXT2 FSCRYPT
p=${providers[0]}
make_loop
plan \
	"drive: yes $a; no $far" \
	"partition: partition" \
	"loop: no $loop 'not a PCI device'" \
	"mapped: mapped" \
	"striped: dm 0 $((2 * sectors)) striped 2 128 $a 0 $b 0; yes \$dm" \
	"far_stripe: dm 0 $((2 * sectors)) striped 2 64 $a 0 $far 0; no \$dm" \
	"mapped_loop: dm_linear $loop; no \$dm" \
	"crypt: crypt" \
	"table_of_two: table_of_two" \
	"md_linear: raid linear $a $b; yes \$md" \
	"raid0: raid raid0 $a $b; yes \$md" \
	"raid10: raid raid10 $a $b; yes \$md" \
	"raid5: raid raid5 $a $b $c; no \$md parity" \
	"raid1_with_loop: raid raid1 $a $loop; no \$md" \
	"far_leg: far_leg" \
	"array_on_mapped: dm_linear $a; raid raid1 \$dm $b; yes \$md" \
	"multipath: multipath" \
	"protection: protection" \
	"file_on_drive: file_on yes $a" \
	"file_on_far_drive: file_on no $far" \
	"file_on_loop: file_on no $loop 'not a PCI device'" \
	"file_on_mapped: dm_linear $a; file_on yes \$dm" \
	"file_on_striped: dm 0 $((2 * sectors)) striped 2 128 $a 0 $b 0; file_on yes \$dm" \
	"file_on_crypt: dm 0 $sectors $crypt $a 0; file_on no \$dm 'touches the data'" \
	"file_on_md_linear: raid linear $a $b; file_on yes \$md" \
	"file_on_raid0: raid raid0 $a $b; file_on yes \$md" \
	"file_on_raid1: raid raid1 $a $b; file_on yes \$md" \
	"file_on_raid10: raid raid10 $a $b; file_on yes \$md" \
	"file_on_raid5: raid raid5 $a $b $c; file_on no \$md parity" \
	"file_on_raid1_with_loop: raid raid1 $a $loop; file_on no \$md" \
	"file_on_array_on_mapped: dm_linear $a; raid raid1 \$dm $b; file_on yes \$md" \
	"file_on_multipath: file_on yes $multi" \
	"file_on_protection: file_on no $pi 'protection information'" \
	"ext4_on_array: ext4_on_array" \
	"btrfs_file: btrfs_file" \
	"ext2_file: ext2_file" \
	"fscrypt_file: fscrypt_file" \
	"stale_mapping: stale_mapping"
