"""Raw Kafka clients by the process's settings: the producer, and a reader without a group.

Invariants: `acks=all`; the idempotent producer wherever the broker has it; auto-commit never.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError
from aiokafka.helpers import create_ssl_context
from aiokafka.partitioner import murmur2

from shared.settings import KafkaSettings
from shared.telemetry.health import Health


def connection_options(settings: KafkaSettings) -> dict[str, Any]:
    """Aiokafka's options for reaching the broker."""
    options: dict[str, Any] = {"bootstrap_servers": settings.kafka_bootstrap_servers}
    if settings.kafka_username is not None and settings.kafka_password is not None:
        options |= {
            "security_protocol": settings.kafka_security_protocol,
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_plain_username": settings.kafka_username,
            "sasl_plain_password": settings.kafka_password.get_secret_value(),
        }
        if settings.kafka_security_protocol == "SASL_SSL":
            options["ssl_context"] = create_ssl_context()
    return options


@lru_cache(maxsize=20_000)
def _hash_of(key: bytes) -> int:
    """Kafka's hash of a key. The library reckons it in plain Python, and many ids recur."""
    return int(murmur2(key)) & 0x7FFFFFFF


def partition_of(key: bytes | None, partitions: Sequence[int], available: Sequence[int] = ()) -> int:
    """The partition of a key among all of a topic's, in order: as Kafka's own clients choose it."""
    if key is None:
        return random.choice(available or partitions)  # noqa: S311 - only spreads records
    return partitions[_hash_of(key) % len(partitions)]


def make_producer(settings: KafkaSettings) -> AIOKafkaProducer:
    """A producer that waits for all replicas."""
    return AIOKafkaProducer(
        **connection_options(settings),
        acks="all",
        enable_idempotence=settings.kafka_idempotence,
        linger_ms=0,
        partitioner=partition_of,
        max_batch_size=262_144,
        max_request_size=10_485_760,
        request_timeout_ms=20_000,
    )


async def open_reader(
    settings: KafkaSettings, *topics: str, from_end: bool, wait_ms: int | None = None
) -> AIOKafkaConsumer:
    """A started consumer of all partitions of the topics, without a group, positioned before it returns.

    `wait_ms` is how long the broker holds an empty fetch. A partition that was just read joins the next
    fetch only, so this bounds the delay of a second record behind the first; short waits cost idle CPU.

    Tansu gives wrong end offsets, so there it always begins at the beginning.
    Raises KafkaError when the broker is away, LookupError when no topic is there yet.
    """
    consumer = AIOKafkaConsumer(
        *topics,
        **connection_options(settings),
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=wait_ms or settings.kafka_fetch_max_wait_ms,
        metadata_max_age_ms=30_000,
    )
    await consumer.start()
    try:
        parts = list(consumer.assignment())
        if not parts:
            raise LookupError(f"no such topic: {', '.join(topics)}")
        if from_end and settings.kafka_kind != "tansu":
            for part, offset in (await consumer.end_offsets(parts)).items():
                consumer.seek(part, offset)
        else:
            await consumer.seek_to_beginning(*parts)
    except BaseException:
        await consumer.stop()
        raise
    return consumer


@dataclass
class Reading:
    """What a reading of whole topics found; `cut` names those whose beginning is gone."""

    records: int = 0
    cut: set[str] = field(default_factory=set)


async def read_whole(
    settings: KafkaSettings, topics: Sequence[str], take: Callable[[bytes], None]
) -> Reading:
    """Hand every record of the topics to `take`, from the first there is to the end that they have now.

    Tansu gives wrong end offsets, so there it ends when nothing comes for a second.
    Raises KafkaError when the broker is away, LookupError when no topic is there yet.
    """
    reader = await open_reader(settings, *topics, from_end=False, wait_ms=100)
    found = Reading()
    try:
        parts = list(reader.assignment())
        found.cut = {part.topic for part, first in (await reader.beginning_offsets(parts)).items() if first}
        if settings.kafka_kind == "tansu":
            ends = None
        else:
            ends = {part: end for part, end in (await reader.end_offsets(parts)).items() if end}
        while ends is None or ends:
            batch = await reader.getmany(timeout_ms=1000, max_records=5000)
            for part, records in batch.items():
                for record in records:
                    if record.value is not None and (ends is None or record.offset < ends.get(part, 0)):
                        found.records += 1
                        take(record.value)
            if ends is None:
                if not batch:
                    break
                continue
            for part in list(ends):
                if await reader.position(part) >= ends[part]:
                    del ends[part]
    finally:
        await reader.stop()
    return found


async def watch_broker(client: Any, health: Health, *, every_seconds: float = 2.0) -> None:
    """Ask the broker again and again through an aiokafka client, and say at `/readyz` when it is away.

    Nothing else would: a consumer without a broker polls on in silence. Runs until cancelled.
    """
    while True:
        try:
            await asyncio.wait_for(client.fetch_all_metadata(), 5)
        except (KafkaError, OSError, TimeoutError) as error:
            health.not_ready("broker", f"{type(error).__name__}, trying again")
        else:
            health.ready("broker")
        await asyncio.sleep(every_seconds)
