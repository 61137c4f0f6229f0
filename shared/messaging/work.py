"""What the handlers of one batch write besides their own state: messages, outcomes, dead letters.

Everything is collected and written in one go just before the commit; nothing is sent from here.
Invariant: handlers never commit, publish or read the clock.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

from pydantic_core import to_json
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid6 import uuid7

from shared.contracts.envelope import Envelope
from shared.contracts.operations import CommandOutcome, DeadLetterNotice, DeadReason, Problem
from shared.contracts.registry import Contract, declaration_of
from shared.messaging.received import Received, Unit, Unreadable, fingerprint_of
from shared.refusals import Refusal
from shared.telemetry import metrics, tracing

_OUTBOX = (
    "INSERT INTO outbox (topic, key, payload, headers) "
    "SELECT t, k, p, h FROM unnest($1::text[], $2::text[], $3::bytea[], $4::jsonb[]) "
    "WITH ORDINALITY AS r (t, k, p, h, n) ORDER BY n"
)
_OUTCOMES = (
    "UPDATE inbox SET outcome = r.o FROM unnest($1::text[], $2::jsonb[]) AS r (k, o) WHERE inbox.key = r.k"
)
_LETTERS = (
    'INSERT INTO dead_letters (id, inbox_key, type, topic, partition, "offset", appended_at, message_key, '
    "message, reason, detail, attempts, state) SELECT *, 'dead' FROM unnest($1::uuid[], $2::text[], $3::text[], "
    "$4::text[], $5::int[], $6::bigint[], $7::timestamptz[], $8::bytea[], $9::bytea[], $10::text[], $11::text[], "
    "$12::smallint[]) ON CONFLICT (inbox_key) DO UPDATE SET state = 'dead', reason = excluded.reason, "
    "detail = excluded.detail, attempts = dead_letters.attempts + 1, replayed_at = NULL"
)
# A replay that could not be read either was admitted, and must stay possible.
_DEAD_AGAIN = "UPDATE inbox SET state = 'dead' WHERE key = ANY($1::text[]) AND state = 'done'"


class Work:
    """One transaction's writing, around the connection that handlers use for their own tables."""

    def __init__(self, connection: AsyncConnection, service: str) -> None:
        self.connection = connection
        self.service = service
        self._wall = datetime.now(UTC)
        self._outgoing: list[tuple[str, str, bytes, str | None]] = []
        self._outcomes: dict[str, str] = {}
        self._letters: list[tuple[Any, ...]] = []

    @property
    def outgoing(self) -> Sequence[tuple[str, str, bytes]]:
        """What is to be sent so far, in order: topic, key and the message as it will travel."""
        return [(topic, key, payload) for topic, key, payload, _ in self._outgoing]

    def emit(
        self,
        cause: Received[Contract],
        data: Contract,
        *,
        subject: str | UUID,
        sequence: int | None = None,
        time: datetime | None = None,
        topic: str | None = None,
        key: str | UUID | None = None,
    ) -> None:
        """Publish a fact after the commit. `topic` only where the type's own is not meant (department topics)."""
        declaration = declaration_of(type(data))
        self._send(
            cause.envelope,
            data,
            type_=declaration.type,
            topic=topic or declaration.topic,
            subject=str(subject),
            sequence=sequence,
            time=time or cause.now,
            key=str(key or subject),
        )

    def announce(
        self, data: Contract, *, subject: str | UUID, time: datetime, sequence: int | None = None
    ) -> None:
        """Publish a fact that no message caused, e.g. what a service knows from its first start."""
        declaration = declaration_of(type(data))
        self._send(
            None,
            data,
            type_=declaration.type,
            topic=declaration.topic,
            subject=str(subject),
            sequence=sequence,
            time=time,
            key=str(subject),
        )

    def _send(
        self,
        cause: Envelope | None,
        data: Contract,
        *,
        type_: str,
        topic: str,
        subject: str,
        sequence: int | None,
        time: datetime,
        key: str,
    ) -> None:
        message_id = uuid7()
        message: dict[str, Any] = {
            "specversion": "1.0",
            "id": message_id,
            "source": f"/services/{self.service}",
            "type": type_,
            "subject": subject,
            "time": time,
            "datacontenttype": "application/json",
            "recordedtime": self._wall,
            "sequence": sequence,
            "traceparent": tracing.child_of(cause.traceparent if cause else None),
            "correlationid": (cause.correlationid or str(cause.id)) if cause else str(message_id),
            "causationid": str(cause.id) if cause else None,
            "data": data,
        }
        self._outgoing.append(
            (topic, key, to_json({k: v for k, v in message.items() if v is not None}), None)
        )

    def resend(self, topic: str, key: str, payload: bytes, headers: Mapping[str, str]) -> None:
        """Publish bytes as they are, with headers (the replay of a dead letter)."""
        self._outgoing.append((topic, key, payload, to_json(dict(headers)).decode()))

    def accept(self, command: Received[Contract], *, version: int | None = None) -> None:
        """The command was carried out."""
        self._settle(command, "accepted", version=version)

    def reject(self, command: Received[Contract], refusal: Refusal, *, remember: bool = True) -> None:
        """The command was refused. With `remember` false the outcome stored under its id stays as it is."""
        problem = Problem(code=refusal.code, kind=refusal.kind, detail=refusal.detail)
        self._settle(command, "rejected", problem=problem, remember=remember)
        metrics.HANDLED.labels(self.service, command.envelope.type, "rejected").inc()

    def repeat(self, command: Received[Contract], outcome: Mapping[str, Any]) -> None:
        """Publish the first outcome (as stored) of a repeated command again."""
        self._outcome(command.envelope, CommandOutcome.model_validate(outcome))

    def _settle(
        self,
        command: Received[Contract],
        state: Any,
        *,
        version: int | None = None,
        problem: Problem | None = None,
        remember: bool = True,
    ) -> None:
        outcome = CommandOutcome(
            command_id=command.envelope.id,
            actor=command.sender().person,
            state=state,
            fingerprint=command.fingerprint.hex(),
            subject=command.envelope.subject,
            version=version,
            problem=problem,
        )
        if remember:
            self._outcomes[command.key] = outcome.model_dump_json()
        self._outcome(command.envelope, outcome)

    def _outcome(self, cause: Envelope, outcome: CommandOutcome) -> None:
        self._send(
            cause,
            outcome,
            type_="command.outcomes",
            topic="command.outcomes",
            subject=str(outcome.command_id),
            sequence=None,
            time=cause.time,
            key=str(outcome.command_id),
        )

    def bury(self, unit: Unit, reason: DeadReason, detail: str, *, attempts: int) -> None:
        """Write a dead letter: the bytes to the table, a reference to the topic, for a command the outcome."""
        inbox_key = unit.replay_of or unit.key
        letter_id = uuid5(NAMESPACE_OID, f"{self.service}/{inbox_key}")  # the same if it must be buried again
        at = unit.position
        type_ = unit.type if isinstance(unit, Unreadable) else unit.envelope.type
        self._letters.append(
            (
                letter_id,
                inbox_key,
                type_ and type_.replace("\0", ""),
                at.topic,
                at.partition,
                at.offset,
                at.appended_at,
                unit.raw_key,
                unit.raw,
                reason,
                detail.replace("\0", ""),
                attempts,
            )
        )
        notice = DeadLetterNotice(
            dead_letter_id=letter_id,
            reason=reason,
            topic=at.topic,
            partition=at.partition,
            offset=at.offset,
            appended_at=at.appended_at,
            sha256=hashlib.sha256(unit.raw).hexdigest(),
        )
        self._outgoing.append(
            (f"{self.service}.dead", str(letter_id), notice.model_dump_json().encode(), None)
        )
        metrics.DEAD_LETTERS.labels(reason).inc()
        if unit.envelope is not None and unit.actor is not None:
            outcome = CommandOutcome(
                command_id=unit.envelope.id,
                actor=unit.actor.person,
                state="failed",
                fingerprint=fingerprint_of(unit.envelope).hex(),
                subject=unit.envelope.subject,
                problem=Problem(
                    code=reason, kind="failed" if reason == "handler-failed" else "invalid", detail=detail
                ),
            )
            self._outcomes[unit.key] = outcome.model_dump_json()
            self._outcome(unit.envelope, outcome)

    async def write(self) -> None:
        """Write everything collected; the caller commits."""
        if self._letters:
            columns = tuple(map(list, zip(*self._letters, strict=True)))
            await self.connection.exec_driver_sql(_LETTERS, columns)
            await self.connection.exec_driver_sql(_DEAD_AGAIN, (columns[1],))
        if self._outcomes:
            await self.connection.exec_driver_sql(
                _OUTCOMES, (list(self._outcomes), list(self._outcomes.values()))
            )
        if self._outgoing:
            topics, keys, payloads, headers = map(list, zip(*self._outgoing, strict=True))
            await self.connection.exec_driver_sql(_OUTBOX, (topics, keys, payloads, headers))
            await self.connection.exec_driver_sql("NOTIFY outbox")
