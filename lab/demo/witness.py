# SPDX-License-Identifier: GPL-2.0
"""What the drive did, as the emulated drive itself tells it.

QEMU's trace has every command that the controller carries out and every DMA
address in it, so the guest's word is not needed to say where the data went.
"""
import re

from runner.paths import LabError

# The first two end the addresses of the command before.
EVENTS = ("pci_nvme_io_cmd", "pci_nvme_admin_cmd", "pci_nvme_read",
          "pci_nvme_map_addr", "pci_nvme_map_addr_cmb")
BLOCK = 512

READ = re.compile(r"pci_nvme_read cid \d+ nsid (\d+) nlb \d+ count (\d+) lba 0x([0-9a-f]+)")
ADDRESS = re.compile(r"pci_nvme_map_addr addr 0x([0-9a-f]+) len (\d+)")


def qemu_arguments(path):
    """Makes QEMU write the trace."""
    return ["-D", path] + [word for event in EVENTS for word in ("-trace", event)]


class Read:
    """One read command: what of the drive, and where to."""

    def __init__(self, offset, length):
        self.offset = offset
        self.length = length
        self.segments = []


def reads(path):
    """Every read command of the trace."""
    found, current = [], None
    with open(path, encoding="ascii", errors="replace") as trace:
        for line in trace:
            read, address = READ.search(line), ADDRESS.search(line)
            if read:
                current = Read(int(read[3], 16) * BLOCK, int(read[2]))
                found.append(current)
            elif address and current:
                current.segments.append((int(address[1], 16), int(address[2])))
            elif not address:
                current = None
    if not found:
        raise LabError(f"{path}: no read command; does this QEMU trace to a log (-trace help)?")
    return found


def bar(devices, vendor, device, number):
    """(address, size) of a BAR in the answer to query-pci, behind whatever bridges."""
    for each in devices:
        if each["id"]["vendor"] == vendor and each["id"]["device"] == device:
            for region in each["regions"]:
                if region["bar"] == number:
                    return region["address"], region["size"]
        found = bar(each.get("pci_bridge", {}).get("devices", ()), vendor, device, number)
        if found:
            return found
    return None


def _union(ranges):
    """How many bytes any of the ranges covers."""
    covered = end = 0
    for start, stop in sorted(ranges):
        covered += max(stop - max(start, end), 0)
        end = max(end, stop)
    return covered


class Account:
    """Where the reads of one range of the drive put it."""

    def __init__(self, commands, offset, length, card, ram_size):
        card_at, card_size = card
        self.commands = [read for read in commands
                         if read.offset < offset + length and offset < read.offset + read.length]
        self.segments = sorted(segment for read in self.commands for segment in read.segments)
        on_screen = []
        self.to_card = self.to_ram = self.elsewhere = 0
        for address, size in self.segments:
            if card_at <= address and address + size <= card_at + card_size:
                self.to_card += size
                start = address - card_at
                on_screen.append((min(start, length), min(start + size, length)))
            elif address + size <= ram_size:
                self.to_ram += size
            else:
                self.elsewhere += size
        self.left_to_cpu = length - _union(on_screen)

    def address_range(self):
        """The lowest and the highest address, as text."""
        if not self.segments:
            return "none"
        last = max(address + size for address, size in self.segments) - 1
        return f"{self.segments[0][0]:#x} to {last:#x}"
