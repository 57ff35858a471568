#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""make bench [ONLY=section,...] [FRESH=1]: what peer-to-peer memory costs, in instructions.

Boots the kernel with the series, the one without it and the peer, Debian's
Linux 6.12 (lab/bench-kernels.sh builds them), on an emulated CPU whose clock
advances one nanosecond an instruction, and has lab/guest/bench_p2p.c measure
there. Its header lists the sections; one more, fio, is lab/bench/fio.sh. Each has
a boot of its own, so that its figures are the same with and without the others.
They are kept, and taken again while neither kernel nor program changed, unless
FRESH is set.

Leaves build/bench/p2p.csv (p2p-SECTION.csv with ONLY=) and plots, and reports
which goals of lab/bench/goals.conf the figures reach. Fails only when it could not
measure what a goal is about.
"""
import csv
import hashlib
import itertools
import json
import os
import re
import shlex
import sys
from concurrent.futures import ThreadPoolExecutor

from runner import bench_plots, icount, program
from runner.paths import BUILD, GUEST, LAB, LabError, build_guest
from runner.tests import Test

SECTIONS = ("resource", "mmap", "pin", "dma", "direct", "uring", "fio")
# As goals.conf calls them, their images, and what they are.
KERNELS = (("this", "bzImage-bench", "series"), ("base", "bzImage-bench-base", "6.1"),
           ("peer", "bzImage-bench-peer", "6.12"))
FIO = os.path.join(LAB, "bench", "fio.sh")
GOALS = os.path.join(LAB, "bench", "goals.conf")
OUT = os.path.join(BUILD, "bench")
# In the guest, where time flies while all wait.
LIMIT = 1000000
# Slower, for the caller to be asleep before the end of the largest request on a busy machine, too; and
# zeros, since otherwise the data stay what they were, and nobody sees whether they arrived. fio has
# many requests under way and sleeps seldom.
DRIVE = icount.DRIVE + "2000000,read-zeroes=on"
FAST_DRIVE = icount.DRIVE + "100000,read-zeroes=on"


class HostScript:
    """Looks to a Plan like one of tests.conf: a script that runs with the machine's own programs."""

    in_host = True
    limit = LIMIT

    def __init__(self, path):
        self.name = os.path.basename(path).partition(".")[0]
        self.command = shlex.quote(path)


def chosen():
    """The sections to run, in their order."""
    only = os.environ.get("ONLY", "").replace(",", " ").split()
    unknown = set(only) - set(SECTIONS)
    if unknown:
        raise LabError(f"ONLY={' '.join(sorted(unknown))}: there is " + ", ".join(SECTIONS))
    return [section for section in SECTIONS if not only or section in only]


