#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Boots one guest: a test run, one command, or a shell.

    lab/run.py --topo switch --tests              every test of the topology
    lab/run.py --topo switch --tests 'mmap*'      some of them
    lab/run.py --topo switch --cmd 'ls /sys/bus/pci/devices'
    lab/run.py --topo switch --shell              exit, or Ctrl-A x, leaves
    lab/run.py --topo switch --boot               boots, finds the drives, and has a clean log

A command and a shell run in the machine's own root, read-only below a tmpfs
that takes the writes. The kernel log is in build/log/TOPOLOGY-KERNEL/.
"""
import argparse
import os
import re
import shutil
import sys

from runner import accel, klog, program, session, topo, verdict
from runner.paths import BUILD, GUEST, KERNELS, LabError, build_guest
from runner.plan import Plan
from runner.qemu import Guest


def parse_arguments():
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--topo", default="switch", help="a file of lab/topo/ (switch)")
    parser.add_argument("--kernel", help="a kernel image, instead of build/bzImage")
    parser.add_argument("--debug", action="store_true",
                        help="boot build/bzImage-debug; with --kernel: that is a debug kernel")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--tests", nargs="?", const="*", metavar="GLOB")
    what.add_argument("--cmd", metavar="COMMAND")
    what.add_argument("--shell", action="store_true")
    what.add_argument("--boot", action="store_true")
    parser.add_argument("--timeout", type=float, metavar="S", help="for the whole guest")
    parser.add_argument("--drive", action="append", default=[], metavar="NAME=FILE",
                        help="a drive that starts with the contents of a file (with --cmd)")
    parser.add_argument("--screendump", metavar="PPM",
                        help="keep what the screen shows at the end (with --cmd)")
    parser.add_argument("--append", default="", help="added to the kernel's command line")
    parser.add_argument("--accel", choices=("auto", "kvm", "tcg"), default="auto")
    parser.add_argument("-v", "--verbose", action="store_true", help="show what tests print")
    return parser.parse_args()


def status_of(outcome, guest, shell=False):
    """The command's exit status, or an error that says what came between."""
    match = re.search(rf"### {guest.plan.token} cmd end status=(\d+)", outcome.console)
    if match and not outcome.timed_out:
        return int(match[1])
    if shell and not outcome.exit_code and not klog.panic(outcome.console):
        return 0                        # Ctrl-A x
    reason = outcome.timed_out or verdict.why_it_died(outcome, guest)
    raise LabError(f"{guest.name}: {reason}; see {os.path.relpath(guest.log_dir)}")


def run_tests(topology, kernel, kernel_name, label, args):
    """--tests and --boot: how each test ended as it ends, then every point."""
    selected = [] if args.boot else session.select(topology, kernel_name, args.tests)
    build_guest("init" if args.boot else "")

    def show_output(data):
        if args.verbose:
            sys.stdout.buffer.write(data)
            sys.stdout.flush()

    result = session.run_tests(
        topology, kernel, kernel_name, selected, label=label, wanted_accel=args.accel,
        append=args.append, timeout=args.timeout, bare=args.boot, on_output=show_output,
        on_test=lambda text: print(f"{topology.name}-{label}: {text}", flush=True))
    print(result.summary())
    return 0 if result.passed else 1


def run_program(topology, kernel, kernel_name, label, args):
    """--cmd and --shell: nothing but the guest's own output on standard output."""
    build_guest("init")
    plan = Plan(topology, kernel_name)
    if args.shell:
        size = shutil.get_terminal_size()
        plan.add_shell(size.lines, size.columns, os.environ.get("TERM", "vt100"))
    else:
        plan.add_command(args.cmd)

    def pass_on(data):
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()

    with session.own_cpu(topology), \
            Guest(topology, kernel, kernel_name, plan, [os.path.join(GUEST, "init.cpio.gz")],
                  label=label, accel=accel.choose(args.accel, kernel), append=args.append,
                  contents=dict(item.split("=", 1) for item in args.drive),
                  screendump=args.screendump) as guest:
        if args.shell:
            print(f"booting {topology.name}; exit, or Ctrl-A x, leaves", file=sys.stderr)
            return status_of(guest.run_interactive(), guest, shell=True)
        return status_of(guest.run(on_output=pass_on, timeout=args.timeout), guest)


def main():
    """Finds the kernel and the topology, and boots."""
    args = parse_arguments()
    topology = topo.Topology(args.topo)
    kernel_name = "debug" if args.debug else "lean"
    kernel = os.path.abspath(args.kernel or session.image_of(kernel_name))
    if not os.path.exists(kernel):
        raise LabError(f"no kernel image {args.kernel}")
    label = re.sub(r"\W+", "_", os.path.basename(kernel))
    for name, image in KERNELS.items():
        if kernel == image:
            kernel_name = label = name
    os.makedirs(BUILD, exist_ok=True)
    run = run_tests if args.tests or args.boot else run_program
    return run(topology, kernel, kernel_name, label, args)


if __name__ == "__main__":
    program.run(main, "run")
