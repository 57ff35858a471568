#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""Reads from a drive straight into the memory of another PCI device.

    p2p_read.py 0000:03:00.0 /dev/nvme0n1 [MEBIBYTES]

It needs only mmap and os.preadv: the mapping is a buffer like any other. Prints how many bytes
moved from device to device, according to the kernel, and the beginning of the data.
"""
import errno
import mmap
import os
import sys

CHUNK = 1 << 20


def moved(provider):
    """Bytes mapped for DMA by the two routes, since the provider was added."""
    total = 0
    for name in ("dma_bus_bytes", "dma_host_bridge_bytes"):
        with open(f"{provider}/{name}", encoding="ascii") as file:
            total += int(file.read())
    return total


def main(address, source, mebibytes="1"):
    """Allocates memory, reads into it, and prints the result."""
    provider = f"/sys/bus/pci/devices/{address}/p2pmem"

    # Each mmap() is an allocation; it is freed when the mapping is gone. The file has no read().
    memory = os.open(f"{provider}/allocate", os.O_RDWR)
    buffer = mmap.mmap(memory, CHUNK, mmap.MAP_SHARED)
    os.close(memory)

    # Without O_DIRECT the data would go through the page cache, in RAM.
    drive = os.open(source, os.O_RDONLY | os.O_DIRECT)
    before = moved(provider)
    done = 0
    try:
        while done < int(mebibytes) * CHUNK:
            size = os.preadv(drive, [buffer], done)
            if not size:
                break
            done += size
    except OSError as error:
        if error.errno != errno.EREMOTEIO:
            raise
        sys.exit(f"{source} can't use the memory of {address}; see p2pctl route {address} {source}")

    # Here an accelerator would use the data. The CPU can read it too, but that is slow.
    print(f"{done} bytes read, {moved(provider) - before} of them from device to device")
    print(buffer[:16].hex(" "))
    buffer.close()
    os.close(drive)


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
