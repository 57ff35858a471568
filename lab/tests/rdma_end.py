#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0
"""One end of rdma-two.py, in a guest: perftest, unmodified, between two machines.

    rdma_end.py server|client

The client tells the server over TCP what to do next, so both run the same cases at the same
time. Before each case every page of a provider's memory has contents that no other page of
either machine has. Root's memory is not cleared, so whatever pages have in common afterwards
has been transferred. TAP on standard output.
"""
import hashlib
import json
import mmap
import os
import socket
import subprocess
import sys
import time

ADDRESSES = {"server": "10.9.9.1", "client": "10.9.9.2"}
CONTROL, FIRST_PORT = 18500, 18600
# Seconds; perftest's own, and until the other machine has booted.
PATIENCE, BOOT = 60, 90
SIZE = 65536
PAGE = 4096

DEVICES = "/sys/bus/pci/devices"
DRIVER = "/sys/bus/pci/drivers/p2pmem-bar"
PROVIDER = os.environ["P2P_PROVIDERS"].split()[0]
P2PMEM = f"{DEVICES}/{PROVIDER}/p2pmem"
ADAPTER = os.environ["P2P_RDMA"]


def counter(name):
    """A file of the provider that has a number."""
    with open(f"{P2PMEM}/{name}", encoding="ascii") as file:
        return int(file.read())


def wait_until(what, condition, seconds=30):
    """Looks ten times a second."""
    for _ in range(seconds * 10):
        if condition():
            return
        time.sleep(0.1)
    raise RuntimeError(f"{what}: not within {seconds} s")


def has_gid():
    """The port gets its GID when the interface is up."""
    directory = f"/sys/class/infiniband/{ADAPTER}/ports/1/gids"
    for name in "0123":
        try:
            with open(f"{directory}/{name}", encoding="ascii") as file:
                if file.read().strip(" :0\n"):
                    return True
        except OSError:
            pass
    return False


def bring_up(end):
    """The Ethernet function of the adapter, and the loopback."""
    function = os.path.basename(os.path.realpath(f"/sys/class/infiniband/{ADAPTER}/device"))
    net = os.listdir(f"{DEVICES}/{function[:-1]}0/net")[0]
    for command in (["address", "add", ADDRESSES[end] + "/24", "dev", net],
                    ["link", "set", "lo", "up"], ["link", "set", net, "up"]):
        subprocess.run(["ip", *command], check=True)
    wait_until("the port's GID", has_gid)


def all_memory():
    """A mapping of all of the provider's memory."""
    file = os.open(f"{P2PMEM}/allocate", os.O_RDWR)
    try:
        return mmap.mmap(file, counter("available"), mmap.MAP_SHARED)
    finally:
        os.close(file)


def mark(end, case):
    """Gives each page contents of its own."""
    with all_memory() as memory:
        for at in range(0, len(memory), PAGE):
            memory[at:at + PAGE] = f"{end} {case} {at:#x} ".encode().ljust(64, b".") * (PAGE // 64)


def pages():
    """The contents of all pages, as a set of what tells them apart on both machines."""
    with all_memory() as memory:
        return {hashlib.blake2b(memory[at:at + PAGE], digest_size=16).hexdigest()
                for at in range(0, len(memory), PAGE)}


class Peer:
    """The other end: one JSON document a line."""

    def __init__(self, end):
        if end == "server":
            with socket.create_server(("", CONTROL)) as listener:
                listener.settimeout(BOOT)
                connection = listener.accept()[0]
        else:
            connection = self._connect()
        connection.settimeout(3 * PATIENCE)
        self._file = connection.makefile("rw", encoding="ascii")

    @staticmethod
    def _connect():
        until = time.monotonic() + BOOT
        while True:
            try:
                return socket.create_connection((ADDRESSES["server"], CONTROL), timeout=5)
            except OSError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.5)

    def say(self, what):
        """Tells the other end."""
        self._file.write(json.dumps(what) + "\n")
        self._file.flush()

    def hear(self):
        """What the other end said, or None if it is gone."""
        line = self._file.readline()
        return json.loads(line) if line else None


def start(case, port, place, server=None):
    """perftest's program, with its buffer in RAM or in the provider's memory."""
    command = [case["program"], f"--ib-dev={ADAPTER}", f"--port={port}", "--CPU-freq",
               f"--size={SIZE}", *case["options"]]
    if place == "p2p":
        command.append(f"--mmap={P2PMEM}/allocate")
    if server:
        command.append(server)
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True)


