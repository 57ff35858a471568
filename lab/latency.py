#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""make latency: for how long each test keeps interrupts off.

    make latency [TOPO=switch] [TEST=]

Runs the tests of a topology on the lean kernel, on one CPU whose clock is its
instruction counter: 1 ns each, whatever else this machine does. There a perf event
samples every 100 us, and a sample that comes late tells where interrupts were
switched on again (lab/guest/latency.c). Fails when they were off for longer than
1 ms where a function of the series' own files was among the callers.

Scripts, and tests that need two CPUs, don't run: those are left out. A spinlock that
is held with interrupts on is not seen.
"""
import argparse
import os
import re
import subprocess

from runner import icount, program, session, topo, verdict
from runner.paths import BUILD, GUEST, LabError, build_guest
from runner.plan import Plan
from runner.qemu import Guest
from runner.tests import Test

LIMIT_US = 1000
# Guests of -icount are several times slower, and their clock is not that of the host.
FACTOR = 10
TIMEOUT = 3600
# They need a second CPU, or time of the host to pass with that of the guest.
LEFT_OUT = {"kvm", "suspend", "hotplug"}


def own_functions():
    """The functions in files that the series adds, by the symbols of their objects."""
    linux, out = os.path.join(BUILD, "linux"), os.path.join(BUILD, "lean")
    files = subprocess.run(
        ["git", "-C", linux, "diff", "--name-only", "--diff-filter=A", "base", "--", "*.c"],
        check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    objects = [os.path.join(out, file[:-2] + ".o") for file in files]
    symbols = subprocess.run(["nm"] + [name for name in objects if os.path.exists(name)],
                             check=True, stdout=subprocess.PIPE, text=True).stdout
    found = set(re.findall(r"^[0-9a-f]+ [tT] (\S+)$", symbols, re.M))
    if not found:
        raise LabError("build/lean has no objects of the series: run make kernel")
    return found


def base_name(symbol):
    """Without what the compiler adds to parts and copies."""
    return re.sub(r"\.(constprop|isra|part|cold)\b.*", "", symbol)


class Findings:
    """What one test printed: (microseconds, [function, its caller, ...]), the longest first."""

    def __init__(self, output):
        self.places = [(int(us), chain.split("<")) for us, chain in
                       re.findall(r"^# irqs-off (\d+) (\S*)", output, re.M)]
        match = re.search(r"^# irqs-off-samples (\d+) (\d+)", output, re.M)
        self.samples, self.lost = (int(match[1]), int(match[2])) if match else (0, 0)

    def own(self, functions):
        """Those that last too long and have one of the functions among them."""
        return [(us, chain) for us, chain in self.places if us > LIMIT_US and
                any(base_name(name) in functions for name in chain)]


def short(chain):
    """A chain for a line of a table."""
    return " < ".join(chain[:7])


def run(topology, selected, say):
    """Boots one guest; the Outcome, the Result."""
    topology.smp = 1
    plan = Plan(topology, "lean")
    plan.add_tests(selected, FACTOR)
    for test in selected:
        plan.add_program(os.path.join(GUEST, "tests", test.command.split()[1]))

    def on_frame(frame):
        words = frame.split()
        if words[0] == "test" and words[2] == "end":
            say(f"{words[1]}: {' '.join(words[3:])}")

    with icount.one_cpu(), \
            Guest(topology, session.image_of("lean"), "lean", plan,
                  [os.path.join(GUEST, name) for name in ("init.cpio.gz", "latency.cpio.gz")],
                  label="latency", extra=icount.ICOUNT) as guest:
        # Time of the host and of the guest differ: one limit, for all of it.
        guest.watchdog.boot = TIMEOUT
        guest.watchdog.grace = TIMEOUT
        outcome = guest.run(on_frame=on_frame, timeout=TIMEOUT)
        return outcome, verdict.judge(outcome, guest, selected)


def report(outcome, selected, functions):
    """A line a test, then what is too long; how many of these are the series' own."""
    parts = re.split(r"^### \S+ test (\S+) begin$", outcome.output, flags=re.M)
    output = dict(zip(parts[1::2], parts[2::2]))
    own, others = [], []
    for test in selected:
        found = Findings(output.get(test.name, ""))
        longest = f"{found.places[0][0]} us, {short(found.places[0][1])}" if found.places else \
            "less than 200 us"
        if not found.samples:
            raise LabError(f"{test.name}: nothing was sampled; see build/log")
        print(f"{test.name}: {longest}" + (f" ({found.lost} samples lost)" if found.lost else ""))
        own += [(us, chain, test.name) for us, chain in found.own(functions)]
        others += [(us, chain, test.name) for us, chain in found.places
                   if us > LIMIT_US and (us, chain) not in found.own(functions)]
    for title, places in (("not of the series", others), ("of the series", own)):
        for us, chain, name in sorted(places, reverse=True):
            print(f"{title}: {us} us in {name}: {short(chain)}")
    return len(own)


def main():
    """Parses, boots, reports."""
    env = os.environ
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--topo", default=env.get("TOPO") or "switch")
    parser.add_argument("--test", default=env.get("TEST") or "*")
    args = parser.parse_args()

    build_guest("")
    build_guest("latency")
    selected = []
    for test in session.select(topo.Topology(args.topo), "lean", args.test):
        if not test.in_host and test.name not in LEFT_OUT:
            selected.append(Test(f"{test.name} * - {test.limit} latency {test.command}", __file__))
    if not selected:
        raise LabError(f"none of {args.test} can run on {args.topo} here")
    outcome, result = run(topo.Topology(args.topo), selected,
                          lambda text: print(f"latency: {text}", flush=True))
    too_long = report(outcome, selected, own_functions())
    for failure in result.failures():
        print(f"failed: {failure}")
    verdict_line = f"{len(selected)} tests, {too_long} places of the series keep interrupts " \
                   f"off for longer than {LIMIT_US} us"
    print(("latency: " if too_long else "latency: ok: ") + verdict_line)
    return 1 if too_long or not result.passed else 0


if __name__ == "__main__":
    program.run(main, "latency")
