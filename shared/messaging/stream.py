"""A stream of facts at full speed: a batch is one statement, and the next is decoded while it is written.

For effects that have identities of their own (see `fences`), where an inbox row per record would cost more
than the effect. Invariants: the offsets in the database are the truth, and Kafka's are for show; a batch
that was fetched before the last seek, rebalance or failure is dropped and fetched again; at most one
statement is under way, and a rebalance or the end of the process waits for it.
What a batch cannot take is set aside for the `Runner`, which handles it by itself under its id and knows
dead letters; so is a whole batch that cannot be read, or that the database refuses for what it holds.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import asyncpg
from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from shared.database.engine import is_transient, sqlstate_of
from shared.messaging import failpoints, fences
from shared.messaging.fences import Log, Step
from shared.messaging.log_identity import identify
from shared.messaging.received import Record
from shared.messaging.retry import delay_seconds
from shared.messaging.runner import Rewind, Runner
from shared.messaging.subscriber import Broker, pause, subscribe
from shared.settings import ServiceSettings
from shared.telemetry import metrics
from shared.telemetry.health import Health
from shared.telemetry.logging import logger

_COMMIT_SECONDS = 1.0
_LOOK_AT_FENCES_SECONDS = 5.0
_QUIET_SECONDS = 5.0
_BACKLOG = 1_000
_TURNS_TO_SEND = 100
"""The loop takes a few to hand a statement over; after these reading goes on all the same."""

log = logger(__name__)


@dataclass(slots=True)
class Tally:
    """What a batch held of one partition: records taken, those that nothing used, the latest business time."""

    records: int = 0
    unused: int = 0
    latest: datetime | None = None


@dataclass(frozen=True)
class Batch:
    """A batch made ready: the statement's own parameters, the tallies by topic and partition, and what was set aside."""

    parameters: Sequence[Any]
    tallies: Mapping[tuple[str, int], Tally]
    set_aside: Sequence[Record] = ()


class Reading(Protocol):
    """How a service turns records into one statement.

    `statement` begins with `fences.MOVE`, whose parameters come first. `read` is pure but for what
    `refresh` last loaded, and never raises for what somebody sent.
    """

    statement: str

    async def refresh(self) -> None:
        """Load what reading depends on; called before the first batch and after each failure."""

    def read(self, records: Sequence[Record]) -> Batch:
        """Make a batch ready; none at all gives the parameters that write nothing."""


def made_ready(reading: Reading, records: Sequence[Record]) -> Batch:
    """The batch of these records; should reading fail, all of them are set aside and handled one by one.

    The fence of the next batch would pass over a batch that were only dropped.
    """
    try:
        return reading.read(records)
    except Exception as error:  # noqa: BLE001 - whatever it was, no record may be lost by it
        log.warning("batch-taken-one-by-one", error=type(error).__name__, records=len(records))
        return Batch(reading.read(()).parameters, {}, records)


@dataclass
class FetchWait:
    """For how long the broker may hold a fetch without records, in milliseconds.

    Each request names all partitions, some hundred, which costs client and broker milliseconds. A record ends a
    wait; one that follows it in its partition waits for the end of the next. So waits are short while records
    come one by one, and long in a backlog, for some seconds after it, and once it is quiet.
    """

    short_ms: int
    long_ms: int
    came_at: float = float("-inf")
    behind_at: float = float("-inf")

    def after(self, records: int, *, now: float) -> int:
        """The wait after a fetch that brought so many records."""
        if records >= _BACKLOG:
            self.came_at, self.behind_at = float("-inf"), now
        elif (
            records and now - self.behind_at > _QUIET_SECONDS
        ):  # else a backlog's: partitions do not end together
            self.came_at = now
        return self.long_ms if now - self.came_at > _QUIET_SECONDS else self.short_ms


