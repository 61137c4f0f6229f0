"""The read side of cases: the only place that reads for others."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.cases import tables
from services.cases.metrics import CaseRow
from shared.database.rows import dictionaries

_SHOWN = [column for column in tables.cases.c if column.name not in ("answer", "clock")]
_ACCEPTED = ("accepted", "in-progress", "waiting", "answered", "closed")
OVERDUE = 2
"""From this `chased` on, a case's answer is overdue: it was urged because the deadline had passed."""


async def page(
    connection: AsyncConnection,
    conditions: list[ColumnElement[bool]],
    *,
    sort: Literal["newest", "deadline"] = "newest",
    number: int,
    size: int,
) -> tuple[list[dict[str, Any]], int]:
    """One page of cases, newest or most pressing first, and how many there are in all."""
    cases = tables.cases.c
    order = cases.filed_at.desc() if sort == "newest" else cases.answer_by.asc().nulls_last()
    total = await connection.scalar(select(func.count()).select_from(tables.cases).where(*conditions))
    rows = await connection.execute(
        select(*_SHOWN).where(*conditions).order_by(order, cases.id).limit(size).offset((number - 1) * size)
    )
    return dictionaries(rows), int(total or 0)


async def one(connection: AsyncConnection, case_id: UUID) -> dict[str, Any] | None:
    """A case with its steps, and the cases that were merged into it or split from it; None where there is none."""
    found = (
        (await connection.execute(select(tables.cases).where(tables.cases.c.id == case_id)))
        .mappings()
        .first()
    )
    if found is None:
        return None
    steps = await connection.execute(
        select(tables.case_steps)
        .where(tables.case_steps.c.case_id == case_id)
        .order_by(tables.case_steps.c.number)
    )
    cases = tables.cases.c
    related = await connection.execute(
        select(cases.id, cases.state, cases.merged_into, cases.split_from)
        .where(or_(cases.merged_into == case_id, cases.split_from == case_id))
        .order_by(cases.id)
    )
    return {**found, "steps": dictionaries(steps), "related": dictionaries(related)}


async def metric_groups(
    connection: AsyncConnection, conditions: list[ColumnElement[bool]], as_of: datetime
) -> list[tuple[CaseRow, int]]:
    """Cases in groups that every metric judges alike, counted by the database.

    Of moments only their order matters to a metric, so a group has stand-ins for them: an answer on time lies
    at its deadline, a late one behind it.
    """
    cases = tables.cases.c
    answered = cases.answered_at.is_not(None)
    parts = (
        cases.state,
        cases.merged_into.is_not(None).label("merged"),
        cases.answer_by.is_not(None).label("dated"),
        (cases.answer_by < as_of).label("past"),
        answered.label("answered"),
        cases.on_time,
        cases.result,
        cases.stars,
        or_(cases.department.is_not(None), cases.returned > 0).label("routed"),
        (cases.returned + cases.transferred > 0).label("moved"),
        (cases.reopened > 0).label("reopened"),
    )
    judged = select(*parts).where(*conditions).subquery()
    rows = await connection.execute(select(judged, func.count().label("number")).group_by(*judged.columns))
    moment = timedelta(microseconds=1)
    found = []
    for row in rows:
        answer_by = (as_of - moment if row.past else as_of) if row.dated else None
        late = moment if row.on_time is False else timedelta(0)
        one = CaseRow(
            state=row.state,
            merged=row.merged,
            answer_by=answer_by,
            waiting=row.state == "waiting",
            answered_at=(answer_by or as_of) + late if row.answered else None,
            result=row.result,
            stars=row.stars,
            routed=row.routed,
            accepted=row.answered or row.reopened or row.state in _ACCEPTED,
            moved=int(row.moved),
            reopened=int(row.reopened),
        )
        found.append((one, row.number))
    return found


async def figures(connection: AsyncConnection) -> dict[str, Any]:
    """How many cases were filed, rated, merged and reopened, and how many stand in each state and result."""
    cases = tables.cases.c
    rows = await connection.execute(
        select(
            cases.state,
            cases.result,
            func.count().label("count"),
            func.count(cases.stars).label("rated"),
            func.count(cases.merged_into).label("merged"),
            func.count().filter(cases.reopened > 0).label("reopened"),
        ).group_by(cases.state, cases.result)
    )
    found: dict[str, Any] = {"filed": 0, "rated": 0, "merged": 0, "reopened": 0, "states": {}, "results": {}}
    for row in rows.mappings():
        found["filed"] += row["count"]
        for name in ("rated", "merged", "reopened"):
            found[name] += row[name]
        found["states"][row["state"]] = found["states"].get(row["state"], 0) + row["count"]
        if row["state"] == "closed":
            found["results"][row["result"]] = found["results"].get(row["result"], 0) + row["count"]
    found["closed"] = found["states"].get("closed", 0)
    returned = await connection.scalar(
        select(func.count()).select_from(tables.case_steps).where(tables.case_steps.c.step == "returned")
    )
    found["returned"] = int(returned or 0)
    return found


async def steps(
    connection: AsyncConnection, conditions: list[ColumnElement[bool]], *, most: int
) -> list[dict[str, Any]]:
    """Steps of cases, oldest first; the conditions may be on the step and on its case."""
    step = tables.case_steps.c
    found = await connection.execute(
        select(step.case_id, step.number, step.step, step.at, step.text)
        .join(tables.cases, tables.cases.c.id == step.case_id)
        .where(*conditions)
        .order_by(step.at, step.case_id, step.number)
        .limit(most)
    )
    return dictionaries(found)


async def photos(connection: AsyncConnection, case_id: UUID) -> list[dict[str, Any]]:
    """Digest, step and state of a case's photos, in the order in which they came."""
    photo = tables.case_photos.c
    found = await connection.execute(
        select(photo.digest, photo.number.label("step"), photo.state)
        .where(photo.case_id == case_id)
        .order_by(photo.number, photo.digest)
    )
    return dictionaries(found)
