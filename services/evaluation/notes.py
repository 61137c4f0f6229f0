"""Notes that staff make in an archive: reports to voters 述职 with their ballots, honours 奖励.

Invariants: a note is of a deputy who is known and of a day that has come; it is struck and never changed,
so that what was signed in a package stays true; ballots belong to reports alone, and no more approve than
were cast. How ballots are read (称职 and so on) is the rubric's matter and decided on reading.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.evaluation import errors, tables
from services.evaluation.domain import CHINA
from shared.contracts.evaluation import ArchiveNoted, NoteInArchive, NotePart, StrikeNote
from shared.contracts.identity import congress_of
from shared.contracts.registry import Contract
from shared.database.engine import VersionConflict
from shared.database.rows import insert_rows, update_rows
from shared.messaging.desk import Decide, Decision, Emission, check_area, subject_id, subject_ids
from shared.messaging.received import Received


@dataclass(frozen=True)
class Note:
    """One note; `reason` says why it was struck."""

    id: UUID
    deputy_id: UUID
    part: NotePart
    happened_on: date
    title: str
    noted_by: str
    noted_at: datetime
    approving: int | None = None
    ballots: int | None = None
    state: Literal["noted", "struck"] = "noted"
    version: int = 1
    reason: str | None = None


Congresses = Mapping[UUID, str | None]
"""Of what congress known deputies are, by the place; None for the city's."""

_NOTE = tuple(field.name for field in fields(Note))


class NoteStore:
    """Notes by id. The context of decisions is of what congress deputies are."""

    def key(self, message: Received[Any]) -> str:
        """The note id."""
        return str(subject_id(message))

    async def load(self, connection: AsyncConnection, messages: Sequence[Received[Any]]) -> dict[str, Note]:
        """The notes of a batch, locked in id order."""
        kept = tables.notes
        rows = await connection.execute(
            select(kept).where(kept.c.id.in_(subject_ids(messages))).order_by(kept.c.id).with_for_update()
        )
        return {str(row["id"]): Note(**{name: row[name] for name in _NOTE}) for row in rows.mappings()}

    async def context(self, connection: AsyncConnection, messages: Sequence[Received[Any]]) -> Congresses:
        """Of what congress the named deputies and those of these notes are, as far as they are known."""
        named = {one.data.deputy_id for one in messages if isinstance(one.data, NoteInArchive)}
        kept, known = tables.notes.c, tables.deputies.c
        noted = select(kept.deputy_id).where(kept.id.in_(subject_ids(messages)))
        rows = await connection.execute(
            select(known.id, known.level, known.county, known.town).where(
                or_(known.id.in_(named), known.id.in_(noted))
            )
        )
        return {row.id: congress_of(row.level, row.county, row.town) for row in rows}

    async def save(
        self, connection: AsyncConnection, before: Mapping[str, Note], after: Mapping[str, Note]
    ) -> None:
        """Write new and struck notes."""
        new = [asdict(note) for key, note in after.items() if key not in before]
        await insert_rows(connection, tables.notes, new)
        changed = [asdict(note) for key, note in after.items() if key in before]
        if changed and await update_rows(connection, tables.notes, changed) != len(changed):
            raise VersionConflict("a locked row is gone")


def note_in_archive(
    note: Note | None, message: Received[NoteInArchive], congresses: Congresses
) -> Decision[Note]:
    """Staff note a report or an honour of a deputy in their area."""
    if note is not None:
        raise errors.note_exists()
    data = message.data
    if data.deputy_id not in congresses:
        raise errors.deputy_unknown()
    check_area(message, congresses[data.deputy_id])
    if data.happened_on > message.now.astimezone(CHINA).date():
        raise errors.note_in_the_future()
    if (data.ballots is None) != (data.approving is None):
        raise errors.note_ballots_wrong()
    if data.ballots is not None and (data.part != "reports" or (data.approving or 0) > data.ballots):
        raise errors.note_ballots_wrong()
    return _told(
        Note(
            id=subject_id(message),
            deputy_id=data.deputy_id,
            part=data.part,
            happened_on=data.happened_on,
            title=data.title,
            noted_by=message.sender().person,
            noted_at=message.now,
            approving=data.approving,
            ballots=data.ballots,
        )
    )


def strike_note(note: Note | None, message: Received[StrikeNote], congresses: Congresses) -> Decision[Note]:
    """Staff strike a note in the archive of a deputy in their area, once."""
    if note is None:
        raise errors.note_unknown()
    check_area(message, congresses.get(note.deputy_id))
    if note.state == "struck":
        raise errors.note_struck()
    return _told(replace(note, state="struck", version=note.version + 1, reason=message.data.reason))


def _told(note: Note) -> Decision[Note]:
    told = ArchiveNoted(
        note_id=note.id,
        deputy_id=note.deputy_id,
        part=note.part,
        happened_on=note.happened_on,
        state=note.state,
    )
    return Decision(note, note.version, (Emission(told),))


ON_NOTES: dict[type[Contract], Decide[Note]] = {NoteInArchive: note_in_archive, StrikeNote: strike_note}
