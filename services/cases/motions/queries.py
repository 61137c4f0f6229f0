"""The read side of motions: the only place that reads them for others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Date,
    DateTime,
    Integer,
    Text,
    and_,
    column,
    exists,
    false,
    func,
    or_,
    select,
    true,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from services.cases.motions import tables
from services.cases.motions.domain import PRIVATE, Due, Motion
from services.cases.motions.store import due_of, motion_of
from shared.database.areas import reached
from shared.database.rows import dictionaries

Part = Literal["invited", "signed", "waiting"]
"""What a deputy has to do with a motion: asked to co-sign 邀请我的, co-signs 我联名的, has something to do 等我办的."""
_DUE = [column for column in tables.motion_deadlines.c if column.name != "motion_id"]


def visible_to_deputy(deputy: UUID) -> ColumnElement[bool]:
    """Own ones, those one is invited to or signs, and what was submitted and is not secret."""
    motions = tables.motions.c
    signs = [
        motions.cosigners.contains([{"deputy": str(deputy), "state": s}]) for s in ("invited", "confirmed")
    ]
    return or_(motions.author_id == deputy, *signs, and_(_put_forward(), ~motions.secret))


def of_deputy(deputy: UUID, part: Part, *, every_signer: bool) -> ColumnElement[bool]:
    """Those in which a deputy has a part; `every_signer`: whether each of the signers rates an answer."""
    motions = tables.motions.c
    writing = motions.state.in_(sorted(PRIVATE))
    invited = and_(writing, motions.cosigners.contains([{"deputy": str(deputy), "state": "invited"}]))
    signs = motions.cosigners.contains([{"deputy": str(deputy), "state": "confirmed"}])
    if part == "invited":
        return invited
    if part == "signed":
        return signs
    own = motions.author_id == deputy
    rated = [
        and_(motions.round == n, motions.ratings.contains([{"deputy": str(deputy), "round": n}]))
        for n in (1, 2)  # there is no third round
    ]
    unrated = and_(motions.state == "answered", ~or_(*rated))
    reported = [
        motions.promises.contains([{"state": state, "rating": None}])
        for state in ("kept", "partly-kept", "not-kept")
    ]
    return or_(
        invited,
        and_(own, motions.state == "correcting"),
        and_(or_(own, signs) if every_signer else own, unrated),
        and_(own, motions.state != "withdrawn", or_(*reported)),
    )


def visible_to_department(code: str) -> ColumnElement[bool]:
    """What is assigned to a department now."""
    handlers = tables.motions.c.handlers
    states = ("assigned", "objected", "opined")
    return or_(*(handlers.contains([{"department": code, "state": state}]) for state in states))


def visible_to_staff(place: str | None) -> ColumnElement[bool]:
    """What was put to the congress of a place or of one inside it; None: to any."""
    return and_(_put_forward(), reached(place, tables.motions.c.congress))


def submitted_in(begin: datetime | None, end: datetime | None) -> list[ColumnElement[bool]]:
    """What was submitted from `begin` until before `end`, each where it is given."""
    submitted = tables.motions.c.submitted_at
    found: list[ColumnElement[bool]] = []
    if begin is not None:
        found.append(submitted >= begin)
    if end is not None:
        found.append(submitted < end)
    return found


def nothing() -> ColumnElement[bool]:
    """Nothing at all."""
    return false()


def _put_forward() -> ColumnElement[bool]:
    motions = tables.motions.c
    return and_(motions.submitted_at.is_not(None), motions.state.not_in(sorted(PRIVATE)))


async def page(
    connection: AsyncConnection, conditions: list[ColumnElement[bool]], *, number: int, size: int
) -> tuple[list[Motion], int]:
    """One page of motions, newest first, and how many there are in all."""
    motions = tables.motions
    total = await connection.scalar(select(func.count()).select_from(motions).where(*conditions))
    found = await _motions(connection, conditions, limit=size, offset=(number - 1) * size)
    return found, int(total or 0)


async def one(connection: AsyncConnection, motion_id: UUID) -> Motion | None:
    """A motion, or None."""
    found = await _motions(connection, [tables.motions.c.id == motion_id])
    return found[0] if found else None


async def session(
    connection: AsyncConnection, visible: ColumnElement[bool], begin: datetime | None, end: datetime | None
) -> list[Motion]:
    """All motions submitted in a period."""
    return await _motions(connection, [visible, *submitted_in(begin, end)])


async def _motions(
    connection: AsyncConnection,
    conditions: list[ColumnElement[bool]],
    *,
    limit: int | None = None,
    offset: int = 0,
) -> list[Motion]:
    motions, deadlines = tables.motions, tables.motion_deadlines
    rows = await connection.execute(
        select(motions)
        .where(*conditions)
        .order_by(func.coalesce(motions.c.submitted_at, motions.c.drafted_at).desc(), motions.c.id)
        .limit(limit)
        .offset(offset)
    )
    found = rows.mappings().all()
    dues: dict[UUID, list[Due]] = {row["id"]: [] for row in found}
    if dues:
        entries = await connection.execute(
            select(deadlines.c.motion_id, *_DUE)
            .where(deadlines.c.motion_id.in_(list(dues)))
            .order_by(deadlines.c.motion_id, deadlines.c.number)
        )
        for entry in entries.mappings():
            dues[entry["motion_id"]].append(due_of(entry))
    return [motion_of(row, dues[row["id"]]) for row in found]


async def steps(connection: AsyncConnection, motion_id: UUID) -> list[dict[str, Any]]:
    """Every step of a motion: what, who, when, why."""
    found = tables.motion_steps
    rows = await connection.execute(
        select(*(c for c in found.c if c.name != "motion_id"))
        .where(found.c.motion_id == motion_id)
        .order_by(found.c.number)
    )
    return dictionaries(rows)


async def open_deadlines(
    connection: AsyncConnection,
    visible: ColumnElement[bool],
    until: datetime | None,
    *,
    number: int,
    size: int,
) -> list[dict[str, Any]]:
    """Open deadlines of motions, the most urgent first."""
    motions, deadlines = tables.motions, tables.motion_deadlines
    conditions = [visible, deadlines.c.ended.is_(None)]
    if until is not None:
        conditions.append(deadlines.c.at <= until)
    rows = await connection.execute(
        select(deadlines, motions.c.state, motions.c.lead)
        .join(motions, motions.c.id == deadlines.c.motion_id)
        .where(*conditions)
        .order_by(deadlines.c.at, deadlines.c.motion_id, deadlines.c.number)
        .limit(size)
        .offset((number - 1) * size)
    )
    return dictionaries(rows)


_PROMISES = (
    func.jsonb_to_recordset(tables.motions.c.promises)
    .table_valued(
        column("number", Integer),
        column("department", Text),
        column("sealed", Text),
        column("due", Date),
        column("state", Text),
        column("made_at", DateTime(timezone=True)),
        column("reported_at", DateTime(timezone=True)),
        column("report", Text),
        column("rating", Text),
        column("postponed", Integer),
    )
    .render_derived(name="promise", with_types=True)
)


def promised_by(code: str) -> ColumnElement[bool]:
    """What a department promised, in the list of promises, whether it still handles the motion or not."""
    found: ColumnElement[bool] = _PROMISES.c.department == code
    return found


@dataclass(frozen=True)
class PromisesAsked:
    """Which promises are asked for; `overdue` is judged at `now`."""

    visible: ColumnElement[bool]
    department: str | None
    state: str | None
    overdue: bool
    now: datetime


async def promises(
    connection: AsyncConnection, asked: PromisesAsked, *, number: int, size: int
) -> tuple[list[dict[str, Any]], int]:
    """One page of the promises across motions 承诺台账, by the date they are promised for, and how many there are.

    `report_by` is until when the department must report; None where nothing is owed. Words are still sealed.
    """
    motions, deadlines, promise = tables.motions, tables.motion_deadlines.c, _PROMISES.c
    open_now = and_(
        deadlines.motion_id == motions.c.id,
        deadlines.kind == "promise",
        deadlines.promise == promise.number,
        deadlines.ended.is_(None),
    )
    late = exists().where(open_now, deadlines.at < asked.now)
    conditions = [asked.visible]
    if asked.department is not None:
        conditions.append(promise.department == asked.department)
    if asked.state is not None:
        conditions.append(promise.state == asked.state)
    if asked.overdue:
        conditions.append(late)
    every = motions.join(_PROMISES, true())
    total = await connection.scalar(select(func.count()).select_from(every).where(*conditions))
    rows = await connection.execute(
        select(
            motions.c.id.label("motion_id"),
            motions.c.number.label("motion_number"),
            motions.c.sealed.label("motion_sealed"),
            motions.c.congress,
            promise.number,
            promise.department,
            promise.sealed,
            promise.due,
            promise.state,
            promise.made_at,
            promise.reported_at,
            promise.report,
            promise.rating,
            func.coalesce(promise.postponed, 0).label("postponed"),
            select(func.min(deadlines.at)).where(open_now).scalar_subquery().label("report_by"),
            late.label("overdue"),
        )
        .select_from(every)
        .where(*conditions)
        .order_by(promise.due, motions.c.id, promise.number)
        .limit(size)
        .offset((number - 1) * size)
    )
    return dictionaries(rows), int(total or 0)


async def referrals(connection: AsyncConnection, case_id: UUID) -> list[dict[str, Any]]:
    """What became of a case besides."""
    found = tables.case_referrals.c
    rows = await connection.execute(
        select(tables.case_referrals).where(found.case_id == case_id).order_by(found.at)
    )
    return dictionaries(rows)


def shown(due: Due) -> Mapping[str, Any]:
    """A deadline as JSON."""
    return {str(column.name): getattr(due, column.name) for column in _DUE}
