"""The write side of notify: the only place that writes its tables."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.notify import queries, tables
from services.notify.domain import Deputies, Notice, OnePerson, SameDeputies
from services.notify.queries import Reader
from shared.contracts.identity import DeputyChanged
from shared.database.rows import insert_rows
from shared.messaging.newest import keep_newest
from shared.messaging.received import Received

_UNREAD = (
    "DELETE FROM read_marks AS m USING unnest($1::text[], $2::uuid[]) AS gone (person, notice_id) "
    "WHERE m.person = gone.person AND m.notice_id = gone.notice_id"
)


async def add_notices(connection: AsyncConnection, notices: Sequence[Notice]) -> None:
    """Write notices; one that is there already stays as it is."""
    rows = [_row(notice) for notice in sorted(notices, key=lambda notice: notice.id)]
    await insert_rows(connection, tables.notices, rows, ignore=True)


def _row(notice: Notice) -> dict[str, Any]:
    to = notice.to
    row: dict[str, Any] = {
        "id": notice.id,
        "kind": notice.kind,
        "subject": notice.subject,
        "at": notice.at,
        "person": None,
        "audience": None,
        "county": None,
        "levels": None,
        "follows": None,
        "parameters": {name: value for name, value in notice.parameters.items() if value is not None},
    }
    if isinstance(to, OnePerson):
        return row | {"person": to.person}
    if isinstance(to, Deputies):
        return row | {"audience": "deputies", "county": to.county, "levels": to.levels}
    if isinstance(to, SameDeputies):
        return row | {"audience": "deputies", "follows": to.kind}
    return row | {"audience": "staff", "county": to.place}


async def keep_deputies(connection: AsyncConnection, messages: Sequence[Received[DeputyChanged]]) -> None:
    """Keep the newest state of each deputy, whatever the order of arrival."""

    def row(one: DeputyChanged) -> dict[str, Any]:
        known = {"level": one.level, "county": one.county, "term_from": one.term_from, "state": one.state}
        return {"id": one.deputy_id, **known}

    await keep_newest(connection, tables.deputies, messages, row)


async def save_marks(
    connection: AsyncConnection,
    *,
    read: Mapping[tuple[str, UUID], datetime],
    unread: Collection[tuple[str, UUID]],
) -> None:
    """Write what each person read and no longer counts as read; both may be repeated."""
    rows = [
        {"person": person, "notice_id": notice_id, "at": at}
        for (person, notice_id), at in sorted(read.items())
    ]
    await insert_rows(connection, tables.read_marks, rows, ignore=True)
    if unread:
        persons, notices = map(list, zip(*sorted(unread), strict=True))
        await connection.exec_driver_sql(_UNREAD, (persons, notices))


async def mark_up_to(connection: AsyncConnection, reader: Reader, notice_id: UUID, at: datetime) -> None:
    """Mark one notice of an inbox and all that are older as read; what is read already stays as it is."""
    who = (reader.person, reader.deputy_id, reader.congress)
    await connection.exec_driver_sql(queries.UP_TO, (*who, notice_id, at))
