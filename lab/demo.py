#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""make demo: a drive writes a picture straight into a graphics card's memory.

A drawn picture goes into the image file of an emulated NVMe drive. The guest
(topology display) runs samples/p2pdma/p2p-show, which shows it twice: by one
O_DIRECT read() into the card, and the ordinary way, through RAM and the CPU.
Before each, other sectors of the drive are shown, so that the picture can't be
left over. Each time the screen is compared with the picture, pixel for pixel.
What was moved by whom comes from QEMU's trace of the drive's DMA.

A second guest has the same two devices on root ports of their own. There the
only route crosses the host bridge, and the kernel has to refuse it.
"""
import os
import re
import socket
import subprocess

from demo import command, picture, screen, witness
from demo.report import Report
from runner import cpio, program, tests, verdict
from runner.paths import BUILD, GUEST, LAB, ROOT, LabError, build_guest
from runner.plan import Plan
from runner.qemu import Guest
from runner.topo import Topology, properties

CARD = (0x1234, 0x1111)
# Where the picture is on the drive, once for each way, so that the drive's
# commands tell the ways apart; and where stamped sectors are.
AT_P2P, AT_ORDINARY, AT_OTHER = 16 << 20, 32 << 20, 64 << 20
# Seconds of the guest's clock for one program, and for a whole guest.
STEP_LIMIT, GUEST_LIMIT = 60, 150

# What the guest shows, in this order: name, exit status, arguments of p2p-show.
P2P, ORDINARY = "peer-to-peer", "ordinary-way"
OTHER = {P2P: "other-sectors-first", ORDINARY: "other-sectors-again"}
REFUSED = "peer-to-peer-refused"
TOGETHER = (
    (OTHER[P2P], 0, f"-o {AT_OTHER}"),
    (P2P, 0, f"-o {AT_P2P}"),
    (OTHER[ORDINARY], 0, f"-o {AT_OTHER}"),
    (ORDINARY, 0, f"-c -o {AT_ORDINARY}"),
)
APART = (
    (REFUSED, 1, f"-o {AT_P2P}"),
    (ORDINARY, 0, f"-c -o {AT_ORDINARY}"),
)
PIXELS = picture.WIDTH * picture.HEIGHT
# So many pixels may be right by chance on a screen that shows something else.
CHANCE = PIXELS // 100


def step(text):
    """One line of progress."""
    print(f"demo: {text}", flush=True)


def build_programs():
    """The guest's two programs, static, in an initrd of their own."""
    build_guest("init")
    sample = "samples/p2pdma/p2p-show.c"
    # The sample as it is being worked on, if there is a tree to work in.
    tree = os.path.join(BUILD, "linux", sample)
    sources = {"p2p-show": tree if os.path.exists(tree) else os.path.join(ROOT, sample),
               "hold": os.path.join(LAB, "demo", "hold.c")}
    files = []
    for name, source in sources.items():
        program = os.path.join(GUEST, name)
        done = subprocess.run([os.environ.get("CC", "gcc"), "-O2", "-Wall", "-Wextra", "-static",
                               "-o", program, source], check=False)
        if done.returncode:
            raise LabError(f"{os.path.relpath(source)} does not compile, see above")
        with open(program, "rb") as file:
            files.append((f"tests/{name}", cpio.PROGRAM, file.read()))
    archive = os.path.join(GUEST, "demo.cpio.gz")
    with open(archive, "wb") as file:
        file.write(cpio.archive(files))
    return [os.path.join(GUEST, "init.cpio.gz"), archive]


def apart(topology):
    """Moves the card to a root port of its own."""
    moved = [device for device in topology.devices if properties(device)[0] != "bochs-display"]
    topology.devices = moved + ["pcie-root-port,id=apart,chassis=9,slot=9",
                                "bochs-display,bus=apart"]
    return topology


