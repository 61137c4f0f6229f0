"""The write side of motions: the only place that writes their tables; what has fallen due `cases.due` takes out.

What belongs to a motion rests in its own row as JSON; deadlines and steps have tables of their own, because
they are asked for across motions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import RowMapping, delete, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.cases import tables as case_tables
from services.cases.deadlines.reckoning import Extension
from services.cases.motions import dates, tables
from services.cases.motions.domain import (
    Answer,
    Cosigner,
    Deputy,
    Due,
    Handling,
    Motion,
    Promise,
    Rating,
    Rules,
)
from services.cases.routing.reasons import Ground
from shared.contracts.identity import DeputyChanged
from shared.contracts.motions import (
    DraftMotion,
    InviteCosigners,
    RedateMotion,
    ReferCase,
    SubmitMotion,
)
from shared.database.engine import VersionConflict
from shared.database.rows import insert_rows, update_rows, upsert_rows
from shared.messaging.desk import subject_id, subject_ids
from shared.messaging.newest import keep_newest
from shared.messaging.received import Received
from shared.messaging.work import Work
from shared.security.sealing import Opener, Sealer

RulesAt = Callable[[datetime], Rules]
"""The rules in force at a moment."""

_LISTS: Mapping[str, TypeAdapter[Any]] = {
    "parts": TypeAdapter(tuple[str, ...]),
    "extensions": TypeAdapter(tuple[Extension, ...]),
    "cosigners": TypeAdapter(tuple[Cosigner, ...]),
    "handlers": TypeAdapter(tuple[Handling, ...]),
    "answers": TypeAdapter(tuple[Answer, ...]),
    "promises": TypeAdapter(tuple[Promise, ...]),
    "ratings": TypeAdapter(tuple[Rating, ...]),
}
_COLUMNS = tuple(f.name for f in fields(Motion) if f.name not in ("steps", "deadlines"))
_DUE = tuple(f.name for f in fields(Due))


@dataclass(frozen=True)
class Referral:
    """What a case became besides: a motion, or a lead for a livelihood project 民生实事线索."""

    id: UUID
    case_id: UUID
    deputy_id: UUID
    became: Literal["motion", "project-lead"]
    actor: str
    at: datetime
    reason: str | None


@dataclass(frozen=True)
class KnownCase:
    """Of a case which deputy filed it (none where staff did), then who follows it, and its place."""

    deputies: Sequence[UUID]
    county: str
    town: str | None


@dataclass(frozen=True)
class Context:
    """What decisions look up: active departments, deputies and cases that the batch names, rules, keys."""

    departments: AbstractSet[str]
    deputies: Mapping[UUID, Deputy]
    cases: Mapping[UUID, KnownCase]
    rules_at: RulesAt
    opener: Opener
    sealer: Sealer


def due_of(row: RowMapping) -> Due:
    """A deadline of a motion as it is kept."""
    cells = {name: row[name] for name in _DUE}
    cells["why"] = tuple(Ground(**one) for one in cells["why"])
    return Due(**cells)


class _Looking:
    """What the two stores have in common: what a batch's decisions look up."""

    def __init__(self, opener: Opener, rules_at: RulesAt) -> None:
        self._opener = opener
        self._sealer = Sealer(opener.public_jwk)
        self._rules_at = rules_at

    def key(self, message: Received[Any]) -> str:
        """The id. Raises Refusal when the subject is none."""
        return str(subject_id(message))

    async def context(self, connection: AsyncConnection, messages: Sequence[Received[Any]]) -> Context:
        """Read anew for each batch."""
        known = case_tables.departments.c
        departments = await connection.scalars(select(known.code).where(known.state == "active"))
        named: set[UUID] = set()
        cases: set[UUID] = set()
        named |= await _signers(connection, [m for m in messages if isinstance(m.data, SubmitMotion)])
        for message in messages:
            match message.data:
                case SubmitMotion():
                    named |= _ids([message.sender().person])
                case DraftMotion(from_case=case_id):
                    named |= _ids([message.sender().person])
                    cases |= {case_id} if case_id else set()
                case InviteCosigners(deputies=invited):
                    named |= set(invited)
                case ReferCase(case_id=case_id):
                    cases.add(case_id)
        return Context(
            frozenset(departments),
            await _deputies(connection, named),
            await _cases(connection, cases),
            self._rules_at,
            self._opener,
            self._sealer,
        )


