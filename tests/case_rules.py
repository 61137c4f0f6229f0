"""Rules for tests of cases: round figures, and a calendar on which Monday to Friday are worked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from services.cases.deadlines.reckoning import Limit
from services.cases.deadlines.rules import CaseRules, Setting
from services.cases.domain import Rules


@dataclass(frozen=True)
class Weekdays:
    """Every Monday to Friday is worked, and that is certain."""

    version: str = "weekdays"

    def is_working_day(self, day: date) -> bool:
        return day.weekday() < 5

    def is_official(self, day: date) -> bool:
        return bool(day)


class MondayOff(Weekdays):
    """Mondays are not worked."""

    def is_working_day(self, day: date) -> bool:
        return super().is_working_day(day) and day.weekday() > 0


def days(number: int) -> Limit:
    return Limit(number, "working-days", "test rule")


RULES = Rules(
    Weekdays(),
    CaseRules(
        take_up=days(2),
        triage=days(1),
        accept=days(1),
        answer={"urgent": days(1), "inquiry": days(3), "normal": days(5), "complex": days(15)},
        extension=days(10),
        extensions=Setting(2, "test rule"),
        hand_back=days(20),
        returns=Setting(2, "test rule"),
        reopen=days(10),
        objection=days(5),
        urge=days(1),
        supervise=days(5),
        close_reminder=days(3),
        close_late=days(5),
        rating_reminder=days(3),
        waiting=days(10),
        area=Setting({"south": 28.8, "west": 120.8, "north": 30.6, "east": 122.4}, "test rule"),
    ),
)
