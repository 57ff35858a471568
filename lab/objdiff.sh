#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# make unchanged [ALL=1] [DIRS='mm block']: with its options off, the series changes no object code but
# that of the objects in $expected, each with its reason.
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

# What may differ, and why. An entry that no longer differs is an error, too. "PATH +" is an object that
# only the series has.
expected=(
	"mm/gup.o            get_user_pages_fast() takes device-mapped memory folio by folio"
	"mm/gup_device.o +   the code for that"
	"kernel/dma/direct.o the mapping of RAM is apart from that of device memory"
	"kernel/dma/mapping.o the same"
	"drivers/iommu/dma-iommu.o the same"
	"io_uring/rsrc.o     an update of registered buffers can say of what type each buffer is"
	"lib/test_hmm.o      struct hmm_range has room for a device; private pages may be backed by a BAR"
	"drivers/vfio/vfio_iommu_type1.o a DMA mapping has room for a lease, and mapping can begin again"
	"drivers/infiniband/core/uverbs_cmd.o an MR that can be revoked can't be reregistered"
	"drivers/infiniband/hw/vmw_pvrdma/pvrdma_mr.o the command that destroys an MR has a function"
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

# in_places OBJECT: is it in a directory that was built?
in_places() {
	local place

	for place in "${places[@]}"; do
		[[ $1 != "$place"/* ]] || return 0
	done
	return 1
}

known=()
stale=()
step "compared $count objects of ${places[*]}"
step "their code, data and relocations, but for what GCC appends to local names"
for entry in "${expected[@]}"; do
	read -r object mark reason <<<"$entry"
	if [ "$mark" = + ]; then object="$object +"; else reason="$mark $reason"; fi
	in_places "${object% +}" || continue
	if printf '%s\n' "${differ[@]}" | grep -qxF "$object"; then
		known+=("$object")
		step "differs: $object: $reason"
	else
		stale+=("$object: $reason")
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
		"if that has to be, name object and reason in lab/objdiff.sh"
fi
[ ${#stale[@]} -eq 0 ] ||
	die "these no longer differ, so lab/objdiff.sh should not expect it:" "${stale[@]}"
ok "the same object code after S0-fixes, options off, but for ${#known[@]} objects"
