# SPDX-License-Identifier: GPL-2.0
"""Boots a guest for a test run and judges it: what run.py and check.py share."""
import os
import signal
from contextlib import nullcontext

from . import accel, gcov, icount, tests, verdict
from .paths import DEBUG_FACTOR, GUEST, KERNELS, LabError
from .plan import Plan
from .qemu import Guest


def image_of(kernel_name):
    """The kernel image that make kernel left."""
    image = KERNELS[kernel_name]
    if not os.path.exists(image):
        raise LabError(f"no {os.path.relpath(image)}: run make kernel KERNEL={kernel_name}")
    return image


def own_cpu(topology):
    """A CPU for a guest whose CPUs are all run by one thread of QEMU, see icount.one_cpu()."""
    single = topology.clock == "instructions" or topology.threads == "single"
    return icount.one_cpu() if single else nullcontext()


def unless_qemu_crashes(boot, say):
    """What boot() returns as its second, the first being its Outcome; if QEMU crashed,
    that of one more.

    QEMU 7.2 was seen to, under a load that removes and adds devices all the time: it
    replaces the map of memory that another CPU's thread is using (see plug.conf). What a
    kernel brings about again and again still fails.
    """
    outcome, result = boot()
    if outcome.exit_code == -signal.SIGSEGV:
        say("QEMU crashed, so once more")
        outcome, result = boot()
    return result


def run_tests(topology, kernel, kernel_name, selected, *, label=None, wanted_accel="auto",
              append="", timeout=None, bare=False, on_output=lambda data: None,
              on_test=lambda text: None):
    """One guest, all the selected tests, one Result. See Plan for bare."""
    plan = Plan(topology, kernel_name, bare)
    counts = kernel_name == "coverage"
    plan.add_tests(selected, DEBUG_FACTOR if kernel_name == "debug" else 1,
                   os.path.join(GUEST, "tests"), gcov=counts)
    initrd = os.path.join(GUEST, "init.cpio.gz")

    def on_frame(frame):
        words = frame.split()
        if words[0] == "test" and words[2] == "end":
            on_test(f"{words[1]}: {' '.join(words[3:])}")

    def boot():
        exact = topology.clock == "instructions"
        with own_cpu(topology), \
                Guest(topology, kernel, kernel_name, plan, [initrd], label=label,
                      accel="tcg" if exact else accel.choose(wanted_accel, kernel),
                      extra=icount.ICOUNT if exact else (), append=append) as guest:
            outcome = guest.run(on_output, on_frame, timeout)
            if counts:
                gcov.save(outcome.output, plan.token, guest.log_dir)
            return outcome, verdict.judge(outcome, guest, selected)

    return unless_qemu_crashes(boot, on_test)


def select(topology, kernel_name, glob="*"):
    """The tests of a guest, at least one."""
    selected = tests.select(topology, kernel_name, glob)
    if not selected:
        raise LabError(f"no test {glob} for {topology.name}, {kernel_name} in lab/tests.conf")
    return selected
