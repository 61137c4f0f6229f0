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

AT_ONCE = 64
"""So many reports are held beside the groups that there are; beside the groups that these begin, each by itself."""


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

    def nearest(self, sketches: Sequence[int]) -> list[tuple[float, int]]:
        """For each of some sketches the most like it: `likeness` and place; the first of several, (0, 0) of none."""


def clusters_of(
    reports: Iterable[Report],
    firsts: Callable[[int], Firsts],
    *,
    least: int,
    alike: float = ALIKE,
    at_once: int = AT_ONCE,
) -> list[Cluster]:
    """The groups of at least so many reports, the largest first; `firsts` makes room for so many sketches."""
    by_place: defaultdict[tuple[str, str | None], list[Report]] = defaultdict(list)
    for report in sorted(reports, key=lambda r: (r.filed_at, r.id)):
        by_place[report.county, report.town].append(report)
    found = [
        group
        for of_place in by_place.values()
        for group in _groups(of_place, firsts(len(of_place)), alike, at_once)
    ]
    large = [Cluster(tuple(group)) for group in found if len(group) >= least]
    return sorted(large, key=lambda c: (-len(c.reports), c.first.filed_at, c.first.id))


def _groups(
    reports: Sequence[Report], firsts: Firsts, alike: float, at_once: int
) -> list[list[tuple[Report, float]]]:
    """The groups of one place's reports, which stand in the order of filing."""
    groups: list[list[tuple[Report, float]]] = []
    for begin in range(0, len(reports), at_once):
        some = reports[begin : begin + at_once]
        known = len(groups)
        for report, (like, place) in zip(some, firsts.nearest([r.sketch for r in some]), strict=True):
            new = [
                (likeness(group[0][0].sketch, report.sketch), -number)
                for number, group in enumerate(groups[known:], known)
            ]
            best, place_down = max([(like, -place), *new])
            if best >= alike:
                groups[-place_down].append((report, best))
            else:
                firsts.add(report.sketch)
                groups.append([(report, 1.0)])
    return groups
