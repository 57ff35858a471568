#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2034,SC2154 # lib.sh and the verbs set and use the rest
#
# The patch queue and its form as git commits. Sourced by the verbs that need it.
#
# patches/series has one line per patch: the patch file below patches/, then the new files that the patch
# brings in. These stand whole in the repository, at their in-tree paths, as the last patch leaves them;
# later patches may have hunks for them. Patches that are mailed together share a directory of patches/,
# with their cover letter. Lines that begin with # are comments.
#
# In build/linux the tag "base" is the pristine kernel and the branch "p2p" the series. .git/p2p/
# remembers what they were made of:
#	source	the base: its path, then its fingerprint
#	inputs	a line per file of the repository that went into the commits (see list_inputs)
# and the ref refs/p2p/tip is the last commit of the series as we made it.

# Dates count from the release of Linux 6.1, so that the same files make the same commits.
first_date=1670796900

state=$linux/.git/p2p

identity_name=${identity% <*}
identity_mail=${identity##*<}
identity_mail=${identity_mail%>}

# read_series ROOT: "PATCH NEW-FILE..." a line, without comments.
read_series() { sed -e '/^[[:space:]]*#/d' -e '/^[[:space:]]*$/d' "$1/patches/series"; }

# check_series ROOT: everything the series names exists, once, and nothing in patches/ is left out.
check_series() {
	local root=$1 patch files file listed
	local -A owner=() seen=()

	[ -f "$root/patches/series" ] ||
		die "patches/series is missing" "an empty file stands for a series without patches"
	while read -r patch files; do
		case $patch in
		/* | .* | */*/* | */.* | *[!A-Za-z0-9._/+-]* | *.patch.*) listed= ;;
		*.patch) listed=1 ;;
		*) listed= ;;
		esac
		[ "$listed" ] || die "patches/series: '$patch' is not the name of a patch file"
		[ -z "${seen[$patch]-}" ] || die "patches/series names $patch twice"
		seen[$patch]=1
		[ -f "$root/patches/$patch" ] ||
			die "patches/$patch does not exist, but patches/series names it"
		for file in $files; do
			case $file in
			/* | ./* | ../* | */../* | *[!A-Za-z0-9._/+,-]*)
				die "patches/series: $patch: '$file' is not a path in the kernel tree" ;;
			esac
			[ -z "${owner[$file]-}" ] ||
				die "patches/series: $file belongs to ${owner[$file]} and to $patch" \
					"exactly one patch brings a new file in"
			owner[$file]=$patch
			if [ -L "$root/$file" ] || [ ! -f "$root/$file" ]; then
				die "$file is no regular file, but patches/series lists it for $patch"
			fi
		done
	done < <(read_series "$root")

	while read -r patch; do
		[ "${seen[$patch]-}" ] ||
			die "patches/$patch is not in patches/series" "list it there, or remove it"
	done < <(find "$root/patches" -name '*.patch' -printf '%P\n' | sort)
}

# list_inputs ROOT: "MODE BLOB PATH" for each file that goes into the commits.
list_inputs() {
	local root=$1
	local -a paths=()

	printf 'identity %s\n' "$identity"
	mapfile -t paths < <(
		echo patches/series
		read_series "$root" | awk '{ print "patches/" $1; for (i = 2; i <= NF; i++) print $i }' | sort
	)
	paste -d ' ' <(mode_of "$root" "${paths[@]}") \
		<(cd "$root" && git hash-object --no-filters -- "${paths[@]}") \
		<(printf '%s\n' "${paths[@]}")
}

# mode_of ROOT PATH...: a git file mode a line.
mode_of() {
	local root=$1 path
	shift
	for path; do
		if [ -x "$root/$path" ]; then echo 100755; else echo 100644; fi
	done
}

# changed_inputs OLD NEW: the paths whose lines differ between two lists of inputs.
changed_inputs() { sort "$1" "$2" | uniq -u | sed 's/^[^ ]* [0-9a-f]\{40\} //' | sort -u; }

# commit_tree TREE N MESSAGE-FILE AUTHOR MAIL [PARENT]: commit number N of the series, 0 the base.
commit_tree() {
	local date="$((first_date + 60 * $2)) +0000"
	GIT_AUTHOR_NAME=$4 GIT_AUTHOR_EMAIL=$5 GIT_AUTHOR_DATE=$date \
		GIT_COMMITTER_NAME=$identity_name GIT_COMMITTER_EMAIL=$identity_mail \
		GIT_COMMITTER_DATE=$date git commit-tree "$1" ${6:+-p "$6"} -F "$3"
}

# explain_reject PATCH-FILE ERRORS: git's errors, with the hunk in the patch that each is about.
explain_reject() {
	awk '
	FNR == NR && /^diff --git / { file = substr($3, 3); hunk = 0; next }
	FNR == NR && /^@@ / {
		start = substr($2, 2)
		sub(/,.*/, "", start)
		hunks[file ":" start] = ++hunk
		head[file ":" start] = $0
		next
	}
	FNR == NR { next }
	/^error: patch failed: / && ($4 in hunks) {
		file = $4
		sub(/:[0-9]*$/, "", file)
		print file ": hunk " hunks[$4] " does not apply: " head[$4]
		failed[file] = 1
		next
	}
	/patch does not apply$/ {
		file = $2
		sub(/:$/, "", file)
		if (file in failed)
			next
	}
	{ sub(/^error: /, ""); print }' "$1" "$2"
}

