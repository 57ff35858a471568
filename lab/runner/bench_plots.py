# SPDX-License-Identifier: GPL-2.0
"""The pictures of make bench."""
import os

from .gnuplot import Bars, Lines, draw

COLOUR = {"this": "#0072b2", "base": "#a0a0a0", "peer": "#d55e00"}
KERNEL = {"this": "6.1 with the series", "base": "6.1", "peer": "6.12"}
SIZES = {"4k": 12, "64k": 16, "2m": 21, "64m": 26, "512m": 29, "1g": 30, "2g": 31, "32g": 35}
TICKS = [(name.upper().replace("K", " KiB").replace("M", " MiB").replace("G", " GiB"), 1 << shift)
         for name, shift in SIZES.items() if name != "1g"]
# kernel, memory, label, colour, dash
LIVES = (("this", "p2p", "P2P, series", COLOUR["this"], 1),
         ("peer", "p2p", "P2P, 6.12", COLOUR["peer"], 1),
         ("this", "base", "RAM, base pages", "#404040", 2),
         ("this", "thp", "RAM, THP", "#009e73", 2),
         ("this", "hugetlb", "RAM, hugetlb", "#cc79a7", 2))
KINDS = {"base": "RAM\nbase", "thp": "RAM\nTHP", "hugetlb": "RAM\nhugetlb", "p2p": "P2P\naligned",
         "p2p-unaligned": "P2P\nunaligned", "p2p-small": "P2P\nsmall"}

MEMORY = "memory (P2P small: buffers of 64 KiB)"


def value(figures, kernel, name):
    """One figure, or None."""
    found = figures[kernel].get(name)
    return found[1] if found else None


def bars(figures, title, unit, kinds, name):
    """A group of bars for each kind of memory, a bar for each kernel."""
    series = [(KERNEL[kernel], COLOUR[kernel],
               [value(figures, kernel, name.format(kind)) for kind in kinds])
              for kernel in ("base", "this", "peer")]
    return Bars(title, MEMORY, unit, [KINDS[kind] for kind in kinds], series)


def lives(figures, title, call):
    """A call by size of the mapping."""
    series = []
    for kernel, kind, label, colour, dash in LIVES:
        points = [(1 << shift, value(figures, kernel, f"{call}-{kind}-{size}"))
                  for size, shift in SIZES.items()]
        series.append((label, colour, dash, [point for point in points if point[1]]))
    return Lines(title, "size of the mapping", "instructions", TICKS, series)


def draw_all(figures, sections, directory):
    """What the sections have a picture for; returns their names."""
    drawn = []

    def picture(name, title, panels, columns=None):
        draw(os.path.join(directory, name), title, panels, columns)
        drawn.append(name)

    if "mmap" in sections:
        picture("mapping", "A mapping by its size", [
            lives(figures, "mmap()", "mmap"),
            lives(figures, "first touch of a byte in each 2 MiB", "touch-2m"),
            lives(figures, "munmap()", "munmap"),
            lives(figures, "all three", "life")], 2)
    if "pin" in sections:
        picture("pin", "pin_user_pages_fast() and unpin_user_pages()", [
            bars(figures, "pin, 512 pages a call", "instructions per 4 KiB", KINDS, "pin-{}-512"),
            bars(figures, "unpin", "instructions per 4 KiB", KINDS, "pin-{}-512-unpin"),
            bars(figures, "pin, 1 page a call", "instructions per 4 KiB", KINDS, "pin-{}-1")])
    if "dma" in sections:
        kinds = [kind for kind in KINDS if kind != "hugetlb"]
        picture("dma", "DMA mapping of 4 KiB segments", [
            bars(figures, f"{call}, {count} segments" if count > 1 else f"{call}, 1 segment",
                 "instructions per segment", kinds, f"{call.replace('_sgtable', '')}-{{}}-{count}")
            for call in ("dma_map_sgtable", "dma_unmap_sgtable") for count in (1, 16, 256)], 3)
    if "direct" in sections:
        picture("direct", "O_DIRECT: CPU time that the caller is charged with, per request", [
            bars(figures, f"{op} of {size}", "instructions per request", KINDS,
                 f"{op}-{{}}-{name}-system")
            for name, size in (("4k", "4 KiB"), ("64k", "64 KiB"), ("1m", "1 MiB"))
            for op in ("read", "write")], 2)
    if "fio" in sections:
        kinds = ["base", "hugetlb", "p2p"]
        picture("fio", "fio, O_DIRECT through io_uring, 32 requests at a time", [
            bars(figures, f"{op} of {size}", "requests per CPU-second (1 GHz, 1 instruction a cycle)",
                 kinds, f"fio-{op}-{{}}-{name}-iops")
            for name, size in (("4k", "4 KiB"), ("64k", "64 KiB"), ("1m", "1 MiB"))
            for op in ("read", "write")], 2)
    return drawn
