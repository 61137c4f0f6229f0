"""The duty archive 履职档案: a deputy's recorded facts in eight parts, each with its event, evidence and rule.

Parts as kept on paper (e.g. Zhenping, rd.ankang.gov.cn/Content-2548225.html): 基本情况, 会议, 视察调研, 培训,
小组活动, 建议, 述职, 奖励. Invariants: a fact stands in exactly one part, however many items of a rubric
look at it; nothing is told of a deputy that no ledger row or note holds. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from services.evaluation.domain import LedgerEntry, sums_of, totals
from services.evaluation.judging import band
from services.evaluation.rubric import Item, Schedule


class Part(StrEnum):
    """A part of the archive, in the order of the paper ones."""

    BASICS = "basics"
    MEETINGS = "meetings"
    INSPECTIONS = "inspections"
    TRAINING = "training"
    ACTIVITIES = "activities"
    SUGGESTIONS = "suggestions"
    REPORTS = "reports"
    HONOURS = "honours"


PART_TITLES: Mapping[Part, str] = {
    Part.BASICS: "基本情况",
    Part.MEETINGS: "会议",
    Part.INSPECTIONS: "视察调研",
    Part.TRAINING: "培训",
    Part.ACTIVITIES: "小组活动与联系选民",
    Part.SUGGESTIONS: "督事与议案建议",
    Part.REPORTS: "述职",
    Part.HONOURS: "奖励",
}

EVENT_TITLES: Mapping[str, str] = {
    "case.filed": "提交督事",
    "case.routed": "督事派单",
    "case.progressed": "督事办理",
    "case.closed": "督事办结",
    "case.rated": "督事评价",
    "case.referred": "督事转化",
    "motion.invited": "邀请联名",
    "motion.cosigned": "联名议案建议",
    "motion.submitted": "提交议案建议",
    "motion.assigned": "议案建议交办",
    "motion.progressed": "议案建议办理",
    "motion.answered": "议案建议答复",
    "motion.rated": "议案建议评价",
    "activity.announced": "活动发布",
    "activity.signed-up": "活动报名",
    "activity.attended": "参加活动",
    "consultation.opened": "征集发布",
    "consultation.answered": "意见征集",
    "consultation.closed": "征集结束",
    "duty.logged": "履职登记",
    "course.published": "课程发布",
    "course.completed": "课程结业",
    "score.corrected": "申诉更正",
    "deputy.changed": "名册变更",
    "department.changed": "承办单位变更",
    "staff.changed": "工作人员变更",
    "station.changed": "联络站变更",
}
"""What the events that a ledger can have are called in print."""

_BY_KIND = {
    "meeting": Part.MEETINGS,
    "hearing": Part.MEETINGS,
    "inspection": Part.INSPECTIONS,
    "research": Part.INSPECTIONS,
    "training": Part.TRAINING,
}
"""Kinds of activities and duties that have a part of their own; the others are 小组活动."""

_BY_SUBJECT = {"case": Part.SUGGESTIONS, "motion": Part.SUGGESTIONS, "course": Part.TRAINING}
"""By the first word of an event's type; the others are 小组活动."""


@dataclass(frozen=True)
class Entry:
    """One fact of the archive.

    Attributes:
        event_id, event_type: the event that told it last.
        evidence: what names the fact, such as the case's id.
        rows: what the rubric's items make of it, with points in hundredths, uncapped.
    """

    part: Part
    event_id: UUID
    event_type: str
    evidence: str
    time: datetime
    happened_on: date
    rows: tuple[LedgerEntry, ...]


def part_of(item: Item) -> Part | None:
    """The part that an item's facts belong to; None where its facts are of several kinds."""
    subject = item.event.partition(".")[0]
    if subject in _BY_SUBJECT:
        return _BY_SUBJECT[subject]
    kinds = {str(kind) for condition in item.where if condition.field == "kind" for kind in condition.one_of}
    if not kinds:
        return None
    parts = {_BY_KIND.get(kind, Part.ACTIVITIES) for kind in kinds}
    return parts.pop() if len(parts) == 1 else Part.ACTIVITIES


