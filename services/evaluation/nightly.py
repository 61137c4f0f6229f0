"""The nightly audit 夜间核算: a sample of deputies reckoned anew from their ledger rows and held against what is kept.

Each night another sample, drawn by the day, so that whoever repeats it draws the same. Sums and totals are
derived from the rows alone, by the rules of `domain`; what differs raises an alarm (log line, metric) and
changes nothing: the cause must be found first. Invariants: all that is compared of a deputy is of one moment;
a total that is still to be settled is left to the next night; one process audits a night, and no failure of
the audit touches the service's work or its readiness.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from time import perf_counter

import prometheus_client
from sqlalchemy.ext.asyncio import AsyncEngine

from services.evaluation import queries
from services.evaluation.domain import CHINA
from services.evaluation.reckoning import Difference, differences
from services.evaluation.store import EvaluationStore
from shared.host import Surroundings
from shared.telemetry import metrics
from shared.telemetry.logging import logger

LOOP = "audit"
AT = time(2, 0)
"""When a night's audit is due, by the clock in China."""
_LOOK_SECONDS = 30.0
_AT_ONCE = 10
"""So many deputies at a time: in a ledger of a hundred million rows each has ten thousand."""
_SHOWN = 10

AUDITED = prometheus_client.Gauge(
    "dbt_score_audit_deputies",
    "Deputies whom the last nightly audit reckoned anew",
    registry=metrics.REGISTRY,
)
DIFFERENCES = prometheus_client.Gauge(
    "dbt_score_audit_differences",
    "Sums and totals that the last nightly audit found to differ from the ledger",
    registry=metrics.REGISTRY,
)
FINISHED = prometheus_client.Gauge(
    "dbt_score_audit_finished_seconds",
    "When the last nightly audit ended, Unix time",
    registry=metrics.REGISTRY,
)

log = logger(__name__)


@dataclass(frozen=True)
class Audit:
    """What an audit found."""

    day: date
    deputies: int
    rows: int
    differences: tuple[Difference, ...]


async def audit(
    engine: AsyncEngine, store: EvaluationStore, day: date, sample: int, turn: Callable[[], None]
) -> Audit:
    """Reckon a sample of the day anew; `turn` is called now and again meanwhile."""
    async with engine.connect() as connection:
        drawn = await queries.sample(connection, seed=day.toordinal(), size=sample)
    rows, found = 0, list[Difference]()
    for start in range(0, len(drawn), _AT_ONCE):
        turn()
        async with engine.connect() as connection:
            # One moment for all that is read; and a reading never waits for a batch, or a batch for it.
            await connection.execution_options(isolation_level="REPEATABLE READ")
            held = await queries.held(connection, drawn[start : start + _AT_ONCE])
            schedule = await store.read_schedule(connection)
        began = perf_counter()
        rows += len(held.rows)
        found += await asyncio.to_thread(list, differences(schedule, held))
        await asyncio.sleep(perf_counter() - began)  # what came meanwhile has its turn
    return Audit(day, len(drawn), rows, tuple(found))


def night_of(wall: datetime) -> date:
    """The day whose audit is due at a wall time: from two o'clock in China on, that day's."""
    return (wall.astimezone(CHINA) - timedelta(hours=AT.hour, minutes=AT.minute)).date()


async def one_night(
    around: Surroundings, store: EvaluationStore, wall: datetime, sample: int
) -> Audit | None:
    """The audit that is due, unless it was made, another process is at it, or there is nobody to audit."""
    day = night_of(wall)
    async with around.engine.begin() as connection:
        if not await store.hold_audit(connection, day):
            return None
        found = await audit(around.engine, store, day, sample, lambda: around.health.turn(LOOP))
        if not found.deputies:
            return None
        await store.add_audit(connection, day, found.deputies, found.rows, len(found.differences))
    for one in found.differences[:_SHOWN]:
        log.error(
            "score-differs",
            deputy_id=str(one.deputy_id),
            year=one.year,
            month=one.month and one.month % 12 + 1,
            item=one.item,
            held=one.held,
            reckoned=one.reckoned,
        )
    if found.differences:
        log.error("score-audit-differs", day=str(day), count=len(found.differences), deputies=found.deputies)
    else:
        log.info("score-audit-agrees", day=str(day), deputies=found.deputies, rows=found.rows)
    return found


async def auditing(store: EvaluationStore, sample: int, around: Surroundings) -> None:
    """Make each night's audit, and show what the last one found. Runs until cancelled, in every process.

    By the wall clock, in a simulation too: there a night passes every few moments.
    """
    while True:
        around.health.turn(LOOP)
        try:
            await one_night(around, store, datetime.now(UTC), sample)
            async with around.engine.connect() as connection:
                last = await queries.last_audit(connection)
            if last is not None:
                AUDITED.set(last["deputies"])
                DIFFERENCES.set(last["differences"])
                FINISHED.set(last["finished_at"].timestamp())
        except Exception as error:  # noqa: BLE001 - an audit that fails must not end the service
            log.warning("score-audit-failed", error=type(error).__name__)
        await asyncio.sleep(_LOOK_SECONDS)
