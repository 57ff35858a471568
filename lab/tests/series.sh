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
	printf '%s\n' 'List of maintainers' '===' '' 'Descriptions of sections' '' \
		'OVERLAY FILESYSTEM' $'M:\tA <a@localhost>' '' \
		'PCI SUBSYSTEM' $'M:\tB <b@localhost>' '' \
		'OUT OF ORDER' $'M:\tC <c@localhost>' '' \
		'X86 ARCHITECTURE' $'M:\tD <d@localhost>' '' \
		'THE REST' $'M:\tE <e@localhost>' >"$1/MAINTAINERS"
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

# Three commits, with new files, one of them executable, and a MAINTAINERS entry.
three_commits() {
	edit mm/gup.c 'gup 20' 'gup twenty'
	printf 'p2p\n' >build/linux/mm/p2p.c
	commit -m 'mm: add P2P mappings' -m 'With a body.'
	edit mm/gup.c 'gup 5' 'gup five'
	edit mm/gup.c 'gup 35' 'gup thirty-five'
	edit mm/mmap.c 'mmap 1' 'mmap one'
	git -C build/linux rm -q mm/memory.c
	chmod +x build/linux/scripts/tool.sh
	commit -m 'mm: edit files that exist, remove one, and give this subject more than 64 bytes'
	mkdir -p build/linux/tools/p2p
	printf '#!/bin/sh' >build/linux/tools/p2p/run.sh
	chmod +x build/linux/tools/p2p/run.sh
	printf '%s\n' 'P2P DMA' $'M:\tF <f@localhost>' $'F:\tmm/p2p.c' >../entry
	awk -v entry=../entry -f lab/maintainers.awk build/linux/MAINTAINERS >../merged
	cp ../merged build/linux/MAINTAINERS
	commit -m 'tools: p2p: ünïcode, "quotes" and \backslashes'
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
	three_commits
	before=$(head_tree .)
	make refresh
	[ "$(head_tree .)" = "$before" ]
	[ -z "$(git -C build/linux status --porcelain)" ]
	diff patches/series - <<-END
		0001-mm-add-P2P-mappings.patch   mm/p2p.c
		0002-mm-edit-files-that-exist-remove-one-and-give-this-su.patch
		0003-tools-p2p-n-code-quotes-and-backslashes.patch   MAINTAINERS tools/p2p/run.sh
	END
	cmp MAINTAINERS ../entry
	cmp mm/p2p.c build/linux/mm/p2p.c
	[ -x tools/p2p/run.sh ]
	# New files stand in one place only.
	fails grep -rl -e '^new file mode' -e 'mm/p2p.c' patches/*.patch
	# No date, no object id, no git version.
	fails grep -r -e '^index ' -e '^Date:' -e "$(git version | cut -d ' ' -f 3)" patches/
}

test_round_trip() {
	start
	three_commits
	make refresh
	edit mm/p2p.c p2p 'p2p, amended'
	commit --fixup=HEAD~2
	GIT_SEQUENCE_EDITOR=: git -C build/linux rebase -q -i --autosquash base
	edit mm/mmap.c 'mmap 30' 'mmap thirty'
	commit -m 'mm: fourth'
	tree=$(head_tree .)
	make refresh
	# Somebody else's clone gives the same, down to the commit ids.
	mkdir ../clone
	cp -r lab patches Makefile MAINTAINERS mm tools ../clone/
	make -C ../clone tree KSRC="$PWD/../kernel"
	[ "$(head_tree ../clone)" = "$tree" ]
	[ "$(head_commit ../clone)" = "$(head_commit .)" ]
}

# A new file stands here as the last patch leaves it; what it was before is found again.
test_later_hunks() {
	start
	three_commits
	for line in $(seq 30); do echo "p2p $line"; done >>build/linux/mm/p2p.c
	commit -m 'mm: change what the first patch adds'
	edit mm/p2p.c 'p2p 3' 'p2p three'
	chmod +x build/linux/mm/p2p.c
	edit mm/gup.c 'gup 40' 'gup forty'
	commit -m 'mm: change it once more, and another file'
	trees=$(git -C build/linux log --format=%T)
	make refresh
	cmp mm/p2p.c build/linux/mm/p2p.c
	grep -q '^+p2p three$' patches/0005-*
	rm -rf build
	make tree KSRC=../kernel
	[ "$(git -C build/linux log --format=%T)" = "$trees" ]
	make refresh | grep '(0 files changed here)'
	# Edited here instead, it has to fit the hunks still.
	sed -i 's/^p2p three$/p2p 3rd/' mm/p2p.c
	fails make tree
	says patches/0005- mm/p2p.c 'make refresh'
}

test_added_and_removed() {
	start
	three_commits
	git -C build/linux rm -q mm/p2p.c
	commit -m 'mm: remove what the first patch adds'
	before=$(files)
	fails make refresh
	says 'mm: add P2P mappings' mm/p2p.c 'a later commit removes' 'rebase -i'
	[ "$(files)" = "$before" ]
}

# Patches stay in their directories, and new ones follow the patch before them.
test_directories() {
	start
	three_commits
	make refresh
	mkdir patches/S0-fixes patches/S1-mm
	mv patches/0001-* patches/S0-fixes/
	mv patches/0002-* patches/S1-mm/0001-mm-edit-files-that-exist-remove-one-and-give-this-su.patch
	mv patches/0003-* patches/S1-mm/0002-tools-p2p-n-code-quotes-and-backslashes.patch
	sed -i -e 's|^0001|S0-fixes/0001|' -e 's|^0002|# the second\nS1-mm/0001|' -e 's|^0003|S1-mm/0002|' patches/series
	printf 'fixes\n\nOf the toy.\n' >patches/S0-fixes/cover
	printf 'mm\n\nMore of it.\n' >patches/S1-mm/cover
	make tree
	edit mm/mmap.c 'mmap 30' 'mmap thirty'
	commit -m 'mm: fourth'
	make refresh
	diff patches/series - <<-END
		S0-fixes/0001-mm-add-P2P-mappings.patch   mm/p2p.c
		# the second
		S1-mm/0001-mm-edit-files-that-exist-remove-one-and-give-this-su.patch
		S1-mm/0002-tools-p2p-n-code-quotes-and-backslashes.patch   MAINTAINERS tools/p2p/run.sh
		S1-mm/0003-mm-fourth.patch
	END
	[ -s patches/S0-fixes/cover ]
	make series
	grep -q '^Subject: \[PATCH 0/1\] fixes$' build/series/S0-fixes/0000-cover-letter.patch
	grep -q '^Subject: \[PATCH 3/3\] mm: fourth$' build/series/S1-mm/0003-mm-fourth.patch
	# b4 makes one thread of it, and asks nobody.
	message=$(sed -n 's/^Message-I[dD]: <\(.*\)>$/\1/p' build/series/S1-mm/0000-cover-letter.patch)
	(cd build/linux && b4 --offline-mode am -o ../../.. -n S1 -m ../series/S1-mm/mbox "$message")
	[ "$(grep -c '^Subject: \[PATCH [123]/3\]' ../S1.mbx)" = 3 ]
	# A series is one piece.
	GIT_SEQUENCE_EDITOR='sed -i "1{h;d};2{G}"' git -C build/linux rebase -q -i base
	before=$(files)
	fails make refresh
	says patches/S1-mm/ 'a series is one piece'
	[ "$(files)" = "$before" ]
}

test_clean_refresh_changes_nothing() {
	start
	three_commits
	make refresh
	sed -i -e '1i # How to read this file.\n' -e '2i # Why this one is second.' -e '$a # The end.' patches/series
	make tree
	before=$(files)
	touch -d '2001-01-01' mm/p2p.c patches/*
	make refresh
	[ "$(files)" = "$before" ]
	# Not even rewritten.
	[ -z "$(find mm patches -newermt 2001-01-02 -type f)" ]
	make tree | grep 'up to date: 3 patches'
}

test_reproducible_commits() {
	start
	three_commits
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
	three_commits
	make refresh
	id=$(head_commit .)
	state=$(cat build/linux/.git/p2p/*)
	second=$(sed -n 2p patches/series)
	sed -i 's/^-gup 35$/-gup thirty/' "patches/$second"
	for fresh in '' yes; do
		[ -z "$fresh" ] || rm -rf build
		fails make tree KSRC=../kernel
		says "patches/$second" 'mm/gup.c: hunk 2' '@@ -32,7 +32,7 @@'
		if [ "$fresh" ]; then
			[ ! -e build/linux ]
		else
			[ "$(head_commit .)" = "$id" ]
			[ "$(cat build/linux/.git/p2p/*)" = "$state" ]
			[ -z "$(git -C build/linux status --porcelain)" ]
		fi
	done
	sed -i 's/^-gup thirty$/-gup 35/' "patches/$second"
	make tree KSRC=../kernel
	[ "$(head_commit .)" = "$id" ]
}

test_no_fuzz() {
	start
	three_commits
	make refresh
	# patch(1) would take this context line for good.
	sed -i 's/^ gup 17$/ gup seventeen/' patches/0001-*
	fails make tree
	says patches/0001-mm-add-P2P-mappings.patch 'mm/gup.c: hunk 1'
}

test_work_is_left_alone() {
	start
	three_commits
	make refresh
	# Nothing changed in the repository: any work may stay.
	echo 'new' >build/linux/mm/new.c
	make tree | grep 'left alone'
	# The repository changed: neither an untracked file, nor an edit, nor a commit is lost.
	echo '# changed' >>patches/series
	fails make tree
	says patches/series 'make refresh' DISCARD=1
	rm build/linux/mm/new.c
	edit mm/mmap.c 'mmap 12' 'mmap twelve'
	fails make tree
	says 'uncommitted changes'
	grep -q 'mmap twelve' build/linux/mm/mmap.c
	commit -m 'mm: twelve'
	fails make tree
	[ "$(git -C build/linux log -1 --format=%s)" = 'mm: twelve' ]
	fails make tree KSRC="$(make_kernel ../other 8 && echo ../other)"
	# A dropped commit is work as well.
	git -C build/linux reset -q --hard base
	fails make tree
	make tree DISCARD=1
	[ "$(git -C build/linux rev-list --count base..HEAD)" = 3 ]
	make tree | grep 'up to date: 3 patches'
}

test_discard() {
	start
	three_commits
	make refresh
	id=$(head_commit .)
	echo 'new' >build/linux/mm/new.c
	edit mm/mmap.c 'mmap 12' 'mmap twelve'
	git -C build/linux commit -qam 'mm: twelve'
	make tree DISCARD=1
	[ "$(head_commit .)" = "$id" ]
	[ -z "$(git -C build/linux status --porcelain)" ]
}

test_clean_keeps_work() {
	start
	edit mm/mmap.c 'mmap 12' 'mmap twelve'
	fails make clean
	says 'uncommitted changes' DISCARD=1
	grep -q 'mmap twelve' build/linux/mm/mmap.c
	make clean DISCARD=1
	[ ! -e build ]
}

test_unchanged_files_keep_their_time() {
	start
	three_commits
	make refresh
	touch -d '2001-01-01' build/linux/mm/* build/linux/Makefile
	git -C build/linux status --porcelain
	echo 'more' >>mm/p2p.c
	make tree
	[ "$(find build/linux/mm build/linux/Makefile -type f -newermt 2001-01-02)" = build/linux/mm/p2p.c ]
	grep -q more build/linux/mm/p2p.c
}

test_refresh_refuses_loose_ends() {
	start
	three_commits
	before=$(files)
	edit mm/mmap.c 'mmap 12' 'mmap twelve'
	fails make refresh
	says 'uncommitted changes' mm/mmap.c
	git -C build/linux commit -qam 'fixup! mm: add P2P mappings'
	fails make refresh
	says 'fixup! mm: add P2P mappings' --autosquash
	git -C build/linux reset -q --hard HEAD^
	git -C build/linux checkout -q -b side base
	edit mm/mmap.c 'mmap 13' 'mmap thirteen'
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
	[ "$(files)" = "$before" ]
}

test_refresh_refuses_unmailable() {
	start
	edit mm/mmap.c 'mmap 12' 'mmap twelve'
	commit -m 'mm: twelve' -m $'Before\n---\nafter'
	before=$(files)
	fails make refresh
	says 'mm: twelve'
	[ "$(files)" = "$before" ]
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
	three_commits
	make refresh
	echo 'edited here' >>mm/p2p.c
	edit mm/mmap.c 'mmap 12' 'mmap twelve'
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
	three_commits
	make refresh
	sed -i -e '1i # How to read this file.\n' -e '2i # Why this one is second.' -e '$a # The end.' patches/series
	make tree
	git -C build/linux reset -q --hard base
	edit mm/mmap.c 'mmap 12' 'mmap twelve'
	commit -m 'mm: twelve'
	git -C build/linux cherry-pick 'HEAD@{2}~1' >/dev/null
	make refresh
	diff patches/series - <<-END
		# How to read this file.

		0001-mm-twelve.patch
		# Why this one is second.
		0002-mm-edit-files-that-exist-remove-one-and-give-this-su.patch
		# The end.
	END
	[ "$(find patches -name '*.patch' | wc -l)" = 2 ]
	[ ! -e mm ]
	[ ! -e tools ]
	[ ! -e MAINTAINERS ]
}

test_author_and_sign_off() {
	start
	edit mm/mmap.c 'mmap 12' 'mmap twelve'
	commit --author='Somebody Else <else@localhost>' -m 'mm: unsigned'
	edit mm/mmap.c 'mmap 13' 'mmap thirteen'
	commit -m 'mm: signed' -m 'Text.' -m "Signed-off-by: $(cat lab/identity)"
	make refresh
	for patch in patches/*.patch; do
		[ "$(grep -c "^Signed-off-by: $(cat lab/identity)\$" "$patch")" = 1 ]
		[ "$(head -n 1 "$patch")" = "From: $(cat lab/identity)" ]
	done
	[ "$(git -C build/linux log --format='%an <%ae>' base.. | sort -u)" = "$(cat lab/identity)" ]
}

test_maintainers_entry() {
	start
	echo p2p >build/linux/mm/p2p.c
	commit -m 'mm: p2p'
	make refresh
	printf '%s\n' 'P2P DMA' $'M:\tF <f@localhost>' >MAINTAINERS
	sed -i 's|mm/p2p.c|MAINTAINERS mm/p2p.c|' patches/series
	make tree
	# Behind OVERLAY and before PCI, whatever is out of order elsewhere; the rest as it was.
	[ "$(git -C build/linux diff --numstat base -- MAINTAINERS)" = $'3\t0\tMAINTAINERS' ]
	[ "$(grep -A 3 '^P2P DMA' build/linux/MAINTAINERS | tail -n 1)" = 'PCI SUBSYSTEM' ]
	before=$(files)
	make refresh
	[ "$(files)" = "$before" ]
	# An entry elsewhere could not be made again.
	git -C build/linux show base:MAINTAINERS >build/linux/MAINTAINERS
	printf '\n' | cat - MAINTAINERS >>build/linux/MAINTAINERS
	commit --amend --no-edit
	fails make refresh
	says "'P2P DMA'" alphabetical 'PCI SUBSYSTEM'
	# A change of the kernel's own entries is a hunk like any other.
	git -C build/linux reset -q --hard refs/p2p/tip
	sed -i "s/^M:\tB .*/&\nF:\tmm/" build/linux/MAINTAINERS
	git -C build/linux show base:MAINTAINERS | sed "s/^M:\tB .*/&\nF:\tmm/" >../edited
	git -C build/linux reset -q --hard base
	cp ../edited build/linux/MAINTAINERS
	commit -m 'PCI: one more directory'
	make refresh
	grep -q '^+F:.*mm' patches/0001-PCI-one-more-directory.patch
	[ ! -e MAINTAINERS ]
}

