#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# make unchanged [ALL=1] [DIRS='mm block']: with its options off, the series changes no object code but
# by the patches in $expected, each with its reason.
#
# The kernel after S0-fixes, whose corrections are for everybody, is compared with the whole series. Both
# are built with the lean configuration, the options of the series off, from the same source directory
# into the same build directory; then each object's machine code, data and relocations are compared. Only
# what the directories that the series touches make is compared, with ALL=1 every object of the kernel,
# with DIRS= those directories.
#
# Two things that change when lines and declarations move in a file are kept out:
#   - line numbers: both kernels are built without DEBUG_BUGVERBOSE
#   - what GCC appends to the names of local symbols: __func__.123; foo.constprop.0, .isra.0 and
#     .part.0, with which it names a function it found constant or unused arguments of
set -euo pipefail
# shellcheck source=lab/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=lab/kbuild.sh
. "$top/lab/kbuild.sh"

verb=unchanged
export KBUILD_BUILD_TIMESTAMP='1 January 2023'
work=$build/unchanged
out=$build/steps/unchanged
log=$work/build.log
kernel_directories=(arch/x86 block crypto drivers fs init io_uring ipc kernel lib mm net security virt)

# The patches that change object code all the same, and why: that of the files that they change, or that
# include a header of their own directory that they change. A patch that no longer does is an error, too.
declare -A expected=(
	["mm/gup: take device-mapped memory folio by folio"]="get_user_pages_fast() does that for all such memory"
	["PCI/P2PDMA: remember routes where DMA mappings find them"]="the mapping of RAM is apart from that of device memory"
	["fs/direct-io: don't write zeros in place of peer-to-peer memory"]="a test of an error code"
	["block: allow direct I/O from and to peer-to-peer memory"]="file systems that look at the data set a flag in the bio"
	["io_uring: let a buffer update say of what type each buffer is"]="new UAPI"
	["lib/test_hmm: keep what belongs to a private page together"]="a structure instead of a page"
	["vfio/type1: let devices use peer-to-peer memory"]="a DMA mapping has room for a lease, and mapping can begin again"
	["RDMA/core: register peer-to-peer memory"]="an MR that can be revoked can't be reregistered"
	["RDMA/vmw_pvrdma: register peer-to-peer memory"]="the command that destroys an MR has a function"
	["dma-buf: let an exporter choose where its memory is mapped"]="any exporter can"
	["dma-buf: heaps: let a heap be removed"]="any heap can"
	["kernfs, sysfs: let a binary attribute choose where it is mapped"]="any attribute can"
	["kernfs: tell open files of an attribute apart"]="a number for each file of any attribute"
	["PCI/P2PDMA: let userspace allocate and map peer-to-peer memory"]="the recovery from an error locks a device whose driver it can't tell"
	["lib/scatterlist: don't merge peer-to-peer memory of different providers"]="a test of two pages has a function"
	["md: take peer-to-peer memory in linear, raid0, raid1 and raid10"]="which error a request had decides what a mirror does"
	["nvme: don't wait for a reset with a passthrough request"]="-EAGAIN is tried again"
	["nvme-pci: map single segments of peer-to-peer memory as RAM"]="host memory has its place in a test of the kind"
	["mm/hmm: return peer-to-peer memory to callers that name their device"]="struct hmm_range has room for the device of the caller"
)

# Objects that these patches change only because a structure of include/ has another member.
declare -A larger=(
	["dma-buf: let an exporter choose where its memory is mapped"]="drivers/dma-buf/heaps/system_heap.o"
	["kernfs, sysfs: let a binary attribute choose where it is mapped"]="drivers/pci/pci-sysfs.o drivers/pci/vpd.o"
	["mm/hmm: return peer-to-peer memory to callers that name their device"]="drivers/infiniband/core/umem_odp.o"
)

# directories: those of the kernel proper that the series touches after S0-fixes.
directories() {
	local pattern

	pattern=$(IFS='|' && echo "${kernel_directories[*]}")
	git -C "$linux" diff --name-only series/S0-fixes HEAD | sed -n 's|/[^/]*$||p' | sort -u |
		grep -E "^($pattern)(/|\$)" | grep -v -E '(^|/)include(/|$)' || :
}

