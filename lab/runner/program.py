# SPDX-License-Identifier: GPL-2.0
"""How the programs of the lab end."""
import signal
import sys

from .paths import LabError

INTERRUPTED, TERMINATED = 130, 143


def run(main, name, hint=""):
    """Calls main(), and exits with what it returns, or with why it could not do its work and a hint."""
    # Ended from outside: still stop the guests and remove their images.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    try:
        sys.exit(main())
    except LabError as problem:
        sys.exit(f"{name}: error: {problem}{hint}")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
