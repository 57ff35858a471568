#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# fio writes with O_DIRECT from all kinds of memory and verifies what it reads back, as TAP.
#
#   fio.sh raw|ext4|xfs     the drive of that name, and the file system on it

n=0
bad=0
out=/tmp/fio.out
where=/tmp/fio.$1
case $1 in
raw) target=$P2P_DISK_RAW ;;
ext4) drive=$P2P_DISK_EXT4 target=$where/file ;;
xfs) drive=$P2P_DISK_XFS target=$where/file ;;
*) exit 2 ;;
esac
if [ "$1" != raw ]; then
	mkdir -p "$where"
	mount -t "$1" "$drive" "$where" || exit 1
fi

# verified NAME OPTION...
verified() {
	name=$1
	shift
	n=$((n + 1))
	if fio --name=regress --filename="$target" --size=8m --rw=randwrite --direct=1 \
		--verify=crc32c --verify_fatal=1 --do_verify=1 --thread --fallocate=none "$@" >$out 2>&1; then
		echo "ok $n $name"
	else
		sed 's/^/# /' $out
		echo "not ok $n $name"
		bad=1
	fi
}

echo 'TAP version 13'
for engine in psync libaio io_uring; do
	for memory in malloc mmapshared mmaphuge:/tmp/huge/fio shm shmhuge; do
		verified "$1 $engine ${memory%%:*}" --ioengine=$engine --iodepth=8 --bsrange=4k-1m \
			--blockalign=4k --iomem="$memory"
		rm -f /tmp/huge/fio
	done
done
verified "$1 registered buffers" --ioengine=io_uring --fixedbufs=1 --iodepth=8 --bs=64k
verified "$1 vectors" --ioengine=pvsync2 --bs=64k
verified "$1 unaligned memory" --ioengine=libaio --iodepth=8 --bs=64k --iomem_align=512
if [ "$1" != raw ]; then
	umount "$where" || bad=1
fi
echo "1..$n"
exit $bad