# dump OBJECT: its loaded sections, their code, data and relocations.
dump() {
	local -a data

	mapfile -t data < <(objdump -h -w "$1" |
		awk '/ALLOC/ && /CONTENTS/ && !/ CODE/ { print "--section=" $2 }')
	{
		objdump -h -w "$1" | awk '/ALLOC/ { print "section", $2, "size", $3 }'
		objdump -d -r -w --no-show-raw-insn "$1"
		[ ${#data[@]} -eq 0 ] || objdump -s -r -w "${data[@]}" "$1"
	} | sed -E -e '/file format/d' -e 's/\.(constprop|isra|part)\.[0-9]+//g' \
		-e 's/([A-Za-z_][A-Za-z0-9_]*)\.[0-9]+\b/\1.N/g'
}

# build_and_dump COMMIT DIRECTORY: a dump of every object of COMMIT into DIRECTORY, unless it has them.
build_and_dump() {
	local object key

	worktree "$1"
	key="$(build_key "${fragments[@]}") ${places[*]} $(sha256sum <"$0")"
	[ "$(cat "$2.key" 2>/dev/null)" != "$key" ] || return 0
	rm -rf "$2.key" "$2"
	step "$(git -C "$src" log -1 --format='%h ("%s")')"
	configure "${fragments[@]}"
	cp "$out/.config" "$2.config"
	compile "${places[@]/%//}"
	while read -r object; do
		mkdir -p "$2/$(dirname "$object")"
		dump "$out/$object" >"$2/$object"
	done < <(cd "$out" && find "${places[@]}" -name '*.o' | sort)
	echo "$key" >"$2.key"
}

# unset_options NAME...
unset_options() { printf '# %s is not set\n' "$@"; }

lock steps
mkdir -p "$work"
git -C "$linux" rev-parse -q --verify series/S0-fixes >/dev/null ||
	die "build/linux has no branch series/S0-fixes to compare with" "make tree makes it"
if [ "${ALL-}" ]; then
	places=("${kernel_directories[@]}")
elif [ "${DIRS-}" ]; then
	read -r -a places <<<"$DIRS"
else
	mapfile -t places < <(directories)
	[ ${#places[@]} -gt 0 ] || die "the series touches no directory that has objects"
fi
worktree "$(git -C "$linux" rev-parse HEAD)"
mapfile -t options < <(series_options)
fragments "${common[@]}" lean
{
	unset_options "${options[@]}"
	# With this the series changes DMA mapping, whatever its own options.
	unset_options CONFIG_PCI_P2PDMA
	# The configuration is in the object code of the one, line numbers are in that of the other.
	unset_options CONFIG_IKCONFIG CONFIG_IKCONFIG_PROC CONFIG_DEBUG_BUGVERBOSE
} >"$work/off.config"
fragments+=("$work/off.config")

build_and_dump "$(git -C "$linux" rev-parse series/S0-fixes)" "$work/fixes"
build_and_dump "$(git -C "$linux" rev-parse HEAD)" "$work/series"

mapfile -t others < <(diff "$work/fixes.config" "$work/series.config" | sed -n 's/^[<>] //p' |
	grep -E '^(# )?CONFIG_' | grep -vxFf <(unset_options "${options[@]}") || :)
[ ${#others[@]} -eq 0 ] || die "with its options off the series still changes the configuration:" "${others[@]}"

count=$(cd "$work/series" && find . -type f | wc -l)
mapfile -t differ < <(diff -rq "$work/fixes" "$work/series" |
	sed -E -e "s|^Files .*/unchanged/fixes/(.*) and .*|\1|" \
		-e "s|^Only in .*/unchanged/fixes/?(.*): (.*)|\1/\2 -|" \
		-e "s|^Only in .*/unchanged/series/?(.*): (.*)|\1/\2 +|")

# changed_by SUBJECT: the .c files and headers that a patch of the series changes.
changed_by() {
	local commit

	commit=$(git -C "$linux" log --format='%H %s' series/S0-fixes..HEAD |
		awk -v subject="$1" '{ hash = $1; sub(/^[^ ]* /, ""); if ($0 == subject) print hash }')
	[ "$commit" ] || die "lab/objdiff.sh expects something of a patch that the series has not: $1"
	git -C "$linux" diff-tree -r --no-commit-id --name-only "$commit" -- '*.c' '*.h'
}

# sources_of OBJECT: its .c file, and the headers of its directory that it includes.
sources_of() {
	local directory=${1%/*} command

	echo "${1%.o}.c"
	command=$out/$directory/.${1##*/}.cmd
	[ ! -f "$command" ] ||
		{ grep -oE "(^|[ /])$directory/[^/ ]+\.h\>" "$command" || :; } | sed "s|^.*$directory/|$directory/|"
}

known=()
step "compared $count objects of ${places[*]}"
step "their code, data and relocations, but for what GCC appends to local names"
declare -A covers
for subject in "${!expected[@]}"; do
	mapfile -t files < <(changed_by "$subject")
	[ ${#files[@]} -gt 0 ] || exit 1
	for object in "${differ[@]}"; do
		[[ " ${larger[$subject]-} " = *" ${object%% *} "* ]] ||
			sources_of "${object%% *}" | grep -xFf <(printf '%s\n' "${files[@]}") >/dev/null || continue
		known+=("$object")
		covers[$subject]+=" ${object%% *}"
	done
done
stale=()
for subject in "${!expected[@]}"; do
	if [ "${covers[$subject]-}" ]; then
		step "$subject: ${expected[$subject]} (${covers[$subject]# })"
	elif [ -z "${DIRS-}" ]; then
		stale+=("$subject")
	fi
done
mapfile -t differ < <(printf '%s\n' "${differ[@]}" | grep -vxFf <(printf '%s\n' "${known[@]}") | sed '/^$/d')
if [ ${#differ[@]} -gt 0 ]; then
	for object in "${differ[@]}"; do
		echo "--- $object"
		if [ -f "$work/fixes/$object" ] && [ -f "$work/series/$object" ]; then
			diff -U1 "$work/fixes/$object" "$work/series/$object" | sed -n '3,14p' || :
		fi
	done
	die "${#differ[@]} of $count objects differ with the options of the series off" \
		"whole dumps: build/unchanged/fixes and build/unchanged/series" \
		"if that has to be, name the patch and the reason in lab/objdiff.sh"
fi
[ ${#stale[@]} -eq 0 ] ||
	die "these patches no longer change object code, so lab/objdiff.sh should not expect it:" "${stale[@]}"
ok "the same object code after S0-fixes, options off, but by ${#expected[@]} patches that say so"
