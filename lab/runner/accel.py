# SPDX-License-Identifier: GPL-2.0
"""Chooses the accelerator by booting something, not by looking at /dev/kvm.

The device may exist and a guest still hang or QEMU abort, so KVM counts only
when PID 1 of our own kernel came up under it. The answer is kept in
build/accel for as long as the machine stays up.
"""
import os
import subprocess
import sys
import tempfile

from . import cpio
from .paths import BUILD, GUEST

CACHE = os.path.join(BUILD, "accel")
LIMIT = 8


def _kvm_boots(kernel):
    """Boots a kernel with PID 1 and nothing to do, under KVM."""
    with open(os.path.join(GUEST, "init.cpio.gz"), "rb") as init:
        initrd = init.read()
    initrd += cpio.archive([("etc/plan", cpio.PLAIN, b"token probe\n")])
    with tempfile.NamedTemporaryFile(dir=BUILD) as file:
        file.write(initrd)
        file.flush()
        return _reaches_pid_1(kernel, file.name)


def _reaches_pid_1(kernel, initrd):
    command = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-no-reboot",
               "-display", "none", "-vga", "none", "-machine", "q35,accel=kvm", "-cpu", "max",
               "-m", "512M", "-smp", "2", "-serial", "stdio", "-kernel", kernel,
               "-initrd", initrd, "-append", "console=ttyS0 panic=-1"]
    try:
        done = subprocess.run(command, timeout=LIMIT, check=False, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return False
    return b"### probe boot" in done.stdout and not done.returncode


def choose(wanted, kernel):
    """The accelerator to use: what was asked for, or what works."""
    if wanted != "auto":
        return wanted
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot_id = file.read().strip()
    try:
        with open(CACHE, encoding="ascii") as file:
            cached_id, accel = file.read().split()
        if cached_id == boot_id and accel in ("kvm", "tcg"):
            return accel
    except (OSError, ValueError):
        pass
    accel, reason = "tcg", "/dev/kvm cannot be opened"
    if os.access("/dev/kvm", os.R_OK | os.W_OK):
        if _kvm_boots(kernel):
            accel, reason = "kvm", "a guest boots under it"
        else:
            reason = f"under KVM a guest did not boot and power off in {LIMIT} s"
    print(f"accelerator: {accel} ({reason}; kept in build/accel)", file=sys.stderr)
    with open(CACHE, "w", encoding="ascii") as file:
        file.write(f"{boot_id} {accel}\n")
    return accel
