"""Counting a limit to a date: the rules of the Civil Code, pauses, extensions, and the sentence that says why."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from services.cases.deadlines.reckoning import (
    CHINA,
    Extension,
    Limit,
    Pause,
    Unit,
    changed,
    deadline,
)


@dataclass(frozen=True)
class Made:
    """Monday to Friday are worked, but for `off`, and `on` is worked as well; sure until `sure`."""

    off: frozenset[date] = frozenset()
    on: frozenset[date] = frozenset()
    sure: date = date.max
    version: str = "made"

    def is_working_day(self, day: date) -> bool:
        return day in self.on or (day.weekday() < 5 and day not in self.off)

    def is_official(self, day: date) -> bool:
        return day <= self.sure


WEEKDAYS = Made()
UNITS: tuple[Unit, ...] = ("hours", "days", "working-days", "months")


def at(text: str) -> datetime:
    """A moment in Beijing, such as 2026-03-12 or 2026-03-12 09:30."""
    return datetime.fromisoformat(text).replace(tzinfo=CHINA)


def ends(number: int, unit: Unit, begin: str, *, rolls: bool = True, calendar: Made = WEEKDAYS) -> str:
    found = deadline("期限", Limit(number, unit, "规则", rolls=rolls), at(begin), calendar)
    return str(found.day)


# 民法典第二百零一条: the day on which it begins does not count; hours count from the moment on.


def test_the_day_of_the_beginning_does_not_count_at_whatever_hour() -> None:
    assert ends(1, "days", "2026-03-12 00:00") == ends(1, "days", "2026-03-12 23:59") == "2026-03-13"
    assert ends(1, "working-days", "2026-03-12 08:00") == "2026-03-13"


def test_hours_count_from_the_moment_by_day_and_night_and_on_days_off() -> None:
    found = deadline("签收期限", Limit(24, "hours", "规则"), at("2026-03-13 17:30"), WEEKDAYS)
    assert found.at == at("2026-03-14 17:30")  # a Saturday
    assert "2026年3月14日 17:30" in found.reason


def test_the_beginning_counts_in_beijing_whatever_zone_it_is_given_in() -> None:
    late_in_london = datetime(2026, 3, 12, 16, 30, tzinfo=UTC)  # already the 13th in Beijing
    assert deadline("", Limit(1, "days", "规则", rolls=False), late_in_london, WEEKDAYS).day == date(
        2026, 3, 14
    )


# 第二百零二条: the day of the same number, or the last of the month where there is none.


@pytest.mark.parametrize(
    ("number", "begin", "end"),
    [
        (3, "2026-03-12", "2026-06-12"),
        (1, "2025-01-31", "2025-02-28"),
        (1, "2024-01-31", "2024-02-29"),
        (12, "2024-02-29", "2025-02-28"),
        (48, "2024-02-29", "2028-02-29"),
        (3, "2025-11-30", "2026-02-28"),
        (6, "2025-08-31", "2026-02-28"),
        (1, "2025-12-31", "2026-01-31"),
        (2, "2025-12-31", "2026-02-28"),
        (1, "2025-04-30", "2025-05-30"),
    ],
)
def test_months_end_on_the_day_of_the_same_number_or_the_last_of_the_month(
    number: int, begin: str, end: str
) -> None:
    assert ends(number, "months", begin, rolls=False) == end


@pytest.mark.parametrize(
    ("number", "unit", "begin", "end"),
    [
        (1, "days", "2024-02-28", "2024-02-29"),
        (1, "days", "2025-02-28", "2025-03-01"),
        (1, "days", "2025-12-31", "2026-01-01"),
        (2, "working-days", "2025-12-31", "2026-01-02"),
        (15, "days", "2026-01-31", "2026-02-15"),
        (0, "days", "2026-02-28", "2026-02-28"),
    ],
)
def test_leap_days_and_the_ends_of_months_and_years(number: int, unit: Unit, begin: str, end: str) -> None:
    assert ends(number, unit, begin, rolls=False) == end


# 第二百零三条: an end on a day off moves to the day after the days off; the last day ends at 24:00.


def test_an_end_on_a_day_off_moves_to_the_next_working_day_unless_the_rule_says_stay() -> None:
    assert ends(1, "days", "2026-03-13") == "2026-03-16"
    assert ends(1, "days", "2026-03-13", rolls=False) == "2026-03-14"
    assert ends(0, "days", "2026-03-14") == "2026-03-16"
    worked_saturday = Made(on=frozenset({date(2026, 3, 14)}))
    assert ends(1, "days", "2026-03-13", calendar=worked_saturday) == "2026-03-14"


def test_the_last_moment_of_the_last_day_is_in_time_and_the_next_is_not() -> None:
    found = deadline("答复期限", Limit(3, "months", "规则"), at("2026-03-12"), WEEKDAYS)
    assert found.at == datetime.combine(date(2026, 6, 12), time.max, CHINA)
    assert found.morning == at("2026-06-12")
    assert found.met(found.at)
    assert not found.met(found.at + timedelta(microseconds=1))


def test_working_days_skip_days_off_and_count_make_up_days() -> None:
    holidays = Made(off=frozenset({date(2026, 3, 17)}), on=frozenset({date(2026, 3, 15)}))
    assert ends(3, "working-days", "2026-03-13", calendar=holidays) == "2026-03-18"


# Extensions and pauses.


def test_an_extension_in_the_same_unit_lengthens_the_limit_itself() -> None:
    extension = Extension(Limit(3, "months", "规则"), "交办机构", at("2026-02-20"))
    begin = at("2025-08-31")
    found = deadline("答复期限", Limit(3, "months", "规则"), begin, WEEKDAYS, extensions=[extension])
    six = deadline("答复期限", Limit(6, "months", "规则"), begin, WEEKDAYS)
    assert found.at == six.at  # not three months from 30 November


def test_an_extension_in_another_unit_counts_on_from_the_end() -> None:
    extension = Extension(Limit(2, "working-days", "规则"), "交办机构", at("2026-03-20"))
    found = deadline("", Limit(1, "days", "规则"), at("2026-03-12"), WEEKDAYS, extensions=[extension])
    assert found.day == date(2026, 3, 17)


@pytest.mark.parametrize(
    ("unit", "begin", "end", "expected"),
    [
        ("days", "2026-03-16 10:00", "2026-03-21 09:00", "2026-04-16"),
        ("working-days", "2026-03-16 10:00", "2026-03-23 09:00", "2026-04-02"),
    ],
)
def test_a_pause_pushes_by_its_days_or_its_working_days(
    unit: Unit, begin: str, end: str, expected: str
) -> None:
    # 30 days from 12 March end on 11 April, with five days more on Thursday 16 April;
    # 10 working days end on 26 March, with the five working days of 17 to 23 March on 2 April.
    number = 30 if unit == "days" else 10
    pause = Pause(at(begin), at(end))
    found = deadline("", Limit(number, unit, "规则"), at("2026-03-12"), WEEKDAYS, pauses=[pause])
    assert str(found.day) == expected


def test_a_pause_of_a_limit_in_hours_pushes_to_the_minute() -> None:
    pause = Pause(at("2026-03-12 09:10"), at("2026-03-12 10:25"))
    found = deadline("", Limit(2, "hours", "规则"), at("2026-03-12 09:00"), WEEKDAYS, pauses=[pause])
    assert found.at == at("2026-03-12 12:15")
    assert "暂停 75 分钟" in found.reason


def test_overlapping_pauses_count_once_and_what_lies_before_the_beginning_not_at_all() -> None:
    limit, begin = Limit(10, "days", "规则", rolls=False), at("2026-03-12")
    pauses = [
        Pause(at("2026-03-14"), at("2026-03-18")),
        Pause(at("2026-03-16"), at("2026-03-17")),
        Pause(at("2026-03-17"), at("2026-03-20")),
        Pause(at("2026-03-01"), at("2026-03-05")),
        Pause(at("2026-03-10"), at("2026-03-13")),
    ]
    found = deadline("", limit, begin, WEEKDAYS, pauses=pauses)
    assert found.day == date(2026, 3, 22) + timedelta(days=6 + 1)


def test_a_pause_that_begins_after_the_end_comes_too_late() -> None:
    late = Pause(at("2026-03-23"), at("2026-04-23"))
    limit = Limit(10, "days", "规则", rolls=False)
    assert deadline("", limit, at("2026-03-12"), WEEKDAYS, pauses=[late]).day == date(2026, 3, 22)


def test_while_a_pause_is_open_nothing_falls_due_and_the_reason_says_so() -> None:
    limit, begin = Limit(2, "days", "规则", rolls=False), at("2026-03-12")
    found = deadline("答复期限", limit, begin, WEEKDAYS, pauses=[Pause(at("2026-03-13"))])
    assert found.stopped
    assert found.met(at("2027-01-01"))
    assert "尚未恢复计时" in found.reason
    resumed = deadline("答复期限", limit, begin, WEEKDAYS, pauses=[Pause(at("2026-03-13"), at("2026-03-20"))])
    assert not resumed.stopped
    assert resumed.day == date(2026, 3, 21)
    assert changed(found, resumed)


# The reason, and what a calendar does not know yet.


def test_the_reason_is_one_sentence_that_a_person_can_check() -> None:
    limit = Limit(3, "months", "浙江规定第二十一条", since="交办")
    assert (
        deadline("答复期限", limit, at("2026-03-12 09:00"), WEEKDAYS).reason
        == "答复期限 2026年6月12日：交办 2026年3月12日起 3 个月（浙江规定第二十一条）"
    )
    long = deadline(
        "答复期限",
        limit,
        at("2026-03-12 09:00"),
        WEEKDAYS,
        pauses=[Pause(at("2026-04-01 10:00"), at("2026-04-07 10:00"))],
        extensions=[Extension(Limit(1, "months", "同条"), "市人大常委会代表工委", at("2026-06-01"))],
    )
    assert long.reason == (
        "答复期限 2026年7月20日：交办 2026年3月12日起 3 个月（浙江规定第二十一条）"
        "；延期 1 个月，2026年6月1日经市人大常委会代表工委同意"
        "；2026年4月1日起暂停 6 天等待当事人；2026年7月18日休息，顺延至下一工作日"
    )
    assert [(step.kind, step.number, step.unit) for step in long.steps] == [
        ("limit", 3, "months"),
        ("extension", 1, "months"),
        ("pause", 6, "days"),
        ("moved", None, None),
    ]


def test_days_that_no_notice_settles_yet_make_the_date_provisional() -> None:
    guessing = Made(sure=date(2026, 12, 24), version="2026")
    limit, begin = Limit(2, "months", "规则"), at("2026-12-12")
    before = deadline("答复期限", limit, begin, guessing)
    assert before.provisional
    assert before.day == date(2027, 2, 12)
    assert "2027 年放假调休安排尚未公布" in before.reason
    # The notice makes 12 to 18 February days off.
    published = Made(
        off=frozenset(date(2027, 2, day) for day in range(12, 19)), sure=date(2027, 12, 24), version="2027"
    )
    after = deadline("答复期限", limit, begin, published)
    assert (after.day, after.provisional, after.calendar) == (date(2027, 2, 19), False, "2027")
    assert changed(before, after)


def test_a_date_that_asks_no_uncertain_day_is_certain() -> None:
    guessing = Made(sure=date(2026, 12, 24))
    assert not deadline("", Limit(3, "working-days", "规则"), at("2026-12-20"), guessing).provisional
    assert deadline("", Limit(9, "working-days", "规则"), at("2026-12-20"), guessing).provisional
    assert not deadline("", Limit(9, "months", "规则", rolls=False), at("2026-12-20"), guessing).provisional


# What is refused.


@pytest.mark.parametrize(
    ("number", "unit"), [(0, "months"), (0, "hours"), (0, "working-days"), (-1, "days"), (1001, "days")]
)
def test_a_limit_that_no_rule_can_mean_is_refused(number: int, unit: Unit) -> None:
    with pytest.raises(ValueError, match="a limit in"):
        Limit(number, unit, "规则")


NAIVE = datetime(2026, 3, 12)  # noqa: DTZ001


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: deadline("", Limit(1, "days", "规则"), NAIVE, WEEKDAYS),
        lambda: Pause(NAIVE),
        lambda: Pause(at("2026-03-12"), NAIVE),
        lambda: Pause(at("2026-03-12"), at("2026-03-11")),
        lambda: Extension(Limit(1, "days", "规则"), "某", NAIVE),
        lambda: deadline("", Limit(1, "months", "规则"), at("9999-12-12"), WEEKDAYS),
        lambda: deadline("", Limit(1, "hours", "规则"), at("9999-12-31 23:30"), WEEKDAYS),
        lambda: deadline("", Limit(1, "working-days", "规则"), at("9999-12-31"), WEEKDAYS),
    ],
)
def test_times_without_zone_pauses_backwards_and_dates_beyond_all_are_refused(
    wrong: Callable[[], object],
) -> None:
    with pytest.raises(ValueError, match=r"zone|after|beyond"):
        wrong()


# Properties.

limits = st.builds(
    lambda number, unit, rolls: Limit(number, unit, "规则", since="派单", rolls=rolls),
    st.integers(1, 60),
    st.sampled_from(UNITS),
    st.booleans(),
)
moments = st.datetimes(datetime(2020, 1, 1), datetime(2030, 12, 31)).map(  # noqa: DTZ001
    lambda moment: moment.replace(tzinfo=CHINA)
)
some_days = st.frozensets(st.dates(date(2020, 1, 1), date(2031, 12, 31)), max_size=60)
calendars = st.builds(
    lambda off, on, sure: Made(off=off, on=on - off, sure=sure),
    some_days,
    some_days,
    st.dates(date(2020, 1, 1), date(2040, 1, 1)),
)
lengths = st.timedeltas(timedelta(0), timedelta(days=40))
waits = st.lists(
    st.builds(
        lambda begin, wait, length: (begin + wait, begin + wait + length), moments, lengths, lengths
    ).map(lambda ends: Pause(*ends)),
    max_size=4,
)
extensions = st.lists(
    st.builds(lambda limit, moment: Extension(limit, "交办机构", moment), limits, moments), max_size=2
)


def near(begin: datetime, pauses: list[Pause]) -> list[Pause]:
    """The same pauses, moved so that the first begins within the limit's first days."""
    if not pauses:
        return []
    shift = begin - min(pause.begin for pause in pauses) + timedelta(hours=7)
    return [Pause(pause.begin + shift, pause.end + shift if pause.end else None) for pause in pauses]


