"""What stands beside the hashes of a case's words, so that one index knows both: whose it is, where, what, when.

The database makes the marks of a case (`case_marks` in `migrations/`) and keeps them as the case is; here are
those that every case of a list has. Invariant: marks only spare looking. A list's conditions are asked all the
same, so marks that are missing here cost time and those that are here are had by every case of the list.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

COUNTY_DIGITS, TOWN_DIGITS = 6, 9
MONTHS_MAX = 12
"""A longer time is not told by its months: most cases would lie in it."""
STATES = frozenset({"withdrawn", "merged", "declined"})
"""States that few cases come to, and to stay. Others change too often, or nearly all cases have them."""


@dataclass(frozen=True)
class Marks:
    """Every case of a list has each of `each`, and one of `some` unless that is empty."""

    each: tuple[str, ...] = ()
    some: tuple[str, ...] = ()


NO_MARKS = Marks()


def asked(
    *,
    department: str | None = None,
    category: str | None = None,
    county: str | None = None,
    place: str | None = None,
    state: str | None = None,
) -> tuple[str, ...]:
    """Of cases that a department holds or co-handles, of a category and so on; `place` may be of any size."""
    named = (("d", department), ("c", category), ("p", county), ("s", state if state in STATES else None))
    found = [f"{kind}:{value}" for kind, value in named if value is not None]
    places = [place[:digits] for digits in (COUNTY_DIGITS, TOWN_DIGITS) if place and len(place) >= digits]
    return (*found, *(f"p:{code}" for code in places))


def months(since: datetime | None, until: datetime | None) -> tuple[str, ...]:
    """Of cases filed between two moments: one of these."""
    if since is None or until is None:
        return ()
    first, last = (at.astimezone(UTC) for at in (since, until))
    count = (last.year - first.year) * 12 + last.month - first.month + 1
    if not 0 < count <= MONTHS_MAX:
        return ()
    numbers = range(first.year * 12 + first.month - 1, first.year * 12 + first.month - 1 + count)
    return tuple(f"m:{number // 12:04d}-{number % 12 + 1:02d}" for number in numbers)
