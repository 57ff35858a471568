#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Writes initrds: cpio archives in the newc format, in gzip's wrapping.

The kernel unpacks several of them one after the other, so that what changes
with every boot (the plan) is a small archive of its own.

    cpio.py ARCHIVE DIR=FILE...     put FILE into DIR
    cpio.py ARCHIVE NAME=FILE...    or under NAME, when that has FILE's name
"""
import gzip
import os
import sys

DIRECTORY = 0o040755
PROGRAM = 0o100755
PLAIN = 0o100644


def record(inode, name, mode, data):
    """One file: header, name, contents, each padded to four bytes."""
    fields = (inode, mode, 0, 0, 2 if mode & 0o040000 else 1, 0, len(data),
              0, 0, 0, 0, len(name) + 1, 0)
    head = b"070701" + b"".join(b"%08x" % field for field in fields)
    head += name.encode() + b"\0"
    head += bytes(-len(head) % 4)
    return head + data + bytes(-len(data) % 4)


def archive(files):
    """An archive of (name, mode, bytes); directories are added as needed."""
    chunks, made = [], set()
    for name, mode, data in files:
        parts = name.strip("/").split("/")
        for depth in range(1, len(parts)):
            parent = "/".join(parts[:depth])
            if parent not in made:
                made.add(parent)
                chunks.append(record(len(chunks) + 1, parent, DIRECTORY, b""))
        chunks.append(record(len(chunks) + 1, "/".join(parts), mode, data))
    chunks.append(record(0, "TRAILER!!!", 0, b""))
    # Level 0: a debug kernel takes seconds to inflate what costs nothing to copy.
    return gzip.compress(b"".join(chunks), 0, mtime=0)


def main(argv):
    """Packs the files that the arguments name."""
    files = []
    for arg in argv[2:]:
        name, path = arg.split("=", 1)
        base = os.path.basename(path)
        if os.path.basename(name) != base:
            name = os.path.join(name, base)
        with open(path, "rb") as file:
            files.append((name, PROGRAM, file.read()))
    with open(argv[1] + ".new", "wb") as file:
        file.write(archive(files))
    os.rename(argv[1] + ".new", argv[1])


if __name__ == "__main__":
    main(sys.argv)
