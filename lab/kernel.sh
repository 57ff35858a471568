#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# make kernel [KERNEL=lean|debug|coverage]: configure and build build/linux.
set -euo pipefail
# shellcheck source=lab/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=lab/kbuild.sh
. "$top/lab/kbuild.sh"

kernel=${KERNEL:-lean}
case $kernel in
lean) image=$build/bzImage ;;
debug | coverage) image=$build/bzImage-$kernel ;;
*) die "KERNEL=$kernel: there is lean, debug and coverage" ;;
esac
src=$linux
out=$build/$kernel
log=$build/$kernel.log
own=("$kernel")
goals=(bzImage)
if [ "$kernel" = coverage ]; then
	own=(lean coverage)
	# gcov counts the lines of all files that the series adds or changes. Make asks for this variable
	# when it compiles a file, whose directory and name it knows by then.
	goals+=("GCOV_PROFILE=\$(if \$(filter \$(obj)/\$(basetarget).o,$(series_objects)),y)")
fi
fragments "${common[@]}" p2p "${own[@]}"

lock "$kernel"
key=$(build_key "${fragments[@]}")
if is_built "$image" "$key"; then
	ok "${image#"$top"/} is up to date"
	exit
fi
build_image "$image" "$key" "${goals[@]}"
ok "${image#"$top"/}: Linux $(<"$out/include/config/kernel.release"), $kernel"
