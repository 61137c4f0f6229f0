"""The read side of cases: the only place that reads for others."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.cases import tables
from shared.database.rows import dictionaries

_SHOWN = [column for column in tables.cases.c if column.name != "answer"]


async def page(
    connection: AsyncConnection, conditions: list[ColumnElement[bool]], *, number: int, size: int
) -> tuple[list[dict[str, Any]], int]:
    """One page of cases, newest first, and how many there are in all."""
    total = await connection.scalar(select(func.count()).select_from(tables.cases).where(*conditions))
    rows = await connection.execute(
        select(*_SHOWN)
        .where(*conditions)
        .order_by(tables.cases.c.filed_at.desc(), tables.cases.c.id)
        .limit(size)
        .offset((number - 1) * size)
    )
    return dictionaries(rows), int(total or 0)


async def one(connection: AsyncConnection, case_id: UUID) -> dict[str, Any] | None:
    """A case with its steps, or None."""
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
    return {**found, "steps": dictionaries(steps)}


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
