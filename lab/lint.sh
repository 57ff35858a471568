#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# make lint: checkpatch on the mails; sparse, W=1 and kernel-doc on the files of the series; the
# scripts of this repository. One line a check, and the findings of those that fail.
#
# The compiler's and sparse's warnings count when the base does not have them in the same file.
set -euo pipefail
# shellcheck source=lab/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=lab/kbuild.sh
. "$top/lab/kbuild.sh"

work=$build/lint
failed=0
# checkpatch asks python3 for modules that Debian's has; another one may come first.
PATH=/usr/bin:/bin:$PATH

# check NAME FUNCTION: what the function prints are findings.
check() {
	local findings

	findings=$("$2" 2>&1) || findings=${findings:-"$2 failed without a word"}
	if [ -z "$findings" ]; then
		printf 'lint: %-12s ok\n' "$1"
	else
		printf 'lint: %-12s FAILED\n' "$1"
		printf '%s\n' "$findings" | sed 's/^/    /'
		failed=$((failed + 1))
	fi
}

# new_files PATTERN: the files the series adds to the kernel.
new_files() { git -C "$linux" diff --name-only --diff-filter=A base HEAD | grep -E "$1" || :; }

# Left out are the question who maintains a new file, which check_maintainers() answers, the complaint
# that 'source "Kconfig.p2p"' has the name of the file it stands in, Kconfig, and what checkpatch makes
# of each TRACE_EVENT() and of the names of others, such as md's Faulty.
check_patches() {
	local mail dictionary

	cd "$linux"
	# iput() is no misspelled input, nor is the kernel's filp a flip; uptodate is what md and the page
	# cache call it, and .Nd is a macro of manual pages. A message of a program is one line, however
	# long, so that it can be found. What is for the kernel only, as its macros for attributes, and its errors below 0,
	# is not asked of programs; nor are fewer braces, which an EXPECT of the harness needs before an else,
	# nor other words for "reset" and "ram ram".
	dictionary=$(python3 -c 'import codespell_lib as c; print(c.__path__[0])')/data/dictionary.txt
	grep -v -e '^iput->' -e '^filp->' -e '^uptodate->' -e '^nd->' "$dictionary" >"$scratch/dictionary.txt"
	mkdir "$scratch/mails"
	for mail in "$build"/series/*/*.patch; do
		[[ $mail != *-cover-letter.patch ]] || continue
		while [ "$(jobs -rp | wc -l)" -ge "$(nproc)" ]; do wait -n; done
		check_patch "$mail" >"$scratch/mails/$(tr / - <<<"${mail#"$build/series/"}")" &
	done
	wait
	cat "$scratch"/mails/*
}

# check_patch MAIL
check_patch() {
	local findings
	local ignore=FILE_PATH_CHANGES,EMBEDDED_FILENAME,CAMELCASE

	! grep -q '^+++ b/tools/testing/' "$1" ||
		ignore+=,PREFER_DEFINED_ATTRIBUTE_MACRO,USE_NEGATIVE_ERRNO,MACRO_ARG_REUSE,BRACES,LONG_LINE_STRING,EMBEDDED_FUNCTION_NAME,REPEATED_WORD
	# Its BACKING_PAGE() did so before.
	! grep -q '^+++ b/lib/test_hmm.c' "$1" || ignore+=,MACRO_ARG_REUSE
	! grep -q '^+++ b/tools/p2p/' "$1" ||
		ignore+=,LONG_LINE,LONG_LINE_STRING,PREFER_DEFINED_ATTRIBUTE_MACRO,MACRO_ARG_REUSE,BIT_MACRO,VOLATILE
	! grep -q '^+++ b/include/trace/events/' "$1" || ignore+=,PARENTHESIS_ALIGNMENT,OPEN_ENDED_LINE
	findings=$(scripts/checkpatch.pl --strict --codespell --codespellfile "$scratch/dictionary.txt" \
		--quiet --no-summary --show-types --ignore "$ignore" "$1" 2>&1) || :
	[ -z "$findings" ] || printf '%s:\n%s\n' "${1#"$build/series/"}" "$findings"
}

check_maintainers() {
	local file title

	cd "$linux"
	# The section that the series adds.
	title=$(git diff base HEAD -- MAINTAINERS | sed -n '/^+[A-Z][^:a-z]*$/{s/^+//p;q}')
	for file in $(new_files .); do
		scripts/get_maintainer.pl --no-git --no-git-fallback --sections -f "$file" | grep -xF "$title" >/dev/null ||
			echo "$file: no F: line of '$title' covers it"
	done
}

# warnings COMMIT FRAGMENT...: what gcc W=1 and sparse say about the objects of the series in COMMIT.
warnings() {
	local commit=$1 file

	shift
	worktree "$commit" >&3
	configure "$@" >&3
	local -a goals=()
	for file in $(git -C "$linux" diff --name-only base HEAD | grep '\.c$'); do
		# Only what the kernel is made of: a program of samples/ or tools/ has its own Makefile.
		if [ -f "$src/$file" ] && [ -f "$build/lean/${file%.c}.o" ]; then
			goals+=("${file%.c}.o")
			rm -f "$out/${file%.c}.o"
		fi
	done
	[ ${#goals[@]} -gt 0 ] || return 0
	make_kernel -j"$(nproc)" W=1 C=2 "${goals[@]}" >"$log" 2>&1 || {
		grep -E -A 2 '( error: |\*\*\* )' "$log"
		return 1
	}
	# A warning stays the same one when its line moves; one in a header counts once. sparse can't follow
	# pud_trans_huge_lock(), which takes a lock or does not, and the values of VM_FAULT_RESULT_TRACE, for
	# trace events, are of a type that it keeps apart.
	grep -E '(warning|error): ' "$log" |
		sed -E -e "s#^($src|\.\./linux)/##" -e 's/:[0-9]+(:[0-9]+)?:/:/' \
			-e "/context imbalance in '((pagemap|mincore)_pud_range|move_huge_pud)' - unexpected unlock/d" \
			-e '/^include\/trace\/events\/p2pmem\.h:.*incorrect type in initializer/d' |
		awk '!/^[^:]*\.h:/ || !seen[$0]++' | sort || :
}

check_warnings() {
	out=$build/steps/lint
	log=$work/build.log
	fragments "${common[@]}" lean
	warnings base "${fragments[@]}" >"$work/base.warnings" || {
		cat "$work/base.warnings"
		return 1
	}
	fragments "${common[@]}" p2p lean
	warnings "$(git -C "$linux" rev-parse HEAD)" "${fragments[@]}" >"$work/series.warnings" || {
		cat "$work/series.warnings"
		return 1
	}
	comm -13 "$work/base.warnings" "$work/series.warnings"
}

# With -v it finds misplaced what describes a function without parameters.
check_kernel_doc() {
	local file

	cd "$linux"
	for file in $(new_files '\.[ch]$'); do
		scripts/kernel-doc -v -none "$file" 2>&1 |
			grep -v -e ': info: ' -e '^[0-9]* warnings$' || :
	done
}

# our_files INTERPRETER: the scripts of the repository, by their first line.
our_files() {
	(cd "$top" && grep -rlIE "^#!.*/$1( |\$)" --exclude-dir=build --exclude-dir=.git .) || :
}

check_shell() {
	mapfile -t files < <(our_files '(ba|da)?sh')
	cd "$top"
	shellcheck -x "${files[@]}"
}

check_python() {
	cd "$top"
	mapfile -t files < <({ our_files python3 && find . -path ./build -prune -o -name '*.py' -print; } | sort -u)
	[ ${#files[@]} -eq 0 ] ||
		PYTHONPYCACHEPREFIX=$scratch python3 -W error -m py_compile "${files[@]}"
}

lock steps
scratch
mkdir -p "$work"
# What a check prints are findings; what it is doing goes past that.
exec 3>&1
check checkpatch check_patches
check maintainers check_maintainers
check sparse,W=1 check_warnings
check kernel-doc check_kernel_doc
check shellcheck check_shell
check python check_python
[ "$failed" -eq 0 ] || die "$failed checks have findings"
