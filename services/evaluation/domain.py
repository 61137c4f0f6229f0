"""What an event is worth under a rubric 评价办法, and what a year's points add up to.

A score is a pure function of the *set* of events. Each event that an item of the rubric looks at
becomes one ledger row; rows with one identity (item, deputy, evidence) are versions of one fact, of
which the newest counts (`newer`). An event that no longer meets an item's conditions is a row of 0
points: it takes back what an older version of the same fact had earned. Buckets are sums of the rows
that count, by calendar month; they are never capped, because caps are applied when a total is read. So
order, batching, repetition and lateness of events change nothing.

Points are integers in hundredths of a point everywhere. Days and years are China Standard Time 北京时间.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from functools import cached_property
from typing import Any
from uuid import UUID

from services.evaluation import errors

# China keeps one zone without summer time since 1992; a fixed offset needs no zone data on the machine.
CHINA = timezone(timedelta(hours=8), "CST")

YEAR = "year"
"""In an item's evidence: the calendar year of the fact, so that the same thing counts once a year."""

POINTS_LIMIT = 100_000_00
"""No single event may be worth more (hundredths of a point, either sign): such a figure is a mistake."""

Scalar = str | int | bool


class AbsurdAmount(ValueError):  # noqa: N818 - named by what it says
    """An event whose figures would be worth more points than any real fact can be."""


@dataclass(frozen=True)
class Condition:
    """A field of the event must be one of some values, or lie in a range (both ends included)."""

    field: str
    one_of: frozenset[Scalar] = frozenset()
    at_least: int | None = None
    at_most: int | None = None

    def holds(self, data: Mapping[str, Any]) -> bool:
        """Whether the event's data meet the condition; a missing or null field never does."""
        value = data.get(self.field)
        if value is None:
            return False
        if self.one_of:
            return value in self.one_of
        return (self.at_least is None or value >= self.at_least) and (
            self.at_most is None or value <= self.at_most
        )


def month_of(day: date) -> int:
    """The number of a day's calendar month, counted from January of year 0."""
    return day.year * 12 + day.month - 1


def year_of(month: int) -> int:
    """The calendar year of a month's number."""
    return month // 12


@dataclass(frozen=True)
class Limits:
    """How far a sum may count: `cap` 上限 upwards, `floor` 下限 downwards; None = without limit."""

    cap: int | None = None
    floor: int | None = None

    def clamp(self, points: int) -> int:
        """The sum as far as it counts."""
        if self.cap is not None:
            points = min(points, self.cap)
        if self.floor is not None:
            points = max(points, self.floor)
        return points


@dataclass(frozen=True)
class Item:
    """One line of a rubric 评分项: what one event type is worth.

    Attributes:
        key: its name for ever; `event` and `evidence` of a key never change between versions.
        event: the type of event it looks at.
        points: hundredths of a point per event, or per unit of the field `per`.
        where: facts that tell items apart and stay as they are (the kind of a duty). An event that
            does not meet them is none of this item's business.
        when: the state in which the fact counts (a duty is confirmed). An event that does not meet
            them is worth 0 and takes back what an older one earned.
        evidence: the fields that name the fact; `YEAR` stands for the fact's calendar year.
        date: the field with the day it happened; None = the event's own time.
        limits: how far the item counts in a calendar year.
    """

    key: str
    title: str
    category: str
    event: str
    points: int
    evidence: tuple[str, ...]
    per: str | None = None
    where: tuple[Condition, ...] = ()
    when: tuple[Condition, ...] = ()
    deputy: str = "deputy_id"
    date: str | None = None
    limits: Limits = Limits()

    @property
    def meaning(self) -> tuple[str, tuple[str, ...], str]:
        """Which facts its ledger rows are about."""
        return self.event, self.evidence, self.deputy


@dataclass(frozen=True)
class Category:
    """A part of the score, such as 督事 or 学习, with how far it counts in a calendar year."""

    key: str
    title: str
    limits: Limits = Limits()


