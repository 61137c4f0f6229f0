"""Which messages are the same or nearly: a Jaccard index of their 5-character sequences of at least 0.8.

Invariant: exact, not estimated: every pair above the bound is found.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from services.cases.routing.text import shingles

SAME = 0.8


def pairs(messages: Sequence[Sequence[str]]) -> list[tuple[int, int]]:
    """The positions of every two messages that are near to each other."""
    return list(_pairs([shingles(message) for message in messages], 0))


def groups(count: int, near_pairs: Iterable[tuple[int, int]]) -> list[int]:
    """A number for each of `count` messages; those that are near, also over others between, share it."""
    leader = list(range(count))

    def lead(one: int) -> int:
        while leader[one] != one:
            leader[one] = leader[leader[one]]
            one = leader[one]
        return one

    for one, other in near_pairs:
        leader[lead(one)] = lead(other)
    return [lead(one) for one in range(count)]


def near(messages: Sequence[Sequence[str]], others: Sequence[Sequence[str]]) -> set[int]:
    """The positions of the messages that are near to at least one of the others."""
    sets = [shingles(message) for message in [*messages, *others]]
    return {min(pair) for pair in _pairs(sets, len(messages))}


def _pairs(sets: Sequence[frozenset[str]], split: int) -> Iterator[tuple[int, int]]:
    """Pairs at least SAME; with a `split` only those of one before it and one from it on.

    Two sets so near share one of the rarest sequences of each (prefix filter), and differ little in size.
    """
    counts = Counter(piece for pieces in sets for piece in pieces)
    holders: defaultdict[str, list[int]] = defaultdict(list)
    for one, pieces in enumerate(sets):
        rarest = sorted(pieces, key=lambda piece: (counts[piece], piece))
        prefix = rarest[: len(pieces) - math.ceil(SAME * len(pieces)) + 1]
        candidates = {other for piece in prefix for other in holders[piece]}
        for other in candidates:
            apart = not split or (one < split) != (other < split)
            if apart and min(len(pieces), len(sets[other])) >= SAME * max(len(pieces), len(sets[other])):
                shared = len(pieces & sets[other])
                if shared >= SAME * (len(pieces) + len(sets[other]) - shared):
                    yield other, one
        for piece in prefix:
            holders[piece].append(one)
