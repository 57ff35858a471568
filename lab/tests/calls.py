#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""What p2pmem.rst says can be done with a mapping, each row has a test that runs.

    lab/tests/calls.py [DIRECTORY]

Prints TAP, a point a row. DIRECTORY has Documentation and tools; if not given,
this repository.
"""
import os
import re
import sys

LAB = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DOCUMENT = "Documentation/driver-api/pci/p2pmem.rst"
SUITE = "tools/testing/selftests/p2p_gup"
BAR = re.compile(r"=+(  =+)+$")
# Fewer than there are, but so many that a table that isn't seen is noticed.
ROWS_AT_LEAST = 60


def tables(text):
    """The simple tables of a document: their rows, a row a list of cells.

    A line whose first cell is empty continues the row above it.
    """
    starts, rows, bars = [], [], 0
    for line in text.splitlines():
        if BAR.match(line):
            starts = [match.start() for match in re.finditer("=+", line)]
            bars += 1
            if bars == 3:
                yield rows
                starts, rows, bars = [], [], 0
        elif bars:
            cells = [line[start:end].strip()
                     for start, end in zip(starts, starts[1:] + [None])]
            if cells[0]:
                rows.append(cells)
            else:
                rows[-1] = [f"{have} {more}".strip() for have, more in zip(rows[-1], cells)]


def rows_with_test(text):
    """(call, test) of each row in tables whose last column is called Test."""
    for rows in tables(text):
        if rows and rows[0][-1] == "Test":
            for cells in rows[1:]:
                yield cells[0], cells[-1]


def read(path):
    """The text of a file, empty if there is none."""
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""


def commands():
    """The programs that lab/tests.conf runs."""
    found = set()
    for line in read(os.path.join(LAB, "tests.conf")).splitlines():
        fields = line.split("#", 1)[0].split(None, 4)
        if len(fields) == 5:
            found.add(fields[4].split()[0].removeprefix("host:"))
    return found


def problem(directory, test, running):
    """What is wrong with a test of that name, or None."""
    program, _, name = test.partition(": ")
    if not program:
        return "the row names no test"
    if program not in running:
        return f"lab/tests.conf does not run {program}"
    if program.endswith(".sh"):
        path = os.path.join(SUITE, program)
        return None if os.path.exists(os.path.join(directory, path)) else f"no {path}"
    path = os.path.join(SUITE, program + ".c")
    if not re.search(rf"^TEST(_F)?\((\w+, )?{re.escape(name)}\)$",
                     read(os.path.join(directory, path)), re.M):
        return f"{path} has no test {name or 'at all'}"
    return None


def main():
    """Checks each row."""
    directory = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(LAB)
    rows = list(rows_with_test(read(os.path.join(directory, DOCUMENT))))
    running, failed = commands(), 0
    print(f"TAP version 13\n1..{len(rows) + 1}")
    for number, (call, test) in enumerate(rows, 1):
        wrong = problem(directory, test, running)
        failed += bool(wrong)
        print(f"{'not ok' if wrong else 'ok'} {number} {call}: {test}")
        if wrong:
            print(f"# {wrong}")
    enough = len(rows) >= ROWS_AT_LEAST
    print(f"{'ok' if enough else 'not ok'} {len(rows) + 1} {len(rows)} rows in {DOCUMENT}")
    return 1 if failed or not enough else 0


if __name__ == "__main__":
    sys.exit(main())
