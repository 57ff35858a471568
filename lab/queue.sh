#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2034,SC2154 # lib.sh and the verbs set and use the rest
#
# The patch queue and its form as git commits. Sourced by the verbs that need it.
#
# patches/series is the table of contents: the folders of patches/ in order, each a series that can be
# mailed by itself; under a folder its patches; under a patch the new files that it brings in. Those
# stand whole in the repository at their in-tree paths, as the last patch leaves them. What else a
# patch does, to files of the kernel and to new files of earlier patches, are the hunks in its file.
#
# In build/linux the tag "base" is the pristine kernel, the branch "p2p" all of the queue, and the
# branch "series/NAME" the last commit of the series NAME. refs/p2p/ has what make tree or make refresh
# made last, tip and series/NAME, and .git/p2p/ remembers what that was made of:
#	source	the base: its path, then its fingerprint
#	inputs	a line per file of the repository that went into the commits (see list_inputs)

# Dates count from the release of Linux 6.1, so that the same files make the same commits.
first_date=1670796900

state=$linux/.git/p2p

identity_name=${identity% <*}
identity_mail=${identity##*<}
identity_mail=${identity_mail%>}

# contents ROOT: "FOLDER/PATCH NEW-FILE..." a line, in the order of the table of contents.
contents() {
	awk '
		{ gsub(/^[ \t]+|[ \t]*(#.*)?$/, "") }
		NF == 0 { next }
		$1 ~ /\/$/ { folder = $1; next }
		$1 ~ /\.patch$/ { if (line) print line; line = folder $0; next }
		{ line = line " " $0 }
		END { if (line) print line }' "$1/patches/series"
}

# new_files ROOT: the files that the series bring in.
new_files() { contents "$1" | awk '{ for (i = 2; i <= NF; i++) print $i }' | sort -u; }

# check_series ROOT: what the table of contents names is there, and nothing is left out.
check_series() {
	local root=$1 problem

	[ -f "$root/patches/series" ] ||
		die "patches/series is missing" "an empty file stands for a queue without patches"
	problem=$(contents "$root" | awk '{ print $1 }' | grep -vE -m 1 '^[A-Za-z0-9._-]+/[A-Za-z0-9._+-]+\.patch$') &&
		die "patches/series: '$problem' is not a patch in a folder" \
			"make refresh writes the file: FOLDER/, under it the patches, under each its new files"
	problem=$(contents "$root" | awk '{ print $1 }' | sort | uniq -d | head -n 1)
	[ -z "$problem" ] || die "patches/series names $problem twice"
	problem=$(diff <(contents "$root" | awk '{ print $1 }' | sort) \
		<(cd "$root/patches" && find . -name '*.patch' | sed 's|^\./||' | sort)) ||
		die "patches/series and the files in patches/ are not the same list:" \
			"$(sed -n -e 's/^< \(.*\)/\1 does not exist/p' -e 's/^> \(.*\)/\1 is not in patches\/series/p' <<<"$problem")"
	for problem in $(new_files "$root"); do
		case $problem in
		/* | ./* | ../* | */../* | *[!A-Za-z0-9._/+,-]*)
			die "patches/series: '$problem' is not a path in the kernel tree" ;;
		esac
		[ ! -L "$root/$problem" ] || die "$problem is a link, but patches/series lists it as a new file"
	done
}

# list_inputs ROOT: "MODE BLOB PATH" for each file that goes into the commits.
list_inputs() (
	cd "$1" || exit
	mapfile -t paths < <(echo patches/series && { contents . | sed 's|^\([^ ]*\).*|patches/\1|'; new_files .; } |
		sort | while read -r path; do [ ! -f "$path" ] || echo "$path"; done)
	printf 'identity %s\n' "$identity"
	paste -d ' ' <(for path in "${paths[@]}"; do mode_of "$path"; done) \
		<(git hash-object --no-filters -- "${paths[@]}") <(printf '%s\n' "${paths[@]}")
)

mode_of() { if [ -x "$1" ]; then echo 100755; else echo 100644; fi; }

# changed_inputs OLD NEW: the paths whose lines differ between two lists of inputs.
changed_inputs() { sort "$1" "$2" | uniq -u | sed 's/^[^ ]* [0-9a-f]\{40\} //' | sort -u; }

# commit_tree TREE N MESSAGE-FILE AUTHOR MAIL [PARENT]: commit number N of the queue, 0 the base.
commit_tree() {
	local date="$((first_date + 60 * $2)) +0000"
	GIT_AUTHOR_NAME=$4 GIT_AUTHOR_EMAIL=$5 GIT_AUTHOR_DATE=$date \
		GIT_COMMITTER_NAME=$identity_name GIT_COMMITTER_EMAIL=$identity_mail \
		GIT_COMMITTER_DATE=$date git commit-tree "$1" ${6:+-p "$6"} -F "$3"
}

# apply PATCH DIFF [OPTION...]: to the index.
apply() {
	grep -q '^diff --git ' "$2" || return 0
	git apply --cached --whitespace=nowarn "${@:3}" "$2" 2>"$scratch/errors" ||
		die "patches/$1 does not apply${3:+ in reverse, to new files as they stand here}:" \
			"$(sed 's/^error: //' "$scratch/errors")" "build/linux is as it was" \
			${3:+"edit new files in build/linux, where later patches move along, and make refresh"}
}

# lay_series ROOT BASE: commit ROOT's patches on the commit BASE of $GIT_DIR. It goes through an index
# of its own, so neither a work tree nor a branch moves. Sets tip, and heads[] by series.
lay_series() {
	local root=$1 split=$scratch/split patch files n file subject author mail tree
	local -a patches later

	export GIT_INDEX_FILE=$scratch/index
	rm -rf "$GIT_INDEX_FILE" "$split"
	mkdir "$split"
	mapfile -t patches < <(contents "$root")

	# From the last patch to the first, with the new files alone: what each was when it came in. One that
	# is not here now was removed again by a later patch.
	new_files "$root" >"$split/names"
	file=$(git ls-tree -r --name-only "$2" | grep -m 1 -xF -f "$split/names" || :)
	[ -z "$file" ] || die "$file is in the base already" "patches/series lists it as a new file"
	while read -r file; do
		[ ! -f "$root/$file" ] || printf '%s %s\t%s\n' "$(mode_of "$root/$file")" \
			"$(git hash-object -w --no-filters "$root/$file")" "$file"
	done <"$split/names" | git update-index --add --index-info
	git ls-files -s >"$split/tip"
	: >"$split/paths"
	for ((n = ${#patches[@]}; n > 0; n--)); do
		read -r patch files <<<"${patches[n - 1]}"
		git mailinfo -b "$split/body.$n" "$split/diff.$n" <"$root/patches/$patch" >"$split/head.$n"
		! grep -q '^diff --git ' "$split/diff.$n" || git apply --numstat "$split/diff.$n" >"$split/paths" 2>"$scratch/errors" ||
			die "git can't read the diff in patches/$patch:" "$(<"$scratch/errors")"
		mapfile -t later < <(cut -f 3 "$split/paths" | grep -xF -f "$split/names")
		: >"$split/paths"
		[ ${#later[@]} -eq 0 ] || apply "$patch" "$split/diff.$n" -R "${later[@]/#/--include=}"
		for file in $files; do
			git ls-files -s --error-unmatch -- "$file" 2>/dev/null ||
				die "$file does not exist, but patches/series lists it as a new file of $patch"
			git update-index --force-remove -- "$file"
		done >"$split/new.$n"
	done

	# From the first to the last, with everything.
	tip=$2
	heads=()
	git read-tree "$tip"
	for ((n = 1; n <= ${#patches[@]}; n++)); do
		read -r patch files <<<"${patches[n - 1]}"
		author=$(sed -n 's/^Author: //p' "$split/head.$n")
		mail=$(sed -n 's/^Email: //p' "$split/head.$n")
		subject=$(sed -n 's/^Subject: //p' "$split/head.$n")
		[ "$author" ] || die "patches/$patch has no 'From: Name <mail>' line"
		[ "$subject" ] || die "patches/$patch has no 'Subject: [PATCH] ...' line"
		{ printf '%s\n\n' "$subject" && cat "$split/body.$n"; } | git stripspace >"$scratch/message"
		apply "$patch" "$split/diff.$n"
		git update-index --add --index-info <"$split/new.$n"
		tree=$(git write-tree)
		tip=$(commit_tree "$tree" "$n" "$scratch/message" "$author" "$mail" "$tip")
		heads[${patch%/*}]=$tip
	done
	# A hunk may have found its place in reverse, and another one on the way back.
	cut -f 2 "$split/tip" | xargs -r git ls-files -s -- | cmp -s - "$split/tip" ||
		die "a hunk for a new file fits in several places of it: the patches do not give the files here"
	unset GIT_INDEX_FILE
}
declare -A heads=()

# point_refs: the branches of the series, and our own note of everything, become heads[] and $tip.
point_refs() {
	local name

	git for-each-ref --format='delete %(refname)' refs/heads/series refs/p2p | git update-ref --stdin
	{
		echo "create refs/p2p/tip $tip"
		for name in "${!heads[@]}"; do
			printf "create refs/%s/series/$name ${heads[$name]}\n" heads p2p
		done
	} | git update-ref --stdin
	# A rebase then moves the ends of the series along.
	git config rebase.updateRefs true
}

# unsaved: what build/linux holds that the repository does not, if anything. Every change of the
# branches, the index and the work tree counts; so does a rebase that waits for its end.
unsaved() {
	local dir

	for dir in rebase-merge rebase-apply; do
		[ ! -d "$linux/.git/$dir" ] || echo "a rebase or am is under way"
	done
	[ -z "$(git -C "$linux" status --porcelain | head -n 1)" ] || echo "uncommitted changes"
	[ "$(git -C "$linux" rev-parse -q --verify refs/heads/p2p)" = \
		"$(git -C "$linux" rev-parse refs/p2p/tip)" ] ||
		echo "a branch p2p with other commits"
	cmp -s <(git -C "$linux" for-each-ref --format='%(objectname) %(refname:lstrip=3)' refs/heads/series) \
		<(git -C "$linux" for-each-ref --format='%(objectname) %(refname:lstrip=3)' refs/p2p/series) ||
		echo "other ends of the series (branches series/*)"
	git -C "$linux" merge-base --is-ancestor HEAD refs/p2p/tip ||
		echo "commits on $(git -C "$linux" symbolic-ref -q --short HEAD || echo 'a detached HEAD')"
}
