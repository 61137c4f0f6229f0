"""Holds the audit's own scores against those that the suite shows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from audit.arithmetic import Score


@dataclass(frozen=True)
class Difference:
    """A figure of one deputy that does not agree, in hundredths of a point; None = not shown at all."""

    year: int
    deputy: str
    what: str
    audited: int | None
    shown: int | None


@dataclass(frozen=True)
class Comparison:
    """What was compared, and what did not agree."""

    deputies: int
    non_zero: int
    differences: tuple[Difference, ...]


def compare(
    year: int, audited: Mapping[str, Score], shown: Mapping[str, Score], nothing: Score
) -> Comparison:
    """Compare every deputy of either side; `nothing` is the score of one without any fact."""
    differences: list[Difference] = []
    deputies = sorted(audited.keys() | shown.keys())
    for deputy in deputies:
        ours = audited.get(deputy, nothing)
        theirs = shown.get(deputy)
        if theirs is None:
            differences.append(Difference(year, deputy, "total", ours.total, None))
            continue
        if ours.total != theirs.total:
            differences.append(Difference(year, deputy, "total", ours.total, theirs.total))
        differences += [
            Difference(year, deputy, category, ours.categories.get(category), theirs.categories.get(category))
            for category in sorted(ours.categories.keys() | theirs.categories.keys())
            if ours.categories.get(category) != theirs.categories.get(category)
        ]
    non_zero = sum(1 for deputy in deputies if audited.get(deputy, nothing).total)
    return Comparison(len(deputies), non_zero, tuple(differences))
