#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Is each line of the kernel's log in a document one that the kernel prints?

    lab/messages.py DOCUMENT SECTION FILE...

Prints the lines of literal blocks in a section that no format string of the
files, C sources, could have made. Commands, which begin with #, don't count.
"""
import re
import sys

LITERAL = re.compile(r'"((?:[^"\\\n]|\\.)*)"')
CONVERSION = re.compile(r"%(?:p[A-Za-z0-9]*|[-#+ 0]*[0-9.*]*(?:hh|h|ll|l|z)?[diouxXcs])")
# Longer values of %s are reasons, which are strings of the sources, except a line of p2pmem/routes, or what
# it ends with, and a resource (%pR).
REASON = 30
OTHER = re.compile(r" (bus|host-bridge|none) \d|^ (acs-redirect|host-bridge)=|^\[mem ")


def section(text, title):
    """The lines of a section and of those in it."""
    lines = text.splitlines()
    for number, line in enumerate(lines[:-1]):
        if line == title and set(lines[number + 1]) == {"="}:
            for rest in range(number + 2, len(lines)):
                if lines[rest] and set(lines[rest]) == {"="} and lines[rest - 1].strip():
                    return lines[number + 2:rest - 1]
            return lines[number + 2:]
    sys.exit(f"no section {title}")


def literals(paths):
    """The strings of the sources, adjacent ones of a line not joined."""
    found = set()
    for path in paths:
        with open(path, encoding="utf-8", errors="replace") as file:
            found.update(match[1].removesuffix("\\n") for match in LITERAL.finditer(file.read()))
    return found


def pattern(text):
    """A regular expression for what a format string prints, or None if it is all variable."""
    pieces = [re.escape(piece) for piece in CONVERSION.split(text)]
    if len("".join(pieces)) < 15:
        return None
    return re.compile(r"(?:[^ ]+ ?[^ ]*: )?" + "(.+?)".join(pieces))


def is_printed(line, formats, strings):
    """Does one of the formats make the line, with reasons that are strings, too?"""
    for made in formats:
        match = made.fullmatch(line)
        if match and all(len(value) < REASON or OTHER.search(value) or value in strings
                         for value in match.groups()):
            return True
    return False


def main():
    """Prints what is not found."""
    document, title, *paths = sys.argv[1:]
    strings = literals(paths)
    formats = [made for made in map(pattern, strings) if made]
    with open(document, encoding="utf-8") as file:
        lines = [line.strip() for line in section(file.read(), title)
                 if line.startswith("\t") and not line.strip().startswith("#")]
    if not lines:
        sys.exit(f"{document}: no line of a log in {title}")
    for line in lines:
        if not is_printed(line, formats, strings):
            print(f"{document}: nothing prints '{line}'")


if __name__ == "__main__":
    main()
