# SPDX-License-Identifier: GPL-2.0
"""Devices of a running guest that are plugged out and in, and links that fail.

Requests: a test prints "# host-plug ID" or "# host-unplug ID", where ID is that of a
device of its topology. There is no answer: the guest notices by itself. Nor is there one
to "# host-fail ID", which makes a port report a fatal error of the link below it.

Hand: plugs each device in again that the topology lists under "replug" as soon as
it is out, because the guest has switched its slot off.
"""
import re
import threading
import time

from .paths import LabError
from .qmp import Monitor
from .topo import properties

SOCKET = "plug.sock"
REQUEST = re.compile(rb"^# host-(plug|unplug|fail) (\S+)\r?\n", re.M)
# A device that the guest has let go of goes in its own time.
PATIENCE = 20


def find(topology, name):
    """The device of that id, as device_add wants it."""
    for device in topology.devices:
        driver, props = properties(device)
        if props.get("id") == name:
            return {"driver": driver, **props}
    raise LabError(f"{topology.name} has no device {name} to be plugged in or out")


def fail(monitor, name):
    """Error injection speaks the human monitor's language only."""
    answer = monitor.execute("human-monitor-command", **{
        "command-line": f"pcie_aer_inject_error {name} DLP"})
    if not answer.startswith("OK"):
        raise LabError(f"{name} reports no error: {answer.strip()}")


class Plug:
    """Plugs devices of one guest in again."""

    def __init__(self, topology):
        self._topology = topology
        self._renewed = 0
        self._memories = {}             # memdev: its last name

    def plug_in(self, monitor, device):
        """The memory behind a BAR can't be used a second time, its file can.

        Nor can its name, before QEMU has forgotten the former one, some time later.
        """
        memory = device.get("memdev")
        if not memory:
            monitor.execute("device_add", **device)
            return
        self._renewed += 1
        new = f"{memory}-{self._renewed}"
        monitor.execute("object-add", **{
            "qom-type": "memory-backend-file", "id": new, "mem-path": memory + ".mem",
            "size": self._topology.bars[memory], "share": True, "discard-data": True})
        try:
            monitor.execute("device_add", **{**device, "memdev": new})
        except LabError:
            monitor.execute("object-del", id=new)
            raise
        monitor.execute("object-del", id=self._memories.get(memory, memory))
        self._memories[memory] = new


class Requests:
    """Follows what one guest's tests print."""

    def __init__(self, guest):
        self._guest = guest
        self._plug = Plug(guest.topology)
        self._seen = 0

    def serve(self, output):
        """Does what the new lines of the output ask for."""
        for request in REQUEST.finditer(output, self._seen):
            self._execute(request[1].decode(), request[2].decode())
        self._seen = output.rfind(b"\n") + 1

    def _execute(self, verb, name):
        device = find(self._guest.topology, name)
        monitor = self._guest.monitor()
        until = time.monotonic() + PATIENCE
        try:
            if verb == "unplug":
                monitor.execute("device_del", id=name)
                return
            if verb == "fail":
                fail(monitor, name)
                return
            while True:
                try:
                    self._plug.plug_in(monitor, device)
                    return
                except LabError:
                    if time.monotonic() > until:
                        raise
                time.sleep(0.05)
        except OSError as error:
            raise LabError(f"{self._guest.name}: QEMU does not {verb} {name}: {error}, see "
                           + self._guest.log("qemu")) from error
        finally:
            monitor.close()


class Hand(threading.Thread):
    """Serves one running guest, until QEMU ends."""

    def __init__(self, topology, directory):
        super().__init__(daemon=True)
        self._plug = Plug(topology)
        self._devices = {name: find(topology, name) for name in topology.replug}
        self._monitor = Monitor(directory, SOCKET, timeout=None)

    def run(self):
        """QEMU takes a device out as soon as its slot has no power."""
        try:
            for event in self._monitor.events():
                name = event.get("data", {}).get("device")
                if event.get("event") == "DEVICE_DELETED" and name in self._devices:
                    self._plug.plug_in(self._monitor, self._devices[name])
        except (OSError, ValueError, LabError):
            pass                        # the guest waits in vain, and says so
        finally:
            self._monitor.close()
