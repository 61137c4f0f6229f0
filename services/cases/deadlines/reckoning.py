"""From a limit to a date and a sentence that says how it came about 期限计算.

How a limit is counted (民法典第二百至二百零四条, unless a pack says otherwise):

* Days are those of Beijing time. The day of the beginning does not count; the first day is the next one.
* A limit in days, working days or months ends with its last day, at 24:00: `at` is that day's last
  microsecond, so a thing is in time when `moment <= at`. A limit of 0 days is "the same day".
* Months are calendar months: the limit ends on the day of the same number; where the month has no such
  day, on its last day (31 January + 1 month = the last of February).
* A limit in days or months that ends on a day off ends on the next working day, unless `rolls` is False.
  Only the end moves: days off inside a limit in days count.
* A limit in hours counts every hour, by day and night, and never moves.
* An extension in the limit's own unit lengthens the limit itself (3 + 3 months = 6 months from the
  beginning); in another unit it is counted on from where the limit ended.
* A pause pushes the end by what it took, counted in the limit's own unit: hours exactly; days by the
  days that began in it; working days by those of them that are working days. Overlapping pauses count
  once, what lies before the beginning not at all, and a pause that begins after the end comes too late.

Invariants: a deadline never lies before its beginning; a longer limit, another extension and a longer pause
never bring it forward; the same input gives the same deadline; the reason holds the date. Whatever a
calendar only guesses makes the deadline provisional 暂定: reckon again when the calendar's version changes
and compare (`changed`). What-if is the same: reckon with other input.

Reasons hold the words of packs and of whoever granted an extension, so neither may hold a resident's words.
"""

from __future__ import annotations

import calendar as months
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta, timezone
from typing import Literal, Protocol

# China keeps one zone without summer time since 1992; a fixed offset needs no zone data on the machine.
CHINA = timezone(timedelta(hours=8), "CST")

Unit = Literal["hours", "days", "working-days", "months"]

LONGEST = 1000
"""The largest number of a limit: more is a mistake, not a rule."""

UNITS_CHINESE: dict[Unit | Literal["minutes"], str] = {
    "minutes": "分钟",
    "hours": "小时",
    "days": "天",
    "working-days": "个工作日",
    "months": "个月",
}


@dataclass(frozen=True)
class Limit:
    """How long something may take: `number` units, from which rule, and since what 期限.

    Attributes:
        number: at least 1; with days also 0, the same day 当日.
        unit: hours, days, working days or calendar months.
        source: the rule and its article, or whose own value it is; people read it in the reason.
        title: what ends, as the reason calls it, such as 答复期限; empty where the caller names it.
        since: what it is counted from, such as 交办; empty where the date says enough.
        rolls: whether an end on a day off moves to the next working day.

    Raises:
        ValueError: the number fits no rule.
    """

    number: int
    unit: Unit
    source: str
    title: str = ""
    since: str = ""
    rolls: bool = True

    def __post_init__(self) -> None:
        least = 0 if self.unit == "days" else 1
        if not least <= self.number <= LONGEST:
            raise ValueError(f"a limit in {self.unit} lies between {least} and {LONGEST}")

    def __str__(self) -> str:
        """In Chinese, as people say it: 3 个月, 当日."""
        return "当日" if self.number == 0 else _amount(self.number, self.unit)


class Calendar(Protocol):
    """Which days are worked; `services.cases.deadlines.calendar` has the official one."""

    @property
    def version(self) -> str:
        """Changes whenever the answer for any day may have changed."""
        ...

    def is_working_day(self, day: date) -> bool:
        """Whether the day is worked, make-up days 调休 included."""
        ...

    def is_official(self, day: date) -> bool:
        """Whether that is certain: False while the year's arrangement is not published."""
        ...


@dataclass(frozen=True)
class Pause:
    """The clock stood still while waiting for the resident 等待当事人, from `begin` to `end`, or still does.

    Raises:
        ValueError: it ends before it begins, or a time has no zone.
    """

    begin: datetime
    end: datetime | None = None

    def __post_init__(self) -> None:
        _aware(self.begin, self.end)
        if self.end is not None and self.end < self.begin:
            raise ValueError("a pause ends after it begins")


@dataclass(frozen=True)
class Extension:
    """More time that somebody granted 延期; `granted_by` is an office or a person in office, for people to read.

    Raises:
        ValueError: the time has no zone.
    """

    limit: Limit
    granted_by: str
    granted_at: datetime

    def __post_init__(self) -> None:
        _aware(self.granted_at)


StepKind = Literal["limit", "extension", "pause", "moved", "stopped", "provisional"]


