"""The write side of evaluation: the only place that writes its tables.

A batch is one statement for ledger and buckets: rows go in, an older version of a fact gives its points
back, and each bucket moves by the difference, so that no order of arrival can leave a wrong sum. Then
the totals of the touched deputies are locked and derived anew from their buckets. Locks are taken in
the order rubrics, ledger, buckets, totals, counts, and by key within each: two batches cannot deadlock.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.evaluation import tables
from services.evaluation.domain import Adopted, LedgerEntry, Rubric, Schedule, Total, newest, totals
from services.evaluation.rubric_file import parse_rubric
from shared.contracts.identity import DeputyChanged
from shared.database.rows import insert_rows, upsert_rows

_RUBRICS_LOCK = 727_101
"""Held by a batch in shared mode while it scores, exclusively while a rubric is adopted."""

# PostgreSQL 18: RETURNING old/new tells what a row was worth before, even when another batch wrote it
# a moment ago; with a select of one's own that would be a guess.
_ENTER = """
WITH written AS (
    INSERT INTO ledger AS l (deputy_id, item, evidence, event_id, event_type, sequence, time, happened_on,
                             points, rubric, rubric_version)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::text[], $6::bigint[],
                         $7::timestamptz[], $8::date[], $9::int[], $10::text[], $11::int[])
    ON CONFLICT (deputy_id, item, evidence) DO UPDATE SET
        event_id = excluded.event_id, event_type = excluded.event_type, sequence = excluded.sequence,
        time = excluded.time, happened_on = excluded.happened_on, points = excluded.points,
        rubric = excluded.rubric, rubric_version = excluded.rubric_version
    WHERE (l.sequence, l.event_id) < (excluded.sequence, excluded.event_id)
    RETURNING new.deputy_id, new.item, new.happened_on AS new_day, new.points AS new_points,
              old.happened_on AS old_day, old.points AS old_points
), moved AS (
    SELECT deputy_id, extract(year FROM new_day)::int AS year, item, new_points AS points FROM written
    UNION ALL
    SELECT deputy_id, extract(year FROM old_day)::int, item, -old_points FROM written WHERE old_day IS NOT NULL
), differences AS (
    SELECT deputy_id, year, item, sum(points)::bigint AS points FROM moved
    GROUP BY deputy_id, year, item HAVING sum(points) <> 0 ORDER BY deputy_id, year, item
), summed AS (
    INSERT INTO buckets AS b (deputy_id, year, item, points) SELECT * FROM differences
    ON CONFLICT (deputy_id, year, item) DO UPDATE SET points = b.points + excluded.points
    RETURNING deputy_id, year
)
SELECT DISTINCT deputy_id, year FROM summed ORDER BY deputy_id, year
"""

# The update that changes nothing locks the row, and makes it where it is not there yet.
_HOLD_TOTALS = """
INSERT INTO totals AS t (deputy_id, year, total, categories, version)
SELECT d, y, 0, '{}', 0 FROM unnest($1::uuid[], $2::int[]) AS r (d, y)
ON CONFLICT (deputy_id, year) DO UPDATE SET version = t.version
RETURNING deputy_id, year, total, categories
"""

_SUMS = """
SELECT l.deputy_id, r.y AS year, l.item, r.y * 12 + extract(month FROM l.happened_on)::int - 1 AS month,
       sum(l.points)::bigint AS points
FROM ledger l JOIN unnest($1::uuid[], $2::int[]) AS r (d, y)
  ON l.deputy_id = r.d AND l.happened_on BETWEEN make_date(r.y, 1, 1) AND make_date(r.y, 12, 31)
GROUP BY l.deputy_id, r.y, l.item, month
"""

_WRITE_TOTALS = """
UPDATE totals t SET total = r.total, categories = r.categories, version = nextval('total_version')
FROM unnest($1::uuid[], $2::int[], $3::bigint[], $4::jsonb[]) AS r (deputy_id, year, total, categories)
WHERE t.deputy_id = r.deputy_id AND t.year = r.year
RETURNING t.deputy_id, t.year, t.version
"""

_COUNT = """
INSERT INTO event_counts AS c (type, events, unscored, last_year)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::int[])
ON CONFLICT (type) DO UPDATE SET events = c.events + excluded.events,
    unscored = c.unscored + excluded.unscored, last_year = greatest(c.last_year, excluded.last_year)
