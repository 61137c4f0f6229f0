"""One consumed record after decoding: either a message to handle, or one that cannot be read.

Invariants: decoding never raises for what somebody sent; a message's key in the inbox is its id and,
for what a person or department sent, the sender, so that nobody can use up another's id.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Generic, Protocol, TypeVar

from pydantic import ValidationError
from pydantic_core import to_json

from shared.contracts.envelope import Actor, Envelope
from shared.contracts.operations import DeadReason
from shared.contracts.registry import EVERY_SERVICE, Contract, contract_of
from shared.messaging.clock import BusinessClock
from shared.security.tokens import Untrusted

D_co = TypeVar("D_co", bound=Contract, covariant=True)

REPLIES = re.compile(r"^department\.([a-z0-9-]{2,40})\.replies$")
_ORIGIN = "origin"
NUL = rb"\u0000"
"""NUL, which PostgreSQL cannot store, in the only way in which JSON can write it."""


class Record(Protocol):
    """What is used of a consumer's record (aiokafka's ConsumerRecord, or a test's own)."""

    @property
    def topic(self) -> str: ...  # noqa: D102
    @property
    def partition(self) -> int: ...  # noqa: D102
    @property
    def offset(self) -> int: ...  # noqa: D102
    @property
    def timestamp(self) -> int: ...  # noqa: D102
    @property
    def key(self) -> bytes | None: ...  # noqa: D102
    @property
    def value(self) -> bytes | None: ...  # noqa: D102
    @property
    def headers(self) -> Any: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Position:
    """Where a record lies in the log, and when the broker took it."""

    topic: str
    partition: int
    offset: int
    appended_at: datetime

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass(frozen=True, slots=True)
class Received(Generic[D_co]):
    """A message to handle. `now` is the business time that decisions about it use."""

    envelope: Envelope
    data: D_co
    position: Position
    raw_key: bytes | None
    raw: bytes
    now: datetime
    is_command: bool
    actor: Actor | None = None
    replay_of: str | None = None

    @property
    def key(self) -> str:
        """Its key in the inbox."""
        return f"{self.envelope.id}/{self.actor.person}" if self.actor else str(self.envelope.id)

    @property
    def fingerprint(self) -> bytes:
        """A digest by which a repetition is told from another message under the same id."""
        return fingerprint_of(self.envelope)

    def sender(self) -> Actor:
        """Who sent the command; only for messages that have one."""
        if self.actor is None:
            raise TypeError(f"{self.envelope.type} is not a command")
        return self.actor

    def not_before(self, moment: datetime | None) -> datetime:
        """`now`, or the aggregate's last moment where that is later: time of one aggregate never runs back."""
        return self.now if moment is None or moment <= self.now else moment


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A record that cannot be handled, and why. `key` is its own id where that can be trusted."""

    position: Position
    raw_key: bytes | None
    raw: bytes
    reason: DeadReason
    detail: str
    key: str
    type: str | None = None
    envelope: Envelope | None = None
    actor: Actor | None = None
    replay_of: str | None = None


Unit = Received[Contract] | Unreadable


def fingerprint_of(envelope: Envelope) -> bytes:
    """16 bytes over type, subject and content. The gateway's digest of the plain body stands for sealed content."""
    digest = hashlib.sha256(f"{envelope.type}\n{envelope.subject}\n".encode())
    content = (
        envelope.datadigest.encode() if envelope.datadigest else to_json(dict(sorted(envelope.data.items())))
    )
    digest.update(content)
    return digest.digest()[:16]


class Trust(Protocol):
    """Who a token speaks for (`shared.security.tokens.TokenVerifier`)."""

    async def verify(self, token: str, *, at: float) -> Actor:
        """Raises Untrusted."""


