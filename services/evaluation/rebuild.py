"""Ledger and buckets made anew beside the live service, and put in its place without a gap.

Everything goes the live way, with the same reading and the same statement, into a second set of tables that the
search path puts before the service's own: first the warehouse's events, where they are given, then the log from
where those end. Invariants: the live service goes on answering, and writing but for the moment of the exchange;
what takes the place of its tables holds the same records, neither more nor fewer, because writers wait while both
stand at the same fences; whose sums differ is settled anew and told as `score.changed`. A rebuild that ends early
leaves nothing that counts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from aiokafka import AIOKafkaConsumer, TopicPartition
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.evaluation import consumers
from services.evaluation.domain import AbsurdAmount, LedgerEntry
from services.evaluation.handlers import entries_of
from services.evaluation.intake import EventReading
from services.evaluation.queries import rows_handled_since
from services.evaluation.store import TAKE_IN, EvaluationStore
from shared.database.engine import is_transient, sqlstate_of
from shared.messaging import fences
from shared.messaging.clock import BusinessClock
from shared.messaging.fences import Log
from shared.messaging.kafka import open_reader
from shared.messaging.log_identity import identify
from shared.messaging.received import Decoder, Received, Record
from shared.security.tokens import Untrusted
from shared.settings import KafkaSettings

_SCHEMA = "rebuilt"
_SWAPPED = ("ledger", "buckets")
_MADE = (*_SWAPPED, "unsettled")
_BATCH_MAX = 5_000
_NEAR = 20_000
"""So many records behind the live service, its writers may be asked to wait for the rest."""
_TRIES = 20
# What was handled by itself, its fence not yet moved, is no older: retries end within five minutes.
_IN_FLIGHT = timedelta(minutes=10)

_TAKE_LOCK = "SELECT pg_try_advisory_lock(727_104)"
_GIVE_LOCK = "SELECT pg_advisory_unlock(727_104)"
_OPTIONS = "SELECT array_to_string(reloptions, ', ') FROM pg_class WHERE oid = $1::text::regclass"
_STAND = "SELECT topic, partition, next FROM fences WHERE cluster = $1 AND topic_id = ANY($2::uuid[])"
# Writers lock the ledger first, readers one table after the other: who waits longer than this gives way.
_PATIENCE = "SET LOCAL lock_timeout = '500ms'"
_WRITERS_WAIT = "LOCK TABLE public.ledger, public.buckets IN SHARE ROW EXCLUSIVE MODE"
_READERS_WAIT = "LOCK TABLE public.ledger, public.buckets IN ACCESS EXCLUSIVE MODE"
_DIFFERING = f"""
WITH sums AS (
    SELECT deputy_id, month, item, points FROM public.buckets WHERE points <> 0
    UNION ALL
    SELECT deputy_id, month, item, points FROM {_SCHEMA}.buckets WHERE points <> 0
)
SELECT DISTINCT deputy_id, month / 12 AS year FROM (
    SELECT deputy_id, month FROM sums GROUP BY deputy_id, month, item
    HAVING count(*) <> 2 OR min(points) <> max(points)
) AS d ORDER BY 1, 2
"""
_NOTE = "INSERT INTO public.unsettled (deputies, years) VALUES ($1::uuid[], $2::int[])"


class NoRebuild(Exception):  # noqa: N818 - told to the operator
    """Why there is no rebuild, and what to do."""


@dataclass(frozen=True)
class Rebuilt:
    """What a rebuild found. `differing` are deputies and years whose sums were not what the events give.

    `unusable` are records that the live service has as dead letters; `paused` are the seconds for which its
    writers waited.
    """

    records: int
    unusable: int
    rows: int
    differing: Sequence[tuple[UUID, int]]
    paused: float


class _Nobody:
    """No command is among events, so nobody's token is ever looked at."""

    async def verify(self, token: str, *, at: float) -> Any:  # noqa: ARG002 - as `Trust` says
        raise Untrusted("events carry no token")


