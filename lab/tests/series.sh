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
# fails it; "fails" turns a command that must fail around and keeps what it said in $said.
set -euo pipefail

repository=$(cd "$(dirname "$0")/../.." && pwd -P)
scratch=$(mktemp -d "${TMPDIR:-/tmp}/p2p-series-test.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
export DEPS=skip GIT_CONFIG_GLOBAL=/dev/null
unset MAKEFLAGS KSRC DISCARD REROLL

# --- the toy kernel, and repositories like this one around it ---

# make_kernel DIRECTORY [SUBLEVEL]
make_kernel() {
	mkdir -p "$1/mm" "$1/scripts"
	printf 'VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = %d\n' "${2:-7}" >"$1/Makefile"
	for name in gup mmap memory; do
		for line in $(seq 40); do echo "$name $line"; done >"$1/mm/$name.c"
	done
	echo '#!/bin/sh' >"$1/scripts/tool.sh"
	printf '*.o\n/*\n!/debian/\n' >"$1/.gitignore"
	printf '%s\n' 'OVERLAY' $'M:\tA <a@localhost>' '' 'PCI' "M:	B ${2-} <b@localhost>" >"$1/MAINTAINERS"
}

# new_repo DIRECTORY: this repository's verbs, and an empty series.
new_repo() {
	mkdir -p "$1/patches"
	cp -r "$repository/lab" "$repository/Makefile" "$1/"
	: >"$1/patches/series"
}

# start: a repository in "repo" with its tree made, and us in it.
start() {
	make_kernel "$PWD/kernel"
	new_repo repo
	cd repo
	make tree KSRC=../kernel
}

# edit FILE FROM TO: in build/linux.
edit() { sed -i "s/^$2\$/$3/" "build/linux/$1" && grep -q "^$3\$" "build/linux/$1"; }

commit() {
	git -C build/linux add -A
	git -C build/linux commit -q "$@"
}

# Four commits in two series: new files, one executable, one edited by later patches, one removed again.
four_commits() {
	edit mm/gup.c 'gup 20' 'gup twenty'
	for line in $(seq 30); do echo "p2p $line"; done >build/linux/mm/p2p.c
	echo short >build/linux/mm/short.c
	commit -m 'mm: add P2P mappings' -m 'With a body.'
	edit mm/gup.c 'gup 5' 'gup five'
	edit mm/gup.c 'gup 35' 'gup thirty-five'
	edit mm/p2p.c 'p2p 10' 'p2p ten'
	git -C build/linux rm -q mm/memory.c
	chmod +x build/linux/scripts/tool.sh
	commit -m 'mm: edit files that exist, remove one, and give this subject more than 64 bytes'
	git -C build/linux branch series/S1-mm
	mkdir -p build/linux/tools/p2p
	printf '#!/bin/sh' >build/linux/tools/p2p/run.sh
	chmod +x build/linux/tools/p2p/run.sh
	sed -i $'s/^PCI$/P2P DMA\\nM:\tF <f@localhost>\\n\\n&/' build/linux/MAINTAINERS
	commit -m 'tools: p2p: ünïcode, "quotes" and \backslashes'
	edit mm/p2p.c 'p2p 11' 'p2p eleven'
	git -C build/linux rm -q mm/short.c
	printf '\0\1\2' >build/linux/mm/mmap.c
	commit -m 'mm: a binary file, and one file less'
	git -C build/linux branch series/S2-tools
	mkdir -p patches/S1-mm
	printf '%s\n' 'A cover letter: the subject' '' 'Its text.' 'Its end.' >patches/S1-mm/cover
}

# files: everything in the repository but build/, with mode and content.
files() {
	find . -path ./build -prune -o -type f -printf '%m %p ' -exec sha256sum {} \; | sort -k 2
}

head_tree() { git -C "$1/build/linux" rev-parse 'HEAD^{tree}'; }
head_commit() { git -C "$1/build/linux" rev-parse HEAD; }

fails() {
	if said=$("$@" 2>&1); then
		echo "should have failed: $*"
		echo "$said"
		return 1
	fi
	echo "$said"
}

# says TEXT...: the last failure said each.
says() {
	local text

	for text; do
		[[ $said == *"$text"* ]] || {
			echo "did not say: $text"
			return 1
		}
	done
}

# --- the tests ---

test_empty_series() {
	start
	[ "$(git -C build/linux log --format=%s)" = 'Linux 6.1.7' ]
	diff -r -x .git -x .gitignore build/linux ../kernel
	# Debian's pattern for everything is gone, so git sees new files.
	touch build/linux/new.c
	[ "$(git -C build/linux status --porcelain)" = '?? new.c' ]
}

test_first_import() {
	start
	four_commits
	before=$(head_tree .)
	make refresh
	[ "$(head_tree .)" = "$before" ]
	[ -z "$(git -C build/linux status --porcelain)" ]
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
	[ -x tools/p2p/run.sh ]
	[ ! -e mm/short.c ]
	fails grep -r '^new file mode' patches/
	grep -q '^+p2p ten' patches/S1-mm/0002-*
	# No date, no object id, no git version.
	fails grep -rE -e '^index [0-9a-f]{4,20}\.\.' -e '^Date:' -e "$(git version | cut -d ' ' -f 3)" patches/
	for patch in patches/*/*.patch; do
		[ "$(grep -c "^Signed-off-by: $(cat lab/identity)\$" "$patch")" = 1 ]
		[ "$(head -n 1 "$patch")" = "From: $(cat lab/identity)" ]
	done
	# Without a branch all is one series.
	git -C build/linux branch -q -D series/S1-mm series/S2-tools
	fails make refresh
	says 'patches/S1-mm/cover' 'move it'
	mkdir patches/S-all
	mv patches/S1-mm/cover patches/S-all/
	make refresh
	[ "$(grep -c '^[^ #]' patches/series)" = 1 ]
	grep -q '^S-all/    # A cover' patches/series
}

test_round_trip() {
	start
	four_commits
	make refresh
	make tree | grep 'up to date: 4 patches'
	# Any commit may touch any file, and the ends of the series move along.
	edit mm/p2p.c 'p2p 25' 'p2p, amended'
	commit --fixup=HEAD~2
	edit mm/p2p.c 'p2p 5' 'p2p, amended, too'
	commit --fixup=HEAD~4
	GIT_SEQUENCE_EDITOR=: git -C build/linux rebase -q -i --autosquash base
	edit mm/gup.c 'gup 30' 'gup thirty'
	commit -m 'mm: fifth'
	tree=$(head_tree .)
	make refresh
	[ "$(git -C build/linux rev-list --count base..series/S1-mm)" = 2 ]
	[ "$(git -C build/linux rev-list --count series/S1-mm..series/S2-tools)" = 3 ]
	grep -q '^+p2p, amended$' patches/S1-mm/0002-*
	before=$(files)
	# Somebody else's clone gives the same, down to the commit ids.
	mkdir ../clone
	cp -r lab patches Makefile mm tools ../clone/
	make -C ../clone tree KSRC="$PWD/../kernel"
	[ "$(head_tree ../clone)" = "$tree" ]
	[ "$(head_commit ../clone)" = "$(head_commit .)" ]
	[ "$(git -C ../clone/build/linux for-each-ref)" = "$(git -C build/linux for-each-ref)" ]
	make -C ../clone refresh
	[ "$(cd ../clone && files)" = "$before" ]
	# A clean refresh does not even rewrite.
	touch -d '2001-01-01' mm/p2p.c patches/*/* patches/series
	make refresh
	[ "$(files)" = "$before" ]
	[ -z "$(find mm patches -newermt 2001-01-02 -type f)" ]
}

test_ends_of_series() {
	start
	four_commits
	make refresh
	git -C build/linux branch -f series/S1-mm HEAD~3
	make tree | grep 'other ends of the series'
	make refresh
	[ -f patches/S2-tools/0003-mm-a-binary-file-and-one-file-less.patch ]
	[ "$(find patches/S1-mm -name '*.patch' | wc -l)" = 1 ]
	git -C build/linux branch -f series/S1-mm HEAD
	fails make refresh
	says S1-mm S2-tools 'same commit'
	git -C build/linux branch -f series/S1-mm base
	fails make refresh
	says 'series S1-mm does not end in a commit of p2p' 'branch -f'
}

test_reproducible_commits() {
	start
	four_commits
	make refresh
	id=$(head_commit .)
	rm -rf build
	mkdir ../home
	printf '[user]\nname=X\nemail=x@localhost\n[core]\nautocrlf=true\n[commit]\ngpgsign=true\n' >../home/.gitconfig
	(umask 077 && HOME=$PWD/../home GIT_CONFIG_GLOBAL=$PWD/../home/.gitconfig TZ=Asia/Tokyo \
		GIT_AUTHOR_NAME=Y GIT_DIR=/nonexistent LC_ALL=C make tree KSRC=../kernel)
	[ "$(head_commit .)" = "$id" ]
	# From a tarball as from a directory.
	rm -rf build
	tar -C .. -cJf ../kernel.tar.xz kernel
	make tree KSRC=../kernel.tar.xz
	[ "$(head_commit .)" = "$id" ]
}

test_failing_patch() {
	start
	four_commits
	make refresh
	id=$(head_commit .)
	state=$(cat build/linux/.git/p2p/*)
	first=S1-mm/0001-mm-add-P2P-mappings.patch
	second=$(cd patches && echo S1-mm/0002-*)
	broken() {
		cp "$1" ../saved
		sed -i "$2" "$1"
		fails make tree
		says "${@:3}"
		[ "$(head_commit .)" = "$id" ]
		[ "$(cat build/linux/.git/p2p/*)" = "$state" ]
		[ -z "$(git -C build/linux status --porcelain)" ]
		cp ../saved "$1"
	}
	broken "patches/$second" 's/^-gup 35$/-gup thirty/' "patches/$second does not apply" mm/gup.c:32
	# patch(1) would take this context line for good.
	broken "patches/$first" 's/^ gup 17$/ gup seventeen/' "patches/$first does not apply" mm/gup.c:17
	# Where a later patch has a hunk for a new file.
	broken mm/p2p.c 's/^p2p ten$/p2p 10/' "does not apply in reverse" mm/p2p.c 'in build/linux'
	make tree | grep 'up to date'
}

test_work_is_left_alone() {
	start
	four_commits
	make refresh
	# Nothing changed in the repository: any work may stay.
	echo 'new' >build/linux/mm/new.c
	make tree | grep 'left alone'
	# The repository changed: neither an untracked file, nor an edit, nor a commit is lost.
	echo '# changed' >>patches/series
	fails make tree
	says patches/series 'make refresh' DISCARD=1
	rm build/linux/mm/new.c
	edit mm/gup.c 'gup 12' 'gup twelve'
	fails make tree
	says 'uncommitted changes'
	fails make clean
	says 'uncommitted changes' DISCARD=1
	grep -q 'gup twelve' build/linux/mm/gup.c
	commit -m 'mm: twelve'
	fails make tree
	[ "$(git -C build/linux log -1 --format=%s)" = 'mm: twelve' ]
	fails make tree KSRC="$(make_kernel ../other 8 && echo ../other)"
	# A dropped commit is work as well.
	git -C build/linux reset -q --hard base
	fails make tree
	echo 'new' >build/linux/mm/new.c
	make tree DISCARD=1
	[ "$(git -C build/linux rev-list --count base..HEAD)" = 4 ]
	[ ! -e build/linux/mm/new.c ]
	make tree | grep 'up to date: 4 patches'
	make clean
	[ ! -e build ]
}

test_unchanged_files_keep_their_time() {
	start
	four_commits
	make refresh
	touch -d '2001-01-01' build/linux/mm/* build/linux/Makefile
	git -C build/linux status --porcelain
	echo 'more' >>mm/p2p.c
	make tree
	[ "$(find build/linux/mm build/linux/Makefile -type f -newermt 2001-01-02)" = build/linux/mm/p2p.c ]
	grep -q more build/linux/mm/p2p.c
	[ "$(git -C build/linux diff --name-only base HEAD~3 | tr '\n' ' ')" = 'mm/gup.c mm/p2p.c mm/short.c ' ]
}

test_refresh_refuses() {
	start
	four_commits
	before=$(files)
	edit mm/gup.c 'gup 12' 'gup twelve'
	fails make refresh
	says 'uncommitted changes' mm/gup.c
	git -C build/linux commit -qam 'fixup! mm: add P2P mappings'
	fails make refresh
	says 'fixup! mm: add P2P mappings' --autosquash
	git -C build/linux reset -q --hard HEAD^
	git -C build/linux checkout -q -b side base
	edit mm/gup.c 'gup 13' 'gup thirteen'
	git -C build/linux commit -qam 'mm: thirteen'
	fails make refresh
	says 'not on its branch p2p'
	git -C build/linux checkout -q p2p
	git -C build/linux merge -q --no-edit side
	fails make refresh
	says 'is a merge'
	git -C build/linux checkout -q --orphan unrelated
	git -C build/linux commit -qm 'Some other base'
	git -C build/linux checkout -q -B p2p
	fails make refresh
	says 'do not begin at base' 'rebase --onto base'
	for name in S1-mm S2-tools; do git -C build/linux branch -q -D "series/$name"; done
	rm -r patches/S1-mm
	before=$(files)

	git -C build/linux reset -q --hard base
	edit mm/gup.c 'gup 12' 'gup twelve'
	commit -m 'mm: twelve' -m $'Before\n---\nafter'
	fails make refresh
	says 'mm: twelve'
	git -C build/linux reset -q --hard base
	ln -s gup.c build/linux/mm/link.c
	commit -m 'mm: a link'
	fails make refresh
	says mm/link.c 'only regular files'
	git -C build/linux reset -q --hard base
	mkdir build/linux/lab
	touch build/linux/lab/x
	commit -m 'lab: ours'
	fails make refresh
	says lab/x
	[ "$(files)" = "$before" ]
}

test_refresh_keeps_the_repositorys_changes() {
	start
	four_commits
	make refresh
	echo 'edited here' >>mm/p2p.c
	edit mm/gup.c 'gup 12' 'gup twelve'
	commit -m 'mm: twelve'
	before=$(files)
	fails make refresh
	says '    mm/p2p.c' 'make tree' 'DISCARD=1'
	[ "$(files)" = "$before" ]
	make refresh DISCARD=1
	cmp mm/p2p.c build/linux/mm/p2p.c
	# Nor does a new file replace one that was never the series'.
	echo 'notes' >mm/notes.c
	echo 'code' >build/linux/mm/notes.c
	commit -m 'mm: notes'
	fails make refresh
	says mm/notes.c
	[ "$(cat mm/notes.c)" = notes ]
}

test_refresh_removes_what_vanished() {
	start
	four_commits
	rm patches/S1-mm/cover
	make refresh
	git -C build/linux reset -q --hard base
	git -C build/linux branch -q -D series/S1-mm series/S2-tools
	edit mm/mmap.c 'mmap 12' 'mmap twelve'
	commit -m 'mm: twelve'
	make refresh
	[ "$(find patches -name '*.patch')" = patches/S-all/0001-mm-twelve.patch ]
	[ ! -e mm ] && [ ! -e tools ] && [ ! -e patches/S1-mm ]
}

test_series_errors() {
	start
	four_commits
	make refresh
	cp patches/series ../series
	try() {
		sed "$1" ../series >patches/series
		fails make tree
		says "${@:2}"
	}
	try '/0001-mm/p' 'names S1-mm/0001-mm-add-P2P-mappings.patch twice'
	try '/0001-mm/s/$/\n mm\/none.c/' mm/none.c 'does not exist' 0001-mm
	try '/0002-mm-edit/d' S1-mm/0002- 'is not in patches/series'
	try 's/0002-mm-edit/0002-mm-edited/' 'S1-mm/0002-mm-edited' 'does not exist'
	try '/S1-mm/d' '0001-mm-add-P2P-mappings.patch' 'not a patch in a folder'
	try 's|mm/p2p.c|../p2p.c|' 'not a path'
	echo gup >mm/gup.c
	try '/0002-mm-edit/s/$/\n mm\/gup.c/' 'mm/gup.c is in the base already'
	rm patches/series
	fails make tree
	says 'patches/series is missing'
}

test_base_errors() {
	make_kernel "$PWD/kernel"
	new_repo repo
	cd repo
	fails make tree KSRC=../nothing
	says 'does not exist'
	sed -i 's/^PATCHLEVEL = 1/PATCHLEVEL = 12/' ../kernel/Makefile
	fails make tree KSRC=../kernel
	says 'Linux 6.12' 'series is for 6.1'
	mkdir ../none
	fails make tree KSRC=../none
	says 'not a kernel'
	[ ! -e build/linux ]
	sed -i 's/^PATCHLEVEL = 12/PATCHLEVEL = 1/' ../kernel/Makefile
	# An unpacking that broke off is no tree, now or later.
	head -c 300000 /dev/urandom >../kernel/mm/random.c
	tar -C .. -cJf ../kernel.tar.xz kernel
	head -c 200000 ../kernel.tar.xz >../half.tar.xz
	fails make tree KSRC=../half.tar.xz
	[ ! -e build/linux ]
	mkdir -p build/base.new/mm
	echo half >build/base.new/mm/half.c
	make tree KSRC=../kernel
	[ ! -e build/linux/mm/half.c ]
	[ ! -e build/base.new ]
	diff -r -x .git -x .gitignore build/linux ../kernel
}

test_new_base() {
	start
	four_commits
	make refresh
	make_kernel ../other 8
	sed -i 's/^gup 28$/gup twenty-eight/' ../other/mm/gup.c
	touch -d '2001-01-01' build/linux/mm/p2p.c
	git -C build/linux status --porcelain
	make tree KSRC=../other
	[ "$(git -C build/linux log -1 --format=%s base)" = 'Linux 6.1.8' ]
	grep -q '^gup twenty-eight$' build/linux/mm/gup.c
	# Next to our entry in MAINTAINERS another line changed.
	grep -q 'B 8' build/linux/MAINTAINERS
	[ "$(git -C build/linux rev-list --count base..)" = 4 ]
	[ -z "$(find build/linux/mm/p2p.c -newermt 2001-01-02)" ]
	# Without KSRC= it stays on the base it has, even when that is gone.
	make tree | grep 'up to date: 4 patches on Linux 6.1.8'
	rm -r ../other
	make tree | grep 'up to date: 4 patches on Linux 6.1.8'
	# A git tree as the base: what it has committed.
	git -C ../kernel init -q
	git -C ../kernel add -A -f
	git -C ../kernel -c user.name=X -c user.email=x commit -qm x
	touch ../kernel/mm/built.o
	make tree KSRC=../kernel
	[ "$(git -C build/linux log -1 --format=%s base)" = 'Linux 6.1.7' ]
	[ ! -e build/linux/mm/built.o ]
}

test_mail() {
	start
	four_commits
	head -c 200000 /dev/zero | tr '\0' 'x' | fold >build/linux/mm/long.c
	commit -m 'mm: a long file'
	make refresh
	git init -q
	printf '%s\n' '#!/bin/sh' 'echo "A Name <a@example.invalid> (maintainer:PCI)"' \
		'echo "list@example.invalid (open list:PCI,a b)"' >build/linux/scripts/get_maintainer.pl
	chmod +x build/linux/scripts/get_maintainer.pl
	make series | tee ../said
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
	cp -r ../kernel ../pristine
	cp build/linux/.gitignore ../pristine
	stranger() { git -C ../pristine -c user.name=X -c user.email=x "$@"; }
	stranger init -q
	stranger add -A -f
	stranger commit -qm base
	stranger am "$PWD"/build/series/S1-mm/000[1-9]-*.patch
	[ "$(stranger rev-parse 'HEAD^{tree}')" = "$(git -C build/linux rev-parse 'series/S1-mm^{tree}')" ]
	stranger am "$PWD/build/series/S2-tools.mbox"
	[ "$(stranger rev-parse 'HEAD^{tree}')" = "$(head_tree .)" ]
	[ "$(stranger log --format='%an <%ae> %s' HEAD~5..)" = \
		"$(git -C build/linux log --format='%an <%ae> %s' base..)" ]
	# The check made a work tree and a branch, and took them away.
	[ "$(git -C build/linux worktree list | wc -l)" = 1 ]
	[ "$(git -C build/linux branch | wc -l)" = 3 ]
	# The next version, with what changed since this one.
	rm build/linux/scripts/get_maintainer.pl
	git add -A -f patches mm tools
	git -c user.name=X -c user.email=x commit -qm v1
	edit mm/p2p.c 'p2p 20' 'p2p, second version'
	commit --fixup=HEAD~4
	GIT_SEQUENCE_EDITOR=: git -C build/linux rebase -q -i --autosquash base
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
	tar -C "$repository" --exclude=./build --exclude=./.git -cf - . | tar -C repo -xf -
	cd repo
	git clone -q --shared --no-checkout "$repository/build/linux" build/linux
	git -C build/linux sparse-checkout set --no-cone /MAINTAINERS
	git -C build/linux checkout -q -B p2p base
	git -C build/linux update-ref refs/p2p/tip base
	mkdir build/linux/.git/p2p
	cp "$repository/build/linux/.git/p2p/source" build/linux/.git/p2p/
	: >build/linux/.git/p2p/inputs
	before=$(files)
	make tree
	[ "$(git -C build/linux rev-list --count base..HEAD)" = "$(grep -c '\.patch$' patches/series)" ]
	make refresh
	[ "$(files)" = "$before" ]
	make tree | grep 'up to date'
}

# --- run them ---

mapfile -t tests < <(compgen -A function test_)
[ $# -eq 0 ] || tests=("${@/#/test_}")

echo TAP version 13
echo "1..${#tests[@]}"
failed=0
for i in "${!tests[@]}"; do
	if [ "${tests[i]}" = test_this_repository ] && [ ! -d "$repository/build/linux" ]; then
		echo "ok $((i + 1)) this_repository # SKIP no build/linux, make tree makes it"
		continue
	fi
	mkdir "$scratch/$i"
	# Not in a condition: that would switch set -e off in the test.
	set +e
	(cd "$scratch/$i" && set -e && "${tests[i]}") >"$scratch/$i.log" 2>&1
	status=$?
	set -e
	if [ "$status" -eq 0 ]; then
		echo "ok $((i + 1)) ${tests[i]#test_}"
	else
		echo "not ok $((i + 1)) ${tests[i]#test_}"
		tail -n 30 "$scratch/$i.log" | sed 's/^/# /'
		failed=$((failed + 1))
	fi
	rm -rf "${scratch:?}/$i"
done
exit "$((failed > 0))"
