#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2034,SC2154 # lib.sh and the verbs set and use the rest
#
# The patch queue and its form as git commits. Sourced by the verbs that need it; its functions run
# in build/linux.
#
# patches/series is the table of contents: the folders of patches/ in order, each a series that can be
# mailed by itself; under a folder its patches; under a patch the new files that it brings in. Those
# stand whole in the repository at their in-tree paths, as the last patch leaves them. What else a
# patch does, to files of the kernel and to new files of earlier patches, are the hunks in its file.
#
# In build/linux the tag "base" is the pristine kernel, the branch "p2p" all of the queue, and the
# branch "series/NAME" the last commit of the series NAME. refs/p2p/ has what make tree or make refresh
# made last, tip and series/NAME, and as a tree, inputs, the files of the repository that it was made of.
# .git/p2p/source is the base: its path, then its fingerprint.

# Dates count from the release of Linux 6.1, so that the same files make the same commits.
first_date=1670796900

state=$linux/.git/p2p

identity_name=${identity% <*}
identity_mail=${identity##*<}
identity_mail=${identity_mail%>}
export GIT_AUTHOR_NAME=$identity_name GIT_AUTHOR_EMAIL=$identity_mail
export GIT_COMMITTER_NAME=$identity_name GIT_COMMITTER_EMAIL=$identity_mail

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

# check_contents ROOT
check_contents() {
	local problem

	[ -f "$1/patches/series" ] ||
		die "patches/series is missing" "an empty file stands for a queue without patches"
	problem=$(diff <(contents "$1" | cut -d ' ' -f 1 | sort) \
		<(cd "$1/patches" && find . -name '*.patch' -printf '%P\n' | sort) | grep '^[<>]' || :)
	[ -z "$problem" ] || die "patches/series (<) and the files in patches/ (>) are not the same list:" "$problem"
}

# outer ROOT COMMAND...: git on ROOT's files, with an index of their own and build/linux's objects.
outer() {
	GIT_INDEX_FILE=$scratch/inputs git -C "$1" --git-dir="$linux/.git" --work-tree=. -c core.sparseCheckout=false "${@:2}"
}

# snapshot ROOT: the tree of what goes into the commits.
snapshot() {
	rm -f "$scratch/inputs"
	{
		printf '%s\n' lab/identity patches/series
		contents "$1" | sed 's|^\([^ ]*\).*|patches/\1|'
		new_files "$1"
	} | outer "$1" update-index --add --remove --stdin
	outer "$1" write-tree
}

# changed_inputs: sets inputs, and changed[] to what differs from those that build/linux was made of, or the
# first ten of it.
changed_inputs() {
	inputs=$(snapshot "$top")
	mapfile -t -n 10 changed < <(git diff --name-only \
		"$(git rev-parse -q --verify refs/p2p/inputs || git mktree </dev/null)" "$inputs")
}

# sparse_tree COMMIT: a work tree for it in $scratch/tree, which has the files that stdin names.
sparse_tree() {
	git worktree prune
	git worktree add -q --no-checkout --detach "$scratch/tree" "$1"
	sed 's|^|/|' | git -C "$scratch/tree" sparse-checkout set --no-cone --stdin
	git -C "$scratch/tree" read-tree -m -u HEAD
}

# whole_mails ROOT INPUTS: write the patches[] of ROOT with their new files, as mails for git am. What
# a new file was when it came in shows when later patches are taken back, from the last to the first.
whole_mails() {
	local -x GIT_INDEX_FILE=$scratch/index
	local n patch files
	local -a includes

	git read-tree "$2"
	# Without any new file, this matches nothing.
	mapfile -t includes < <({ echo patches/series && new_files "$1"; } | sed 's/^/--include=/')
	for ((n = ${#patches[@]}; n > 0; n--)); do
		read -r patch files <<<"${patches[n - 1]}"
		git apply --cached -R --allow-empty --whitespace=nowarn "${includes[@]}" "$1/patches/$patch" 2>"$scratch/errors" ||
			die "patches/$patch does not apply in reverse, to new files as they stand here:" \
				"$(<"$scratch/errors")" "build/linux is as it was" \
				"edit new files in build/linux, where later patches move along, and make refresh"
		# shellcheck disable=SC2086 # a list of paths
		[ -z "$files" ] || git ls-files --error-unmatch -- $files >/dev/null 2>"$scratch/errors" ||
			die "patches/$patch lacks a new file that patches/series lists:" "$(<"$scratch/errors")"
		# shellcheck disable=SC2086
		{
			printf 'Date: @%d +0000\n' $((first_date + 60 * n))
			cat "$1/patches/$patch"
			[ -z "$files" ] || git diff-index --cached -p --binary "$(git mktree </dev/null)" -- $files
		} >"$scratch/mails/$(printf %04d "$n")"
		# shellcheck disable=SC2086
		git update-index --force-remove -- $files
	done
}

# lay_series ROOT INPUTS BASE: commit ROOT's patches on the commit BASE, in a work tree that goes away, so
# that no branch moves. INPUTS is the snapshot of ROOT. Sets tip, and ranges[] by series.
lay_series() {
	local n commit patch name begin last=$3
	local -a patches

	tip=$3
	ranges=()
	mapfile -t patches < <(contents "$1")
	[ ${#patches[@]} -gt 0 ] || return 0
	mkdir "$scratch/mails"
	whole_mails "$1" "$2"
	git apply --numstat --allow-empty "$scratch/mails"/* | cut -f 3 | sparse_tree "$3"
	if ! git -C "$scratch/tree" am -q --patch-format=mbox --keep-cr --keep-non-patch --whitespace=nowarn \
		--committer-date-is-author-date "$scratch/mails"/* >"$scratch/errors" 2>&1; then
		n=$(<"$(git -C "$scratch/tree" rev-parse --git-path rebase-apply/next)")
		die "patches/${patches[n - 1]%% *} does not apply:" "$(grep '^error: \|empty' "$scratch/errors")" "build/linux is as it was"
	fi
	tip=$(git -C "$scratch/tree" rev-parse HEAD)
	git worktree remove -f "$scratch/tree"
	rm -r "$scratch/mails"
	while read -r commit patch; do
		name=${patch%%/*}
		begin=${ranges[$name]:-$last}
		ranges[$name]=${begin%%..*}..$commit
		last=$commit
	done < <(paste -d ' ' <(git rev-list --reverse "$3..$tip") <(printf '%s\n' "${patches[@]}"))
	# A hunk may have found its place in reverse, and another one on the way back.
	new_files "$1" | xargs -r git diff --quiet "$2" "$tip" -- ||
		die "a hunk for a new file fits in several places of it: the patches do not give the files here"
}
declare -A ranges=()

# point_refs: the branches of the series, and our own note of everything, become ranges[], $tip and $inputs.
point_refs() {
	local name

	git for-each-ref --format='delete %(refname)' refs/heads/series refs/p2p | git update-ref --stdin
	{
		printf 'create refs/p2p/%s\n' "tip $tip" "inputs $inputs"
		for name in "${!ranges[@]}"; do
			printf "create refs/%s/series/$name ${ranges[$name]#*..}\n" heads p2p
		done
	} | git update-ref --stdin
	# A rebase then moves the ends of the series along.
	git config rebase.updateRefs true
}

# unfinished: what build/linux holds that is in no commit of its branch p2p, if anything.
unfinished() {
	local dir dirty

	for dir in rebase-merge rebase-apply; do
		[ ! -d "$linux/.git/$dir" ] || echo "a rebase or am is under way"
	done
	dirty=$(git -C "$linux" status --porcelain | cut -c 4-)
	[ -z "$dirty" ] || echo "uncommitted changes ($(head -n 5 <<<"$dirty" | paste -s -d ' '))"
	git -C "$linux" merge-base --is-ancestor HEAD refs/heads/p2p ||
		echo "commits on $(git -C "$linux" symbolic-ref -q --short HEAD || echo 'a detached HEAD')"
}

# unsaved: what build/linux holds that the repository does not, if anything.
unsaved() {
	local refs='--format=%(objectname) %(refname:lstrip=3)'

	unfinished
	[ "$(git -C "$linux" rev-parse refs/heads/p2p)" = "$(git -C "$linux" rev-parse refs/p2p/tip)" ] ||
		echo "a branch p2p with other commits"
	[ "$(git -C "$linux" for-each-ref "$refs" refs/heads/series)" = "$(git -C "$linux" for-each-ref "$refs" refs/p2p/series)" ] ||
		echo "other ends of the series (branches series/*)"
}
