"""The write side of participation: the only place that writes its tables.

Invariants: whoever writes an attendance or an answer holds the lock of its activity or consultation;
a batch costs the same number of statements whatever its size.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Row, Select, Table, Uuid, and_, cast, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.participation import tables
from services.participation.domain import (
    CODE_ALPHABET,
    CODE_LENGTH,
    Activity,
    Answer,
    Attendance,
    Consultation,
    Duty,
    Question,
)
from shared.contracts.identity import DeputyChanged, congress_of
from shared.database.engine import VersionConflict
from shared.database.rows import insert_rows, update_rows, upsert_rows
from shared.messaging.desk import subject_id, subject_ids
from shared.messaging.newest import keep_newest
from shared.messaging.received import Received
from shared.messaging.work import Work

Pairs = set[tuple[UUID, UUID]]

_ACTIVITY = tuple(field.name for field in fields(Activity) if field.name != "attendances")
_CONSULTATION = tuple(field.name for field in fields(Consultation) if field.name != "answers")
_DUTY = tuple(field.name for field in fields(Duty))


def new_code() -> str:
    """A random code for an activity (40 bits)."""
    return "".join(secrets.choice(CODE_ALPHABET) for _ in range(CODE_LENGTH))


def _cells(thing: object, names: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(thing, name) for name in names}


def _locked(table: Table, messages: Sequence[Received[Any]]) -> Select[Any]:
    """The rows that a batch is about, locked in id order."""
    ids = subject_ids(messages)
    return select(table).where(table.c.id.in_(ids)).order_by(table.c.id).with_for_update()


def _parts(messages: Sequence[Received[Any]]) -> Pairs:
    """Which person's part in which thing a batch is about."""
    pairs: Pairs = set()
    for message in messages:
        with contextlib.suppress(ValueError):  # of no person, or about nothing: the decision refuses it
            pairs.add((UUID(message.envelope.subject), UUID(message.sender().person)))
    return pairs


def _rows_of(table: Table, thing: str, pairs: Pairs) -> Select[Any]:
    """The rows of `table` under the keys (`thing`, deputy_id) in `pairs`."""
    asked = (
        func.unnest(
            cast([pair[0] for pair in pairs], ARRAY(Uuid)), cast([pair[1] for pair in pairs], ARRAY(Uuid))
        )
        .table_valued(thing, "deputy_id")
        .render_derived(name="asked")
    )
    return select(table).join(
        asked, and_(table.c[thing] == asked.c[thing], table.c.deputy_id == asked.c.deputy_id)
    )


