#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# make kernel [KERNEL=lean|debug]: configure and build build/linux.
set -euo pipefail
# shellcheck source=lab/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=lab/kbuild.sh
. "$top/lab/kbuild.sh"

kernel=${KERNEL:-lean}
case $kernel in
lean) image=$build/bzImage ;;
debug) image=$build/bzImage-debug ;;
*) die "KERNEL=$kernel: there is lean and debug" ;;
esac
src=$linux
out=$build/$kernel
log=$build/$kernel.log
fragments "${common[@]}" p2p "$kernel"

lock "$kernel"
key=$(build_key "${fragments[@]}")
if is_built "$image" "$key"; then
	ok "${image#"$top"/} is up to date"
	exit
fi
build_image "$image" "$key"
ok "${image#"$top"/}: Linux $(<"$out/include/config/kernel.release"), $kernel"
