"""Sketches as arrays of bits, so that many are held beside many at once.

Invariant: the likenesses are those of `grams.likeness`, to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.cases.search.grams import SKETCH_BITS, size_of

AT_ONCE = 64
"""So many sketches are held beside the groups that there are; beside those that these begin, one by one."""

_WORD_BITS = 64
_WORDS = SKETCH_BITS // _WORD_BITS
_SIZES = np.array([size_of(bits) for bits in range(SKETCH_BITS + 1)])

_Bits = NDArray[np.uint64]
"""A row for each word, with that word of each sketch."""
_Counts = NDArray[np.int16]
_Likenesses = NDArray[np.float64]


def joined(sketches: Sequence[bytes], alike: float, *, at_once: int = AT_ONCE) -> list[tuple[int, float]]:
    """For each of some sketches the place of the one whose group it joins, and how alike it is to that one.

    That is the one most like it, the first of several, among those before it that began a group, if it is at
    least so much `alike`, which is above 0; else it begins a group itself, and is wholly like itself.
    """
    bits = _array(sketches)
    sizes = _SIZES[_filled(bits)]
    firsts, places, count = np.empty_like(bits), np.empty(len(sketches), np.intp), 0
    found: list[tuple[int, float]] = []
    for begin in range(0, len(sketches), at_once):
        some, own = slice(begin, begin + at_once), places[:count]
        asked, asked_sizes = bits[:, some], sizes[some]
        best, joins = np.zeros(len(asked_sizes)), np.zeros(len(asked_sizes), np.intp)
        if count:
            together = _together(asked, firsts[:, :count])
            likenesses = _likenesses(asked_sizes[:, None], sizes[own], together)
            nearest = likenesses.argmax(axis=1)
            best, joins = likenesses[np.arange(len(nearest)), nearest], own[nearest]
        for place in range(len(best)):
            if best[place] >= alike:
                continue
            behind, number = slice(place + 1, None), begin + place
            together = _filled(asked[:, behind] | bits[:, number, None])
            likenesses = _likenesses(asked_sizes[behind], sizes[number], together)
            joins[behind][likenesses > best[behind]] = number
            np.maximum(best[behind], likenesses, out=best[behind])
            best[place], joins[place] = 1.0, number
            firsts[:, count], places[count] = bits[:, number], number
            count += 1
        found += zip(joins.tolist(), best.tolist(), strict=True)
    return found


def _array(sketches: Sequence[bytes]) -> _Bits:
    return np.ascontiguousarray(np.frombuffer(b"".join(sketches), np.uint64).reshape(len(sketches), _WORDS).T)


def _filled(bits: _Bits) -> _Counts:
    """How many bits of each sketch are set."""
    filled: _Counts = np.bitwise_count(bits).sum(axis=0, dtype=np.int16)
    return filled


def _together(some: _Bits, others: _Bits) -> _Counts:
    """How many bits are set in either: a row for each of some sketches, with each of the others."""
    shape = (some.shape[1], others.shape[1])
    filled, both, bits = np.zeros(shape, np.int16), np.empty(shape, np.uint64), np.empty(shape, np.uint8)
    for word in range(_WORDS):
        np.bitwise_or(some[word][:, None], others[word], out=both)
        filled += np.bitwise_count(both, out=bits)
    return filled


def _likenesses(sizes: _Likenesses, others: _Likenesses, filled: _Counts) -> _Likenesses:
    """From the sizes of sketches and how many bits are set in either."""
    together = _SIZES[filled]
    alike: _Likenesses = sizes + others - together
    np.divide(alike, together, out=alike, where=together > 0)
    np.maximum(alike, 0.0, out=alike)
    np.minimum(alike, 1.0, out=alike)
    return alike
