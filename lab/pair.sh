#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# For make bench-gup and make regress: two kernels that differ in nothing but the series,
# build/bzImage-base from the commit "base" and build/bzImage from build/linux as it is. With the
# argument "selftests" also the base kernel's selftests/vm.
set -euo pipefail
# shellcheck source=lab/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=lab/kbuild.sh
. "$top/lab/kbuild.sh"

verb=pair

# config_difference: options other than the series' own that differ.
config_difference() {
	diff "$out/.config" "$build/lean/.config" | sed -n 's/^[<>] //p' |
		grep -E '^(# )?CONFIG_' | grep -vwFf <(src=$linux series_options) || :
}

lock steps
worktree base
image=$build/bzImage-base
# Beside its source, so that ccache sees the paths that other kernels have.
out=$(dirname "$src")/base
log=$build/base.log
fragments "${common[@]}" lean
key=$(build_key "${fragments[@]}")
if is_built "$image" "$key"; then
	step "${image#"$top"/} is up to date"
else
	build_image "$image" "$key"
fi
[ "${1-}" != selftests ] || "$top/lab/guest/build.sh" regress
KERNEL=lean "$top/lab/kernel.sh"
mapfile -t others < <(config_difference)
[ ${#others[@]} -eq 0 ] || die "the two kernels differ in options that are not the series':" "${others[@]}" \
	"the figures would not be about the series: see lab/config/lean.config"
ok "build/bzImage-base and build/bzImage"
