"""Use cases of evaluation: take events in, adopt a rubric, begin with the shipped one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.evaluation.domain import CHINA, Adopted, Fact, LedgerEntry, Rubric, Schedule, adopt, entries
from services.evaluation.rubric_file import parse_rubric, read_rubric
from services.evaluation.store import EvaluationStore, EventCount
from shared.contracts.evaluation import AdoptRubric, RubricAdopted, ScoreChanged
from shared.contracts.identity import DeputyChanged
from shared.contracts.registry import Contract
from shared.messaging.desk import authorise
from shared.messaging.received import Received
from shared.messaging.work import Work
from shared.refusals import Refusal

SHIPPED_RUBRIC = Path(__file__).parent / "rubrics" / "ningbo.yaml"


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
        causes: dict[UUID, Received[Contract]] = {}
        for message in messages:
            found = _entries(schedule, message)
            rows += found
            causes |= {row.identity.deputy_id: message for row in found}
            _count(counts, message, scored=bool(found))
            if isinstance(message.data, DeputyChanged):
                _keep_newest(deputies, message.envelope.sequence or 0, message.data)
        await self._store.keep_deputies(connection, deputies)
        places = await self._store.enter(connection, rows)
        for scored in await self._store.settle(connection, places, schedule):
            work.emit(
                causes[scored.deputy_id],
                ScoreChanged(
                    deputy_id=scored.deputy_id,
                    year=scored.year,
                    total=scored.total.total,
                    categories=dict(scored.total.categories),
                ),
                subject=scored.deputy_id,
                sequence=scored.version,
            )
        await self._store.count(connection, counts)


def _entries(schedule: Schedule, message: Received[Contract]) -> tuple[LedgerEntry, ...]:
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
