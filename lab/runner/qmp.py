# SPDX-License-Identifier: GPL-2.0
"""A client for QEMU's machine protocol, as small as the lab needs it."""
import json
import os
import socket

from .paths import LabError


class Monitor:
    """Connects to the socket of a running guest (Guest.monitor())."""

    def __init__(self, directory, name="qmp.sock", timeout=10):
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout)
        # A socket's path may have no more than 107 bytes; a build directory may.
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            self._socket.connect(f"/proc/self/fd/{descriptor}/{name}")
        finally:
            os.close(descriptor)
        self._file = self._socket.makefile("rw")
        self._events = []
        self._file.readline()
        self.execute("qmp_capabilities")

    def execute(self, command, **arguments):
        """Runs one command and returns what it returns."""
        json.dump({"execute": command, "arguments": arguments}, self._file)
        self._file.write("\n")
        self._file.flush()
        for line in self._file:
            reply = json.loads(line)
            if "error" in reply:
                raise LabError(f"QMP {command}: {reply['error'].get('desc')}")
            if "return" in reply:
                return reply["return"]
            self._events.append(reply)
        raise LabError(f"QMP {command}: QEMU closed the connection")

    def events(self):
        """Each event as it comes, until QEMU ends."""
        while True:
            while self._events:
                yield self._events.pop(0)
            line = self._file.readline()
            if not line:
                return
            self._events.append(json.loads(line))

    def screendump(self, path):
        """Writes what the emulated screen shows as a PPM file."""
        self.execute("screendump", filename=os.path.abspath(path))

    def close(self):
        """Ends the session."""
        self._file.close()
        self._socket.close()
