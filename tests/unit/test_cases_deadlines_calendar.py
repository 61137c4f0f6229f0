"""China's official working days, against the yearly notices 国务院办公厅关于部分节假日安排的通知."""

from __future__ import annotations

from datetime import date, datetime, timedelta

import chinese_calendar
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cases.deadlines.calendar import ChinaCalendar
from services.cases.deadlines.reckoning import CHINA, Limit, Unit, deadline

CALENDAR = ChinaCalendar()


def span(first: str, last: str) -> list[date]:
    begin, end = date.fromisoformat(first), date.fromisoformat(last)
    return [begin + timedelta(days=n) for n in range((end - begin).days + 1)]


@pytest.mark.parametrize(
    ("notice", "off", "worked"),
    [
        # 元旦 2019 reaches back into 2018, and makes a December Saturday a working day.
        ("国办发明电〔2018〕15号", span("2018-12-30", "2019-01-01"), ["2018-12-29"]),
        # 春节 2020, as lengthened in the epidemic.
        ("国办发明电〔2020〕1号", span("2020-01-24", "2020-02-02"), ["2020-01-19", "2020-02-03"]),
        # 国庆 2021.
        ("国办发明电〔2020〕27号", span("2021-10-01", "2021-10-07"), ["2021-09-26", "2021-10-09"]),
        # 春节 2022.
        ("国办发明电〔2021〕11号", span("2022-01-31", "2022-02-06"), ["2022-01-29", "2022-01-30"]),
        # 春节 2024 (New Year's Eve is a working day) and 劳动节.
        (
            "国办发明电〔2023〕7号",
            span("2024-02-10", "2024-02-17"),
            ["2024-02-04", "2024-02-09", "2024-02-18"],
        ),
        ("国办发明电〔2023〕7号", span("2024-05-01", "2024-05-05"), ["2024-04-28", "2024-05-11"]),
        # 春节 2025 (now with New Year's Eve) and 国庆、中秋.
        ("国办发明电〔2024〕12号", span("2025-01-28", "2025-02-04"), ["2025-01-26", "2025-02-08"]),
        ("国办发明电〔2024〕12号", span("2025-10-01", "2025-10-08"), ["2025-09-28", "2025-10-11"]),
    ],
)
def test_holidays_and_make_up_days_are_those_of_the_notice(
    notice: str, off: list[date], worked: list[str]
) -> None:
    assert [day for day in off if CALENDAR.is_working_day(day)] == [], notice
    assert [day for day in worked if not CALENDAR.is_working_day(date.fromisoformat(day))] == [], notice
    assert all(map(CALENDAR.is_official, off))


@pytest.mark.parametrize(
    ("number", "unit", "begin", "end"),
    [
        # 国庆 2021: 29, 30 September, 8 October, the worked Saturday 9, Monday 11.
        (5, "working-days", "2021-09-28", "2021-10-11"),
        # 春节 2022: the worked Saturday 29 and Sunday 30 January, then 7 February.
        (3, "working-days", "2022-01-28", "2022-02-07"),
        # 春节 2024: 9 February is worked, 18 too.
        (3, "working-days", "2024-02-08", "2024-02-19"),
        # 国庆 2025: the worked Sunday 28 September, 29, 30, then 9 October.
        (4, "working-days", "2025-09-27", "2025-10-09"),
        # Months that end on 1 October move to the first day after the holiday, once on a worked Saturday.
        (3, "months", "2021-07-01", "2021-10-08"),
        (10, "days", "2025-09-28", "2025-10-09"),
        (1, "days", "2021-10-08", "2021-10-09"),
        # A make-up day is no day off, so an end on it stays.
        (10, "days", "2021-09-16", "2021-09-26"),
    ],
)
def test_deadlines_over_real_holidays(number: int, unit: Unit, begin: str, end: str) -> None:
    start = datetime.fromisoformat(begin).replace(hour=9, tzinfo=CHINA)
    found = deadline("", Limit(number, unit, "规则"), start, CALENDAR)
    assert str(found.day) == end
    assert not found.provisional


def test_it_says_what_the_library_says_on_every_day_that_the_library_knows() -> None:
    days = span(str(CALENDAR.first), f"{CALENDAR.last.year}-12-31")
    assert len(days) > 20 * 365
    assert [day for day in days if CALENDAR.is_working_day(day) != chinese_calendar.is_workday(day)] == []
    assert CALENDAR.version.removeprefix("chinesecalendar ")[0].isdigit()


def test_the_last_days_of_the_last_year_and_all_after_are_not_official() -> None:
    last = CALENDAR.last
    assert (last.month, last.day) == (12, 24)
    assert CALENDAR.is_official(last)
    assert not CALENDAR.is_official(last + timedelta(days=1))
    assert not CALENDAR.is_official(date(2003, 12, 31))
    begin = datetime(last.year, 12, 12, tzinfo=CHINA)
    assert deadline("答复期限", Limit(3, "months", "规则"), begin, CALENDAR).provisional


@given(st.dates(date(2027, 1, 1), date(2100, 1, 1)))
def test_beyond_the_library_weekends_are_days_off_and_nothing_else(day: date) -> None:
    if day.year > CALENDAR.last.year:
        assert CALENDAR.is_working_day(day) == (day.weekday() < 5)
        assert not CALENDAR.is_official(day)


@given(st.dates(date(2004, 1, 1), date(2026, 12, 1)))
def test_the_next_working_day_is_never_further_than_the_longest_holiday(day: date) -> None:
    assert any(CALENDAR.is_working_day(day + timedelta(days=n)) for n in range(12))
