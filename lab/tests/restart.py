#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""A machine restarts, and starts another kernel, while transfers are under way.

    lab/tests/restart.py [--kernel IMG] [--topo NAME]

In guests two programs transfer peer-to-peer memory without end, one of them by a drive
so slow that its transfer is under way whenever the machine is told to restart. It does
so in time, and says nothing in its log that it should not; and the kernel that kexec
starts finds all devices in order. So it does while pages of a provider whose driver is gone
are in use, and while an unbind waits for a client that keeps memory without struct pages
mapped. TAP on standard output.
"""
import argparse
import glob
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

from runner import accel, klog, program, session, topo  # noqa: E402
from runner.paths import BUILD, GUEST, build_guest  # noqa: E402
from runner.plan import Plan  # noqa: E402
from runner.qemu import Guest  # noqa: E402

TESTS = os.path.join(GUEST, "tests")
# Of a guest, as a whole: boots included.
LIMIT = 240
# Has a provider of memory without struct pages that a drive reaches.
VRAM_TOPOLOGY = "rootports"

LOAD = f"""cd {TESTS}
(while ./block_io $P2P_DISK_RAW works; do :; done) >/dev/null 2>&1 &
(while ./block_io $P2P_DISK_SLOW works; do :; done) >/dev/null 2>&1 &
sleep 4
"""
# A bio in a suspended device holds pages of providers, which are unbound all the same.
ORPHANS = f"""cd {TESTS}
dmsetup --noudevsync create p2p --table "0 8192 linear $P2P_DISK_RAW 0" &&
dmsetup --noudevsync mknodes && dmsetup suspend --noflush p2p || exit 9
./block_io /dev/mapper/p2p write &
sleep 1
for p in $P2P_PROVIDERS; do
echo $p >/sys/bus/pci/devices/$p/driver/unbind; echo "# unbound $p"
done
"""
# lib/test_p2p_uapi.h: a mapping for DMA that its owner does not give back when he is told.
KEEP_RANGE = """python3 - <<END &
import ctypes, fcntl, mmap, os, struct, time
vram = os.environ["P2P_VRAM"]
memory = mmap.mmap(os.open("/dev/p2p-vram-" + vram, os.O_RDWR), 65536)
addr = ctypes.addressof(ctypes.c_char.from_buffer(memory))
client = min(name for name in os.listdir("/sys/bus/pci/drivers/nvme") if ":" in name)
domain, bus, rest = client.split(":")
slot, function = rest.split(".")
devfn = int(slot, 16) << 3 | int(function)
arg = bytearray(struct.pack("QQQIIIIIiQQ", addr, 65536, 0, int(domain, 16), int(bus, 16), devfn,
                            0, 1, 0, 0, 0))
fcntl.ioctl(os.open("/sys/kernel/debug/p2p_test_range", os.O_RDWR),
            3 << 30 | len(arg) << 16 | ord("P") << 8 | 8, arg)
print("# result", struct.unpack("QQQIIIIIiQQ", arg)[8], flush=True)
open("/dev/shm/mapped", "w")
time.sleep(1000)
END
until [ -e /dev/shm/mapped ]; do sleep 0.1; done
echo $P2P_VRAM >/sys/bus/pci/drivers/p2p-vram/unbind &
sleep 3
"""
RESTART = "exec python3 -c 'import ctypes; ctypes.CDLL(None).reboot(0x{:x})'\n"
AUTOBOOT, KEXEC = 0x01234567, 0x45584543

# The same initrd, so the same plan: whose command finds a word more on the command line.
KEXEC_LOAD = """python3 - <<END || exit 9
import ctypes, os
kernel, initrd = os.open("{kernel}", os.O_RDONLY), os.open("{initrd}", os.O_RDONLY)
line = open("/proc/cmdline").read().strip().encode() + b" p2p.second\\0"
libc = ctypes.CDLL(None, use_errno=True)
failed = libc.syscall(320, kernel, initrd, ctypes.c_ulong(len(line)), line, ctypes.c_ulong(0))
assert not failed, os.strerror(ctypes.get_errno())
END
"""
SECOND = f"""if grep -q p2p.second /proc/cmdline; then
cd {TESTS}
./block_io $P2P_DISK_RAW works && echo '# after kexec: works'
exit
fi
"""


class Case:
    """One guest with a command in it."""

    def __init__(self, name, topology, kernel, accelerator):
        self.name = name
        self.plan = Plan(topology, "lean")
        self.guest = Guest(topology, kernel, "lean", self.plan,
                           [os.path.join(GUEST, "init.cpio.gz")], label=name,
                           accel=accelerator)

    def run(self, command):
        """What went wrong, and the Outcome."""
        self.plan.add_command(command)
        with self.guest:
            outcome = self.guest.run(timeout=LIMIT)
        found = klog.splats(outcome.console)
        if outcome.timed_out:
            return outcome.timed_out, outcome
        if found:
            return found[0][0], outcome
        if "cmd begin" not in outcome.console:
            return "it never ran the command", outcome
        return None, outcome


def restarts(case, command, *signs):
    """What went wrong when the machine was told to restart after the command, by reboot(2), as
    the machine's own programs call it last.

    signs: (what the guest shows if the command did its part, where that is, what is wrong
    otherwise)
    """
    wrong, outcome = case.run(command + RESTART.format(AUTOBOOT))
    for sign, where, otherwise in (*signs, ("reboot: Restarting system", "console",
                                            "it did not restart")):
        if not wrong and sign not in getattr(outcome, where):
            wrong = otherwise
    return wrong


def restart(case):
    """Transfers don't hold up the end of the system."""
    return restarts(case, LOAD)


def orphans(case):
    """Nor do pages without a device."""
    return restarts(case, ORPHANS,
                    ("# unbound", "output", "no provider was unbound"),
                    ("unavailable until they are released", "console", "no pages were in use"))


def ranges(case):
    """Nor does a client that does not unmap memory without struct pages."""
    return restarts(case, KEEP_RANGE,
                    ("# result 0", "output", "nothing was mapped"),
                    ("waiting for 1 DMA mappings", "console", "the unbind did not wait"))


def kexec(case):
    """The kernel in memory starts another one."""
    # Where the guest's initrd will be.
    initrd = os.path.join(BUILD, "run", case.guest.name, "initrd")
    wrong, outcome = case.run(SECOND + KEXEC_LOAD.format(kernel=case.guest.kernel, initrd=initrd) +
                              LOAD + RESTART.format(KEXEC))
    if wrong:
        return wrong
    if outcome.console.count("Linux version ") != 2:
        return "the second kernel did not start"
    if "# after kexec: works" not in outcome.output:
        return "the second kernel's transfers fail"
    return None


def main():
    """Boots one guest after the other."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernel", default=session.image_of("lean"))
    parser.add_argument("--topo", default="switch")
    args = parser.parse_args()
    build_guest("")
    topology = topo.Topology(args.topo)
    with_vram = topo.Topology(VRAM_TOPOLOGY)
    accelerator = accel.choose("auto", args.kernel)
    cases = {"restart": restart, "orphans": orphans, "ranges": ranges, "kexec": kexec}
    failed = 0
    print(f"TAP version 13\n1..{len(cases)}", flush=True)
    for number, (name, run) in enumerate(cases.items(), 1):
        wrong = run(Case(name, with_vram if run is ranges else topology, args.kernel,
                         accelerator))
        if wrong:
            failed += 1
            print(f"# {wrong}; see {glob.glob(os.path.join(BUILD, 'log', f'*{name}*'))}")
        print(f"{'not ok' if wrong else 'ok'} {number} {name}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    program.run(main, "restart")
