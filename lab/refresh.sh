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

# say COMMIT: how messages call it.
say() { git log -1 --format='%h ("%s")' "$1"; }

check_tree() {
	local dir
	local -a dirty

	[ -d "$state" ] || die "there is no build/linux to bring back" "make tree makes it"
	for dir in rebase-merge rebase-apply; do
		[ ! -d "$linux/.git/$dir" ] ||
			die "a rebase or am is under way in build/linux" "finish it there: git rebase --continue"
	done
	mapfile -t dirty < <(git -C "$linux" status --porcelain | head -n 10)
	[ ${#dirty[@]} -eq 0 ] ||
		die "build/linux has uncommitted changes:" "${dirty[@]}" \
			"commit them there (git add -A; git commit, or git commit --amend), then make refresh"
	[ "$(git -C "$linux" symbolic-ref -q --short HEAD)" = p2p ] ||
		die "build/linux is not on its branch p2p" \
			"put your commits there: git -C build/linux checkout -B p2p"
}

# Files changed here since build/linux was made would be overwritten with what they were before.
check_inputs() {
	local -a changed

	list_inputs "$top" >"$scratch/now"
	cmp -s "$scratch/now" "$state/inputs" && return
	[ -z "${DISCARD-}" ] || return 0
	mapfile -t changed < <(changed_inputs "$state/inputs" "$scratch/now")
	die "these changed in the repository since build/linux was made of it:" "${changed[@]/#/    }" \
		"To take them into build/linux: make tree (when nothing there waits for refresh)." \
		"To bring build/linux back first: git stash, make refresh, git stash pop." \
		"To overwrite them with what build/linux holds: make refresh DISCARD=1"
}

check_commits() {
	local found

	git merge-base --is-ancestor base HEAD ||
		die "the commits of build/linux do not begin at base" \
			"move them there: git -C build/linux rebase --onto base <the commit they begin at> p2p" \
			"(their first commit is $(git rev-list --max-parents=0 HEAD | tail -n 1))"
	found=$(git rev-list --merges base..HEAD | head -n 1)
	[ -z "$found" ] ||
		die "$(say "$found") is a merge, a series is a line of patches" \
			"straighten it: git -C build/linux rebase base"
	found=$(git log --format='%h %s' base..HEAD | grep -E -m 1 '^[0-9a-f]+ (fixup|squash|amend)! ' || :)
	[ -z "$found" ] ||
		die "$found is meant for another commit" \
			"fold it: git -C build/linux rebase -i --autosquash base"
}

# find_series: sets commits[], first to last, and series_of[]. A series ends at its branch; what comes
# after the last such branch belongs to that series, too.
find_series() {
	local commit name last=
	local -A ends=()

	mapfile -t commits < <(git rev-list --reverse base..HEAD)
	while read -r commit name; do
		[[ " ${commits[*]} " = *" $commit "* ]] ||
			die "series $name does not end in a commit of p2p, but in $(say "$commit")" \
				"say which is its last: git -C build/linux branch -f series/$name <commit>" \
				"or drop it, and its commits go to the series after it: git -C build/linux branch -D series/$name"
		[ -z "${ends[$commit]-}" ] ||
			die "the series ${ends[$commit]} and $name end in the same commit, $(say "$commit")" \
				"say where the first of them ends: git -C build/linux branch -f series/<name> <commit>" \
				"or drop it: git -C build/linux branch -D series/<name>"
		[[ $name != *[!A-Za-z0-9._-]* ]] || die "series/$name: the name is one of a folder, without / and spaces"
		ends[$commit]=$name
	done < <(git for-each-ref --format='%(objectname) %(refname:lstrip=3)' refs/heads/series)
	for commit in "${commits[@]}"; do last=${ends[$commit]-$last}; done
	last=${last:-S-all}
	for commit in $(git rev-list base..HEAD); do
		last=${ends[$commit]-$last}
		series_of[$commit]=$last
	done
}

# write_message COMMIT: the commit's message with the identity's Signed-off-by.
write_message() {
	git log -1 --format=%B "$1" | git stripspace |
		git interpret-trailers --no-divider --if-exists addIfDifferent \
			--trailer "Signed-off-by: $identity"
}

# stage_commit N COMMIT: its lines of patches/series and its patch file. Makes $made the commit that
# make tree has to make of them.
stage_commit() {
	local commit=$2 folder=${series_of[$2]} name mode status path
	local -a added=() edited=() diff

	while read -r mode status path; do
		case $status:$path in
		*:\"* | *:*\ *) die "$(say "$commit"): the path $path has a character patches/series cannot hold" ;;
		A:.ci/* | A:.git/* | A:build/* | A:lab/* | A:patches/* | A:README.md)
			die "$(say "$commit") adds $path, where the repository keeps its own files" ;;
		esac
		if [ "$status" = A ] && [ -z "$(git ls-tree --name-only base -- "$path")" ]; then
			[[ $mode = 100?[45][45] ]] ||
				die "$(say "$commit") adds $path with mode $mode: only regular files can be new files"
			added+=("$path")
		else
			edited+=("$path")
		fi
	done < <(git diff-tree -r --no-renames --no-commit-id "$commit" | cut -d ' ' -f 2,5 | tr '\t' ' ')
	[ $((${#added[@]} + ${#edited[@]})) -gt 0 ] ||
		die "$(say "$commit") changes nothing" "drop it: git -C build/linux rebase -i base"
	[ "$(git log -1 --format=%s "$commit")" ] || die "commit $commit has no message"

	write_message "$commit" >"$scratch/message"
	made=$(commit_tree "$commit^{tree}" "$1" "$scratch/message" "$identity_name" "$identity_mail" "$made")

	if [ "$folder" != "$last_folder" ]; then
		last_folder=$folder number=0
		mkdir "$stage/patches/$folder"
		printf '\n%s/%s\n' "$folder" "$(sed -n '1s/^/    # /p' "$top/patches/$folder/cover" 2>/dev/null)"
	fi >>"$stage/patches/series"
	# The name is the one git format-patch gives, which stops at 64 bytes.
	number=$((number + 1))
	name=$(printf '%04d-%s' "$number" "$(git log -1 --format=%f "$commit")")
	name=$folder/${name:0:57}.patch
	{
		printf '    %s\n' "${name#*/}"
		[ ${#added[@]} -eq 0 ] || printf '        %s\n' "${added[@]}"
	} >>"$stage/patches/series"

	diff=(git diff --no-color --no-ext-diff --no-textconv --no-renames --binary --diff-algorithm=myers
		--src-prefix=a/ --dst-prefix=b/ "$commit^" "$commit")
	{
		git log -1 --format="From: $identity%nSubject: [PATCH] %s%n%n%b" "$made" | git stripspace
		echo '---'
		# Other sections of MAINTAINERS are not the same in every 6.1.y, but for their titles.
		[ ${#edited[@]} -eq 0 ] || "${diff[@]}" -U3 -- "${edited[@]}" ':(exclude,top)MAINTAINERS'
		[[ " ${edited[*]} " != *' MAINTAINERS '* ]] || "${diff[@]}" -U1 -- MAINTAINERS
	} | sed -E '/^index [0-9a-f]{4,39}\.\.[0-9a-f]{4,39}\b/d' >"$stage/patches/$name"
}

stage_all() {
	local commit n=0 number last_folder=

	mkdir -p "$stage/patches"
	echo '# The series, the patches of each in order, the new files that each patch brings in. By make refresh.' \
		>"$stage/patches/series"
	made=$(git rev-parse base)
	for commit in "${commits[@]}"; do
		stage_commit $((++n)) "$commit"
	done
	GIT_INDEX_FILE=$scratch/index git read-tree HEAD
	new_files "$stage" | while read -r path; do
		[ -z "$(git ls-tree --name-only HEAD -- "$path")" ] || echo "$path"
	done | GIT_INDEX_FILE=$scratch/index git checkout-index --prefix="$stage/" --stdin
}

# What was written must make the commits again.
prove() {
	local theirs ours wanted

	lay_series "$stage" "$(git rev-parse base)"
	[ "$tip" != "$made" ] || return 0
	while read -r theirs ours wanted; do
		[ "$(git rev-parse "$theirs^{tree}")" = "$(git rev-parse "$ours^{tree}")" ] ||
			die "the patch of $(say "$theirs") does not give the commit's files again" \
				"the repository is as it was"
		[ "$ours" = "$wanted" ] ||
			die "mail cannot carry the message of $(say "$theirs")" \
				"a line of it looks like the beginning of a diff, or like a mail header" \
				"the repository is as it was"
	done < <(paste -d ' ' <(git rev-list --reverse base..HEAD) <(git rev-list --reverse "base..$tip") \
		<(git rev-list --reverse "base..$made"))
}

paths_of() { sed -e '/^identity /d' -e 's/^[^ ]* [^ ]* //' "$1" | sort; }

# check_claims: what would be lost that was never in the queue.
check_claims() {
	local path

	while read -r path; do
		if [ -e "$top/$path" ] && ! cmp -s "$stage/$path" "$top/$path"; then
			die "the series brings in $path, which the repository has too, with other content" \
				"remove the repository's, or make the two the same"
		fi
	done < <(comm -13 <(paths_of "$scratch/now") <(paths_of "$scratch/inputs"))
	for path in "$top"/patches/*/cover; do
		[ ! -e "$path" ] || [ -d "$stage/patches/$(basename "$(dirname "$path")")" ] ||
			die "${path#"$top"/} is the cover letter of no series that build/linux has (branches series/*)" \
				"move it to the folder of its series, or remove it"
	done
}

# install_all: make the repository's files those of $stage, touching no other. Prints what changed.
install_all() {
	local path

	while read -r path; do
		if [ ! -e "$stage/$path" ]; then
			rm -f "$top/$path"
			(cd "$top" && rmdir -p --ignore-fail-on-non-empty "$(dirname "$path")" 2>/dev/null) || :
		elif [ "$(mode_of "$stage/$path")" != "$(mode_of "$top/$path")" ] || ! cmp -s "$stage/$path" "$top/$path"; then
			mkdir -p "$top/$(dirname "$path")"
			cp "$stage/$path" "$top/$path"
			chmod "$(mode_of "$stage/$path" | cut -c 4-)" "$top/$path"
		else
			continue
		fi
		echo "$path"
	done < <(sort -u <(paths_of "$scratch/now") <(paths_of "$scratch/inputs"))
}

# For build/linux and for patches/.
lock tree
scratch
stage=$scratch/stage
declare -A series_of=()
check_tree
check_inputs
export GIT_DIR=$linux/.git
check_commits
find_series
step "reading ${#commits[@]} commits of build/linux"
stage_all
prove

list_inputs "$stage" >"$scratch/inputs"
check_claims
trap '' INT TERM
mapfile -t changes < <(install_all)
cp "$scratch/inputs" "$state/inputs"
point_refs
# The same files: only the name of the commit moves.
git update-ref refs/heads/p2p "$tip"
trap - INT TERM
[ ${#changes[@]} -eq 0 ] || printf '    %s\n' "${changes[@]}"
ok "patches/ and the new files are what build/linux holds (${#changes[@]} files changed here)"