"""

Place = tuple[UUID, int]
"""A deputy and a calendar year."""


@dataclass(frozen=True)
class Scored:
    """A total that changed; `version` rises with every change."""

    deputy_id: UUID
    year: int
    total: Total
    version: int


@dataclass(frozen=True)
class EventCount:
    """What a batch held of one type."""

    events: int
    unscored: int
    last_year: int


class EvaluationStore:
    """Rubrics, ledger, sums and totals. Parsed rubrics are kept: an adopted version never changes."""

    def __init__(self) -> None:
        self._parsed: dict[tuple[str, int], Rubric] = {}

    async def schedule(self, connection: AsyncConnection, *, for_adoption: bool = False) -> Schedule:
        """The adopted rubrics, which stay as they are until the transaction ends.

        With `for_adoption` no other transaction scores or adopts meanwhile.
        """
        lock = "pg_advisory_xact_lock" if for_adoption else "pg_advisory_xact_lock_shared"
        await connection.exec_driver_sql(f"SELECT {lock}({_RUBRICS_LOCK})")
        return await self.read_schedule(connection)

    async def read_schedule(self, connection: AsyncConnection) -> Schedule:
        """The adopted rubrics at this moment, for readers."""
        rubrics = tables.rubrics.c
        found = (
            await connection.execute(select(rubrics.name, rubrics.version, rubrics.effective_from))
        ).all()
        if any((row.name, row.version) not in self._parsed for row in found):
            for row in await connection.execute(select(rubrics.name, rubrics.version, rubrics.document)):
                self._parsed[row.name, row.version] = parse_rubric(row.document)
        return Schedule(
            tuple(Adopted(row.effective_from, self._parsed[row.name, row.version]) for row in found)
        )

    async def add_rubric(
        self,
        connection: AsyncConnection,
        rubric: Rubric,
        document: Mapping[str, Any],
        effective_from: date,
        adopted_at: datetime,
    ) -> None:
        """Write an adopted rubric."""
        row = {
            "name": rubric.name,
            "version": rubric.version,
            "effective_from": effective_from,
            "document": document,
            "adopted_at": adopted_at,
        }
        await insert_rows(connection, tables.rubrics, [row])

    async def last_year(self, connection: AsyncConnection, event_types: Iterable[str]) -> int | None:
        """The last calendar year with an event of one of the types, or None."""
        counts = tables.event_counts.c
        found = await connection.scalar(
            select(func.max(counts.last_year)).where(counts.type.in_(sorted(event_types)))
        )
        return None if found is None else int(found)

    async def keep_deputies(
        self, connection: AsyncConnection, deputies: Mapping[UUID, tuple[int, DeputyChanged]]
    ) -> None:
        """Keep the newest state of each deputy; the number before it is the event's sequence."""
        rows = [
            {
                "id": deputy_id,
                "sequence": sequence,
                "number": data.number,
                "name": data.name,
                "level": data.level,
                "county": data.county,
                "town": data.town,
                "state": data.state,
            }
            for deputy_id, (sequence, data) in sorted(deputies.items())
        ]
        await upsert_rows(connection, tables.deputies, rows, newer_by="sequence")

    async def enter(self, connection: AsyncConnection, entries: Iterable[LedgerEntry]) -> list[Place]:
        """Write ledger rows and move the buckets; returns where a sum changed, in order."""
        rows = sorted(
            newest(entries).values(),
            key=lambda row: (row.identity.deputy_id, row.identity.item, row.identity.evidence),
        )
        if not rows:
            return []
        columns: tuple[list[Any], ...] = (
            [row.identity.deputy_id for row in rows],
            [row.identity.item for row in rows],
            [row.identity.evidence for row in rows],
            [row.event_id for row in rows],
            [row.event_type for row in rows],
            [row.sequence for row in rows],
            [row.time for row in rows],
            [row.happened_on for row in rows],
            [row.points for row in rows],
            [row.rubric for row in rows],
            [row.rubric_version for row in rows],
        )
        touched = await connection.exec_driver_sql(_ENTER, columns)
        return [(row.deputy_id, row.year) for row in touched]

    async def settle(
        self, connection: AsyncConnection, places: Sequence[Place], schedule: Schedule
    ) -> list[Scored]:
        """Derive the totals of these places anew; returns those that changed."""
        if not places:
            return []
        columns = ([deputy for deputy, _ in places], [year for _, year in places])
        held = {
            (row.deputy_id, row.year): (row.total, row.categories)
            for row in await connection.exec_driver_sql(_HOLD_TOTALS, columns)
        }
        # Only now, under the lock, do all sums of these places stand still.
        sums: defaultdict[Place, dict[str, dict[int, int]]] = defaultdict(dict)
        for row in await connection.exec_driver_sql(_SUMS, columns):
            sums[row.deputy_id, row.year].setdefault(row.item, {})[row.month] = row.points
        changed: dict[Place, Total] = {}
        for place in places:
            rubric = schedule.in_year(place[1])
            if rubric is None:
                continue  # sums of a year without a rubric are zero and show nowhere
            total = totals(rubric, sums[place])
            if held[place] != (total.total, total.categories):
                changed[place] = total
        return await self._write_totals(connection, changed)

    async def _write_totals(
        self, connection: AsyncConnection, changed: Mapping[Place, Total]
    ) -> list[Scored]:
        if not changed:
            return []
        columns: tuple[list[Any], ...] = (
            [deputy for deputy, _ in changed],
            [year for _, year in changed],
            [total.total for total in changed.values()],
            [to_json(dict(total.categories)).decode() for total in changed.values()],
        )
        written = await connection.exec_driver_sql(_WRITE_TOTALS, columns)
        versions = {(row.deputy_id, row.year): row.version for row in written}
        return [Scored(*place, total, versions[place]) for place, total in changed.items()]

    async def count(self, connection: AsyncConnection, counts: Mapping[str, EventCount]) -> None:
        """Add what a batch held, by type."""
        if not counts:
            return
        types = sorted(counts)
        columns: tuple[list[Any], ...] = (
            types,
            [counts[type_].events for type_ in types],
            [counts[type_].unscored for type_ in types],
            [counts[type_].last_year for type_ in types],
        )
        await connection.exec_driver_sql(_COUNT, columns)