@given(limits, moments, calendars, waits, extensions)
def test_a_deadline_never_lies_before_its_beginning_and_always_says_its_date(
    limit: Limit, begin: datetime, calendar: Made, pauses: list[Pause], granted: list[Extension]
) -> None:
    found = deadline("答复期限", limit, begin, calendar, pauses=near(begin, pauses), extensions=granted)
    assert found.at >= begin
    assert found.reason.startswith(f"答复期限 {found.day.year}年{found.day.month}月{found.day.day}日")
    assert f"{begin.year}年{begin.month}月{begin.day}日" in found.reason
    assert limit.source in found.reason
    assert found.provisional == ("安排尚未公布" in found.reason)


@given(limits, moments, calendars, waits, extensions)
def test_reckoning_again_changes_nothing(
    limit: Limit, begin: datetime, calendar: Made, pauses: list[Pause], granted: list[Extension]
) -> None:
    pauses = near(begin, pauses)
    first = deadline("期限", limit, begin, calendar, pauses=pauses, extensions=granted)
    again = deadline("期限", limit, begin, calendar, pauses=pauses[::-1], extensions=granted)
    assert first == again
    assert not changed(first, again)


@given(limits, st.integers(0, 30), moments, calendars, waits)
def test_a_longer_limit_is_never_over_sooner(
    limit: Limit, more: int, begin: datetime, calendar: Made, pauses: list[Pause]
) -> None:
    longer = dataclasses.replace(limit, number=limit.number + more)
    pauses = near(begin, pauses)
    assert (
        deadline("", limit, begin, calendar, pauses=pauses).at
        <= deadline("", longer, begin, calendar, pauses=pauses).at
    )


