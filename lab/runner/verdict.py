# SPDX-License-Identifier: GPL-2.0
"""Decides whether a guest's test run passed.

Nothing passes by absence: PASS needs PID 1's word as the last thing it said,
every planned test begun and ended with its whole TAP plan, only the skips that
the topology lists, a clean kernel log, a leak scan that was done, no taint,
and a QEMU that ended by itself in time.
"""
import fnmatch
import re

from . import klog
from .tap import FAIL, PASS, SKIP, Point, Report

GUEST = "guest"
# Lines of a failed test's output that are shown.
TAIL = 20


class Result:
    """The points of one guest: its tests' and its own."""

    def __init__(self, name, seconds=0.0):
        self.name = name
        self.seconds = seconds
        self.points = []
        self.excerpts = []

    def add(self, test, point):
        """Counts one point of a test."""
        self.points.append((test, point))

    def fail(self, test, reason):
        """Counts something that went wrong."""
        self.add(test, Point(reason, FAIL))

    def count(self, state):
        """How many points are in a state."""
        return sum(point.state == state for _, point in self.points)

    @property
    def passed(self):
        """Did anything pass and nothing fail?"""
        return self.count(PASS) > 0 and not self.count(FAIL)

    def failures(self):
        """'test: what' of every failed point."""
        return [f"{test}: {point}" for test, point in self.points if point.state == FAIL]

    def summary(self):
        """One line a point, then the counts."""
        lines = [f"  {point.state}  {test}: {point}" for test, point in self.points]
        lines += self.excerpts
        lines.append(f"{self.name}: {self.count(PASS)} passed, {self.count(FAIL)} failed, "
                     f"{self.count(SKIP)} skipped ({self.seconds:.0f} s)")
        return "\n".join(lines)


class Framing:
    """The output of programs, cut at PID 1's framing lines."""

    def __init__(self, output, token):
        self.frames = []
        self.begun = set()
        self.ended = {}
        self.output = {}
        self.errors = []
        self._inside = None
        head = f"### {token} "
        for line in output.splitlines(keepends=True):
            if line.startswith(head):
                self._frame(line[len(head):].strip())
            elif self._inside:
                self.output[self._inside] += line

    def _frame(self, frame):
        self.frames.append(frame)
        match = re.fullmatch(r"test (\S+) (?:begin|end status=(\d+) .*)", frame)
        if not match:
            return
        name, status = match[1], match[2]
        if status is None:
            if name in self.begun or self._inside:
                self.errors.append(f"test {name} begins in the wrong place")
            self.begun.add(name)
            self.output[name] = ""
            self._inside = name
        else:
            if self._inside != name:
                self.errors.append(f"test {name} ends in the wrong place")
            self.ended[name] = int(status)
            self._inside = None

    def having(self, start):
        """The frames that start so, without that start."""
        return [frame[len(start):] for frame in self.frames if frame.startswith(start)]


class _Skips:
    """The topology's expected skips, ticked off as they happen."""

    def __init__(self, expected):
        self._expected = expected
        self._used = set()

    def expected(self, test, point):
        """Is this skip listed? Then it is ticked off."""
        found = False
        for glob in self._expected:
            whole, _, part = glob.partition(":")
            if fnmatch.fnmatchcase(test, whole) and fnmatch.fnmatchcase(point, part or "*"):
                self._used.add(glob)
                found = True
        return found

    def missing(self, tests):
        """Listed skips of tests that ran, and that did not happen."""
        return [glob for glob in self._expected if glob not in self._used
                and any(fnmatch.fnmatchcase(test, glob.partition(":")[0]) for test in tests)]


def _judge_test(result, name, framing, skips, host_found):
    """One test's points, and what contradicts them."""
    if name not in framing.begun:
        result.fail(name, "never begun")
        return
    report = Report(framing.output[name])
    for point in report.points:
        if point.state == SKIP and not skips.expected(name, point.name):
            point = Point(point.name, FAIL, "skipped, which the topology does not list")
        result.add(name, point)
    for error in report.errors:
        result.fail(name, error)
    if name not in framing.ended:
        result.fail(name, "did not end")
        return
    contradiction = report.disagreement(framing.ended[name])
    if contradiction:
        result.fail(name, contradiction)
    found = host_found.get(name, [])
    if len(found) != len(report.expectations):
        result.fail(name, "the host did not check all that it was asked to")
    for (drive, offset, length, digest), have in zip(report.expectations, found):
        where = f"host finds {length} bytes at {offset} of {drive}"
        if have == digest:
            result.add(name, Point(where, PASS))
        else:
            result.fail(name, f"{where} to be different: {have}, expected {digest}")


def _guest_problems(outcome, framing, guest):
    """What is wrong with the run as a whole."""
    if outcome.timed_out:
        yield outcome.timed_out
    if outcome.exit_code and not outcome.timed_out:
        yield f"QEMU exited with {outcome.exit_code}, see {guest.log('qemu')}"
    yield from framing.errors
    for fault in framing.having("fault "):
        yield fault
    if "leak scan done" not in framing.frames:
        yield "no leak scan"
    if guest.debug and framing.having("leak kmemleak ") != ["objects=0"]:
        yield "kmemleak did not find that nothing leaked"
    taint = framing.having("tainted ")
    if taint != [guest.topology.taint]:
        yield f"kernel tainted: {taint[0]}" if taint else "taint not reported"
    verdicts = framing.having("verdict ")
    if not verdicts:
        yield "no verdict: " + why_it_died(outcome, guest)
    elif len(verdicts) > 1 or not framing.frames[-1].startswith("verdict "):
        yield "the verdict is not the last word"
    elif not verdicts[0].startswith("PASS"):
        yield f"PID 1 says {verdicts[0]}"
    elif framing.frames[-3:-1] != ["leak scan done", f"tainted {guest.topology.taint}"]:
        yield "the verdict does not follow the leak scan"


def why_it_died(outcome, guest):
    """The best reason to be found for a guest that ended early."""
    panic = klog.panic(outcome.console)
    if panic:
        return panic
    if outcome.timed_out:
        return outcome.timed_out
    if outcome.exit_code:
        with open(guest.log("qemu"), encoding="utf-8", errors="replace") as log:
            said = log.read().splitlines()[1:]
        return f"QEMU exited with {outcome.exit_code}: " + (said[-1] if said else "no reason")
    return "the guest went down without a word"


def judge(outcome, guest, tests, expected_skips=None):
    """The Result of one guest's test run."""
    result = Result(guest.name, outcome.seconds)
    framing = Framing(outcome.output, guest.plan.token)
    skips = _Skips(guest.topology.skips if expected_skips is None else expected_skips)
    planned = [test.name for test in tests]
    for name in planned:
        before = result.count(FAIL)
        _judge_test(result, name, framing, skips, outcome.host_found)
        if result.count(FAIL) > before and framing.output.get(name):
            result.excerpts.append(f"the output of {name} ends with\n" + "\n".join(
                framing.output[name].splitlines()[-TAIL:]))
    for name in sorted(framing.begun - set(planned)):
        result.fail(name, "was not planned")
    for glob in skips.missing(framing.ended):
        result.fail(glob, "expected to skip, and did not")
    problems = list(_guest_problems(outcome, framing, guest))
    for headline, excerpt in klog.splats(outcome.console, guest.topology.faults):
        problems.append(f"kernel log: {headline}")
        result.excerpts.append(excerpt)
    for problem in problems:
        result.fail(GUEST, problem)
    if not problems:
        result.add(GUEST, Point("verdict, kernel log, leak scan, taint", PASS))
    return result