test_series_errors() {
	start
	three_commits
	make refresh
	cp patches/series ../series
	echo '0001-mm-add-P2P-mappings.patch' >>patches/series
	fails make tree
	says 'names 0001-mm-add-P2P-mappings.patch twice'
	sed '2s|$| mm/p2p.c|' ../series >patches/series
	fails make tree
	says 'mm/p2p.c belongs to 0001-mm-add-P2P-mappings.patch and to 0002-'
	sed '2s|$| mm/none.c|' ../series >patches/series
	fails make tree
	says mm/none.c 'no regular file'
	sed 2d ../series >patches/series
	fails make tree
	says patches/0002- 'not in patches/series'
	echo gup >mm/gup.c
	sed '2s|$| mm/gup.c|' ../series >patches/series
	fails make tree
	says 'mm/gup.c is in the base already' 0002-
	cp ../series patches/series
	printf '%s\n' 'diff --git a/mm/x.c b/mm/x.c' 'new file mode 100644' '--- /dev/null' '+++ b/mm/x.c' \
		'@@ -0,0 +1 @@' '+x' >>patches/0002-*
	fails make tree
	says 'patches/0002-' 'creates a file' mm/x.c
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
	three_commits
	make refresh
	make_kernel ../other 8
	sed -i 's/^mmap 40$/mmap forty/' ../other/mm/mmap.c
	touch -d '2001-01-01' build/linux/mm/gup.c
	git -C build/linux status --porcelain
	make tree KSRC=../other
	[ "$(git -C build/linux log -1 --format=%s base)" = 'Linux 6.1.8' ]
	grep -q '^mmap forty$' build/linux/mm/mmap.c
	[ "$(git -C build/linux rev-list --count base..)" = 3 ]
	[ -z "$(find build/linux/mm/gup.c -newermt 2001-01-02)" ]
	# Without KSRC= it stays on the base it has, even when that is gone.
	make tree | grep 'up to date: 3 patches on Linux 6.1.8'
	rm -r ../other
	make tree | grep 'up to date: 3 patches on Linux 6.1.8'
	# A git tree as the base: what it has committed.
	git -C ../kernel init -q
	git -C ../kernel add -A -f
	git -C ../kernel -c user.name=X -c user.email=x commit -qm x
	touch ../kernel/mm/built.o
	make tree KSRC=../kernel
	[ "$(git -C build/linux log -1 --format=%s base)" = 'Linux 6.1.7' ]
	[ ! -e build/linux/mm/built.o ]
}

