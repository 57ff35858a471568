# SPDX-License-Identifier: GPL-2.0
# shellcheck shell=bash disable=SC2034,SC2154
# Common code of the tests of p2pctl; sourced from their own directory, after
# stack.sh.

devices=/sys/bus/pci/devices
here=$PWD

# Finds the program, and the schema of its output: here, in the tree, or
# installed.
find_p2pctl() {
	local dir

	for dir in "${P2PCTL_DIR:-}" "$here" "$here/../../../p2p"; do
		[ -x "${dir:-/nonexistent}/p2pctl" ] || continue
		p2pctl=$dir/p2pctl
		schema=$dir/p2pctl.schema.json
		manual=$dir/p2pctl.8
		examples=$dir/examples
		completion=$dir/p2pctl.bash-completion
		return
	done
	p2pctl=$(command -v p2pctl) || return 1
	schema=/usr/share/p2pctl/p2pctl.schema.json
	manual=/usr/share/man/man8/p2pctl.8
	examples=/usr/share/p2pctl/examples
	completion=/usr/share/bash-completion/completions/p2pctl
}

# run STATUS ARGUMENT...: runs p2pctl, and complains about another exit status.
# The output is in $out, the errors in $err. Output other than JSON has to fit
# into 100 columns.
run() {
	local want=$1 status=0

	shift
	COLUMNS=80 "$p2pctl" "$@" >"$out" 2>"$err" </dev/null || status=$?
	if [ "$status" != "$want" ]; then
		complain "p2pctl $*: status $status, not $want"
		sed 's/^/#   /' "$out" "$err"
	fi
	case " $* " in
	*" --json "*) ;;
	*)
		! grep -E '^.{101,}' "$out" >"$work/wide" ||
			complain "p2pctl $*: wider than 100 columns: $(<"$work/wide")"
		;;
	esac
	[ "$status" = "$want" ]
}

# says TEXT: checks the last output of p2pctl
says() {
	grep -q -e "$1" "$out" "$err" && return
	complain "it does not say \"$1\", but:"
	sed 's/^/#   /' "$out" "$err"
}

# run_json STATUS ARGUMENT...: run with --json. $flat gets a line for each value:
# "providers.0000:04:00.0.size 67108864". Members of lists are named by their
# addresses, or by their indices. Keeps the answer for follows_schema.
run_json() {
	run "$@" --json || return
	answers=$((answers + 1))
	echo "p2pctl ${*:2} --json" >"$work/answer.$answers"
	cat "$out" >>"$work/answer.$answers"
	/usr/bin/python3 -S -E - "$out" "$flat" <<'END' ||
import json, sys

def flatten(name, value):
    if isinstance(value, dict):
        for key, member in value.items():
            flatten(f"{name}.{key}", member)
    elif isinstance(value, list):
        print(f"{name[1:]}.nr", len(value), file=flat)
        for number, member in enumerate(value):
            key = number
            if isinstance(member, dict):
                key = member.get("address") or member.get("provider") or number
            flatten(f"{name}.{key}", member)
    else:
        print(name[1:], json.dumps(value).strip('"'), file=flat)

with open(sys.argv[1], encoding="utf-8") as file:
    document = json.load(file)
with open(sys.argv[2], "w", encoding="utf-8") as flat:
    flatten("", document)
END
		complain "p2pctl ${*:2} --json: not JSON"
}

# The last case of a test: all answers are as the schema says. Loading the
# validator takes seconds under emulation, so it is loaded once.
follows_schema() {
	/usr/bin/python3 - "$schema" "$work"/answer.* <<'END' ||
import json, sys
import jsonschema

with open(sys.argv[1], encoding="utf-8") as file:
    validator = jsonschema.Draft7Validator(json.load(file))
wrong = False
for name in sys.argv[2:]:
    with open(name, encoding="utf-8") as file:
        command, document = file.readline().strip(), json.load(file)
    for error in validator.iter_errors(document):
        print("#  ", command, error.message, list(error.absolute_path))
        wrong = True
sys.exit(wrong)
END
		complain "answers are not as the schema says"
}

# value NAME: prints a value of the last answer
value() {
	local key rest

	while read -r key rest; do
		if [ "$key" = "$1" ]; then
			echo "$rest"
			return
		fi
	done <"$flat"
	echo "(none)"
}

# is WHAT GOT WANTED
is() {
	[ "$2" = "$3" ] || complain "$1: $2, not $3"
}

# counter PROVIDER NAME
counter() {
	cat "$devices/$1/p2pmem/$2"
}

# moved PROVIDER: bytes mapped for DMA, by any route
moved() {
	echo $(($(counter "$1" dma_bus_bytes) + $(counter "$1" dma_host_bridge_bytes)))
}

# start_holder ARGUMENT...: runs the Python program on stdin, which opens something,
# in a process that then keeps it until let_go: $holder
start_holder() {
	rm -f "$work/held"
	{
		echo "import mmap, os, sys"
		cat
		echo "open('$work/held', 'w').close()"
		echo "import time; time.sleep(600)"
	} >"$work/holder.py"
	/usr/bin/python3 "$work/holder.py" "$@" &
	holder=$!
	for _ in {1..200}; do
		[ ! -e "$work/held" ] || return
		sleep 0.1
	done
	complain "no process holds $1"
}

# hold PROVIDER SIZE...: maps memory in a process, $holder
hold() {
	start_holder "$devices/$1/p2pmem/allocate" "${@:2}" <<'END'
fd = os.open(sys.argv[1], os.O_RDWR)
maps = [mmap.mmap(fd, int(size)) for size in sys.argv[2:]]
END
}

let_go() {
	kill "$holder"
	wait "$holder" 2>/dev/null
}

needs_p2pctl() {
	find_p2pctl || skip "p2pctl is not built: make -C tools/p2p"
	/usr/bin/python3 -c 'import importlib.util as u; assert u.find_spec("jsonschema")' \
		2>/dev/null || skip "python3-jsonschema is not installed"
	[ "${P2P_PROVIDERS:-}" ] || skip "P2P_PROVIDERS is not set"
	[ "${P2P_ROUTE:-}" ] || skip "P2P_ROUTE is not set"
	read -ra providers <<<"$P2P_PROVIDERS"
	out=$work/out
	err=$work/err
	flat=$work/flat
	answers=0
# The exit status of p2pctl for questions whether a drive reaches a provider.
	no=0
	reaches=true
	if [ "$P2P_ROUTE" = none ]; then
		no=1
		reaches=false
	fi
}
