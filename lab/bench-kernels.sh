#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# For make bench: three kernels with the same small configuration, which all have the driver
# lab/bench/p2p_bench.c.
#
#   build/bzImage-bench         what is in build/linux, committed or not
#   build/bzImage-bench-base    Linux 6.1 without the series
#   build/bzImage-bench-peer    Debian's Linux 6.12, which has peer-to-peer memory for programs by
#                               another implementation
#
# The last two get a driver p2pmem-bar of their own, lab/bench/p2pmem-bar.c.
#
# The additions are commits that nobody sees: the source trees of the series stay as they are.
set -euo pipefail
# shellcheck source=lab/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=lab/kbuild.sh
. "$top/lab/kbuild.sh"

verb=bench
peer=$build/peer/linux
debian=/usr/src/linux-source-6.12.tar.xz

# add_file REPOSITORY PATH FILE: to the index.
add_file() {
	git -C "$1" update-index --add --cacheinfo \
		"100644,$(git -C "$1" hash-object -w "$3"),$2"
}

# add_object REPOSITORY DIRECTORY FILE: a driver of ours, built in.
add_object() {
	local name

	name=$(basename "$3" .c)
	add_file "$1" "$2/$name.c" "$3"
	{
		git -C "$1" cat-file blob ":$2/Makefile"
		echo "obj-y += $name.o"
	} >"$scratch/Makefile"
	add_file "$1" "$2/Makefile" "$scratch/Makefile"
}

# dressed REPOSITORY TREE PARENT [FILE]: a commit of the tree with the driver that measures in it, and
# the PCI driver FILE.
dressed() {
	export GIT_INDEX_FILE=$scratch/index
	git -C "$1" read-tree "$2"
	add_file "$1" drivers/misc/p2p_bench.h "$top/lab/bench/p2p_bench.h"
	add_object "$1" drivers/misc "$top/lab/bench/p2p_bench.c"
	[ -z "${4-}" ] || add_object "$1" drivers/pci "$4"
	# The same files make the same commit.
	env {GIT_AUTHOR,GIT_COMMITTER}_NAME="${identity%% <*}" {GIT_AUTHOR,GIT_COMMITTER}_EMAIL=p2p-gup \
		{GIT_AUTHOR,GIT_COMMITTER}_DATE="$(git -C "$1" log -1 --format=%cI "$3")" \
		git -C "$1" commit-tree "$(git -C "$1" write-tree)" -p "$3" -m 'The driver of make bench'
	unset GIT_INDEX_FILE
}

# work_tree: the tree of what is in build/linux as it is, new files as well.
work_tree() {
	cp "$(git -C "$linux" rev-parse --absolute-git-dir)/index" "$scratch/index"
	GIT_INDEX_FILE=$scratch/index git -C "$linux" add -A
	GIT_INDEX_FILE=$scratch/index git -C "$linux" write-tree
}

# key_of REPOSITORY COMMIT: changes when the kernel that $fragments make of the commit does.
key_of() {
	{
		cat "${fragments[@]}"
		gcc --version
		git -C "$1" rev-parse "$2^{tree}"
	} | sha256sum | cut -d ' ' -f 1
}

unpack_peer() {
	local print version

	[ -f "$debian" ] || die "$debian is missing" "install linux-source-6.12 (make deps)"
	print=$(stat -Lc '%s %Y' "$debian")
	[ "$(cat "$build/peer/source" 2>/dev/null)" != "$print" ] || return 0
	step "unpacking $debian"
	rm -rf "$build/peer"
	mkdir -p "$peer"
	tar -C "$peer" --strip-components=1 -xvf "$debian" | progress "files unpacked" 20000
	# It ends in a pattern for everything, which would hide files from git.
	sed -i '\,^/\*$,d' "$peer/.gitignore"
	version=$(make -s -C "$peer" kernelversion)
	step "recording Linux $version as the peer (once, about a minute)"
	git init -q --template= "$peer"
	git -C "$peer" config gc.auto 0
	git -C "$peer" config maintenance.auto false
	git -C "$peer" add -A -f -v | progress "files recorded" 20000
	git -C "$peer" -c user.name="${identity%% <*}" -c user.email=p2p-gup commit -q -m "Linux $version"
	git -C "$peer" tag base
	echo "$print" >"$build/peer/source"
}

# build_one NAME REPOSITORY COMMIT FRAGMENT...
build_one() {
	local name=$1 repository=$2 commit=$3 image=$build/bzImage-$1 key

	shift 3
	fragments "$@"
	if [ "$repository" = "$peer" ]; then src=$peer; else src=$build/steps/linux; fi
	out=$(dirname "$src")/$name
	log=$build/$name.log
	key=$(key_of "$repository" "$commit")
	if is_built "$image" "$key"; then
		step "${image#"$top"/} is up to date"
		return
	fi
	if [ "$repository" = "$peer" ]; then
		git -C "$peer" checkout -q -f --detach "$commit"
	else
		worktree "$commit"
	fi
	build_image "$image" "$key"
}

lock steps
scratch
unpack_peer
# Kernels without the series have no provider for any device.
bar=$top/lab/bench/p2pmem-bar.c
head=$(git -C "$linux" rev-parse HEAD)
series=$(dressed "$linux" "$(work_tree)" "$head")
pristine=$(dressed "$linux" base base "$bar")
other=$(dressed "$peer" base base "$bar")
build_one bench-base "$linux" "$pristine" base bench
build_one bench "$linux" "$series" base p2p bench
build_one bench-peer "$peer" "$other" base bench
ok "build/bzImage-bench, -bench-base and -bench-peer"
