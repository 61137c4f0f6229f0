"""Sketches as arrays of bits, so that one is held beside many at once.

Invariant: `possible` leaves none out that is alike enough; some of those that it gives are not.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from services.cases.search.grams import SKETCH_BITS

_WORD_BITS = 64


class Sketches:
    """A list of sketches, of at most `room`."""

    def __init__(self, room: int) -> None:
        self._bits = np.empty((room, SKETCH_BITS // _WORD_BITS), np.uint64)
        self._sizes = np.empty(room, np.int64)
        self._count = 0

    def add(self, sketch: int) -> None:
        """Put one more at the end."""
        self._bits[self._count] = _array(sketch)
        self._sizes[self._count] = sketch.bit_count()
        self._count += 1

    def possible(self, sketch: int, alike: float) -> list[int]:
        """The places of those that may have at least this likeness with a sketch, ascending.

        The likeness of the bits is never smaller than that of the pairs (`grams.likeness`).
        """
        bits, sizes = self._bits[: self._count], self._sizes[: self._count]
        together = np.bitwise_count(bits | _array(sketch)).sum(axis=1, dtype=np.int64)
        found: list[int] = np.flatnonzero(sizes + sketch.bit_count() - together >= alike * together).tolist()
        return found


def _array(sketch: int) -> NDArray[np.uint64]:
    return np.frombuffer(sketch.to_bytes(SKETCH_BITS // 8, "little"), np.uint64)
