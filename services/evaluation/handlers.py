"""Use cases of evaluation: take events in one by one, settle totals, adopt a rubric, begin with the shipped one.

Events come in batches through `intake`; one by one comes what a batch cannot take: news of a deputy, what
a person must look at, and replays.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from datetime import date, datetime, time
from pathlib import Path
from time import perf_counter
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.evaluation import errors
from services.evaluation.domain import CHINA, Fact, LedgerEntry, entries
from services.evaluation.reckoning import Place
from services.evaluation.rubric import Adopted, Rubric, Schedule, adopt
from services.evaluation.rubric_file import parse_rubric, read_rubric
from services.evaluation.store import AT_A_STRETCH, EvaluationStore, EventCount
from shared.contracts.evaluation import AdoptRubric, RubricAdopted, ScoreChanged
from shared.contracts.identity import DeputyChanged
from shared.contracts.registry import Contract
from shared.database.engine import is_transient
from shared.host import Surroundings
from shared.messaging import fences
from shared.messaging.clock import BusinessClock
from shared.messaging.desk import authorise, check_area
from shared.messaging.received import Received
from shared.messaging.work import Work
from shared.refusals import Refusal
from shared.telemetry.logging import logger

SETTLE_LOOP = "settle"
_TURN_SECONDS = 1.0
_RESTS = 9
_REST_SECONDS_MAX = 30.0
_CALM_REST_SECONDS_MAX = 4.0
_NOTES_MAX = 10_000
_PLACES_MAX = 250
"""So many are settled in one transaction."""
_PLACES_FEW = 50
"""So many while events come one by one."""
_LEFT_FEW = 2_000
"""More than this are not of events that come one by one."""
_MANY = 300
_BACKLOG = 5_000
_TRY_LOCK = "SELECT pg_try_advisory_lock(727_102)"

SHIPPED_RUBRIC = Path(__file__).parent / "rubrics" / "ningbo.yaml"


log = logger(__name__)


class EventIntake:
    """Handler of every event: ledger rows for what counts, a count for all, deputies kept."""

    def __init__(self, store: EvaluationStore) -> None:
        self._store = store

    async def __call__(self, messages: Sequence[Received[Contract]], work: Work) -> None:
        """Take a batch in; its order does not matter."""
        connection = work.connection
        schedule = await self._store.schedule(connection)
        rows: list[LedgerEntry] = []
        counts: dict[str, EventCount] = {}
        deputies: dict[UUID, tuple[int, DeputyChanged]] = {}
        for message in messages:
            found = entries_of(schedule, message)
            rows += found
            _count(counts, message, scored=bool(found))
            if isinstance(message.data, DeputyChanged):
                _keep_newest(deputies, message.envelope.sequence or 0, message.data)
        await self._store.keep_deputies(connection, deputies)
        await self._store.enter(connection, rows)
        await self._store.count(connection, counts)


class Settling:
    """Derives the totals that batches noted as to be derived anew, and tells which changed."""

    def __init__(self, store: EvaluationStore, engine: AsyncEngine, clock: BusinessClock) -> None:
        self._store = store
        self._engine = engine
        self._clock = clock

    async def settle(self, pace: Pace | None = None) -> int:
        """Settle all that is noted now, each deputy once; returns how many deputies and years that were."""
        async with self._engine.connect() as connection:
            ids, places = await self._store.take_unsettled(connection, limit=_NOTES_MAX)
        start = 0
        while start < len(places):
            size = await pace.size(len(places) - start) if pace else _PLACES_MAX
            began = perf_counter()
            await self._settle(places[start : start + size])
            if pace:
                await pace.rest(perf_counter() - began)
            start += size
        if ids:
            async with self._engine.begin() as connection:
                await self._store.forget_unsettled(connection, ids)
        return len(places)

    async def newest_note(self) -> int | None:
        """The last note of a batch that is not settled, which tells whether another came since; None without one."""
        async with self._engine.connect() as connection:
            return await self._store.newest_note(connection)

    async def _settle(self, places: Sequence[Place]) -> None:
        async with self._engine.begin() as connection:
            work = Work(connection, "evaluation")
            schedule = await self._store.schedule(connection)
            for number, scored in enumerate(await self._store.settle(connection, places, schedule), 1):
                if number % AT_A_STRETCH == 0:
                    await asyncio.sleep(0)
                work.announce(
                    ScoreChanged(
                        deputy_id=scored.deputy_id,
                        year=scored.year,
                        total=scored.total.total,
                        categories=dict(scored.total.categories),
                    ),
                    subject=scored.deputy_id,
                    time=self._clock.now(),
                    sequence=scored.version,
                )
            await work.write()


class Pace:
    """How much is settled at once, and how long the batches then have the processor to themselves.

    While events come and go, little at a time, with nine times as long between: what is read meanwhile waits for
    no longer than a little takes. In a backlog much at a time and one long rest after the turn, because then
    nobody waits for a single event. Where no batch came for a second there is nothing to give way to.
    """

    def __init__(self, settling: Settling, around: Surroundings) -> None:
        self._settling = settling
        self._around = around
        self._newest: int | None = None
        self._came_at = float("-inf")
        self._size = _PLACES_MAX
        self.unrested = 0.0
        """Seconds of work of this turn that no rest has followed."""

    async def size(self, left: int) -> int:
        """How many places the next part should be; where many are `left`, they come from a backlog."""
        newest, now = await self._settling.newest_note(), perf_counter()
        if newest != self._newest:
            self._newest, self._came_at = newest, now
        comes = now - self._came_at < _TURN_SECONDS
        is_calm = comes and left <= _LEFT_FEW and self._around.lag() <= _BACKLOG
        self._size = _PLACES_FEW if is_calm else _PLACES_MAX
        return self._size

    async def rest(self, worked: float) -> None:
        """Rest after a part, where it was a little one."""
        self._around.health.turn(SETTLE_LOOP)
        if self._size == _PLACES_FEW:
            await asyncio.sleep(min(_RESTS * worked, _TURN_SECONDS))
        else:
            self.unrested += worked


async def settle_on(store: EvaluationStore, around: Surroundings) -> None:
    """Settle again and again, a deputy at most once a second; of several processes one does it. Runs until cancelled.

    How it gives way to the batches says `Pace`. A score is read from the sums and does not wait: what waits is
    the news of it.
    """
    settling = Settling(store, around.engine, around.clock)
    while True:
        around.health.turn(SETTLE_LOOP)
        try:
            async with around.engine.connect() as holding:
                await holding.execution_options(isolation_level="AUTOCOMMIT")
                await _settle_while_held(holding, settling, around)
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("settling-restarts", error=type(error).__name__)
            await asyncio.sleep(_TURN_SECONDS)


async def _settle_while_held(holding: AsyncConnection, settling: Settling, around: Surroundings) -> None:
    """Settle as long as this connection holds the lock, which it keeps until it ends."""
    held, pace = False, Pace(settling, around)
    while True:
        around.health.turn(SETTLE_LOOP)
        pace.unrested, settled = 0.0, 0
        if not held:
            held = bool((await holding.exec_driver_sql(_TRY_LOCK)).scalar())
        else:
            await holding.exec_driver_sql("SELECT 1")  # a connection that is gone holds nothing
        if held:
            settled = await settling.settle(pace)
        await _rest(pace.unrested if settled > _MANY else 0, settling, around)


async def _rest(worked: float, settling: Settling, around: Surroundings) -> None:
    began = perf_counter()
    newest = await settling.newest_note() if worked else None
    await asyncio.sleep(_TURN_SECONDS)
    while (rested := perf_counter() - began) < min(_RESTS * worked, _REST_SECONDS_MAX):
        before, newest = newest, await settling.newest_note()
        if around.lag() <= _BACKLOG and (rested > _CALM_REST_SECONDS_MAX or newest == before):
            return
        await asyncio.sleep(_TURN_SECONDS)


def entries_of(schedule: Schedule, message: Received[Contract]) -> tuple[LedgerEntry, ...]:
    """The ledger rows of one event. Raises AbsurdAmount where it would be worth more than any real one."""
    envelope = message.envelope
    if envelope.type not in schedule.event_types:
        return ()
    data = message.data.model_dump(mode="json")
    return entries(schedule, Fact(envelope.id, envelope.type, envelope.time, data, envelope.sequence or 0))


def _count(counts: dict[str, EventCount], message: Received[Contract], *, scored: bool) -> None:
    type_, year = message.envelope.type, message.envelope.time.astimezone(CHINA).year
    held = counts.get(type_, EventCount(0, 0, year))
    counts[type_] = EventCount(held.events + 1, held.unscored + (not scored), max(held.last_year, year))


def _keep_newest(deputies: dict[UUID, tuple[int, DeputyChanged]], sequence: int, data: DeputyChanged) -> None:
    held = deputies.get(data.deputy_id)
    if held is None or held[0] < sequence:
        deputies[data.deputy_id] = (sequence, data)


class RewindDesk:
    """Handler of `evaluation.rewind`: fences go back to the beginning; the ledger's identities do the rest."""

    def __init__(self, topics: Collection[str]) -> None:
        self._topics = topics

    async def __call__(self, messages: Sequence[Received[Any]], work: Work) -> None:
        """Rewind or refuse each."""
        for message in messages:
            asked = message.data.topics
            try:
                authorise(message)
                if unknown := sorted(set(asked).difference(self._topics)):
                    raise errors.topic_not_taken_in(unknown[0])
            except Refusal as refusal:
                work.reject(message, refusal)
                continue
            await fences.rewind(work.connection, asked or sorted(self._topics))
            work.accept(message)