@dataclass(frozen=True)
class Step:
    """One step of a calculation, for pages that write the reason in another language.

    kind         day                      number, unit                              text
    limit        of the beginning         of the limit                              its source
    extension    when it was granted      of the extension                          who granted it
    pause        its first                what it pushed; minutes where hours run   -
    moved        the day off it fell on   -                                         -
    stopped      since when it stands     -                                         -
    provisional  first uncertain day      -                                         -
    """

    kind: StepKind
    day: date
    number: int | None = None
    unit: Unit | Literal["minutes"] | None = None
    text: str = ""


@dataclass(frozen=True)
class Deadline:
    """A date, and how it came about 期限.

    Attributes:
        at: the last moment that is in time, in Beijing time.
        reason: one Chinese sentence that a person can check.
        provisional: it rests on days whose official arrangement is not published yet 暂定.
        calendar: the version of the calendar it was reckoned with.
        stopped: a pause is still open: nothing falls due, and `at` is the earliest that it can be.
        steps: the reason in parts.
    """

    at: datetime
    reason: str
    provisional: bool
    calendar: str
    stopped: bool = False
    steps: tuple[Step, ...] = field(default=(), repr=False)

    @property
    def day(self) -> date:
        """The last day, as people name the deadline."""
        return self.at.astimezone(CHINA).date()

    @property
    def morning(self) -> datetime:
        """The first moment of the last day: for what is done on that day and not by its end, such as urging."""
        return datetime.combine(self.day, time.min, CHINA)

    def met(self, moment: datetime) -> bool:
        """Whether what happened then was in time; while the clock stands still, everything is."""
        return self.stopped or moment <= self.at


def deadline(
    title: str,
    limit: Limit,
    begin: datetime,
    calendar: Calendar,
    *,
    pauses: Sequence[Pause] = (),
    extensions: Sequence[Extension] = (),
) -> Deadline:
    """When the limit that began then is over, and why.

    Args:
        title: what is due, such as 答复期限; empty takes the limit's own title.
        limit: how long it may take.
        begin: when the clock began, in any zone.
        calendar: says which days are worked.
        pauses: in any order; at most one of them open.
        extensions: as granted, in order.

    Raises:
        ValueError: a time has no zone, or the date lies beyond the year 9999.
    """
    _aware(begin)
    begin = begin.astimezone(CHINA)
    days = _Days(calendar)
    steps = [Step("limit", begin.date(), limit.number, limit.unit, limit.source)]
    steps += [
        Step("extension", _day(e.granted_at), e.limit.number, e.limit.unit, e.granted_by) for e in extensions
    ]
    try:
        reckoned = _Reckoned(limit, begin, extensions, days)
        stopped: datetime | None = None
        for pause in _merged(pauses, begin):
            if pause.begin > reckoned.at:
                break
            if pause.end is None:
                stopped = pause.begin
                break
            number, unit = reckoned.push(pause.begin, pause.end)
            if number:
                steps.append(Step("pause", pause.begin.date(), number, unit))
        at = reckoned.at
    except OverflowError:
        raise ValueError("the deadline lies beyond every calendar") from None
    if reckoned.fell_on is not None:
        steps.append(Step("moved", reckoned.fell_on))
    if stopped is not None:
        steps.append(Step("stopped", stopped.date()))
    if days.uncertain is not None:
        steps.append(Step("provisional", days.uncertain))
    return Deadline(
        at=at,
        reason=_sentence(title or limit.title or "期限", limit, begin, at, steps),
        provisional=days.uncertain is not None,
        calendar=calendar.version,
        stopped=stopped is not None,
        steps=tuple(steps),
    )


def changed(old: Deadline, new: Deadline) -> bool:
    """Whether people must be told: the date, its certainty or the standing of the clock differs."""
    return (old.at, old.provisional, old.stopped) != (new.at, new.provisional, new.stopped)


class _Days:
    """A calendar that remembers the first day it was asked about and could only guess."""

    def __init__(self, calendar: Calendar) -> None:
        self._calendar = calendar
        self.uncertain: date | None = None

    def worked(self, day: date) -> bool:
        if not self._calendar.is_official(day) and (self.uncertain is None or day < self.uncertain):
            self.uncertain = day
        return self._calendar.is_working_day(day)

    def after(self, day: date, number: int) -> date:
        """The day that many working days later."""
        while number:
            day += timedelta(days=1)
            number -= self.worked(day)
        return day

    def between(self, first: date, last: date) -> int:
        """The working days after `first`, up to and with `last`."""
        return sum(self.worked(first + timedelta(days=n)) for n in range(1, (last - first).days + 1))

    def rolled(self, day: date) -> date:
        """The day itself if it is worked, else the next one that is."""
        while not self.worked(day):
            day += timedelta(days=1)
        return day