@dataclass(frozen=True)
class Rubric:
    """A rubric 评价办法: base points of everyone, categories and items, and the limits of the total."""

    name: str
    version: int
    title: str
    categories: tuple[Category, ...]
    items: tuple[Item, ...]
    base: int = 0
    limits: Limits = Limits()

    @cached_property
    def items_by_event(self) -> Mapping[str, tuple[Item, ...]]:
        """The items that look at each event type."""
        found: dict[str, list[Item]] = defaultdict(list)
        for item in self.items:
            found[item.event].append(item)
        return {event: tuple(items) for event, items in found.items()}

    @cached_property
    def item_keys(self) -> frozenset[str]:
        """The keys of all items."""
        return frozenset(item.key for item in self.items)


@dataclass(frozen=True)
class Fact:
    """An event as scoring sees it; `data` holds JSON values, ids in canonical form."""

    id: UUID
    type: str
    time: datetime
    data: Mapping[str, Any]
    sequence: int = 0


@dataclass(frozen=True)
class Identity:
    """What a ledger row is about. Rows of one identity are versions of one fact."""

    item: str
    deputy_id: UUID
    evidence: str


@dataclass(frozen=True)
class LedgerEntry:
    """What one event is worth to one deputy under one item of one version of a rubric."""

    identity: Identity
    event_id: UUID
    event_type: str
    sequence: int
    time: datetime
    happened_on: date
    points: int
    rubric: str
    rubric_version: int

    @property
    def year(self) -> int:
        """The calendar year in which the points count."""
        return self.happened_on.year


@dataclass(frozen=True)
class Bucket:
    """A deputy's points under one item in one calendar month (see `month_of`), uncapped when summed."""

    deputy_id: UUID
    month: int
    item: str

    @property
    def year(self) -> int:
        """The calendar year of the month."""
        return year_of(self.month)


@dataclass(frozen=True)
class Adopted:
    """A rubric and the 1 January from which it counts."""

    effective_from: date
    rubric: Rubric


@dataclass(frozen=True)
class Schedule:
    """The adopted rubrics. At most one is in force on a day: the last to begin, in its highest version."""

    adopted: tuple[Adopted, ...] = ()

    @cached_property
    def _by_begin(self) -> Sequence[Adopted]:
        return sorted(self.adopted, key=lambda a: (a.effective_from, a.rubric.version))

    def in_force(self, day: date) -> Rubric | None:
        """The rubric that counts on a day, or None before the first."""
        found = None
        for adopted in self._by_begin:
            if adopted.effective_from <= day:
                found = adopted.rubric
        return found

    def in_year(self, year: int) -> Rubric | None:
        """The rubric that counts in a calendar year; a rubric never changes within one."""
        return self.in_force(date(year, 1, 1))

    @cached_property
    def rubrics(self) -> tuple[Rubric, ...]:
        """All adopted rubrics, the first to begin first."""
        return tuple(adopted.rubric for adopted in self._by_begin)

    @cached_property
    def event_types(self) -> frozenset[str]:
        """The event types that some rubric looks at."""
        return frozenset(item.event for rubric in self.rubrics for item in rubric.items)


@dataclass(frozen=True)
class Total:
    """A deputy's score of a calendar year, all caps applied, in hundredths of a point."""

    total: int
    categories: Mapping[str, int]
    items: Mapping[str, int]


def entries(schedule: Schedule, fact: Fact) -> tuple[LedgerEntry, ...]:
    """The ledger rows of an event: one for each item that looks at it, worth 0 where it does not count.

    An item counts only if its rubric is in force on the day of the fact. An item of another rubric
    still makes a row of 0, so that a fact that moves to another year leaves nothing behind.

    Raises:
        AbsurdAmount: one row would be worth more than `POINTS_LIMIT`.
    """
    found: dict[Identity, LedgerEntry] = {}
    for rubric in schedule.rubrics:
        for item in rubric.items_by_event.get(fact.type, ()):
            if not all(condition.holds(fact.data) for condition in item.where):
                continue
            happened_on = _happened_on(item, fact)
            counts = schedule.in_force(happened_on) is rubric
            identity = Identity(item.key, UUID(fact.data[item.deputy]), _evidence(item, fact, happened_on))
            if not counts and identity in found:
                continue
            found[identity] = LedgerEntry(
                identity=identity,
                event_id=fact.id,
                event_type=fact.type,
                sequence=fact.sequence,
                time=fact.time,
                happened_on=happened_on,
                points=_points(item, fact) if counts else 0,
                rubric=rubric.name,
                rubric_version=rubric.version,
            )
    return tuple(found.values())


