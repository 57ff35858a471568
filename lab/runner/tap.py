# SPDX-License-Identifier: GPL-2.0
"""Reads what a test prints: TAP 13, as the kernel's selftests speak it.

Strict where a mistake could pass for success: the plan must be there, once,
first or last, and the points must count from 1 to it without gap or repeat.
Lines that are neither are the test's own talk. Indented lines belong to
subtests, whose outcome the outer point sums up.
"""
import re

PLAN = re.compile(r"1\.\.(\d+)\s*(?:#\s*SKIP\b\s*(.*))?$", re.I)
POINT = re.compile(r"(ok|not ok)\b\s*(\d+)?\s*(?:-\s)?\s*(.*?)\s*"
                   r"(?:#\s*((?i:SKIP))\b[:\s]*(.*))?$")
EXPECT = re.compile(r"#\s*host-expect\s+(\S+)\s+(\d+)\s+(\d+)\s+([0-9a-f]{64})$")

PASS, FAIL, SKIP = "pass", "fail", "skip"
# Kselftest's exit status for "cannot be tested here".
KSFT_SKIP = 4


def expectations(text):
    """What a test wants the host to find: (drive, offset, length, sha256)."""
    found = (EXPECT.match(line.rstrip()) for line in text.splitlines())
    return [(m[1], int(m[2]), int(m[3]), m[4]) for m in found if m]


class Point:
    """One test point. A skip's name is its reason where TAP gives no other."""

    def __init__(self, name, state, reason=""):
        self.name = name or reason
        self.state = state
        self.reason = reason

    def __str__(self):
        extra = self.reason and self.reason != self.name
        return f"{self.name} ({self.reason})" if extra else self.name


class Report:
    """One test's output."""

    def __init__(self, text):
        self.plan = None
        self.skipped = None
        self.points = []
        self.errors = []
        self.expectations = expectations(text)
        self._plan_at = 0
        for line in text.splitlines():
            self._line(line.rstrip())
        self._complete()

    def _line(self, line):
        plan = PLAN.match(line)
        if line.startswith("Bail out!"):
            self.errors.append(line)
        elif plan:
            if self.plan is not None:
                self.errors.append("a second plan")
            self.plan, self.skipped = int(plan[1]), plan[2]
            self._plan_at = len(self.points)
        elif re.match(r"(ok|not ok)\b", line):
            self._point(line)

    def _point(self, line):
        match = POINT.match(line)
        if not match or not match[2]:
            self.errors.append(f"a point without a number: {line}")
            return
        if int(match[2]) != len(self.points) + 1:
            self.errors.append(f"point {match[2]} where {len(self.points) + 1} was due")
        state = FAIL
        if match[1] == "ok":
            state = SKIP if match[4] else PASS
        self.points.append(Point(match[3], state, (match[5] or "").strip()))

    def _complete(self):
        count = len(self.points)
        if self.plan is None:
            self.errors.append("no plan (1..N)")
        elif self.plan == 0 and self.skipped is None:
            self.errors.append("a plan of no points, and no reason for it")
        elif 0 < self._plan_at < count:
            self.errors.append("the plan is neither first nor last")
        elif self.plan != count and not self._gave_up():
            self.errors.append(f"{count} of {self.plan} planned points")
        if self.plan == 0 and self.skipped is not None and not count:
            self.points.append(Point("", SKIP, self.skipped or "no reason given"))

    def _gave_up(self):
        """ksft_exit_skip() after the plan: one point, a skip, and no more."""
        return len(self.points) == 1 and self.points[0].state == SKIP

    def disagreement(self, status):
        """Why the exit status contradicts the points; None when it agrees."""
        states = {point.state for point in self.points}
        if status == KSFT_SKIP:
            return None if states == {SKIP} else "exit status 4 (skip), but not all points skip"
        if status == 0:
            if self._gave_up() and self.plan != 1:
                return "exit status 0, but the test gave up"
            return "exit status 0, but points failed" if FAIL in states else None
        if status == 124:
            return "time-out"
        if status > 128:
            return f"killed by signal {status - 128}"
        return None if FAIL in states else f"exit status {status}, but no point failed"
