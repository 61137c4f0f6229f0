"""What an event is worth under a rubric 评价办法, and what a year's points add up to.

A score is a pure function of the *set* of events. Each event that an item of the rubric looks at
becomes one ledger row; rows with one identity (item, deputy, evidence) are versions of one fact, of
which the newest counts (`newer`). An event that no longer meets an item's conditions is a row of 0
points: it takes back what an older version of the same fact had earned. Buckets are sums of the rows
that count, by calendar month; they are never capped, because caps are applied when a total is read. So
order, batching, repetition and lateness of events change nothing.

Limits hold in calendar windows, and a sum climbs through them from the shortest to the longest: item,
then category, then total. A rubric whose category has a shorter window than one of its items is refused
when it is read, because its score would not be a function of the sums.

Points are integers in hundredths of a point everywhere. Days and years are China Standard Time 北京时间.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from enum import StrEnum
from functools import cached_property
from typing import Any, Self
from uuid import UUID

from services.evaluation import errors

# China keeps one zone without summer time since 1992; a fixed offset needs no zone data on the machine.
CHINA = timezone(timedelta(hours=8), "CST")

YEAR = "year"
"""In an item's evidence: the calendar year of the fact, so that the same thing counts once a year."""

POINTS_LIMIT = 100_000_00
"""No single event may be worth more (hundredths of a point, either sign): such a figure is a mistake."""

CORRECTED = "score.corrected"
"""The event of a correction: staff said what a row is worth, and no fact says otherwise any more."""

CORRECTION = 1 << 62
"""Added to a correction's revision, so that it is newer than any fact and older than the next correction."""

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


def month_of(day: date) -> int:
    """The number of a day's calendar month, counted from January of year 0."""
    return day.year * 12 + day.month - 1


def year_of(month: int) -> int:
    """The calendar year of a month's number."""
    return month // 12


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


class _Limited:
    """What has limits: `limits` in a calendar year, `within` in other windows."""

    limits: Limits
    within: Mapping[Window, Limits]

    @cached_property
    def steps(self) -> tuple[tuple[Window, Limits], ...]:
        """The windows with a limit, the shortest first."""
        found = {**self.within, Window.YEAR: self.limits}
        return tuple((window, found[window]) for window in WINDOWS if found.get(window))


@dataclass(frozen=True)
class Item(_Limited):
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
class Category(_Limited):
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
class Rubric(_Limited):
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


Sums = Mapping[str, Mapping[int, int]]
"""A deputy's uncapped sums: item to month (see `month_of`) to hundredths of a point."""


@dataclass(frozen=True)
class Total:
    """A deputy's score of a calendar year or a term, all caps applied, in hundredths of a point."""

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
    if fact.type == CORRECTED:
        return _corrected(schedule, fact)
    found: dict[Identity, LedgerEntry] = {}
    for rubric in schedule.rubrics:
        for item in rubric.items_by_event.get(fact.type, ()):
            if not all(condition.holds(fact.data) for condition in item.where):
                continue
            if fact.data.get(item.deputy) is None:
                continue  # what staff filed has no deputy, and is nobody's row
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


def _corrected(schedule: Schedule, fact: Fact) -> tuple[LedgerEntry, ...]:
    """The row of a correction; it counts nothing where the rubric of its day does not have the item."""
    happened_on = date.fromisoformat(str(fact.data["happened_on"]))
    item = str(fact.data["item"])
    rubric = schedule.in_force(happened_on)
    counts = rubric is not None and item in rubric.item_keys
    if rubric is None:
        return ()
    return (
        LedgerEntry(
            identity=Identity(item, UUID(str(fact.data["deputy_id"])), str(fact.data["evidence"])),
            event_id=fact.id,
            event_type=fact.type,
            sequence=CORRECTION + int(fact.data["revision"]),
            time=fact.time,
            happened_on=happened_on,
            points=int(fact.data["points"]) if counts else 0,
            rubric=rubric.name,
            rubric_version=rubric.version,
        ),
    )


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


def totals(rubric: Rubric, sums: Sums) -> Total:
    """A deputy's score of a year from the uncapped sums of that year's months, by item.

    Each item is limited first, then each category, then base and categories together, in each from the
    shortest window to the year. A sum of an item that the rubric does not have must be 0: a rubric
    counts for whole years.

    Raises:
        KeyError: an item that the rubric does not have holds points.
    """
    return _climb(rubric, sums, Window.YEAR, (_year(sums),), None)


def term_total(rubric: Rubric, sums: Sums, years: Sequence[int]) -> Total:
    """A deputy's score of these years of a term from the sums of their months; the base counts in each year.

    Raises:
        KeyError: an item that the rubric does not have holds points.
    """
    return _climb(rubric, sums, Window.TERM, years, None)


def _year(sums: Sums) -> int:
    """The year of sums that lie in one year; 0 where there are none, which is as good as any."""
    return next((year_of(month) for months in sums.values() for month in months), 0)


@dataclass(frozen=True)
class Rung:
    """A place where a sum stands on its way to the total: after a limit, or before any (`window` None).

    `part` is `item`, `category` or `total`; `key` that of the item or category.
    """

    part: str
    key: str
    window: Window | None


