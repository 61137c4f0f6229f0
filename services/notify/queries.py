"""The read side of notify: whose inbox holds what, in one place for lists and for marking.

Invariant: what is for many is in a deputy's inbox by the deputy's county, level and term as they
are known now; a notice that shares another's audience is in nobody's inbox until that one is there.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import case, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.notify import tables
from shared.contracts.envelope import CITY_DIGITS
from shared.database.rows import dictionaries


@dataclass(frozen=True)
class Reader:
    """Who reads: a person, and for staff the place code of their congress."""

    person: str
    congress: str | None

    @property
    def deputy_id(self) -> UUID | None:
        """The id under which the reader might be a deputy."""
        try:
            return UUID(self.person)
        except ValueError:
            return None


# n: a notice for an audience; o: the one whose audience it shares; d: the reader as a deputy.
_JOINS = """
LEFT JOIN LATERAL (
    SELECT f.county, f.levels, f.parameters FROM notices f
    WHERE f.audience IS NOT NULL AND f.subject = n.subject AND f.kind = n.follows ORDER BY f.at DESC LIMIT 1
) o ON true
LEFT JOIN deputies d ON d.id = reader.deputy_id AND d.state = 'active'
"""
_FOR_READER = f"""(
    n.audience = 'deputies'
    AND (n.follows IS NULL OR o.parameters IS NOT NULL)
    AND d.term_from <= (n.at AT TIME ZONE 'Asia/Shanghai')::date
    AND coalesce(o.county, n.county, d.county) IS NOT DISTINCT FROM d.county
    AND d.level = ANY (coalesce(o.levels, n.levels, ARRAY[d.level]))
    OR n.audience = 'staff'
    AND CASE WHEN n.county IS NULL THEN length(reader.congress) <= {CITY_DIGITS}
        ELSE starts_with(n.county, reader.congress) END
)"""

_MINE = f"""
WITH reader AS (SELECT $1::text AS person, $2::uuid AS deputy_id, $3::text AS congress),
inbox_of AS (
    SELECT n.id, n.kind, n.subject, n.at, n.parameters FROM notices n JOIN reader ON n.person = reader.person
    UNION ALL
    SELECT n.id, n.kind, n.subject, n.at, coalesce(o.parameters, '{{}}') || n.parameters
    FROM reader CROSS JOIN notices n {_JOINS} WHERE n.audience IS NOT NULL AND {_FOR_READER}
),
marked AS (
    SELECT i.*, m.notice_id IS NOT NULL AS read FROM inbox_of i
    LEFT JOIN read_marks m ON m.person = $1 AND m.notice_id = i.id
)
"""
UP_TO = (
    _MINE
    + """INSERT INTO read_marks (person, notice_id, at) SELECT $1, m.id, $5::timestamptz
FROM marked m JOIN inbox_of last ON last.id = $4::uuid
WHERE NOT m.read AND (m.at < last.at OR m.at = last.at AND m.id >= last.id) ON CONFLICT DO NOTHING"""
)
"""Marks a notice of the inbox and all that stand behind it."""
_COUNTS = _MINE + "SELECT count(*) AS total, count(*) FILTER (WHERE NOT read) AS unread FROM marked"
_PAGE = (
    _MINE
    + "SELECT * FROM marked WHERE NOT ($4::boolean AND read) ORDER BY at DESC, id LIMIT $5::int OFFSET $6::bigint"
)
_IN_INBOXES = f"""
SELECT reader.person, n.id
FROM unnest($1::text[], $2::uuid[], $3::text[], $4::uuid[]) AS reader (person, deputy_id, congress, notice_id)
JOIN notices n ON n.id = reader.notice_id {_JOINS}
WHERE n.person = reader.person OR {_FOR_READER}
"""


async def page(
    connection: AsyncConnection, reader: Reader, *, unread_only: bool, number: int, size: int
) -> dict[str, Any]:
    """One page of somebody's inbox, newest first, with how many notices there are and how many are unread."""
    who = (reader.person, reader.deputy_id, reader.congress)
    counts = (await connection.exec_driver_sql(_COUNTS, who)).one()
    rows = await connection.exec_driver_sql(_PAGE, (*who, unread_only, size, (number - 1) * size))
    return {
        "items": dictionaries(rows),
        "total": counts.unread if unread_only else counts.total,
        "unread": counts.unread,
        "page": number,
        "size": size,
    }


async def in_inboxes(
    connection: AsyncConnection, asked: Collection[tuple[Reader, UUID]]
) -> set[tuple[str, UUID]]:
    """Which of these notices are in these readers' inboxes, as (person, notice)."""
    if not asked:
        return set()
    columns: tuple[list[Any], ...] = ([], [], [], [])
    for reader, notice_id in asked:
        for column, cell in zip(
            columns, (reader.person, reader.deputy_id, reader.congress, notice_id), strict=True
        ):
            column.append(cell)
    rows = await connection.exec_driver_sql(_IN_INBOXES, columns)
    return {(row.person, row.id) for row in rows}


async def figures(connection: AsyncConnection) -> dict[str, Any]:
    """How many notices there are for one person and for many, by kind, and how many marks of reading."""
    columns = tables.notices.c
    to = case((columns.person.is_not(None), "personal"), else_="for_many")
    rows = await connection.execute(
        select(columns.kind, to.label("to"), func.count().label("number")).group_by(columns.kind, to)
    )
    found: dict[str, Any] = {"notices": 0, "personal": 0, "for_many": 0, "kinds": {}}
    for row in rows.mappings():
        found["notices"] += row["number"]
        found[row["to"]] += row["number"]
        found["kinds"][row["kind"]] = found["kinds"].get(row["kind"], 0) + row["number"]
    read = await connection.scalar(select(func.count()).select_from(tables.read_marks))
    return found | {"read": int(read or 0)}
