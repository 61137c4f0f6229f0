"""`daibiaotong trace`: the whole way of a case, a command or a message, read from the Kafka log.

Two passes over the topics that an operator may read: messages that name the id, then everything with
the same correlation. Which service handled each message, and when, its inbox says. Words of residents
are not among it: they travel sealed or on a department's own topic, which an operator cannot read.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from confluent_kafka import Consumer, TopicPartition
from rich.console import Console
from rich.table import Table

from cli.operator import Operator, ask
from deploy.kafka.provision import Catalogue

_SHOWN_MAX = 200
_STATES = ("state", "step", "department", "result", "stars", "total", "problem")


@dataclass(frozen=True)
class Sighting:
    """One message found in the log."""

    topic: str
    partition: int
    offset: int
    appended_ms: int
    message: Mapping[str, Any]


def show(console: Console, identifier: str) -> int:
    """Print the way; 1 when nothing names the id."""

    async def question(operator: Operator) -> int:
        found = await asyncio.to_thread(_search, operator.access.kafka, identifier)
        if not found:
            console.print(f"nothing in the log names {identifier}", markup=False)
            return 1
        handled = await asyncio.gather(*(_handled(operator, one) for one in found[:_SHOWN_MAX]))
        console.print(_table(found[:_SHOWN_MAX], handled))
        if len(found) > _SHOWN_MAX:
            console.print(f"and {len(found) - _SHOWN_MAX} more")
        return 0

    return ask(console, question)


def _table(found: list[Sighting], handled: list[dict[str, int]]) -> Table:
    table = Table("+ms", "topic", "what", "business time", "where", "handled by (+ms)")
    first = found[0].appended_ms
    for one, services in zip(found, handled, strict=True):
        data = one.message.get("data", {})
        said = [f"{name} {_short(data[name])}" for name in _STATES if data.get(name) is not None]
        table.add_row(
            f"{one.appended_ms - first:,}",
            one.topic,
            f"{one.message.get('type')} " + ", ".join(said),
            str(one.message.get("time", ""))[:19],
            f"{one.partition}/{one.offset}",
            ", ".join(f"{name} {at - one.appended_ms:+,}" for name, at in services.items()),
        )
    return table


def _short(value: object) -> str:
    return str(value.get("code")) if isinstance(value, dict) else str(value)


async def _handled(operator: Operator, one: Sighting) -> dict[str, int]:
    """Services that have the message in their inbox, with the time in milliseconds."""
    message_id = one.message.get("id")

    async def at(service: str, url: str) -> tuple[str, int | None]:
        rows = await operator.get(f"{url}/messages/{message_id}")
        stamps = [int(datetime.fromisoformat(row["handled_at"]).timestamp() * 1000) for row in rows]
        return service, min(stamps, default=None)

    asked = [at(service, urls[0]) for service, urls in operator.access.services.items() if urls]
    return {service: stamp for service, stamp in await asyncio.gather(*asked) if stamp is not None}


def _search(kafka: Mapping[str, str], identifier: str) -> list[Sighting]:
    """Everything that belongs to the id, in the order in which the broker took it."""
    wanted = identifier.encode()
    named = _scan(kafka, lambda value: wanted in value)
    chains = {str(one.message.get("correlationid")).encode() for one in named} - {b"None"}
    if len(chains) > 500:
        chains = set()  # an id as common as a person's: the messages that name it are enough
    caused = _scan(kafka, lambda value: any(chain in value for chain in chains)) if chains else []
    every = {(one.topic, one.partition, one.offset): one for one in (*named, *caused)}
    return sorted(every.values(), key=lambda one: (one.appended_ms, one.topic, one.offset))


def _scan(kafka: Mapping[str, str], fits: Callable[[bytes], bool]) -> list[Sighting]:
    """Read all topics that the operator may read, once, from the beginning to their present ends."""
    options: dict[str, Any] = {
        "bootstrap.servers": kafka["KAFKA_BOOTSTRAP_SERVERS"],
        "group.id": "operator.trace",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "auto.offset.reset": "earliest",
    }
    if "KAFKA_USERNAME" in kafka:
        options |= {
            "security.protocol": kafka.get("KAFKA_SECURITY_PROTOCOL", "SASL_PLAINTEXT"),
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": kafka["KAFKA_USERNAME"],
            "sasl.password": kafka["KAFKA_PASSWORD"],
        }
    consumer = Consumer(options)
    try:
        present = consumer.list_topics(timeout=10).topics
        readable = [t.name for t in Catalogue.load().topics if not t.name.endswith((".replay", ".dead"))]
        parts = [
            TopicPartition(name, number, 0)
            for name in readable
            if name in present
            for number in present[name].partitions
        ]
        consumer.assign(parts)
        open_parts = {(part.topic, part.partition) for part in parts}
        found: list[Sighting] = []
        while open_parts:
            for record in consumer.consume(10_000, timeout=5):
                place = (record.topic() or "", record.partition() or 0)
                if record.error() is not None:
                    open_parts.discard(place)  # the end of the partition, or one that may not be read
                    continue
                value = record.value() or b""
                if fits(bytes(value)):
                    stamp = record.timestamp()[1]
                    found.append(Sighting(*place, record.offset() or 0, stamp, _read(bytes(value))))
        return found
    finally:
        consumer.close()


def _read(value: bytes) -> dict[str, Any]:
    try:
        message = json.loads(value)
    except ValueError:
        return {}
    return message if isinstance(message, dict) else {}