# find_first_content ROOT: in the map first, "MODE BLOB" of each new file as the patch that brings it in
# leaves it: what stands in ROOT, with the hunks of later patches taken out again. Uses $GIT_DIR.
find_first_content() {
	local root=$1 patch files file
	local -a hunks

	first=()
	export GIT_INDEX_FILE=$scratch/files-index
	rm -f "$GIT_INDEX_FILE"
	for file in $(read_series "$root" | cut -s -d ' ' -f 2-); do
		[ "$file" = MAINTAINERS ] ||
			printf '%s %s\t%s\n' "$(mode_of "$root" "$file")" \
				"$(git hash-object -w --no-filters "$root/$file")" "$file"
	done | git update-index --add --index-info
	while read -r patch files; do
		for file in $files; do
			[ "$file" != MAINTAINERS ] || continue
			first[$file]=$(git ls-files -s -- "$file" | cut -d ' ' -f 1,2)
			git update-index --force-remove -- "$file"
		done
		# Only patches with hunks for files that are still there.
		mapfile -t hunks < <(sed -n 's|^diff --git a/.* b/||p' "$root/patches/$patch" | sort |
			comm -12 - <(git ls-files | sort) | sed 's/^/--include=/')
		[ ${#hunks[@]} -gt 0 ] || continue
		git mailinfo -b /dev/null "$scratch/diff" <"$root/patches/$patch" >/dev/null
		git apply --cached -R --whitespace=nowarn "${hunks[@]}" "$scratch/diff" 2>"$scratch/errors" ||
			die "patches/$patch has hunks that do not fit the new files as they stand here:" \
				"$(sed 's/^error: //' "$scratch/errors")" \
				"change such files in build/linux, and bring them back with make refresh"
	done < <(read_series "$root" | tac)
	unset GIT_INDEX_FILE
}

# lay_series ROOT BASE: commit ROOT's series on the commit BASE of $GIT_DIR. It goes through an
# index of its own, so neither a work tree nor a branch moves. Sets tip.
lay_series() {
	local root=$1 patch files file blob mode n=0 author mail
	local patchfile tree subject
	local -A first=()

	tip=$2
	find_first_content "$root"
	export GIT_INDEX_FILE=$scratch/index
	rm -f "$GIT_INDEX_FILE"
	git read-tree "$tip"
	while read -r patch files; do
		patchfile=$root/patches/$patch
		n=$((n + 1))

		git mailinfo -b "$scratch/body" "$scratch/diff" <"$patchfile" >"$scratch/head"
		author=$(sed -n 's/^Author: //p' "$scratch/head")
		mail=$(sed -n 's/^Email: //p' "$scratch/head")
		subject=$(sed -n 's/^Subject: //p' "$scratch/head")
		[ "$author" ] || die "patches/$patch has no 'From: Name <mail>' line"
		[ "$subject" ] || die "patches/$patch has no 'Subject: [PATCH] ...' line"
		{ printf '%s\n\n' "$subject" && cat "$scratch/body"; } | git stripspace >"$scratch/message"

		if grep -q '^new file mode ' "$scratch/diff"; then
			die "patches/$patch creates a file" \
				"new files stand whole in the repository; patches/series lists them for their patch" \
				"$(grep -B1 '^new file mode ' "$scratch/diff" | sed -n 's|^diff --git a/\([^ ]*\).*|\1|p')"
		elif grep -q '^diff --git ' "$scratch/diff"; then
			git apply --cached --whitespace=nowarn "$scratch/diff" 2>"$scratch/errors" || {
				mapfile -t errors < <(explain_reject "$patchfile" "$scratch/errors")
				die "patches/$patch does not apply" "${errors[@]}" "build/linux is as it was"
			}
		elif [ -z "$files" ]; then
			die "patches/$patch has no diff, and patches/series lists no new file for it"
		elif grep -qv -e '^---$' -e '^$' "$scratch/diff"; then
			die "patches/$patch has text after '---' that is no diff"
		fi

		for file in $files; do
			if [ "$file" = MAINTAINERS ]; then
				mode=$(mode_of "$root" "$file")
				git cat-file blob :MAINTAINERS >"$scratch/maintainers" 2>/dev/null ||
					die "the base has no MAINTAINERS to merge ours into"
				blob=$(awk -v entry="$root/MAINTAINERS" -f "$top/lab/maintainers.awk" \
					"$scratch/maintainers" | git hash-object -w --stdin)
			else
				[ -z "$(git ls-files --cached -- "$file")" ] ||
					die "$file is in the base already" \
						"patches/series lists it as a new file of $patch"
				mode=${first[$file]% *}
				blob=${first[$file]#* }
			fi
			printf '%s %s\t%s\n' "$mode" "$blob" "$file"
		done | git update-index --add --index-info

		tree=$(git write-tree)
		tip=$(commit_tree "$tree" "$n" "$scratch/message" "$author" "$mail" "$tip")
	done < <(read_series "$root")
	unset GIT_INDEX_FILE
}

# unsaved: what build/linux holds that the repository does not, if anything. Every change of the
# branch, the index and the work tree counts; so does a rebase that waits for its end.
unsaved() {
	local dir

	for dir in rebase-merge rebase-apply; do
		[ ! -d "$linux/.git/$dir" ] || echo "a rebase or am under way"
	done
	[ -z "$(git -C "$linux" status --porcelain | head -n 1)" ] || echo "uncommitted changes"
	[ "$(git -C "$linux" rev-parse -q --verify refs/heads/p2p)" = \
		"$(git -C "$linux" rev-parse refs/p2p/tip)" ] ||
		echo "a branch p2p with other commits"
	git -C "$linux" merge-base --is-ancestor HEAD refs/p2p/tip ||
		echo "commits on $(git -C "$linux" symbolic-ref -q --short HEAD || echo 'a detached HEAD')"
}
