#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# make docs: build/docs, the kernel's htmldocs of the documents that the series adds or changes. Fails if
# the series brings in a warning of Sphinx, kernel-doc or dot, has a public function that is on no page, or
# explains a line of the log that the kernel does not print.
#
# Sphinx reads only these documents and the pages above them. The same is built of the base, whose
# warnings don't count.
set -euo pipefail
# shellcheck source=lab/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=lab/kbuild.sh
. "$top/lab/kbuild.sh"

work=$build/docs.work

# pages: the documents of the series, relative to Documentation/, and the index of each directory above.
# A text that is no page itself is part of one.
pages() {
	local path

	git -C "$linux" diff --name-only --diff-filter=d base HEAD -- Documentation | sed 's|^Documentation/||' |
		while read -r path; do
			case $path in
			*.rst) echo "$path" ;;
			admin-guide/kernel-parameters.txt) path=${path%.txt}.rst && echo "$path" ;;
			ABI/*) path=admin-guide/abi-${path#ABI/} path=${path%/*}.rst && echo "$path" ;;
			*.dot | *.svg) ;;
			*) die "no page is known to contain Documentation/$path" "say in lab/docs.sh which one does" ;;
			esac
			while [[ $path == */* ]]; do
				path=${path%/*}
				[ ! -f "$linux/Documentation/$path/index.rst" ] || echo "$path/index.rst"
			done
		done | sort -u
	echo index.rst
}

# htmldocs SOURCE DIRECTORY: leaves the log of make in $log.
htmldocs() {
	local include

	include=$(pages | paste -s -d ,)
	mkdir -p "$work/out"
	# Each page shows what it says now, whatever was built before.
	rm -rf "$2"
	make --no-print-directory -C "$1" O="$work/out" BUILDDIR="$2" \
		SPHINXOPTS="-q -D include_patterns=$include" htmldocs >"$log" 2>&1 ||
		die "htmldocs failed:" "$(tail -n 12 "$log")" "all of it: ${log#"$top"/}"
}

# warnings SOURCE: those in $log, without line numbers, so that one remains the same when it moves. A page
# that exists is in no toctree only because it was left out here.
warnings() {
	local line page

	grep -E '(WARNING|ERROR|SEVERE|CRITICAL|[Ww]arning|[Ee]rror)\b' "$log" |
		sed -E -e "s#($1|\\.\\./linux)/##g" -e 's/:[0-9]+: /: /' -e "s#$work/[a-z]*/##g" |
		while read -r line; do
			page=$(sed -n "s/.*toctree contains reference to nonexisting document '\([^']*\)'.*/\1/p" <<<"$line")
			[ "$page" ] && [ -e "$1/Documentation/$page.rst" ] || printf '%s\n' "$line"
		done | sort -u || :
}

# undocumented: functions that new files export, headers of include/ declare, and no page shows.
undocumented() {
	local file name

	cd "$linux"
	git diff --name-only --diff-filter=A base HEAD -- '*.c' | while read -r file; do
		sed -n 's/^EXPORT_SYMBOL\(_GPL\)\?(\([a-z0-9_]*\));.*/\2/p' "$file" | while read -r name; do
			! grep -qrE "\\b$name\\(" include/linux || grep -qr "id=\"c\.$name\"" "$build/docs" --include='*.html' ||
				echo "$file exports $name, which is on no page"
		done
	done
}

# unheard_of: lines of the log among the symptoms that the kernel does not print.
unheard_of() {
	local -a sources

	cd "$linux"
	mapfile -t sources < <(git diff --name-only --diff-filter=d base HEAD -- '*.c' | grep -vE '^(tools|samples)/')
	"$top/lab/messages.py" Documentation/admin-guide/p2pmem-setup.rst Trouble-shooting "${sources[@]}"
}

lock tree
lock steps
scratch
mkdir -p "$work"
log=$work/base.log
key=$(git -C "$linux" rev-parse base; pages; sphinx-build --version)
if [ "$(cat "$work/base.key" 2>/dev/null)" != "$key" ]; then
	step "the base, for its warnings"
	worktree base
	htmldocs "$src" "$work/base"
	warnings "$src" >"$work/base.warnings"
	rm -rf "$work/base"
	echo "$key" >"$work/base.key"
fi

log=$work/series.log
step "$(pages | wc -l) pages (log: ${log#"$top"/})"
htmldocs "$linux" "$build/docs"
{
	warnings "$linux" | comm -13 "$work/base.warnings" -
	undocumented
	unheard_of
} >"$work/findings"
[ ! -s "$work/findings" ] || die "the series brings in warnings:" "$(<"$work/findings")"
ok "build/docs: no warning that the base does not have"
step "to read them: build/docs/admin-guide/p2pmem.html"
