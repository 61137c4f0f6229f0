"""Sketches as arrays of bits, so that many are held beside many at once.

Invariant: the likenesses are those of `grams.likeness`, to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.cases.search.grams import SKETCH_BITS, size_of

_WORD_BITS = 64
_WORDS = SKETCH_BITS // _WORD_BITS
_SIZES = np.array([size_of(bits) for bits in range(SKETCH_BITS + 1)])


class Sketches:
    """A list of sketches, of at most `room`."""

    def __init__(self, room: int) -> None:
        self._bits = np.empty((_WORDS, room), np.uint64)
        self._sizes = np.empty(room)
        self._count = 0

    def add(self, sketch: int) -> None:
        """Put one more at the end."""
        self._bits[:, self._count] = _array([sketch])[:, 0]
        self._sizes[self._count] = size_of(sketch.bit_count())
        self._count += 1

    def nearest(self, sketches: Sequence[int]) -> list[tuple[float, int]]:
        """For each of some sketches the most like it: likeness and place; the first of several, (0, 0) of none."""
        if self._count == 0:
            return [(0.0, 0)] * len(sketches)
        alike = self._likenesses(sketches)
        places = alike.argmax(axis=1)
        best = alike[np.arange(len(sketches)), places]
        return list(zip(best.tolist(), places.tolist(), strict=True))

    def _likenesses(self, sketches: Sequence[int]) -> NDArray[np.float64]:
        """A row for each of the sketches, with its likeness to each in the list."""
        asked, own = _array(sketches), self._bits[:, : self._count]
        shape = (len(sketches), self._count)
        filled, both, bits = np.zeros(shape, np.int16), np.empty(shape, np.uint64), np.empty(shape, np.uint8)
        for word in range(_WORDS):
            np.bitwise_or(asked[word][:, None], own[word], out=both)
            filled += np.bitwise_count(both, out=bits)
        together = _SIZES[filled]
        sizes = _SIZES[[sketch.bit_count() for sketch in sketches]]
        common = sizes[:, None] + self._sizes[: self._count] - together
        alike: NDArray[np.float64] = np.zeros_like(common)
        np.divide(common, together, out=alike, where=together > 0)
        np.clip(alike, 0.0, 1.0, out=alike)
        return alike


def _array(sketches: Sequence[int]) -> NDArray[np.uint64]:
    """A row for each word, with that word of each sketch."""
    whole = b"".join(sketch.to_bytes(SKETCH_BITS // 8, "little") for sketch in sketches)
    return np.ascontiguousarray(np.frombuffer(whole, np.uint64).reshape(len(sketches), _WORDS).T)
