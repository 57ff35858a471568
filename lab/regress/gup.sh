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

fast='u:gup_fast a:pin_fast'
slow='U:gup b:pin L:pin_longterm'

# each COMMANDS NAME ARGUMENT...: a page a call and 512.
each() {
	commands=$1
	kind=$2
	shift 2
	for command in $commands; do
		for pages in 1 512; do
			mode "${command#*:} $kind $pages" "-${command%%:*}" -n $pages -m 16 "$@"
		done
	done
	mode "dump $kind" -c -F 1 -m 16 "$@" 0 19 0x1000
	mode "dump pinned $kind" -c -p -F 1 -m 16 "$@" 0 19 0x1000
}

echo 'TAP version 13'
dd if=/dev/zero of=$file bs=1M count=16 2>/dev/null
each "$fast $slow" base -T
each "$fast $slow" thp -t
each "$fast $slow" hugetlb -H
each "$fast $slow" 'hugetlb shared' -H -S
each "$fast $slow" 'shared anonymous' -S
# The program asks for FOLL_TOUCH then, which the fast calls don't know.
each "$slow" untouched -z
each "$slow" 'untouched thp' -z -t
each "$fast $slow" 'file private' -f $file
each "$fast $slow" 'file shared' -f $file -S
each "$fast $slow" 'read only' -w -W
each "$fast $slow" threads -j 4
rm -f $file $out
echo "1..$n"
exit $bad
