#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# perftest, unmodified, with its buffers in peer-to-peer memory: on an adapter
# whose driver can revoke its access, and on one that copies.
#
# Takes P2P_PROVIDERS, P2P_RDMA, the adapter, and P2P_PLUG from the environment,
# see p2pmem.h and rdma_mr.c. The test uses the adapter's Ethernet port
# exclusively.
# shellcheck disable=SC2154,SC2317 # stack.sh has the variables, plan calls functions
set -uo pipefail

# shellcheck source=tools/testing/selftests/p2p_gup/stack.sh
. ./stack.sh

devices=/sys/bus/pci/devices
port=18600
# Long enough for a program to notice that its peer is gone.
patience=60

counter() {
	cat "$devices/$provider/p2pmem/$1"
}

# options WHERE: where the buffer of a program is
options() {
	[ "$1" = ram ] || echo "--mmap=$devices/$provider/p2pmem/allocate"
}

# State 0A is LISTEN.
wait_for_listener() {
	local _ hex

	hex=$(printf %04X "$port")
	for _ in {1..300}; do
		! grep -q "^ *[0-9]*: [0-9A-F]*:$hex [0-9A-F:]* 0A " /proc/net/tcp || return
		sleep 0.1
	done
	complain "nobody listens at port $port"
}

# perftest PROGRAM SERVER CLIENT [OPTION...]: runs both ends, each in ram or
# p2p. The server's output is in $work/server, the client's in $work/client.
perftest() {
	local program=$1 server=$2 client=$3 common child

	shift 3
	port=$((port + 1))
	common=(--ib-dev="$adapter" --port="$port" --CPU-freq "$@")
	# shellcheck disable=SC2046 # one option, or none
	timeout -k 1 "$patience" "$program" "${common[@]}" $(options "$server") \
		>"$work/server" 2>&1 &
	child=$!
	wait_for_listener
	# shellcheck disable=SC2046
	timeout -k 1 "$patience" "$program" "${common[@]}" $(options "$client") 127.0.0.1 \
		>"$work/client" 2>&1
	client_status=$?
	wait "$child"
	server_status=$?
}

show() {
	sed 's/^/#   /' "$work/server" "$work/client"
}

# works_between PROGRAM SERVER CLIENT [OPTION...]
works_between() {
	local bytes

	bytes=$(counter dma_bus_bytes)
	perftest "$@" --iters=100 --size=65536
	if [ "$client_status" != 0 ] || [ "$server_status" != 0 ]; then
		complain "$1 between $2 and $3 ended with $server_status and $client_status"
		show
	fi
	[ "$2$3" = ramram ] || [ "$(counter dma_bus_bytes)" -gt "$bytes" ] ||
		complain "$1: nothing went to the provider"
}

each_way() {
	works_between "$1" ram ram
	works_between "$1" p2p ram
	works_between "$1" ram p2p
	works_between "$1" p2p p2p
}

# wait_registered BYTES: waits until more than BYTES were mapped, and a little
# longer for transfers
wait_registered() {
	local _

	for _ in {1..300}; do
		if [ "$(counter dma_bus_bytes)" -gt "$1" ]; then
			sleep 2
			return
		fi
		sleep 0.1
	done
	complain "nothing was registered"
}

# under_way COMMAND...: runs it with data in flight. The programs must not
# continue as if nothing had happened.
under_way() {
	local child bytes client=none server=none more=0 before=$problems

	bytes=$(counter dma_bus_bytes)
	(
		perftest ib_write_bw p2p ram --size=65536 --run_infinitely --duration=2
		echo "$client_status $server_status $((problems - before))" >"$work/status"
	) &
	child=$!
	wait_registered "$bytes"
	"$@"
	wait "$child"
	read -r client server more <"$work/status"
	rm "$work/status"
	problems=$((problems + more))
	notices client "$client"
	notices server "$server"
}

# notices END STATUS: checks that it has ended by itself with an error
notices() {
	case $2 in
	0) complain "the $1 did not notice" ;;
	124 | 137) complain "the $1 hangs" ;;
	[1-9]*) return ;;
	*) complain "the $1 has no status: $2" ;;
	esac
	show
}

unbind() {
	echo "$provider" >"/sys/bus/pci/drivers/p2pmem-bar/unbind" && return
	complain "unbind failed"
	return 1
}

bind() {
	echo "$provider" >"/sys/bus/pci/drivers/p2pmem-bar/bind" || complain "bind failed"
	for _ in {1..50}; do
		[ "$(counter available)" != "$available" ] || return
		sleep 0.1
	done
	complain "$(counter available) bytes available, $available before"
}

provider_goes() {
	under_way unbind
	bind
}

