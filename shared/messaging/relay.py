"""The relay: publishes a database's outbox, in order, at least once.

Invariants: a row leaves the outbox only after its ack; rows of one topic and key are sent one after
the other, each after the ack of the one before, so that first occurrences are always in order; at the
first failure nothing more is sent, the acknowledged rows go, and producer and lock are given up. The
advisory lock saves work but fences nothing: two relays at once may repeat records, never reorder the
first occurrences. A row that the broker refuses for good is parked with its reason; later rows of its
key wait, all others go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    InvalidTopicError,
    KafkaError,
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)
from aiokafka.producer.message_accumulator import BatchBuilder

from shared.messaging import failpoints
from shared.messaging.kafka import make_producer, partition_of
from shared.settings import KafkaSettings
from shared.telemetry import metrics
from shared.telemetry.health import Health
from shared.telemetry.logging import logger

LOCK_KEY = 727_002
SESSION_IDLE_SECONDS = 60
_REFUSED = (
    MessageSizeTooLargeError,
    TopicAuthorizationFailedError,
    InvalidTopicError,
    UnknownTopicOrPartitionError,
)
_UNSENT = """
SELECT id, topic, key, payload, headers FROM outbox o
WHERE parked_since IS NULL AND NOT EXISTS (
    SELECT 1 FROM outbox p
    WHERE p.parked_since IS NOT NULL AND p.topic = o.topic AND p.key = o.key AND p.id < o.id
)
ORDER BY id LIMIT $1
"""
_LARGE_BYTES = 200_000
"""A row above this goes by itself: the producer then knows whether it may be sent at all."""
_CONTENT_TYPE = [("content-type", b"application/cloudevents+json")]

log = logger(__name__)


class Relay:
    """One service process's relay; of several on one database one is active, the others wait for its lock."""

    def __init__(
        self, *, dsn: str, settings: KafkaSettings, health: Health, batch_max: int, poll_seconds: float
    ) -> None:
        self._dsn = dsn
        self._settings = settings
        self._health = health
        self._batch_max = batch_max
        self._poll_seconds = poll_seconds
        self._wake = asyncio.Event()
        self._active = False
        self._empty = asyncio.Event()
        self._empty.set()  # nothing to wait for until this process is the relay
        self._topics: frozenset[str] = frozenset()
        self._topics_at = float("-inf")

    async def run(self) -> None:
        """Relay until cancelled; every failure is logged and begun anew after a pause."""
        while True:
            try:
                await self._session()
            except (
                OSError,
                asyncpg.PostgresError,
                asyncpg.InterfaceError,
                asyncpg.InternalClientError,  # the server's goodbye came, the connection's end not yet
                KafkaError,
                TimeoutError,
            ) as error:
                log.warning("relay-restarts", error=type(error).__name__)
                self._health.not_ready("relay", f"{type(error).__name__}, trying again")
            finally:
                metrics.RELAY_ACTIVE.set(0)
                self._active = False
                self._empty.set()
            self._health.turn("relay")
            await asyncio.sleep(self._poll_seconds)

    async def drain(self, *, seconds: float) -> None:
        """Wait until this process's relay finds the outbox empty; TimeoutError when it does not in time."""
        if self._active:
            self._empty.clear()
            self._wake.set()
        await asyncio.wait_for(self._empty.wait(), seconds)

    async def _session(self) -> None:
        connection = await asyncpg.connect(
            self._dsn, timeout=5, command_timeout=30, server_settings=_session_settings()
        )
        try:
            while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK_KEY):
                self._health.turn("relay")
                self._health.ready("relay")
                await asyncio.sleep(self._poll_seconds)
            producer = make_producer(self._settings)
            try:
                await producer.start()
                await connection.add_listener("outbox", lambda *_: self._wake.set())
                metrics.RELAY_ACTIVE.set(1)
                self._active = True
                self._health.ready("relay")
                await self._relay(connection, producer)
            finally:
                with contextlib.suppress(KafkaError, TimeoutError):
                    await asyncio.wait_for(producer.stop(), 10)
        finally:
            with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
                await connection.close(timeout=2)

    async def _relay(self, connection: asyncpg.Connection, producer: AIOKafkaProducer) -> None:
        unparked_at = 0.0
        while True:
            self._health.turn("relay")
            self._wake.clear()
            if time.monotonic() - unparked_at > self._poll_seconds:
                unparked_at = time.monotonic()
                await self._unpark(connection, producer)
            rows = await connection.fetch(_UNSENT, self._batch_max)
            if rows:
                await self._publish(connection, producer, rows)
            else:
                self._empty.set()
            if len(rows) < self._batch_max:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), self._poll_seconds)

    async def _publish(
        self, connection: asyncpg.Connection, producer: AIOKafkaProducer, rows: Sequence[asyncpg.Record]
    ) -> None:
        sent: list[int] = []
        try:
            for wave in _waves(rows):
                for row in wave:
                    if row["topic"] not in self._topics:
                        await self._learn_topics(producer)
                        break
                known = [row for row in wave if row["topic"] in self._topics]
                for row in wave:
                    if row["topic"] not in self._topics:
                        await self._park(connection, row, "the topic does not exist")
                refused = await self._send(producer, known, sent)
                for row, reason in refused:
                    await self._park(connection, row, reason)
                if refused or len(known) < len(wave):
                    break  # rows behind a parked one must not go
            failpoints.reach("after-publish")
        finally:
            if sent:
                await connection.execute("DELETE FROM outbox WHERE id = ANY($1::bigint[])", sent)
                metrics.RELAYED.inc(len(sent))

    async def _send(
        self, producer: AIOKafkaProducer, rows: Sequence[asyncpg.Record], sent: list[int]
    ) -> list[tuple[asyncpg.Record, str]]:
        """Send rows of different keys together; add the acknowledged to `sent`, return the refused.

        Raises the first error that is not a refusal, after all acks are in.
        """
        refused: list[tuple[asyncpg.Record, str]] = []
        pending: list[tuple[list[asyncpg.Record], asyncio.Future[Any]]] = []
        alone: list[asyncpg.Record] = []
        failure: BaseException | None = None
        for together in await _batches(producer, rows):
            try:
                pending.append((together.rows, await together.sending(producer)))
            except _REFUSED as error:
                refused += [(row, type(error).__name__) for row in together.rows]
            except (KafkaError, TimeoutError) as error:
                failure = error
                break
        results = await asyncio.gather(*(future for _, future in pending), return_exceptions=True)
        for (of_batch, _), result in zip(pending, results, strict=True):
            if isinstance(result, MessageSizeTooLargeError) and len(of_batch) > 1:
                alone += of_batch  # too large together, or one of them is
            elif isinstance(result, _REFUSED):
                refused += [(row, type(result).__name__) for row in of_batch]
            elif isinstance(result, BaseException):
                failure = failure or result
            else:
                sent += [row["id"] for row in of_batch]
        if failure is not None:
            raise failure
        for row in alone:
            refused += await self._send(producer, [row], sent)
        return refused

    async def _park(self, connection: asyncpg.Connection, row: asyncpg.Record, reason: str) -> None:
        await connection.execute(
            "UPDATE outbox SET parked_since = now(), parked_reason = $2 WHERE id = $1", row["id"], reason
        )
        log.error("outbox-row-parked", outbox_id=row["id"], topic=row["topic"], reason=reason)

    async def _unpark(self, connection: asyncpg.Connection, producer: AIOKafkaProducer) -> None:
        waiting = await connection.fetch(
            "SELECT DISTINCT topic FROM outbox WHERE parked_since IS NOT NULL LIMIT 500"
        )
        if not waiting:
            return
        await self._learn_topics(producer)
        there = [row["topic"] for row in waiting if row["topic"] in self._topics]
        await connection.execute(
            "UPDATE outbox SET parked_since = NULL, parked_reason = NULL "
            "WHERE parked_since IS NOT NULL AND topic = ANY($1::text[]) AND parked_reason <> 'MessageSizeTooLargeError'",
            there,
        )

    async def _learn_topics(self, producer: AIOKafkaProducer) -> None:
        if time.monotonic() - self._topics_at < 0.5:
            return
        metadata = await producer.client.fetch_all_metadata()
        self._topics = frozenset(metadata.topics())
        self._topics_at = time.monotonic()


