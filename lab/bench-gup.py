#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""make bench-gup: what the series costs ordinary memory, in instructions.

Boots the kernel without the series twice and the kernel with it once, on an
emulated CPU whose clock advances one nanosecond an instruction, and compares
what lab/guest/bench_gup.c measures. The second boot of the same kernel shows
how far a figure moves when nothing changed.

Fails when a figure of get_user_pages() or of O_DIRECT is more than 0.5 % higher
with the series, and the difference is more than that of the two equal boots and
than the clock can tell. The figures are build/bench/gup.csv.
"""
import csv
import os
import sys
from concurrent.futures import ThreadPoolExecutor

from runner import icount, program
from runner.paths import BUILD, LabError, build_guest
from runner.tests import Test

TEST = "bench_gup * * 1200 bench_gup"
CSV = os.path.join(BUILD, "bench", "gup.csv")
# Percent.
LIMIT = 0.5
BOOTS = (("pristine", "bzImage-base"), ("again", "bzImage-base"), ("patched", "bzImage"))


def boot(label, image):
    """One guest's Figures."""
    return icount.measure("bench-gup", label, image, "gup", Test(TEST, "bench-gup"),
                          "bench_gup.cpio.gz")


def percent(new, old):
    """By how much new is more than old."""
    return (new - old) / old * 100


def compare(boots):
    """Rows of (name, unit, pristine, again, patched, noise %, difference %, over?)."""
    pristine, again, patched = boots
    if not pristine.keys() == again.keys() == patched.keys():
        raise LabError("the boots did not measure the same calls")
    for name, (unit, one) in pristine.items():
        two, new = again[name][1], patched[name][1]
        base = min(one, two)
        if base <= 0:
            raise LabError(f"{name}: {base} instructions can't be")
        noise = abs(percent(two, one))
        # Against the higher of the equal boots: a difference that they have, too, is none.
        excess = new - max(one, two)
        over = percent(new, max(one, two)) > LIMIT and excess > pristine.steps.get(name, 0) \
            and excess > abs(one - two)
        yield name, unit, one, two, new, noise, percent(new, one), over


def main():
    """Boots two guests at a time; each has one CPU."""
    build_guest("bench-gup")
    os.makedirs(os.path.dirname(CSV), exist_ok=True)
    with ThreadPoolExecutor(max_workers=2) as pool:
        rows = list(compare(list(pool.map(lambda args: boot(*args), BOOTS))))
    with open(CSV, "w", encoding="ascii", newline="") as file:
        table = csv.writer(file)
        table.writerow(("name", "unit", "pristine", "pristine again", "patched",
                        "noise %", "difference %"))
        for row in rows:
            table.writerow(row[:5] + tuple(f"{value:.3f}" for value in row[5:7]))
    print(f"{'instructions':31} {'per':8}{'pristine':>10}{'again':>10}{'patched':>10}"
          f"{'noise':>9}{'differs':>9}")
    for name, unit, one, two, new, noise, differs, over in rows:
        print(f"{name:31} {unit:8}{one:10.1f}{two:10.1f}{new:10.1f}{noise:8.2f}%{differs:+8.2f}%"
              + ("  OVER" if over else ""))
    worse = [row[0] for row in rows if row[-1]]
    print(f"bench-gup: the figures are in {os.path.relpath(CSV)}")
    if worse:
        print(f"bench-gup: error: {len(worse)} of {len(rows)} figures are over the limit of {LIMIT} %: "
              + ", ".join(worse), file=sys.stderr)
        return 1
    print(f"bench-gup: ok: {len(rows)} figures, none over the limit")
    return 0


if __name__ == "__main__":
    program.run(main, "bench-gup")
