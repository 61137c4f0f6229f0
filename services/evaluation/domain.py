"""What an event is worth under a rubric 评价办法, and what a year's points add up to.

A score is a pure function of the *set* of events. Each event that an item of the rubric looks at
becomes one ledger row; rows with one identity (item, deputy, evidence) are versions of one fact, of
which the newest counts (`newer`). An event that no longer meets an item's conditions is a row of 0
points: it takes back what an older version of the same fact had earned. Buckets are sums of the rows
that count, by calendar month; they are never capped, because caps are applied when a total is read. So
order, batching, repetition and lateness of events change nothing.

Limits hold in calendar windows, and a sum climbs through them from the shortest to the longest: item,
then category, then total. What a rubric says stands in `rubric`, what a total means among peers in `judging`.

Points are integers in hundredths of a point everywhere. Days and years are China Standard Time 北京时间.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

from services.evaluation.rubric import CORRECTED, YEAR, Item, Limited, Rubric, Schedule, Window

# China keeps one zone without summer time since 1992; a fixed offset needs no zone data on the machine.
CHINA = timezone(timedelta(hours=8), "CST")

POINTS_LIMIT = 100_000_00
"""No single event may be worth more (hundredths of a point, either sign): such a figure is a mistake."""

CORRECTION = 1 << 62
"""Added to a correction's revision, so that it is newer than any fact and older than the next correction."""


class AbsurdAmount(ValueError):  # noqa: N818 - named by what it says
    """An event whose figures would be worth more points than any real fact can be."""


def month_of(day: date) -> int:
    """The number of a day's calendar month, counted from January of year 0."""
    return day.year * 12 + day.month - 1


def year_of(month: int) -> int:
    """The calendar year of a month's number."""
    return month // 12


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
    part: Limited,
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
