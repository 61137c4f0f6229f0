"""Which message goes to which handler."""

from __future__ import annotations

from services.notify.handlers import NOTICES, mark, mark_all, take_in
from shared.contracts.identity import DeputyChanged
from shared.contracts.notify import MarkAllNotices, MarkNotices
from shared.contracts.registry import Contract, declaration_of
from shared.messaging.runner import Handler

_EVENTS: tuple[type[Contract], ...] = (DeputyChanged, *NOTICES)

EVENT_TOPICS = tuple(declaration_of(model).topic for model in _EVENTS)


def handlers() -> dict[type[Contract], Handler]:
    """Every message class that notify handles; all events share one handler, so a batch stays whole."""
    return {**dict.fromkeys(_EVENTS, take_in), MarkNotices: mark, MarkAllNotices: mark_all}
