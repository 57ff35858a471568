# SPDX-License-Identifier: GPL-2.0
"""The parts of make demo: a picture, a screen, and what the drive says it did."""
