#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""RDMA between two machines, each with its buffers behind a BAR of its own.

    lab/tests/rdma-two.py [--kernel IMG] [--debug]

Two guests with an RDMA NIC and a provider each; lab/rdma/wire.c is the network between their
NICs. perftest runs in them (rdma_end.py), moves data between the two providers, and between
a provider and RAM, and ends with errors when a provider goes. The kernel logs are clean, and
nothing leaks. TAP on standard output.
"""
import argparse
import concurrent.futures
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from runner import accel, program, session, tests, verdict  # noqa: E402
from runner.paths import DEBUG_FACTOR, GUEST, LAB, build_guest  # noqa: E402
from runner.plan import Plan  # noqa: E402
from runner.qemu import Guest  # noqa: E402
from runner.tap import PASS  # noqa: E402
from runner.topo import Topology, properties  # noqa: E402

# Every page of it is written and read before and after each case.
BAR_SIZE = 16 << 20
LIMIT = 400
# Neither end has the data of the other by chance: perftest's is random, seeded by the time.
CLOCKS = {"server": [], "client": ["-rtc", "base=2011-11-11T11:11:11"]}
MACS = {"server": "52:54:00:09:09:01", "client": "52:54:00:09:09:02"}
LINK = {"server": "P2P_VERBS_LISTEN", "client": "P2P_VERBS_CONNECT"}


def machine(end):
    """The topology with one RDMA NIC, whose Ethernet function is on a network."""
    topology = Topology("rdma")
    topology.bars = {"bar": BAR_SIZE}
    topology.devices = [device + f",netdev=lan,mac={MACS[end]}"
                        if properties(device)[0] == "vmxnet3" else device
                        for device in topology.devices]
    return topology


class End:
    """One of the machines."""

    def __init__(self, name, kernel, kernel_name, accelerator):
        factor = DEBUG_FACTOR if kernel_name == "debug" else 1
        self.name = name
        self.test = tests.Test(f"rdma_end * * {LIMIT} host:rdma_end", __file__)
        self.test.command = f"{LAB}/tests/rdma_end.py {name}"
        topology = machine(name)
        plan = Plan(topology, kernel_name)
        plan.add_tests([self.test], factor)
        self.guest = Guest(topology, kernel, kernel_name, plan,
                           [os.path.join(GUEST, "init.cpio.gz")], label=f"two-{name}",
                           accel=accelerator)

    def connect(self, other):
        """Both networks are sockets in the directories of the guests."""
        there = os.path.relpath(other.guest.run_dir, self.guest.run_dir)
        listener = "" if self.name == "server" else there + "/"
        self.guest.environment[LINK[self.name]] = listener + "wire.sock"
        self.guest.extra += ["-netdev", "dgram,id=lan,local.type=unix,local.path=lan.sock,"
                             f"remote.type=unix,remote.path={there}/lan.sock", *CLOCKS[self.name]]

    def run(self):
        """Boots, and judges."""
        return verdict.judge(self.guest.run(), self.guest, [self.test], {})


def show(results):
    """The points of both ends as one TAP report."""
    points = [(result.name, point) for result in results for _, point in result.points]
    print(f"TAP version 13\n1..{len(points)}")
    for number, (name, point) in enumerate(points, 1):
        print(f"{'ok' if point.state == PASS else 'not ok'} {number} {name}: {point}")
    for excerpt in (excerpt for result in results for excerpt in result.excerpts):
        print("# " + excerpt.replace("\n", "\n# "))


def main():
    """Both at once."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernel")
    parser.add_argument("--debug", action="store_true", help="that kernel is a debug kernel")
    args = parser.parse_args()
    kernel_name = "debug" if args.debug else "lean"
    kernel = args.kernel or session.image_of(kernel_name)
    build_guest("init")
    accelerator = accel.choose("auto", kernel)
    ends = [End(name, kernel, kernel_name, accelerator) for name in ("server", "client")]
    with ends[0].guest, ends[1].guest:
        ends[0].connect(ends[1])
        ends[1].connect(ends[0])
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            results = [run.result() for run in [pool.submit(end.run) for end in ends]]
    show(results)
    return 0 if all(result.passed for result in results) else 1


if __name__ == "__main__":
    program.run(main, "rdma-two")
