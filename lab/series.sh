#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# make series [REROLL=n]: each directory of patches/ as mails with its cover letter, in build/series/, and
# as one mbox. git am has to take them, each series on the one before it, the first on the pristine base.
set -euo pipefail
# shellcheck source=lab/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=lab/queue.sh
. "$top/lab/queue.sh"

mails=$build/series
base=$(git -C "$linux" rev-parse base)
tip=$(git -C "$linux" rev-parse refs/p2p/tip)

# Lists refuse or hold back larger ones.
mail_limit=100000

# unfold MAIL: with each header in one line, since b4 0.12 chokes on a subject in two.
unfold() {
	awk 'body { print; next }
		/^[ \t]/ { header = header $0; next }
		{ if (NR > 1) print header; header = $0 }
		/^$/ { body = 1; print }' "$1"
}

# write_mails DIRECTORY FROM TO COVER: git makes the mails; COVER is the subject, a blank line, the text.
write_mails() {
	local cover mail

	[ -s "$4" ] || die "${4#"$top"/} is missing" \
		"write there what the series is about: the subject, a blank line, the text"
	git -C "$linux" format-patch -q --cover-letter --thread=shallow --no-signature -M --stat=72 \
		${REROLL:+-v "$REROLL"} -o "$1" "$2..$3"
	cover=$(find "$1" -name '*0000-cover-letter.patch')
	awk -v text="$4" '
		index($0, "*** SUBJECT HERE ***") {
			getline subject <text
			sub(/\*\*\* SUBJECT HERE \*\*\*/, "")
			print $0 subject
			next
		}
		$0 == "*** BLURB HERE ***" {
			getline line <text
			while ((getline line <text) > 0)
				print line
			next
		}
		{ print }' "$cover" >"$scratch/cover"
	mv "$scratch/cover" "$cover"
	for mail in "$1"/*.patch; do
		[ "$(stat -c %s "$mail")" -le "$mail_limit" ] ||
			die "${mail##*/} is larger than $mail_limit bytes, which lists refuse" "divide the patch"
		unfold "$mail" && echo
	done >"$1/mbox"
}

# write_all DIRECTORY: the mails of each series.
write_all() {
	local -a commits lines
	local directory from=$base i n

	mapfile -t commits < <(git -C "$linux" rev-list --reverse "$base..$tip")
	mapfile -t lines < <(read_series "$top")
	n=${#commits[@]}
	for ((i = 0; i < n; i++)); do
		directory=$(dirname "${lines[i]%% *}")
		[ $((i + 1)) -lt "$n" ] && [ "$(dirname "${lines[i + 1]%% *}")" = "$directory" ] && continue
		step "$directory: $(git -C "$linux" rev-list --count "$from..${commits[i]}") patches"
		write_mails "$1/$directory" "$from" "${commits[i]}" "$top/patches/$directory/cover"
		from=${commits[i]}
	done
}

# apply_mails DIRECTORY: git am on the base, in a work tree with only the files that the series
# touches. Prints the tree of every step.
apply_mails() {
	local tree=$scratch/tree

	git -C "$linux" worktree prune
	git -C "$linux" worktree add -q --no-checkout --detach "$tree" "$base"
	git -C "$linux" diff --name-only "$base" "$tip" | sed 's|^|/|' |
		git -C "$tree" sparse-checkout set --no-cone --stdin
	git -C "$tree" read-tree -m -u HEAD
	find "$1" -name '*.patch' ! -name '*0000-cover-letter.patch' | sort |
		GIT_COMMITTER_NAME=$identity_name GIT_COMMITTER_EMAIL=$identity_mail \
			xargs git -C "$tree" am >"$scratch/am.log" 2>&1 ||
		die "git am does not take build/series on the base:" "$(tail -n 12 "$scratch/am.log")"
	git -C "$tree" log --format='%T %s' "$base.."
	git -C "$linux" worktree remove -f "$tree"
}

lock tree
scratch
work=$(unsaved)
[ -z "$work" ] || step "build/linux holds work that is not in patches/ yet: not in these mails"
[ "$base" != "$tip" ] || die "patches/series names no patch" "commit in build/linux, then make refresh"

mkdir "$scratch/mails"
write_all "$scratch/mails"
step "checking $(git -C "$linux" rev-list --count "$base..$tip") mails with git am"
apply_mails "$scratch/mails" >"$scratch/applied"
git -C "$linux" log --format='%T %s' "$base..$tip" | cmp -s - "$scratch/applied" ||
	die "git am gives other files than patches/ does" \
		"$(git -C "$linux" log --format='%T %s' "$base..$tip" | diff - "$scratch/applied")"

rm -rf "$mails"
mv "$scratch/mails" "$mails"
ok "build/series: git am takes it on $(git -C "$linux" log -1 --format=%s base) and gives the same files, step by step"
