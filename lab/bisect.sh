#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# make bisect: every commit of build/linux after base builds and boots, with the options of the series
# on and off. A step that passed before with the same files and configuration is not built again.
set -euo pipefail
# shellcheck source=lab/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=lab/kbuild.sh
. "$top/lab/kbuild.sh"

work=$build/bisect
passed=$work/passed

# write_options on|off: the fragment optional.config for the commit in $src. At a step of the series
# only some of the options may be there yet.
write_options() {
	local option

	mkdir -p "$work/$1.config"
	for option in $(series_options); do
		if [ "$1" = on ]; then
			grep -E "^(# )?${option}[= ]" "$top/lab/config/p2p.config" || echo "$option=y"
		else
			echo "# $option is not set"
		fi
	done >"$work/$1.config/optional.config"
	fragments "${common[@]}" lean bisect
	fragments+=("$work/$1.config/optional.config")
}

# try on|off NUMBER: build and boot the commit in $src.
try() {
	out=$build/steps/$1
	log=$work/$2-$1.log
	configure "${fragments[@]}"
	if [ "$1" = on ] && [ "$2" -eq "${#commits[@]}" ]; then
		# Where the series ends, all of it can be switched on.
		mapfile -t unmet < <(unmet_options "$top/lab/config/p2p.config")
		[ ${#unmet[@]} -eq 0 ] || die "options of the series that cannot be set at its end:" "${unmet[@]}"
	fi
	compile bzImage
	step "booting it"
	"$top/lab/run.py" --kernel "$out/arch/x86/boot/bzImage" --topo switch --cmd true >"$log.boot" 2>&1 ||
		die "does not boot:" "$(tail -n 5 "$log.boot")" "all of it: ${log#"$top"/}.boot"
}

lock steps
mkdir -p "$work"
touch "$passed"
mapfile -t commits < <(git -C "$linux" rev-list --reverse base..HEAD)
[ ${#commits[@]} -gt 0 ] || die "build/linux has no commit after base"
table=()
failed=0
for i in "${!commits[@]}"; do
	worktree "${commits[i]}"
	title=$(git -C "$src" log -1 --format=%s)
	result=()
	for options in on off; do
		step "$((i + 1)) of ${#commits[@]}, options $options: $title"
		write_options "$options"
		key="$options $(build_key "${fragments[@]}")"
		if grep -qxF "$key" "$passed"; then
			result+=("ok, before")
			continue
		fi
		# Not in a condition, which would switch set -e off inside.
		set +e
		(set -e && try "$options" "$((i + 1))")
		status=$?
		set -e
		if [ "$status" -eq 0 ]; then
			result+=(ok)
			echo "$key" >>"$passed"
		else
			result+=(FAILED)
			failed=$((failed + 1))
		fi
	done
	table+=("$(printf '%3d  %-10s  %-10s  %s' "$((i + 1))" "${result[@]}" "$title")")
done

printf '%3s  %-10s  %-10s  %s\n' '' 'on' 'off' 'options of the series'
printf '%s\n' "${table[@]}"
[ "$failed" -eq 0 ] || die "$failed of $((2 * ${#commits[@]})) kernels do not build or boot" "logs: build/bisect/"
ok "all ${#commits[@]} steps build and boot, options on and off"
