#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# For make bench: fio, 32 requests at a time through io_uring, with its buffers in ordinary memory and
# in the device's memory, as TAP and figures as lab/guest/bench.h has them.
#
# "system" is the system time of a request, "cpu" what fio itself needs as well. The drive answers in
# real time while the clock of this machine counts instructions, so that fio's own IOPS say nothing:
# "iops" is how many requests such a CPU can do in a second when it never waits.

pci=/sys/bus/pci
p2p=$(dirname "$(grep -l 'PCI_ID=1AF4:1110' $pci/devices/*/uevent)")
n=0
bad=0

echo p2pmem-bar >"$p2p/driver_override"
echo "${p2p##*/}" >$pci/drivers_probe

# run KIND MEMORY BLOCK OPERATION
run() {
	name=fio-$4-$1-$3
	n=$((n + 1))
	case $3 in
	4k) size=80m ;;		# 20480 requests
	64k) size=512m ;;	# 8192
	1m) size=1g ;;		# 1024
	esac
	# The drive is smaller: io_size is how much in all.
	if out=$(fio --minimal --name="$name" --filename="$P2P_DISK_NULL" --rw="$4" --bs="$3" --direct=1 \
		--size=128m --io_size="$size" --ioengine=io_uring --iodepth=32 --thread --iomem="$2" \
		--norandommap --invalidate=0 --scramble_buffers=0 2>&1); then
		echo "ok $n $name"
		echo "$out" | awk -F ';' -v name="$name" -v block="$3" '
			BEGIN { kib = block + 0; if (block ~ /m/) kib *= 1024 }
			$1 == 3 {
				requests = ($6 + $47) / kib
				elapsed = ($9 + $50) * 1e6
				user = $88 / 100 * elapsed / requests
				system_ = $89 / 100 * elapsed / requests
				printf "# figure %s-system request %.0f\n", name, system_
				printf "# figure %s-cpu request %.0f\n", name, user + system_
				printf "# figure %s-iops CPU-second %.0f\n", name, 1e9 / (user + system_)
			}'
	else
		echo "$out" | sed 's/^/# /'
		echo "not ok $n $name"
		bad=1
	fi
}

for operation in read write; do
	for block in 4k 64k 1m; do
		run base malloc $block $operation
		run hugetlb shmhuge $block $operation
		[ ! -e "$p2p/p2pmem/allocate" ] || run p2p "mmapshared:$p2p/p2pmem/allocate" $block $operation
	done
done
echo "1..$n"
exit $bad