plug_out() {
	echo "# host-unplug $P2P_PLUG"
	for _ in {1..300}; do
		[ -e "$devices/$provider" ] || return
		sleep 0.1
	done
	complain "the provider is still there"
}

plug_in() {
	echo "# host-plug $P2P_PLUG"
	for _ in {1..300}; do
		[ ! -e "$devices/$provider" ] || break
		sleep 0.1
	done
	echo p2pmem-bar >"$devices/$provider/driver_override"
	echo "$provider" >/sys/bus/pci/drivers_probe
}

# lockdep reports pciehp of Linux 6.1 below a switch, so it is off meanwhile.
prove_locking() {
	[ ! -e /proc/sys/kernel/prove_locking ] || echo "$1" >/proc/sys/kernel/prove_locking
}

provider_is_pulled_out() {
	prove_locking 0
	under_way plug_out
	plug_in
	prove_locking 1
	[ "$(counter available)" = "$available" ] || complain "not all of the memory is back"
}

# Starts both ends of an endless test, $pair.
start_pair() {
	local common bytes

	bytes=$(counter dma_bus_bytes)
	port=$((port + 1))
	common=(--ib-dev="$adapter" --port="$port" --CPU-freq --size=65536 --run_infinitely
		--duration=2)
	ib_write_bw "${common[@]}" "$(options p2p)" >"$work/server" 2>&1 &
	pair=$!
	wait_for_listener
	ib_write_bw "${common[@]}" 127.0.0.1 >"$work/client" 2>&1 &
	pair+=" $!"
	wait_registered "$bytes"
}

end_pair() {
	# shellcheck disable=SC2086 # two numbers
	kill -9 $pair
	# shellcheck disable=SC2086
	wait $pair 2>"$log"
}

adapter_driver() {
	echo "$function" >"/sys/bus/pci/drivers/vmw_pvrdma/$1" && return
	complain "$1 of the adapter failed"
	return 1
}

# Unbinding the adapter's driver waits for the process.
adapter_goes() {
	local child

	start_pair
	adapter_driver unbind &
	child=$!
	sleep 1
	kill -0 "$child" || complain "the adapter did not wait for the process"
	end_pair
	wait "$child" || complain "the adapter does not go"
	adapter_driver bind
	bring_up
	works_between ib_send_bw p2p ram
}

all_go() {
	local provider_child adapter_child

	start_pair
	unbind &
	provider_child=$!
	adapter_driver unbind &
	adapter_child=$!
	end_pair
	wait "$provider_child" || complain "the provider does not go"
	wait "$adapter_child" || complain "the adapter does not go"
	adapter_driver bind
	bind
	bring_up
	works_between ib_send_bw p2p ram
}

# The CPU copies the data of this adapter. Its packets need an IP address, which
# is the second GID.
copies() {
	local adapter=rxe0

	must ip address add 10.8.8.1/24 dev "$net"
	must rdma link add rxe0 type rxe netdev "$net"
	sleep 2
	dmesg -C
	works_between ib_send_bw ram ram --gid-index=1
	perftest ib_send_bw ram p2p --iters=5 --size=4096 --gid-index=1
	[ "$client_status" != 0 ] || complain "rxe works with peer-to-peer memory"
	dmesg >"$log"
	grep -q "rxe0: ib_send_bw.*can't register peer-to-peer memory: the CPU copies" "$log" ||
		complain "the log does not say why"
	must rdma link delete rxe0
	must ip address delete 10.8.8.1/24 dev "$net"
}

# The port gets its GID when the interface is up.
bring_up() {
	ip link set lo up
	ip link set "$net" up
	for _ in {1..100}; do
		! grep -qsv '^0000:0000:0000:0000:0000:0000:0000:0000$' \
			"/sys/class/infiniband/$adapter/ports/1/gids/"[0-3] || return
		sleep 0.1
	done
	complain "the port has no GID"
}

need ib_write_bw ib_read_bw ib_send_bw rdma ip
[ "${P2P_RDMA:-}" ] || skip "P2P_RDMA is not set"
adapter=$P2P_RDMA
read -r provider _ <<<"$P2P_PROVIDERS"
function=$(basename "$(readlink -f "/sys/class/infiniband/$adapter/device")")
net=$(basename "$devices/${function%.*}.0/net/"*)
available=$(counter available)
bring_up

plan "send:each_way ib_send_bw" \
	"write:each_way ib_write_bw" \
	"read:each_way ib_read_bw" \
	"provider_goes:provider_goes" \
	"adapter_goes:adapter_goes" \
	"all_go:all_go" \
	"rxe_refused:copies" \
	"pulled_out:provider_is_pulled_out"
