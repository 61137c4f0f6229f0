"""Messages and records made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from uuid6 import uuid7

from shared.contracts.envelope import Envelope
from shared.contracts.registry import Contract, declaration_of


def message(
    data: Contract,
    *,
    subject: object,
    token: str | None = None,
    message_id: UUID | None = None,
    time: datetime | None = None,
    sequence: int | None = None,
    source: str = "/tests",
) -> Envelope:
    """An envelope around `data`."""
    found = message_id or uuid7()
    return Envelope(
        id=UUID(int=found.int),
        source=source,
        type=declaration_of(type(data)).type,
        subject=str(subject),
        time=time or datetime.now(UTC),
        recordedtime=datetime.now(UTC),
        sequence=sequence,
        correlationid=str(found),
        actortoken=token,
        data=data.model_dump(mode="json"),
    )


def encoded(envelope: Envelope) -> bytes:
    """The envelope as it travels."""
    return envelope.model_dump_json(exclude_none=True).encode()


@dataclass(frozen=True)
class HandRecord:
    """A consumed record without a broker; the same attributes as aiokafka's."""

    topic: str
    value: bytes | None
    key: bytes | None = b"key"
    partition: int = 0
    offset: int = 0
    timestamp: int = field(default_factory=lambda: int(datetime.now(UTC).timestamp() * 1000))
    headers: Sequence[tuple[str, bytes]] = ()
