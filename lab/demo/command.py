# SPDX-License-Identifier: GPL-2.0
"""The command line of a demo."""
import argparse
import os

from runner import session
from runner.paths import BUILD, LabError


def kernel(description, *stale):
    """The kernel image to boot. What an earlier run left in build/ goes away."""
    parser = argparse.ArgumentParser(description=description,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernel", help="a kernel image, instead of build/bzImage")
    args = parser.parse_args()
    image = args.kernel or session.image_of("lean")
    if not os.path.exists(image):
        raise LabError(f"no kernel image {image}: run make kernel")
    for name in stale:
        path = os.path.join(BUILD, name)
        if os.path.exists(path):
            os.unlink(path)
    return image