class _Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    async def on_partitions_revoked(self, revoked: Any) -> None:
        await self._stream.let_go()
        if revoked:
            failpoints.reach("in-rebalance")

    async def on_partitions_assigned(self, assigned: Any) -> None:
        if assigned:
            await self._stream.let_go()


class Stream:
    """One consumer of event topics whose effects and offsets are one statement."""

    def __init__(
        self,
        broker: Broker,
        runner: Runner,
        reading: Reading,
        *,
        group: str,
        topics: Sequence[str],
        dsn: str,
        settings: ServiceSettings,
        health: Health,
    ) -> None:
        self.group = group
        self._topics = topics
        self._runner = runner
        self._reading = reading
        self._dsn = dsn
        self._settings = settings
        self._health = health
        self._connection: asyncpg.Connection | None = None
        self._statement: Any = None
        self._log = Log("", {})
        self._held: dict[TopicPartition, int] = {}
        self._written: dict[TopicPartition, int] = {}
        self._ends: dict[TopicPartition, int] = {}
        self._writing: asyncio.Task[None] | None = None
        self._committing: asyncio.Task[None] | None = None
        self._committed_at = self._looked_at = 0.0
        self._caught_up = False
        self._failures = 0
        # A batch counts only if it was fetched under the present positions: `_fetched_at` equals `_positions`.
        self._positions = 0
        self._fetched_at = -1
        self._wait = FetchWait(
            min(settings.stream_fetch_wait_ms, settings.kafka_fetch_max_wait_ms),
            settings.kafka_fetch_max_wait_ms,
        )
        self._lost = True
        self._subscriber = subscribe(
            broker,
            group=group,
            settings=settings,
            topics=topics,
            listener=_Rebalances(self),
            fetch_max_wait_ms=self._wait.short_ms,
            max_records=settings.stream_records_max,
        )
        self._subscriber(self._take)

    # --- what the host sees

    def watch(self) -> None:
        """Begin to watch the consume loop and to position it; call once the broker has started."""
        self._health.watch(self.group, alive=self._alive)
        consumer = self._consumer()
        fetch = consumer.getmany

        async def getmany(*args: Any, **options: Any) -> Any:
            self._health.turn(self.group)
            await self._find_position()
            batches = await fetch(*args, **options)
            self._fetched_at = self._positions
            self._caught_up = not batches
            wait = self._wait.after(sum(map(len, batches.values())), now=time.monotonic())
            consumer._fetcher._fetch_max_wait_ms = wait  # aiokafka has no option that changes meanwhile
            return batches

        consumer.getmany = getmany

    @property
    def client(self) -> Any:
        """The consumer's connection to the broker; only once the broker has started."""
        return self._consumer()._client

    @property
    def lag(self) -> int | None:
        """Records not yet written; None while unknown (no assignment, or not yet positioned)."""
        consumer = self._subscriber.consumer
        if consumer is None or not consumer.assignment() or self._lost:
            return None
        in_hand = self._writing is not None and not self._writing.done()
        if self._settings.kafka_kind == "tansu":  # its end offsets are wrong after batches
            return 0 if self._caught_up and not in_hand else 1
        total = 0
        for part in consumer.assignment():
            end = max(consumer.highwater(part) or 0, self._ends.get(part, 0))
            total += max(0, end - self._written.get(part, 0))
        return total

    async def drain(self) -> None:
        """Wait for the statement that is under way, and give the connection up."""
        await self._written_through()
        if self._connection is not None:
            await self._drop_connection()

    # --- positions

    async def let_go(self) -> None:
        """A rebalance: finish what is under way; whatever was fetched is fetched again by the new owner."""
        await self._written_through()
        self._lose()

    def _lose(self) -> None:
        self._positions += 1
        self._lost = True

    async def _find_position(self) -> None:
        """Seek to the fences, if the position is not known or somebody has moved a fence; tries until it works."""
        while True:
            if not self._lost and time.monotonic() - self._looked_at < _LOOK_AT_FENCES_SECONDS:
                return
            self._health.turn(self.group)
            try:
                await self._written_through()
                if await self._seek():
                    self._health.ready(self.group)
                    return
            except Exception as error:
                if not isinstance(error, (KafkaError, IllegalStateError)) and not is_transient(error):
                    raise
                log.warning("position-not-found", group=self.group, error=type(error).__name__)
                self._health.not_ready(self.group, f"{type(error).__name__}, trying again")
                await self._drop_connection()
            await asyncio.sleep(self._settings.retry_first_seconds)

    async def _seek(self) -> bool:
        """Seek each partition that has moved to its fence; False when that must be tried again."""
        consumer = self._consumer()
        parts = sorted(consumer.assignment())
        if not parts:
            return True  # nothing to seek yet; `_lost` stays
        lost, positions = self._lost, self._positions
        if lost:
            self._log = await identify(consumer._client, self._topics)
            await self._reading.refresh()
        connection = await self._connected()
        found = await fences.read(connection, self._log, [(part.topic, part.partition) for part in parts])
        fenced = {part: found[part.topic, part.partition] for part in parts}
        self._looked_at = time.monotonic()
        if not lost and fenced == {part: self._held.get(part) for part in parts}:
            return True
        if self._settings.kafka_kind != "tansu":
            self._ends = await consumer.end_offsets(parts)
            if beyond := [f"{p.topic}/{p.partition}" for p in parts if fenced[p] > self._ends[p]]:
                reason = f"the log ends before what is written of {', '.join(beyond[:3])}: restored broker, or wrong one?"
                log.error("fence-beyond-the-end", group=self.group, parts=beyond)
                self._health.not_ready(self.group, reason)
                self._lose()
                await asyncio.sleep(self._settings.retry_longest_seconds)
                return False
        if self._positions != positions:
            return False  # a rebalance came in between
        self._positions += 1
        for part, offset in fenced.items():
            consumer.seek(part, offset)
        self._held, self._written = fenced, dict(fenced)
        self._lost = False
        return True

    # --- batches

    async def _take(self, records: Sequence[Any]) -> None:
        fetched_at = self._fetched_at
        if not records or self._lost or fetched_at != self._positions:
            return
        failpoints.reach("after-receive")
        started = time.perf_counter()
        batch = made_ready(self._reading, records)
        read_seconds = time.perf_counter() - started
        await self._written_through()
        if self._lost or fetched_at != self._positions:
            return
        steps = self._steps(records, batch.tallies)
        for step in steps:
            self._held[TopicPartition(step.topic, step.partition)] = step.next
        self._writing = asyncio.create_task(self._write(records, batch, steps, read_seconds))
        await self._sent()

    def _steps(self, records: Sequence[Any], tallies: Mapping[tuple[str, int], Tally]) -> list[Step]:
        following: dict[tuple[str, int], int] = {}
        for record in records:  # in offset order within a partition
            following[record.topic, record.partition] = record.offset + 1
        nothing = Tally()
        found = []
        for topic, partition in sorted(following):
            place, tally = (topic, partition), tallies.get((topic, partition), nothing)
            held = self._held[TopicPartition(topic, partition)]
            found.append(
                Step(topic, partition, held, following[place], tally.records, tally.unused, tally.latest)
            )
        return found

    async def _write(
        self, records: Sequence[Any], batch: Batch, steps: Sequence[Step], read_seconds: float
    ) -> None:
        """Write a batch; whatever goes wrong ends in a new search for the position."""
        started = time.perf_counter()
        paused: set[str] = set()
        try:
            if batch.set_aside:
                paused = await self._runner.run(batch.set_aside)
            try:
                await self._execute(steps, batch.parameters)
            except Exception as error:
                if sqlstate_of(error) == fences.STANDS_ELSEWHERE or is_transient(error):
                    raise
                log.warning("batch-taken-one-by-one", group=self.group, error=type(error).__name__)
                paused = await self._runner.run(records)
                bare = [Step(step.topic, step.partition, step.held, step.next) for step in steps]
                await self._execute(bare, self._reading.read(()).parameters)
        except Exception as error:  # noqa: BLE001 - whatever it was, the batch is fetched again
            self._lose()
            await self._failed(error, len(records))
            return
        self._failures = 0
        self._health.ready(self.group)
        self._written.update({TopicPartition(step.topic, step.partition): step.next for step in steps})
        metrics.BATCH_SIZE.labels(self.group).observe(len(records))
        metrics.BATCH_SECONDS.labels(self.group).observe(read_seconds + time.perf_counter() - started)
        if paused:
            pause(self._consumer(), self.group, paused, self._health)
        self._show_offsets()

    async def _execute(self, steps: Sequence[Step], parameters: Sequence[Any]) -> None:
        await self._connected()
        failpoints.reach("before-commit")
        await self._statement.fetch(*fences.columns(self._log, steps), *parameters)
        failpoints.reach("after-commit")

    async def _failed(self, error: Exception, records: int) -> None:
        if sqlstate_of(error) == fences.STANDS_ELSEWHERE:
            log.info("batch-not-mine", group=self.group, records=records)
            return
        self._failures += 1
        level = log.warning if isinstance(error, Rewind) or is_transient(error) else log.error
        level(
            "batch-rewound",
            group=self.group,
            error=type(error).__name__,
            sqlstate=sqlstate_of(error),
            records=records,
        )
        metrics.RETRIES.labels(self.group, type(error).__name__).inc()
        self._health.not_ready(self.group, f"{type(error.__cause__ or error).__name__}, trying again")
        await self._drop_connection()
        settings = self._settings
        await asyncio.sleep(
            delay_seconds(
                self._failures, first=settings.retry_first_seconds, longest=settings.retry_longest_seconds
            )
        )

    async def _sent(self) -> None:
        """Give the loop turns until a statement that was handed over has left: reading the next batch would keep it here.

        Where records set aside go first, nothing is handed over yet, and reading goes on beside them.
        """
        for _ in range(_TURNS_TO_SEND):
            await asyncio.sleep(0)
            connection: Any = self._connection
            if self._writing is None or self._writing.done() or connection is None or connection.is_closed():
                return
            if not connection._transport.get_write_buffer_size():  # asyncpg tells it nowhere else
                return

    async def _written_through(self) -> None:
        """Wait for the statement that is under way. A caller that is cancelled leaves it running."""
        while self._writing is not None and not self._writing.done():
            await asyncio.wait({self._writing}, timeout=1)
            if self._failures:
                self._health.turn(self.group)

    def _show_offsets(self) -> None:
        """Commit to Kafka now and then, where others look for the lag; nothing depends on it."""
        if time.monotonic() - self._committed_at < _COMMIT_SECONDS:
            return
        if self._committing is not None and not self._committing.done():
            return
        self._committed_at = time.monotonic()
        self._committing = asyncio.create_task(self._commit(dict(self._written)))

    async def _commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        consumer = self._subscriber.consumer
        if consumer is None:
            return
        with contextlib.suppress(CommitFailedError, IllegalStateError, KafkaError):
            await consumer.commit(offsets)

    # --- connections

    def _consumer(self) -> Any:
        if self._subscriber.consumer is None:
            raise IllegalStateError("the consumer does not run")
        return self._subscriber.consumer

    def _alive(self) -> bool:
        return all(not task.done() for task in self._subscriber.tasks)

    async def _connected(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await asyncpg.connect(
                self._dsn,
                timeout=5,
                command_timeout=60,
                server_settings={"application_name": self.group, "jit": "off"},
            )
            self._statement = await self._connection.prepare(self._reading.statement)
        return self._connection

    async def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError):
                await connection.close(timeout=2)
