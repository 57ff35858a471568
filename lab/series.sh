#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# make series [REROLL=n]: the series as mail, build/series/*.patch with a cover letter, checked with
# git am on the pristine base.
set -euo pipefail
# shellcheck source=lab/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=lab/queue.sh
. "$top/lab/queue.sh"

mails=$build/series
base=$(git -C "$linux" rev-parse base)
tip=$(git -C "$linux" rev-parse refs/p2p/tip)

# write_mails DIRECTORY: git makes the mails; lab/cover-letter is the subject, a blank line, the text.
write_mails() {
	local cover

	git -C "$linux" format-patch -q --cover-letter --no-signature -M --stat=72 \
		${REROLL:+-v "$REROLL"} -o "$1" "$base..$tip"
	cover=$(find "$1" -name '*0000-cover-letter.patch')
	awk -v text="$top/lab/cover-letter" '
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

write_mails "$scratch/mails"
step "checking $(git -C "$linux" rev-list --count "$base..$tip") mails with git am"
apply_mails "$scratch/mails" >"$scratch/applied"
git -C "$linux" log --format='%T %s' "$base..$tip" | cmp -s - "$scratch/applied" ||
	die "git am gives other files than patches/ does" \
		"$(git -C "$linux" log --format='%T %s' "$base..$tip" | diff - "$scratch/applied")"

rm -rf "$mails"
mv "$scratch/mails" "$mails"
ok "build/series: git am takes it on $(git -C "$linux" log -1 --format=%s base) and gives the same files, step by step"
