# SPDX-License-Identifier: GPL-2.0
"""Guests whose clock advances one nanosecond an instruction, and what they measure."""
import os
import queue
import re
from contextlib import contextmanager

from . import topo, verdict
from .paths import BUILD, GUEST, LAB, LabError
from .plan import Plan
from .qemu import Guest

# Seconds of the host: what passes in the guest is no measure.
TIMEOUT = 1800
ICOUNT = ["-icount", "shift=0,sleep=off"]
# A drive without an image. Its answer takes longer than the CPU needs from the doorbell to its next
# thread: whether the interrupt finds the caller asleep must not be a matter of luck.
DRIVE = "driver=null-co,node-name=null,size=268435456,latency-ns="


class Figures(dict):
    """{name: (unit, value)} of the lines "# figure NAME UNIT VALUE"; steps is how fine a clock was."""

    def __init__(self, output):
        super().__init__((m[1], (m[2], float(m[3]))) for m in re.finditer(
            r"^# figure (\S+) (\S+) (-?[\d.]+)", output, re.M))
        self.steps = {m[1]: float(m[2]) for m in re.finditer(
            r"^# resolution (\S+) ([\d.]+)", output, re.M)}


_cpus = queue.SimpleQueue()
for _cpu in sorted(os.sched_getaffinity(0)):
    _cpus.put(_cpu)


@contextmanager
def one_cpu():
    """What this thread starts runs on a CPU of its own.

    QEMU leaves out the guest's memory barriers when one thread runs all of its
    CPUs, as -icount makes it and a topology may ask for, but its drives work in
    another one. On two CPUs a doorbell (NVMe's shadow doorbells) is lost now and
    then, and the guest waits for ever.
    """
    before = os.sched_getaffinity(0)
    cpu = _cpus.get()
    os.sched_setaffinity(0, {cpu})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
        _cpus.put(cpu)


def measure(verb, label, image, topology_name, test, archive, drive=DRIVE + "500000"):
    """Boots build/IMAGE with the topology of lab/bench, runs one test, returns its Figures."""
    topology = topo.Topology(topology_name, os.path.join(LAB, "bench"))
    plan = Plan(topology, "lean")
    plan.add_tests([test], 1)
    initrds = [os.path.join(GUEST, name) for name in ("init.cpio.gz", archive)]
    with one_cpu(), Guest(topology, os.path.join(BUILD, image), "lean", plan, initrds,
                          label="bench-" + label,
                          extra=ICOUNT + ["-blockdev", drive]) as guest:
        # One limit, for all of it.
        guest.watchdog.boot = TIMEOUT
        outcome = guest.run(timeout=TIMEOUT)
        result = verdict.judge(outcome, guest, [test])
        if not result.passed:
            raise LabError(f"{label}: " + "; ".join(result.failures()) +
                           f"; see {os.path.relpath(guest.log_dir)}")
    print(f"{verb}: {label}: {result.count(verdict.PASS) - 1} calls measured in "
          f"{outcome.seconds:.0f} s", flush=True)
    return Figures(outcome.output)