async def _update(connection: AsyncConnection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    if await update_rows(connection, table, rows) != len(rows):
        raise VersionConflict("a locked row is gone")


class ActivityStore:
    """Activities by id, each with the attendances of the deputies in the batch."""

    def key(self, message: Received[Any]) -> str:
        """The activity id."""
        return str(subject_id(message))

    async def load(
        self, connection: AsyncConnection, messages: Sequence[Received[Any]]
    ) -> dict[str, Activity]:
        """The activities of a batch, locked in id order."""
        rows = (await connection.execute(_locked(tables.activities, messages))).mappings().all()
        parts: dict[UUID, dict[UUID, Attendance]] = {row["id"]: {} for row in rows}
        pairs = {pair for pair in _parts(messages) if pair[0] in parts}
        if pairs:
            found: Sequence[Row[Any]] = (
                await connection.execute(_rows_of(tables.attendances, "activity_id", pairs))
            ).all()
            for row in found:
                parts[row.activity_id][row.deputy_id] = Attendance(row.signed_up_at, row.checked_in_at)
        return {
            str(row["id"]): Activity(**{name: row[name] for name in _ACTIVITY}, attendances=parts[row["id"]])
            for row in rows
        }

    async def context(
        self,
        connection: AsyncConnection,  # noqa: ARG002
        messages: Sequence[Received[Any]],  # noqa: ARG002
    ) -> Callable[[], str]:
        """What makes the code of a new activity."""
        return new_code

    async def save(
        self, connection: AsyncConnection, before: Mapping[str, Activity], after: Mapping[str, Activity]
    ) -> None:
        """Write new activities, changed counters, and the attendances that changed."""
        new = [_cells(activity, _ACTIVITY) for key, activity in after.items() if key not in before]
        old = [
            _cells(activity, ("id", "version", "sign_ups", "check_ins"))
            for key, activity in after.items()
            if key in before
        ]
        await insert_rows(connection, tables.activities, new)
        await _update(connection, tables.activities, old)
        changed = [
            {"activity_id": activity.id, "deputy_id": deputy, **asdict(attendance)}
            for key, activity in after.items()
            for deputy, attendance in activity.attendances.items()
            if key not in before or before[key].attendances.get(deputy) is not attendance
        ]
        await upsert_rows(connection, tables.attendances, changed)


class ConsultationStore:
    """Consultations by id, each with the answers of the deputies in the batch."""

    def key(self, message: Received[Any]) -> str:
        """The consultation id."""
        return str(subject_id(message))

    async def load(
        self, connection: AsyncConnection, messages: Sequence[Received[Any]]
    ) -> dict[str, Consultation]:
        """The consultations of a batch, locked in id order."""
        rows = (await connection.execute(_locked(tables.consultations, messages))).mappings().all()
        parts: dict[UUID, dict[UUID, Answer]] = {row["id"]: {} for row in rows}
        pairs = {pair for pair in _parts(messages) if pair[0] in parts}
        if pairs:
            found: Sequence[Row[Any]] = (
                await connection.execute(_rows_of(tables.answers, "consultation_id", pairs))
            ).all()
            for row in found:
                parts[row.consultation_id][row.deputy_id] = Answer(row.answered_at, row.answers, row.opinions)
        return {
            str(row["id"]): Consultation(
                **{
                    **{name: row[name] for name in _CONSULTATION},
                    "questions": tuple(
                        Question(**{**question, "options": tuple(question["options"])})
                        for question in row["questions"]
                    ),
                },
                answers=parts[row["id"]],
            )
            for row in rows
        }

    async def context(self, connection: AsyncConnection, messages: Sequence[Received[Any]]) -> None:
        """Nothing besides."""

    async def save(
        self,
        connection: AsyncConnection,
        before: Mapping[str, Consultation],
        after: Mapping[str, Consultation],
    ) -> None:
        """Write new consultations, changed states and counters, and new answers."""
        new = [
            {
                **_cells(consultation, _CONSULTATION),
                "questions": [asdict(question) for question in consultation.questions],
            }
            for key, consultation in after.items()
            if key not in before
        ]
        old = [
            _cells(consultation, ("id", "version", "changed_at", "closed_at", "respondents", "opinions"))
            for key, consultation in after.items()
            if key in before
        ]
        await insert_rows(connection, tables.consultations, new)
        await _update(connection, tables.consultations, old)
        given = [
            {"consultation_id": consultation.id, "deputy_id": deputy, **asdict(answer)}
            for key, consultation in after.items()
            for deputy, answer in consultation.answers.items()
            if key not in before or deputy not in before[key].answers
        ]
        await insert_rows(connection, tables.answers, given)


async def keep_deputies(messages: Sequence[Received[DeputyChanged]], work: Work) -> None:
    """Handler of `deputy.changed`: keep of what congress each is, as the newest state of each deputy says."""

    def row(one: DeputyChanged) -> dict[str, Any]:
        return {"id": one.deputy_id, "congress": congress_of(one.level, one.county, one.town)}

    await keep_newest(work.connection, tables.deputies, messages, row)


class DutyStore:
    """Duties by id."""

    def key(self, message: Received[Any]) -> str:
        """The duty id."""
        return str(subject_id(message))

    async def load(self, connection: AsyncConnection, messages: Sequence[Received[Any]]) -> dict[str, Duty]:
        """The duties of a batch, locked in id order."""
        rows = (await connection.execute(_locked(tables.duties, messages))).mappings()
        return {str(row["id"]): Duty(**{name: row[name] for name in _DUTY}) for row in rows}

    async def context(
        self, connection: AsyncConnection, messages: Sequence[Received[Any]]
    ) -> Mapping[UUID, str | None]:
        """Of what congress the deputies of these duties are, as far as it is known."""
        of = tables.duties.c
        mine = select(of.deputy_id).where(of.id.in_(subject_ids(messages)))
        known = tables.deputies.c
        rows = await connection.execute(select(known.id, known.congress).where(known.id.in_(mine)))
        return {row.id: row.congress for row in rows}

    async def save(
        self, connection: AsyncConnection, before: Mapping[str, Duty], after: Mapping[str, Duty]
    ) -> None:
        """Write new and changed duties."""
        new = [_cells(duty, _DUTY) for key, duty in after.items() if key not in before]
        old = [
            _cells(duty, ("id", "version", "state", "changed_at", "decided_by", "reason"))
            for key, duty in after.items()
            if key in before
        ]
        await insert_rows(connection, tables.duties, new)
        await _update(connection, tables.duties, old)
