#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Proves the runner: guests that go wrong, each in a way of its own.

Every wrong guest is a real one, booted with the lab's own kernel and PID 1;
what cannot be had that way (a KASAN report, a leak that kmemleak finds) is fed
in as a log. TAP on standard output; --kernel IMG, -j N.
"""
import argparse
import concurrent.futures
import contextlib
import io
import os
import re
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import check  # noqa: E402
from runner import accel, gcov, klog, program, reasons  # noqa: E402
from runner import session, tap, tests, topo, verdict  # noqa: E402
from runner.paths import BUILD, GUEST, LAB, LabError, build_guest  # noqa: E402
from runner.plan import Plan  # noqa: E402
from runner.qemu import Guest, Outcome  # noqa: E402
from runner.tests import Test  # noqa: E402

SAMPLES = os.path.join(LAB, "tests", "samples")


class Boot:
    """One guest: the ways to misbehave, one test each, and the Result."""

    def __init__(self, name, ways, *, limit=20, skips=None, plan_line=None, tune=None,
                 append="", extra=()):
        self.name = name
        self.tests = [Test(f"{way} * - {limit} misbehave {way}", name) for way in ways]
        self.skips = skips or {}
        self.plan_line = plan_line
        self.tune = tune or {}
        self.append = append
        self.extra = extra

    def run(self, kernel, chosen):
        """Boots and judges."""
        topology = topo.Topology("proof", os.path.join(LAB, "tests"))
        topology.skips = self.skips
        plan = Plan(topology, "lean")
        if self.plan_line:
            plan.add_line(self.plan_line)
        plan.add_tests(self.tests, 1)
        initrds = [os.path.join(GUEST, "init.cpio.gz"), os.path.join(GUEST, "proof.cpio.gz")]
        with Guest(topology, kernel, "lean", plan, initrds, label=self.name, accel=chosen,
                   append=self.append, extra=self.extra) as guest:
            for key, value in self.tune.items():
                setattr(guest.watchdog, key, value)
            return verdict.judge(guest.run(), guest, self.tests)


# Ways that only their own test suffers from share a boot; a healthy test comes
# last and must not notice.
WORDS = {
    "fail": r"second",
    "fail-but-exit-0": r"exit status 0, but points failed",
    "no-plan": r"no plan",
    "nothing": r"no plan",
    "no-points": r"a plan of no points",
    "truncate": r"2 of 3 planned points",
    "short": r"2 of 3 planned points",
    "long": r"2 of 1 planned points",
    "repeat": r"point 1 where 2 was due",
    "gap": r"point 3 where 2 was due",
    "two-plans": r"a second plan",
    "exit-1": r"exit status 1, but no point failed",
    "exit-4": r"exit status 4 \(skip\), but not all points skip",
    "skip": r"no such device.*does not list",
    "skip-after-plan": r"no such device.*does not list",
    "skip-point": r"no such device.*does not list",
    "bail-out": r"Bail out! no more",
    "forge-frame": r"exit status 1, but no point failed",
    "host-wrong": r"to be different",
    "crash": r"killed by signal 11",
    "hang": r"time-out",
    "missing-program": r"no plan",
}

GOOD = ["not", "plan-last", "host-right"]

# name: the boot, and what its Result must complain about
BOOTS = {
    "words": (Boot("words", [*WORDS, "daemon", "not"], limit=3), None),
    "good": (Boot("good", [*GOOD, "skip", "skip-point"],
                  skips={"skip": "none here", "skip-point:no such*": "none here"}), ""),
    "expected skip that does not happen": (
        Boot("noskip", GOOD, skips={"not": "none here"}), r"not: expected to skip, and did not"),
    "panic": (Boot("panic", ["panic", "not"]),
              r"guest: no verdict: Kernel panic - not syncing: sysrq triggered crash"),
    "WARNING in the log": (Boot("warn", ["warn", "not"]),
                           r"guest: kernel log: WARNING: CPU: 1 PID: 42"),
    "taint": (Boot("taint", ["taint", "not"]), r"guest: kernel tainted: 512"),
    "p2pmem leak": (Boot("leak", ["leak", "not"]),
                    r"guest: 0000:\S+: p2pmem leaked, 4096 bytes available"),
    "machine hangs in a test": (
        Boot("hang", ["hang-machine", "not"], limit=2, tune={"grace": 3}),
        r"guest: the guest hangs in test hang-machine"),
    "power-off in a test": (Boot("off", ["power-off", "not"]),
                            r"guest: no verdict: the guest went down without a word"),
    "early PASS, then death": (Boot("early", ["forge-verdict", "not"]),
                               r"forge-verdict: did not end"),
    "no PID 1": (Boot("noinit", ["not"], append="rdinit=/none root=/dev/none"),
                 r"guest: no verdict: Kernel panic"),
    "boot hangs": (Boot("stuck", ["not"], extra=["-S"], tune={"boot": 2}),
                   r"guest: the guest hangs in the boot"),
    "QEMU refuses to start": (Boot("noqemu", ["not"], extra=["-device", "nothing"]),
                              r"guest: no verdict: QEMU exited with 1: .*nothing"),
    "driver missing": (Boot("nodriver", ["not"], plan_line="bind 1234:5678 no-such-driver"),
                       r"guest: this kernel has no driver no-such-driver"),
    "device missing": (Boot("nodevice", ["not"], plan_line="bind 1234:5678 nvme"),
                       r"guest: no PCI device 1234:5678"),
    "provider missing": (Boot("noprovider", ["not"], plan_line="providers 7"),
                         r"guest: \d providers have p2pmem/allocate, the topology has 7"),
    "a plan that nobody understands": (Boot("badplan", ["not"], plan_line="frobnicate"),
                                       r'guest: the plan says "frobnicate"'),
}


class Tap:
    """Prints this program's own TAP."""

    def __init__(self):
        self.count = self.failed = 0

    def check(self, good, name, why=""):
        """One point."""
        self.count += 1
        self.failed += not good
        print(f"{'ok' if good else 'not ok'} {self.count} {name}", flush=True)
        if not good:
            print("\n".join("# " + line for line in str(why).splitlines()), flush=True)

    def finish(self):
        """The plan, last."""
        print(f"1..{self.count}")
        return 1 if self.failed or not self.count else 0


