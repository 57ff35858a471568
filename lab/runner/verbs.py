# SPDX-License-Identifier: GPL-2.0
"""
An RDMA NIC for a guest: QEMU's pvrdma, which wants a verbs device of the machine. The
libraries in lab/rdma/ stand in for one; a topology asks for them by "verbs = yes".
"""
import os
import subprocess
import tempfile

from .paths import BUILD, LAB, LabError

DIRECTORY = os.path.join(BUILD, "rdma")
SOURCE = os.path.join(LAB, "rdma")
SOCKET = "mads.sock"
# The last one tells how old all are.
LIBRARIES = ("libibverbs.so.1", "librdmacm.so.1")


def build():
    """
    Builds the libraries if they are older than their source. Guests start at the same time, so
    each has a directory of its own to build in, and a library is replaced as a whole.
    """
    library = os.path.join(DIRECTORY, LIBRARIES[-1])
    newest = max(entry.stat().st_mtime for entry in os.scandir(SOURCE))
    if os.path.exists(library) and os.path.getmtime(library) >= newest:
        return
    os.makedirs(DIRECTORY, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="new-", dir=DIRECTORY) as own:
        done = subprocess.run([os.path.join(SOURCE, "build.sh"), own],
                              capture_output=True, text=True, check=False)
        if done.returncode:
            raise LabError(f"lab/rdma does not build: {done.stderr}")
        for name in LIBRARIES:
            os.replace(os.path.join(own, name), os.path.join(DIRECTORY, name))


def environment():
    """That of a QEMU which has the libraries, before any others that the caller wants."""
    path = [DIRECTORY] + list(filter(None, [os.environ.get("LD_LIBRARY_PATH")]))
    return dict(os.environ, LD_LIBRARY_PATH=":".join(path), P2P_VERBS_MADS=SOCKET)


def arguments(memory):
    """
    QEMU's, beside the devices: pvrdma maps the guest's pages once more, so its memory is
    shared, and it has somebody to send management datagrams to.
    """
    return ["-object", f"memory-backend-ram,id=ram,size={memory},share=on",
            "-machine", "memory-backend=ram",
            "-chardev", f"socket,id=mads,path={SOCKET}"]
