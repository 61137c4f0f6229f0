"""What a rubric 评价办法 says, and which of those that were adopted counts on a day.

Invariants: at most one rubric is in force on a day, and it never changes within a calendar year; the key of an
item names one kind of fact for ever; a year that has been scored gets no other rubric. A rubric whose category has
a shorter window than one of its items is refused when it is read (`rubric_file`), because its score would not be a
function of the sums. Points are integers in hundredths of a point.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from functools import cached_property
from typing import Any, Self

from services.evaluation import errors

YEAR = "year"
"""In an item's evidence: the calendar year of the fact, so that the same thing counts once a year."""

CORRECTED = "score.corrected"
"""The event of a correction: staff said what a row is worth, and no fact says otherwise any more."""

Scalar = str | int | bool


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


class Window(StrEnum):
    """A calendar window in which a limit holds, the shortest first."""

    MONTH = "month", 1
    QUARTER = "quarter", 3
    HALF_YEAR = "half-year", 6
    YEAR = "year", 12
    TERM = "term", 0

    months: int
    """How long it is; 0 for a term, whose length the rubric says."""

    def __new__(cls, value: str, months: int) -> Self:
        """A member is its text; `months` is an attribute because a dictionary of windows is slow to look into."""
        window = str.__new__(cls, value)
        window._value_ = value
        window.months = months
        return window


WINDOWS = tuple(Window)


@dataclass(frozen=True)
class Term:
    """A term of the congress 届 in whole calendar years; terms of one length follow each other."""

    first_year: int
    years: int = 5

    def begin(self, year: int) -> int:
        """The first year of the term that a year belongs to."""
        return self.first_year + (year - self.first_year) // self.years * self.years


@dataclass(frozen=True)
class Limits:
    """How far a sum may count: `cap` 上限 upwards, `floor` 下限 downwards; None = without limit."""

    cap: int | None = None
    floor: int | None = None

    def clamp(self, points: int) -> int:
        """The sum as far as it counts."""
        if self.cap is not None and points > self.cap:
            points = self.cap
        if self.floor is not None and points < self.floor:
            points = self.floor
        return points

    def __bool__(self) -> bool:
        return self.cap is not None or self.floor is not None


class Limited:
    """What has limits: `limits` in a calendar year, `within` in other windows."""

    limits: Limits
    within: Mapping[Window, Limits]

    @cached_property
    def steps(self) -> tuple[tuple[Window, Limits], ...]:
        """The windows with a limit, the shortest first."""
        found = {**self.within, Window.YEAR: self.limits}
        return tuple((window, found[window]) for window in WINDOWS if found.get(window))


@dataclass(frozen=True)
class Item(Limited):
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
        within: how far it counts in other windows.
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
    within: Mapping[Window, Limits] = field(default_factory=dict)

    @property
    def meaning(self) -> tuple[str, tuple[str, ...], str]:
        """Which facts its ledger rows are about."""
        return self.event, self.evidence, self.deputy


@dataclass(frozen=True)
class Category(Limited):
    """A part of the score, such as 督事 or 学习, with how far it counts."""

    key: str
    title: str
    limits: Limits = Limits()
    within: Mapping[Window, Limits] = field(default_factory=dict)


@dataclass(frozen=True)
class Grade:
    """A grade 等次 and the points (hundredths) from which a total has it."""

    key: str
    title: str
    at_least: int


@dataclass(frozen=True)
class Eligibility:
    """Who is ranked and graded: deputies in one of these states whose number is not excluded 除外."""

    states: frozenset[str] = frozenset({"active"})
    excluded: Mapping[str, str] = field(default_factory=dict)
    """Roster number to the reason why this deputy is not ranked."""


@dataclass(frozen=True)
class Selection:
    """How outstanding deputies 优秀代表 are chosen: a share of each peer group, from a grade upwards.

    `excluded` holds roster numbers with the reason; they keep their rank and are passed over.
    """

    quota_percent: int
    grade: str | None = None
    excluded: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Review:
    """How voters' ballots on a report 述职测评 are read: bands of the share of approving votes, in percent.

    The bands stand in falling order; the last begins at 0.
    """

    bands: tuple[Grade, ...]


