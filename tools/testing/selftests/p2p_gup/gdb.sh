#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# gdb, unmodified, reads and writes a word of peer-to-peer memory.
#
# Takes P2P_PROVIDERS from the environment, see p2pmem.h.
set -euo pipefail

tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

skip() {
	echo "1..0 # SKIP $*"
	exit 4
}

command -v gdb >/dev/null || skip "gdb is not installed"
command -v python3 >/dev/null || skip "python3 is not installed"
[ "${P2P_PROVIDERS:-}" ] || skip "P2P_PROVIDERS is not set"
read -ra providers <<<"$P2P_PROVIDERS"

# The program to debug, a helper script, and the gdb commands.
cat >"$tmp/program.py" <<'END'
import ctypes, os, signal
libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
fd = os.open(os.environ["P2P_FILE"], os.O_RDWR)
word = ctypes.c_uint32.from_address(libc.mmap(None, 4096, 3, 1, fd, 0))
word.value = 0x600df00d
os.kill(os.getpid(), signal.SIGUSR1)
print("the program sees %#x" % word.value, flush=True)
END
cat >"$tmp/find.py" <<'END'
maps = open("/proc/%d/maps" % gdb.selected_inferior().pid)
line = next(line for line in maps if "p2pmem:" in line)
gdb.execute("set $mem = 0x" + line.split("-")[0])
END
cat >"$tmp/commands" <<END
handle SIGUSR1 stop print nopass
run
source $tmp/find.py
x/1xw \$mem
set *(unsigned int *)\$mem = 0xcafe1234
x/1xw \$mem
continue
END

# debug PROVIDER: gdb sees the program's writes, and the program those of gdb.
debug() {
	P2P_FILE=/sys/bus/pci/devices/$1/p2pmem/allocate \
		gdb -q -batch -nx -x "$tmp/commands" \
		--args python3 "$tmp/program.py" >"$tmp/out" 2>&1 &&
		grep -qE '^0x[0-9a-f]+:[[:space:]]+0x600df00d$' "$tmp/out" &&
		grep -qE '^0x[0-9a-f]+:[[:space:]]+0xcafe1234$' "$tmp/out" &&
		grep -qx 'the program sees 0xcafe1234' "$tmp/out"
}

echo "TAP version 13"
echo "1..${#providers[@]}"
nr=0
failed=0
for provider in "${providers[@]}"; do
	nr=$((nr + 1))
	pool=/sys/bus/pci/devices/$provider/p2pmem
	verdict="ok"
	before=$(<"$pool/available")
	if ! debug "$provider"; then
		verdict="not ok"
		sed 's/^/# /' "$tmp/out"
	fi
	if [ "$(<"$pool/available")" != "$before" ]; then
		verdict="not ok"
		echo "# $(<"$pool/available") bytes available, $before before"
	fi
	[ "$verdict" = ok ] || failed=1
	echo "$verdict $nr gdb.$provider"
done
exit $failed
