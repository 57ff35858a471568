#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# Builds what a guest boots with: PID 1, packed as build/guest/init.cpio.gz, and the
# kernel's own selftests, static, in build/guest/tests. Does only what changed.
#
#   lab/guest/build.sh          PID 1 and the selftests
#   lab/guest/build.sh init     PID 1 only (a shell or a command needs no tests)
#   lab/guest/build.sh proof    PID 1 and the programs that prove the runner
#   lab/guest/build.sh bench    PID 1 and the program of make bench
#   lab/guest/build.sh bench-gup  the same of make bench-gup
#   lab/guest/build.sh latency  PID 1 and the program of make latency
#   lab/guest/build.sh regress  PID 1 and the base kernel's selftests/vm
set -euo pipefail

# shellcheck source=lab/lib.sh
. "$(dirname "$0")/../lib.sh"

verb=guest
src=$top/lab/guest
out=$build/guest
suite=tools/testing/selftests/p2p_gup
cc=${CC:-gcc}

# stale TARGET SOURCE...: is any source newer than the target?
stale() {
	local target=$1 file
	shift
	[ -e "$target" ] || return 0
	for file; do
		[ "$file" -nt "$target" ] && return 0
	done
	return 1
}

# pack ARCHIVE NAME=FILE...: NAME is the path inside the guest
pack() {
	/usr/bin/python3 "$top/lab/runner/cpio.py" "$@"
}

build_init() {
	local sources=("$src"/{init,file,mounts,devices,leak,gcov}.c)
	if stale "$out/init" "${sources[@]}" "$src/init.h"; then
		step "PID 1"
		"$cc" -O2 -Wall -Wextra -static -o "$out/init" "${sources[@]}" ||
			die "PID 1 does not compile, see above"
	fi
	stale "$out/init.cpio.gz" "$out/init" "$top/lab/runner/cpio.py" || return 0
	pack "$out/init.cpio.gz" init="$out/init"
}

# static_program NAME WHAT ARCHIVE: a program of one file and no headers of ours
static_program() {
	if stale "$out/$1" "$src/$1.c"; then
		step "$2"
		"$cc" -O2 -Wall -Wextra -static -o "$out/$1" "$src/$1.c" || die "$1.c does not compile, see above"
	fi
	stale "$out/$3.cpio.gz" "$out/$1" "$top/lab/runner/cpio.py" || return 0
	pack "$out/$3.cpio.gz" "tests/$1=$out/$1"
}

# bench_program NAME SOURCE...: one that counts instructions
bench_program() {
	local name=$1 headers=("$src"/bench*.h "$top/lab/bench/p2p_bench.h" "$linux/mm/gup_test.h")

	shift
	[ -d "$linux" ] || die "build/linux is missing" "make tree unpacks it"
	if stale "$out/$name" "$@" "${headers[@]}"; then
		step "the program that measures, $name"
		"$cc" -O2 -Wall -Wextra -static -pthread -I"$linux/mm" -o "$out/$name" "$@" ||
			die "$name does not compile, see above"
	fi
	stale "$out/$name.cpio.gz" "$out/$name" "$top/lab/runner/cpio.py" || return 0
	pack "$out/$name.cpio.gz" "tests/$name=$out/$name"
}

# From the tree without the series, which lab/pair.sh has in build/steps/linux: both kernels run the
# same programs. What needs a 32-bit libc is left out; mrelease_test forgets to include the numbers of
# the system calls.
build_regress() {
	local key base=$build/steps/linux suite=$build/steps/linux/tools/testing/selftests/vm

	[ -d "$suite" ] || die "build/steps/linux is missing" "make regress lays it out"
	key=$(git -C "$base" rev-parse 'HEAD^{tree}')
	[ "$(cat "$out/regress/.built" 2>/dev/null)" != "$key" ] || return 0
	step "the base kernel's selftests/vm"
	rm -rf "$out/regress"
	mkdir -p "$out/regress"
	{
		make -s -j"$(nproc)" -C "$base" O="$out/regress-headers" headers &&
			make -s -j"$(nproc)" -C "$suite" OUTPUT="$out/regress" CC="$cc" CAN_BUILD_I386=0 \
				EXTRA_CFLAGS='-include sys/syscall.h' KHDR_INCLUDES="-isystem $out/regress-headers/usr/include"
	} >"$out/regress.log" 2>&1 || die "selftests/vm does not build" "$(tail -n 5 "$out/regress.log")"
	echo "$key" >"$out/regress/.built"
}

# The selftests include the series' own uapi headers, not the machine's.
build_headers() {
	local stamp=$out/headers.stamp
	if [ -e "$stamp" ] && [ -z "$(find "$linux/include/uapi" \
		"$linux/arch/x86/include/uapi" -newer "$stamp" -print -quit)" ]; then
		return
	fi
	step "kernel headers"
	make -s -j"$(nproc)" -C "$linux" O="$out/headers" headers >"$out/headers.log" 2>&1 ||
		die "kernel headers: make headers failed, see $out/headers.log"
	touch "$stamp"
}

# Not static: its tests run in the machine's own root, beside it.
build_p2pctl() {
	mkdir -p "$out/p2pctl"
	make -s -C "$linux/tools/p2p" O="$out/p2pctl" CC="$cc" >"$out/p2pctl.log" 2>&1 || {
		cat "$out/p2pctl.log" >&2
		die "tools/p2p does not build, see above"
	}
	cp -pru "$out/p2pctl/p2pctl" "$linux/tools/p2p"/{p2pctl.{8,schema.json,bash-completion},examples} \
		"$out/tests/"
}

build_selftests() {
	local file
	[ -d "$linux" ] || die "build/linux is missing" "make tree unpacks it"
	[ -d "$linux/$suite" ] || die "build/linux has no $suite" "make tree lays the series on it"
	build_headers
	# A program that the suite no longer has must not be there to run.
	! stale "$out/tests.stamp" "$linux/$suite/Makefile" || rm -rf "$out/tests"
	mkdir -p "$out/tests"
	make -s -C "$linux/$suite" OUTPUT="$out/tests" CC="$cc" LDFLAGS=-static \
		KHDR_INCLUDES="-isystem $out/headers/usr/include" \
		>"$out/tests.log" 2>&1 || {
		cat "$out/tests.log" >&2
		die "$suite does not build, see above"
	}
	build_p2pctl
	touch "$out/tests.stamp"
	# Scripts run in the machine's own root, from the same directory.
	for file in "$linux/$suite"/*.sh; do
		[ -e "$file" ] && cp -pu "$file" "$out/tests/"
	done
}

lock guest
mkdir -p "$out"
case ${1:-all} in
init)
	build_init
	;;
proof)
	build_init
	static_program misbehave "programs that prove the runner" proof
	;;
bench-gup)
	build_init
	bench_program bench_gup "$src"/bench{_gup,}.c
	;;
bench)
	build_init
	bench_program bench_p2p "$src"/bench{_p2p,_map,_uring,}.c
	;;
latency)
	build_init
	static_program latency "the program that times interrupts" latency
	;;
regress)
	build_init
	build_regress
	;;
all)
	build_init
	build_selftests
	;;
*)
	die "$1: expected init, proof, bench, bench-gup, latency, regress or nothing"
	;;
esac