test_git_am() {
	start
	three_commits
	make refresh
	fails make series
	says cover 'is missing'
	printf 'the toy\n\nA toy with wheels.\n' >patches/cover
	make series
	# Under the names they have in patches/.
	[ "$(cd build/series && echo [0-9]*)" = "0000-cover-letter.patch $(cd patches && echo 0*.patch)" ]
	fails grep -e '\*\*\*' build/series/0000-cover-letter.patch
	grep -qF "$(head -n 1 patches/cover)" build/series/0000-cover-letter.patch
	grep -qF "$(tail -n 1 patches/cover)" build/series/0000-cover-letter.patch
	# A stranger's git takes the mails on a pristine kernel.
	cp -r ../kernel ../pristine
	cd ../pristine
	cp ../repo/build/linux/.gitignore .
	git init -q
	git add -A -f
	git -c user.name=X -c user.email=x commit -qm base
	git -c user.name=X -c user.email=x am ../repo/build/series/000[1-9]-*.patch
	[ "$(git rev-parse 'HEAD^{tree}')" = "$(head_tree ../repo)" ]
	[ "$(git log --format='%an <%ae> %s' HEAD~3..)" = \
		"$(git -C ../repo/build/linux log --format='%an <%ae> %s' base..)" ]
	# The check made a work tree, and took it away.
	[ "$(git -C ../repo/build/linux worktree list | wc -l)" = 1 ]
	cd ../repo
	make series REROLL=2
	grep -q '^Subject: \[PATCH v2 0/3\]' build/series/v2-0000-cover-letter.patch
	[ "$(find build/series -type f | wc -l)" = 5 ]
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
	[ "$(git -C build/linux rev-list --count base..HEAD)" = "$(grep -c '^[^#].*\.patch' patches/series)" ]
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
