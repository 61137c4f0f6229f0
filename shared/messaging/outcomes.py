"""The gateway's side of a command: publish it, wait for its outcome.

Invariants: the wait is registered before the command is published; every gateway reads all outcomes
without a group, from the end or from where it was when the broker was lost, and is ready only when
positioned; who misses an outcome asks the owning service, which keeps it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError
from pydantic import ValidationError

from shared.contracts.envelope import Envelope
from shared.contracts.operations import CommandOutcome
from shared.messaging.kafka import make_producer, open_reader
from shared.messaging.received import fingerprint_of
from shared.settings import KafkaSettings
from shared.telemetry.health import Health
from shared.telemetry.logging import logger

log = logger(__name__)

_HEADERS = [("content-type", b"application/cloudevents+json")]


class TooManyWaiting(Exception):  # noqa: N818 - the caller answers 503
    """More requests wait for outcomes than this gateway holds."""


class CommandPost:
    """Sends commands and hands each waiting request its outcome."""

    def __init__(self, settings: KafkaSettings, health: Health, *, waiting_max: int = 5000) -> None:
        self._settings = settings
        self._health = health
        self._waiting_max = waiting_max
        self._producer: AIOKafkaProducer | None = None
        self._waiting: defaultdict[tuple[str, str], list[asyncio.Future[CommandOutcome]]] = defaultdict(list)
        self._awaited: Counter[str] = Counter()
        self._count = 0

    async def start(self) -> None:
        """Start the producer; raises KafkaError when the broker is away."""
        producer = make_producer(self._settings)
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        self._producer = producer

    @property
    def client(self) -> Any:
        """The producer's connection to the broker; only once started."""
        if self._producer is None:
            raise RuntimeError("not started")
        return self._producer.client

    async def stop(self) -> None:
        """Flush and stop the producer."""
        if self._producer is not None:
            with contextlib.suppress(KafkaError, TimeoutError):
                await asyncio.wait_for(self._producer.stop(), 10)

    async def send(self, topic: str, command: Envelope, *, wait_seconds: float) -> CommandOutcome | None:
        """Publish a command and wait for its outcome; None when it is not there in time.

        Raises KafkaError or TimeoutError when the broker did not take the command (it may still have),
        TooManyWaiting above the limit.
        """
        if self._producer is None:
            raise KafkaConnectionError("not started")
        if self._count >= self._waiting_max:
            raise TooManyWaiting
        place = (str(command.id), fingerprint_of(command).hex())
        future: asyncio.Future[CommandOutcome] = asyncio.get_running_loop().create_future()
        self._waiting[place].append(future)
        self._awaited[place[0]] += 1
        self._count += 1
        try:
            value = command.model_dump_json(exclude_none=True).encode()
            await asyncio.wait_for(
                self._producer.send_and_wait(
                    topic, value=value, key=command.subject.encode(), headers=_HEADERS
                ),
                15,
            )
            with contextlib.suppress(TimeoutError):
                return await asyncio.wait_for(future, wait_seconds)
            return None
        finally:
            self._count -= 1
            self._awaited[place[0]] -= 1
            if not self._awaited[place[0]]:
                del self._awaited[place[0]]
            self._waiting[place].remove(future)
            if not self._waiting[place]:
                del self._waiting[place]

    def settle(self, key: bytes | None, value: bytes | None) -> None:
        """Take in one record of `command.outcomes`; its key is the command's id, so that most need no decoding."""
        if (key or b"").decode(errors="replace") not in self._awaited:
            return
        try:
            outcome = CommandOutcome.model_validate(Envelope.model_validate_json(value or b"").data)
        except ValidationError:
            return
        for future in self._waiting.get((str(outcome.command_id), outcome.fingerprint), ()):
            if not future.done():
                future.set_result(outcome)


async def follow(
    settings: KafkaSettings,
    health: Health,
    topics: tuple[str, ...],
    take: Callable[[Any], None],
    *,
    from_end: bool,
    reads_on: bool = False,
    name: str,
    wait_ms: int | None = None,
    caught_up: Callable[[], None] = lambda: None,
) -> None:
    """Read topics without a group until cancelled, handing over each record.

    After a failure it begins anew; who `reads_on` where it had come to, so that what came meanwhile is not
    passed over. `caught_up` is called whenever there is nothing more to read for the moment, and on Kafka never
    before all is read that there was at the beginning: a fetch may also be empty because the broker is slow.
    """
    health.watch(name)
    reached: dict[TopicPartition, int] = {}
    while True:
        consumer: AIOKafkaConsumer | None = None
        try:
            consumer = await open_reader(settings, *topics, from_end=from_end, wait_ms=wait_ms)
            if reads_on:
                for part in consumer.assignment():
                    end = await _position(consumer, part)
                    reached[part] = min(reached.get(part, end), end)  # a topic that was made anew is shorter
                    consumer.seek(part, reached[part])
            # Tansu gives wrong end offsets.
            knows_ends = not from_end and settings.kafka_kind != "tansu"
            left = await consumer.end_offsets(list(consumer.assignment())) if knows_ends else {}
            health.ready(name)
            while True:
                health.turn(name)
                batches = await consumer.getmany(timeout_ms=500)
                for part, records in batches.items():
                    for record in records:
                        take(record)
                    reached[part] = records[-1].offset + 1
                if batches:
                    continue
                for part, end in list(left.items()):
                    if await _position(consumer, part) >= end:
                        del left[part]
                if not left:
                    caught_up()
        except (KafkaError, LookupError, OSError, TimeoutError) as error:
            health.not_ready(name, f"{type(error).__name__}, trying again")
            log.warning("reader-restarts", reader=name, error=type(error).__name__)
        finally:
            if consumer is not None:
                with contextlib.suppress(KafkaError, TimeoutError):
                    await asyncio.wait_for(consumer.stop(), 10)
        health.turn(name)
        await asyncio.sleep(1)


async def _position(consumer: AIOKafkaConsumer, part: TopicPartition) -> int:
    # Without a limit it would wait for as long as the broker is away.
    return await asyncio.wait_for(consumer.position(part), 10)
