# SPDX-License-Identifier: GPL-2.0
"""Where things are, and the one kind of error that is a message, not a bug."""
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
LAB = os.path.join(ROOT, "lab")
BUILD = os.path.join(ROOT, "build")
GUEST = os.path.join(BUILD, "guest")

KERNELS = {
    "lean": os.path.join(BUILD, "bzImage"),
    "debug": os.path.join(BUILD, "bzImage-debug"),
    "coverage": os.path.join(BUILD, "bzImage-coverage"),
    "kcsan": os.path.join(BUILD, "bzImage-kcsan"),
}
# Those of make check. The third one is that of make coverage, the fourth for make soak.
CHECKED = ("lean", "debug")
# KASAN and lockdep under TCG: how much longer a debug guest may take.
DEBUG_FACTOR = 5


class LabError(Exception):
    """Says what is wrong and what to do about it; shown without a traceback."""


def build_guest(what):
    """Brings the guest's archives up to date; see lab/guest/build.sh."""
    script = os.path.join(LAB, "guest", "build.sh")
    # Standard output belongs to the guest's.
    done = subprocess.run([script] + ([what] if what else []), stdout=sys.stderr, check=False)
    if done.returncode:
        raise LabError("the guest's programs do not build, see above")
