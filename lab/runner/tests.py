# SPDX-License-Identifier: GPL-2.0
"""lab/tests.conf: which guest test runs where, and for how long at most."""
import fnmatch
import os
import shlex

from .paths import GUEST, LAB, LabError

CONF = os.path.join(LAB, "tests.conf")


class Test:
    """One line of the file."""

    def __init__(self, line, where):
        fields = line.split(None, 4)
        if len(fields) < 5 or not fields[3].isdigit():
            raise LabError(f"{where}: expected NAME LEAN DEBUG SECONDS COMMAND")
        self.name, lean, debug, limit, command = fields
        self.topologies = {"lean": lean.split(","), "debug": debug.split(",")}
        # It has what the others have for tests to use, and counts what any of them does.
        self.topologies["coverage"] = self.topologies["lean"] + self.topologies["debug"]
        # The lean kernel, but that it looks for data races.
        self.topologies["kcsan"] = self.topologies["lean"]
        self.limit = int(limit)
        self.in_host = command.startswith("host:")
        if self.in_host:
            tests = shlex.quote(os.path.join(GUEST, "tests"))
            command = f"cd {tests} && ./{command[5:].strip()}"
        self.command = command

    def runs_on(self, topology, kernel):
        """Is this test meant for that guest?"""
        return any(fnmatch.fnmatchcase(topology, glob) for glob in self.topologies[kernel])


def load(path=CONF):
    """Every test, in the file's order."""
    tests, seen = [], set()
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            line = line.split("#", 1)[0].strip()
            if not line:
                continue
            test = Test(line, f"{path}:{number}")
            if test.name in seen:
                raise LabError(f"{path}:{number}: a second test {test.name}")
            seen.add(test.name)
            tests.append(test)
    return tests


def select(topology, kernel, glob="*"):
    """The tests of one guest."""
    return [test for test in load()
            if test.runs_on(topology, kernel) and fnmatch.fnmatchcase(test.name, glob)]
