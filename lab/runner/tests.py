# SPDX-License-Identifier: GPL-2.0
"""lab/tests.conf: which guest test runs where, and for how long at most."""
import fnmatch
import functools
import os
import re
import shlex

from . import topo
from .paths import GUEST, LAB, LabError

CONF = os.path.join(LAB, "tests.conf")
EVERYWHERE, NOWHERE, GROUP = "*", "-", "@"


class Test:
    """One line of the file."""

    def __init__(self, line, where):
        fields = line.split(None, 4)
        if len(fields) < 5 or not fields[3].isdigit():
            raise LabError(f"{where}: expected NAME LEAN DEBUG SECONDS COMMAND")
        self.name, lean, debug, limit, command = fields
        self.places = {"lean": lean.split(","), "debug": debug.split(",")}
        # It has what the others have for tests to use, and counts what any of them does.
        self.places["coverage"] = self.places["lean"] + self.places["debug"]
        # The lean kernel, but that it looks for data races.
        self.places["kcsan"] = self.places["lean"]
        self.limit = int(limit)
        self.in_host = command.startswith("host:")
        # A script may be there to run a program.
        self.programs = [re.sub(r"^(\./)?(.*?)(\.sh)?$", r"\2", word)
                         for word in command.removeprefix("host:").split()]
        if self.in_host:
            tests = shlex.quote(os.path.join(GUEST, "tests"))
            command = f"cd {tests} && ./{command[5:].strip()}"
        self.command = command

    def runs_on(self, topology, kernel):
        """Is this test meant for that guest?"""
        known = {EVERYWHERE, topology.name} | {GROUP + group for group in topology.groups}
        return not known.isdisjoint(self.places[kernel])

    def check(self, where, names):
        """A name that differs from the program's, or a place that is nowhere, is a mistake."""
        if self.name.partition("-")[0] not in self.programs:
            raise LabError(f"{where}: {self.name} is not the name of its program, "
                           "nor that and - and a word")
        for place in self.places["coverage"]:
            if place not in names:
                raise LabError(f"{where}: there is no topology, and none in a group, {place}")


def load(path=CONF, directory=topo.DIRECTORY):
    """Every test, in the file's order."""
    topologies = [topo.Topology(name, directory) for name in topo.names(directory)]
    names = {EVERYWHERE, NOWHERE, *(topology.name for topology in topologies)}
    groups = {GROUP + group: topology for topology in topologies for group in topology.groups}
    tests, seen = [], set()
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            line = line.split("#", 1)[0].strip()
            if not line:
                continue
            test = Test(line, f"{path}:{number}")
            test.check(f"{path}:{number}", names | groups.keys())
            if test.name in seen:
                raise LabError(f"{path}:{number}: a second test {test.name}")
            seen.add(test.name)
            tests.append(test)
    for group in groups.keys() - {place for test in tests for place in test.places["coverage"]}:
        raise LabError(f"{groups[group].path}: no test is for the group {group.removeprefix(GROUP)}")
    return tests


@functools.cache
def _known():
    """The file is read once a run."""
    return load()


def select(topology, kernel, glob="*"):
    """The tests of one guest."""
    return [test for test in _known()
            if test.runs_on(topology, kernel) and fnmatch.fnmatchcase(test.name, glob)]