class Decoder:
    """Turns records into units: reads the envelope, checks type, topic, data and the sender's token."""

    def __init__(self, service: str, trust: Trust, clock: BusinessClock) -> None:
        self._service = service
        self._trust = trust
        self._clock = clock
        self._own_topics = (f"{service}.commands", f"{service}.due")
        self._replay_topic = f"{service}.replay"

    async def decode(self, record: Record) -> Unit:
        """The unit of one record; raises only what is transient (identity's keys cannot be fetched)."""
        replay_of: str | None = None
        position = Position(
            record.topic,
            record.partition,
            record.offset,
            datetime.fromtimestamp(record.timestamp / 1000, UTC),
        )
        if record.topic == self._replay_topic:
            try:
                position, replay_of = _origin(dict(record.headers))
            except (KeyError, ValueError):
                return Unreadable(
                    position,
                    record.key,
                    record.value or b"",
                    "undecodable",
                    "no origin header",
                    str(position),
                )
        unit = await self._read(position, record.key, record.value or b"")
        return replace(unit, replay_of=replay_of) if replay_of else unit

    async def _read(self, position: Position, raw_key: bytes | None, raw: bytes) -> Unit:
        def unreadable(reason: DeadReason, detail: str, key: str | None = None, **more: Any) -> Unreadable:
            return Unreadable(position, raw_key, raw, reason, detail, key or str(position), **more)

        try:
            envelope = Envelope.model_validate_json(raw)
        except ValidationError as error:
            return unreadable("undecodable", describe(error))
        type_ = envelope.type
        declaration = contract_of(type_)
        if declaration is None:
            return unreadable("unknown-type", f"nobody declared {type_!r}", type=type_)
        department = REPLIES.match(position.topic)
        expected = declaration.topic
        if declaration.kind == "command" and (
            declaration.owner == EVERY_SERVICE
            or (department and declaration.owner == self._service and "department" in declaration.roles)
        ):
            expected = position.topic
        if position.topic != expected or (
            declaration.kind == "command" and not department and position.topic not in self._own_topics
        ):
            return unreadable("wrong-topic", f"{type_} does not travel on {position.topic}", type=type_)
        actor: Actor | None = None
        if declaration.kind == "command":
            try:
                if declaration.of_system:
                    actor = Actor(f"service:{self._service}", declaration.roles)
                else:
                    actor = await self._actor(envelope, position, department[1] if department else None)
            except Untrusted as error:
                return unreadable("untrusted", str(error), type=type_)
        try:
            data = declaration.model.model_validate(envelope.data)
            fault = "a text holds the character NUL" if NUL in raw and _holds_nul(envelope.data) else None
        except ValidationError as error:
            fault = describe(error)
        if fault is not None:
            key = f"{envelope.id}/{actor.person}" if actor else str(envelope.id)
            return unreadable("invalid-data", fault, key, type=type_, envelope=envelope, actor=actor)
        now = self._now(envelope, position, actor, from_department=department is not None)
        return Received(envelope, data, position, raw_key, raw, now, declaration.kind == "command", actor)

    async def _actor(self, envelope: Envelope, position: Position, department: str | None) -> Actor:
        at = position.appended_at.timestamp()
        if department is None:
            if envelope.actortoken is None:
                raise Untrusted("the command carries no token")
            return await self._trust.verify(envelope.actortoken, at=at)
        simulated = False
        if envelope.actortoken is not None:
            simulated = (await self._trust.verify(envelope.actortoken, at=at)).acting_for_simulation
        return Actor(f"department:{department}", frozenset({"department"}), department, simulated)

    def _now(
        self, envelope: Envelope, position: Position, actor: Actor | None, *, from_department: bool
    ) -> datetime:
        if actor is None:
            return envelope.time  # an event's owner decided when it happened
        if self._clock.mode == "message" and (not from_department or actor.acting_for_simulation):
            return envelope.time  # only the gateway writes commands, and it checked who may choose the time
        return self._clock.at(position.appended_at)


def _holds_nul(value: Any) -> bool:
    """Whether any text in a JSON value holds NUL, which PostgreSQL cannot store."""
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, Mapping):
        return any(_holds_nul(key) or _holds_nul(content) for key, content in value.items())
    return isinstance(value, list) and any(map(_holds_nul, value))


def describe(error: ValidationError) -> str:
    """Where a message is wrong and why, without repeating what it says (it may be personal).

    Of a place only the field's name and positions in lists are told: keys further in may be the sender's own.
    """
    parts = []
    for fault in error.errors(include_input=False, include_url=False, include_context=False)[:5]:
        place = [str(part) for depth, part in enumerate(fault["loc"]) if depth == 0 or isinstance(part, int)]
        parts.append(f"{'.'.join(place) or 'message'}: {fault['type']}")
    return "; ".join(parts)


def origin_headers(position: Position, inbox_key: str) -> Mapping[str, str]:
    """Headers that tell a replayed record's first position and inbox key."""
    return {_ORIGIN: f"{position}|{position.appended_at.isoformat()}|{inbox_key}"}


def _origin(headers: Mapping[str, bytes]) -> tuple[Position, str]:
    place, appended_at, key = headers[_ORIGIN].decode().split("|", 2)
    topic, partition, offset = place.rsplit("/", 2)
    return Position(topic, int(partition), int(offset), datetime.fromisoformat(appended_at)), key