@dataclass(frozen=True)
class Standing:
    """What a sum is worth after a limit, how much of it the caps took, and how much the floors gave back."""

    points: int
    taken: int = 0
    given: int = 0


def _climb(
    rubric: Rubric, sums: Sums, longest: Window, years: Sequence[int], rungs: dict[Rung, Standing] | None
) -> Total:
    """The total; `rungs`, if given, takes what each sum with points is worth after each of its limits."""
    for key, months in sums.items():
        if key not in rubric.item_keys and any(months.values()):
            raise KeyError(key)
    items: dict[str, int] = {}
    categories: dict[str, int] = {}
    whole: dict[int, int] = {}
    for category in rubric.categories:
        together: dict[int, int] = {}
        for item in rubric.items_by_category[category.key]:
            if not sums.get(item.key):
                items[item.key] = 0  # limits never lift or lower an empty sum
                continue
            periods = _limited(rubric, ("item", item.key), item, sums[item.key], longest, rungs)
            items[item.key] = sum(periods.values())
            _add(together, periods)
        periods = _limited(rubric, ("category", category.key), category, together, longest, rungs)
        categories[category.key] = sum(periods.values())
        _add(whole, periods)
    # The total's windows are never shorter than a year, so that the base may stand in any month of it.
    _add(whole, {year * 12: rubric.base for year in years})
    periods = _limited(rubric, ("total", ""), rubric, whole, longest, rungs)
    return Total(sum(periods.values()), categories, items)


def _limited(
    rubric: Rubric,
    name: tuple[str, str],
    part: _Limited,
    periods: Mapping[int, int],
    longest: Window,
    rungs: dict[Rung, Standing] | None,
) -> Mapping[int, int]:
    """The sums by first month of each period, after all limits of a part."""
    if rungs is not None:
        rungs[Rung(*name, None)] = Standing(sum(periods.values()))
    for window, limits in part.steps:
        if window is Window.TERM and longest is not Window.TERM:
            break
        grouped: dict[int, int] = {}
        for month, points in periods.items():
            begin = month - month % window.months if window.months else _term_begin(rubric, month)
            grouped[begin] = grouped.get(begin, 0) + points
        periods = {begin: limits.clamp(points) for begin, points in grouped.items()}
        if rungs is not None:
            moved = [points - periods[begin] for begin, points in grouped.items()]
            rungs[Rung(*name, window)] = Standing(
                sum(periods.values()), sum(m for m in moved if m > 0), -sum(m for m in moved if m < 0)
            )
    return periods


def _term_begin(rubric: Rubric, month: int) -> int:
    return (rubric.term.begin(year_of(month)) if rubric.term else 0) * 12


def _add(sums: dict[int, int], more: Mapping[int, int]) -> None:
    for month, points in more.items():
        sums[month] = sums.get(month, 0) + points


@dataclass(frozen=True)
class Cut:
    """How much less a row counts by a limit: `rung` tells the limit, `by_cap` whether it is the cap or the floor.

    Negative `points` soften a loss: a floor held, or what lay above a cap stood in for it.
    """

    rung: Rung
    by_cap: bool
    points: int


@dataclass(frozen=True)
class Line:
    """A ledger row, how much of its points the score holds, and what was cut off on the way.

    The row's points less all cuts are what it counts.
    """

    entry: LedgerEntry
    counts: int
    cuts: tuple[Cut, ...]


@dataclass(frozen=True)
class Explanation:
    """A score of a year, row by row: `begins` and all that the lines count add up to the total."""

    year: int
    rubric: Rubric
    begins: int
    lines: tuple[Line, ...]
    total: Total


@dataclass(frozen=True)
class Chance:
    """What would raise a score: an item, what one more event (or unit) of it adds, and how much there is room for."""

    item: Item
    adds: int
    room: int


def sums_of(rows: Iterable[LedgerEntry]) -> dict[str, dict[int, int]]:
    """The sums of one deputy's rows; they must be the newest of their facts."""
    sums: dict[str, dict[int, int]] = {}
    for row in rows:
        _add(sums.setdefault(row.identity.item, {}), {month_of(row.happened_on): row.points})
    return sums


def explain(rubric: Rubric, rows: Iterable[LedgerEntry], year: int) -> Explanation:
    """How a deputy's score of a year comes about, from the deputy's newest rows.

    The rows are laid on in the order (time, event id, item), whatever the order of arrival, and each
    counts what the total grows by; so the lines add up whatever the limits do. What was cut off is told
    for each limit on the way.
    """
    counted = sorted(
        (row for row in rows if row.year == year and row.points),
        key=lambda row: (row.time, row.event_id, row.identity.item, row.identity.evidence),
    )
    sums: dict[str, dict[int, int]] = {}
    before: dict[Rung, Standing] = {}
    begins = held = _climb(rubric, {}, Window.YEAR, (year,), before)
    lines: list[Line] = []
    for row in counted:
        _add(sums.setdefault(row.identity.item, {}), {month_of(row.happened_on): row.points})
        after: dict[Rung, Standing] = {}
        total = _climb(rubric, sums, Window.YEAR, (year,), after)
        lines.append(
            Line(row, total.total - held.total, tuple(_cuts(rubric, row.identity.item, before, after)))
        )
        before, held = after, total
    return Explanation(year, rubric, begins.total, tuple(lines), held)


