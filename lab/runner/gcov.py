# SPDX-License-Identifier: GPL-2.0
"""What gcov counted in guests: brought out of them, read, and added up.

PID 1 hands out the counters of each object (see lab/guest/gcov.c), gcov reads
them with the notes that the compiler left beside the object.
"""
import collections
import json
import os
import re
import shutil
import struct
import subprocess

from .paths import LabError

DIRECTORY = "gcov"


def save(output, token, log_dir):
    """Puts the counters that a guest printed into a directory beside its logs."""
    directory = os.path.join(log_dir, DIRECTORY)
    parts = re.split(rf"^### {token} (.*)\n", output, flags=re.M)
    for frame, text in zip(parts[1::2], parts[2::2]):
        match = re.fullmatch(r"gcov (\S+)\.gcda (\d+)", frame.strip())
        if not match:
            continue
        words = [int(word, 16) for word in text.split()]
        if len(words) * 4 != int(match[2]):
            raise LabError(f"{log_dir}: the counters of {match[1]} are incomplete")
        path = os.path.join(directory, match[1].strip("/") + ".gcda")
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(struct.pack(f"<{len(words)}I", *words))


class Counts:
    """How often lines ran, and which way their branches went, in all guests together.

    A line has counters in each object that it was compiled into, and there in each function that
    it was inlined into. They are added up. So are branches, by their position in the line.
    """

    def __init__(self, source, objects_dir):
        """Of kernels built from the one directory in the other."""
        self._source = source
        self._objects_dir = objects_dir
        self.objects = set()
        # file: {line: times}
        self.lines = collections.defaultdict(collections.Counter)
        # file: {(line, position): times}
        self.branches = collections.defaultdict(collections.Counter)

    def add_guest(self, log_dir):
        """Adds what save() has put beside a guest's logs."""
        directory = os.path.join(log_dir, DIRECTORY)
        found = []
        for where, _, names in os.walk(directory):
            found += [os.path.join(where, name) for name in names if name.endswith(".gcda")]
        if not found:
            raise LabError(f"{log_dir}: no counters, the guest did not come to its end")
        for path in found:
            self._bring_notes(path, directory)
        done = subprocess.run(["gcov", "--branch-probabilities", "--json-format", "--stdout", *found],
                              cwd=self._objects_dir, check=False, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if done.returncode or done.stderr.strip():
            raise LabError(f"gcov does not read {directory}: {done.stderr.strip()[:500]}")
        for document in done.stdout.splitlines():
            for file in json.loads(document)["files"]:
                self._add_file(file)

    def _bring_notes(self, path, directory):
        """gcov wants the compiler's notes beside an object's counters."""
        name = os.path.relpath(path, os.path.join(directory, self._objects_dir.strip("/")))
        name = name[:-len(".gcda")]
        notes = os.path.join(self._objects_dir, name + ".gcno")
        if not os.path.exists(notes):
            raise LabError(f"{path}: there is no {notes}, was the kernel built elsewhere?")
        shutil.copyfile(notes, path[:-len(".gcda")] + ".gcno")
        self.objects.add(name)

    def _add_file(self, file):
        path = os.path.normpath(os.path.join(self._objects_dir, file["file"]))
        path = os.path.relpath(path, self._source)
        for line in file["lines"]:
            number = line["line_number"]
            self.lines[path][number] += line["count"]
            for position, branch in enumerate(line["branches"]):
                self.branches[path][number, position] += branch["count"]
