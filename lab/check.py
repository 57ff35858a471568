#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""make check: every test there is, and one verdict.

    make check                          all of it
    make check TOPO=switch              one topology, on both kernels
    make check TOPO=switch TEST='mmap*' KERNEL=lean
    make check TOPO=host                the tests of the tree and of the runner
    make check QUICK=1                  before each commit: the lean kernel, one topology, and
                                        what takes seconds there

Closes with "N passed, N failed, N skipped"; fails when anything failed, was
missing or skipped unexpectedly, or when nothing ran.
"""
import argparse
import concurrent.futures
import fnmatch
import os
import re
import signal
import subprocess
import threading
import time

from runner import program, session, tests, topo
from runner.paths import CHECKED, DEBUG_FACTOR, KERNELS, ROOT, LabError, build_guest
from runner.tap import FAIL, PASS, SKIP, Point, Report
from runner.verdict import Result

HOST = "host"
# name: program, seconds
HOST_TESTS = {"series": ("lab/tests/series.sh", 900), "calls": ("lab/tests/calls.py", 60),
              "runner": ("lab/tests/runner.py", 600), "restart": ("lab/tests/restart.py", 500),
              "rdma-two": ("lab/tests/rdma-two.py", 600)}
# What QUICK=1 means: this topology and kernel, tests with at most so many seconds, and of this
# machine these tests.
QUICK = {"topo": "switch", "kernel": "lean", "seconds": 90, "host": ("calls",)}
# Those that boot the lean kernel.
BOOT_TESTS = ("runner", "restart", "rdma-two")


class Check:
    """The run: what was asked for, and what came of it."""

    def __init__(self, args):
        self.args = args
        self.results = []
        self.repeat = []
        self.started = time.monotonic()

    def wants(self, topology, test):
        """Does TOPO= and TEST= include this one?"""
        if self.args.quick and topology == HOST:
            return test in QUICK["host"]
        return (fnmatch.fnmatchcase(topology, self.args.topo)
                and fnmatch.fnmatchcase(test, self.args.test))

    def say(self, text):
        """A line of progress, with the time since the start."""
        seconds = int(time.monotonic() - self.started)
        print(f"[{seconds // 60:2}:{seconds % 60:02}] {text}", flush=True)

    def close(self, result, repeat):
        """Takes in a finished part."""
        self.results.append(result)
        self.say(f"{result.name}: {counts([result])} ({result.seconds:.0f} s)")
        if result.count(FAIL):
            self.repeat.append((result, repeat))

    def broken(self, name, reason, repeat):
        """A part that could not even run."""
        result = Result(name)
        result.fail(name, reason)
        self.close(result, repeat)

    def step(self, *command, behind=False):
        """Runs one of the other verbs; what it prints is ours. behind: in the time that
        others leave."""
        text = " ".join(command)
        self.say(text)
        if behind:
            command = ("nice", "-n", "19", *command)
        started = time.monotonic()
        env = {key: value for key, value in os.environ.items()
               if key not in ("MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "MAKELEVEL",
                              "TOPO", "TEST", "KERNEL", "QUICK")}
        done = subprocess.run(command, cwd=ROOT, env=env, check=False, stdin=subprocess.DEVNULL)
        seconds = time.monotonic() - started
        if done.returncode:
            self.broken(text, f"exit status {done.returncode}, see above", text)
            return False
        self.say(f"{text}: done ({seconds:.0f} s)")
        return True


def counts(results):
    """The closing line, over some results."""
    passed, failed, skipped = (sum(result.count(state) for result in results)
                               for state in (PASS, FAIL, SKIP))
    return f"{passed} passed, {failed} failed, {skipped} skipped"


def run_program(program, limit):
    """Runs a program of this machine: (what it printed, exit status)."""
    # A session of its own, so that nothing it started outlives the limit.
    process = subprocess.Popen([os.path.join(ROOT, program)], cwd=ROOT, start_new_session=True,
                               stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                               errors="replace")
    try:
        return process.communicate(timeout=limit)[0], process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        return process.communicate()[0], 124
    except KeyboardInterrupt:
        os.killpg(process.pid, signal.SIGTERM)
        raise


def run_host_test(check, name):
    """A program of this machine that prints TAP."""
    program, limit = HOST_TESTS[name]
    repeat = f"make check TOPO={HOST} TEST={name}"
    check.say(program)
    result = Result(name)
    started = time.monotonic()
    try:
        output, status = run_program(program, limit)
    except OSError as error:
        check.broken(name, f"{program}: {error.strerror}", repeat)
        return
    result.seconds = time.monotonic() - started
    report = Report(output)
    for point in report.points:
        if point.state == SKIP:
            point = Point(point.name, FAIL, "skipped, which nothing here may")
        result.add(name, point)
    for error in report.errors + [report.disagreement(status)]:
        if error:
            result.fail(name, error)
    if result.count(FAIL):
        # A point and the diagnostics after it.
        points = re.split(r"^(?=ok |not ok )", output, flags=re.M)
        wrong = [point for point in points if point.startswith("not ok")] or points[-1:]
        result.excerpts += ["\n".join(point.splitlines()[:20]) for point in wrong]
    check.close(result, repeat)


def guests_of(check, kernel_name):
    """(topology, its tests) that are wanted on a kernel."""
    found = []
    for name in fnmatch.filter(topo.names(), check.args.topo):
        topology = topo.Topology(name)
        selected = [test for test in tests.select(topology, kernel_name, check.args.test)
                    if not check.args.quick or test.limit <= QUICK["seconds"]]
        if selected:
            found.append((topology, selected))
    return found


def check_topologies(check, guests):
    """A topology that no test is for, on any kernel, is a mistake."""
    used = {topology.name for found in guests.values() for topology, _ in found}
    for name in fnmatch.filter(topo.names(), check.args.topo):
        if check.args.test == check.args.kernel == "*" and name not in used:
            check.broken(name, "no test for it in lab/tests.conf", f"make check TOPO={name}")


def run_guest(check, topology, kernel_name, selected):
    """One topology on one kernel."""
    label = f"{topology.name}-{kernel_name}"
    repeat = f"make check TOPO={topology.name} KERNEL={kernel_name}"
    check.say(f"{label}: {len(selected)} tests")
    try:
        result = session.run_tests(
            topology, session.image_of(kernel_name), kernel_name, selected,
            on_test=lambda text: check.say(f"{label}: {text}"))
    except LabError as error:
        check.broken(label, str(error), repeat)
        return
    failed = {test for test, point in result.points if point.state == FAIL}
    if len(failed) == 1 and not failed.isdisjoint(test.name for test in selected):
        repeat += f" TEST={failed.pop()}"
    check.close(result, repeat)


def run_all(check):
    """The parts in the order in which a failure is cheapest to see."""
    wanted = [name for name in HOST_TESTS if check.wants(HOST, name)]
    kernels = [name for name in (CHECKED if check.args.kernel == "*" else KERNELS)
               if fnmatch.fnmatchcase(name, check.args.kernel)]
    guests = {name: guests_of(check, name) for name in kernels}
    if not wanted and not any(guests.values()):
        raise LabError(f"nothing is called TOPO={check.args.topo} TEST={check.args.test} "
                       f"KERNEL={check.args.kernel}; topologies: {HOST}, "
                       f"{', '.join(topo.names())}; tests: see lab/tests.conf")
    if not check.step("make", "tree"):
        return
    proofs = [name for name in BOOT_TESTS if name in wanted]
    kernels = [name for name in kernels if guests[name] or (proofs and name == "lean")]
    if proofs and "lean" not in kernels:
        kernels.insert(0, "lean")
    check_topologies(check, guests)
    # One kernel after the other, and without waiting for the guests of the one before, which
    # wait for drives and for clocks.
    with concurrent.futures.ThreadPoolExecutor(1) as builder:
        built = {name: builder.submit(check.step, "make", "kernel", f"KERNEL={name}",
                                      behind=place > 0)
                 for place, name in enumerate(kernels)}
        try:
            run_parts(check, wanted, proofs, guests, built)
        finally:
            for build in built.values():
                build.cancel()


class Queue:
    """The parts that wait for a CPU, and for the kernel that they boot, if any, to be built.
    The longest comes first, so that no CPU is idle for long at the end."""

    def __init__(self, built):
        self.built = built
        self.waiting = []
        self.lock = threading.Lock()

    def add(self, kernel_name, seconds, call, *args):
        """call(*args), which may take so many seconds. kernel_name: None if it boots none."""
        self.waiting.append((seconds, kernel_name, call, args))
        self.waiting.sort(key=lambda part: -part[0])

    def take(self):
        """The longest part whose kernel is there, or None when there are no more."""
        while True:
            with self.lock:
                for part in self.waiting:
                    if part[1] is None or self.built[part[1]].done():
                        self.waiting.remove(part)
                        return part
                missing = [self.built[part[1]] for part in self.waiting]
            if not missing:
                return None
            concurrent.futures.wait(missing, return_when=concurrent.futures.FIRST_COMPLETED)

    def work(self):
        """Runs one part after the other."""
        while part := self.take():
            _, kernel_name, call, args = part
            # If it could not be built, that has been reported.
            if kernel_name is None or self.built[kernel_name].result():
                call(*args)

    def run(self, jobs):
        """Runs all parts, so many at a time."""
        with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
            for worker in [pool.submit(self.work) for _ in range(jobs)]:
                worker.result()


def run_parts(check, wanted, proofs, guests, built):
    """The tests, each as soon as the kernel that it needs is there. built: by name, a future
    that tells whether the kernel has been built."""
    if any(guests.values()):
        check.say("selftests and PID 1")
        try:
            build_guest("")
        except LabError as error:
            check.broken("guest", str(error), "lab/guest/build.sh")
            return
    queue = Queue(built)
    for name in wanted:
        queue.add("lean" if name in proofs else None, HOST_TESTS[name][1],
                  run_host_test, check, name)
    for kernel_name, found in guests.items():
        factor = DEBUG_FACTOR if kernel_name == "debug" else 1
        for topology, selected in found:
            queue.add(kernel_name, factor * sum(test.limit for test in selected),
                      run_guest, check, topology, kernel_name, selected)
    # A guest keeps one CPU busy most of the time.
    queue.run(check.args.jobs)


def conclude(check):
    """What failed, how to repeat just that, and the count."""
    for result, repeat in check.repeat:
        print(f"\n{result.name} failed:")
        for failure in result.failures():
            print(f"  {failure}")
        for excerpt in result.excerpts[:8]:
            print("  | " + excerpt.replace("\n", "\n  | "))
        logs = os.path.join("build", "log", result.name)
        if os.path.isdir(os.path.join(ROOT, logs)):
            print(f"  logs: {logs}")
        print(f"  repeat: {repeat}")
    print()
    print(counts(check.results), flush=True)
    passed = any(result.count(PASS) for result in check.results)
    return 0 if passed and not any(result.count(FAIL) for result in check.results) else 1


def main():
    """Parses, runs, concludes."""
    env = os.environ
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--topo", default=env.get("TOPO") or "*", help="a topology, or host")
    parser.add_argument("--test", default=env.get("TEST") or "*", help="a test of lab/tests.conf")
    parser.add_argument("--kernel", default=env.get("KERNEL") or "*", help="lean or debug")
    parser.add_argument("--quick", action="store_true", default=env.get("QUICK") == "1",
                        help="what to run before each commit")
    parser.add_argument("-j", "--jobs", type=int, default=os.cpu_count(), help="guests at a time")
    args = parser.parse_args()
    if args.quick:
        args.topo, args.kernel = QUICK["topo"], QUICK["kernel"]
    check = Check(args)
    run_all(check)
    return conclude(check)


if __name__ == "__main__":
    program.run(main, "check")
