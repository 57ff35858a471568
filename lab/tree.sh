#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# make tree [KSRC=directory|tarball] [DISCARD=1]: build/linux as a git repository, the base kernel
# as one commit and one commit per patch on top of it, with a branch where each series ends.
#
# The commits are made without touching the work tree; git then moves it, so that a file the series
# did not change keeps its time stamp and builds stay incremental.
set -euo pipefail
# shellcheck source=lab/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=lab/queue.sh
. "$top/lab/queue.sh"

debian=/usr/src/linux-source-6.1.tar.xz

# The base's path: KSRC, or what build/linux stands on, or Debian's.
find_source() {
	if [ "${KSRC-}" ]; then
		[ -e "$KSRC" ] || die "KSRC=$KSRC does not exist"
		realpath "$KSRC"
	elif [ -f "$state/source" ]; then
		sed -n 1p "$state/source"
	else
		[ -e "$debian" ] || die "$debian is missing" \
			"install linux-source-6.1 (make deps), or give KSRC= a directory or tarball of Linux 6.1.y"
		echo "$debian"
	fi
}

is_git_top() { [ "$(git -C "$1" rev-parse --show-toplevel 2>/dev/null)" = "$1" ]; }

# What changes when the base does, without reading all of it.
fingerprint() {
	if [ ! -d "$1" ]; then
		stat -Lc '%s %Y' "$1"
	elif is_git_top "$1"; then
		git -C "$1" rev-parse HEAD
	else
		(cd "$1" && find . -type f -printf '%P %s %T@\n') | sort | sha256sum | cut -d ' ' -f 1
	fi
}

# unpack SOURCE DIRECTORY: a git tree gives its HEAD, any other directory all its files.
unpack() {
	step "unpacking $1"
	mkdir -p "$2"
	if [ ! -d "$1" ]; then
		tar -C "$2" --strip-components=1 -xvf "$1" | progress "files unpacked" 20000
	elif is_git_top "$1"; then
		git -C "$1" archive HEAD | tar -C "$2" -xvf - | progress "files unpacked" 20000
	else
		tar -C "$1" --exclude=./.git -cf - . | tar -C "$2" -xvf - | progress "files unpacked" 20000
	fi
}

# make_variable NAME MAKEFILE
make_variable() { sed -n "s/^$1 *= *//p" "$2" | head -n 1; }

check_version() {
	local makefile=$1/Makefile

	[ -f "$makefile" ] || die "$source is not a kernel: no Makefile at its top"
	version=$(make_variable VERSION "$makefile").$(make_variable PATCHLEVEL "$makefile")
	[ "$version" = 6.1 ] || die "$source is Linux $version, the series is for 6.1" \
		"give KSRC= a directory or tarball of Linux 6.1.y"
	version+=.$(make_variable SUBLEVEL "$makefile")
}

# commit_base: the unpacked kernel in $fresh as a commit of $GIT_DIR. Sets base.
commit_base() {
	step "recording Linux $version as the base (once, about a minute)"
	# Debian's .gitignore ends in a pattern for everything. It would hide new files from git.
	[ ! -f "$fresh/.gitignore" ] || sed -i '\,^/\*$,d' "$fresh/.gitignore"
	export GIT_INDEX_FILE=$scratch/index
	git --work-tree="$fresh" -C "$fresh" add -A -f -v | progress "files recorded" 20000
	echo "Linux $version" >"$scratch/message"
	base=$(commit_tree "$(git write-tree)" 0 "$scratch/message" "$identity_name" "$identity_mail")
	unset GIT_INDEX_FILE
	mv "$scratch/index" "$scratch/base-index"
}

# settle: branch, tag and work tree of the repository at $1 become $base and $tip.
settle() {
	local dir=$1 when

	# Half of this would look like somebody's edits.
	trap '' INT TERM
	for when in rebase am; do
		[ -z "${DISCARD-}" ] || git -C "$dir" "$when" --quit 2>/dev/null || :
	done
	git -C "$dir" checkout -q -f -B p2p "$tip"
	[ -z "${DISCARD-}" ] || git -C "$dir" clean -ffdq
	git -C "$dir" tag -f base "$base" >/dev/null
	(cd "$dir" && point_refs)
	mkdir -p "$dir/.git/p2p"
	printf '%s\n' "$source" "$print" >"$dir/.git/p2p/source"
	cp "$scratch/inputs" "$dir/.git/p2p/inputs"
	trap - INT TERM
}

# For build/linux and for patches/.
lock tree
scratch
fresh=$build/base.new
rm -rf "$fresh"

check_series "$top"
list_inputs "$top" >"$scratch/inputs"
source=$(find_source)
if [ -e "$source" ]; then
	print=$(fingerprint "$source")
else
	# The base in build/linux outlives a KSRC= that is gone.
	print=$(sed -n 2p "$state/source")
fi

if [ -d "$linux" ]; then
	[ -d "$state" ] || die "build/linux was not made by make tree" "move it away, and run make tree again"
	work=$(unsaved)
	work=${work//$'\n'/, }
	same_base=
	[ "$(printf '%s\n' "$source" "$print")" != "$(<"$state/source")" ] || same_base=1

	if [ "$same_base" ] && cmp -s "$scratch/inputs" "$state/inputs" && [ -z "${DISCARD-}" ]; then
		if [ "$work" ]; then
			ok "build/linux holds work that is not in patches/ yet ($work): left alone" \
				"(make refresh brings it back, make tree DISCARD=1 drops it)"
		else
			ok "build/linux is up to date: $(git -C "$linux" rev-list --count base..refs/p2p/tip) patches on $(git -C "$linux" log -1 --format=%s base)"
		fi
		exit
	fi
	if [ "$work" ] && [ -z "${DISCARD-}" ]; then
		mapfile -t changed < <(changed_inputs "$state/inputs" "$scratch/inputs" | head -n 10)
		[ "$same_base" ] || changed+=("the base: $source")
		die "build/linux holds work that is not in patches/ yet: $work" \
			"and these changed here since it was made:" "${changed[@]/#/    }" \
			"Either keep the work: put the files named above back (git stash), make refresh," \
			"and bring your changes here again (git stash pop)." \
			"Or drop the work in build/linux: make tree DISCARD=1"
	fi
else
	same_base=
fi

if [ "$same_base" ]; then
	export GIT_DIR=$linux/.git
	base=$(git rev-parse base)
else
	unpack "$source" "$fresh"
	check_version "$fresh"
	if [ -d "$linux" ]; then
		export GIT_DIR=$linux/.git
	else
		git init -q -b p2p --template= "$fresh"
		export GIT_DIR=$fresh/.git
		git config user.name "$identity_name"
		git config user.email "$identity_mail"
		git config core.untrackedCache true
		# A git process that stays behind would hold our lock.
		git config gc.auto 0
		git config maintenance.auto false
	fi
	commit_base
fi

lay_series "$top" "$base"
count=$(git rev-list --count "$base..$tip")
if [ -d "$linux" ]; then
	unset GIT_DIR
	settle "$linux"
	rm -rf "$fresh"
else
	# With the index of the base commit the checkout writes only what the series changes.
	mv "$scratch/base-index" "$GIT_DIR/index"
	unset GIT_DIR
	settle "$fresh"
	mv "$fresh" "$linux"
fi
ok "build/linux: $count patches on $(git -C "$linux" log -1 --format=%s base)"
