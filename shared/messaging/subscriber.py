"""The only place that knows FastStream: subscriptions that hand raw batches to a runner.

Every option is explicit, because the defaults lose or loop (ACK_FIRST commits before the work;
NACK rewinds without a pause; decoding inside the framework makes one bad record a bad batch).
Invariants: the offsets that are committed are those of the batch that was written, by partition, and
never the consumer's position; a batch that could not be written is sought back to, partition by
partition, after a pause.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.security import SASLScram512

from shared.messaging import failpoints
from shared.messaging.runner import Rewind, Runner
from shared.settings import ServiceSettings
from shared.telemetry import metrics
from shared.telemetry.health import Health
from shared.telemetry.logging import logger

Broker = KafkaBroker

_REPLIES_METADATA_MS = 10_000


log = logger(__name__)


def make_broker(settings: ServiceSettings) -> KafkaBroker:
    """FastStream's broker; it consumes only, what goes out is the relay's."""
    security = None
    if settings.kafka_username is not None and settings.kafka_password is not None:
        security = SASLScram512(
            username=settings.kafka_username,
            password=settings.kafka_password.get_secret_value(),
            use_ssl=settings.kafka_security_protocol == "SASL_SSL",
        )
    return KafkaBroker(
        settings.kafka_bootstrap_servers,
        security=security,
        apply_types=False,
        logger=None,
        graceful_timeout=15.0,
        metadata_max_age_ms=_REPLIES_METADATA_MS,
        enable_idempotence=settings.kafka_idempotence,
        allow_auto_create_topics=False,
        client_id=f"{settings.kafka_username or 'service'}-{settings.instance}",
    )


def subscribe(
    broker: KafkaBroker,
    *,
    group: str,
    settings: ServiceSettings,
    listener: ConsumerRebalanceListener,
    fetch_max_wait_ms: int,
    max_records: int,
    topics: Sequence[str] = (),
    pattern: str | None = None,
) -> Any:
    """FastStream's subscriber for batches of raw records, every option said."""
    return broker.subscriber(
        *topics,
        pattern=pattern,
        batch=True,
        group_id=group,
        max_records=max_records,
        batch_timeout_ms=settings.batch_wait_ms,
        fetch_max_wait_ms=fetch_max_wait_ms,
        auto_offset_reset="earliest",
        ack_policy=AckPolicy.MANUAL,
        session_timeout_ms=settings.session_timeout_ms,
        heartbeat_interval_ms=settings.session_timeout_ms // 3,
        max_poll_interval_ms=300_000,
        max_partition_fetch_bytes=10_485_760,
        listener=listener,
        decoder=_raw_records,
    )


def pause(consumer: Any, group: str, topics: set[str], health: Health) -> None:
    """Take no more of these topics until a person has looked at their dead letters."""
    already = consumer.paused()
    parts = [part for part in consumer.assignment() if part.topic in topics and part not in already]
    if not parts:
        return
    consumer.pause(*parts)
    metrics.PAUSED.labels(group).set(len(topics))
    reason = f"too many dead letters in a row, paused: {', '.join(sorted(topics))}"
    log.error("topics-paused", group=group, topics=sorted(topics))
    health.not_ready(f"{group}.paused", reason)


class _Rebalances(ConsumerRebalanceListener):  # type: ignore[misc]
    """Lets a test die in a rebalance; batches are finished one by one, so nothing is in flight."""

    async def on_partitions_revoked(self, revoked: Any) -> None:
        if revoked:
            failpoints.reach("in-rebalance")

    async def on_partitions_assigned(self, assigned: Any) -> None:
        pass