def _cuts(
    rubric: Rubric, item_key: str, before: Mapping[Rung, Standing], after: Mapping[Rung, Standing]
) -> Iterator[Cut]:
    item = next(item for item in rubric.items if item.key == item_key)
    nothing = Standing(0)
    for rung, now in after.items():
        if rung.part != "total" and rung.key not in (item.key, item.category):
            continue
        held = before.get(rung, nothing)
        if now.taken != held.taken:
            yield Cut(rung, by_cap=True, points=now.taken - held.taken)
        if now.given != held.given:
            yield Cut(rung, by_cap=False, points=held.given - now.given)


def chances(rubric: Rubric, sums: Sums, month: int) -> list[Chance]:
    """What would raise a score in a month, the most for one event first; the sums are those of its year."""
    held = totals(rubric, sums).total
    found: list[Chance] = []
    for item in rubric.items:
        if item.points < 0:
            continue
        adds, room = (
            totals(rubric, _with(sums, item.key, month, points)).total - held
            for points in (item.points, POINTS_LIMIT)
        )
        if adds > 0:
            found.append(Chance(item, adds, room))
    return sorted(found, key=lambda chance: (-chance.adds, -chance.room, chance.item.key))


def _with(sums: Sums, item: str, month: int, points: int) -> Sums:
    months = dict(sums.get(item, {}))
    months[month] = months.get(month, 0) + points
    return {**sums, item: months}


@dataclass(frozen=True)
class Candidate:
    """A deputy as ranking and selection see one; `total` in hundredths of a point."""

    deputy_id: UUID
    number: str
    level: str
    county: str | None
    town: str | None
    state: str
    total: int


@dataclass(frozen=True)
class Judged:
    """Where a deputy stands among peers 同组.

    `rank` and `grade` are None for who is not ranked, and `reason` says why; for who is ranked and passed
    over in the selection it says why as well. `tied` marks who shares the last place with more than the
    quota has room for: staff decide between them.
    """

    candidate: Candidate
    peers: tuple[str | None, ...]
    rank: int | None = None
    grade: Grade | None = None
    outstanding: bool = False
    tied: bool = False
    reason: str | None = None


def judge(rubric: Rubric, candidates: Iterable[Candidate]) -> list[Judged]:
    """Ranks within peer groups, grades, and outstanding deputies within the quota of each group.

    The quota is a share of all who are ranked in the group, rounded down. Equal totals share a rank; where
    they do not all fit into the quota none of them is chosen.
    """
    found: list[Judged] = []
    groups: defaultdict[tuple[str | None, ...], list[Candidate]] = defaultdict(list)
    for one in candidates:
        peers = tuple(getattr(one, name) for name in rubric.peers)
        reason = rubric.eligibility.excluded.get(one.number)
        if reason is None and one.state not in rubric.eligibility.states:
            reason = one.state
        if reason is not None:
            found.append(Judged(one, peers, reason=reason))
        else:
            groups[peers].append(one)
    for peers, members in groups.items():
        found += _judge_group(rubric, peers, sorted(members, key=lambda one: (-one.total, one.number)))
    return found


def _judge_group(
    rubric: Rubric, peers: tuple[str | None, ...], members: Sequence[Candidate]
) -> Iterator[Judged]:
    selection = rubric.selection
    least = next(
        (grade.at_least for grade in rubric.grades if selection and grade.key == selection.grade), None
    )
    ranks: dict[int, int] = {}
    for rank, one in enumerate(members, 1):
        ranks.setdefault(one.total, rank)
    passed = selection.excluded if selection else {}
    standing = [
        one.total
        for one in members
        if selection and one.number not in passed and (least is None or one.total >= least)
    ]
    quota = len(members) * selection.quota_percent // 100 if selection else 0
    # Who has more than the first that does not fit is in; who has exactly as much is tied.
    edge = standing[quota] if quota < len(standing) else None
    last = standing[min(quota, len(standing)) - 1] if quota and standing else None
    for one in members:
        stands = one.number not in passed and (least is None or one.total >= least)
        yield Judged(
            one,
            peers,
            rank=ranks[one.total],
            grade=rubric.grade(one.total),
            outstanding=stands and last is not None and one.total >= last and one.total != edge,
            tied=stands and last is not None and one.total == last == edge,
            reason=passed.get(one.number),
        )


def band(review: Review, approving: int, ballots: int) -> Grade | None:
    """How voters' ballots on a report are read 述职测评; None where nobody voted.

    Raises:
        ValueError: more approve than voted, or a number is negative.
    """
    if not 0 <= approving <= ballots:
        raise ValueError("approving votes lie between 0 and all ballots")
    if ballots == 0:
        return None
    return next(one for one in review.bands if approving * 100 >= one.at_least * ballots)


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
