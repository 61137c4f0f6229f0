"""The read side of participation: the only place that reads for others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, FromClause, Select, and_, func, select, true
from sqlalchemy.ext.asyncio import AsyncConnection

from services.participation import tables
from shared.database.rows import dictionaries

Conditions = Sequence[ColumnElement[bool]]
Page = tuple[list[dict[str, Any]], int]


async def _page(
    connection: AsyncConnection,
    found: Select[Any],
    source: FromClause,
    conditions: Conditions,
    *,
    number: int,
    size: int,
) -> Page:
    total = await connection.scalar(select(func.count()).select_from(source).where(*conditions))
    rows = await connection.execute(found.where(*conditions).limit(size).offset((number - 1) * size))
    return dictionaries(rows), int(total or 0)


def _activities(person: UUID | None) -> Select[Any]:
    """Activities, with the part of one person in each."""
    mine = tables.attendances.c
    own = and_(mine.activity_id == tables.activities.c.id, mine.deputy_id == person)
    return select(tables.activities, mine.signed_up_at, mine.checked_in_at).outerjoin(tables.attendances, own)


async def activities(
    connection: AsyncConnection, conditions: Conditions, *, person: UUID | None, number: int, size: int
) -> Page:
    """One page of activities, the latest start first, and how many there are in all."""
    of = tables.activities
    ordered = _activities(person).order_by(of.c.starts_at.desc(), of.c.id)
    return await _page(connection, ordered, of, conditions, number=number, size=size)


async def activity(
    connection: AsyncConnection, activity_id: UUID, *, person: UUID | None
) -> dict[str, Any] | None:
    """An activity with one person's part in it, or None."""
    found = await connection.execute(_activities(person).where(tables.activities.c.id == activity_id))
    row = found.mappings().first()
    return None if row is None else dict(row)


async def attendances(connection: AsyncConnection, activity_id: UUID, *, number: int, size: int) -> Page:
    """One page of who signed up for an activity and who came, the earliest first, and how many there are."""
    of = tables.attendances
    found = select(of.c.deputy_id, of.c.signed_up_at, of.c.checked_in_at)
    ordered = found.order_by(of.c.signed_up_at, of.c.deputy_id)
    return await _page(connection, ordered, of, [of.c.activity_id == activity_id], number=number, size=size)


def _consultations(person: UUID | None) -> Select[Any]:
    """Consultations, with the answer of one person to each."""
    mine = tables.answers.c
    own = and_(mine.consultation_id == tables.consultations.c.id, mine.deputy_id == person)
    return select(tables.consultations, mine.answered_at, mine.answers).outerjoin(tables.answers, own)


async def consultations(
    connection: AsyncConnection, conditions: Conditions, *, person: UUID | None, number: int, size: int
) -> Page:
    """One page of consultations, the newest first, and how many there are in all."""
    of = tables.consultations
    ordered = _consultations(person).order_by(of.c.opened_at.desc(), of.c.id)
    return await _page(connection, ordered, of, conditions, number=number, size=size)


async def consultation(
    connection: AsyncConnection, consultation_id: UUID, *, person: UUID | None
) -> dict[str, Any] | None:
    """A consultation with one person's answer to it, or None."""
    found = await connection.execute(
        _consultations(person).where(tables.consultations.c.id == consultation_id)
    )
    row = found.mappings().first()
    return None if row is None else dict(row)


def _keys(consultation: dict[str, Any], kind: str) -> list[str]:
    return [question["key"] for question in consultation["questions"] if question["kind"] == kind]


