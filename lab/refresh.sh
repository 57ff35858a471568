#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# make refresh [DISCARD=1]: bring the commits of build/linux back into the repository, the changes of
# existing files as patches/, the new files to their in-tree paths.
#
# All of it is first written aside and laid on the base again; only when that gives the same trees
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
	found=$(git log --format='%h %s' base..HEAD | grep -E '^[0-9a-f]+ (fixup|squash|amend)! ' | head -n 1 || :)
	[ -z "$found" ] ||
		die "$found is meant for another commit" \
			"fold it: git -C build/linux rebase -i --autosquash base"
}

# Files changed here since build/linux was made would be overwritten with what they were before.
check_inputs() {
	local -a changed

	check_series "$top"
	list_inputs "$top" >"$scratch/now"
	cmp -s "$scratch/now" "$state/inputs" && return
	[ -z "${DISCARD-}" ] || return 0
	mapfile -t changed < <(changed_inputs "$state/inputs" "$scratch/now")
	die "these changed in the repository since build/linux was made of it:" "${changed[@]/#/    }" \
		"To take them into build/linux: make tree (when nothing there waits for refresh)." \
		"To bring build/linux back first: git stash, make refresh, git stash pop." \
		"To overwrite them with what build/linux holds: make refresh DISCARD=1"
}

# write_message COMMIT: the commit's message with the identity's Signed-off-by.
write_message() {
	git log -1 --format=%B "$1" | git stripspace |
		git interpret-trailers --no-divider --if-exists addIfDifferent \
			--trailer "Signed-off-by: $identity"
}

# our_entry COMMIT PARENT: in $scratch/entry the section that COMMIT adds to MAINTAINERS; false if it
# does anything else to the file.
our_entry() {
	git cat-file blob "$1:MAINTAINERS" >"$scratch/new" 2>/dev/null || return 1
	git cat-file blob "$2:MAINTAINERS" >"$scratch/old" 2>/dev/null || return 1
	awk -v since="$scratch/old" -f "$top/lab/maintainers.awk" "$scratch/new" >"$scratch/entry"
	# One section, and nothing but it.
	grep -q . "$scratch/entry" && ! grep -q '^$' "$scratch/entry" || return 1
	[ $(($(wc -l <"$scratch/new") - $(wc -l <"$scratch/old"))) -eq $(($(wc -l <"$scratch/entry") + 1)) ] ||
		return 1
	awk -v entry="$scratch/entry" -f "$top/lab/maintainers.awk" "$scratch/old" >"$scratch/merged"
	cmp -s "$scratch/merged" "$scratch/new" ||
		die "$(say "$1"): the MAINTAINERS entry '$(head -n 1 "$scratch/entry")' is not at its alphabetical place" \
			"make tree would put it here:" \
			"$(diff -U1 "$scratch/old" "$scratch/merged" | tail -n +3)"
}