class RubricDesk:
    """Handler of `rubric.adopt`. The rubric's own name says which rubric it is, whatever the subject."""

    def __init__(self, store: EvaluationStore) -> None:
        self._store = store

    async def __call__(self, messages: Sequence[Received[Any]], work: Work) -> None:
        """Adopt or refuse each, in order; later ones see the earlier."""
        connection = work.connection
        schedule = await self._store.schedule(connection, for_adoption=True)
        for message in messages:
            command: AdoptRubric = message.data
            try:
                authorise(message)
                check_area(message, None)
                rubric = parse_rubric(command.rubric)
                # Types of the rubric that it would replace count too: their points stand under its items.
                looked_at = schedule.event_types | rubric.items_by_event.keys()
                last_year = await self._store.last_year(connection, looked_at)
                schedule = adopt(
                    schedule, Adopted(command.effective_from, rubric), last_scored_year=last_year
                )
            except Refusal as refusal:
                work.reject(message, refusal)
                continue
            await self._store.add_rubric(
                connection, rubric, command.rubric, command.effective_from, message.now
            )
            work.emit(
                message,
                _adopted(rubric, command.rubric, command.effective_from),
                subject=rubric.name,
                sequence=rubric.version,
            )
            work.accept(message, version=rubric.version)


def _adopted(rubric: Rubric, document: dict[str, Any], effective_from: date) -> RubricAdopted:
    return RubricAdopted(
        name=rubric.name, version=rubric.version, effective_from=effective_from, rubric=document
    )


async def adopt_shipped(engine: AsyncEngine, store: EvaluationStore, effective_from: date) -> None:
    """Adopt the shipped rubric where none was adopted yet; several processes starting at once do it once."""
    async with engine.begin() as connection:
        work = Work(connection, "evaluation")
        await _adopt_first(connection, store, effective_from, work)
        await work.write()


async def _adopt_first(
    connection: AsyncConnection, store: EvaluationStore, effective_from: date, work: Work
) -> None:
    if (await store.schedule(connection, for_adoption=True)).adopted:
        return
    document, rubric = read_rubric(SHIPPED_RUBRIC.read_text(encoding="utf-8"))
    # The first moment of its first day, so that a rebuilt service says the same as the first.
    moment = datetime.combine(effective_from, time(), CHINA)
    await store.add_rubric(connection, rubric, document, effective_from, moment)
    work.announce(
        _adopted(rubric, document, effective_from),
        subject=rubric.name,
        time=moment,
        sequence=rubric.version,
    )
