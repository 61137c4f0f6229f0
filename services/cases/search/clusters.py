"""Many reports of one matter among open cases: of one town (or all without one), near in time, in words alike.

A report joins the group whose first report is most like it, or begins one. Reports are taken in the order
of filing, so the same cases give the same groups. No chains: everybody in a group is like its first report.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

ALIKE = 0.18
"""From this likeness on two reports of one place are proposed as one matter; staff decide.

Two residents' messages about different things reach it once in some ten thousand times.
"""


class Report(NamedTuple):
    """An open case as clusters see it. `sketch` is that of `grams` in bytes; `town` may be unknown."""

    id: UUID
    county: str
    town: str | None
    filed_at: datetime
    sketch: bytes


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


Joined = Callable[[Sequence[bytes], float], Sequence[tuple[int, float]]]
"""For each of some sketches the place of that whose group it joins, and how alike it is; see `sketches.joined`."""


def clusters_of(
    reports: Iterable[Report], joined: Joined, *, least: int, alike: float = ALIKE
) -> list[Cluster]:
    """The groups of at least so many reports, the largest first."""
    by_place: defaultdict[tuple[str, str | None], list[Report]] = defaultdict(list)
    for report in sorted(reports, key=lambda r: (r.filed_at, r.id)):
        by_place[report.county, report.town].append(report)
    found: list[Cluster] = []
    for of_place in by_place.values():
        groups: defaultdict[int, list[tuple[Report, float]]] = defaultdict(list)
        joins = joined([report.sketch for report in of_place], alike)
        for report, (first, like) in zip(of_place, joins, strict=True):
            groups[first].append((report, like))
        found += [Cluster(tuple(group)) for group in groups.values() if len(group) >= least]
    return sorted(found, key=lambda c: (-len(c.reports), c.first.filed_at, c.first.id))
