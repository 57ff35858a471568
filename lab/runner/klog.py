# SPDX-License-Identifier: GPL-2.0
"""Finds in a kernel log what no test run may leave there."""
import re

SPLATS = re.compile("|".join((
    r"\bWARNING: ",
    r"\bBUG: ", r"\bkernel BUG at ", r"\bOops\b", r"\bCall Trace:", r"\bKernel panic\b",
    r"\bgeneral protection fault\b", r"\b[Uu]nable to handle (kernel )?(NULL|page|paging)",
    r"\bdouble fault\b", r"\bstack segment\b", r"\bstack guard page was hit\b",
    # lockdep, RCU, watchdogs
    r"\bINFO: (possible|inconsistent|trying to register|task|rcu)", r"\bpossible recursive locking",
    r"\bpossible circular locking", r"\binconsistent lock state", r"\bsuspicious RCU usage",
    r"\block held when returning", r"\b(self-)?detected stalls?\b", r"\bsoft lockup\b",
    r"\bhard LOCKUP\b", r"\bblocked for more than \d+ seconds", r"\bnobody cared\b",
    # sanitizers and object checks
    r"\bKASAN: ", r"\bUBSAN: ", r"\bKFENCE: ", r"\bkmemleak: \d+ new suspected",
    r"\bODEBUG: ", r"\brefcount_t: ", r"\blist_(add|del) corruption",
    # memory management
    r"\bBad page (state|map|cache)", r"\bbad p(gd|4d|ud|md) ", r"\bpage dumped because",
    r"\bBad rss-counter", r"\bnon-zero pgtables_bytes",
    # DMA: all that the DMA debugging says apart from its greeting; IOMMU faults
    r"\bDMA-API: (?!preallocated|debugging (enabled|disabled))",
    r"\bDMAR: .*\bfault\b", r"\bDMAR: \[DMA (Read|Write)", r"\bAMD-Vi: Event logged",
    r"\bnvme nvme\d+: I/O .* timeout",
    # what a transfer to the wrong place does to a file system
    r"\bEXT4-fs error\b", r"\bXFS .*([Cc]orruption|CRC error|Internal error)",
)))

# Two lines a fault; the first names no device.
FAULT = re.compile(r"DMAR: (DRHD: handling fault status|\[DMA .*Request device \[(?P<device>[^]]*)\])")

# A log line starts with its time. PID 1's own remarks quote other things.
STAMP = re.compile(r"^\[ *\d+\.\d+\]\s*(\[[^\]]*\]\s*)?")
CONTEXT = 25


def _is_provoked(message, devices):
    """Is it an IOMMU fault of a device whose faults tests provoke?"""
    fault = FAULT.match(message) if devices else None
    return fault is not None and (fault["device"] is None or fault["device"] in devices)


def splats(log, faults=()):
    """(first line, excerpt) of every report in the log; a report runs together.

    Devices in faults may have IOMMU faults.
    """
    found, quiet_until = [], -1
    text = log.splitlines()
    for number, line in enumerate(text):
        message = STAMP.sub("", line)
        if message.startswith("init: ") or not SPLATS.search(message):
            continue
        if _is_provoked(message, faults):
            continue
        if number > quiet_until:
            # lockdep, KASAN and others draw a line above their own headline.
            found.append((message.strip(), "\n".join(text[number:number + CONTEXT])))
        quiet_until = number + CONTEXT
    return found


def panic(log):
    """The line that tells why the kernel stopped, if it did."""
    for line in log.splitlines():
        if "Kernel panic" in line:
            return STAMP.sub("", line).strip()
    return None
