"""The official working days of China 法定工作日, holidays and make-up days 节假日、调休 included.

The days come from `chinesecalendar`, which follows the yearly notice of the State Council's office
(国务院办公厅关于部分节假日安排的通知, out in November for the next year). Beyond its last year weekends
are days off and nothing is official. Nor are the last days of that year: the next notice may still make
them days off or make-up days, as that for 2019 did with 29 to 31 December 2018.
"""

from __future__ import annotations

from datetime import date
from importlib.metadata import version

# The library's own questions search all its years each time; its tables answer a hundred times as fast.
from chinese_calendar.constants import holidays, workdays

_REACH = 7
"""For how many days before New Year the notice of the next year may still decide; none has gone further back."""


class ChinaCalendar:
    """The calendar of `reckoning`, official as far as the library knows it."""

    def __init__(self) -> None:
        self.first = date(min(holidays).year, 1, 1)
        self.last = date(max(holidays).year, 12, 31 - _REACH)
        self.version = f"chinesecalendar {version('chinesecalendar')}"

    def is_working_day(self, day: date) -> bool:
        """Whether the day is worked; outside the library's years, whether it is no weekend."""
        return day in workdays or (day.weekday() < 5 and day not in holidays)

    def is_official(self, day: date) -> bool:
        """Whether a notice settles the day for good: `first` to `last`."""
        return self.first <= day <= self.last
