#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# make tree [KSRC=tarball|git tree] [DISCARD=1]: build/linux as a git repository, the base kernel as one
# commit and one commit per patch on top of it, with a branch where each series ends.
#
# The commits are made elsewhere; git then moves the work tree, so that a file the series did not change
# keeps its time stamp and builds stay incremental.
set -euo pipefail
# shellcheck source=lab/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=lab/queue.sh
. "$top/lab/queue.sh"

debian=/usr/src/linux-source-6.1.tar.xz

# find_source: KSRC, or what build/linux stands on, or Debian's. Sets source, and print, which changes
# when that does. The base in build/linux outlives a source that is gone.
find_source() {
	source=$debian print=
	if [ "${KSRC-}" ]; then
		source=$(realpath "$KSRC")
	elif [ -f "$state/source" ]; then
		{ read -r source && read -r print; } <"$state/source"
	fi
	if [ -d "$source" ]; then
		[ -e "$source/.git" ] || die "$source is neither a tarball nor a git tree" \
			"make it one there: git init; git add -A -f; git commit -m base"
		print=$(git -C "$source" rev-parse HEAD)
	elif [ -e "$source" ]; then
		print=$(stat -Lc '%s %Y' "$source")
	else
		[ "$print" ] || die "$source does not exist" \
			"install linux-source-6.1 (make deps), or give KSRC= a tarball or a git tree of Linux 6.1.y"
	fi
}

# unpack: the source into $fresh. Sets version.
unpack() {
	step "unpacking $source"
	mkdir -p "$fresh"
	if [ -d "$source" ]; then
		git -C "$source" archive HEAD | tar -C "$fresh" -xvf -
	else
		tar -C "$fresh" --strip-components=1 -xvf "$source"
	fi | progress "files unpacked" 20000
	[ -f "$fresh/Makefile" ] || die "$source is not a kernel: no Makefile at its top"
	version=$(sed -nE 's/^(VERSION|PATCHLEVEL|SUBLEVEL) *= *//p' "$fresh/Makefile" | head -n 3 | paste -s -d .)
	[[ $version = 6.1.* ]] || die "$source is Linux $version, the series is for 6.1" \
		"give KSRC= a tarball or a git tree of Linux 6.1.y"
	# Debian's .gitignore ends in a pattern for everything. It would hide new files from git.
	[ ! -f "$fresh/.gitignore" ] || sed -i '\,^/\*$,d' "$fresh/.gitignore"
}

# commit_base: $fresh as a commit, and as build/linux if there is none yet. Sets base.
commit_base() {
	local dir=$linux date="$first_date +0000"
	local -x GIT_INDEX_FILE=$scratch/index

	step "recording Linux $version as the base (once, about a minute)"
	if [ ! -d "$linux" ]; then
		dir=$fresh
		git init -q -b p2p --template= "$dir"
		git -C "$dir" config user.name "$identity_name"
		git -C "$dir" config user.email "$identity_mail"
		git -C "$dir" config core.untrackedCache true
		# A git process that stays behind would hold our lock.
		git -C "$dir" config gc.auto 0
		git -C "$dir" config maintenance.auto false
	fi
	git -C "$fresh" --git-dir="$dir/.git" --work-tree=. add -A -f -v | progress "files recorded" 20000
	base=$(GIT_AUTHOR_DATE=$date GIT_COMMITTER_DATE=$date \
		git -C "$dir" commit-tree "$(git -C "$dir" write-tree)" -m "Linux $version")
	if [ -d "$linux" ]; then
		rm -rf "$fresh"
	else
		# With this index, git later writes only what the series changes.
		mv "$scratch/index" "$fresh/.git/index"
		printf 'create refs/%s\n' "heads/p2p $base" "p2p/tip $base" "tags/base $base" | git -C "$fresh" update-ref --stdin
		mkdir "$fresh/.git/p2p"
		printf '%s\n' "$source" "$print" >"$fresh/.git/p2p/source"
		mv "$fresh" "$linux"
	fi
}

# For build/linux and for patches/.
lock tree
scratch
fresh=$build/base.new
rm -rf "$fresh"
check_contents "$top"
find_source

base=
if [ -d "$linux" ]; then
	[ -d "$state" ] || die "build/linux was not made by make tree" "move it away, and run make tree again"
	cd "$linux"
	work=$(unsaved)
	work=${work//$'\n'/, }
	changed_inputs
	if [ "$(printf '%s\n' "$source" "$print")" = "$(cat "$state/source" 2>/dev/null)" ]; then
		base=$(git rev-parse base)
	else
		changed+=("the base: $source")
	fi
	if [ "${DISCARD-}" ]; then
		step "dropping the work in build/linux: ${work:-none}"
	elif [ ${#changed[@]} -eq 0 ] && [ "$work" ]; then
		ok "build/linux holds work that is not in patches/ yet ($work): left alone" \
			"(make refresh brings it back, make tree DISCARD=1 drops it)"
		exit
	elif [ ${#changed[@]} -eq 0 ]; then
		ok "build/linux is up to date: $(git rev-list --count base..p2p) patches on $(git log -1 --format=%s base)"
		exit
	elif [ "$work" ]; then
		die "build/linux holds work that is not in patches/ yet: $work" \
			"and these changed here since it was made:" "${changed[@]/#/    }" \
			"Either keep the work: put the files named above back (git stash), make refresh," \
			"and bring your changes here again (git stash pop)." \
			"Or drop the work in build/linux: make tree DISCARD=1"
	fi
fi
if [ -z "$base" ]; then
	unpack
	commit_base
fi

cd "$linux"
changed_inputs
lay_series "$top" "$inputs" "$base"
# Half of this would look like somebody's edits.
trap '' INT TERM
[ -z "${DISCARD-}" ] || git rebase --quit 2>/dev/null || git am --quit 2>/dev/null || :
git checkout -q -f -B p2p "$tip"
[ -z "${DISCARD-}" ] || git clean -ffdq
git tag -f base "$base" >/dev/null
printf '%s\n' "$source" "$print" >"$state/source"
point_refs
trap - INT TERM
ok "build/linux: $(git rev-list --count base..p2p) patches on $(git log -1 --format=%s base)"
