#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""make soak, make fuzz: one guest under load, for as long as it is told.

    make soak [MINUTES=10] [SEED=1] [KERNEL=debug] [UNPLUG=1]
    make fuzz [MINUTES=10] [SEED=1] [KERNEL=debug]

soak lets many threads use peer-to-peer memory in all ways at once while its
providers are unbound, reset and removed, with UNPLUG=1 unplugged, too (p2p_stress); then
lockdep is off. fuzz makes random system calls, a program for each seed
(p2p_fuzz). Both work on two mirrors, too, with a member that is cut off from the
memory now and then. What they count is printed as it comes, a line a minute, and in full
at the end. The verdict is that of a test:
the program's points, a clean kernel log, nothing leaked.
"""
import argparse
import os

from runner import program, session, topo
from runner.paths import KERNELS, build_guest
from runner.tests import Test

TOPOLOGY = "plug"
PROGRAMS = {"soak": "mirrors.sh ./p2p_stress -p 3", "fuzz": "mirrors.sh ./p2p_fuzz -n 5000"}
# To end what is under way, and for the last round of calls.
GRACE = 600


class Show:
    """Passes on the comments among the lines of a TAP program."""

    def __init__(self):
        self._rest = b""

    def __call__(self, data):
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"# "):
                print(line[2:].decode("utf-8", "replace").rstrip(), flush=True)


def positive(text):
    """A number of minutes."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def main():
    """Parses, boots, reports."""
    env = os.environ
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("verb", choices=PROGRAMS)
    parser.add_argument("--minutes", type=positive, default=env.get("MINUTES") or "10")
    parser.add_argument("--seed", type=int, default=env.get("SEED") or "1")
    parser.add_argument("--kernel", choices=KERNELS, default=env.get("KERNEL") or "lean")
    args = parser.parse_args()

    build_guest("")
    seconds = args.minutes * 60
    command = f"{PROGRAMS[args.verb]} -t {seconds} -s {args.seed}"
    if args.verb == "soak" and env.get("UNPLUG"):
        command += " -u"
    test = Test(f"{args.verb} {TOPOLOGY} {TOPOLOGY} {seconds + GRACE} host:{command}", __file__)
    print(f"{args.verb}: {command}, {args.kernel} kernel, {args.minutes} min", flush=True)
    result = session.run_tests(
        topo.Topology(TOPOLOGY), session.image_of(args.kernel), args.kernel, [test],
        label=f"{args.verb}-{args.kernel}", on_output=Show())
    print(result.summary())
    return 0 if result.passed else 1


if __name__ == "__main__":
    program.run(main, "soak")