def listens(port):
    """State 0A of /proc/net/tcp is LISTEN."""
    with open("/proc/net/tcp", encoding="ascii") as file:
        return any(fields[1].endswith(f":{port:04X}") and fields[3] == "0A"
                   for fields in map(str.split, file))


def finish(process):
    """(output, exit status); the status of one that hangs is 124."""
    try:
        return process.communicate(timeout=PATIENCE)[0], process.returncode
    except subprocess.TimeoutExpired:
        process.kill()
        return process.communicate()[0], 124


def write_to_driver(name):
    """Unbinds the provider from its driver, or binds it."""
    with open(f"{DRIVER}/{name}", "w", encoding="ascii") as file:
        file.write(PROVIDER)


def run(end, case, port, peer):
    """One case at this end: what went wrong, and the pages afterwards."""
    wrong = []
    place = case[end]
    mark(end, case["name"])
    bytes_before = counter("dma_bus_bytes")
    if end == "server":
        process = start(case, port, place)
        wait_until("perftest", lambda: listens(port) or process.poll() is not None)
        peer.say("ready")
    else:
        peer.hear()
        process = start(case, port, place, ADDRESSES["server"])
    if case["goes"] == end:
        wait_until("a registration", lambda: counter("dma_bus_bytes") > bytes_before)
        time.sleep(2)                   # data is in flight
        write_to_driver("unbind")
    output, status = finish(process)
    if bool(status) != bool(case["goes"]) or status == 124:
        wrong.append(f"{case['program']} ended with {status}")
    elif not case["goes"] and place == "p2p" and counter("dma_bus_bytes") == bytes_before:
        wrong.append("nothing went to the provider")
    if case["goes"] == end:
        write_to_driver("bind")
        wait_until("all of the memory", lambda: counter("available") == counter("size"))
    if wrong:
        wrong += output.splitlines()
    return wrong, pages()


def cases():
    """In the order in which they run."""
    for program in ("ib_send_bw", "ib_write_bw", "ib_read_bw"):
        for server, client in (("p2p", "p2p"), ("p2p", "ram"), ("ram", "p2p")):
            yield {"name": f"{program[3:-3]}_{client}_{server}", "program": program,
                   "options": ["--iters=50"], "server": server, "client": client, "goes": None}
    for goes in ("server", "client"):
        yield {"name": f"{goes}_unbound", "program": "ib_write_bw", "server": "p2p",
               "client": "p2p", "goes": goes, "options": ["--run_infinitely", "--duration=2"]}
    yield {"name": "again", "program": "ib_write_bw", "options": ["--iters=50"],
           "server": "p2p", "client": "p2p", "goes": None}


def judge(case, wrong, mine, theirs):
    """What went wrong in a case, at both ends and between them."""
    common = len(set(mine) & set(theirs["pages"]))
    wrong = wrong + [f"server: {line}" for line in theirs["wrong"]]
    if case["server"] == case["client"] == "p2p":
        if not case["goes"] and common < SIZE // PAGE:
            wrong.append(f"only {common} pages have the same contents")
    elif common:
        wrong.append(f"{common} pages of both providers have the same contents")
    return wrong


def client(peer):
    """Leads, and gives the verdict."""
    todo = list(cases())
    failed = False
    print(f"TAP version 13\n1..{len(todo)}", flush=True)
    for number, case in enumerate(todo, 1):
        peer.say(case)
        wrong, mine = run("client", case, FIRST_PORT + number, peer)
        wrong = judge(case, wrong, mine, peer.hear())
        failed |= bool(wrong)
        for line in wrong:
            print("#", line)
        print("not ok" if wrong else "ok", number, case["name"], flush=True)
    return failed


def server(peer):
    """Does what it is told; one point, that it could."""
    print("TAP version 13\n1..1", flush=True)
    number = 0
    while (case := peer.hear()) is not None:
        number += 1
        wrong, contents = run("server", case, FIRST_PORT + number, peer)
        peer.say({"wrong": wrong, "pages": sorted(contents)})
    wanted = len(list(cases()))
    print("ok" if number == wanted else "not ok", f"1 served # {number} of {wanted} cases")
    return number != wanted


def main(end):
    """Both ends of the connection, then the cases."""
    bring_up(end)
    return {"client": client, "server": server}[end](Peer(end))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
