#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""make demo-two: data goes from the drive of one machine to the drive of another, through a BAR.

Two guests have the same file as the memory behind a BAR, as two machines have that see one
device. The first one reads its drive into that memory by O_DIRECT, the second one writes it to
its own drive (lab/demo/relay.c). Neither has the data in its RAM at any time: QEMU's trace of
the drives tells where their DMA went, and the kernels count the same bytes.
"""
import concurrent.futures
import os
import re
import subprocess

from demo import command, witness
from demo.report import Report
from runner import cpio, drives, program, tests, verdict
from runner.paths import GUEST, LAB, LabError, build_guest
from runner.plan import Plan
from runner.qemu import Guest
from runner.topo import Topology, properties

BAR_SIZE = 64 << 20
# The data, and where on the drives it is.
LENGTH, FROM, TO = 48 << 20, 16 << 20, 96 << 20
# Seconds of the guest's clock: it waits for the other one to boot.
LIMIT = 120


def step(text):
    """One line of progress."""
    print(f"demo-two: {text}", flush=True)


def build_relay():
    """The guests' program, static, in an initrd of its own."""
    build_guest("init")
    relay = os.path.join(GUEST, "relay")
    done = subprocess.run([os.environ.get("CC", "gcc"), "-O2", "-Wall", "-Wextra", "-static",
                           "-o", relay, os.path.join(LAB, "demo", "relay.c")], check=False)
    if done.returncode:
        raise LabError("lab/demo/relay.c does not compile, see above")
    archive = os.path.join(GUEST, "relay.cpio.gz")
    with open(relay, "rb") as file, open(archive, "wb") as out:
        out.write(cpio.archive([("tests/relay", cpio.PROGRAM, file.read())]))
    return [os.path.join(GUEST, "init.cpio.gz"), archive]


def machine(content):
    """A switch with one drive and one provider below it."""
    topology = Topology("switch")
    topology.bars = {"bar": BAR_SIZE}
    topology.drives = {"raw": (256 << 20, content)}
    topology.devices = [device for device in topology.devices
                        if properties(device)[1].get("drive", "raw") == "raw"
                        and "cmb_size_mb" not in device]
    topology.providers = "1"
    return topology


class End:
    """One of the machines."""

    def __init__(self, kind, content, offset, kernel, initrds):
        self.kind, self.offset = kind, offset
        topology = machine(content)
        self.ram_size = topology.memory
        self._test = tests.Test(f"relay * * {LIMIT} relay {kind} {offset} {LENGTH} "
                                "$P2P_DISK_RAW $P2P_PROVIDERS", __file__)
        self._plan = Plan(topology, "lean")
        self._plan.add_tests([self._test], 1)
        self.guest = Guest(topology, kernel, "lean", self._plan, initrds, label=f"demo-two-{kind}")
        self.account = self.counted = None

    @property
    def log_dir(self):
        """Where to look when something went wrong."""
        return os.path.relpath(self.guest.log_dir)

    def run(self):
        """Boots, and adds up what the drive did."""
        guest = self.guest
        guest.extra += witness.qemu_arguments(guest.log("nvme"))
        outcome = guest.run(timeout=2 * LIMIT)
        result = verdict.judge(outcome, guest, [self._test], {})
        if not result.passed:
            raise LabError("\n    ".join(
                [f"{guest.name}: the guest failed"] + result.failures()
                + [f"the logs are in {self.log_dir}"]))
        bar = re.search(r"added peer-to-peer DMA memory 0x([0-9a-f]+)-0x([0-9a-f]+)",
                        outcome.console)
        first, last = (int(text, 16) for text in bar.groups())
        self.account = witness.Account(witness.commands(guest.log("nvme"), self.kind),
                                       self.offset, LENGTH, (first, last + 1 - first),
                                       self.ram_size)
        output = verdict.Framing(outcome.output, self._plan.token).output[self._test.name]
        self.counted = int(re.search(r"^dma_bus_bytes: (\d+)", output, re.M)[1])

    def digest(self):
        """Of the data on its drive."""
        return drives.sha256(self.guest.image("raw"), self.offset, LENGTH)


def relay(kernel):
    """Both machines at once; returns them, and whether the data arrived."""
    initrds = build_relay()
    source = End("read", "stamp", FROM, kernel, initrds)
    target = End("write", "zero", TO, kernel, initrds)
    with source.guest, target.guest:
        shared, other = (os.path.join(end.guest.run_dir, "bar.mem") for end in (source, target))
        os.unlink(other)
        os.link(shared, other)
        same = [target.digest() == source.digest()]
        step("booting two machines")
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            for run in [pool.submit(end.run) for end in (source, target)]:
                run.result()
        same.append(target.digest() == source.digest())
    return source, target, same == [False, True]


def demo(kernel):
    """Everything; returns the exit status."""
    source, target, arrived = relay(kernel)
    report = Report()
    report.line("A drive's data goes to the drive of another machine, through a BAR that both see")
    report.line()
    report.line(f"  {'':40}{'first machine':>14}{'second one':>14}")
    report.row("bytes, drive and BAR, by DMA", source.account.to_card, target.account.to_card)
    report.row("bytes, drive and RAM, by DMA", source.account.to_ram, target.account.to_ram)
    report.row("p2pmem/dma_bus_bytes, by the kernel", source.counted, target.counted)
    report.line()
    report.check(arrived, f"{LENGTH} bytes of the first drive are on the second one")
    for end in (source, target):
        account = end.account
        report.check((account.to_card, account.to_ram, account.elsewhere) == (LENGTH, 0, 0),
                     f"{end.kind}: the drive used {account.address_range()}, the BAR, and "
                     "nothing else")
        report.check(end.counted == LENGTH, f"{end.kind}: the kernel counted the same")
    report.line()
    return report.finish("demo-two", "switch", [end.log_dir for end in (source, target)])


def main():
    """The command line."""
    return demo(command.kernel(__doc__, "demo-two.txt"))


if __name__ == "__main__":
    program.run(main, "demo-two", "\n    try next: make check TOPO=switch")