class Show:
    """One guest and what could be seen of it."""

    def __init__(self, topology, kernel, name, shows):
        self.equal = {}
        self.card = self.ram_size = self.framing = self.console = None
        self._output = ""
        # One instruction is one nanosecond, so CPU time counts instructions.
        topology.smp = 1
        self._tests = [tests.Test(f"{show} * * {STEP_LIMIT} hold {show} {status} /tests/p2p-show "
                                  f"{arguments} $P2P_DISK_RAW $P2P_PROVIDERS", __file__)
                       for show, status, arguments in shows]
        self._plan = Plan(topology, "lean")
        self._plan.add_tests(self._tests, 1)
        self._guest = Guest(topology, kernel, "lean", self._plan, build_programs(), label=name,
                            accel="tcg,thread=single",
                            extra=["-icount", "shift=0", "-chardev",
                                   "socket,id=hold,path=hold.sock,server=on,wait=off",
                                   "-serial", "chardev:hold"])

    @property
    def log_dir(self):
        """Where to look when something went wrong."""
        return os.path.relpath(self._guest.log_dir)

    def run(self, source):
        """Boots, looks at the screen whenever the guest holds, returns the drive's reads."""
        guest = self._guest
        with guest:
            guest.extra += witness.qemu_arguments(guest.log("nvme"))
            with open(guest.image("raw"), "r+b") as drive:
                for offset in (AT_P2P, AT_ORDINARY):
                    drive.seek(offset)
                    drive.write(source)
            step(f"booting {guest.name}")
            outcome = guest.run(lambda data: self._listen(data, source), timeout=GUEST_LIMIT)
            result = verdict.judge(outcome, guest, self._tests, {})
            self.console = outcome.console
            self.framing = verdict.Framing(outcome.output, self._plan.token)
        if not result.passed:
            raise LabError("\n    ".join([f"{guest.name}: the guest failed"] + result.failures()
                                         + [f"the logs are in {self.log_dir}"]))
        return witness.commands(guest.log("nvme"), "read")

    def _listen(self, data, source):
        """Answers each 'held NAME' of the guest's once the screen was looked at."""
        self._output += data.decode("ascii", "replace")
        *lines, self._output = self._output.split("\n")
        for line in lines:
            held = re.fullmatch(r"held (\S+)\s*", line)
            if held:
                self._look(held[1], source)

    def _look(self, show, source):
        shot = os.path.join(self._guest.log_dir, show + ".ppm")
        monitor = self._guest.monitor()
        try:
            monitor.screendump(shot)
            if not self.card:
                buses = [bus["devices"] for bus in monitor.execute("query-pci")]
                self.card = witness.bar(sum(buses, []), *CARD, 0)
                self.ram_size = monitor.execute("query-memory-size-summary")["base-memory"]
        finally:
            monitor.close()
        width, height, seen = screen.read_ppm(shot)
        fits = (width, height) == (picture.WIDTH, picture.HEIGHT)
        self.equal[show] = screen.equal_pixels(seen, source) if fits else 0
        step(f"screen, {show}: {self.equal[show]} of {PIXELS} pixels are the picture's")
        if show == P2P:
            screen.write_png(os.path.join(BUILD, "demo.png"), width, height, seen)
            # lab/demo/demo.png, in the README, is a copy of this one.
            screen.write_png(os.path.join(BUILD, "demo-small.png"),
                             *screen.half(width, height, seen))
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as answer:
            # The path from here: a socket's path may not be long.
            descriptor = os.open(self._guest.run_dir, os.O_RDONLY)
            try:
                answer.connect(f"/proc/self/fd/{descriptor}/hold.sock")
            finally:
                os.close(descriptor)
            answer.sendall(b"\n")

    def figure(self, show, what):
        """A number that p2p-show printed."""
        found = re.search(rf"^{what}:\s+(\d+) ", self.framing.output[show], re.M)
        if not found:
            raise LabError(f"{show}: p2p-show printed no '{what}'")
        return int(found[1])


def table(report, show, p2p, ordinary):
    """Both ways side by side."""
    report.line(f"  {'':40}{'peer to peer':>14}{'ordinary way':>14}")
    report.row("bytes, drive to card, by DMA", p2p.to_card, ordinary.to_card)
    report.row("bytes, drive to RAM, by DMA", p2p.to_ram, ordinary.to_ram)
    report.row("bytes, RAM to card, by the CPU", p2p.left_to_cpu, ordinary.left_to_cpu)
    report.row("pixels right on the screen", show.equal[P2P], show.equal[ORDINARY])
    report.row("read commands", len(p2p.commands), len(ordinary.commands))
    report.row("instructions, program and kernel", show.figure(P2P, "CPU time"),
               show.figure(ORDINARY, "CPU time"))
    report.line()


