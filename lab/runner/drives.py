# SPDX-License-Identifier: GPL-2.0
"""Drive images: made fresh for each boot, read again by the host afterwards.

Contents, as a topology names them:

zero    nothing was ever written
stamp   every sector says where it is: 512 bytes, which are 64 times the same
        8-byte little-endian number, the sector's number (counted from 0 in
        512-byte units) xor STAMP_KEY. A reader needs no copy of the image to
        tell a right sector from one that is stale, shifted or torn.
ext4    an empty ext4 file system, 4 KiB blocks
xfs     an empty XFS file system
btrfs   an empty btrfs
ext2    an empty ext2 file system, 4 KiB blocks
fscrypt an empty ext4 file system that may hold encrypted files
"""
import hashlib
import os
import shutil
import struct
import subprocess

from .paths import LabError

SECTOR = 512
STAMP_KEY = 0x9E3779B97F4A7C15

MKFS = {
    "ext4": ["mkfs.ext4", "-q", "-F", "-b", "4096", "-E", "lazy_itable_init=0"],
    "xfs": ["mkfs.xfs", "-q", "-f"],
    "btrfs": ["mkfs.btrfs", "-q", "-f"],
    "ext2": ["mkfs.ext2", "-q", "-F", "-b", "4096"],
    "fscrypt": ["mkfs.ext4", "-q", "-F", "-b", "4096", "-O", "encrypt"],
}


def stamp(sector):
    """The 512 bytes of one stamped sector."""
    return struct.pack("<Q", sector ^ STAMP_KEY) * (SECTOR // 8)


def write_stamps(file, size):
    """Stamps a whole image, a few thousand sectors a write."""
    pack = struct.Struct("<Q").pack
    batch = 4096
    for first in range(0, size // SECTOR, batch):
        last = min(first + batch, size // SECTOR)
        file.write(b"".join(pack(n ^ STAMP_KEY) * 64 for n in range(first, last)))


def make(path, size, content):
    """Makes one image."""
    with open(path, "wb") as file:
        file.truncate(size)
        if content == "stamp":
            write_stamps(file, size)
    if content in MKFS:
        env = dict(os.environ, PATH=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        done = subprocess.run(MKFS[content] + [path], env=env, text=True, check=False,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode:
            raise LabError(f"{path}: {MKFS[content][0]} failed: {done.stdout.strip()}")
    elif content not in ("zero", "stamp"):
        raise LabError(f"{path}: unknown content '{content}', expected zero, stamp, "
                       + ", ".join(MKFS))


def fill(path, source):
    """Puts a file at the start of an image, whose size stays."""
    if not os.path.exists(path):
        raise LabError(f"no drive {os.path.basename(path)[:-4]} in this topology to fill")
    if os.path.getsize(source) > os.path.getsize(path):
        raise LabError(f"{source} is larger than the drive it is for")
    with open(source, "rb") as file, open(path, "r+b") as image:
        shutil.copyfileobj(file, image)


def sha256(path, offset, length):
    """Hash of a range of an image, or why there is none."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            while length:
                data = file.read(min(length, 1 << 20))
                if not data:
                    return "the image ends before that"
                digest.update(data)
                length -= len(data)
    except OSError as error:
        return error.strerror
    return digest.hexdigest()
