# SPDX-License-Identifier: GPL-2.0
"""Topologies: one INI file each in lab/topo/, described in switch.conf."""
import configparser
import os
import re

from .paths import LAB, LabError

DIRECTORY = os.path.join(LAB, "topo")
KEYS = {
    "qemu": {"machine", "cpu", "memory", "smp", "clock", "threads", "append", "devices",
             "globals", "replug", "verbs"},
    "guest": {"groups", "bind", "providers", "env", "taint", "faults"},
}
SECTIONS = set(KEYS) | {"bars", "drives", "skips"}


def parse_size(text):
    """Bytes of 512, 64K, 256M, 1G."""
    match = re.fullmatch(r"(\d+)([KMG]?)", text)
    if not match:
        raise LabError(f"{text}: not a size like 64K, 256M or 1G")
    return int(match[1]) << {"": 0, "K": 10, "M": 20, "G": 30}[match[2]]


def lines(text):
    """The non-empty lines of a multi-line value."""
    return [line.strip() for line in text.splitlines() if line.strip()]


def properties(device):
    """A -device string as (driver, {property: value})."""
    driver, *rest = device.split(",")
    return driver, dict(item.partition("=")[::2] for item in rest)


class Topology:
    """One file of lab/topo/, checked."""

    def __init__(self, name, directory=DIRECTORY):
        self.name = name
        self.path = os.path.join(directory, name + ".conf")
        if not os.path.exists(self.path):
            known = ", ".join(names(directory))
            raise LabError(f"no topology {name}; there are: {known}")
        config = configparser.ConfigParser(
            delimiters=("=",), interpolation=None, inline_comment_prefixes=("#",))
        config.optionxform = str
        try:
            config.read(self.path)
        except configparser.Error as error:
            raise LabError(f"{self.path}: {error}") from error
        self._check(config)
        qemu, guest = config["qemu"], config["guest"]
        self.machine = qemu.get("machine", "q35")
        self.cpu = qemu.get("cpu", "max")
        self.memory = parse_size(qemu.get("memory", "1G"))
        self.smp = qemu.getint("smp", 2)
        self.clock = qemu.get("clock", "")
        self.threads = qemu.get("threads", "multi")
        self.append = qemu.get("append", "")
        self.devices = lines(qemu.get("devices", ""))
        self.globals = lines(qemu.get("globals", ""))
        self.replug = qemu.get("replug", "").split()
        self.verbs = qemu.getboolean("verbs", False)
        self.bars = {k: parse_size(v) for k, v in self._section(config, "bars")}
        self.drives = {}
        self.drive_options = {}
        for drive, value in self._section(config, "drives"):
            image, _, options = value.partition(",")
            size, _, content = image.partition(" ")
            self.drives[drive] = (parse_size(size), content.strip())
            self.drive_options[drive] = "," + options if options else ""
        self.groups = guest.get("groups", "").split()
        self.bind = [tuple(line.split()) for line in lines(guest.get("bind", ""))]
        self.providers = guest.get("providers", "")
        self.env = dict(line.partition("=")[::2] for line in lines(guest.get("env", "")))
        self.taint = guest.get("taint", "0")
        self.faults = guest.get("faults", "").split()
        self.skips = dict(self._section(config, "skips"))

    @staticmethod
    def _section(config, name):
        return config.items(name) if config.has_section(name) else []

    def _check(self, config):
        """A misspelt key would silently change what is tested."""
        for section in config.sections():
            if section not in SECTIONS:
                raise LabError(f"{self.path}: unknown section [{section}]")
            for key in config[section]:
                if key not in KEYS.get(section, {key}):
                    raise LabError(f"{self.path}: unknown key {key} in [{section}]")
        for section in KEYS:
            if not config.has_section(section):
                raise LabError(f"{self.path}: section [{section}] is missing")

    def disks(self):
        """(variable, serial, nsid) of every drive that is an NVMe namespace."""
        serials, found = {}, []
        for device in self.devices:
            driver, props = properties(device)
            if driver == "nvme":
                serials[props.get("id")] = props.get("serial")
                if "drive" in props:
                    found.append((props["drive"], props["serial"], "1"))
            elif driver == "nvme-ns":
                found.append((props["drive"], serials[props["bus"]], props["nsid"]))
        return [("P2P_DISK_" + drive.upper(), serial, nsid) for drive, serial, nsid in found]


def names(directory=DIRECTORY):
    """Every topology there is, in a stable order."""
    return sorted(file[:-5] for file in os.listdir(directory) if file.endswith(".conf"))
