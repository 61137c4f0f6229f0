"""The read side of cases: the only place that reads for others."""

from __future__ import annotations

from typing import Any, Literal
from uuid import UUID

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.cases import tables
from shared.database.rows import dictionaries

_SHOWN = [column for column in tables.cases.c if column.name not in ("answer", "clock")]
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


async def figures(connection: AsyncConnection) -> dict[str, Any]:
    """How many cases were filed, and how many stand in each state and result."""
    cases = tables.cases.c
    rows = await connection.execute(
        select(
            cases.state, cases.result, func.count().label("count"), func.count(cases.stars).label("rated")
        ).group_by(cases.state, cases.result)
    )
    found: dict[str, Any] = {"filed": 0, "rated": 0, "states": {}, "results": {}}
    for row in rows.mappings():
        found["filed"] += row["count"]
        found["rated"] += row["rated"]
        found["states"][row["state"]] = found["states"].get(row["state"], 0) + row["count"]
        if row["state"] == "closed":
            found["results"][row["result"]] = found["results"].get(row["result"], 0) + row["count"]
    found["closed"] = found["states"].get("closed", 0)
    returned = await connection.scalar(
        select(func.count()).select_from(tables.case_steps).where(tables.case_steps.c.step == "returned")
    )
    found["returned"] = int(returned or 0)
    return found
