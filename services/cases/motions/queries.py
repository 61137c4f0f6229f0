"""The read side of motions: the only place that reads them for others."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import ColumnElement, and_, false, func, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.cases.motions import tables
from services.cases.motions.domain import PRIVATE, Due, Motion
from services.cases.motions.store import motion_of
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
            dues[entry["motion_id"]].append(Due(**{str(c.name): entry[c.name] for c in _DUE}))
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


async def referrals(connection: AsyncConnection, case_id: UUID, deputy: UUID | None) -> list[dict[str, Any]]:
    """What became of a case besides; for a deputy only of an own one."""
    found = tables.case_referrals.c
    own: ColumnElement[bool] = literal(True) if deputy is None else found.deputy_id == deputy
    rows = await connection.execute(
        select(tables.case_referrals).where(found.case_id == case_id, own).order_by(found.at)
    )
    return dictionaries(rows)


def shown(due: Due) -> Mapping[str, Any]:
    """A deadline as JSON."""
    return {str(column.name): getattr(due, column.name) for column in _DUE}