def _ids(texts: Sequence[str]) -> set[UUID]:
    try:
        return {UUID(text) for text in texts}
    except ValueError:  # nobody's id: the decision refuses it
        return set()


async def _signers(connection: AsyncConnection, submitting: Sequence[Received[Any]]) -> set[UUID]:
    """Who was asked to co-sign the motions that a batch submits."""
    if not submitting:
        return set()
    motions = tables.motions.c
    rows = await connection.scalars(select(motions.cosigners).where(motions.id.in_(subject_ids(submitting))))
    return {UUID(one["deputy"]) for cosigners in rows for one in cosigners}


async def _deputies(connection: AsyncConnection, ids: set[UUID]) -> dict[UUID, Deputy]:
    if not ids:
        return {}
    rows = await connection.execute(
        select(tables.motion_deputies).where(tables.motion_deputies.c.id.in_(sorted(ids)))
    )
    return {row.id: Deputy(row.id, row.level, row.county, row.town, row.state == "active") for row in rows}


async def _cases(connection: AsyncConnection, ids: set[UUID]) -> dict[UUID, KnownCase]:
    if not ids:
        return {}
    cases = case_tables.cases.c
    rows = await connection.execute(
        select(cases.id, cases.deputy_id, cases.followers, cases.county, cases.town).where(
            cases.id.in_(sorted(ids))
        )
    )
    return {
        row.id: KnownCase(
            [*([row.deputy_id] if row.deputy_id else []), *map(UUID, row.followers)], row.county, row.town
        )
        for row in rows
    }


class MotionStore(_Looking):
    """Motions by id."""

    async def load(self, connection: AsyncConnection, messages: Sequence[Received[Any]]) -> dict[str, Motion]:
        """The motions of a batch, locked in id order."""
        ids = subject_ids(messages)
        motions = tables.motions
        rows = await connection.execute(
            select(motions).where(motions.c.id.in_(ids)).order_by(motions.c.id).with_for_update()
        )
        found = rows.mappings().all()
        dues: dict[UUID, list[Due]] = {row["id"]: [] for row in found}
        if dues:
            deadlines = tables.motion_deadlines
            entries = await connection.execute(
                select(deadlines).where(deadlines.c.motion_id.in_(list(dues))).order_by(deadlines.c.number)
            )
            for entry in entries.mappings():
                dues[entry["motion_id"]].append(due_of(entry))
        return {str(row["id"]): motion_of(row, dues[row["id"]]) for row in found}

    async def save(
        self, connection: AsyncConnection, before: Mapping[str, Motion], after: Mapping[str, Motion]
    ) -> None:
        """Write changed motions, their new steps, their deadlines, and what became of cases."""
        new = [_row(motion) for key, motion in after.items() if key not in before]
        old = [_row(motion) for key, motion in after.items() if key in before]
        await insert_rows(connection, tables.motions, new)
        if await update_rows(connection, tables.motions, old) != len(old):
            raise VersionConflict("a locked motion is gone")
        await insert_rows(connection, tables.motion_steps, _steps(after.values()))
        known = {key: frozenset(motion.deadlines) for key, motion in before.items()}
        dues = [
            {"motion_id": motion.id, **{name: getattr(due, name) for name in _DUE}}
            for key, motion in after.items()
            for due in motion.deadlines
            if due not in known.get(key, ())
        ]
        await upsert_rows(connection, tables.motion_deadlines, dues)
        await self._write_due(connection, before, after)
        referred = [
            asdict(
                Referral(motion.id, motion.from_case, motion.author_id, "motion", step.actor, step.at, None)
            )
            for motion in after.values()
            for step in motion.steps
            if step.kind == "submitted" and motion.from_case is not None
        ]
        unique = list({row["id"]: row for row in referred}.values())
        await insert_rows(connection, tables.case_referrals, unique, ignore=True)

    async def _write_due(
        self, connection: AsyncConnection, before: Mapping[str, Motion], after: Mapping[str, Motion]
    ) -> None:
        found = {key: dates.due(motion) for key, motion in after.items()}
        changed = [key for key in after if found[key] != (dates.due(before[key]) if key in before else {})]
        if not changed:
            return
        waiting = tables.motion_due
        ids = [after[key].id for key in changed]
        await connection.execute(delete(waiting).where(waiting.c.motion_id.in_(ids)))
        rows = [
            {"motion_id": after[key].id, "number": number, "at": at}
            for key in changed
            for number, at in found[key].items()
        ]
        await insert_rows(connection, waiting, rows)


