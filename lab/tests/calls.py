#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""What the documents say can be done with a mapping, each row has a test that runs.

    lab/tests/calls.py [DIRECTORY]

Prints TAP, a point a row. DIRECTORY has Documentation and tools; if not given,
this repository.
"""
import os
import re
import sys

LAB = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# Each with fewer rows than there are, but so many that a table that isn't seen is noticed.
DOCUMENTS = {"Documentation/admin-guide/p2pmem.rst": 60,
             "Documentation/driver-api/pci/p2pmem-range.rst": 15}
SUITE = "tools/testing/selftests/p2p_gup"
BAR = re.compile(r"=+(  =+)+$")


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
    """What is wrong with a test of that name, or tests of these, or None."""
    program, _, name = test.partition(": ")
    if not program:
        return "the row names no test"
    if program not in running:
        return f"lab/tests.conf does not run {program}"
    if program.endswith(".sh"):
        path = os.path.join(SUITE, program)
        return None if os.path.exists(os.path.join(directory, path)) else f"no {path}"
    path = os.path.join(SUITE, program + ".c")
    text = read(os.path.join(directory, path))
    for one in name.split(", "):
        if not re.search(rf"^TEST(_F)?\((\w+, )?{re.escape(one)}\)$", text, re.M):
            return f"{path} has no test {one or 'at all'}"
    return None


def points(directory):
    """(name, what is wrong or None) of each row, and of the number of rows."""
    running = commands()
    for document, least in DOCUMENTS.items():
        rows = list(rows_with_test(read(os.path.join(directory, document))))
        for call, test in rows:
            yield f"{call}: {test}", problem(directory, test, running)
        yield (f"{len(rows)} rows in {document}",
               None if len(rows) >= least else f"there should be {least} at least")


def main():
    """Checks each row."""
    directory = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(LAB)
    found, failed = list(points(directory)), 0
    print(f"TAP version 13\n1..{len(found)}")
    for number, (name, wrong) in enumerate(found, 1):
        failed += bool(wrong)
        print(f"{'not ok' if wrong else 'ok'} {number} {name}")
        if wrong:
            print(f"# {wrong}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
