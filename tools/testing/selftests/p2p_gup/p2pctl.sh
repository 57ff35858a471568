#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# p2pctl: list, route, check and watch agree with sysfs and the kernel.
#
# Takes P2P_PROVIDERS, P2P_DISK_RAW and P2P_ROUTE from the environment, see p2pmem.h. Reads from the
# drive, and writes nothing.
# shellcheck disable=SC2154,SC2317 # stack.sh has the variables, plan calls functions
set -uo pipefail

# shellcheck source=tools/testing/selftests/p2p_gup/stack.sh
. ./stack.sh
# shellcheck source=tools/testing/selftests/p2p_gup/p2pctl_common.sh
. ./p2pctl_common.sh

tracing=/sys/kernel/tracing

list() {
	local p name

	run 0 list
	says "PER USER"
	run_json 0 list
	for p in "${providers[@]}"; do
		says "$p"
		for name in size available dma_bus_bytes dma_host_bridge_bytes dma_refused; do
			is "$p $name" "$(value "providers.$p.$name")" "$(counter "$p" "$name")"
		done
		is "$p mode" "$(value "providers.$p.mode")" \
			"0$(stat -c %a "$devices/$p/p2pmem/allocate")"
		is "$p driver" "$(value "providers.$p.driver")" \
			"$(basename "$(readlink "$devices/$p/driver")")"
	done
	is "all of them" "$(grep -c '\.struct_pages true$' "$flat")" ${#providers[@]}
}

# Lists a process that maps memory; the memory's address identifies the BAR.
users() {
	local p=${providers[0]} phys bar first last nr=0

	hold "$p" $((1 << 20)) 8192
	phys=$((16#$(grep -m 1 p2pmem: "/proc/$holder/maps" | cut -d ' ' -f 3)))
	while read -r first last _; do
		[ $((first <= phys && phys <= last)) = 0 ] || bar=$nr
		nr=$((nr + 1))
	done <"$devices/$p/resource"
	run_json 0 list
	is bar "$(value "providers.$p.bar")" "${bar:-none}"
	is mappers "$(value "providers.$p.mappers.nr")" 1
	is pid "$(value "providers.$p.mappers.0.pid")" "$holder"
	is bytes "$(value "providers.$p.mappers.0.bytes")" $(((1 << 20) + 8192))
	is mappings "$(value "providers.$p.mappers.0.mappings")" 2
	is users "$(value "providers.$p.users.nr")" 1
	is uid "$(value "providers.$p.users.0.uid")" 0
	is charged "$(value "providers.$p.users.0.bytes")" $(((1 << 20) + 8192))
	run 0 list
	says "$holder  root"
	says "^$p  root  1\\.0 MiB  all"
	let_go
}

# The size that --largest reports can be allocated in one piece, but not a page
# more.
largest() {
	local p size

	run_json 0 list --largest
	for p in "${providers[@]}"; do
		size=$(value "providers.$p.largest")
		/usr/bin/python3 - "$devices/$p/p2pmem/allocate" "$size" <<'END' ||
import mmap, os, sys
fd, size = os.open(sys.argv[1], os.O_RDWR), int(sys.argv[2])
mmap.mmap(fd, size).close()
try:
    mmap.mmap(fd, size + 4096)
    sys.exit(1)
except OSError:
    pass
END
			complain "$p: largest: $size"
	done
}

# routes_told PROVIDER: routes of the last answer, in the format of
# p2pmem/routes
routes_told() {
	local at="routes.$1.clients" address way rest i

	sed -n "s/^$at\.[^ ]*\.address //p" "$flat" >"$work/addresses"
	while read -r address; do
		way="$(value "$at.$address.route") $(value "$at.$address.links")"
		for ((i = 0; i < $(value "$at.$address.causes.nr"); i++)); do
			way+=" $(value "$at.$address.causes.$i.word")"
			rest=$(value "$at.$address.causes.$i.value")
			[ "$rest" = null ] || way+="=$rest"
		done
		echo "$address $way"
	done <"$work/addresses"
}

routes() {
	local p

	run_json "$no" route
	for p in "${providers[@]}"; do
		routes_told "$p" | diff - "$devices/$p/p2pmem/routes" >"$log" ||
			complain "$p: other routes than in sysfs: $(<"$log")"
	done
	for p in "${providers[@]}"; do
		run "$no" route "$p"
		says "CLIENT"
	done
}

# The routes of all transfers that the tracepoint has recorded.
traced_routes() {
	sed -n -E 's/.* p2pdma_map: .* route=([a-z-]+)$/\1/p' "$tracing/trace" | sort -u
}

# The answer for a drive agrees with a read from it.
drive() {
	local p probe=peer-to-peer

	[ "$no" = 0 ] || probe=refused
	for p in "${providers[@]}"; do
		run_json "$no" route "$p" "$P2P_DISK_RAW"
		is reaches "$(value "routes.$p.reaches")" "$reaches"
		is route "$(value "routes.$p.route")" "$P2P_ROUTE"
		echo >"$tracing/trace"
		echo 1 >"$tracing/events/p2pdma/p2pdma_map/enable"
		run_json "$no" route --probe "$p" "$P2P_DISK_RAW"
		echo 0 >"$tracing/events/p2pdma/p2pdma_map/enable"
		is "what the tracepoint saw" "$(traced_routes)" "$P2P_ROUTE"
		is probe "$(value "routes.$p.probe")" "$probe"
		run "$no" route --probe "$p" "$P2P_DISK_RAW"
		says "Tried:"
		! grep -q 'differs from the answer' "$out" ||
			complain "the kernel disagrees: $(<"$out")"
		[ "$no" = 0 ] || says "Why:"
		[ "$no" = 0 ] || says "Remedy:"
	done
}

# Names one device in all possible ways.
names() {
	local p=${providers[0]} bdf ctrl name

	ctrl=$(basename "$(readlink -f "/sys/block/${P2P_DISK_RAW##*/}/device")")
	bdf=$(basename "$(readlink -f "/sys/class/nvme/$ctrl/device")")
	for name in "$bdf" "${bdf#0000:}" "$ctrl" "/dev/$ctrl" "$P2P_DISK_RAW" \
		"${P2P_DISK_RAW##*/}" "$devices/$bdf"; do
		run "$no" route "$p" "$name"
		says "at $bdf: $P2P_ROUTE"
	done
	# The provider, too.
	run "$no" route "${p#0000:}" "$P2P_DISK_RAW"
	says "-> $p:"
}

no_device() {
	local p=${providers[0]}

	run 1 route "$p" /proc/version
	says "its files are in RAM"
	run 1 route "$p" lo
	says "not a PCI device"
	run 1 route "$p" /dev/null
}

check() {
	run_json "$no" check
	is works "$(value works)" "$reaches"
	run "$no" check
	says 'has all necessary options'
	if [ "$no" = 0 ]; then
		says '^Yes'
		! grep '^NO' "$out" || complain "it works, although something stands in the way"
	else
		says '^No'
		says '  ->'
		says '^NO '
	fi
}

watch() {
	local p=${providers[0]} before

	run 0 watch --count 2 --interval 0.2
	says "$p"
	is screens "$(grep -c '^p2pctl watch' "$out")" 2
	before=$(moved "$p")
	(
		sleep 1
		"$p2pctl" route --probe "$p" "$P2P_DISK_RAW" >"$work/probe" 2>&1
	) &
	run_json 0 watch --count 1 --interval 5
	wait
	[ "$no" = 1 ] || [ "$(moved "$p")" -gt "$before" ] || complain "nothing has moved"
	is "bytes by bus" "$(value "providers.$p.dma_bus_bytes")" "$(counter "$p" dma_bus_bytes)"
	/usr/bin/python3 -c "
rate = ($(value "providers.$p.bus_bytes_per_second") +
        $(value "providers.$p.host_bridge_bytes_per_second"))
assert abs(rate * $(value seconds) - $(($(moved "$p") - before))) < 100" 2>"$log" ||
		complain "the rate is wrong: $(<"$flat")"
}

# Invalid input is refused with status 2, and the reason.
bad_input() {
	local p=${providers[0]} command

	run 2
	run 2 nonsense
	says "no such command"
	for command in list route check bind unbind watch copy bench; do
		run 2 "$command" --nonsense
		run 0 "$command" --help
		says "^usage: p2pctl $command"
	done
	run 2 list x
	run 2 check x
	run 2 watch x
	run 2 watch --interval 0
	run 2 watch --count 0
	run 2 route 0000:ff:1f.7
	says "there is no PCI function"
	run 2 route "$p" /nonexistent
	says "no such device, interface or file"
	run 2 route 0000:00:00.0 "$P2P_DISK_RAW"
	says "offers no peer-to-peer memory"
	run 2 route --probe "$p"
	run 2 route "$p" "$P2P_DISK_RAW" x
	run 2 bind
	run 2 bind /nonexistent
	run 2 bind --bar 6 "$p"
	run 2 bind --size x "$p"
	run 3 unbind 0000:00:00.0
	says "is not bound to p2pmem-bar"
	run 2 bench
	run 2 bench --block-sizes 4K,2K "$P2P_DISK_RAW"
	run 2 copy "$P2P_DISK_RAW"
	run 2 copy "$P2P_DISK_RAW" "$P2P_DISK_RAW"
	says "are the same"
	run 2 copy "$P2P_DISK_RAW" "$work"
	says "is a directory"
	run 2 copy /nonexistent "$work/x"
	run 2 copy "$P2P_DISK_RAW" "$work/nonexistent/x"
	run 2 copy --block-size 1000 "$P2P_DISK_RAW" "$work/x"
	run 2 copy --queue-depth 0 "$P2P_DISK_RAW" "$work/x"
	run 2 copy --via 0000:00:00.0 "$P2P_DISK_RAW" "$work/x"
	run 0 --version
	run 0 --help
}

# An unprivileged user sees the same, except processes of others.
as_user() {
	local p=${providers[0]} user=(setpriv --reuid 65534 --regid 65534 --clear-groups)

	"${user[@]}" "$p2pctl" list >"$out" 2>"$err" || complain "list: $(<"$err")"
	says "that you may inspect"
	"${user[@]}" "$p2pctl" route "$p" "$P2P_DISK_RAW" >"$out" 2>"$err"
	is route $? "$no"
	"${user[@]}" "$p2pctl" check >"$out" 2>"$err"
	is check $? "$no"
	says "you may not allocate"
	! "${user[@]}" "$p2pctl" bind "$p" >"$out" 2>"$err" ||
		is driver "$(basename "$(readlink "$devices/$p/driver")")" p2pmem-bar
}

needs_p2pctl
need_disks RAW
[ -d "$tracing/events/p2pdma" ] || skip "no events in $tracing: CONFIG_FTRACE, tracefs?"
plan \
	"list: list" \
	"users: users" \
	"largest: largest" \
	"routes: routes" \
	"drive: drive" \
	"names: names" \
	"no_device: no_device" \
	"check: check" \
	"watch: watch" \
	"bad_input: bad_input" \
	"as_user: as_user" \
	"follows_schema: follows_schema"
