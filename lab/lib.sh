#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2034 # for those who source this
#
# Paths, messages and settings that the verbs share. Sourced, not run.

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
build=$top/build
linux=$build/linux
identity=$(<"$top/lab/identity")
verb=$(basename "$0" .sh)

# One language and one sort order, whoever runs us.
export LC_ALL=C.UTF-8

# Nor must our results depend on anyone's git settings, the git hook or the make that runs us.
if command -v git >/dev/null; then
	# shellcheck disable=SC2046 # a list of names
	unset $(git rev-parse --local-env-vars)
fi
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_NOSYSTEM=1
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*'
unset MAKEFLAGS MFLAGS MAKEOVERRIDES MAKELEVEL

step() { printf '%s: %s\n' "$verb" "$*"; }
ok() { printf '%s: ok: %s\n' "$verb" "$*"; }

# die REASON [LINE...]: the reason, then what helps.
die() {
	printf '%s: error: %s\n' "$verb" "$1" >&2
	shift
	[ $# -eq 0 ] || printf '    %s\n' "${@//$'\n'/$'\n    '}" >&2
	exit 1
}

# progress WHAT EVERY: count the lines of stdin. A terminal sees the count move, a log gets a line
# each EVERY.
progress() {
	awk -v what="$verb: $1" -v every="$2" -v tty="$([ -t 1 ] && echo 1)" '
		tty && NR % 500 == 0 { printf "\r%s: %d", what, NR; fflush() }
		!tty && NR % every == 0 { print what ": " NR; fflush() }
		END { print (tty ? "\r" : "") what ": " NR }'
}

# A directory that goes away with the script.
scratch() {
	scratch=$(mktemp -d "${TMPDIR:-/tmp}/p2p-$verb.XXXXXX")
	trap 'rm -rf "$scratch"' EXIT
}

# lock WHAT: only one verb at a time may change it. The lock ends with the script.
lock() {
	mkdir -p "$build"
	exec {lock_fd}>"$build/.lock-$1"
	flock -n "$lock_fd" && return
	step "waiting for another make in this repository ($1)"
	flock "$lock_fd"
}
