"""What `notify` answers: one's inbox 消息."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from gateway.answers.page import Answer, Page


class Notice(Answer):
    """One message of an inbox 消息; `subject` is the id of the thing it is about, `parameters` what belongs to its kind."""

    id: UUID
    kind: str
    subject: str
    at: datetime
    parameters: dict[str, str | int]
    read: bool


class NoticePage(Page):
    """One's inbox, newest first."""

    items: tuple[Notice, ...]
    unread: int
