"""Reads whole topics from the first record to the end that they have when reading begins.

A log that does not begin at its beginning cannot prove anything and is refused. The Tansu broker
reports wrong end offsets; there the end is reached when the records that were counted elsewhere have
come (or, without counts, nothing more comes for five seconds, once something has come).
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

QUIET_SECONDS = 5.0
STALLED_SECONDS = 60.0


class LogUnusable(Exception):  # noqa: N818 - says what the log is
    """The log cannot be read from its beginning to its end."""


@dataclass(frozen=True)
class Broker:
    """How to reach Kafka. With a user name SASL/SCRAM-SHA-512 is used."""

    servers: str
    username: str | None = None
    password: str | None = None
    security_protocol: str = "SASL_PLAINTEXT"
    ends_are_known: bool = True

    @classmethod
    def of_environment(cls, environment: Mapping[str, str]) -> Broker:
        """From KAFKA_BOOTSTRAP_SERVERS, KAFKA_USERNAME, KAFKA_PASSWORD, KAFKA_SECURITY_PROTOCOL, KAFKA_KIND."""
        servers = environment.get("KAFKA_BOOTSTRAP_SERVERS")
        if not servers:
            raise LogUnusable("KAFKA_BOOTSTRAP_SERVERS is not set")
        return cls(
            servers,
            environment.get("KAFKA_USERNAME") or None,
            environment.get("KAFKA_PASSWORD") or None,
            environment.get("KAFKA_SECURITY_PROTOCOL") or "SASL_PLAINTEXT",
            environment.get("KAFKA_KIND") != "tansu",
        )


def read_log(
    broker: Broker,
    topics: Sequence[str],
    *,
    counts: Mapping[str, int] | None = None,
    on_start: Callable[[int | None], None] = lambda _: None,
) -> Iterator[bytes]:
    """The values of all records of the topics, partition by partition in order.

    Args:
        broker: where to read.
        topics: which topics; each must exist.
        counts: records per topic that must have come; the only known end on a broker whose ends are unknown.
        on_start: told how many records are expected, None when that is not known.

    Raises:
        LogUnusable: the broker is away, a topic is missing or cut at its beginning, or the end is not reached.
    """
    consumer = Consumer(_options(broker))
    try:
        parts = [
            TopicPartition(topic, number, OFFSET_BEGINNING)
            for topic in topics
            for number in _partitions(consumer, topic)
        ]
        ends = _ends(consumer, parts) if broker.ends_are_known else None
        expected = sum(ends.values()) if ends is not None else (sum(counts.values()) if counts else None)
        on_start(expected)
        if ends is not None:
            parts = [part for part in parts if ends[part.topic, part.partition]]
        consumer.assign(parts)
        read: Counter[str] = Counter()
        if ends is not None:
            yield from _to_known_ends(consumer, ends, read)
            _insist(counts or {}, read)
        else:
            yield from _to_quiet(consumer, counts or {}, read)
    except KafkaException as error:
        raise LogUnusable(f"Kafka: {error.args[0]}") from error
    finally:
        consumer.close()


def _options(broker: Broker) -> dict[str, str | int | bool]:
    options: dict[str, str | int | bool] = {
        "bootstrap.servers": broker.servers,
        # The client wants a group; nothing is ever committed. An account may use groups of its own name.
        "group.id": broker.username or "audit",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "error",
        "fetch.wait.max.ms": 100,
        "allow.auto.create.topics": False,
    }
    if broker.username is not None:
        options |= {
            "security.protocol": broker.security_protocol,
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": broker.username,
            "sasl.password": broker.password or "",
        }
    return options


def _partitions(consumer: Consumer, topic: str) -> list[int]:
    found = consumer.list_topics(topic, timeout=20).topics.get(topic)
    if found is None or found.error is not None or not found.partitions:
        raise LogUnusable(f"topic {topic} is not there")
    return sorted(found.partitions)


def _ends(consumer: Consumer, parts: Sequence[TopicPartition]) -> dict[tuple[str, int], int]:
    ends: dict[tuple[str, int], int] = {}
    for part in parts:
        first, end = consumer.get_watermark_offsets(part, timeout=20)
        if first > 0:
            raise LogUnusable(
                f"{part.topic} partition {part.partition} begins at offset {first}: earlier events are gone"
            )
        ends[part.topic, part.partition] = end
    return ends


def _to_known_ends(
    consumer: Consumer, ends: Mapping[tuple[str, int], int], read: Counter[str]
) -> Iterator[bytes]:
    open_parts = {part for part, end in ends.items() if end}
    last = time.monotonic()
    while open_parts:
        for message in consumer.consume(1000, timeout=0.5):
            last = time.monotonic()
            part = (str(message.topic()), int(message.partition() or 0))
            offset = int(message.offset() or 0)
            if _is_end(message):
                open_parts.discard(part)
                continue
            if offset < ends[part]:
                read[part[0]] += 1
                yield message.value() or b""
            if offset + 1 >= ends[part]:
                open_parts.discard(part)
        if time.monotonic() - last > STALLED_SECONDS:
            raise LogUnusable(
                f"no record for {STALLED_SECONDS:.0f} s before the end of {len(open_parts)} partitions"
            )


def _to_quiet(consumer: Consumer, counts: Mapping[str, int], read: Counter[str]) -> Iterator[bytes]:
    last = time.monotonic()
    while True:
        for message in consumer.consume(1000, timeout=0.5):
            if _is_end(message):
                continue
            last = time.monotonic()
            read[str(message.topic())] += 1
            yield message.value() or b""
        quiet = time.monotonic() - last
        # Before the first record a slow broker is quiet too.
        if read and quiet > QUIET_SECONDS and all(read[topic] >= count for topic, count in counts.items()):
            return
        if quiet > STALLED_SECONDS:
            _insist(counts, read)
            return


def _insist(counts: Mapping[str, int], read: Counter[str]) -> None:
    """Raise LogUnusable when fewer records came than were counted."""
    missing = {topic: count - read[topic] for topic, count in counts.items() if read[topic] < count}
    if missing:
        raise LogUnusable(f"records that were counted are not there: {missing}")


def _is_end(message: Message) -> bool:
    """Whether this tells the end of a partition instead of a record; raises what else it may tell."""
    error = message.error()
    if error is None:
        return False
    if error.code() == KafkaError._PARTITION_EOF:
        return True
    raise KafkaException(error)


def read_counts(text: str) -> dict[str, int]:
    """Records per topic from a JSON file's text; raises LogUnusable."""
    try:
        return {str(topic): int(count) for topic, count in json.loads(text).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise LogUnusable("the file of counts must be a JSON object of topic and number") from error
