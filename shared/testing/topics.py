"""Reading topics in tests: everything up to now, or followed while a test goes on."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from pydantic import ValidationError

from shared.contracts.envelope import Envelope
from shared.contracts.operations import CommandOutcome
from shared.messaging.kafka import open_reader
from shared.settings import KafkaSettings


async def read_all(settings: KafkaSettings, *topics: str) -> dict[str, list[Any]]:
    """Every record that the topics hold now, in offset order within each partition."""
    found: dict[str, list[Any]] = {topic: [] for topic in topics}
    reader = await open_reader(settings, *topics, from_end=False)
    try:
        ends = await reader.end_offsets(list(reader.assignment()))
        left = {part for part, end in ends.items() if end > 0}
        while left:
            for part, records in (await reader.getmany(timeout_ms=200)).items():
                found[part.topic].extend(record for record in records if record.offset < ends[part])
            left = {part for part in left if await reader.position(part) < ends[part]}
    finally:
        await reader.stop()
    return found


def messages_in(records: Mapping[str, list[Any]], topic: str) -> list[Envelope]:
    """The messages of a topic that was read; what is no message is passed over, as every reader must."""
    found = []
    for record in records[topic]:
        with contextlib.suppress(ValidationError):
            found.append(Envelope.model_validate_json(record.value or b""))
    return found


@dataclass
class TopicLog:
    """Everything read from some topics so far; `follow` runs beside the test until it is cancelled."""

    messages: dict[str, list[Envelope]] = field(default_factory=dict)

    async def follow(self, settings: KafkaSettings, *topics: str) -> None:
        """Read from the beginning and go on reading."""
        reader = await open_reader(settings, *topics, from_end=False)
        try:
            while True:
                for part, records in (await reader.getmany(timeout_ms=100)).items():
                    found = messages_in({part.topic: records}, part.topic)
                    self.messages.setdefault(part.topic, []).extend(found)
        finally:
            await reader.stop()

    def of(self, topic: str, subject: object) -> list[Envelope]:
        """The messages of a topic about one aggregate."""
        return [e for e in self.messages.get(topic, []) if e.subject == str(subject)]

    def outcomes(self, command: UUID) -> list[CommandOutcome]:
        """Every outcome that was published for a command."""
        return [CommandOutcome.model_validate(e.data) for e in self.of("command.outcomes", command)]