# stage_file COMMIT PATH: a new file, whole, as the last commit leaves it.
stage_file() {
	local root=${2%%/*} mode

	case $root in
	.ci | .git | build | lab | patches | README.md)
		die "$(say "$1") adds $2, where the repository keeps its own files" ;;
	esac
	mode=$(git ls-tree HEAD -- "$2" | cut -d ' ' -f 1)
	case $mode in
	100644 | 100755) ;;
	'') die "$(say "$1") adds $2, which a later commit removes again" \
		"leave it out: git -C build/linux rebase -i base" ;;
	*) die "$(say "$1") adds $2 with mode $mode: only regular files can be new files" ;;
	esac
	mkdir -p "$stage/$(dirname "$2")"
	git cat-file blob "HEAD:$2" >"$stage/$2"
	[ "$mode" = 100644 ] || chmod +x "$stage/$2"
}

# directory_of SLUG: where patches/series has the patch of that subject: "DIRECTORY/" or nothing. False if it
# has none.
directory_of() {
	awk -v slug="$1" '
		{ name = $1; sub(/.*\//, "", name) }
		!/^[[:space:]]*(#|$)/ && substr(name, index(name, "-") + 1) == slug {
			print substr($1, 1, length($1) - length(name))
			found = 1
			exit
		}
		END { exit !found }' "$top/patches/series"
}

# stage_commit COMMIT: one line of patches/series, the patch file, the new files.
stage_commit() {
	local commit=$1 parent subject slug name status path
	local -a added=() edited=()

	parent=$(git rev-parse "$commit^")
	while read -r status path; do
		case $path in
		\"* | *\ *) die "$(say "$commit"): the path $path has a character patches/series cannot hold" ;;
		esac
		if [ "$path" = MAINTAINERS ] && [ "${owner[$path]-}" ]; then
			die "$(say "$commit") changes MAINTAINERS, where $(say "${owner[$path]}") adds our entry" \
				"fold the change into that one: git -C build/linux rebase -i base"
		elif [ "$status" = A ]; then
			stage_file "$commit" "$path"
			added+=("$path")
		elif [ "$path" = MAINTAINERS ] && our_entry "$commit" "$parent"; then
			cp "$scratch/entry" "$stage/MAINTAINERS"
			owner[$path]=$commit
			added+=("$path")
		else
			edited+=("$path")
		fi
	done < <(git diff-tree -r --no-renames --no-commit-id "$commit" | cut -d ' ' -f 5 | tr '\t' ' ')
	[ $((${#added[@]} + ${#edited[@]})) -gt 0 ] ||
		die "$(say "$commit") changes nothing" "drop it: git -C build/linux rebase -i base"

	# The name is the one git format-patch gives, which stops at 64 bytes.
	slug=$(git log -1 --format=%f "$commit")
	name=$(printf '0000-%s' "$slug")
	slug=${name:5:52}.patch
	# A new patch belongs to the series of the one before it.
	directory=$(directory_of "$slug") || directory=$last
	if [ "$directory" != "$last" ]; then
		[ -z "${count[${directory:-.}]-}" ] ||
			die "$(say "$commit") belongs to patches/$directory, but follows a patch of patches/$last" \
				"a series is one piece: move the commit (git -C build/linux rebase -i base)," \
				"or move the patch to another directory, in patches/series too, and make refresh DISCARD=1"
		last=$directory
	fi
	count[${directory:-.}]=$((${count[${directory:-.}]-0} + 1))
	name=$directory$(printf '%04d-%s' "${count[${directory:-.}]}" "$slug")
	mkdir -p "$stage/patches/$directory"
	subject=$(git log -1 --format=%s "$commit")
	[ "$subject" ] || die "commit $commit has no message"
	write_message "$commit" >"$scratch/message"
	{
		printf 'From: %s\nSubject: [PATCH] %s\n\n' "$identity" "$subject"
		# The subject is the first paragraph, however many lines it has.
		awk 'body; /^$/ { body = 1 }' "$scratch/message"
		echo '---'
		if [ ${#edited[@]} -gt 0 ]; then
			git diff --no-color --no-ext-diff --no-textconv --no-renames --diff-algorithm=myers \
				--src-prefix=a/ --dst-prefix=b/ -U3 "$parent" "$commit" -- "${edited[@]}" |
				sed '/^index [0-9a-f]*\.\.[0-9a-f]*/d'
		fi
	} >"$stage/patches/$name"
	! grep -q '^Binary files .* differ$' "$stage/patches/$name" ||
		die "$(say "$commit") changes a binary file of the kernel, which a patch here cannot hold"

	# A comment stays with the patch below it, known by its subject.
	series_comments "$slug" >>"$stage/patches/series"
	echo "$name${added[*]:+   ${added[*]}}" >>"$stage/patches/series"
}