@dataclass
class _Batch:
    """Rows of different keys for one partition, which go with one request, one ack and one future.

    `records` is None for a single row, which is large or whose topic's partitions are not known.
    """

    topic: str
    partition: int | None
    rows: list[asyncpg.Record]
    records: BatchBuilder | None = None

    def took(self, row: asyncpg.Record) -> bool:
        """Add a row; False when the batch is full."""
        added = self.records is not None and self.records.append(
            timestamp=None, key=row["key"].encode(), value=row["payload"], headers=_headers(row)
        )
        if added:
            self.rows.append(row)
        return bool(added)

    async def sending(self, producer: AIOKafkaProducer) -> asyncio.Future[Any]:
        """Hand it to the producer; returns what the ack ends."""
        acked: asyncio.Future[Any]
        if self.records is not None:
            self.records.close()
            acked = await producer.send_batch(self.records, self.topic, partition=self.partition)
        else:
            (row,) = self.rows
            acked = await producer.send(
                self.topic, value=row["payload"], key=row["key"].encode(), headers=_headers(row)
            )
        return acked


async def _batches(producer: AIOKafkaProducer, rows: Sequence[asyncpg.Record]) -> list[_Batch]:
    """Rows by their partition. Where that is not known they stay alone, and sending them will say why."""
    found: list[_Batch] = []
    open_: dict[tuple[str, int], _Batch] = {}
    partitions: dict[str, list[int]] = {}
    for row in rows:
        topic = row["topic"]
        if topic not in partitions:
            with contextlib.suppress(KafkaError):
                partitions[topic] = sorted(await producer.partitions_for(topic))
        if topic not in partitions or len(row["payload"]) > _LARGE_BYTES:
            found.append(_Batch(topic, None, [row]))
            continue
        place = (topic, partition_of(row["key"].encode(), partitions[topic]))
        while place not in open_ or not open_[place].took(row):
            open_[place] = _Batch(*place, [], producer.create_batch())
            found.append(open_[place])
    return found


def _headers(row: asyncpg.Record) -> list[tuple[str, bytes]]:
    own = json.loads(row["headers"]) if row["headers"] else {}
    return [*_CONTENT_TYPE, *((name, value.encode()) for name, value in own.items())]


def _session_settings() -> dict[str, str]:
    """What takes the lock from a relay that is gone (keepalive) or stands still (idle), so that another can go on."""
    return {
        "tcp_keepalives_idle": "10",
        "tcp_keepalives_interval": "5",
        "tcp_keepalives_count": "3",
        "idle_session_timeout": f"{SESSION_IDLE_SECONDS}s",
    }


def _waves(rows: Sequence[asyncpg.Record]) -> list[list[asyncpg.Record]]:
    """Split rows so that no wave holds a topic and key twice, keeping their order from wave to wave."""
    waves: list[list[asyncpg.Record]] = []
    count: dict[tuple[str, str], int] = {}
    for row in rows:
        place = (row["topic"], row["key"])
        number = count.get(place, 0)
        count[place] = number + 1
        if number == len(waves):
            waves.append([])
        waves[number].append(row)
    return waves
