# SPDX-License-Identifier: GPL-2.0
"""lab/coverage.conf: why lines are not run by any test.

A reason is for lines of one function, known by their text: edits elsewhere
don't move it away from them.
"""
import collections
import re

from .paths import LabError

SEPARATOR = " -- "
# The name that begins a definition, or the declaration of one that other lines continue.
HEAD = re.compile(r"(?:[A-Za-z_][\w*\s]*?)?\b([A-Za-z_]\w*)\(")
ANNOTATION = re.compile(r"\b(__printf|__acquires|__releases|__must_hold)\([^)]*\)")


def functions(text):
    """{line number: name of the function that it is in} of a kernel source file."""
    found, name, inside = {}, None, False
    for number, line in enumerate(text.splitlines(), 1):
        if not inside and re.match(r"[A-Za-z_]", line) and not line.endswith(";"):
            head = HEAD.match(ANNOTATION.sub("", line))
            if head:
                name, first = head[1], number
        if line == "{" and name:
            inside = True
            found.update(dict.fromkeys(range(first, number), name))
        if inside:
            found[number] = name
        if line == "}":
            name, inside = None, False
    return found


class Reason:
    """One line of the file."""

    def __init__(self, where, function, text, why):
        self.where = where
        self.function = function
        self.text = text
        self.why = why
        self.found = self.needed = False

    @property
    def by_chance(self):
        """Is it one for lines that some runs get to?"""
        return self.why.startswith("race: ")

    def is_for(self, function, line):
        """Is the reason for that line of that function?"""
        return self.function == function and (self.text == "*" or self.text in line)


class Reasons:
    """All of them, and the files that are not measured."""

    def __init__(self, path):
        self.left_out = {}
        self._reasons = collections.defaultdict(list)
        file = None
        with open(path, encoding="utf-8") as conf:
            for number, line in enumerate(conf, 1):
                line = line.strip()
                where = f"{path}:{number}"
                if not line or line.startswith("#"):
                    continue
                section = re.fullmatch(r"\[(.*)\]", line)
                if section:
                    file = section[1]
                elif file is None or SEPARATOR not in line:
                    raise LabError(f"{where}: expected [FILE], or FUNCTION: TEXT{SEPARATOR}REASON")
                else:
                    self._add(where, file, *line.split(SEPARATOR, 1))

    def _add(self, where, file, what, why):
        if file == "not measured":
            self.left_out[what.strip()] = why
            return
        function, colon, text = what.partition(": ")
        if not colon:
            raise LabError(f"{where}: expected FUNCTION: TEXT{SEPARATOR}REASON")
        self._reasons[file].append(Reason(where, function, text.strip(), why))

    def look_up(self, file, function, line, ran):
        """The reason for a line, or None; notes which of them are for anything."""
        why = None
        for reason in self._reasons[file]:
            if reason.is_for(function, line):
                reason.found = True
                reason.needed |= not ran
                why = why or reason.why
        return why

    def _all(self):
        return [reason for some in self._reasons.values() for reason in some]

    def stale(self):
        """Those for no line at all."""
        return [reason for reason in self._all() if not reason.found]

    def superfluous(self):
        """Those for lines which all ran, though not by chance."""
        return [reason for reason in self._all()
                if reason.found and not reason.needed and not reason.by_chance]