def check_words(report, result):
    """Each test of the shared boot fails for its own reason, the others pass."""
    for way, reason in WORDS.items():
        seen = [text for text in result.failures() if text.startswith(way + ": ")]
        report.check(any(re.search(reason, text) for text in seen), f"test: {way}",
                     "\n".join(seen) or "it passed")
    for way in ("daemon", "not"):
        seen = [text for text in result.failures() if text.startswith(way + ": ")]
        report.check(not seen and any(test == way for test, _ in result.points),
                     f"test: {way} passes beside them", "\n".join(seen))
    seen = [text for text in result.failures() if text.startswith("guest: ")]
    report.check(not seen, "the guest itself had no part in it", "\n".join(seen))


def check_boot(report, name, reason, result):
    """The whole Result: it passes, or it fails and says why."""
    failures = "\n".join(result.failures())
    if reason:
        report.check(not result.passed and re.search(reason, failures), f"guest: {name}",
                     failures or "it passed")
    else:
        report.check(result.passed and result.count(tap.PASS) == 8
                     and result.count(tap.SKIP) == 2, f"guest: {name} passes", result.summary())


def check_logs(report):
    """Every sample of a report is seen, no line of a healthy boot is taken for one."""
    with open(os.path.join(SAMPLES, "splats.log"), encoding="utf-8") as file:
        samples = re.split(r"^# (.*)\n", file.read(), flags=re.M)[1:]
    for name, text in zip(samples[::2], samples[1::2]):
        report.check(klog.splats(text), f"log: {name}", text)
    with open(os.path.join(SAMPLES, "healthy.log"), encoding="utf-8") as file:
        found = klog.splats(file.read())
    report.check(not found, "log: healthy boot has no report in it", found)


def check_conclusions(report):
    """The last line of make check, and its exit status, for every mixture of results."""
    for states, status in (([tap.PASS], 0), ([tap.PASS, tap.SKIP], 0), ([tap.PASS, tap.FAIL], 1),
                           ([tap.SKIP], 1), ([], 1)):
        result = verdict.Result("sample")
        for state in states:
            result.add("test", tap.Point("point", state))
        run = check.Check(argparse.Namespace())
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            run.close(result, "make check")
            got = check.conclude(run)
        last = printed.getvalue().splitlines()[-1]
        counts = [states.count(state) for state in (tap.PASS, tap.FAIL, tap.SKIP)]
        report.check(got == status and last == "{} passed, {} failed, {} skipped".format(*counts),
                     f"check: exit status {status} for {', '.join(states) or 'nothing'}",
                     printed.getvalue())


def check_crashes(report):
    """A guest whose QEMU crashed runs once more, and no other one does."""
    for name, exits, boots in (("does not crash", [0], 1), ("crashes", [-11, 0], 2),
                               ("crashes twice", [-11, -11, 0], 2), ("is killed", [-9, 0], 1),
                               ("fails", [1, 0], 1)):
        left, said = list(exits), []

        def boot(left=left):
            outcome = Outcome()
            outcome.exit_code = left.pop(0)
            return outcome, outcome.exit_code
        result = session.unless_qemu_crashes(boot, said.append)
        report.check(result == exits[boots - 1] and len(left) == len(exits) - boots
                     and len(said) == boots - 1, f"guest: its QEMU {name}", f"{result} {left} {said}")


