"""From commands to decisions: load the aggregates of a batch under lock, decide in order, save once.

Invariants: a decision is a pure function of state, message and context; commands of one batch on one
aggregate see each other's result; who may send a command stands in its contract and is checked here
again, whatever the gateway did.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts.registry import Contract, declaration_of
from shared.messaging.received import Received
from shared.messaging.work import Work
from shared.refusals import Refusal

S = TypeVar("S")


@dataclass(frozen=True)
class Emission:
    """One message that a decision wants sent. What follows `data` only where not the aggregate's own.

    `sequence` is for a fact about something smaller than the aggregate, e.g. one person's part in it.
    """

    data: Contract
    subject: str | UUID | None = None
    key: str | UUID | None = None
    topic: str | None = None
    sequence: int | None = None


@dataclass(frozen=True)
class Decision(Generic[S]):
    """What a command changes: the new state, its version, and what to tell others. `time` is business time.

    `others` are changed states beside the command's own, by key; the store must have loaded them with it.
    """

    state: S
    version: int
    emissions: Sequence[Emission] = field(default_factory=tuple)
    time: Any = None
    others: Mapping[str, S] = field(default_factory=dict)


Decide = Callable[[S | None, Received[Any], Any], Decision[S]]


class Store(Protocol[S]):
    """The write side of one kind of aggregate."""

    def key(self, message: Received[Any]) -> str:
        """Which aggregate a message is about. Raises Refusal when it cannot be about any."""

    async def load(self, connection: AsyncConnection, messages: Sequence[Received[Any]]) -> dict[str, S]:
        """The aggregates of a batch by key, locked in key order; missing ones left out."""

    async def context(self, connection: AsyncConnection, messages: Sequence[Received[Any]]) -> Any:
        """What decisions of this batch may look up besides, e.g. a catalogue."""

    async def save(
        self, connection: AsyncConnection, before: Mapping[str, S], after: Mapping[str, S]
    ) -> None:
        """Write what changed; `after` holds only changed aggregates."""


class Desk(Generic[S]):
    """The handler of all commands on one kind of aggregate."""

    def __init__(self, store: Store[S], decisions: Mapping[type[Contract], Decide[S]]) -> None:
        self._store = store
        self._decisions = decisions

    def handlers(self) -> dict[type[Contract], Desk[S]]:
        """This desk under each of its message classes, for the runner."""
        return dict.fromkeys(self._decisions, self)

    async def __call__(self, messages: Sequence[Received[Any]], work: Work) -> None:
        """Decide on a batch."""
        store = self._store
        before = await store.load(work.connection, messages)
        context = await store.context(work.connection, messages)
        states = dict(before)
        changed: dict[str, S] = {}
        for message in messages:
            try:
                authorise(message)
                key = store.key(message)
                decision = self._decisions[type(message.data)](states.get(key), message, context)
            except Refusal as refusal:
                if message.is_command:
                    work.reject(message, refusal)
                    self.refused(message, refusal, work)
                continue
            if decision.state is not states.get(key):
                states[key] = changed[key] = decision.state
                self.changed(decision.state, context)
            for other, state in decision.others.items():
                states[other] = changed[other] = state
                self.changed(state, context)
            for emission in decision.emissions:
                work.emit(
                    message,
                    emission.data,
                    subject=emission.subject or message.envelope.subject,
                    key=emission.key,
                    topic=emission.topic,
                    sequence=emission.sequence or decision.version,
                    time=decision.time,
                )
            if message.is_command:
                work.accept(message, version=decision.version)
        await store.save(work.connection, before, changed)

    def changed(self, state: S, context: Any) -> None:
        """Called with each new state; a desk whose decisions look at other aggregates notes it in the context."""

    def refused(self, message: Received[Any], refusal: Refusal, work: Work) -> None:
        """Called for each refusal; a desk with other doors than the gateway tells them here."""


class HandlesBatches(Protocol):
    """A desk as a front desk sees it: `Desk`, or a service's own where no aggregate fits."""

    def handlers(self) -> Mapping[type[Contract], object]:
        """Itself under each of its message classes."""

    async def __call__(self, messages: Sequence[Received[Any]], work: Work) -> None:
        """Handle a batch."""


class FrontDesk:
    """Hands each message of a batch to the desk of its kind: one call per desk, however they are mixed.

    Desks are called in the order given, which therefore is the order in which kinds of aggregates are
    locked. Invariant: messages of one desk keep their order; between kinds of aggregates there is none.
    """

    def __init__(self, *desks: HandlesBatches) -> None:
        self._desks = [(desk, frozenset(desk.handlers())) for desk in desks]

    def handlers(self) -> dict[type[Contract], FrontDesk]:
        """This front desk under each message class of its desks, for the runner."""
        return {kind: self for _, kinds in self._desks for kind in kinds}

    async def __call__(self, messages: Sequence[Received[Any]], work: Work) -> None:
        """Decide on a batch."""
        for desk, kinds in self._desks:
            if own := [message for message in messages if type(message.data) in kinds]:
                await desk(own, work)


def subject_id(message: Received[Any]) -> UUID:
    """The subject as an id. Raises Refusal when it is none."""
    try:
        return UUID(message.envelope.subject)
    except ValueError:
        raise Refusal("subject-not-an-id", "The subject must be a UUID.", "invalid") from None


def subject_ids(messages: Sequence[Received[Any]]) -> list[UUID]:
    """The subjects of a batch that are ids, sorted, each once: the order in which aggregates are locked."""
    found: set[UUID] = set()
    for message in messages:
        with contextlib.suppress(ValueError):
            found.add(UUID(message.envelope.subject))
    return sorted(found)


def check_area(message: Received[Any], *places: str | None) -> None:
    """Raise Refusal unless each of the places lies in the area of the congress that the sender works for."""
    sender = message.sender()
    if not all(sender.reaches(place) for place in places):
        raise Refusal(
            "not-your-area",
            "This lies outside the area of your congress; ask the congress above it, or an operator.",
            "forbidden",
        )


def authorise(message: Received[Any]) -> None:
    """Raise Refusal when the sender's roles do not allow this command."""
    if not message.is_command:
        return
    declaration = declaration_of(type(message.data))
    if not declaration.roles & message.sender().roles:
        raise Refusal("role-not-allowed", f"Your role may not send {declaration.type}.", "forbidden")
