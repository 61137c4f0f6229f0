"""Many reports of one matter among open cases: of one town (or all without one), near in time, in words alike.

A report joins the group whose first report is most like it, or begins one. Reports are taken in the order
of filing, so the same cases give the same groups. No chains: everybody in a group is like its first report.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from services.cases.search.grams import likeness

ALIKE = 0.18
"""From this likeness on two reports of one place are proposed as one matter; staff decide.

Two residents' messages about different things reach it once in some ten thousand times.
"""


@dataclass(frozen=True)
class Report:
    """An open case as clusters see it. `sketch` as in `grams`; `town` may be unknown."""

    id: UUID
    county: str
    town: str | None
    filed_at: datetime
    sketch: int


@dataclass(frozen=True)
class Cluster:
    """Reports of one matter, the first filed in front, each with its likeness to that one."""

    reports: tuple[tuple[Report, float], ...]

    @property
    def first(self) -> Report:
        """The report that was filed first."""
        return self.reports[0][0]

    @property
    def last_filed_at(self) -> datetime:
        """When the newest was filed."""
        return self.reports[-1][0].filed_at


def clusters_of(reports: Iterable[Report], *, least: int, alike: float = ALIKE) -> list[Cluster]:
    """The groups of at least so many reports, the largest first."""
    found: list[list[tuple[Report, float]]] = []
    by_place: defaultdict[tuple[str, str | None], list[list[tuple[Report, float]]]] = defaultdict(list)
    for report in sorted(reports, key=lambda r: (r.filed_at, r.id)):
        best, score = None, alike
        for group in by_place[report.county, report.town]:
            now = _at_least(alike, group[0][0].sketch, report.sketch)
            if now > score or (now == score and best is None):
                best, score = group, now
        if best is not None:
            best.append((report, score))
            continue
        group = [(report, 1.0)]
        found.append(group)
        by_place[report.county, report.town].append(group)
    large = [Cluster(tuple(group)) for group in found if len(group) >= least]
    return sorted(large, key=lambda c: (-len(c.reports), c.first.filed_at, c.first.id))


def _at_least(alike: float, one: int, other: int) -> float:
    """The likeness, or 0 where it is certain to be below: that of the bits is never smaller than that of the pairs."""
    together = (one | other).bit_count()
    if one.bit_count() + other.bit_count() - together < alike * together:
        return 0.0
    return likeness(one, other)
