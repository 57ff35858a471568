#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# make series [REROLL=n] [SINCE=revision]: each series as mail, build/series/NAME/*.patch and the same
# as a mailbox, build/series/NAME.mbox. patches/NAME/cover, if there is one, is the cover letter: the
# subject, a blank line, the text. With SINCE=, which is a revision of this repository, that is followed
# by the range-diff to the series as it was there.
#
# What b4 and git am make of the mailboxes has to be the commits of build/linux.
set -euo pipefail
# shellcheck source=lab/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=lab/queue.sh
. "$top/lab/queue.sh"

# Lists and servers take no longer mails.
limit=100000

# recipients FILE...: To: the lists, Cc: the maintainers of what the series touches.
recipients() {
	[ -x scripts/get_maintainer.pl ] || return 0
	scripts/get_maintainer.pl --no-git --no-git-fallback --rolestats "$@" | grep -v '@localhost' |
		sed -E -e '/ \([a-z]* list\b/s/^/--to=/' -e '/^--to/!s/^/--cc=/' -e 's/ \([^(]*( list|maintainer|supporter|reviewer)\b.*//'
}

# write_mails NAME DIRECTORY RANGE [OPTION...]
write_mails() {
	local cover=$top/patches/$1/cover options=(--no-cover-letter)

	# git takes a cover letter from the description of a branch.
	git update-ref refs/heads/p2p-mail "${3#*..}"
	[ ! -f "$cover" ] || options=(--cover-letter --cover-from-description=subject ${old[$1]:+"--range-diff=${old[$1]}"})
	git -c "branch.p2p-mail.description=$(cat "$cover" 2>/dev/null)" format-patch -q --no-signature -M \
		--stat=72 --thread=shallow ${REROLL:+-v "$REROLL"} -o "$2" "${options[@]}" "${@:4}" "${3%..*}..p2p-mail"
	# A subject of several lines is more than this version of b4 can read.
	sed -i '0,/^Subject: /{/^Subject: /{:a;N;s/\n / /;ta}}' "$2"/*.patch
	git update-ref -d refs/heads/p2p-mail
}

# apply_mails MBOX: b4 takes it from the mailbox, git am from b4, on what $scratch/tree has.
apply_mails() {
	local out=$scratch/b4

	rm -rf "$out"
	mkdir "$out"
	XDG_CACHE_HOME=$scratch/cache XDG_DATA_HOME=$scratch/data b4 --offline-mode am --no-cache -o "$out" -n mails -m "$1" \
		"$(sed -n '/^Message-Id: */I{s///;s/[<>]//g;p;q}' "$1")" >"$scratch/b4.log" 2>&1 </dev/null ||
		die "b4 am does not take ${1##*/}:" "$(tail -n 12 "$scratch/b4.log")"
	git -C "$scratch/tree" am "$out"/*mails.mbx >"$scratch/am.log" 2>&1 ||
		die "git am does not take ${1##*/} on what comes before it:" "$(tail -n 12 "$scratch/am.log")"
}

lock tree
scratch
mails=$scratch/mails
work=$(unsaved)
[ -z "$work" ] || step "build/linux holds work that is not in patches/ yet: not in these mails"
mapfile -t names < <(contents "$top" | cut -d / -f 1 | uniq)
[ ${#names[@]} -gt 0 ] || die "patches/series names no patch" "commit in build/linux, then make refresh"

cd "$linux"
declare -A old=()
if [ "${SINCE-}" ]; then
	mkdir "$scratch/since"
	git -C "$top" archive -o "$scratch/since.tar" "$SINCE" || die "SINCE=$SINCE is no revision of this repository"
	tar -C "$scratch/since" -xf "$scratch/since.tar"
	lay_series "$scratch/since" "$(snapshot "$scratch/since")" base
	for name in "${!ranges[@]}"; do old[$name]=${ranges[$name]}; done
fi

git diff --name-only base refs/p2p/tip | sparse_tree base
last=base
for name in "${names[@]}"; do
	range=$last..$(git rev-parse "refs/p2p/series/$name")
	last=${range#*..}
	git format-patch -q -o "$scratch/first" "$range"
	mapfile -t to < <(recipients "$scratch/first"/*)
	rm -r "$scratch/first"
	write_mails "$name" "$mails/$name" "$range" "${to[@]}"
	cat "$mails/$name"/*.patch >"$mails/$name.mbox"
	for mail in "$mails/$name"/*.patch; do
		[ "$(stat -c %s "$mail")" -le "$limit" ] ||
			step "warning: $name/${mail##*/} is longer than $((limit / 1000)) KB: no list takes it, divide the patch"
	done
	step "$name: $(git rev-list --count "$range") mails, checking them with b4 and git am"
	apply_mails "$mails/$name.mbox"
done
git log --format='%T %an %ae %s' base..refs/p2p/tip >"$scratch/wanted"
git -C "$scratch/tree" log --format='%T %an %ae %s' base.. | diff "$scratch/wanted" - >"$scratch/difference" ||
	die "git am gives other commits than patches/ does:" "$(<"$scratch/difference")"
git worktree remove -f "$scratch/tree"

rm -rf "$build/series"
mv "$mails" "$build/series"
ok "build/series: b4 and git am take it on $(git log -1 --format=%s base) and give the same files, step by step"
step "to mail one: git send-email build/series/${names[-1]}/*.patch"
