#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# make kernel [KERNEL=lean|debug|coverage|kcsan]: configure and build build/linux.
set -euo pipefail
# shellcheck source=lab/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=lab/kbuild.sh
. "$top/lab/kbuild.sh"

kernel=${KERNEL:-lean}
case $kernel in
lean) image=$build/bzImage ;;
debug | coverage | kcsan) image=$build/bzImage-$kernel ;;
*) die "KERNEL=$kernel: there is lean, debug, coverage and kcsan" ;;
esac
src=$linux
out=$build/$kernel
log=$build/$kernel.log
own=("$kernel")
goals=(bzImage)
# Make asks for these variables when it compiles a file, whose directory and name it knows by then.
case $kernel in
coverage)
	own=(lean coverage)
	# gcov counts the lines of all files that the series adds or changes.
	goals+=("GCOV_PROFILE=\$(if \$(filter \$(obj)/\$(basetarget).o,$(series_objects)),y)")
	;;
kcsan)
	own=(lean kcsan)
	# The data races of others are reported elsewhere.
	goals+=("KCSAN_SANITIZE=\$(if \$(filter \$(obj)/\$(basetarget).o,$(series_objects A)),,n)")
	;;
esac
fragments "${common[@]}" p2p "${own[@]}"

lock "$kernel"
key=$(build_key "${fragments[@]}")
if is_built "$image" "$key"; then
	ok "${image#"$top"/} is up to date"
	exit
fi
build_image "$image" "$key" "${goals[@]}"
ok "${image#"$top"/}: Linux $(<"$out/include/config/kernel.release"), $kernel"
