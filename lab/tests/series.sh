#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2317 # the tests are called by name
#
# Tests of tree, refresh, series and clean on a toy kernel, in TAP. They need no build and take
# seconds.
#
#	lab/tests/series.sh [TEST...]
#
# Each test is a function that runs in an empty directory with set -e, so its first failing command
# fails it.
set -euo pipefail

repository=$(cd "$(dirname "$0")/../.." && pwd -P)
scratch=$(mktemp -d "${TMPDIR:-/tmp}/p2p-series-test.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
export DEPS=skip GIT_CONFIG_GLOBAL=/dev/null
export GIT_AUTHOR_NAME=X GIT_AUTHOR_EMAIL=x@localhost GIT_COMMITTER_NAME=X GIT_COMMITTER_EMAIL=x@localhost
unset MAKEFLAGS KSRC DISCARD REROLL SINCE

# --- the toy kernel, and repositories like this one around it ---

# make_kernel DIRECTORY [SUBLEVEL]: a git tree.
make_kernel() {
	local name

	mkdir -p "$1/mm" "$1/scripts"
	printf 'VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = %d\n' "${2:-7}" >"$1/Makefile"
	for name in gup mmap memory; do seq -f "$name %g" 40 >"$1/mm/$name.c"; done
	echo '#!/bin/sh' >"$1/scripts/tool.sh"
	printf '*.o\n/*\n!/debian/\n' >"$1/.gitignore"
	printf '%s\n' 'OVERLAY' $'M:\tA <a@localhost>' '' 'PCI' "M:	B ${2-} <b@localhost>" >"$1/MAINTAINERS"
	git -C "$1" init -q
	git -C "$1" add -A -f
	git -C "$1" commit -qm base
}

# start: a repository in "repo" with its tree made, and us in it.
start() {
	make_kernel kernel
	mkdir -p repo/patches
	cp -r "$repository/lab" "$repository/Makefile" repo/
	cd repo
	: >patches/series
	make tree KSRC=../kernel
}

linux() { git -C build/linux "$@"; }

# edit FILE FROM TO: in build/linux.
edit() { sed -i "s/^$2\$/$3/" "build/linux/$1" && grep -q "^$3\$" "build/linux/$1"; }

commit() { linux add -A && linux commit -q "$@"; }

# amend N FILE FROM TO: the edit becomes part of the last commit but N.
amend() {
	edit "${@:2}"
	commit --fixup="HEAD~$1"
	GIT_SEQUENCE_EDITOR=: linux rebase -q -i --autosquash base
}

# Four commits in two series: new files, one executable, one edited by later patches, one removed again.
four_commits() {
	edit mm/gup.c 'gup 20' 'gup twenty'
	seq -f 'p2p %g' 30 >build/linux/mm/p2p.c
	echo short >build/linux/mm/short.c
	commit -m 'mm: add P2P mappings' -m 'With a body.'
	edit mm/gup.c 'gup 5' 'gup five'
	edit mm/gup.c 'gup 35' 'gup thirty-five'
	edit mm/p2p.c 'p2p 10' 'p2p ten'
	linux rm -q mm/memory.c
	chmod +x build/linux/scripts/tool.sh
	commit -m 'mm: edit files that exist, remove one, and give this subject more than 64 bytes'
	linux branch series/S1-mm
	mkdir -p build/linux/tools/p2p patches/S1-mm
	printf '#!/bin/sh' >build/linux/tools/p2p/run.sh
	chmod +x build/linux/tools/p2p/run.sh
	sed -i $'s/^PCI$/P2P DMA\\nM:\tF <f@localhost>\\n\\n&/' build/linux/MAINTAINERS
	commit -m 'tools: p2p: ünïcode, "quotes" and \backslashes'
	edit mm/p2p.c 'p2p 11' 'p2p eleven'
	linux rm -q mm/short.c
	printf '\0\1\2' >build/linux/mm/mmap.c
	commit -m 'mm: a binary file, and one file less'
	linux branch series/S2-tools
	printf '%s\n' 'A cover letter: the subject' '' 'Its text.' 'Its end.' >patches/S1-mm/cover
}

# begin: start, with four commits in the repository.
begin() { start && four_commits && make refresh; }

# files: everything in the repository but build/, with mode and content.
files() { find . -path ./build -prune -o -type f -printf '%m %p ' -exec sha256sum {} \; | sort -k 2; }

# refuses "COMMAND" TEXT...: it fails, says each TEXT, and leaves the repository and build/linux as they are.
refuses() {
	local text said before

	before=$(files && linux for-each-ref && linux status --porcelain)
	if said=$(eval "$1" 2>&1); then
		echo "should have failed: $1: $said"
		return 1
	fi
	echo "$said"
	for text in "${@:2}"; do
		[[ $said == *"$text"* ]] || {
			echo "did not say: $text"
			return 1
		}
	done
	[ "$(files && linux for-each-ref && linux status --porcelain)" = "$before" ]
}

# --- the tests ---

test_first_import() {
	start
	[ "$(linux log --format=%s)" = 'Linux 6.1.7' ]
	diff -r -x .git -x .gitignore build/linux ../kernel
	four_commits
	before=$(linux rev-parse 'HEAD^{tree}')
	make refresh
	[ "$(linux rev-parse 'HEAD^{tree}')" = "$before" ]
	[ -z "$(linux status --porcelain)" ]
	tail -n +2 patches/series | diff - <(cat <<-END

		S1-mm/    # A cover letter: the subject
		    0001-mm-add-P2P-mappings.patch
		        mm/p2p.c
		        mm/short.c
		    0002-mm-edit-files-that-exist-remove-one-and-give-this-su.patch

		S2-tools/
		    0001-tools-p2p-n-code-quotes-and-backslashes.patch
		        tools/p2p/run.sh
		    0002-mm-a-binary-file-and-one-file-less.patch
	END
	)
	# New files stand in one place, as the last patch leaves them.
	cmp mm/p2p.c build/linux/mm/p2p.c
	[ -x tools/p2p/run.sh ] && [ ! -e mm/short.c ]
	grep -q '^+p2p ten' patches/S1-mm/0002-*
	# No date, no object id, no git version, no new file.
	! grep -rE -e '^index [0-9a-f]{4,20}\.\.' -e '^Date:' -e '^new file' -e "$(git version | cut -d ' ' -f 3)" patches/ || return 1
	for patch in patches/*/*.patch; do
		[ "$(grep -c "^Signed-off-by: $(cat lab/identity)\$" "$patch")" = 1 ]
		[ "$(head -n 1 "$patch")" = "From: $(cat lab/identity)" ]
	done
	# Without a branch all is one series. What vanished goes.
	linux branch -q -D series/S1-mm series/S2-tools
	mkdir patches/S-all
	mv patches/S1-mm/cover patches/S-all/
	linux reset -q --hard HEAD~3
	make refresh
	[ "$(cat patches/S-all/* | grep -c Subject)" = 1 ] && [ ! -e patches/S1-mm ] && [ ! -e tools ]
	grep -q '^S-all/    # A cover' patches/series
}

test_round_trip() {
	begin
	make tree | grep 'up to date: 4 patches'
	# Any commit may touch any file, and the ends of the series move along.
	amend 2 mm/p2p.c 'p2p 25' 'p2p, amended'
	amend 3 mm/p2p.c 'p2p 5' 'p2p, amended, too'
	edit mm/gup.c 'gup 30' 'gup thirty'
	commit -m 'mm: fifth'
	tree=$(linux rev-parse 'HEAD^{tree}')
	make refresh
	[ "$(linux rev-parse 'HEAD^{tree}')" = "$tree" ]
	[ "$(linux rev-list --count base..series/S1-mm)" = 2 ]
	[ "$(linux rev-list --count series/S1-mm..series/S2-tools)" = 3 ]
	grep -q '^+p2p, amended$' patches/S1-mm/0002-*
	before=$(files)
	refs=$(linux for-each-ref)
	# Somebody else's clone gives the same, down to the commit ids, whatever his settings, and of a tarball.
	tar -C .. --exclude=.git -cJf ../kernel.tar.xz kernel
	mkdir ../clone ../home
	printf '[user]\nname=Y\n[core]\nautocrlf=true\n[commit]\ngpgsign=true\n' >../home/.gitconfig
	cp -r lab patches Makefile mm tools ../clone/
	cd ../clone
	(umask 077 && HOME=$PWD/../home GIT_CONFIG_GLOBAL=$PWD/../home/.gitconfig TZ=Asia/Tokyo \
		GIT_DIR=/nonexistent LC_ALL=C make tree KSRC=../kernel.tar.xz)
	[ "$(linux for-each-ref)" = "$refs" ]
	# A clean refresh does not even rewrite.
	touch -d '2001-01-01' mm/p2p.c patches/*/* patches/series
	make refresh | grep '0 files changed'
	[ "$(files)" = "$before" ]
	[ -z "$(find mm patches -newermt 2001-01-02 -type f)" ]
	# The end of a series is a change, too.
	linux branch -f series/S1-mm HEAD~4
	make tree | grep 'other ends of the series'
	make refresh
	[ -f patches/S2-tools/0004-mm-fifth.patch ] && [ "$(find patches/S1-mm -name '*.patch' | wc -l)" = 1 ]
}

test_refusals() {
	begin
	saved=$PWD/../saved
	cp -r . "$saved"
	again() { cd "$saved" && rm -rf ../repo ../other ../none && cp -rp . ../repo && cd ../repo; }

	# Both directions name what stands in the way. EDIT | COMMAND | TEXT...
	while IFS='|' read -r change command texts; do
		again
		echo "--- $change"
		eval "$change"
		mapfile -t texts < <(tr '|' '\n' <<<"$texts")
		refuses "make $command" "${texts[@]}"
	done <<-'END'
		sed -i '/^-gup 35$/s/35/thirty/' patches/S1-mm/0002-*|tree|S1-mm/0002-mm-edit|does not apply|mm/gup.c:32
		sed -i '/^ gup 17$/s/17/seventeen/' patches/S1-mm/0001-*|tree|S1-mm/0001-mm-add|does not apply|mm/gup.c:17
		sed -i '/^p2p ten$/s/ten/10/' mm/p2p.c|tree|does not apply in reverse|mm/p2p.c|in build/linux
		sed -i '/0001-mm/p' patches/series|tree|not the same list|S1-mm/0001-mm-add-P2P-mappings.patch
		sed -i '/0001-mm/s/$/\n mm\/none.c/' patches/series|tree|mm/none.c|0001-mm
		sed -i '/0002-mm-edit/d' patches/series|tree|not the same list|> S1-mm/0002-
		sed -i '/S1-mm/d' patches/series|tree|not the same list|< 0001-mm-add
		sed -i 's:mm/p2p.c:../p2p.c:' patches/series|tree|../p2p.c
		sed -i '/0002-mm-edit/s/$/\n mm\/gup.c/' patches/series; echo gup >mm/gup.c|tree|mm/gup.c
		rm patches/series|tree|patches/series is missing
		touch build/linux/new.c; echo '# changed' >>patches/series|tree|patches/series|(new.c)|make refresh|DISCARD=1
		edit mm/gup.c 'gup 12' 'gup twelve'; touch mm/p2p.c; echo >>mm/p2p.c|tree|uncommitted changes|    mm/p2p.c
		linux reset -q --hard base; echo >>mm/p2p.c|tree|other commits
		edit mm/gup.c 'gup 12' twelve; commit -m x; make_kernel ../other 8|tree KSRC=../other|other commits|the base
		edit mm/gup.c 'gup 12' 'gup twelve'|clean|uncommitted changes|DISCARD=1
		edit mm/gup.c 'gup 12' 'gup twelve'|refresh|uncommitted changes|mm/gup.c
		edit mm/gup.c 'gup 12' twelve; commit -m 'fixup! mm: add'|refresh|meant for another|--autosquash
		linux checkout -q -b side; edit mm/gup.c 'gup 12' twelve; commit -m x|refresh|commits on side|checkout -B p2p
		linux merge -q --no-ff -m m --allow-unrelated-histories $(linux commit-tree -p base~0 -m x base^{tree})|refresh|is a merge
		linux reset -q --hard $(linux commit-tree -m x base^{tree})|refresh|do not begin at base|rebase --onto base
		linux branch -f series/S1-mm HEAD|refresh|S1-mm|same commit|branch -f
		linux branch -f series/S1-mm base|refresh|S1-mm|outside p2p|branch -D
		linux branch -D series/S1-mm|refresh|patches/S1-mm/cover|move it
		edit mm/gup.c 'gup 12' twelve; commit -m 'mm: twelve' -m $'Before\n---\nafter'|refresh|mm: twelve
		linux commit -q --allow-empty -m 'mm: nothing'|refresh|empty
		mkdir build/linux/lab; touch build/linux/lab/x; commit -m x|refresh|lab/x
		touch 'build/linux/a b'; commit -m x|refresh|a b
		echo notes >mm/notes.c; echo code >build/linux/mm/notes.c; commit -m x|refresh|mm/notes.c
		echo >>mm/p2p.c; edit mm/gup.c 'gup 12' twelve; commit -m x|refresh|    mm/p2p.c|make tree|DISCARD=1
		:|tree KSRC=../nothing|does not exist
		mkdir ../none|tree KSRC=../none|neither a tarball nor a git tree
		make_kernel ../other 8; sed -i '/PATCHLEVEL/s/1/12/' ../other/Makefile; git -C ../other commit -qam x|tree KSRC=../other|Linux 6.12|for 6.1
		tar -cf ../half.tar lab; truncate -s 20000 ../half.tar|tree KSRC=../half.tar|Unexpected EOF
	END
}

test_discard() {
	begin
	edit mm/gup.c 'gup 12' 'gup twelve'
	make tree | grep 'left alone'
	touch build/linux/new.c
	make tree DISCARD=1
	[ -z "$(linux status --porcelain)" ]
	echo 'edited here' >>mm/p2p.c
	make refresh DISCARD=1
	cmp mm/p2p.c build/linux/mm/p2p.c
	make clean
	[ ! -e build ]
}

test_unchanged_files_keep_their_time() {
	begin
	touch -d '2001-01-01' build/linux/mm/* build/linux/Makefile
	linux status --porcelain
	echo 'more' >>mm/p2p.c
	make tree
	[ "$(find build/linux/mm build/linux/Makefile -type f -newermt 2001-01-02)" = build/linux/mm/p2p.c ]
	grep -q more build/linux/mm/p2p.c
	# It came with the first patch, and stays in it.
	[ "$(linux diff --name-only base HEAD~3 | tr '\n' ' ')" = 'mm/gup.c mm/p2p.c mm/short.c ' ]
	# Another base, where the line next to our entry in MAINTAINERS changed.
	make_kernel ../other 8
	touch ../other/mm/built.o build/linux/mm/p2p.c -d '2001-01-01'
	linux status --porcelain
	make tree KSRC=../other
	grep -q 'B 8' build/linux/MAINTAINERS
	[ ! -e build/base.new ] && [ ! -e build/linux/mm/built.o ]
	[ -z "$(find build/linux/mm/p2p.c -newermt 2001-01-02)" ]
	# Without KSRC= it stays on the base it has, even when that is gone.
	rm -rf ../other
	make tree | grep 'up to date: 4 patches on Linux 6.1.8'
}

test_mail() {
	begin
	head -c 200000 /dev/zero | tr '\0' 'x' | fold >build/linux/mm/long.c
	commit -m 'mm: a long file'
	make refresh
	printf '%s\n' '#!/bin/sh' 'echo "A Name <a@example.invalid> (maintainer:PCI)"' \
		'echo "list@example.invalid (open list:PCI,a b)"' >build/linux/scripts/get_maintainer.pl
	chmod +x build/linux/scripts/get_maintainer.pl
	make series >../said
	grep -q 'warning: S2-tools/0003-mm-a-long-file.patch is longer than 100 KB' ../said
	grep -q 'not in patches/ yet' ../said
	# Under the names they have in patches/.
	[ "$(cd build/series && echo S2-tools/*)" = "$(cd patches && echo S2-tools/*)" ]
	cover=build/series/S1-mm/0000-cover-letter.patch
	grep -qx 'Subject: \[PATCH 0/2\] A cover letter: the subject' "$cover"
	grep -qx 'Its end.' "$cover"
	grep -qx 'To: list@example.invalid' build/series/S2-tools/0002-*
	grep -qx 'Cc: A Name <a@example.invalid>' build/series/S2-tools/0002-*
	# A stranger's git takes each series on the one before.
	git clone -q ../kernel ../stranger
	git -C ../stranger am "$PWD"/build/series/S1-mm/000[1-9]-*.patch
	git -C ../stranger am "$PWD/build/series/S2-tools.mbox"
	[ "$(git -C ../stranger log --format='%an %s' HEAD~5..)" = "$(linux log --format='%an %s' base..)" ]
	trees=(HEAD:mm HEAD:tools HEAD:scripts HEAD:MAINTAINERS)
	[ "$(git -C ../stranger rev-parse "${trees[@]}")" = "$(linux rev-parse "${trees[@]}")" ]
	# The check made a work tree and a branch, and took them away.
	[ "$(linux worktree list | wc -l)" = 1 ] && [ "$(linux branch | wc -l)" = 3 ]
	# The next version, with what changed since this one.
	rm build/linux/scripts/get_maintainer.pl
	git init -q
	git add -A -f lab patches mm tools
	git commit -qm v1
	amend 4 mm/p2p.c 'p2p 20' 'p2p, second version'
	make refresh
	make series REROLL=2 SINCE=HEAD
	grep -q '^Subject: \[PATCH v2 0/2\]' build/series/S1-mm/v2-0000-cover-letter.patch
	grep -q '^1: .* ! 1: .* mm: add P2P mappings' build/series/S1-mm/v2-0000-cover-letter.patch
	[ "$(find build/series/S1-mm -type f | wc -l)" = 3 ]
}

# The series of this repository, in a copy of it. The kernel's objects come from build/linux, and of
# its files only one is unpacked, which git takes for a clean work tree.
test_this_repository() {
	mkdir -p repo/build
	# Not all of the directory, in which other parts of make check are at work.
	git -C "$repository" ls-files -z --cached --others --exclude-standard |
		tar -C "$repository" --null --ignore-failed-read -T - -cf - | tar -C repo -xf -
	cd repo
	git clone -q --shared --no-checkout "$repository/build/linux" build/linux
	linux sparse-checkout set --no-cone /MAINTAINERS
	linux checkout -q -B p2p base
	linux update-ref refs/p2p/tip base
	mkdir build/linux/.git/p2p
	cp "$repository/build/linux/.git/p2p/source" build/linux/.git/p2p/
	before=$(files)
	make tree
	[ "$(linux rev-list --count base..HEAD)" = "$(grep -c '\.patch$' patches/series)" ]
	make refresh | grep '0 files changed'
	[ "$(files)" = "$before" ]
	make tree | grep 'up to date'
}

# --- run them ---

mapfile -t tests < <(compgen -A function test_)
[ $# -eq 0 ] || tests=("${@/#/test_}")

echo TAP version 13
echo "1..${#tests[@]}"
failed=0 number=0
for test in "${tests[@]}"; do
	name=${test#test_}
	number=$((number + 1))
	if [ "$name" = this_repository ] && [ ! -d "$repository/build/linux" ]; then
		echo "ok $number $name # SKIP no build/linux, make tree makes it"
		continue
	fi
	mkdir "$scratch/$name"
	# Not in a condition: that would switch set -e off in the test.
	set +e
	(cd "$scratch/$name" && set -e && "$test") >"$scratch/$name.log" 2>&1
	status=$?
	set -e
	if [ "$status" -eq 0 ]; then
		echo "ok $number $name"
	else
		echo "not ok $number $name"
		tail -n 30 "$scratch/$name.log" | sed 's/^/# /'
		failed=1
	fi
	rm -rf "${scratch:?}/$name"
done
exit "$failed"
