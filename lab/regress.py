#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""make regress [TEST=glob]: do the kernel's own tests give the same results?

Runs the tests of lab/regress.conf, built from the tree without the series, on
the kernel without it and on the kernel with it, and compares exit status and
TAP points. What passes on the first and not on the second fails this verb. It
is run up to two more times before it counts: some of these tests are known to
fail now and then. What fails on both kernels says nothing about the series and
is listed by name.
"""
import fnmatch
import os
import re
import shlex
from concurrent.futures import ThreadPoolExecutor

from runner import klog, program, tap, topo, verdict
from runner.paths import BUILD, GUEST, LAB, LabError, build_guest
from runner.plan import Plan
from runner.qemu import Guest

CONF = os.path.join(LAB, "regress.conf")
SUITE = os.path.join(GUEST, "regress")
KERNELS = {"pristine": "bzImage-base", "patched": "bzImage"}
SETUP = "setup"
# Boots after which a guest that keeps dying is given up.
BOOTS = 6
RERUNS = 2
BOOT_LIMIT = 180
KERNEL_LOG = "kernel log"
# What gup_test prints on request looks like a report of something bad.
ASKED_FOR = "gup_test: dump_pages() test"


class Test:
    """One line of the file; looks to a Plan like one of tests.conf."""

    in_host = True

    def __init__(self, name, limit, command):
        self.name, self.limit = name, limit
        self.command = f"cd {shlex.quote(SUITE)}; LAB={shlex.quote(LAB)}; {command}"


def load(path=CONF):
    """([Test], [(name, reason)] of those that can't run)."""
    tests, skipped = [], []
    with open(path, encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            words = line.split(None, 2)
            if not words or words[0].startswith("#"):
                continue
            if len(words) < 3 or words[0] != "skip" and not words[1].isdigit():
                raise LabError(f"{path}:{number}: expected NAME SECONDS COMMAND, or skip NAME REASON")
            if words[0] == "skip":
                skipped.append((words[1], words[2].strip()))
            else:
                tests.append(Test(words[0], int(words[1]), words[2].strip()))
    return tests, skipped


def state_of(status):
    """An exit status as kselftest counts."""
    return {0: tap.PASS, tap.KSFT_SKIP: tap.SKIP}.get(status, tap.FAIL)


def say_skip(output):
    """
    TAP whose skips are skips: where a fixture's setup skips, the harness of
    this kernel says so in a remark and prints the point as passed.
    """
    skip = ""
    for line in output.splitlines():
        remark = re.match(r"#\s+SKIP\s+(.*)", line)
        if remark:
            skip = remark[1]
        elif skip and re.match(r"ok \d+ [^#]*$", line):
            line, skip = f"{line} # SKIP {skip}", ""
        yield line


def points_of(test, status, output):
    """{point: state}: the exit status, and what the test printed as TAP."""
    points = {test: state_of(status)}
    output = "\n".join(say_skip(output))
    for point in tap.Report(output).points:
        name = f"{test}: {point.name}"
        while name in points:
            name += "'"
        points[name] = point.state
    return points


def headline(text):
    """A report of the kernel log without what differs from boot to boot."""
    return f"{KERNEL_LOG}: " + re.sub(r"\b(0x)?[0-9a-f]*\d[0-9a-f]*\b", "N", text)


def boot(kernel, tests, label):
    """One guest: ({point: state} of the tests that ended, the one that it died in, splats)."""
    topology = topo.Topology("regress", os.path.join(LAB, "bench"))
    plan = Plan(topology, "lean")
    plan.add_tests(tests, 1)

    def on_frame(frame):
        words = frame.split()
        if words[0] == "test" and words[2] == "end":
            print(f"regress: {label}: {words[1]}: {' '.join(words[3:])}", flush=True)

    with Guest(topology, os.path.join(BUILD, KERNELS[kernel]), "lean", plan,
               [os.path.join(GUEST, "init.cpio.gz")], label=label, accel="tcg") as guest:
        guest.watchdog.boot = BOOT_LIMIT
        outcome = guest.run(on_frame=on_frame)
        framing = verdict.Framing(outcome.output, plan.token)
        if framing.ended.get(SETUP, 1):
            raise LabError(f"{label}: the guest could not be prepared: "
                           f"{verdict.why_it_died(outcome, guest)}; see {os.path.relpath(guest.log_dir)}")
    points = {}
    for name, status in framing.ended.items():
        points.update(points_of(name, status, framing.output[name]))
    died_in = next((test.name for test in tests if test.name not in framing.ended), None)
    splats = {headline(first) for first, _ in klog.splats(outcome.console)
              if ASKED_FOR not in first}
    return points, died_in, splats


def run_all(kernel, tests, label):
    """{point: state} of all tests. A guest that dies in one goes on with the next in a fresh one."""
    setup, todo = tests[0], tests[1:]
    found, count = {}, 0
    while todo:
        count += 1
        if count > BOOTS:
            raise LabError(f"{label}: the guest died {BOOTS} times")
        points, died_in, splats = boot(kernel, [setup] + todo, label)
        found.update(points)
        found.update({splat: tap.FAIL for splat in splats})
        if not died_in:
            break
        found[died_in] = tap.FAIL
        print(f"regress: {label}: the guest died in {died_in}", flush=True)
        todo = todo[[test.name for test in todo].index(died_in) + 1:]
    found.pop(SETUP, None)
    return found


def worse(before, after):
    """The points that pass before and not after; a new report in the kernel log is one."""
    return [name for name, state in before.items()
            if state == tap.PASS and after.get(name) != tap.PASS] + \
        [name for name in after if name.startswith(KERNEL_LOG) and name not in before]


def run_again(suspects, tests, before, after):
    """Gives what differs another chance, in guests of its own; the names of what was flaky."""
    flaky = set()
    for attempt in range(1, RERUNS + 1):
        if not suspects:
            break
        names = {name.split(":")[0] for name in suspects}
        again = [test for test in tests[1:] if test.name in names]
        if KERNEL_LOG in names:
            again = tests[1:]
        print(f"regress: run again, {attempt} of {RERUNS}: {' '.join(sorted(names))}", flush=True)
        found = run_all("patched", tests[:1] + again, f"patched-again{attempt}")
        for name in list(suspects):
            good = name not in found if name.startswith(KERNEL_LOG) else found.get(name) == tap.PASS
            if good:
                flaky.add(name)
                suspects.remove(name)
                if name.startswith(KERNEL_LOG):
                    del after[name]
                else:
                    after[name] = tap.PASS
    return flaky


def report(before, after, flaky, bad, skipped):
    """The table and the last line."""
    passed = [name for name in before if before[name] == after.get(name) == tap.PASS]
    both = [name for name, state in before.items()
            if state == tap.FAIL and after.get(name, tap.FAIL) == tap.FAIL]
    skips = [name for name in before
             if tap.SKIP in (before[name], after.get(name)) and name not in bad]
    better = [name for name in before if before[name] == tap.FAIL and after.get(name) == tap.PASS]
    print(f"{'test':24}{'pristine':>22}{'patched':>22}   (passed/failed/skipped)")
    tests = list(dict.fromkeys(name.split(":")[0] for name in before | after))
    for test in tests:
        columns = []
        for points in (before, after):
            states = [state for name, state in points.items() if name.split(":")[0] == test]
            columns.append("/".join(str(states.count(s)) for s in (tap.PASS, tap.FAIL, tap.SKIP)))
        mark = "  DIFFERS" if any(name.split(":")[0] == test for name in bad) else ""
        print(f"{test:24}{columns[0]:>22}{columns[1]:>22}{mark}")
    for title, names in (("passes here, fails there: REGRESSION", bad),
                         ("flaky, passed when run again", sorted(flaky)),
                         ("fails on both kernels", both),
                         ("fails without the series, passes with it", better)):
        for name in names:
            print(f"  {title}: {name}")
    for name, reason in skipped:
        print(f"  not run: {name}: {reason}")
    print(f"regress: {len(passed)} passed, {len(bad)} failed, {len(skips) + len(skipped)} skipped")


def main():
    """Both kernels at a time."""
    wanted = os.environ.get("TEST") or "*"
    build_guest("init")
    tests, skipped = load()
    if tests[0].name != SETUP:
        raise LabError(f"{CONF}: the first test must be {SETUP}")
    tests = tests[:1] + [test for test in tests[1:] if fnmatch.fnmatchcase(test.name, wanted)]
    if len(tests) < 2:
        raise LabError(f"no test {wanted} in {os.path.relpath(CONF)}")
    with ThreadPoolExecutor(max_workers=2) as pool:
        before, after = pool.map(lambda kernel: run_all(kernel, tests, kernel), KERNELS)
    bad = worse(before, after)
    flaky = run_again(bad, tests, before, after)
    report(before, after, flaky, bad, skipped)
    return 1 if bad or not any(state == tap.PASS for state in before.values()) else 0


if __name__ == "__main__":
    program.run(main, "regress")
