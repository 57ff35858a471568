#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""make coverage: which lines of the series the tests run, and why not the others.

    make coverage                       all tests, on a kernel that counts lines
    make coverage TOPO=edu              what one topology does for it; not judged
    lab/coverage.py --report            again from the counters of the last run

New files are measured whole, of other files the lines that the series adds or
changes. The report is build/coverage/report.txt. Fails when a test does, when
less than 95 % of the lines of new files run, and when a reason in
lab/coverage.conf is for nothing.
"""
import argparse
import fnmatch
import glob
import os
import re
import subprocess
import sys

import check
from runner import gcov, program, reasons
from runner.paths import BUILD, LAB, ROOT, LabError

KERNEL = "coverage"
GOAL = 95
LINUX = os.path.join(BUILD, "linux")
OBJECTS = os.path.join(BUILD, KERNEL)
REPORT = os.path.join(OBJECTS, "report.txt")
CONF = os.path.join(LAB, "coverage.conf")


class Run(check.Check):
    """All tests of guests; those of this machine have no part in it."""

    def wants(self, topology, test):
        return topology != check.HOST and super().wants(topology, test)


def git(*arguments):
    """What git says of build/linux."""
    return subprocess.run(["git", "-C", LINUX, *arguments], check=True, text=True,
                          stdout=subprocess.PIPE).stdout


def sources():
    """{file: its lines that the series adds; None for all, of a new file}, new files first."""
    new = git("ls-files", "-o", "--exclude-standard", "--", "*.c", "*.h").splitlines()
    changed, file = {}, None
    for line in git("diff", "-U0", "--no-renames", "base", "--", "*.c", "*.h").splitlines():
        hunk = re.match(r"@@ -\S+ \+(\d+)(?:,(\d+))? @@", line)
        if line.startswith("+++ b/"):
            file = line[6:]
            changed[file] = set()
        elif hunk and file:
            first, count = int(hunk[1]), int(hunk[2] or 1)
            changed[file].update(range(first, first + count))
    new += git("diff", "--name-only", "--no-renames", "--diff-filter=A", "base", "--",
               "*.c", "*.h").splitlines()
    found = dict.fromkeys(sorted(new))
    found.update((file, lines) for file, lines in changed.items() if file not in found)
    return {file: lines for file, lines in found.items() if not file.startswith("tools/")}


class Row:
    """One file: its figures, and its lines that did not run."""

    def __init__(self, name, new):
        self.name = name
        self.new = new
        self.lines = self.run = self.branches = self.taken = 0
        self.missing = []

    def add(self, other):
        """For the sum of several."""
        for key in ("lines", "run", "branches", "taken"):
            setattr(self, key, getattr(self, key) + getattr(other, key))

    def __str__(self):
        return (f"{self.name:36}{self.lines:6}{self.run:6}{percent(self.run, self.lines):>8}"
                f"{self.branches:10}{self.taken:7}{percent(self.taken, self.branches):>8}")


HEAD = f"{'':36}{'lines':>6}{'run':>6}{'%':>8}{'branches':>10}{'taken':>7}{'%':>8}"


def percent(part, whole):
    """One digit behind the point, nothing rounded up."""
    return f"{part * 1000 // whole / 10:.1f}" if whole else "-"


def measure(file, wanted, counts, known):
    """The row of one file."""
    row = Row(file, wanted is None)
    with open(os.path.join(LINUX, file), encoding="utf-8") as source:
        text = source.read()
    functions, lines = reasons.functions(text), text.splitlines()
    for number, times in sorted(counts.lines[file].items()):
        if wanted is not None and number not in wanted:
            continue
        row.lines += 1
        row.run += times > 0
        function, line = functions.get(number, ""), lines[number - 1].strip()
        why = known.look_up(file, function, line, times > 0)
        if not times:
            row.missing.append((number, function, line, why))
    for (number, _), times in counts.branches[file].items():
        if wanted is None or number in wanted:
            row.branches += 1
            row.taken += times > 0
    return row


def is_left_out(file, known):
    """Does lab/coverage.conf say that it is not measured?"""
    found = [pattern for pattern in known.left_out if fnmatch.fnmatchcase(file, pattern)]
    known.used.update(found)
    return bool(found)


def measure_all(counts, known):
    """A row for each file with lines to count."""
    rows, known.used = [], set()
    for file, wanted in sources().items():
        if is_left_out(file, known):
            continue
        if file.endswith(".c") and wanted is None and file[:-2] not in counts.objects:
            raise LabError(f"{file} is in no object of this kernel: lab/config/coverage.config has "
                           "to switch it on, or lab/coverage.conf to say why not")
        row = measure(file, wanted, counts, known)
        if row.lines:
            rows.append(row)
    return rows


def total(name, rows):
    """The sum of rows."""
    found = Row(name, False)
    for row in rows:
        found.add(row)
    return found


def write_report(rows, known):
    """The whole report; returns the part that a person wants to see at once."""
    tables = []
    for name, part in (("new files", [row for row in rows if row.new]),
                       ("lines of other files", [row for row in rows if not row.new])):
        tables += [HEAD, *map(str, part), str(total(f"all {name}", part)), ""]
    text = list(tables)
    for row in rows:
        if row.missing:
            text.append(f"{row.name}:")
        for number, function, line, why in row.missing:
            text += [f"  {number:4}  {function}: {line}", f"        {why or 'NO REASON'}"]
    text += ["", "Not measured:"]
    text += [f"  {pattern}: {why}" for pattern, why in known.left_out.items()]
    with open(REPORT, "w", encoding="utf-8") as file:
        file.write("\n".join(text) + "\n")
    return "\n".join(tables)


def judge(rows, known):
    """What makes the verb fail, one line each; prints what does not."""
    new = total("", [row for row in rows if row.new])
    if new.run * 100 < new.lines * GOAL:
        yield f"{percent(new.run, new.lines)} % of the lines of new files run, {GOAL} % are the goal"
    for reason in known.stale():
        yield (f"{os.path.relpath(reason.where, ROOT)}: there is no line "
               f"'{reason.text}' in {reason.function}()")
    for pattern in known.left_out:
        if pattern not in known.used:
            yield f"{os.path.relpath(CONF, ROOT)}: there is no {pattern}"
    for reason in known.superfluous():
        print(f"coverage: {os.path.relpath(reason.where, ROOT)}: all these lines run")


def report(log_dirs, whole):
    """Adds up, reports, judges if it was all of it. Returns what is wrong."""
    counts = gcov.Counts(LINUX, OBJECTS)
    for log_dir in log_dirs:
        counts.add_guest(log_dir)
    known = reasons.Reasons(CONF)
    rows = measure_all(counts, known)
    print("\n" + write_report(rows, known))
    wrong = list(judge(rows, known)) if whole else []
    unexplained = sum(not missing[3] for row in rows for missing in row.missing)
    print(f"coverage: {sum(len(row.missing) for row in rows)} lines do not run, {unexplained} of "
          f"them without a reason: {os.path.relpath(REPORT, ROOT)}")
    return wrong


def parse_arguments():
    """The command line."""
    env = os.environ
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--topo", default=env.get("TOPO") or "*", help="a topology")
    parser.add_argument("--test", default=env.get("TEST") or "*", help="a test of lab/tests.conf")
    parser.add_argument("--report", action="store_true", help="run nothing")
    parser.add_argument("-j", "--jobs", type=int, default=os.cpu_count(), help="guests at a time")
    args = parser.parse_args()
    args.kernel = KERNEL
    return args


def main():
    """Runs the tests, and reports."""
    args = parse_arguments()
    failed = 0
    if args.report:
        log_dirs = sorted(glob.glob(os.path.join(BUILD, "log", f"*-{KERNEL}")))
    else:
        run = Run(args)
        check.run_all(run)
        failed = check.conclude(run)
        log_dirs = [os.path.join(BUILD, "log", result.name) for result in run.results]
    whole = args.topo == args.test == "*"
    wrong = report([path for path in log_dirs if os.path.isdir(path)], whole)
    for what in wrong:
        print(f"coverage: error: {what}", file=sys.stderr)
    if failed:
        print("coverage: error: tests failed, see above", file=sys.stderr)
    elif not wrong:
        print("coverage: ok" if whole else "coverage: ok: not judged, as these are not all tests")
    return 1 if failed or wrong else 0


if __name__ == "__main__":
    program.run(main, "coverage")
