"""What was learnt when, and whether enough is new to learn again.

A lesson leaves a row, also one that made no model or the same one again: what cannot be learnt from the cases
that there are is tried again only when there are more. One that was killed or failed otherwise leaves none. Moments are those of the wall clock: training costs
real time of a processor, and in a simulation a week passes in a moment.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import and_, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.cases import queries, tables
from services.cases.settings import LearningSettings

CONFIRMED = and_(
    tables.cases.c.category.is_not(None),
    ~tables.cases.c.category_doubted,
    tables.cases.c.state.in_(queries.ACCEPTED),
)
"""A department took the case on under its category, be it as it was judged or as staff corrected it.

Not if the category is in doubt: the case went by it to a department whose business it was not.
"""


@dataclass(frozen=True)
class Lesson:
    """When something was learnt, or tried to, and how many confirmed cases there were then."""

    at: datetime
    confirmed: int


@dataclass(frozen=True)
class Standing:
    """How many confirmed cases there are now, and the last lesson."""

    now: datetime
    confirmed: int
    last: Lesson | None

    @property
    def new(self) -> int:
        """How many were confirmed since the last lesson."""
        return self.confirmed - (self.last.confirmed if self.last is not None else 0)


def is_due(standing: Standing, pace: LearningSettings) -> bool:
    """Whether to learn now: there are enough confirmed cases, enough of them new, and the last lesson is some time ago."""
    if standing.confirmed < pace.learn_first:
        return False
    if standing.last is None:
        return True
    rested = standing.now - standing.last.at >= timedelta(days=pace.learn_days)
    return rested and standing.new >= pace.learn_new


async def counts(connection: AsyncConnection) -> Mapping[str, int]:
    """How many confirmed cases there are, by category."""
    category = tables.cases.c.category
    rows = await connection.execute(select(category, func.count()).where(CONFIRMED).group_by(category))
    return {row[0]: row[1] for row in rows}


async def standing(connection: AsyncConnection) -> Standing:
    """How things stand at this moment."""
    lessons = tables.routing_lessons.c
    now = (await connection.execute(select(func.now()))).scalar_one()
    newest = select(lessons.at, lessons.confirmed).order_by(lessons.number.desc()).limit(1)
    row = (await connection.execute(newest)).one_or_none()
    last = Lesson(row.at, row.confirmed) if row is not None else None
    return Standing(now, sum((await counts(connection)).values()), last)


async def note(connection: AsyncConnection, confirmed: int, model: str | None) -> None:
    """Write a lesson down; `model` is what it made, None if nothing could be made of the cases."""
    row = {"confirmed": confirmed, "model": model}
    await connection.execute(insert(tables.routing_lessons).values(row))