class Subscription:
    """One consumer: its topics or pattern, its group, and the runner that handles its batches."""

    def __init__(
        self,
        broker: KafkaBroker,
        runner: Runner,
        *,
        group: str,
        settings: ServiceSettings,
        health: Health,
        topics: Sequence[str] = (),
        pattern: str | None = None,
    ) -> None:
        self.group = group
        self._runner = runner
        self._health = health
        self._settings = settings
        self._in_hand = 0
        self._caught_up = False
        self._subscriber = subscribe(
            broker,
            group=group,
            settings=settings,
            topics=topics,
            pattern=pattern,
            listener=_Rebalances(),
            fetch_max_wait_ms=settings.kafka_fetch_max_wait_ms,
            max_records=settings.batch_records_max,
        )
        self._subscriber(self._take)

    def watch(self) -> None:
        """Begin to watch the consume loop; call once the broker has started."""
        self._health.watch(self.group, alive=self._alive)
        consumer = self._subscriber.consumer
        if consumer is None:
            raise RuntimeError("the subscription has not been started")
        fetch = consumer.getmany

        async def getmany(*args: Any, **options: Any) -> Any:
            # An idle loop shows itself only here: FastStream calls nothing of ours on an empty poll.
            self._health.turn(self.group)
            batches = await fetch(*args, **options)
            self._in_hand = sum(map(len, batches.values()))
            self._caught_up = not batches
            return batches

        consumer.getmany = getmany

    @property
    def client(self) -> Any:
        """The consumer's connection to the broker; only once the broker has started."""
        if self._subscriber.consumer is None:
            raise RuntimeError("the subscription has not been started")
        return self._subscriber.consumer._client

    def _alive(self) -> bool:
        return all(not task.done() for task in self._subscriber.tasks)

    @property
    def lag(self) -> int | None:
        """Records not yet handled, those in hand included; None while unknown (no assignment yet).

        Tansu's end offsets are wrong after batches: there an empty poll stands for "caught up".
        """
        consumer = self._subscriber.consumer
        if consumer is None or not consumer.assignment():
            return None
        total = self._in_hand
        if self._settings.kafka_kind == "tansu":
            return total if self._caught_up else max(1, total)
        for part in consumer.assignment():
            end = consumer.highwater(part)
            state = consumer._subscription.subscription.assignment.state_value(part)
            if end is None or state is None or not state.has_valid_position:
                continue
            total += max(0, end - state.position)
        return total

    async def _take(self, records: Sequence[Any]) -> None:
        consumer = self._subscriber.consumer
        if consumer is None or not records:
            return
        first: dict[TopicPartition, int] = {}
        following: dict[TopicPartition, int] = {}
        for record in records:
            part = TopicPartition(record.topic, record.partition)
            first[part] = min(record.offset, first.get(part, record.offset))
            following[part] = max(record.offset + 1, following.get(part, 0))
        try:
            paused = await self._runner.run(records)
        except Exception as error:  # noqa: BLE001 - whatever it was, the batch is fetched again
            level = log.warning if isinstance(error, Rewind) else log.error
            level("batch-rewound", group=self.group, error=type(error).__name__, records=len(records))
            self._health.not_ready(self.group, f"{type(error.__cause__ or error).__name__}, trying again")
            for part, offset in first.items():
                try:
                    consumer.seek(part, offset)
                except IllegalStateError:
                    continue  # taken away by a rebalance; its new owner starts at the committed offset
            await asyncio.sleep(self._settings.retry_longest_seconds)
            return
        self._health.ready(self.group)
        try:
            await self._commit(consumer, following)
        except (CommitFailedError, IllegalStateError, KafkaError) as error:
            log.info("offsets-not-committed", group=self.group, error=type(error).__name__)
        if paused:
            pause(consumer, self.group, paused, self._health)

    async def _commit(self, consumer: Any, following: dict[TopicPartition, int]) -> None:
        """Commit the offsets of a batch; aiokafka tries for as long as it takes.

        While the broker is known to be away that waiting is a turn of the loop; otherwise it is a stall.
        """
        committing = asyncio.create_task(consumer.commit(following))
        try:
            while not committing.done():
                await asyncio.wait({committing}, timeout=1)
                if "broker" in self._health.unready():
                    self._health.turn(self.group)
            committing.result()
        finally:
            committing.cancel()


async def _raw_records(message: Any) -> Any:
    """Pass the raw records through: each is decoded by itself, in the runner."""
    return message.raw_message
