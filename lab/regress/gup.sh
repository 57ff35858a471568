#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# The kernel's gup_test in all its modes on all kinds of memory, as TAP. The program exits with 0
# also when the kernel gave it fewer pages than it asked for, so what it prints counts, too.

n=0
bad=0
out=/tmp/gup_test.out
file=/tmp/gup_test.data

# mode NAME ARGUMENT...
mode() {
	name=$1
	shift
	n=$((n + 1))
	if ./gup_test "$@" >$out 2>&1 && ! grep -qi truncated $out; then
		echo "ok $n $name"
	else
		sed 's/^/# /' $out
		echo "not ok $n $name"
		bad=1
	fi
}

# all NAME ARGUMENT...: every command, a page a call and 512.
all() {
	kind=$1
	shift
	for command in u:gup_fast a:pin_fast U:gup b:pin L:pin_longterm; do
		for pages in 1 512; do
			mode "${command#*:} $kind $pages" "-${command%%:*}" -n $pages -m 16 "$@"
		done
	done
	mode "dump $kind" -c -F 1 -m 16 "$@" 0 19 0x1000
	mode "dump pinned $kind" -c -p -F 1 -m 16 "$@" 0 19 0x1000
}

echo 'TAP version 13'
dd if=/dev/zero of=$file bs=1M count=16 2>/dev/null
all base -T
all thp -t
all hugetlb -H
all 'hugetlb shared' -H -S
all 'shared anonymous' -S
all untouched -z
all 'untouched thp' -z -t
all 'file private' -f $file
all 'file shared' -f $file -S
all 'read only' -w -W
all threads -j 4
rm -f $file $out
echo "1..$n"
exit $bad
