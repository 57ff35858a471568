#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# make refresh [DISCARD=1]: bring the commits of build/linux back into the repository, the new files to
# their in-tree paths, all other changes as patches/.
#
# All of it is first written aside and laid on the base again; only when that gives the same commits
# does the repository change.
set -euo pipefail
# shellcheck source=lab/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=lab/queue.sh
. "$top/lab/queue.sh"

check_commits() {
	local found

	git merge-base --is-ancestor base p2p ||
		die "the commits of build/linux do not begin at base" \
			"move them there: git -C build/linux rebase --onto base <the commit they begin at> p2p"
	found=$(git log --merges -n 1 --format='%h ("%s")' base..p2p)
	[ -z "$found" ] || die "$found is a merge, a series is a line of patches" \
		"straighten it: git -C build/linux rebase base"
	found=$(git log -n 1 -E --grep='^(fixup|squash|amend)! ' --format='%h ("%s")' base..p2p)
	[ -z "$found" ] || die "$found is meant for another commit" \
		"fold it: git -C build/linux rebase -i --autosquash base"
}

# list_commits: "SERIES COMMIT" a line, first to last. A series ends at its branch; what comes after the
# last such branch belongs to that series, too.
list_commits() {
	git log --decorate=short --decorate-refs='refs/heads/series/*' --format='%H %D' base..p2p |
		awk '
			{ gsub(/series\/|,/, "") }
			NF > 1 { name = $2; last = last ? last : name }
			{ commit[NR] = $1; of[NR] = name }
			END { for (i = NR; i; i--) print (of[i] ? of[i] : last ? last : "S-all"), commit[i] }'
}

# stage_commit SERIES COMMIT: its lines of patches/series, its patch file and what it has to become again.
stage_commit() {
	local path name
	local -a added diff

	mapfile -t added < <(git diff-tree -r --no-renames --no-commit-id --name-only --diff-filter=A "$2")
	for path in "${added[@]}"; do
		case $path in
		*[!A-Za-z0-9._/+,-]* | .ci/* | build/* | lab/* | patches/* | README.md)
			die "$(git log -1 --format='%h ("%s")' "$2") adds $path" \
				"the repository keeps its own files there, or the name is too odd for patches/series" ;;
		esac
	done
	git log -1 --format=%B "$2" | git stripspace |
		git interpret-trailers --no-divider --if-exists addIfDifferent --trailer "Signed-off-by: $identity" >"$scratch/message"
	{ git log -1 --format="%T $identity %s" "$2" && cat "$scratch/message" && echo; } >>"$scratch/wanted"

	if [ "$1" != "$folder" ]; then
		folder=$1 number=0
		mkdir "$stage/patches/$folder"
		printf '\n%s/%s\n' "$folder" "$(sed -n '1s/^/    # /p' "$top/patches/$folder/cover" 2>/dev/null)"
	fi >>"$stage/patches/series"
	# The name is the one git format-patch gives, which stops at 64 bytes.
	number=$((number + 1))
	name=$(printf '%04d-%s' "$number" "$(git log -1 --format=%f "$2")")
	name=${name:0:57}.patch
	printf '    %s\n' "$name" "${added[@]/#/    }" >>"$stage/patches/series"

	# From there, since the kernel's .gitattributes would choose the texts behind @@.
	diff=(outer "$stage" diff-tree -p --no-renames --binary --diff-filter=a "$2^" "$2")
	{
		echo "From: $identity"
		sed '1s/^/Subject: [PATCH] /' "$scratch/message"
		echo '---'
		# Other sections of MAINTAINERS are not the same in every 6.1.y, but for their titles.
		"${diff[@]}" -U3 -- ':(exclude,top)MAINTAINERS'
		"${diff[@]}" -U1 -- MAINTAINERS
	} | sed -E '/^index [0-9a-f]{4,39}\.\.[0-9a-f]{4,39}\b/d' >"$stage/patches/$folder/$name"
}

# stage_all: what the repository has to hold, in $stage.
stage_all() {
	local series commit number folder=

	mkdir -p "$stage/patches" "$stage/lab"
	cp "$top/lab/identity" "$stage/lab/"
	echo '# The series, the patches of each in order, the new files that each patch brings in. By make refresh.' \
		>"$stage/patches/series"
	while read -r series commit; do stage_commit "$series" "$commit"; done <"$scratch/commits"
	# Some were removed again.
	GIT_INDEX_FILE=$scratch/index git read-tree p2p
	new_files "$stage" | GIT_INDEX_FILE=$scratch/index git checkout-index -q --prefix="$stage/" --stdin || :
}

# For build/linux and for patches/.
lock tree
scratch
stage=$scratch/stage
[ -d "$state" ] || die "there is no build/linux to bring back" "make tree makes it"
cd "$linux"
work=$(unfinished)
[ -z "$work" ] || die "build/linux has what is in no commit of its branch p2p: ${work//$'\n'/, }" \
	"commit it there (git add -A; git commit --amend), finish a rebase (git rebase --continue)," \
	"put other commits on the branch (git checkout -B p2p), then make refresh"
changed_inputs
[ ${#changed[@]} -eq 0 ] || [ "${DISCARD-}" ] ||
	die "these changed in the repository since build/linux was made of it:" "${changed[@]/#/    }" \
		"To take them into build/linux: make tree (when nothing there waits for refresh)." \
		"To bring build/linux back first: git stash, make refresh, git stash pop." \
		"To overwrite them with what build/linux holds: make refresh DISCARD=1"
check_commits
list_commits >"$scratch/commits"
for name in $(git for-each-ref --format='%(refname:lstrip=3)' refs/heads/series); do
	grep -q "^$name [^/]*\$" "$scratch/commits" ||
		die "the series $name ends outside p2p, or in the same commit as another one, or has a / in its name" \
			"say which is its last: git -C build/linux branch -f series/$name <commit>" \
			"or drop it, and its commits go to the series after it: git -C build/linux branch -D series/$name"
done
step "reading $(wc -l <"$scratch/commits") commits of build/linux"
: >"$scratch/wanted"
stage_all
new=$(snapshot "$stage")
lay_series "$stage" "$new" "$(git rev-parse base)"
git log --reverse --format='%T %an <%ae> %s%n%B' "base..$tip" |
	diff -u -F '^[0-9a-f]\{40\} ' "$scratch/wanted" - >"$scratch/difference" ||
	die "as patches, the commits of build/linux (-) would become others (+):" "$(tail -n +3 "$scratch/difference" | head -n 20)" \
		"mail cannot carry a line that looks like the beginning of a diff, or like a mail header" \
		"the repository is as it was"
for path in "$top"/patches/*/cover; do
	[ ! -e "$path" ] || [ -d "$stage/patches/$(basename "$(dirname "$path")")" ] ||
		die "${path#"$top"/} is the cover letter of no series that build/linux has (branches series/*)" \
			"move it to the folder of its series, or remove it"
done

changed_inputs
mapfile -t changed < <(git diff --name-only "$inputs" "$new")
trap '' INT TERM
outer "$top" read-tree -m -u "$inputs" "$new" 2>"$scratch/errors" ||
	die "the series brings in a file that the repository has already:" "$(<"$scratch/errors")" \
		"remove or rename one of the two"
inputs=$new
point_refs
# The same files: only the name of the commit moves.
git update-ref refs/heads/p2p "$tip"
trap - INT TERM
[ ${#changed[@]} -eq 0 ] || printf '    %s\n' "${changed[@]}"
ok "patches/ and the new files are what build/linux holds (${#changed[@]} files changed here)"
