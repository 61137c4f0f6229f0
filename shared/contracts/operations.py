"""Messages that every service understands or sends: outcomes and dead letters."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import AwareDatetime, Field

from shared.contracts.registry import EVERY_SERVICE, Contract, command, event

DeadReason = Literal[
    "undecodable", "unknown-type", "wrong-topic", "invalid-data", "untrusted", "handler-failed"
]


class Problem(Contract):
    """Why a command was refused. `detail` never repeats what the sender wrote."""

    code: str
    kind: Literal["invalid", "forbidden", "not-found", "conflict", "failed"]
    detail: str


@event("command.outcomes", owner=EVERY_SERVICE, key="command id")
class CommandOutcome(Contract):
    """What became of a command: accepted, or refused or failed with a problem."""

    command_id: UUID
    actor: str = Field(description="id of the person who sent it")
    state: Literal["accepted", "rejected", "failed"]
    fingerprint: str = Field(
        description="hex digest of what was sent, so that a waiting gateway knows its own"
    )
    subject: str = Field(description="id of the aggregate")
    version: int | None = Field(default=None, description="version of the aggregate after an accepted one")
    problem: Problem | None = None


@command("dead-letter.replay", owner=EVERY_SERVICE, roles=("operator",), key="dead letter id")
class ReplayDeadLetter(Contract):
    """Hand a dead letter in again, under its original id and position."""


class DeadLetterNotice(Contract):
    """What `<service>.dead` carries: where a dead letter lies and why, never its content."""

    dead_letter_id: UUID
    reason: DeadReason
    topic: str
    partition: int
    offset: int
    appended_at: AwareDatetime
    sha256: str
