"""Two rubrics side by side: who rises and who falls when facts are scored again (`replay`). Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from statistics import fmean
from uuid import UUID

from services.evaluation.domain import totals
from services.evaluation.rubric import Rubric


@dataclass(frozen=True)
class Person:
    """What a simulation groups deputies by."""

    deputy_id: UUID
    level: str
    county: str | None
    town: str | None
    occupation: str | None
    """As in `deputy.changed`; None where the roster does not tell it."""


@dataclass(frozen=True)
class Change:
    """A deputy under two rubrics: totals in hundredths of a point, ranks from 1, equal totals sharing one."""

    person: Person
    present: int
    draft: int
    present_rank: int
    draft_rank: int

    @property
    def points(self) -> int:
        """How much the deputy gains under the draft."""
        return self.draft - self.present


@dataclass(frozen=True)
class Group:
    """A group of deputies under two rubrics; means in hundredths of a point."""

    key: str | None
    deputies: int
    rise: int
    fall: int
    present_mean: float
    draft_mean: float


def side_by_side(
    people: Sequence[Person],
    present: Mapping[UUID, int],
    draft: Mapping[UUID, int],
    *,
    present_nothing: int,
    draft_nothing: int,
) -> list[Change]:
    """Every deputy under both rubrics, who gains most first; who has no fact has the score of nothing."""
    now = {one.deputy_id: present.get(one.deputy_id, present_nothing) for one in people}
    then = {one.deputy_id: draft.get(one.deputy_id, draft_nothing) for one in people}
    ranks_now, ranks_then = _ranks(now.values()), _ranks(then.values())
    changes = [
        Change(
            one,
            now[one.deputy_id],
            then[one.deputy_id],
            ranks_now[now[one.deputy_id]],
            ranks_then[then[one.deputy_id]],
        )
        for one in people
    ]
    return sorted(changes, key=lambda change: (-change.points, change.person.deputy_id))


def _ranks(values: Iterable[int]) -> dict[int, int]:
    ordered = sorted(values, reverse=True)
    ranks: dict[int, int] = {}
    for rank, points in enumerate(ordered, 1):
        ranks.setdefault(points, rank)
    return ranks


def groups(
    changes: Sequence[Change], key: Callable[[Person], str | None], order: Iterable[str] = ()
) -> list[Group]:
    """The changes by group: first those of `order` in this order, then the others in that of their keys."""
    places = {name: place for place, name in enumerate(order)}
    found: defaultdict[str | None, list[Change]] = defaultdict(list)
    for change in changes:
        found[key(change.person)].append(change)
    return [
        Group(
            name,
            len(members),
            sum(change.points > 0 for change in members),
            sum(change.points < 0 for change in members),
            round(fmean(change.present for change in members), 2),
            round(fmean(change.draft for change in members), 2),
        )
        for name, members in sorted(
            found.items(), key=lambda pair: (places.get(pair[0] or "", len(places)), pair[0] or "")
        )
    ]


def worth_of_nothing(rubric_of: Callable[[int], Rubric | None], begin: date, until: date) -> int:
    """The total of a period of a deputy without any fact."""
    rubrics = [rubric_of(year) for year in range(begin.year, until.year + 1)]
    return sum(totals(rubric, {}).total for rubric in rubrics if rubric is not None)
