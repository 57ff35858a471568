# SPDX-License-Identifier: GPL-2.0
"""What a demo found, as a text with a verdict."""
import os

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

    def finish(self, name):
        """Prints the report and leaves it in build/NAME.txt."""
        with open(os.path.join(BUILD, name + ".txt"), "w", encoding="utf-8") as file:
            file.write("\n".join(self._lines) + "\n")
        print("\n" + "\n".join(self._lines) + "\n", flush=True)