def newer(one: LedgerEntry, other: LedgerEntry) -> bool:
    """Whether `one` replaces `other` of the same identity: higher sequence, then higher event id."""
    return (one.sequence, one.event_id) > (other.sequence, other.event_id)


def newest(rows: Iterable[LedgerEntry]) -> dict[Identity, LedgerEntry]:
    """Of several rows of one identity the one that counts."""
    found: dict[Identity, LedgerEntry] = {}
    for row in rows:
        held = found.get(row.identity)
        if held is None or newer(row, held):
            found[row.identity] = row
    return found


def buckets(rows: Iterable[LedgerEntry]) -> dict[Bucket, int]:
    """The uncapped sums of a set of events, from all their ledger rows in any order; no zero sums."""
    sums: dict[Bucket, int] = defaultdict(int)
    for row in newest(rows).values():
        sums[Bucket(row.identity.deputy_id, month_of(row.happened_on), row.identity.item)] += row.points
    return {bucket: points for bucket, points in sums.items() if points}


def totals(rubric: Rubric, sums: Mapping[str, int]) -> Total:
    """A deputy's score of a year from the uncapped sums of that year's buckets by item.

    Each item is limited first, then each category, then base and categories together. A sum of an
    item that the rubric does not have must be 0: a rubric counts for whole years.

    Raises:
        KeyError: an item that the rubric does not have holds points.
    """
    for item, points in sums.items():
        if points and item not in rubric.item_keys:
            raise KeyError(item)
    items = {item.key: item.limits.clamp(sums.get(item.key, 0)) for item in rubric.items}
    categories = {
        category.key: category.limits.clamp(
            sum(items[item.key] for item in rubric.items if item.category == category.key)
        )
        for category in rubric.categories
    }
    return Total(rubric.limits.clamp(rubric.base + sum(categories.values())), categories, items)


def adopt(schedule: Schedule, candidate: Adopted, *, last_scored_year: int | None) -> Schedule:
    """The schedule with one more rubric.

    Refuses a rubric that does not begin on 1 January, that begins in or before `last_scored_year`
    (the last with an event that any of the rubrics looks at), that repeats a version, that takes the day of
    another rubric, or that gives an old item key another meaning.
    """
    begin, rubric = candidate.effective_from, candidate.rubric
    if (begin.month, begin.day) != (1, 1):
        raise errors.rubric_not_from_new_year()
    if last_scored_year is not None and begin.year <= last_scored_year:
        raise errors.rubric_touches_scored_period(last_scored_year)
    for held in schedule.adopted:
        if held.rubric.name == rubric.name and held.rubric.version >= rubric.version:
            raise errors.rubric_version_taken(held.rubric.version)
        if held.rubric.name != rubric.name and held.effective_from == begin:
            raise errors.rubric_date_taken()
        _refuse_other_meaning(held.rubric, rubric)
    return Schedule((*schedule.adopted, candidate))


def _refuse_other_meaning(held: Rubric, rubric: Rubric) -> None:
    """A key names one kind of fact for ever: rows of two rubrics under one key supersede each other."""
    meanings = {item.key: item.meaning for item in held.items}
    for item in rubric.items:
        if meanings.get(item.key, item.meaning) != item.meaning:
            raise errors.rubric_item_redefined(item.key)


def _happened_on(item: Item, fact: Fact) -> date:
    if item.date is None:
        return fact.time.astimezone(CHINA).date()
    value = str(fact.data[item.date])
    if len(value) == len("2021-07-25"):
        return date.fromisoformat(value)
    return datetime.fromisoformat(value).astimezone(CHINA).date()


def _evidence(item: Item, fact: Fact, happened_on: date) -> str:
    return "/".join(str(happened_on.year if name == YEAR else fact.data[name]) for name in item.evidence)


def _points(item: Item, fact: Fact) -> int:
    if not all(condition.holds(fact.data) for condition in item.when):
        return 0
    points = item.points if item.per is None else item.points * int(fact.data[item.per])
    if abs(points) > POINTS_LIMIT:
        raise AbsurdAmount(f"item {item.key}: more than {POINTS_LIMIT // 100} points for one event")
    return points
