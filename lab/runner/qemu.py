# SPDX-License-Identifier: GPL-2.0
"""One guest: its files, its QEMU, its two serial ports, its time limits.

ttyS0 carries the kernel log (console.log), ttyS1 what programs print
(output.log). PID 1 reports on the kernel log where it is, so a guest that
hangs is noticed by the limit of the step that hangs.
"""
import ctypes
import fcntl
import os
import re
import select
import shutil
import signal
import subprocess
import time

from . import drives, plug, tap, verbs
from .paths import BUILD, DEBUG_FACTOR, LabError
from .qmp import Monitor
from .watchdog import GRACE, POWER_OFF, Watchdog

# kmemleak looks through all struct pages, twice, before a debug kernel's verdict.
DEBUG_MEMORY = 512 << 20

PR_SET_PDEATHSIG = 1


def _die_with_parent():
    """No QEMU outlives the runner, however that ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


class Outcome:
    """What one boot left behind."""

    def __init__(self):
        self.console = ""
        self.output = ""
        # test: what the host found where the test told it to look
        self.host_found = {}
        self.exit_code = None
        self.timed_out = None
        self.seconds = 0.0


class Guest:
    """A machine that boots once; use it as a context manager."""

    def __init__(self, topology, kernel, kernel_name, plan, initrds, *,
                 label=None, accel="tcg", append="", extra=(), contents=None, screendump=None):
        self.topology = topology
        self.kernel = os.path.abspath(kernel)
        self.plan = plan
        self.initrds = initrds
        self.accel = accel
        self.append = append
        self.extra = list(extra)
        self.contents = contents or {}
        self.screendump = screendump
        self.environment = {}
        self.debug = kernel_name == "debug"
        self.watchdog = Watchdog(plan.limits, DEBUG_FACTOR if self.debug else 1)
        self.name = f"{topology.name}-{label or kernel_name}"
        self.run_dir = self.log_dir = self._lock = self._process = None
        self._console = b""

    def __enter__(self):
        self._claim()
        for drive, (size, content) in self.topology.drives.items():
            drives.make(self.image(drive), size, content)
        for drive, source in self.contents.items():
            drives.fill(self.image(drive), source)
        for bar, size in self.topology.bars.items():
            with open(self._file(bar + ".mem"), "wb") as file:
                file.truncate(size)
        with open(self._file("initrd"), "wb") as out:
            for part in self.initrds:
                with open(part, "rb") as file:
                    shutil.copyfileobj(file, out)
            out.write(self.plan.archive())
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.run_dir, ignore_errors=True)
        self._lock.close()

    def _claim(self):
        """Directories of its own, also when the same guest runs twice."""
        os.makedirs(os.path.join(BUILD, "run"), exist_ok=True)
        for count in range(1, 100):
            name = self.name if count == 1 else f"{self.name}-{count}"
            run_dir = os.path.join(BUILD, "run", name)
            lock = open(run_dir + ".lock", "w", encoding="ascii")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
                continue
            self.name, self.run_dir, self._lock = name, run_dir, lock
            self.log_dir = os.path.join(BUILD, "log", name)
            for directory in (self.run_dir, self.log_dir):
                shutil.rmtree(directory, ignore_errors=True)
                os.makedirs(directory)
            return
        raise LabError(f"{self.name}: too many guests of this kind run already")

    def _file(self, name):
        return os.path.join(self.run_dir, name)

    def image(self, drive):
        """Where the host finds a drive's image."""
        return self._file(drive + ".img")

    def log(self, name):
        """Where a log is: console, output or qemu."""
        return os.path.join(self.log_dir, name + ".log")

    def _clock(self):
        """
        What a guest may believe of its clocks. Under plain TCG a vCPU waits for the
        host's CPU while the TSC runs on: the kernel finds that no timer works, and
        panics, or takes the TSC for many times slower than it is. So it checks and
        calibrates nothing, and tells the time by the HPET. (Delay loops still count
        the TSC; the figures err on the long side.) With -icount all clocks agree.
        """
        if self.accel == "tcg" and "-icount" not in self.extra:
            return "no_timer_check tsc=unstable tsc_early_khz=4000000 lpj=16000000"
        return ""

    def command(self, interactive=False):
        """QEMU's command line."""
        topology = self.topology
        memory = topology.memory
        if self.debug and self.plan.verdict:
            memory = min(memory, DEBUG_MEMORY)
        # Tracepoints patch code that other CPUs run. QEMU before 8.1 may translate such code
        # half patched, if CPUs have threads of their own, and the guest dies of an int3 that
        # nobody expects; so without the names of tasks, which need probes in the scheduler.
        cmdline = ("console=ttyS0 earlyprintk=serial,ttyS0,115200 printk.devkmsg=on "
                   "panic=-1 oops=panic trace_options=norecord-cmd "
                   f"{self._clock()} {topology.append} {self.append}")
        accel = self.accel
        if accel == "tcg" and "-icount" not in self.extra:
            accel = f"tcg,thread={topology.threads}"
        args = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-no-reboot",
                "-display", "none", "-vga", "none",
                "-machine", topology.machine, "-accel", accel, "-cpu", topology.cpu,
                "-m", f"{memory >> 20}M", "-smp", str(topology.smp),
                "-kernel", self.kernel, "-initrd", "initrd", "-append", " ".join(cmdline.split()),
                "-chardev", f"file,id=klog,path={self.log('console')}", "-serial", "chardev:klog",
                "-chardev", "stdio,id=out,signal=off" + (",mux=on" if interactive else ""),
                "-serial", "chardev:out",
                "-qmp", "unix:qmp.sock,server=on,wait=off"]
        if topology.replug:
            args += ["-qmp", f"unix:{plug.SOCKET},server=on,wait=off"]
        if interactive:
            args += ["-mon", "chardev=out,mode=readline"]
        if topology.verbs:
            args += verbs.arguments(memory)
        for default in topology.globals:
            args += ["-global", default]
        for bar, size in topology.bars.items():
            args += ["-object", f"memory-backend-file,id={bar},mem-path={bar}.mem,"
                                f"size={size},share=on,discard-data=on"]
        for drive in topology.drives:
            args += ["-drive", f"if=none,id={drive},file={drive}.img,format=raw,cache=unsafe"
                               + topology.drive_options[drive]]
        for device in topology.devices:
            args += ["-device", device]
        if self.plan.host_root:
            args += ["-fsdev", "local,id=root,path=/,security_model=none,readonly=on,"
                               "multidevs=remap",
                     "-device", "virtio-9p-pci,bus=pcie.0,fsdev=root,mount_tag=root"]
        if self.screendump:
            args.append("-no-shutdown")
        return args + self.extra

    def _start(self, interactive):
        with open(self.log("qemu"), "wb") as log:
            log.write((" ".join(self.command(interactive)) + "\n").encode())
            log.flush()
            if self.topology.verbs:
                verbs.build()
            try:
                self._process = subprocess.Popen(
                    self.command(interactive), cwd=self.run_dir, stderr=log,
                    env=dict(verbs.environment() if self.topology.verbs else os.environ,
                             **self.environment),
                    stdin=None if interactive else subprocess.PIPE, bufsize=0,
                    stdout=None if interactive else subprocess.PIPE,
                    preexec_fn=_die_with_parent)
            except FileNotFoundError as error:
                raise LabError(f"{error.filename} is not installed: run make deps") from error

        if self.topology.replug:
            self._start_hand()

    def _start_hand(self):
        """QEMU makes its sockets before the machine runs, or ends at once."""
        end = time.monotonic() + GRACE
        while time.monotonic() < end and self._process.poll() is None:
            if os.path.exists(self._file(plug.SOCKET)):
                plug.Hand(self.topology, self.run_dir).start()
                return
            time.sleep(0.05)

    def monitor(self):
        """A QMP session with the running guest."""
        return Monitor(self.run_dir)

    def stop(self):
        """Ends QEMU if it still runs."""
        if self._process and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _read_console(self, on_frame):
        """Picks up what the kernel log grew by, line by line."""
        try:
            with open(self.log("console"), "rb") as file:
                file.seek(len(self._console))
                new = file.read()
        except FileNotFoundError:
            return
        done = self._console.rfind(b"\n") + 1
        self._console += new
        text = self._console[done:].decode("utf-8", "replace")
        mark = re.compile(rf"init: ### {self.plan.token} (.*)")
        for line in text.split("\n")[:-1]:
            match = mark.search(line)
            if match:
                self.watchdog.follow(match[1].strip())
                on_frame(match[1].strip())

    def _dump_screen(self):
        """Once the guest has powered off: what its screen showed last, then QEMU's end."""
        if self.screendump and self.watchdog.step == POWER_OFF:
            monitor = self.monitor()
            if monitor.execute("query-status")["status"] == "shutdown":
                monitor.screendump(self.screendump)
                monitor.execute("quit")
                self.screendump = None
            monitor.close()

    def _read_output(self, output, log, on_output, wait):
        """Passes on what programs printed. Was there any? None at its end."""
        pipe = self._process.stdout
        if not select.select([pipe], [], [], wait)[0]:
            return False
        data = os.read(pipe.fileno(), 65536)
        if not data:
            return None
        output += data
        log.write(data)
        on_output(data)
        return True

    def _look_for_test(self, test, output, outcome):
        """Looks into the images as a test asked, while PID 1 waits for an answer."""
        asked = tap.expectations(output.decode("utf-8", "replace"))
        outcome.host_found[test] = [drives.sha256(self.image(drive), offset, length)
                                    for drive, offset, length, _ in asked]
        try:
            self._process.stdin.write(b"\n")
        except BrokenPipeError:
            pass                        # QEMU is gone; the verdict will say so

    def run(self, on_output=lambda data: None, on_frame=lambda frame: None, timeout=None):
        """Boots, passes the output on as it comes, returns the Outcome."""
        outcome = Outcome()
        started = time.monotonic()
        output = bytearray()
        looked_at = 0
        requests = plug.Requests(self)

        def follow(frame):
            nonlocal looked_at
            on_frame(frame)
            words = frame.split()
            if words[0] == "test" and words[2] == "end":
                # All that the test printed was on the wire before this frame.
                while self._read_output(output, log, on_output, 0):
                    pass
                self._look_for_test(words[1], output[looked_at:], outcome)
                looked_at = len(output)

        self.watchdog.start(timeout)
        self._start(interactive=False)

        with open(self.log("output"), "wb", buffering=0) as log:
            while self._read_output(output, log, on_output, 0.1) is not None:
                requests.serve(output)
                self._read_console(follow)
                self._dump_screen()
                outcome.timed_out = self.watchdog.expired()
                if outcome.timed_out:
                    self.stop()
                    break
        # Its output has ended: QEMU is on its way out, or has just been killed.
        try:
            outcome.exit_code = self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            outcome.timed_out = "QEMU does not exit"
            self.stop()
        self._read_console(on_frame)
        outcome.console = self._console.decode("utf-8", "replace")
        outcome.output = output.decode("utf-8", "replace")
        outcome.seconds = time.monotonic() - started
        return outcome

    def run_interactive(self):
        """Boots with the terminal as ttyS1."""
        outcome = Outcome()
        self._start(interactive=True)
        outcome.exit_code = self._process.wait()
        self._read_console(lambda frame: None)
        outcome.console = self._console.decode("utf-8", "replace")
        return outcome