class _Reckoned:
    """The end of a limit while pauses push it."""

    def __init__(self, limit: Limit, begin: datetime, extensions: Iterable[Extension], days: _Days) -> None:
        amounts: dict[Unit, int] = {limit.unit: limit.number}
        for extension in extensions:
            more = extension.limit
            amounts[more.unit] = amounts.get(more.unit, 0) + more.number
        self._unit = limit.unit
        self._rolls = limit.rolls
        self._exact = set(amounts) == {"hours"}
        self._days = days
        self._end = begin
        for unit, number in amounts.items():
            self._end = _counted(self._end, number, unit, days)
        if not self._exact:
            self._end = _last_moment(self._end.date())

    @property
    def at(self) -> datetime:
        """The last moment in time, as things stand."""
        if self._exact or not self._rolls:
            return self._end
        return _last_moment(self._days.rolled(self._end.date()))

    @property
    def fell_on(self) -> date | None:
        """The day off on which the limit ended, where the deadline moved away from it."""
        return None if self.at == self._end else self._end.date()

    def push(self, begin: datetime, end: datetime) -> tuple[int, Unit | Literal["minutes"]]:
        """Count a pause in, and say by how much it pushed."""
        if self._exact:
            self._end += end - begin
            return round((end - begin) / timedelta(minutes=1)), "minutes"
        if self._unit == "working-days":
            worked = self._days.between(begin.date(), end.date())
            self._end = _last_moment(self._days.after(self._end.date(), worked))
            return worked, "working-days"
        passed = (end.date() - begin.date()).days
        self._end += timedelta(days=passed)
        return passed, "days"


def _counted(begin: datetime, number: int, unit: Unit, days: _Days) -> datetime:
    """The end of one amount: a moment for hours, the last moment of a day for all else."""
    if unit == "hours":
        return begin + timedelta(hours=number)
    if unit == "days":
        return _last_moment(begin.date() + timedelta(days=number))
    if unit == "working-days":
        return _last_moment(days.after(begin.date(), number))
    return _last_moment(_months_later(begin.date(), number))


def _months_later(day: date, number: int) -> date:
    year, month = divmod(day.year * 12 + day.month - 1 + number, 12)
    if year > date.max.year:
        raise OverflowError
    return date(year, month + 1, min(day.day, months.monthrange(year, month + 1)[1]))


def _last_moment(day: date) -> datetime:
    return datetime.combine(day, time.max, CHINA)


def _merged(pauses: Iterable[Pause], begin: datetime) -> list[Pause]:
    """In order, in Beijing time, without overlaps and without what lies before the beginning."""
    merged: list[Pause] = []
    for pause in sorted(pauses, key=lambda p: p.begin):
        if pause.end is not None and pause.end <= begin:
            continue
        first = max(pause.begin.astimezone(CHINA), begin)
        last = pause.end.astimezone(CHINA) if pause.end is not None else None
        before = merged[-1] if merged else None
        if before is not None and (before.end is None or first <= before.end):
            end = None if before.end is None or last is None else max(before.end, last)
            merged[-1] = Pause(before.begin, end)
        else:
            merged.append(Pause(first, last))
    return merged


def _sentence(title: str, limit: Limit, begin: datetime, at: datetime, steps: Sequence[Step]) -> str:
    hours = limit.unit == "hours"
    until = f"{_chinese(at)} {at:%H:%M}" if at.time() != time.max else _chinese(at)
    since = f"{_chinese(begin)} {begin:%H:%M} " if hours else _chinese(begin)
    length = f" {limit}" if limit.number == 0 else f"起 {limit}"
    parts = [f"{limit.since} {since}{length}（{limit.source}）".lstrip()]
    parts += [_said(step) for step in steps if step.kind != "limit"]
    return f"{title} {until}：{'；'.join(parts)}"


def _chinese(day: date) -> str:
    return f"{day.year}年{day.month}月{day.day}日"


def _said(step: Step) -> str:
    amount = _amount(step.number, step.unit) if step.number is not None and step.unit is not None else ""
    match step.kind:
        case "extension":
            return f"延期 {amount}，{_chinese(step.day)}经{step.text}同意"
        case "pause":
            return f"{_chinese(step.day)}起暂停 {amount}等待当事人"
        case "moved":
            return f"{_chinese(step.day)}休息，顺延至下一工作日"
        case "stopped":
            return f"{_chinese(step.day)}起暂停等待当事人，尚未恢复计时"
        case _:
            return f"{step.day.year} 年放假调休安排尚未公布，日期暂定"


def _amount(number: int, unit: Unit | Literal["minutes"]) -> str:
    return f"{number} {UNITS_CHINESE[unit]}"


def _day(moment: datetime) -> date:
    return moment.astimezone(CHINA).date()


def _aware(*moments: datetime | None) -> None:
    if any(moment is not None and moment.tzinfo is None for moment in moments):
        raise ValueError("a time needs its zone")