@dataclass(frozen=True)
class Rubric(Limited):
    """A rubric 评价办法: base points of everyone, categories and items, and the limits of the total.

    `peers` names what makes a peer group, within which deputies are ranked; `appeal_days` for how many days
    after the end of a year its rows may be contested, None for ever.
    """

    name: str
    version: int
    title: str
    categories: tuple[Category, ...]
    items: tuple[Item, ...]
    base: int = 0
    limits: Limits = Limits()
    within: Mapping[Window, Limits] = field(default_factory=dict)
    term: Term | None = None
    effective_from: date | None = None
    effective_until: date | None = None
    grades: tuple[Grade, ...] = ()
    peers: tuple[str, ...] = ("level",)
    eligibility: Eligibility = field(default_factory=Eligibility)
    selection: Selection | None = None
    review: Review | None = None
    appeal_days: int | None = None

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

    @cached_property
    def items_by_category(self) -> Mapping[str, tuple[Item, ...]]:
        """The items of each category, in the order of the file."""
        found: dict[str, list[Item]] = {category.key: [] for category in self.categories}
        for item in self.items:
            found[item.category].append(item)
        return {category: tuple(items) for category, items in found.items()}

    def grade(self, total: int) -> Grade | None:
        """The grade of a total, or None where the rubric has none or the total is below all."""
        reached = [grade for grade in self.grades if total >= grade.at_least]
        return max(reached, key=lambda grade: grade.at_least, default=None)


@dataclass(frozen=True)
class Adopted:
    """A rubric and the 1 January from which it counts."""

    effective_from: date
    rubric: Rubric


@dataclass(frozen=True)
class Schedule:
    """The adopted rubrics.

    At most one is in force on a day: the last to begin, in its highest version, until its own last day.
    """

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
        if found is not None and found.effective_until is not None and found.effective_until < day:
            return None
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
        """The event types that some rubric looks at, and corrections."""
        looked_at = frozenset(item.event for rubric in self.rubrics for item in rubric.items)
        return looked_at | {CORRECTED} if looked_at else looked_at


def adopt(schedule: Schedule, candidate: Adopted, *, last_scored_year: int | None) -> Schedule:
    """The schedule with one more rubric.

    Refuses a rubric that does not begin on 1 January, that begins in or before `last_scored_year`
    (the last with an event that any of the rubrics looks at), that lies outside the dates it states, that
    repeats a version, that takes the day of another rubric or a day for which another one states that it
    counts, or that gives an old item key another meaning.
    """
    begin, rubric = candidate.effective_from, candidate.rubric
    if (begin.month, begin.day) != (1, 1):
        raise errors.rubric_not_from_new_year()
    if not covers(rubric, begin):
        raise errors.rubric_outside_its_dates()
    if last_scored_year is not None and begin.year <= last_scored_year:
        raise errors.rubric_touches_scored_period(last_scored_year)
    for held in schedule.adopted:
        if held.rubric.name == rubric.name and held.rubric.version >= rubric.version:
            raise errors.rubric_version_taken(held.rubric.version)
        if held.rubric.name != rubric.name and held.effective_from == begin:
            raise errors.rubric_date_taken()
        if held.rubric.name != rubric.name and held.rubric.effective_until and covers(held.rubric, begin):
            raise errors.rubric_dates_overlap(held.rubric.name, held.rubric.effective_until)
        _refuse_other_meaning(held.rubric, rubric)
    return Schedule((*schedule.adopted, candidate))


def covers(rubric: Rubric, day: date) -> bool:
    """Whether a day lies within the dates that the rubric states; what is not stated is open."""
    return (rubric.effective_from is None or rubric.effective_from <= day) and (
        rubric.effective_until is None or day <= rubric.effective_until
    )


def overlap(one: Rubric, other: Rubric) -> bool:
    """Whether the dates that two rubrics state have a day in common; a rubric that states none overlaps nothing."""
    if one.effective_from is None or other.effective_from is None:
        return False
    return covers(one, other.effective_from) or covers(other, one.effective_from)


def _refuse_other_meaning(held: Rubric, rubric: Rubric) -> None:
    """A key names one kind of fact for ever: rows of two rubrics under one key supersede each other."""
    meanings = {item.key: item.meaning for item in held.items}
    for item in rubric.items:
        if meanings.get(item.key, item.meaning) != item.meaning:
            raise errors.rubric_item_redefined(item.key)
