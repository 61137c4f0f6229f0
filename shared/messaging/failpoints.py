"""Named points at which a test lets a real process die by SIGKILL, to prove what a crash costs.

Invariant: inert unless FAILPOINT is set, which production refuses (`shared.settings`). `NAME` dies at
the first pass, `NAME:n` at the n-th. The point says on standard error that it was reached.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Literal

Point = Literal[
    "after-receive",
    "before-commit",
    "after-commit",
    "after-publish",
    "in-rebalance",
    "files-written",
    "manifest-written",
    "facts-written",
]

_armed: str | None = None
_passes_left = 0


def arm(failpoint: str | None) -> None:
    """Arm the point named in `failpoint` (`NAME` or `NAME:n`), or none."""
    global _armed, _passes_left
    name, _, count = (failpoint or "").partition(":")
    _armed, _passes_left = name or None, int(count or "1")


def reach(point: Point) -> None:
    """Die here if this point is armed and its count is up."""
    global _passes_left  # noqa: PLW0603
    if _armed != point:
        return
    _passes_left -= 1
    if _passes_left == 0:
        sys.stderr.write(f"failpoint reached: {point}\n")
        sys.stderr.flush()
        os.kill(os.getpid(), signal.SIGKILL)
