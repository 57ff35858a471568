# SPDX-License-Identifier: GPL-2.0
"""Pictures of the emulated screen: read, compared, kept."""
import array
import operator
import re
import struct
import zlib

from runner.paths import LabError


def read_ppm(path):
    """(width, height, XRGB) of what QEMU's screendump left."""
    with open(path, "rb") as file:
        data = file.read()
    head = re.match(rb"P6\s+(\d+)\s+(\d+)\s+255\s", data)
    if not head:
        raise LabError(f"{path}: not a screendump")
    width, height = int(head[1]), int(head[2])
    rgb = data[head.end():]
    if len(rgb) != width * height * 3:
        raise LabError(f"{path}: {len(rgb)} bytes of pixels, {width}x{height} have "
                       f"{width * height * 3}")
    pixels = bytearray(width * height * 4)
    for colour in range(3):
        pixels[2 - colour::4] = rgb[colour::3]
    return width, height, bytes(pixels)


def equal_pixels(one, other):
    """How many pixels of two pictures of the same size are equal."""
    return sum(map(operator.eq, array.array("I", one), array.array("I", other)))


def half(width, height, pixels):
    """(width, height, XRGB) of every second pixel of every second row."""
    size, rows = width * 4, []
    for row in range(0, height, 2):
        line = array.array("I", pixels[row * size:(row + 1) * size])
        rows.append(line[::2].tobytes())
    return (width + 1) // 2, (height + 1) // 2, b"".join(rows)


def write_png(path, width, height, pixels):
    """An XRGB picture as a PNG file."""
    def chunk(kind, data):
        return (struct.pack(">I", len(data)) + kind + data
                + struct.pack(">I", zlib.crc32(kind + data)))

    rgb = bytearray(width * height * 3)
    for colour in range(3):
        rgb[colour::3] = pixels[2 - colour::4]
    rows = b"".join(b"\0" + rgb[row * width * 3:(row + 1) * width * 3] for row in range(height))
    with open(path, "wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n"
                   + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
                   + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))