@given(limits, moments, lengths, calendars)
@example(Limit(1, "months", "规则"), at("2025-01-30"), timedelta(days=1), WEEKDAYS)
def test_a_later_beginning_is_never_over_sooner(
    limit: Limit, begin: datetime, later: timedelta, calendar: Made
) -> None:
    assert deadline("", limit, begin, calendar).at <= deadline("", limit, begin + later, calendar).at


@given(limits, moments, calendars, waits, extensions, st.data())
def test_pauses_and_extensions_never_shorten(
    limit: Limit,
    begin: datetime,
    calendar: Made,
    pauses: list[Pause],
    granted: list[Extension],
    data: st.DataObject,
) -> None:
    assume(pauses)
    pauses = near(begin, pauses)
    without = deadline("", limit, begin, calendar, pauses=pauses[1:], extensions=granted[1:])
    fewer = deadline("", limit, begin, calendar, pauses=pauses[1:], extensions=granted)
    all_of_them = deadline("", limit, begin, calendar, pauses=pauses, extensions=granted)
    first = pauses[0]
    assert first.end is not None
    longer = Pause(first.begin, first.end + data.draw(lengths))
    stretched = deadline("", limit, begin, calendar, pauses=[longer, *pauses[1:]], extensions=granted)
    assert without.at <= fewer.at <= all_of_them.at <= stretched.at


@given(st.integers(1, 60), moments, calendars)
def test_a_limit_in_working_days_spans_exactly_so_many_of_them(
    number: int, begin: datetime, calendar: Made
) -> None:
    last = deadline("", Limit(number, "working-days", "规则"), begin, calendar).day
    spanned = [begin.date() + timedelta(days=n) for n in range(1, (last - begin.date()).days + 1)]
    assert sum(map(calendar.is_working_day, spanned)) == number
    assert calendar.is_working_day(last)


@given(limits, moments, calendars)
def test_where_the_rule_moves_ends_none_falls_on_a_day_off(
    limit: Limit, begin: datetime, calendar: Made
) -> None:
    found = deadline("", limit, begin, calendar)
    if limit.rolls and limit.unit != "hours":
        assert calendar.is_working_day(found.day)
    if not limit.rolls or limit.unit in ("hours", "working-days"):
        assert "moved" not in {step.kind for step in found.steps}
