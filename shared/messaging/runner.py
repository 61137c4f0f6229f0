"""The heart: one batch of records, one transaction, then the offsets.

Order of the steps: decode each record by itself; claim ids; handle the fresh ones in order; write
state, messages, outcomes and dead letters; commit. `run` returns only after the commit, and the
caller then commits the offsets, so that a crash anywhere repeats and never loses.

What goes wrong: a refusal is an outcome; what passes by itself is retried with growing delays and
then raised as `Rewind`; anything else halves the batch until the one record that fails stands alone
and becomes a dead letter with its original bytes.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from shared.contracts.registry import Contract
from shared.database.engine import UNIQUE_VIOLATION, constraint_of, is_transient, sqlstate_of
from shared.messaging import failpoints, inbox
from shared.messaging.received import Decoder, Received, Record, Unit, Unreadable
from shared.messaging.retry import delay_seconds
from shared.messaging.work import Work
from shared.refusals import Refusal
from shared.telemetry import metrics, tracing
from shared.telemetry.logging import logger

Handler = Callable[[Sequence[Received[Any]], Work], Awaitable[None]]

_UNIQUE_ATTEMPTS = 2

log = logger(__name__)


class Rewind(Exception):  # noqa: N818 - a signal to the consumer
    """The batch could not be handled now; its records are to be fetched again."""


@dataclass(frozen=True)
class Limits:
    """How often and how long a batch is retried, and how many dead letters in a row stop a topic."""

    attempts_max: int
    first_seconds: float
    longest_seconds: float
    dead_in_a_row_max: int


class Runner:
    """Handles batches for one service; `handlers` maps a message class to what handles it."""

    def __init__(
        self,
        *,
        service: str,
        engine: AsyncEngine,
        decoder: Decoder,
        handlers: Mapping[type[Contract], Handler],
        limits: Limits,
        refusals_by_constraint: Mapping[str, Refusal] | None = None,
        on_turn: Callable[[], None] = lambda: None,
    ) -> None:
        self._service = service
        self._engine = engine
        self._decoder = decoder
        self._handlers = handlers
        self._limits = limits
        self._refusals = refusals_by_constraint or {}
        self._on_turn = on_turn
        self._dead_in_a_row: dict[str, int] = defaultdict(int)

    async def run(self, records: Sequence[Record]) -> set[str]:
        """Handle a batch to the end. Returns topics to pause because of too many dead letters in a row.

        Raises Rewind when the database or identity's keys stay out of reach.
        """
        started = time.perf_counter()
        failpoints.reach("after-receive")
        units = await self._patiently(lambda: self._decode(records))
        with tracing.batch_span("batch", (u.envelope.traceparent for u in units if u.envelope)):
            await self._handle(units)
        failpoints.reach("after-commit")
        metrics.BATCH_SIZE.labels(self._service).observe(len(records))
        metrics.BATCH_SECONDS.labels(self._service).observe(time.perf_counter() - started)
        return {
            topic for topic, count in self._dead_in_a_row.items() if count >= self._limits.dead_in_a_row_max
        }

    async def _decode(self, records: Sequence[Record]) -> list[Unit]:
        return [await self._decoder.decode(record) for record in records]

    async def _patiently(self, attempt_once: Callable[[], Awaitable[list[Unit]]]) -> list[Unit]:
        """Try until it works or the attempts are used up; passes on what does not pass by itself."""
        unique_violations = 0
        for attempt in range(1, self._limits.attempts_max + 1):
            self._on_turn()
            try:
                return await attempt_once()
            except Exception as error:
                if sqlstate_of(error) == UNIQUE_VIOLATION:
                    unique_violations += 1
                    if unique_violations >= _UNIQUE_ATTEMPTS:
                        raise
                elif not is_transient(error):
                    raise
                metrics.RETRIES.labels(self._service, type(error).__name__).inc()
                log.warning(
                    "batch-retried", attempt=attempt, error=type(error).__name__, sqlstate=sqlstate_of(error)
                )
                last = error
            limits = self._limits
            await asyncio.sleep(
                delay_seconds(attempt, first=limits.first_seconds, longest=limits.longest_seconds)
            )
        raise Rewind from last

    async def _handle(self, units: list[Unit]) -> None:
        try:
            dead = await self._patiently(lambda: self._transact(units))
        except Rewind:
            raise
        except Exception as error:  # noqa: BLE001 - ends in a dead letter, and says so
            if len(units) == 1:
                await self._bury(units[0], error)
                return
            middle = len(units) // 2
            await self._handle(units[:middle])
            await self._handle(units[middle:])
            return
        buried = {id(unit) for unit in dead}
        for unit in units:
            topic = unit.position.topic
            self._dead_in_a_row[topic] = self._dead_in_a_row[topic] + 1 if id(unit) in buried else 0

    async def _transact(self, units: list[Unit]) -> list[Unit]:
        async with self._engine.begin() as connection:
            work = Work(connection, self._service)
            fresh = await inbox.claim(work, units)
            messages = await inbox.bury_unreadable(work, fresh)
            await self._dispatch(messages, work)
            await work.write()
            failpoints.reach("before-commit")
        for message in messages:
            metrics.HANDLED.labels(self._service, message.envelope.type, "done").inc()
        return [unit for unit in fresh if isinstance(unit, Unreadable)]

    async def _dispatch(self, messages: Sequence[Received[Contract]], work: Work) -> None:
        """Hand runs of messages with the same handler over together, keeping the order."""
        start = 0
        while start < len(messages):
            handler = self._handlers[type(messages[start].data)]
            end = start + 1
            while end < len(messages) and self._handlers[type(messages[end].data)] is handler:
                end += 1
            await handler(messages[start:end], work)
            start = end

    async def _bury(self, unit: Unit, error: Exception) -> None:
        refusal = self._refusals.get(constraint_of(error) or "")
        if refusal is not None and isinstance(unit, Received) and unit.is_command:
            message = unit

            async def refuse() -> list[Unit]:
                async with self._engine.begin() as connection:
                    work = Work(connection, self._service)
                    if await inbox.claim(work, [message]):
                        work.reject(message, refusal)
                    await work.write()
                return []

            await self._patiently(refuse)
            return
        at = unit.position
        log.error(
            "dead-letter",
            topic=at.topic,
            partition=at.partition,
            offset=at.offset,
            error=type(error).__name__,
            sqlstate=sqlstate_of(error),
            correlationid=unit.envelope.correlationid if unit.envelope else None,
        )

        async def bury() -> list[Unit]:
            async with self._engine.begin() as connection:
                work = Work(connection, self._service)
                if await inbox.claim_as_dead(work, unit):
                    detail = f"{type(error).__name__} {sqlstate_of(error) or ''}".strip()
                    work.bury(unit, "handler-failed", detail, attempts=1)
                await work.write()
            return []

        await self._patiently(bury)
        self._dead_in_a_row[at.topic] += 1
