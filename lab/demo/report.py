# SPDX-License-Identifier: GPL-2.0
"""What a demo found, as a text with a verdict."""
import os
import sys

from runner.paths import BUILD


class Report:
    """Checks, each of which may fail, and the text that is left."""

    def __init__(self):
        self._lines = []
        self.failed = []

    def line(self, text=""):
        """Adds a line."""
        self._lines.append(text)

    def check(self, good, text):
        """Adds a line that says whether something holds."""
        self.line(f"  {'ok  ' if good else 'FAIL'}  {text}")
        if not good:
            self.failed.append(text)

    def row(self, title, one, other):
        """A line of a table of two columns."""
        self.line(f"  {title:40}{one:>14,}{other:>14,}")

    def finish(self, name, topo, log_dirs, look=""):
        """Prints the report and leaves it in build/NAME.txt; returns the exit status.

        topo: where to try next; look: what else is to be looked at.
        """
        with open(os.path.join(BUILD, name + ".txt"), "w", encoding="utf-8") as file:
            file.write("\n".join(self._lines) + "\n")
        print("\n" + "\n".join(self._lines) + "\n", flush=True)
        if self.failed:
            print(f"{name}: FAIL: {self.failed[0]}\n    the logs are in {' and '.join(log_dirs)}\n"
                  f"    try next: make check TOPO={topo}", file=sys.stderr)
            return 1
        print(f"{name}: PASS: {look}this report is in build/{name}.txt\n"
              f"    try next: make shell TOPO={topo}")
        return 0
