"""Many reports of one matter among open cases: of one town (or all without one), near in time, in words alike.

A report joins the group whose first report is most like it, or begins one. Reports are taken in the order
of filing, so the same cases give the same groups. No chains: everybody in a group is like its first report.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
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


class Firsts(Protocol):
    """Sketches of the first reports of groups; see `sketches.Sketches`."""

    def add(self, sketch: int) -> None:
        """Put one more at the end."""

    def possible(self, sketch: int, alike: float) -> list[int]:
        """The places of those that may have at least this likeness with a sketch, and perhaps of others."""


def clusters_of(
    reports: Iterable[Report], firsts: Callable[[int], Firsts], *, least: int, alike: float = ALIKE
) -> list[Cluster]:
    """The groups of at least so many reports, the largest first; `firsts` makes room for so many sketches."""
    by_place: defaultdict[tuple[str, str | None], list[Report]] = defaultdict(list)
    for report in sorted(reports, key=lambda r: (r.filed_at, r.id)):
        by_place[report.county, report.town].append(report)
    found = [
        group for of_place in by_place.values() for group in _groups(of_place, firsts(len(of_place)), alike)
    ]
    large = [Cluster(tuple(group)) for group in found if len(group) >= least]
    return sorted(large, key=lambda c: (-len(c.reports), c.first.filed_at, c.first.id))


def _groups(reports: Sequence[Report], firsts: Firsts, alike: float) -> list[list[tuple[Report, float]]]:
    """The groups of one place's reports, which stand in the order of filing."""
    groups: list[list[tuple[Report, float]]] = []
    for report in reports:
        possible = firsts.possible(report.sketch, alike)
        likely = [(likeness(groups[i][0][0].sketch, report.sketch), -i) for i in possible]
        best, place = max(likely, default=(0.0, 0))
        if best >= alike:
            groups[-place].append((report, best))
        else:
            firsts.add(report.sketch)
            groups.append([(report, 1.0)])
    return groups
