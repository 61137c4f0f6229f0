"""Appeals 申诉: a deputy contests a row of the own ledger, staff decide, a correction is an event.

Invariants: an appeal is about one row (item and evidence) of the deputy who files it, or, if it says that a row
is missing, about the one that staff find; a row has at most one open appeal; a decision is final for its appeal,
and its correction stands until the next one of that row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Literal
from uuid import UUID

from services.evaluation import errors
from services.evaluation.domain import CHINA, POINTS_LIMIT, Identity
from services.evaluation.rubric import YEAR, Rubric, Schedule

Kind = Literal["wrong", "repeated", "missing"]
State = Literal["open", "upheld", "dismissed", "withdrawn"]


@dataclass(frozen=True)
class Appeal:
    """One appeal; `points` are those of the row after an upheld appeal, `revision` its correction's number."""

    id: UUID
    deputy_id: UUID
    kind: Kind
    item: str
    evidence: str
    happened_on: date
    reason: str
    state: State
    filed_at: datetime
    version: int = 1
    answer: str | None = None
    points: int | None = None
    revision: int | None = None
    decided_by: str | None = None
    decided_at: datetime | None = None

    @property
    def identity(self) -> Identity:
        """The row that it is about."""
        return Identity(self.item, self.deputy_id, self.evidence)


@dataclass(frozen=True)
class Context:
    """What decisions look up: the rubrics, the rows that are there with their day, corrections and open appeals."""

    schedule: Schedule
    rows: Mapping[Identity, date]
    corrections: dict[Identity, int]
    open: set[Identity]


def file(appeal: Appeal, context: Context) -> Appeal:
    """A new appeal. The day of a row that is there is the row's own, whatever the appeal says."""
    if appeal.identity in context.open:
        raise errors.appeal_open()
    held = context.rows.get(appeal.identity)
    day, today = held or appeal.happened_on, appeal.filed_at.astimezone(CHINA).date()
    if held is None and appeal.kind != "missing":
        raise errors.appeal_row_unknown()
    rubric = _insist_on_item(appeal, day, context.schedule)
    if appeal.kind == "missing" and day > today:
        raise errors.appeal_in_the_future()
    if rubric.appeal_days is not None:
        last = date(day.year, 12, 31) + timedelta(days=rubric.appeal_days)
        if today > last:
            raise errors.appeal_too_late(last)
    return replace(appeal, happened_on=day)


def decide(
    appeal: Appeal,
    *,
    upheld: bool,
    points: int | None,
    reason: str,
    by: str,
    at: datetime,
    context: Context,
    evidence: str | None = None,
) -> Appeal:
    """Uphold an appeal, with the points of the row, or dismiss it.

    The day of a row that is there is the row's own, as it is now. `evidence` is the fact that a missing row is
    about, where the deputy could not name it: the correction then stands under it, and the fact adds nothing
    should it be recorded after all.
    """
    _insist_open(appeal)
    if upheld != (points is not None):
        raise errors.appeal_points_wrong()
    if points is not None and abs(points) > POINTS_LIMIT:
        raise errors.appeal_points_absurd()
    if evidence is not None:
        if not upheld or appeal.kind != "missing":
            raise errors.appeal_evidence_not_asked()
        appeal = replace(appeal, evidence=_as_named(evidence, appeal, context.schedule))
    decided = replace(
        appeal,
        state="upheld" if upheld else "dismissed",
        version=appeal.version + 1,
        answer=reason,
        decided_by=by,
        decided_at=at,
    )
    if not upheld:
        return decided
    # Since it was filed a newer version of the fact may have moved the row, or another rubric been adopted.
    day = context.rows.get(decided.identity, decided.happened_on)
    _insist_on_item(decided, day, context.schedule)
    revision = context.corrections.get(decided.identity, 0) + 1
    return replace(decided, happened_on=day, points=points, revision=revision)


def _as_named(evidence: str, appeal: Appeal, schedule: Schedule) -> str:
    """The evidence as facts of the appeal's item will have it: any other name would count beside the fact."""
    rubric = schedule.in_year(appeal.happened_on.year)
    names = next((item.evidence for item in rubric.items if item.key == appeal.item), ()) if rubric else ()
    parts = evidence.lower().split("/")
    wanted = [
        str(appeal.happened_on.year) if name == YEAR else part
        for name, part in zip(names, parts, strict=False)
    ]
    if len(names) != len(parts) or parts != wanted or not all(parts):
        raise errors.appeal_evidence_not_of_the_item("/".join(names))
    return "/".join(parts)


def _insist_on_item(appeal: Appeal, day: date, schedule: Schedule) -> Rubric:
    """The rubric of a day, which must have the appeal's item: else a correction would count nothing."""
    rubric = schedule.in_year(day.year)
    if rubric is None or appeal.item not in rubric.item_keys:
        raise errors.appeal_item_unknown()
    return rubric


def withdraw(appeal: Appeal, deputy_id: UUID) -> Appeal:
    """The deputy takes the appeal back."""
    if appeal.deputy_id != deputy_id:
        raise errors.appeal_unknown()
    _insist_open(appeal)
    return replace(appeal, state="withdrawn", version=appeal.version + 1)


def _insist_open(appeal: Appeal) -> None:
    if appeal.state != "open":
        raise errors.appeal_closed()
