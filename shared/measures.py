"""What a published figure counts and divides by, in both languages, where more than one part has to know it.

docs/metrics.md is written from these and from `services.cases.metrics`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Words:
    """The same in Chinese and in English."""

    zh: str
    en: str

    @property
    def both(self) -> str:
        """Both, Chinese first."""
        return f"{self.zh} / {self.en}"


@dataclass(frozen=True)
class Definition:
    """A figure; `exclusions` are what it leaves out, by the name of the reason."""

    key: str
    title: Words
    numerator: Words
    denominator: Words
    exclusions: Mapping[str, Words]


ACTIVITY_LEAST = 5
"""Deputies below which a place's activity would point at persons."""

ACTIVITY = Definition(
    "activity-rate",
    Words("活跃率", "Active deputies"),
    Words(
        "当月至少有一条得分履职记录的在任代表；登录、签到不算",
        "deputies in office with a recorded fact of duty that earned points in the month; signing in is none",
    ),
    Words("现名册中的在任代表", "deputies in office on the present roster"),
    {
        "too-few": Words(
            f"不足 {ACTIVITY_LEAST} 名代表的地方及其以下不单列",
            f"places of fewer than {ACTIVITY_LEAST} deputies, and what is within them, are not shown by themselves",
        )
    },
)
