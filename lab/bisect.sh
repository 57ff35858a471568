#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# make bisect [FROM=N] [TO=N]: every commit of build/linux after base builds and boots, with the options
# of the series on and off; with FROM and TO only these steps, counted from 1. Where a series ends, the
# selftests build, too.
#
# The two kernels of each step are built side by side, each in directories of its own. One kernel is made
# of one step after the other, so that kbuild compiles again what a step changes, and decides what that
# is. The images are reproducible: one that is, byte for byte, the image of a kernel that booted, is not
# booted again. A step whose files and configuration were those of a kernel that booted is not built
# again, either. The table says in both cases which kernel that was.
set -euo pipefail
# shellcheck source=lab/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=lab/kbuild.sh
. "$top/lab/kbuild.sh"

work=$build/bisect
# Lines of a checksum, of an image or of all that it is made of, and the name of a kernel that booted.
passed=$work/passed
# Neither the time nor how often a kernel was linked is in its image.
export KBUILD_BUILD_TIMESTAMP='1 January 2023' KBUILD_BUILD_VERSION=1

# booted CHECKSUM: the name of the kernel with that checksum that booted last, if any.
booted() { sed -n "s/^$1 //p" "$passed" | tail -n 1; }

# write_options on|off: the fragment optional.config for the commit in $src. At a step of the series
# only some of the options may be there yet.
write_options() {
	local option

	mkdir -p "$work/$1/config"
	for option in $(series_options); do
		if [ "$1" = on ]; then
			grep -E "^(# )?${option}[= ]" "$top/lab/config/p2p.config" || echo "$option=y"
		else
			echo "# $option is not set"
		fi
	done >"$work/$1/config/optional.config"
	fragments bisect trim
	fragments+=("$work/$1/config/optional.config")
}

# try on|off NUMBER: build the commit in $src, and boot its kernel unless that did boot. Leaves in
# $work/result what the table says.
try() {
	local image=$work/kernel-$1 same sum

	log=$work/$2-$1.log
	configure "${fragments[@]}"
	if [ "$1" = on ] && [ "$2" -eq "$count" ]; then
		# Where the series ends, all of it can be switched on.
		mapfile -t unmet < <(unmet_options "$top/lab/config/p2p.config")
		[ ${#unmet[@]} -eq 0 ] || die "options of the series that cannot be set at its end:" "${unmet[@]}"
	fi
	compile bzImage
	cp "$out/arch/x86/boot/bzImage" "$image"
	sum=$(sha256sum <"$image" | cut -d ' ' -f 1)
	same=$(booted "$sum")
	if [ -z "$same" ]; then
		step "booting it"
		"$top/lab/run.py" --kernel "$image" --topo cmb --boot >"$log.boot" 2>&1 ||
			die "does not boot:" "$(tail -n 5 "$log.boot")" "all of it: ${log#"$top"/}.boot"
		echo "$sum $2 $1" >>"$passed"
	fi
	echo "${same:+as }${same:-ok}" >"$work/$1/result"
}

# build_selftests NUMBER: those of the commit in $src, if it has any.
build_selftests() {
	local suite=$src/tools/testing/selftests/p2p_gup programs=$work/selftests
	local log=$work/$1-selftests.log

	[ -d "$suite" ] || return 0
	step "its selftests"
	rm -rf "$programs"
	mkdir -p "$programs"
	{
		make_kernel headers &&
			make -s -C "$suite" OUTPUT="$programs" LDFLAGS=-static \
				KHDR_INCLUDES="-isystem $out/usr/include"
	} >"$log" 2>&1 || die "its selftests do not build:" "$(tail -n 5 "$log")" "all of it: ${log#"$top"/}"
}

# chain on|off: all steps. Writes a line for each: its number and what the table says.
chain() {
	local commit i key result status

	verb="bisect $1"
	out=$work/$1/kernel
	mkdir -p "$work/$1"
	for ((i = from; i <= to; i++)); do
		commit=${commits[i - 1]}
		if [ "$1" = on ] && ! git -C "$linux" cat-file -e "$commit:Kconfig.p2p" 2>/dev/null; then
			# The series has no options yet: there is one kernel, the other one.
			echo "$i -" >>"$work/results-$1"
			continue
		fi
		worktree "$commit" "$work/$1/linux"
		write_options "$1"
		step "$i of $count: $(git -C "$src" log -1 --format=%s)"
		key=$(build_key "${fragments[@]}")
		result=$(booted "$key")
		if [ "$result" ]; then
			result="as $result"
		else
			# Not in a condition, which would switch set -e off inside.
			set +e
			(set -e && try "$1" "$i")
			status=$?
			set -e
			result=FAILED
			[ "$status" -ne 0 ] || result=$(<"$work/$1/result")
			case $result in
			ok) echo "$key $i $1" >>"$passed" ;;
			"as "*) echo "$key ${result#as }" >>"$passed" ;;
			esac
		fi
		if [ "$1" = on ] && [[ " ${ends[*]} " = *" $commit "* ]]; then
			set +e
			(set -e && build_selftests "$i")
			status=$?
			set -e
			[ "$status" -eq 0 ] || result=FAILED
		fi
		step "$i of $count: $result"
		echo "$i $result" >>"$work/results-$1"
	done
}

# said on|off NUMBER: what the table says of a step.
said() { sed -n "s/^$2 //p" "$work/results-$1"; }

lock steps
mkdir -p "$work"
mapfile -t commits < <(git -C "$linux" rev-list --reverse base..HEAD)
mapfile -t ends < <(git -C "$linux" for-each-ref --format='%(objectname)' refs/heads/series)
count=${#commits[@]}
[ "$count" -gt 0 ] || die "build/linux has no commit after base"
from=${FROM:-1}
to=${TO:-$count}
if ! [[ $from =~ ^[0-9]+$ && $to =~ ^[0-9]+$ && $from -ge 1 && $to -le $count && $from -le $to ]]; then
	die "FROM=$from TO=$to: the steps are 1 to $count"
fi
# The numbers of an earlier run say nothing any more.
touch "$passed"
sed -i 's/ .*/ before/' "$passed"
chains=()
for options in on off; do : >"$work/results-$options"; done
# No terminal, on which each would write over the other's progress. Groups of processes of their own, which
# end with this one.
set -m
for options in on off; do
	chain "$options" > >(exec cat) &
	chains+=("-$!")
done
set +m
trap 'kill -- "${chains[@]}" 2>/dev/null || :' EXIT
trap exit INT TERM
# What a chain could not do is missing in its results.
wait
trap - EXIT INT TERM

failed=0
printf '%3s  %-12s %-12s %s\n' '' 'on' 'off' 'options of the series'
for ((i = from; i <= to; i++)); do
	for options in on off; do
		result=$(said $options "$i")
		[[ $result != FAILED && $result ]] || failed=$((failed + 1))
	done
	printf '%3d  %-12s %-12s %s\n' "$i" "$(said on "$i")" "$(said off "$i")" \
		"$(git -C "$linux" log -1 --format=%s "${commits[i - 1]}")"
done
echo "ok: built and booted; as N: the kernel of step N, which booted; as before: one of an earlier run; -: no options yet"
[ "$failed" -eq 0 ] || die "$failed of $((2 * (to - from + 1))) kernels do not build or boot" "logs: build/bisect/"
ok "steps $from to $to of $count build and boot, options on and off"
