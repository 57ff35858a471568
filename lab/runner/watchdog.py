# SPDX-License-Identifier: GPL-2.0
"""Knows from PID 1's frames what a guest is doing, and how long that may take."""
import time

# Seconds, for the lean kernel under TCG on a busy machine.
BOOT = 60
STEP = 60
GRACE = 20

POWER_OFF = "power-off"


class Watchdog:
    """The limit of the step that a guest is in."""

    def __init__(self, test_limits, factor):
        self.boot, self.grace = BOOT, GRACE
        self.step = None
        self._test_limits = test_limits
        self._factor = factor
        self._deadline = self._end = None

    def start(self, timeout=None):
        """The machine is being switched on; timeout is for all that it does."""
        self._end = time.monotonic() + timeout if timeout else None
        self._allow("the boot up to PID 1", self.boot * self._factor)

    def _allow(self, step, seconds):
        self.step = step
        self._deadline = time.monotonic() + seconds if seconds else None

    def follow(self, frame):
        """PID 1 reported where it is."""
        words = frame.split()
        if words[0] == "test" and words[2] == "begin":
            # PID 1 watches the test; this is for a machine that hangs as a whole.
            limit = self._test_limits.get(words[1], 0)
            self._allow(f"test {words[1]}", limit + self.grace * self._factor)
        elif words[:2] in (["cmd", "begin"], ["shell", "begin"]):
            self._allow("the command", None)
        elif words[:2] == ["cmd", "end"] or words[0] == "verdict":
            self._allow(POWER_OFF, STEP * self._factor)
        else:
            self._allow(f"what follows '{frame}'", STEP * self._factor)

    def expired(self):
        """Why the guest has had its time; None while it has not."""
        now = time.monotonic()
        if self._end and now > self._end:
            return "the guest did not end in the time that it was given"
        if self._deadline and now > self._deadline:
            return f"the guest hangs in {self.step}"
        return None