def _steps(motions: Collection[Motion]) -> list[dict[str, Any]]:
    return [
        {
            "motion_id": motion.id,
            "number": motion.version - len(motion.steps) + index,
            "step": step.kind,
            "actor": step.actor,
            "at": step.at,
            "department": step.department,
            "deputy": step.deputy,
            "note": step.note,
            "detail": dict(step.detail),
        }
        for motion in motions
        for index, step in enumerate(motion.steps, start=1)
    ]


def _row(motion: Motion) -> dict[str, Any]:
    row = {name: getattr(motion, name) for name in _COLUMNS}
    lists = {name: adapter.dump_python(row[name], mode="json") for name, adapter in _LISTS.items()}
    return {**row, **lists, "congress": motion.congress}


def motion_of(row: RowMapping, deadlines: Sequence[Due] = ()) -> Motion:
    """The motion of a row."""
    cells = {name: row[name] for name in _COLUMNS}
    cells |= {name: adapter.validate_python(cells[name]) for name, adapter in _LISTS.items()}
    return Motion(**cells, deadlines=tuple(deadlines))


class ReferralStore(_Looking):
    """Referrals by id; one never changes."""

    async def load(
        self, connection: AsyncConnection, messages: Sequence[Received[Any]]
    ) -> dict[str, Referral]:
        """The referrals of a batch that are there already."""
        referrals = tables.case_referrals
        rows = await connection.execute(
            select(referrals).where(referrals.c.id.in_(subject_ids(messages))).order_by(referrals.c.id)
        )
        return {str(row["id"]): Referral(**row) for row in rows.mappings()}

    async def save(
        self, connection: AsyncConnection, before: Mapping[str, Referral], after: Mapping[str, Referral]
    ) -> None:
        """Write the new ones."""
        made = [asdict(referral) for key, referral in after.items() if key not in before]
        await insert_rows(connection, tables.case_referrals, made)


async def keep_deputies(messages: Sequence[Received[DeputyChanged]], work: Work) -> None:
    """Handler of `deputy.changed`: keep the newest state of each deputy."""

    def row(one: DeputyChanged) -> dict[str, Any]:
        place = {"level": one.level, "county": one.county, "town": one.town}
        return {"id": one.deputy_id, **place, "state": one.state}

    await keep_newest(work.connection, tables.motion_deputies, messages, row)


_UNDATED = text(
    """
    SELECT id AS motion_id FROM motions WHERE state = 'answered' AND NOT EXISTS (
        SELECT FROM motion_deadlines d
        WHERE d.motion_id = motions.id AND d.kind IN ('feedback', 'unstated') AND d.ended IS NULL
    )
    UNION
    SELECT id FROM motions, jsonb_to_recordset(promises) AS promise(number integer, state text)
    WHERE promise.state <> 'kept' AND NOT EXISTS (
        SELECT FROM motion_deadlines d
        WHERE d.motion_id = motions.id AND d.kind = 'promise' AND d.promise = promise.number AND d.ended IS NULL
    )
    UNION
    SELECT motion_id FROM motion_deadlines d JOIN motions ON id = d.motion_id
    WHERE motions.state = 'accepted' AND motions.kind = 'bill' AND motions.lead IS NULL
        AND d.kind = 'assign' AND d.ended IS NULL
    """
).columns(tables.motion_deadlines.c.motion_id)
"""Motions answered before an answer had to be rated by a date, or with promises reported before those had one
anew, and bills accepted before they had a way of their own."""


async def redate_open_motions(work: Work, calendar: str, now: datetime) -> int:
    """Ask for new dates of every motion with an open deadline of another calendar, or with none for what it owes.

    Returns how many.
    """
    deadlines = tables.motion_deadlines.c
    counted_otherwise = select(deadlines.motion_id).where(
        deadlines.ended.is_(None), deadlines.calendar != calendar
    )
    asked = [await work.connection.scalars(query) for query in (counted_otherwise, _UNDATED)]
    ids = sorted({motion_id for found in asked for motion_id in found})
    for motion_id in ids:
        work.announce(RedateMotion(), subject=motion_id, time=now)
    return len(ids)
