"""What falls due in cases and motions, and what a new calendar changes: the loop that no message starts.

It reads the business clock and claims ripe rows; what then happens is decided by the command that it
sends to its own service, from the case or motion as it stands. Invariant: while the clock is not known to be
right (a simulation's ticks have not been read yet) nothing falls due.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Table, delete, select
from sqlalchemy.exc import SQLAlchemyError

from services.cases.motions.store import redate_open_motions
from services.cases.motions.tables import motion_due
from services.cases.store import redate_open_cases
from services.cases.tables import case_due
from shared.contracts.cases import FallDue
from shared.contracts.motions import FallMotionDue
from shared.contracts.registry import Contract
from shared.host import Loop, Surroundings
from shared.messaging.work import Work
from shared.telemetry.logging import logger

LOOP = "due"
_CLAIMED_MAX = 500
_IDLE_SECONDS = 1.0

_COMMANDS: Mapping[Table, Callable[[Any, datetime], Contract]] = {
    case_due: lambda due, at: FallDue(due=due, at=at),
    motion_due: lambda number, at: FallMotionDue(number=number, at=at),
}
"""Of each table of what falls due the command that says so; its key is a subject, and which of its deadlines."""

log = logger(__name__)


def falling_due(calendar: str) -> Loop:
    """The loop; `calendar` is the version with which deadlines are counted now."""

    async def run(around: Surroundings) -> None:
        def claimed(waiting: Table) -> Awaitable[int]:
            now = around.clock.now
            return _until_done(around, lambda work: claim(work, waiting, now(), most=_CLAIMED_MAX))

        await _until_done(around, lambda work: redate_open_cases(work, calendar, around.clock.now()))
        await _until_done(around, lambda work: redate_open_motions(work, calendar, around.clock.now()))
        while True:
            found = [await claimed(waiting) for waiting in _COMMANDS]
            if max(found) < _CLAIMED_MAX:
                await asyncio.sleep(_IDLE_SECONDS)

    return run


async def claim(work: Work, waiting: Table, now: datetime, *, most: int) -> int:
    """Turn what has fallen due in a table into commands of the service to itself; returns how many.

    Rows are claimed so that several replicas share them. What changes before its command is handled gets its
    rows anew, and the command then finds nothing to do.
    """
    subject, which = waiting.primary_key.columns
    at = waiting.c.at
    ripe = (
        select(subject, which)
        .where(at <= now)
        .order_by(at)
        .limit(most)
        .with_for_update(skip_locked=True)
        .cte("ripe")
    )
    rows = await work.connection.execute(
        delete(waiting)
        .where(subject == ripe.c[subject.name], which == ripe.c[which.name])
        .returning(subject, which, at)
    )
    ripened = sorted(rows, key=lambda row: row.at)
    for about, what, moment in ripened:
        work.announce(_COMMANDS[waiting](what, moment), subject=about, time=moment)
    return len(ripened)


async def _until_done(around: Surroundings, act: Callable[[Work], Awaitable[int]]) -> int:
    """Do something in a transaction of its own once the clock is right, as often as it takes."""
    while True:
        around.health.turn(LOOP)
        if around.clock.settled:
            try:
                async with around.engine.begin() as connection:
                    work = Work(connection, "cases")
                    done = await act(work)
                    await work.write()
            except (SQLAlchemyError, OSError, TimeoutError) as error:
                log.warning("due-work-waits", error=type(error).__name__)
            else:
                return done
        await asyncio.sleep(_IDLE_SECONDS)
