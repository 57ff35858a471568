# SPDX-License-Identifier: GPL-2.0
"""The parts of the lab's runner: topologies, QEMU, TAP, verdict."""
