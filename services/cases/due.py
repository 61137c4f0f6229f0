"""What falls due in cases and motions, and what a new calendar changes: the loop that no message starts.

It reads the business clock and claims ripe rows; what then happens is decided by the command that it
sends to its own service, from the case or motion as it stands. Invariant: while the clock is not known to be
right (a simulation's ticks have not been read yet) nothing falls due.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from sqlalchemy.exc import SQLAlchemyError

from services.cases.motions.store import claim_motions_due, redate_open_motions
from services.cases.store import claim_due, redate_open_cases
from shared.host import Loop, Surroundings
from shared.messaging.work import Work
from shared.telemetry.logging import logger

LOOP = "due"
_CLAIMED_MAX = 500
_IDLE_SECONDS = 1.0

log = logger(__name__)


def falling_due(calendar: str) -> Loop:
    """The loop; `calendar` is the version with which deadlines are counted now."""

    async def run(around: Surroundings) -> None:
        await _until_done(around, lambda work: redate_open_cases(work, calendar, around.clock.now()))
        await _until_done(around, lambda work: redate_open_motions(work, calendar, around.clock.now()))
        while True:
            found = [
                await _until_done(
                    around, lambda work: claim_due(work, around.clock.now(), most=_CLAIMED_MAX)
                ),
                await _until_done(
                    around, lambda work: claim_motions_due(work, around.clock.now(), most=_CLAIMED_MAX)
                ),
            ]
            if max(found) < _CLAIMED_MAX:
                await asyncio.sleep(_IDLE_SECONDS)

    return run


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