def check_counters(report):
    """What gcov counted comes out of a guest as it was, or not at all."""
    for name, text, good in (("whole", "67636461 0 ff\n1\n", True), ("cut off", "67636461 0\n", False)):
        with tempfile.TemporaryDirectory() as directory:
            error = None
            try:
                gcov.save(f"### t test a end\n### t gcov /b/mm/p2p.gcda 16\n{text}\n### t gcov done\n",
                          "t", directory)
                with open(os.path.join(directory, "gcov/b/mm/p2p.gcda"), "rb") as file:
                    data = file.read()
            except LabError as problem:
                error, data = problem, b""
            report.check(data == b"adcg" + bytes(4) + b"\xff\0\0\0\1\0\0\0" if good else error,
                         f"gcov: counters that are {name}", data)


SOURCE = """static const int a[] = {
	1,
};

static __always_inline enum b
first(int c,
      int d)
{
	return -EINVAL;
}

EXPORT_SYMBOL(first);

int second(void)
{
	return -EINVAL;
}
"""
REASONS = """[a.c]
first: return -EINVAL; -- one
second: * -- race: two
second: goto -- three
[not measured]
b* -- four
"""


def check_reasons(report):
    """A reason is for the lines of one function, and one that is for none is found."""
    lines = SOURCE.splitlines()
    functions = reasons.functions(SOURCE)
    report.check([functions.get(number) for number in (2, 5, 6, 9, 12, 14, 16)]
                 == [None, None, "first", "first", None, "second", "second"],
                 "coverage: the function of a line", functions)
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write(REASONS)
        file.flush()
        known = reasons.Reasons(file.name)
    found = [known.look_up("a.c", functions[number], lines[number - 1], ran)
             for number, ran in ((9, True), (16, True))]
    report.check(found == ["one", "race: two"], "coverage: the reason for a line", found)
    stale = [reason.why for reason in known.stale()]
    report.check(stale == ["three"], "coverage: a reason for no line", stale)
    superfluous = [reason.why for reason in known.superfluous()]
    report.check(superfluous == ["one"], "coverage: a reason for lines that run", superfluous)
    report.check(list(known.left_out) == ["b*"], "coverage: files that are left out", known.left_out)


TOPOLOGY = "[qemu]\n[guest]\ngroups = {}\n"
TESTS = "a @one two 1 a\nb * - 1 host:b.sh -v\na-again - @one 1 host:b.sh ./a -u\n"


def check_groups(report):
    """A topology runs the tests of its groups, its own, and those for all."""
    with tempfile.TemporaryDirectory() as directory:
        for name, groups in (("one", "one"), ("two", ""), ("three", "")):
            with open(os.path.join(directory, name + ".conf"), "w", encoding="ascii") as file:
                file.write(TOPOLOGY.format(groups))
        conf = os.path.join(directory, "tests")
        for what, text, due in (
                ("lean", TESTS, {"one": "a b", "two": "b", "three": "b"}),
                ("debug", TESTS, {"one": "a-again", "two": "a", "three": ""}),
                ("a name that is not the program's", TESTS + "c * - 1 b\n", "c is not the name"),
                ("a place that is no topology", TESTS + "c o* - 1 c\n", "there is no topology.* o[*]"),
                ("a group that is nowhere", TESTS + "c @two - 1 c\n", "there is no topology.* @two"),
                ("a group without a test", "a * - 1 a\n", "one.conf: no test is for the group one"),
                ("a second test", TESTS + "a * - 1 a\n", "a second test a")):
            with open(conf, "w", encoding="ascii") as file:
                file.write(text)
            try:
                known = tests.load(conf, directory)
                found = {name: " ".join(test.name for test in known if test.runs_on(
                    topo.Topology(name, directory), what)) for name in due}
                good = found == due
            except (LabError, KeyError) as problem:
                found, good = problem, isinstance(due, str) and re.search(due, str(problem))
            report.check(good, f"tests.conf: {what}", found)


def parse_arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kernel", help="a kernel image, instead of build/bzImage")
    parser.add_argument("-j", type=int, default=os.cpu_count(), help="guests at a time")
    return parser.parse_args()


def main():
    """Boots all guests, then reports in a fixed order."""
    args = parse_arguments()
    kernel = args.kernel or session.image_of("lean")
    os.makedirs(BUILD, exist_ok=True)
    build_guest("proof")
    chosen = accel.choose("auto", kernel)
    report = Tap()
    check_logs(report)
    check_conclusions(report)
    check_crashes(report)
    check_counters(report)
    check_reasons(report)
    check_groups(report)
    with concurrent.futures.ThreadPoolExecutor(args.j) as pool:
        futures = {name: pool.submit(boot.run, kernel, chosen)
                   for name, (boot, _) in BOOTS.items()}
        for name, (_, reason) in BOOTS.items():
            result = futures[name].result()
            if reason is None:
                check_words(report, result)
            else:
                check_boot(report, name, reason, result)
    return report.finish()


if __name__ == "__main__":
    program.run(main, "runner")
