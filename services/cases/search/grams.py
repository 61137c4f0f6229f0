"""Texts as keyed hashes of their characters and pairs of characters, and how alike two texts are.

A text is its runs of letters and digits in one form (width and case do not count). A search finds what has
each run of the query in it, so Chinese needs no segmenter and a part of a number is found too.

Two things are kept of a text. Its *values*: a number per character, per pair, and per three neighbours with a
digit among them (of the pairs of digits nearly every text has all), cut to so few bits that several share each
number on purpose; what they find is a candidate, to be checked in the opened words.
Its *sketch*: one bit per pair in a string of `SKETCH_BITS`, from which the likeness of two texts is reckoned
without opening them (Bloom filter encodings, Schnell, Bachteler and Reiher 2009; sizes of sets from filled
bits by linear counting, Whang, Vander-Zanden and Taylor 1990).

Invariants: likeness is symmetric, between 0 and 1, and 1 for a text with itself; nothing here reads more
than the first `INDEXED_MAX` characters, so that one filing cannot cost as much as a thousand.
"""

from __future__ import annotations

import hashlib
import math
import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache

INDEXED_MAX = 4000
"""So many characters of a text are indexed."""
VALUE_BITS = 18
"""Bits of a search value: about ten of the pairs that occur in Chinese texts share each."""
SKETCH_BITS = 2048

_RUN = re.compile(r"[^\W_]+")


def normalised(text: str) -> str:
    """The one form in which texts are compared: compatibility forms (full width) and case folded."""
    return unicodedata.normalize("NFKC", text).casefold()


def runs(text: str) -> list[str]:
    """The runs of letters and digits of a text, in its one form."""
    return _RUN.findall(normalised(text))


def pairs(text: str) -> set[str]:
    """Pairs of neighbouring characters, and runs of one character."""
    found: set[str] = set()
    for run in runs(text[:INDEXED_MAX]):
        found.update({run[i : i + 2] for i in range(len(run) - 1)} or {run})
    return found


def threes(text: str) -> set[str]:
    """Three neighbouring characters with a digit among them."""
    found = {run[i : i + 3] for run in runs(text[:INDEXED_MAX]) for i in range(len(run) - 2)}
    return {three for three in found if any(character.isdigit() for character in three)}


def contains(text: str, query: str) -> bool:
    """Whether each run of the query occurs in the text."""
    whole = normalised(text)
    return all(run in whole for run in runs(query))


class Keyed:
    """Hashes with a secret key of the service; the same key gives the same hashes."""

    def __init__(self, key: bytes) -> None:
        self._key = hashlib.blake2b(key, person=b"case words 2", digest_size=32).digest()
        self._hash = lru_cache(maxsize=100_000)(self._hashed)

    @property
    def fingerprint(self) -> str:
        """Tells keys apart without telling anything about them."""
        return hashlib.blake2b(b"fingerprint", key=self._key, digest_size=8).hexdigest()

    def values(self, text: str) -> list[int]:
        """The search values of a text, ascending."""
        single = {character for run in runs(text[:INDEXED_MAX]) for character in run}
        return self._values(pairs(text) | threes(text) | single)

    def values_asked_for(self, query: str) -> list[int]:
        """The search values that a text must have to be found; none where the query has no letter and no digit."""
        return self._values(pairs(query) | threes(query))

    def sketch(self, text: str) -> int:
        """The sketch of a text, as an integer of SKETCH_BITS bits; 0 for a text without letters and digits."""
        found = 0
        for pair in pairs(text):
            found |= 1 << (self._hash(pair) >> VALUE_BITS) % SKETCH_BITS
        return found

    def _values(self, grams: Iterable[str]) -> list[int]:
        return sorted({self._hash(gram) & ((1 << VALUE_BITS) - 1) for gram in grams})

    def _hashed(self, gram: str) -> int:
        return int.from_bytes(
            hashlib.blake2b(gram.encode(errors="surrogatepass"), key=self._key, digest_size=4).digest()
        )


def size_of(bits: int) -> float:
    """How many pairs fill so many bits of a sketch, on average."""
    return _SIZES[bits]


_SIZES = tuple(
    -SKETCH_BITS * math.log(1 - min(bits, SKETCH_BITS - 0.5) / SKETCH_BITS) for bits in range(SKETCH_BITS + 1)
)


def likeness(one: int, other: int) -> float:
    """How many of all their pairs two texts have in common, 0 to 1, as their sketches tell."""
    together = _SIZES[(one | other).bit_count()]
    if together == 0:
        return 0.0
    common = _SIZES[one.bit_count()] + _SIZES[other.bit_count()] - together
    return min(max(common / together, 0.0), 1.0)
