"""The official working days of China 法定工作日, holidays and make-up days 节假日、调休 included.

The days come from `chinesecalendar`, which follows the yearly notice of the State Council's office
(国务院办公厅关于部分节假日安排的通知, out in November for the next year). Beyond its last year weekends
are days off and nothing is official. Nor are the last days of that year: the next notice may turn them
into days off or make-up days, as that of 2019 did with 29 to 31 December 2018.
"""

from __future__ import annotations

from datetime import date
from importlib.metadata import version

import chinese_calendar
from chinese_calendar.constants import holidays

_NEW_YEAR_REACH = 7  # how many days before New Year a notice for the next year has ever touched, and more


class ChinaCalendar:
    """The calendar of `services.cases.deadlines.reckoning`, official as far as the library knows it."""

    def __init__(self) -> None:
        years = {day.year for day in holidays}
        self._first = date(min(years), 1, 1)
        self._last = date(max(years), 12, 31 - _NEW_YEAR_REACH)
        self._known = date(max(years), 12, 31)
        self.version = f"chinesecalendar {version('chinesecalendar')}"

    def is_working_day(self, day: date) -> bool:
        """Whether the day is worked; outside the library's years, whether it is no weekend."""
        if self._first <= day <= self._known:
            return bool(chinese_calendar.is_workday(day))
        return day.weekday() < 5

    def is_official(self, day: date) -> bool:
        """Whether a notice settles the day for good."""
        return self._first <= day <= self._last
