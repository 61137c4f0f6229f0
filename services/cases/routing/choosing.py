"""Which department a case goes to: by category words and place, as a pure function that explains itself.

Invariant: the same case and catalogue give the same route; no reason repeats the case's words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.cases.domain import Route


@dataclass(frozen=True)
class Department:
    """An active department: categories it handles, counties it serves (none = the whole city)."""

    code: str
    categories: frozenset[str]
    counties: frozenset[str]


Words = Mapping[str, Sequence[str]]


def category_of(text: str, words: Words) -> tuple[str, int] | None:
    """The category whose words occur most often, with how many of its words occur; None on a tie or none."""
    hits = {category: sum(word in text for word in listed) for category, listed in words.items()}
    ranked = sorted(hits.items(), key=lambda item: -item[1])
    if not ranked or ranked[0][1] == 0 or (len(ranked) > 1 and ranked[0][1] == ranked[1][1]):
        return None
    return ranked[0]


def choose(
    departments: Sequence[Department], words: Words, *, category: str | None, county: str, text: str
) -> Route | None:
    """The route of a new case, or None where staff must decide.

    A department of the case's own county goes before one of the whole city; then the code decides.
    """
    because = "category chosen when filing"
    if category is None:
        found = category_of(text, words)
        if found is None:
            return None
        category, hits = found
        because = f"{hits} word{'s' if hits > 1 else ''} of category {category}"
    able = [d for d in departments if category in d.categories and (not d.counties or county in d.counties)]
    if not able:
        return None
    best = min(able, key=lambda d: (not d.counties, d.code))
    place = f"serves county {county}" if best.counties else "serves the whole city"
    return Route(best.code, category, f"{because}; {place}")
