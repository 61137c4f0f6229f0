"""The overview that staff open first 工作概览: what was filed in a period, how it stands, where, and how it changes.

Every rate is a figure of the metric registry; nothing is reckoned here but which case belongs to which place
and period. Invariant: the numbers of the places, and those of the periods, add up to the whole.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from services.cases.domain import ANSWER_OWED, FINISHED
from services.cases.metrics import METRICS, CaseRow, measure_groups

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Group:
    """So many cases of one place and period that every metric judges alike."""

    place: str | None
    period: str
    row: CaseRow
    number: int


def overview(groups: Sequence[Group], as_of: datetime) -> dict[str, Any]:
    """The whole, each place and each period."""
    return {
        "whole": _told(groups, as_of),
        "places": [
            {"place": place, **_told(found, as_of)}
            for place, found in sorted(
                _apart((group.place, group) for group in groups).items(), key=lambda pair: pair[0] or ""
            )
        ],
        "trend": [
            {"period": period, **_told(found, as_of)}
            for period, found in sorted(_apart((group.period, group) for group in groups).items())
        ],
    }


def _apart(groups: Iterable[tuple[K, Group]]) -> Mapping[K, list[Group]]:
    found: defaultdict[K, list[Group]] = defaultdict(list)
    for key, group in groups:
        found[key].append(group)
    return found


def _told(groups: Sequence[Group], as_of: datetime) -> dict[str, Any]:
    rows = [(group.row, group.number) for group in groups]
    figures = {metric.key: measure_groups(metric, rows, as_of) for metric in METRICS}
    return {
        "filed": sum(number for _, number in rows),
        "open": sum(number for row, number in rows if row.state not in FINISHED),
        "overdue": sum(number for row, number in rows if is_overdue(row, as_of)),
        "figures": {
            key: {"numerator": one.numerator, "denominator": one.denominator, "ratio": one.ratio}
            for key, one in figures.items()
        },
    }


def is_overdue(row: CaseRow, as_of: datetime) -> bool:
    """Still to be answered and past its deadline, be it when the clock was stopped; in the list's words `queries.overdue`."""
    is_owed = row.state in ANSWER_OWED or row.state == "waiting"
    return is_owed and row.answer_by is not None and row.answer_by < (row.waiting or as_of)