# series_comments head|tail|SLUG: the comments above the first patch, below the last one, or above the
# one of that subject.
series_comments() {
	awk -v which="$1" '
		/^[[:space:]]*(#|$)/ { text = text $0 "\n"; next }
		{
			name = $1
			sub(/.*\//, "", name)
			name = n++ ? substr(name, index(name, "-") + 1) : "head"
			if (name == which && !done++)
				printf "%s", text
			text = ""
		}
		END { if (which == (n ? "tail" : "head")) printf "%s", text }' "$top/patches/series"
}

stage_all() {
	local commit directory last=
	local -A owner=() count=()

	mkdir -p "$stage/patches"
	series_comments head >"$stage/patches/series"
	for commit in $(git rev-list --reverse base..HEAD); do
		stage_commit "$commit"
	done
	series_comments tail >>"$stage/patches/series"
}

# What was written must make the commits again, tree by tree and message by message.
prove() {
	local theirs ours

	lay_series "$stage" "$(git rev-parse base)"
	while read -r theirs ours; do
		[ "$(git rev-parse "$theirs^{tree}")" = "$(git rev-parse "$ours^{tree}")" ] ||
			die "the patch of $(say "$theirs") does not give the commit's files again" \
				"the repository is as it was"
		write_message "$theirs" >"$scratch/message"
		[ "$(git log -1 --format=%b "$ours" | git stripspace)" = \
			"$(awk 'body; /^$/ { body = 1 }' "$scratch/message" | git stripspace)" ] ||
			die "mail cannot carry the message of $(say "$theirs")" \
				"a line of it looks like the beginning of a diff, or like a mail header" \
				"the repository is as it was"
	done < <(paste -d ' ' <(git rev-list base..HEAD) <(git rev-list "base..$tip"))
}

# check_claims: a file of the repository that was not the series' so far stays, unless it is the same.
check_claims() {
	local path

	while read -r path; do
		if [ -e "$top/$path" ] && ! cmp -s "$stage/$path" "$top/$path"; then
			die "the series brings in $path, which the repository has too, with other content" \
				"remove the repository's, or make the two the same"
		fi
	done < <(comm -13 <(paths_of "$scratch/now") <(paths_of "$scratch/inputs"))
}

# paths_of LIST: the paths of a list of inputs.
paths_of() { sed -e '/^identity /d' -e 's/^[^ ]* [^ ]* //' "$1" | sort; }

# install_all: make the repository's files those of $stage, touching no other. Prints what changed.
install_all() {
	local mode path

	while read -r path; do
		[ -e "$stage/$path" ] || {
			rm -f "$top/$path"
			echo "removed $path"
			(cd "$top" && rmdir -p --ignore-fail-on-non-empty "$(dirname "$path")" 2>/dev/null) || :
		}
	done < <(paths_of "$scratch/now")
	while read -r mode _ path; do
		if [ "$mode" = "$(mode_of "$top" "$path")" ] && cmp -s "$stage/$path" "$top/$path"; then
			continue
		fi
		if [ -e "$top/$path" ]; then echo "changed $path"; else echo "added $path"; fi
		mkdir -p "$top/$(dirname "$path")"
		cp "$stage/$path" "$top/$path"
		if [ "$mode" = 100755 ]; then chmod 755 "$top/$path"; else chmod 644 "$top/$path"; fi
	done < <(sed '/^identity /d' "$scratch/inputs")
}

# For build/linux and for patches/.
lock tree
scratch
stage=$scratch/stage
check_tree
check_inputs
export GIT_DIR=$linux/.git
check_commits
step "reading $(git rev-list --count base..HEAD) commits of build/linux"
stage_all
prove

list_inputs "$stage" >"$scratch/inputs"
check_claims
trap '' INT TERM
mapfile -t changes < <(install_all)
cp "$scratch/inputs" "$state/inputs"
git update-ref refs/p2p/tip "$tip"
# The same files: only the name of the commit moves.
git update-ref refs/heads/p2p "$tip"
trap - INT TERM
[ ${#changes[@]} -eq 0 ] || printf '    %s\n' "${changes[@]}"
ok "patches/ and the new files are what build/linux holds (${#changes[@]} files changed here)"
