"""What every service answers to operators: messages that could not be handled 死信."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from gateway.answers.page import Answer, Page
from shared.contracts import operations


class DeadLetter(Answer):
    """A message that could not be handled 死信: where it lay, why, and what became of it; never its content."""

    id: UUID
    type: str | None
    topic: str
    partition: int
    offset: int
    appended_at: datetime
    reason: operations.DeadReason
    detail: str
    attempts: int
    state: Literal["dead", "replaying", "replayed"]
    created_at: datetime
    replayed_at: datetime | None


class DeadLetterPage(Page):
    """Dead letters of a service, the newest first."""

    items: tuple[DeadLetter, ...]
