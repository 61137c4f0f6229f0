"""The retry schedule as a pure function."""

from __future__ import annotations


def delay_seconds(attempt: int, *, first: float, longest: float) -> float:
    """Seconds to wait after the `attempt`-th failure (from 1): doubling from `first`, never over `longest`."""
    if attempt < 1:
        raise ValueError("attempts count from 1")
    return float(min(longest, first * 2.0 ** min(attempt - 1, 40)))
