# SPDX-License-Identifier: GPL-2.0
"""What the drive did, as the emulated drive itself tells it.

QEMU's trace has every command that the controller carries out and every DMA
address in it, so the guest's word is not needed to say where the data went.
"""
import re

from runner.paths import LabError

# The first two end the addresses of the command before.
EVENTS = ("pci_nvme_io_cmd", "pci_nvme_admin_cmd", "pci_nvme_read", "pci_nvme_write",
          "pci_nvme_map_addr", "pci_nvme_map_addr_cmb")
BLOCK = 512

COMMAND = re.compile(r"pci_nvme_(read|write) cid \d+ (?:opname '\w+' )?nsid \d+ nlb \d+ "
                     r"count (\d+) lba 0x([0-9a-f]+)")
ADDRESS = re.compile(r"pci_nvme_map_addr addr 0x([0-9a-f]+) len (\d+)")


def qemu_arguments(path):
    """Makes QEMU write the trace."""
    return ["-D", path] + [word for event in EVENTS for word in ("-trace", event)]


class Command:
    """One command: what of the drive, and where the data went to or came from."""

    def __init__(self, kind, offset, length):
        self.kind = kind
        self.offset = offset
        self.length = length
        self.segments = []


def commands(path, kind):
    """Every command of a kind, read or write, in the trace."""
    found, current = [], None
    with open(path, encoding="ascii", errors="replace") as trace:
        for line in trace:
            command, address = COMMAND.search(line), ADDRESS.search(line)
            if command:
                current = Command(command[1], int(command[3], 16) * BLOCK, int(command[2]))
                if current.kind == kind:
                    found.append(current)
            elif address and current:
                current.segments.append((int(address[1], 16), int(address[2])))
            elif not address:
                current = None
    if not found:
        raise LabError(f"{path}: no {kind} command; does this QEMU trace to a log (-trace help)?")
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
    """Where the data of one range of the drive went to, or came from: a card, or RAM."""

    def __init__(self, found, offset, length, card, ram_size):
        card_at, card_size = card
        self.commands = [each for each in found
                         if each.offset < offset + length and offset < each.offset + each.length]
        self.segments = sorted(segment for each in self.commands for segment in each.segments)
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
