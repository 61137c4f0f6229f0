"""Live hints over SSE: what kind of thing changed, its id and version; the page then reads it again.

Invariants: one reader of the event topics per gateway, from their ends, without a group; a hint goes
only to whom it concerns (the deputy, the department, staff) and costs nothing for the others; a client
that does not keep up is dropped, and every stream ends after a while, so that whoever lost a right
loses the stream too. Both come back and read again: hints carry nothing that cannot be read. A page
reads before its stream stands, so a stream begins with what changed in the last seconds: one hint of a
kind, the latest, of at most `_RECENT_MAX` records.
"""

# No postponed annotations here: FastAPI could not find names that are made inside functions.

import asyncio
import json
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Any

from fastapi import Depends, FastAPI
from pydantic import ValidationError
from sse_starlette import EventSourceResponse

from gateway.commands import Caller
from gateway.settings import GatewaySettings
from shared.contracts import events
from shared.contracts.envelope import Actor, Envelope
from shared.http.problems import Problem

_NOT_SHOWN = frozenset({"command.outcomes", "clock.ticked", "staff.changed", "rubric.adopted"})
TOPICS = tuple(
    sorted(
        {
            d.topic
            for d in events().values()
            if d.topic not in _NOT_SHOWN and not d.type.startswith("department.")
        }
    )
)
_FOR_DEPUTIES = frozenset(
    {"activity.announced", "consultation.opened", "consultation.closed", "course.published"}
)
_SEND_SECONDS_MAX = 30
_RECENT_SECONDS = 5.0
_RECENT_MAX = 2_500
"""So many records at most are kept for streams that begin: those of so many seconds at 500 a second."""
_STAFF = "staff"
_DEPUTIES = "deputies"


def audiences_of(actor: Actor) -> list[str]:
    """The groups that somebody belongs to: staff hear of everything, others of their own."""
    if actor.roles & {"staff", "operator"}:
        return [_STAFF]
    if "department" in actor.roles:
        return [f"department {actor.organisation}"] if actor.organisation else []
    return [_DEPUTIES, f"deputy {actor.person}"] if "deputy" in actor.roles else []


def audiences_for(envelope: Envelope) -> list[str]:
    """The groups that a fact concerns: those of whom it names."""
    found = [_STAFF]
    if envelope.type in _FOR_DEPUTIES:
        found.append(_DEPUTIES)
    data = envelope.data
    deputies = {data.get("deputy_id"), data.get("cosigner_id")}
    deputies.update(data.get("followers", ()), data.get("signers", ()))
    departments = {data.get("department"), data.get("lead"), data.get("owing")}
    departments.update(data.get("co_handlers", ()))
    found += [f"deputy {one}" for one in deputies if one is not None]
    found += [f"department {one}" for one in departments if one is not None]
    return found


@dataclass(frozen=True)
class _Hint:
    """What is told of a fact, and to whom; nothing and to nobody of what is no message."""

    kind: str = ""
    audiences: frozenset[str] = frozenset()
    text: str = ""

    @classmethod
    def of(cls, value: bytes | None) -> "_Hint":
        try:
            envelope = Envelope.model_validate_json(value or b"")
        except ValidationError:
            return cls()
        told = {"kind": envelope.type, "id": envelope.subject, "version": envelope.sequence}
        return cls(envelope.type, frozenset(audiences_for(envelope)), json.dumps(told))


class _Recent:
    """A record that came a moment ago; read when somebody first asks, and once."""

    def __init__(self, value: bytes | None) -> None:
        self.at = time.monotonic()
        self._value = value

    @cached_property
    def hint(self) -> _Hint:
        return _Hint.of(self._value)


@dataclass(eq=False)
class _Client:
    audiences: Iterable[str]
    queue: asyncio.Queue[str | None] = field(repr=False)


class Hints:
    """All connected clients."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._clients: set[_Client] = set()
        self._by_audience: defaultdict[str, set[_Client]] = defaultdict(set)
        self._recent: deque[_Recent] = deque(maxlen=_RECENT_MAX)

    def take(self, record: Any) -> None:
        """Hand one record of an event topic to whom it concerns."""
        recent = _Recent(record.value)
        self._recent.append(recent)
        if not self._clients:
            return
        concerned: set[_Client] = set()
        for audience in recent.hint.audiences:
            concerned |= self._by_audience.get(audience, set())
        for client in concerned:
            if client.queue.full():
                self._end(client)
            else:
                client.queue.put_nowait(recent.hint.text)

    def _just_told(self, audiences: Iterable[str]) -> list[str]:
        since, concerned = time.monotonic() - _RECENT_SECONDS, set(audiences)
        hints = [one.hint for one in self._recent if one.at >= since]
        latest = {hint.kind: hint for hint in hints if not concerned.isdisjoint(hint.audiences)}
        return [hint.text for hint in latest.values()]

    def _forget(self, client: _Client) -> None:
        self._clients.discard(client)
        for audience in client.audiences:
            members = self._by_audience[audience]
            members.discard(client)
            if not members:
                del self._by_audience[audience]

    def _end(self, client: _Client) -> None:
        """End a stream after what waits for it; a full queue goes first, for its client does not keep up."""
        self._forget(client)
        if client.queue.full():
            while not client.queue.empty():
                client.queue.get_nowait()
        client.queue.put_nowait(None)

    def close(self) -> None:
        """End all streams."""
        for client in list(self._clients):
            self._end(client)

    async def stream(self, actor: Actor) -> AsyncIterator[dict[str, str]]:
        """The hints of one client, until it leaves, is dropped, or has had its time."""
        client = _Client(audiences_of(actor), asyncio.Queue(self._settings.stream_queue_max))
        self._clients.add(client)
        for audience in client.audiences:
            self._by_audience[audience].add(client)
        ends = time.monotonic() + self._settings.stream_seconds_max
        try:
            for hint in self._just_told(client.audiences):
                yield {"event": "changed", "data": hint}
            while (left := ends - time.monotonic()) > 0:
                try:
                    told = await asyncio.wait_for(client.queue.get(), left)
                except TimeoutError:
                    break
                if told is None:
                    break
                yield {"event": "changed", "data": told}
        finally:
            self._forget(client)

    @property
    def full(self) -> bool:
        """Whether no more clients are taken."""
        return len(self._clients) >= self._settings.stream_clients_max


def add(
    app: FastAPI, hints: Hints, settings: GatewaySettings, caller: Callable[..., Awaitable[Caller]]
) -> None:
    """Add the stream."""

    @app.get(
        "/api/events",
        summary="Live hints over SSE: {kind, id, version}",
        tags=["me"],
        response_class=EventSourceResponse,
        responses={200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}}},
    )
    async def stream(person: Annotated[Caller, Depends(caller)]) -> EventSourceResponse:
        if hints.full:
            raise Problem(
                503,
                "too-many-streams",
                "Too many streams are open; try again later.",
                headers={"Retry-After": "30"},
            )
        return EventSourceResponse(
            hints.stream(person.actor), ping=settings.stream_ping_seconds, send_timeout=_SEND_SECONDS_MAX
        )
