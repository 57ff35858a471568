#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# make clean [DISCARD=1]: remove build/, unless that would lose work done in build/linux.
set -euo pipefail
# shellcheck source=lab/lib.sh
. "$(dirname "$0")/lib.sh"

if [ -d "$linux/.git/p2p" ] && [ -z "${DISCARD-}" ]; then
	# shellcheck source=lab/queue.sh
	. "$top/lab/queue.sh"
	work=$(unsaved)
	[ -z "$work" ] || die "build/linux holds work that is not in patches/ yet: ${work//$'\n'/, }" \
		"make refresh brings it back, make clean DISCARD=1 drops it"
fi
rm -rf "$build"
ok "build/ is gone"