def fingerprint(image, section):
    """Changes when what is measured, or where, does."""
    program, drive = (FIO, FAST_DRIVE) if section == "fio" else \
        (os.path.join(GUEST, "bench_p2p"), DRIVE)
    digest = hashlib.sha256(drive.encode())
    for name in (os.path.join(BUILD, image), program, os.path.join(GUEST, "init"),
                 os.path.join(LAB, "bench", "bench.conf")):
        with open(name, "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()


def boot(label, image, section):
    """One section's Figures on one kernel."""
    key = fingerprint(image, section)
    kept = os.path.join(OUT, "kept", f"{label}-{section}.json")
    if os.path.exists(kept) and not os.environ.get("FRESH"):
        with open(kept, encoding="ascii") as file:
            known = json.load(file)
        if known["key"] == key:
            return known["figures"]
    if section == "fio":
        test, drive = HostScript(FIO), FAST_DRIVE
    else:
        test, drive = Test(f"{section} * * {LIMIT} bench_p2p {section}", "bench"), DRIVE
    figures = icount.measure("bench", f"{label}-{section}", image, "bench", test,
                             "bench_p2p.cpio.gz", drive)
    with open(kept, "w", encoding="ascii") as file:
        json.dump({"key": key, "figures": figures}, file)
    return figures


def measure(sections):
    """{kernel: {name: (unit, value)}}; two guests at a time, each has one CPU."""
    # The longest first.
    jobs = [(label, image, section) for section in reversed(sections)
            for label, image, _ in KERNELS]
    with ThreadPoolExecutor(max_workers=2) as pool:
        results = dict(zip(jobs, pool.map(lambda job: boot(*job), jobs)))
    return {label: {name: figure for section in sections
                    for name, figure in results[label, image, section].items()}
            for label, image, _ in KERNELS}


def expand(text):
    """All that a text with {a,b} in it stands for."""
    parts = [part.split(",") if i % 2 else [part]
             for i, part in enumerate(re.split(r"\{([^}]*)\}", text))]
    return ["".join(choice) for choice in itertools.product(*parts)]


class Missing(Exception):
    """A figure that nobody measured."""


class Goal:
    """One line of goals.conf, for one figure."""

    def __init__(self, figure, limit, text):
        self.figure, self.limit, self.text = figure, limit, text

    @staticmethod
    def _value(figures, name, same):
        name, _, kernel = name.partition("@")
        if name == "same":
            name = same.partition("@")[0]
        try:
            return figures[kernel or "this"][name][1]
        except KeyError as error:
            raise Missing(name + (f" of {kernel}" if kernel else "")) from error

    def check(self, figures):
        """(the figure, its limit)."""
        value, limit = self._value(figures, self.figure, self.figure), 0
        for term in self.limit.split("+"):
            product = 1
            for factor in term.split("*"):
                try:
                    product *= float(factor)
                except ValueError:
                    product *= self._value(figures, factor.strip(), self.figure)
            limit += product
        return value, limit


def load_goals():
    """Every goal, in the file's order."""
    with open(GOALS, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            line = line.split("#", 1)[0].strip()
            if not line:
                continue
            match = re.fullmatch(r"(\S+)\s*<=\s*(.*?)\s+:\s+(.*)", line)
            if not match:
                raise LabError(f"{GOALS}:{number}: expected FIGURE <= LIMIT : WHAT IT SAYS")
            for figure in expand(match[1]):
                yield Goal(figure, match[2], match[3])


def show(value):
    """A figure for people."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def check_goals(figures, everything):
    """Prints them; returns how many were missed, could not be judged, and are there."""
    missed = unknown = checked = 0
    print(f"\n{'goal':34}{'figure':>14}{'limit':>14}")
    for goal in load_goals():
        try:
            value, limit = goal.check(figures)
            result = "ok" if value <= limit else "missed"
        except Missing as what:
            if not everything:
                continue
            value, limit, result = None, None, "ABSENT"
            goal.text = f"no {what}: {goal.text}"
        missed += result == "missed"
        unknown += result == "ABSENT"
        checked += 1
        print(f"{goal.figure:34}{show(value):>14}{show(limit):>14}  {result:6}  {goal.text}")
    return missed, unknown, checked


def table(figures):
    """Rows of (name, unit, value by kernel)."""
    names = {}
    for label, _, _ in KERNELS:
        for name, (unit, _) in figures[label].items():
            names.setdefault(name, unit)
    return [(name, unit) + tuple(figures[label][name][1] if name in figures[label] else None
                                 for label, _, _ in KERNELS)
            for name, unit in names.items()]


def main():
    """The figures, the table, the plots, the goals."""
    sections = chosen()
    build_guest("bench")
    os.makedirs(os.path.join(OUT, "kept"), exist_ok=True)
    figures = measure(sections)
    rows = table(figures)
    everything = len(sections) == len(SECTIONS)
    path = os.path.join(OUT, "-".join(["p2p"] + ([] if everything else sections)) + ".csv")
    with open(path, "w", encoding="ascii", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["name", "unit"] + [label for label, _, _ in KERNELS])
        writer.writerows(rows)
    print(f"{'instructions':31}{'per':13}" + "".join(f"{name:>16}" for _, _, name in KERNELS))
    for name, unit, *values in rows:
        print(f"{name:31}{unit:13}" + "".join(f"{show(value):>16}" for value in values))
    drawn = bench_plots.draw_all(figures, sections, OUT)
    missed, unknown, checked = check_goals(figures, everything)
    print(f"bench: the figures are in {os.path.relpath(path)}, plots of them in {os.path.relpath(OUT)}: "
          + ", ".join(f"{name}.svg, {name}.png" for name in drawn))
    if unknown:
        print(f"bench: error: no figures for {unknown} of {checked} goals", file=sys.stderr)
        return 1
    print(f"bench: ok: {checked - missed} of {checked} goals reached")
    return 0


if __name__ == "__main__":
    program.run(main, "bench")
