# SPDX-License-Identifier: GPL-2.0
"""The plan that a guest's PID 1 follows: /etc/plan in a small initrd of its own."""
import os
import secrets

from . import cpio


class Plan:
    """Collects the lines; the order is the order in which they are carried out."""

    def __init__(self, topology, kernel_name, bare=False):
        """bare: the kernel may lack the series, and so drivers and providers."""
        self.token = secrets.token_hex(6)
        self.limits = {}
        self.command = None
        self.host_root = False
        self.verdict = False
        self._programs = {}             # in the initrd: name, path
        self._lines = [f"token {self.token}",
                       f"env P2P_TOPO={topology.name}",
                       f"env P2P_KERNEL={kernel_name}"]
        self._lines += [f"env {key}={value}" for key, value in topology.env.items()]
        if not bare:
            self._lines += [f"bind {pci_id} {driver}" for pci_id, driver in topology.bind]
        self._lines += [f"disk {' '.join(disk)}" for disk in topology.disks()]
        self._lines.append("providers" if bare else f"providers {topology.providers}".strip())

    def add_line(self, line):
        """Anything else that PID 1 understands."""
        self._lines.append(line)

    def _need_host_root(self):
        self.host_root = True
        self._lines.append("hostroot")

    def add_tests(self, tests, factor, programs=None, gcov=False):
        """Runs tests (see tests.py), hands out what gcov counted if asked to, scans for leaks,
        gives a verdict.

        programs: the directory with those of tests that don't run in the host's root. The
        initrd gets no others: a guest may have little memory.
        """
        self.verdict = True
        if any(test.in_host for test in tests):
            self._need_host_root()
        self._lines.append("begin")
        for test in tests:
            limit = test.limit * factor
            self.limits[test.name] = limit
            verb = "hosttest" if test.in_host else "test"
            if programs and not test.in_host:
                self.add_program(os.path.join(programs, test.command.split()[0]))
            self._lines.append(f"{verb} {test.name} {limit} {test.command}")
        if gcov:
            self._lines.append("gcov")
        self._lines.append("end")

    def add_program(self, path):
        """Where the tests are, one more."""
        self._programs[f"tests/{os.path.basename(path)}"] = path

    def add_command(self, command):
        """Runs one shell command in the machine's own root."""
        self._need_host_root()
        self.command = command
        self._lines.append("cmd")

    def add_shell(self, rows, columns, term):
        """Runs an interactive shell in the machine's own root."""
        self._need_host_root()
        self._lines.append(f"env TERM={term}")
        self._lines.append(f"shell {rows} {columns}")

    def archive(self):
        """The initrd that carries the plan."""
        text = "\n".join(self._lines) + "\n"
        files = [("etc/plan", cpio.PLAIN, text.encode())]
        if self.command is not None:
            files.append(("etc/cmd", cpio.PLAIN, self.command.encode()))
        for name, path in self._programs.items():
            with open(path, "rb") as program:
                files.append((name, cpio.PROGRAM, program.read()))
        return cpio.archive(files)