async def results(connection: AsyncConnection, consultation: dict[str, Any]) -> dict[str, dict[str, int]]:
    """How often each option of each choice was chosen, those never chosen included."""
    given = func.jsonb_each_text(tables.answers.c.answers).table_valued("key", "value", name="given")
    rows = await connection.execute(
        select(given.c.key, given.c.value, func.count())
        .select_from(tables.answers.join(given, true()))
        .where(
            tables.answers.c.consultation_id == consultation["id"],
            given.c.key.in_(_keys(consultation, "choice")),
        )
        .group_by(given.c.key, given.c.value)
    )
    counts = {
        question["key"]: dict.fromkeys(question["options"], 0)
        for question in consultation["questions"]
        if question["kind"] == "choice"
    }
    for key, option, count in rows:
        counts[key][option] = count
    return counts


async def opinions(
    connection: AsyncConnection,
    consultation: dict[str, Any],
    *,
    question: str | None,
    number: int,
    size: int,
) -> Page:
    """One page of the opinions in words, the earliest first, and how many there are in all."""
    table = tables.answers
    given = func.jsonb_each_text(table.c.answers).table_valued("key", "value", name="given")
    source = table.join(given, true())
    keys = [key for key in _keys(consultation, "text") if question in (None, key)]
    conditions = [table.c.consultation_id == consultation["id"], given.c.key.in_(keys)]
    found = select(
        table.c.deputy_id, given.c.key.label("question"), given.c.value.label("text"), table.c.answered_at
    ).select_from(source)
    ordered = found.order_by(table.c.answered_at, table.c.deputy_id, given.c.key)
    return await _page(connection, ordered, source, conditions, number=number, size=size)


DUTIES = tables.duties.outerjoin(tables.deputies, tables.duties.c.deputy_id == tables.deputies.c.id)
"""Each with what is known of its deputy."""


async def duties(connection: AsyncConnection, conditions: Conditions, *, number: int, size: int) -> Page:
    """One page of duties, the newest first, and how many there are in all."""
    of = tables.duties
    ordered = select(of).select_from(DUTIES).order_by(of.c.declared_at.desc(), of.c.id)
    return await _page(connection, ordered, DUTIES, conditions, number=number, size=size)


async def duty(
    connection: AsyncConnection, duty_id: UUID, conditions: Conditions = ()
) -> dict[str, Any] | None:
    """A duty that meets the conditions, or None."""
    asked = select(tables.duties).select_from(DUTIES).where(tables.duties.c.id == duty_id, *conditions)
    found = await connection.execute(asked)
    row = found.mappings().first()
    return None if row is None else dict(row)


async def figures(connection: AsyncConnection) -> dict[str, Any]:
    """How many activities, sign-ups, check-ins, consultations, answers, opinions, and duties by state."""
    activities, consultations, duties = tables.activities.c, tables.consultations.c, tables.duties.c
    held = (
        await connection.execute(
            select(func.count(), func.sum(activities.sign_ups), func.sum(activities.check_ins)).select_from(
                tables.activities
            )
        )
    ).one()
    asked = (
        (
            await connection.execute(
                select(
                    consultations.id, consultations.kind, consultations.respondents, consultations.opinions
                )
            )
        )
        .mappings()
        .all()
    )
    logged = await connection.execute(
        select(duties.state, func.count().label("number")).group_by(duties.state)
    )
    by_kind = {
        kind: {"consultations": 0, "answers": 0, "opinions": 0} for kind in ("legislation", "questionnaire")
    }
    for row in asked:
        counted = by_kind[row["kind"]]
        counted["consultations"] += 1
        counted["answers"] += row["respondents"]
        counted["opinions"] += row["opinions"]
    return {
        "activities": held[0],
        "sign_ups": int(held[1] or 0),
        "check_ins": int(held[2] or 0),
        "consultations": len(asked),
        "answers": sum(row["respondents"] for row in asked),
        "opinions": sum(row["opinions"] for row in asked),
        "by_kind": by_kind,
        "by_consultation": {
            str(row["id"]): {"respondents": row["respondents"], "opinions": row["opinions"]} for row in asked
        },
        "duties": {"declared": 0, "confirmed": 0, "rejected": 0, "withdrawn": 0}
        | {row.state: row.number for row in logged},
    }
