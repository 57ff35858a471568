#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# For make bench-gup and make regress: two kernels that differ in nothing but the series,
# build/bzImage-regress-base from the commit "base" and build/bzImage-regress from build/linux as it
# is. With the argument "selftests" also the base kernel's selftests/vm.
set -euo pipefail
# shellcheck source=lab/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=lab/kbuild.sh
. "$top/lab/kbuild.sh"

verb=pair

# build_one NAME FRAGMENT...: the kernel in $src as build/bzImage-NAME.
build_one() {
	local image=$build/bzImage-$1 key

	# Beside its source, so that ccache sees the paths that other kernels have.
	out=$(dirname "$src")/$1
	log=$build/$1.log
	shift
	fragments "$@"
	key=$(build_key "${fragments[@]}")
	if is_built "$image" "$key"; then
		step "${image#"$top"/} is up to date"
	else
		build_image "$image" "$key"
	fi
}

# config_difference: options other than the series' own that differ.
config_difference() {
	diff "$build/steps/regress-base/.config" "$build/regress/.config" | sed -n 's/^[<>] //p' |
		grep -E '^(# )?CONFIG_' | grep -vwFf <(series_options) || :
}

lock steps
worktree base
build_one regress-base base devices lean regress
[ "${1-}" != selftests ] || "$top/lab/guest/build.sh" regress
src=$linux
build_one regress base devices p2p lean regress
mapfile -t others < <(config_difference)
[ ${#others[@]} -eq 0 ] || die "the two kernels differ in options that are not the series':" "${others[@]}" \
	"the figures would not be about the series: see lab/config/regress.config"
ok "build/bzImage-regress-base and build/bzImage-regress"