def entries_of(rows: Iterable[LedgerEntry], schedule: Schedule) -> list[Entry]:
    """A deputy's facts, the oldest first; `rows` are the newest of their facts."""
    items = items_of(schedule)
    facts: dict[UUID, list[LedgerEntry]] = {}
    for row in rows:
        facts.setdefault(row.event_id, []).append(row)
    found = []
    for event_id, of_fact in facts.items():
        of_fact.sort(key=lambda row: (row.identity.item, row.identity.evidence))
        parts = [part_of(items[key]) for row in of_fact if (key := _key(row)) in items]
        first = of_fact[0]
        found.append(
            Entry(
                part=next((part for part in parts if part is not None), Part.ACTIVITIES),
                event_id=event_id,
                event_type=first.event_type,
                evidence=first.identity.evidence,
                time=first.time,
                happened_on=first.happened_on,
                rows=tuple(of_fact),
            )
        )
    return sorted(found, key=lambda entry: (entry.happened_on, entry.time, entry.event_id))


def items_of(schedule: Schedule) -> dict[tuple[str, int, str], Item]:
    """Every item that was ever adopted, by rubric, version and key."""
    return {
        (rubric.name, rubric.version, item.key): item for rubric in schedule.rubrics for item in rubric.items
    }


def _key(row: LedgerEntry) -> tuple[str, int, str]:
    return row.rubric, row.rubric_version, row.identity.item


def archive(
    deputy: Mapping[str, Any] | None,
    deputy_id: UUID,
    rows: Sequence[LedgerEntry],
    notes: Sequence[Mapping[str, Any]],
    schedule: Schedule,
    *,
    as_of: datetime,
) -> dict[str, Any]:
    """The whole archive as plain data: who it is, the years with their scores, the eight parts.

    `notes` are those that staff made (`queries.notes`). Points are integers in hundredths; those of a year are capped by its rubric, those of an entry are not.
    """
    items = items_of(schedule)
    entries = entries_of(rows, schedule)
    return {
        "deputy_id": deputy_id,
        "deputy": dict(deputy) if deputy else None,
        "as_of": as_of,
        "years": [_year(rows, schedule, year) for year in sorted({row.year for row in rows})],
        "parts": [
            {
                "key": part,
                "title": PART_TITLES[part],
                "entries": [_told(entry, items) for entry in entries if entry.part is part],
                "notes": [_noted(note, schedule) for note in notes if note["part"] == part],
            }
            for part in Part
        ],
    }


def _year(rows: Iterable[LedgerEntry], schedule: Schedule, year: int) -> dict[str, Any]:
    rubric = schedule.in_year(year)
    if rubric is None:
        return {"year": year, "total": 0, "grade": None, "rubric": None, "categories": []}
    found = totals(rubric, sums_of(row for row in rows if row.year == year))
    grade = rubric.grade(found.total)
    return {
        "year": year,
        "total": found.total,
        "grade": {"key": grade.key, "title": grade.title} if grade else None,
        "rubric": {"name": rubric.name, "version": rubric.version, "title": rubric.title},
        "categories": [
            {"key": one.key, "title": one.title, "points": found.categories[one.key]}
            for one in rubric.categories
        ],
    }


def _noted(note: Mapping[str, Any], schedule: Schedule) -> dict[str, Any]:
    """A note with how its ballots are read under the rubric of its year; None where there are none."""
    rubric = schedule.in_year(note["happened_on"].year)
    read = None
    if note["ballots"] and rubric is not None and rubric.review is not None:
        read = band(rubric.review, note["approving"], note["ballots"])
    return {**note, "band": {"key": read.key, "title": read.title} if read else None}


def _told(entry: Entry, items: Mapping[tuple[str, int, str], Item]) -> dict[str, Any]:
    rows = [
        {
            "item": row.identity.item,
            "title": items[_key(row)].title if _key(row) in items else row.identity.item,
            "points": row.points,
            "rubric": row.rubric,
            "rubric_version": row.rubric_version,
        }
        for row in entry.rows
    ]
    return {
        "event_id": entry.event_id,
        "event_type": entry.event_type,
        "evidence": entry.evidence,
        "time": entry.time,
        "happened_on": entry.happened_on,
        "points": sum(row.points for row in entry.rows),
        "rows": rows,
    }