class Rebuild:
    """One rebuild, in a process of its own beside those of the service."""

    def __init__(self, engine: AsyncEngine, settings: KafkaSettings) -> None:
        self._engine = engine
        self._settings = settings
        self._store = EvaluationStore()
        self._reading = EventReading(self._store, engine, consumers.taken_in())
        self._decoder = Decoder("evaluation", _Nobody(), BusinessClock("append"))
        self._log = Log("", {})
        self._held: dict[TopicPartition, int] = {}
        self._records = self._unusable = 0

    async def run(
        self,
        history: Iterable[Sequence[Record]] = (),
        positions: Mapping[str, int] | None = None,
        *,
        swap: bool = True,
    ) -> Rebuilt:
        """Build, catch up, compare, and put in place unless `swap` is false.

        Args:
            history: batches of records from elsewhere than the log, in any order.
            positions: `topic_id/partition` → the offset behind what `history` holds.
            swap: false only compares.

        Raises:
            NoRebuild: with the reason.
            KafkaError, DBAPIError: what broker or database said.
        """
        if self._settings.kafka_kind == "tansu":
            raise NoRebuild(
                "the fallback broker cannot tell where its log ends; a rebuild needs Apache Kafka"
            )
        since = datetime.now(UTC) - _IN_FLIGHT
        async with self._alone():
            await self._reading.refresh()
            await self._make()
            reader = await open_reader(self._settings, *consumers.EVENT_TOPICS, from_end=False)
            try:
                for batch in history:
                    await self._take_by_itself(batch)
                await self._begin(reader, positions or {})
                while True:
                    async with self._there() as connection:
                        ends = await self._ends(connection)
                    distance = sum(ends.values()) - sum(self._held[part] for part in ends)
                    await self._follow(reader, ends, self._take_by_itself)
                    if distance <= _NEAR:
                        break
                return await self._finish(reader, since, swap=swap)
            except DBAPIError as error:
                if sqlstate_of(error) == fences.STANDS_ELSEWHERE:
                    raise NoRebuild("a rubric was adopted meanwhile; begin again") from error
                raise
            finally:
                await reader.stop()

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Hold the rebuild's lock, and leave nothing behind."""
        async with self._engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            if not (await connection.exec_driver_sql(_TAKE_LOCK)).scalar():
                raise NoRebuild("another rebuild is under way")
            try:
                yield
            finally:
                await connection.exec_driver_sql(f"DROP SCHEMA IF EXISTS {_SCHEMA} CASCADE")
                await connection.exec_driver_sql(_GIVE_LOCK)

    @asynccontextmanager
    async def _there(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that finds the new tables where it names the old."""
        async with self._engine.begin() as connection:
            await connection.exec_driver_sql(f"SET LOCAL search_path TO {_SCHEMA}, public")
            yield connection

    async def _make(self) -> None:
        async with self._engine.begin() as connection:
            await connection.exec_driver_sql(f"DROP SCHEMA IF EXISTS {_SCHEMA} CASCADE")
            await connection.exec_driver_sql(f"CREATE SCHEMA {_SCHEMA}")
            for table in _MADE:
                options = (await connection.exec_driver_sql(_OPTIONS, (f"public.{table}",))).scalar()
                await connection.exec_driver_sql(
                    f"CREATE TABLE {_SCHEMA}.{table} (LIKE public.{table} INCLUDING ALL)"
                    + (f" WITH ({options})" if options else "")
                )

    # --- records

    async def _begin(self, reader: AIOKafkaConsumer, positions: Mapping[str, int]) -> None:
        self._log = await identify(reader._client, consumers.EVENT_TOPICS)
        parts = sorted(reader.assignment())
        beginnings = await reader.beginning_offsets(parts)
        for part in parts:
            position = positions.get(f"{self._log.topics[part.topic]}/{part.partition}", 0)
            if beginnings[part] > position:
                raise NoRebuild(
                    f"the log of {part.topic} begins at {beginnings[part]}, what was before must come from a "
                    f"warehouse, and this one ends at {position}"
                )
            self._held[part] = position

    async def _ends(self, connection: AsyncConnection) -> dict[TopicPartition, int]:
        """Where the live service stands, of the partitions in which it is further."""
        rows = await connection.exec_driver_sql(_STAND, (self._log.cluster, list(self._log.topics.values())))
        live = {TopicPartition(row.topic, row.partition): int(row.next) for row in rows}
        return {part: live[part] for part, at in self._held.items() if live.get(part, 0) > at}

    async def _follow(self, reader: AIOKafkaConsumer, ends: Mapping[TopicPartition, int], take: Any) -> None:
        """Take in what lies between here and these ends, and not a record more."""
        left = dict(ends)
        reader.pause(*self._held)
        for part in left:
            reader.seek(part, self._held[part])
        reader.resume(*left)
        while left:
            fetched = await reader.getmany(timeout_ms=200, max_records=_BATCH_MAX)
            found = [
                record
                for part, records in fetched.items()
                for record in records
                if record.offset < left.get(part, 0)
            ]
            if found:
                await take(found)
            for part, end in list(left.items()):
                # Offsets without a record, which compaction leaves, are passed over as well.
                self._held[part] = min(await reader.position(part), end)
                if self._held[part] == end:
                    reader.pause(part)
                    del left[part]

    async def _take_by_itself(self, records: Sequence[Record]) -> None:
        async with self._there() as connection:
            await self._take(connection, records)

    async def _take(self, connection: AsyncConnection, records: Sequence[Record]) -> None:
        batch = self._reading.read(records)
        await connection.exec_driver_sql(TAKE_IN, (*fences.columns(Log("", {}), ()), *batch.parameters))
        self._records += len(records)
        if not batch.set_aside:
            return
        schedule = await self._store.read_schedule(connection)
        rows: list[LedgerEntry] = []
        for record in batch.set_aside:
            unit = await self._decoder.decode(record)
            try:
                rows += entries_of(schedule, unit) if isinstance(unit, Received) else ()
            except (AbsurdAmount, ArithmeticError, LookupError, TypeError, ValueError):
                self._unusable += 1  # the live service has it as a dead letter
            else:
                self._unusable += not isinstance(unit, Received)
        await self._store.enter(connection, rows)

    # --- the exchange

    async def _finish(self, reader: AIOKafkaConsumer, since: datetime, *, swap: bool) -> Rebuilt:
        held, records, unusable = dict(self._held), self._records, self._unusable
        for _ in range(_TRIES):
            try:
                async with self._there() as connection:
                    began = time.perf_counter()
                    await connection.exec_driver_sql(_PATIENCE)
                    await connection.exec_driver_sql(_WRITERS_WAIT)

                    async def take(found: Sequence[Record], within: AsyncConnection = connection) -> None:
                        await self._take(within, found)

                    await self._follow(reader, await self._ends(connection), take)
                    # Handled one by one ahead of their fence: whoever handled them will not do so again.
                    await self._store.enter(connection, await rows_handled_since(connection, since))
                    rows = (
                        await connection.exec_driver_sql(f"SELECT count(*) FROM {_SCHEMA}.ledger")
                    ).scalar()
                    differing = [
                        (row.deputy_id, row.year) for row in await connection.exec_driver_sql(_DIFFERING)
                    ]
                    if swap:
                        await _swap(connection, differing)
                return Rebuilt(
                    self._records, self._unusable, rows or 0, differing, time.perf_counter() - began
                )
            except DBAPIError as error:
                if not is_transient(error):
                    raise
            # Nothing of it was written.
            self._held, self._records, self._unusable = dict(held), records, unusable
            await asyncio.sleep(0.2)
        raise NoRebuild("the tables were read all the time; try again when nobody reads for long")


async def _swap(connection: AsyncConnection, differing: Sequence[tuple[UUID, int]]) -> None:
    await connection.exec_driver_sql(_READERS_WAIT)
    for table in _SWAPPED:
        await connection.exec_driver_sql(f"DROP TABLE public.{table}")
        await connection.exec_driver_sql(f"ALTER TABLE {_SCHEMA}.{table} SET SCHEMA public")
    if differing:
        await connection.exec_driver_sql(_NOTE, tuple(map(list, zip(*differing, strict=True))))