def check_pixels(report, show):
    """The picture where it belongs, and not before."""
    for name in (P2P, ORDINARY):
        before, after = show.equal[OTHER[name]], show.equal[name]
        report.check(after == PIXELS and before < CHANCE,
                     f"{name}: {after} of {PIXELS} pixels right; before it, {before}")


def check_bytes(report, show, p2p, ordinary):
    """Peer to peer nothing may go through RAM; the ordinary way everything does."""
    size = picture.SIZE
    at, bar_size = show.card
    report.check((p2p.to_card, p2p.to_ram, p2p.elsewhere, p2p.left_to_cpu) == (size, 0, 0, 0),
                 f"{P2P}: the drive wrote to {p2p.address_range()} and nowhere else; "
                 f"the card's BAR 0 is {at:#x} to {at + bar_size - 1:#x}")
    report.check((ordinary.to_card, ordinary.to_ram, ordinary.elsewhere, ordinary.left_to_cpu)
                 == (0, size, 0, size), f"{ORDINARY}: the drive wrote to RAM and nowhere else")
    for name, account in ((P2P, p2p), (ORDINARY, ordinary)):
        own = tuple(show.figure(name, what) for what in
                    ("by DMA, drive to card", "by DMA, drive to RAM", "by the CPU"))
        report.check(own == (account.to_card, account.to_ram, account.left_to_cpu),
                     f"{name}: p2p-show in the guest counted the same bytes")


def check_route(report, refused, commands):
    """By elimination: without the switch only the host bridge is left, and that is refused."""
    account = witness.Account(commands, AT_P2P, picture.SIZE, refused.card, refused.ram_size)
    said = refused.framing.output[REFUSED]
    why = re.search(r"\] (nvme .*cannot be used for peer-to-peer DMA.*)", refused.console)
    report.check("Remote I/O error" in said and why and not account.commands
                 and refused.equal[REFUSED] < CHANCE,
                 "without the switch the kernel refuses: the read fails (Remote I/O error), no "
                 "command reaches the drive")
    report.check(refused.equal[ORDINARY] == PIXELS, "there the ordinary way still works")
    report.line()
    if report.failed:
        return
    report.line("  Route: PCI bus address, inside the switch. The only other one crosses the host")
    report.line("  bridge, and that the kernel refuses on this CPU:")
    report.line(f"    {why[1]}")
    report.line()


def demo(kernel):
    """Everything; returns the exit status."""
    step(f"drawing a picture of {picture.WIDTH}x{picture.HEIGHT} pixels, {picture.SIZE} bytes")
    source = picture.draw()
    show = Show(Topology("display"), kernel, "demo", TOGETHER)
    commands = show.run(source)
    p2p, ordinary = (witness.Account(commands, offset, picture.SIZE, show.card, show.ram_size)
                     for offset in (AT_P2P, AT_ORDINARY))
    step("once more, with both devices on root ports of their own")
    refused = Show(apart(Topology("display")), kernel, "demo-apart", APART)
    refused_commands = refused.run(source)

    report = Report()
    report.line("A drive writes a picture into a graphics card's memory")
    report.line()
    table(report, show, p2p, ordinary)
    check_pixels(report, show)
    check_bytes(report, show, p2p, ordinary)
    check_route(report, refused, refused_commands)
    report.line("  DMA addresses and lengths are from QEMU's trace of the drive. The CPU's bytes")
    report.line("  are those of the screen that no DMA wrote. An instruction is a nanosecond of")
    report.line("  the guest's CPU time (-icount); how long real devices take is another matter.")
    return report.finish("demo", "display", (show.log_dir, refused.log_dir),
                         "look at build/demo.png; ")


def main():
    """The command line."""
    return demo(command.kernel(__doc__, "demo.png", "demo-small.png", "demo.txt"))


if __name__ == "__main__":
    program.run(main, "demo", "\n    try next: make check TOPO=display")
