"""The write side of evaluation: the only place that writes its tables.

A batch is one statement for ledger and buckets: rows go in, an older version of a fact gives its points
back, and each bucket moves by the difference, so that no order of arrival can leave a wrong sum. It also
notes whose totals of which years are to be derived anew, which `settling` does from the buckets. Locks are
taken in the order schedule, fences, ledger, buckets, totals, and by key within each: two batches cannot
deadlock. A note is read before the buckets are, and removed with the totals, so that none is lost.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import count
from operator import itemgetter
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.evaluation import tables
from services.evaluation.domain import LedgerEntry, Total, newest, totals
from services.evaluation.reckoning import Place
from services.evaluation.rubric import Adopted, Rubric, Schedule
from services.evaluation.rubric_file import parse_rubric
from services.evaluation.scoring import Row, Worth
from shared.contracts.identity import DeputyChanged
from shared.contracts.registry import contract_of
from shared.database.rows import insert_rows, upsert_rows
from shared.messaging import fences

_RECURRING = 6
_COLUMNS = 8 + _RECURRING
"""How many parameters the ledger rows of a statement are."""
AT_A_STRETCH = 20
"""So many totals are derived, or told, before whatever else waits for the processor has its turn."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

# PostgreSQL 18: RETURNING old/new tells what a row was worth before, even when another batch wrote it
# a moment ago; with a select of one's own that would be a guess. The points of a row are those of the
# month in which it happened; `differences` is in key order, so that two batches cannot deadlock.


def _enter(first_parameter: int, only_if: str = "true") -> str:
    """Ledger, buckets and what is to be settled, as parts of one statement; `written` are the rows that are new.

    The parameters are those of `columns`.
    """
    p = [f"${first_parameter + n}" for n in range(_COLUMNS)]
    return f"""
written AS (
    INSERT INTO ledger AS l (deputy_id, item, evidence, event_id, event_type, sequence, time, happened_on,
                             points, rubric, rubric_version)
    SELECT r.deputy_id, w.item, r.evidence, e.id, w.event_type, e.sequence,
           'epoch'::timestamptz + e.time / 1000000 * interval '1 second' + e.time % 1000000 * interval '1 microsecond',
           w.happened_on, w.points, w.rubric, w.rubric_version
    FROM unnest({p[0]}::uuid[], string_to_array({p[1]}, {p[2]}), {p[3]}::text::int[], {p[4]}::text::int[])
             WITH ORDINALITY AS r (deputy_id, evidence, event, worth, n)
         JOIN unnest({p[5]}::uuid[], {p[6]}::text::bigint[], {p[7]}::text::bigint[])
             WITH ORDINALITY AS e (id, sequence, time, n) ON e.n = r.event
         JOIN unnest({p[8]}::text[], {p[9]}::text[], {p[10]}::date[], {p[11]}::int[], {p[12]}::text[], {p[13]}::int[])
             WITH ORDINALITY AS w (item, event_type, happened_on, points, rubric, rubric_version, n) ON w.n = r.worth
    WHERE {only_if}
    ORDER BY r.n
    ON CONFLICT (evidence, deputy_id, item) DO UPDATE SET
        event_id = excluded.event_id, event_type = excluded.event_type, sequence = excluded.sequence,
        time = excluded.time, happened_on = excluded.happened_on, points = excluded.points,
        rubric = excluded.rubric, rubric_version = excluded.rubric_version
    WHERE (l.sequence, l.event_id) < (excluded.sequence, excluded.event_id)
    RETURNING new.deputy_id, new.item, new.happened_on AS new_day, new.points AS new_points,
              old.happened_on AS old_day, old.points AS old_points
), moved AS (
    SELECT deputy_id, new_day AS day, item, new_points AS points FROM written WHERE new_points <> 0
    UNION ALL
    SELECT deputy_id, old_day, item, -old_points FROM written WHERE old_points <> 0
), differences AS (
    SELECT deputy_id, extract(year FROM day)::int * 12 + extract(month FROM day)::int - 1 AS month, item,
           sum(points)::bigint AS points
    FROM moved GROUP BY 1, 2, 3 HAVING sum(points) <> 0 ORDER BY 1, 2, 3
), summed AS (
    INSERT INTO buckets AS b (deputy_id, month, item, points) SELECT * FROM differences
    ON CONFLICT (deputy_id, month, item) DO UPDATE SET points = b.points + excluded.points
), told AS (
    INSERT INTO unsettled (deputies, years)
    SELECT array_agg(deputy_id), array_agg(year)
    FROM (SELECT DISTINCT deputy_id, month / 12 AS year FROM differences) AS d HAVING count(*) > 0
)"""


def in_key_order(rows: Iterable[Row]) -> list[Row]:
    """Rows in the order of the ledger's key: batches that hold rows in one order cannot deadlock."""
    return sorted(rows, key=itemgetter(2, 0, 1))


def columns(rows: Sequence[Row]) -> tuple[Any, ...]:
    """Rows, one for each fact and in key order, as the parameters of a statement of `_enter`.

    Three tables of columns: the rows with the places of their event and of their worth, the events, and what
    recurs from row to row. The driver takes a microsecond for each element of an array and three for a time, so
    there are few, and numbers, evidence and times (in microseconds) go as one text each.
    """
    evidence = [row[2] for row in rows]
    together = "".join(evidence)
    separator = next(sign for sign in map(chr, count(ord("\x1f"))) if sign not in together)
    events = {id(row[3]): row[3] for row in rows}  # the rows of an event share it; a time is slow to hash
    places = {key: place for place, key in enumerate(events, 1)}
    worths: dict[Worth, int] = {}
    of_event = [places[id(row[3])] for row in rows]
    of_worth = [worths.setdefault(row[4], len(worths) + 1) for row in rows]
    sequences, ids, times = zip(*events.values(), strict=True) if events else ((), (), ())
    return (
        [row[0] for row in rows],
        separator.join([*evidence, ""]),  # one piece more, or none and one empty one would look the same
        separator,
        _numbers(of_event),
        _numbers(of_worth),
        ids,
        _numbers(sequences),
        _numbers([(time.astimezone(UTC) - _EPOCH) // _MICROSECOND for time in times]),
        *(zip(*worths, strict=True) if worths else ((),) * _RECURRING),
    )


def _numbers(values: Iterable[int]) -> str:
    return f"{{{','.join(map(str, values))}}}"


_ENTER = f"WITH {_enter(1)} SELECT count(*) FROM written"

TAKE_IN = f"""
WITH held AS MATERIALIZED (
    SELECT 1 / (count(*))::int AS one
    FROM (SELECT FROM schedule WHERE version = ${fences.PARAMETERS + 1} FOR SHARE) AS s
), {fences.MOVE}, {_enter(fences.PARAMETERS + 2, "(SELECT one FROM held) = 1 AND (SELECT one FROM passed) = 1")}
SELECT count(*), (SELECT one FROM held), (SELECT one FROM passed) FROM written
"""
"""A whole batch in one statement, for `asyncpg`; fences first, then the version of the schedule, then ledger rows."""

_HOLD_SCHEDULE = {
    False: "SELECT version FROM schedule FOR SHARE",
    True: """
INSERT INTO schedule AS s VALUES (true, 0)
ON CONFLICT (one) DO UPDATE SET version = s.version RETURNING version
""",
}

_NOTES = "SELECT id FROM unsettled ORDER BY id LIMIT $1"

_PLACES = """
SELECT DISTINCT d, y FROM unsettled u, unnest(u.deputies, u.years) AS r (d, y) WHERE u.id = ANY($1::bigint[]) ORDER BY d, y
"""

_SETTLED = "DELETE FROM unsettled WHERE id = ANY($1::bigint[])"

_LAST_YEAR = """
SELECT greatest(
    (SELECT max(last_year) FROM event_counts WHERE type = ANY($1::text[])),
    (SELECT extract(year FROM max(latest) AT TIME ZONE INTERVAL '8 hours')::int FROM fences WHERE topic = ANY($2::text[]))
)
"""

# The update that changes nothing locks the row, and makes it where it is not there yet.
_HOLD_TOTALS = """
INSERT INTO totals AS t (deputy_id, year, total, categories, version)
SELECT d, y, 0, '{}', 0 FROM unnest($1::uuid[], $2::int[]) AS r (d, y)
ON CONFLICT (deputy_id, year) DO UPDATE SET version = t.version
"""

_SUMS = """
SELECT b.deputy_id, r.y AS year, array_agg(b.item) AS items, array_agg(b.month) AS months, array_agg(b.points) AS points
FROM buckets b JOIN unnest($1::uuid[], $2::int[]) AS r (d, y)
  ON b.deputy_id = r.d AND b.month BETWEEN r.y * 12 AND r.y * 12 + 11
GROUP BY 1, 2
"""

_WRITE_TOTALS = """
UPDATE totals t SET total = r.total, categories = r.categories, version = nextval('total_version')
FROM unnest($1::uuid[], $2::int[], $3::bigint[], $4::jsonb[]) AS r (deputy_id, year, total, categories)
WHERE t.deputy_id = r.deputy_id AND t.year = r.year
  AND (t.total, t.categories) IS DISTINCT FROM (r.total, r.categories)
RETURNING t.deputy_id, t.year, t.version
"""

_COUNT = """
INSERT INTO event_counts AS c (type, events, unscored, last_year)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::int[])
ON CONFLICT (type) DO UPDATE SET events = c.events + excluded.events,
    unscored = c.unscored + excluded.unscored, last_year = greatest(c.last_year, excluded.last_year)
"""

_HOLD_AUDIT = """
SELECT pg_try_advisory_xact_lock(727_103) AND NOT EXISTS (SELECT FROM audits WHERE day = $1)
"""


def _row(entry: LedgerEntry) -> Row:
    deputy_id, item, evidence = str(entry.identity.deputy_id), entry.identity.item, entry.identity.evidence
    event = (entry.sequence, str(entry.event_id), entry.time)
    worth = (
        item,
        entry.event_type,
        entry.happened_on,
        entry.points,
        entry.rubric,
        entry.rubric_version,
    )
    return deputy_id, item, evidence, event, worth


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
        await connection.exec_driver_sql(_HOLD_SCHEDULE[for_adoption])
        return await self.read_schedule(connection)

    async def schedule_and_version(self, connection: AsyncConnection) -> tuple[Schedule, int]:
        """The adopted rubrics with the version that `TAKE_IN` checks."""
        version = (await connection.exec_driver_sql(_HOLD_SCHEDULE[False])).scalar()
        return await self.read_schedule(connection), version or 0

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
        await connection.exec_driver_sql("UPDATE schedule SET version = version + 1")

    async def last_year(self, connection: AsyncConnection, event_types: Iterable[str]) -> int | None:
        """The last calendar year with an event of one of the types, or None."""
        types = sorted(event_types)
        topics = sorted({declared.topic for type_ in types if (declared := contract_of(type_)) is not None})
        found = (await connection.exec_driver_sql(_LAST_YEAR, (types, topics))).scalar()
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
                "occupation": data.occupation,
                "county": data.county,
                "town": data.town,
                "state": data.state,
                "station": data.station,
                "constituency": data.constituency,
                "term_from": data.term_from,
                "term_until": data.term_until,
            }
            for deputy_id, (sequence, data) in sorted(deputies.items())
        ]
        await upsert_rows(connection, tables.deputies, rows, newer_by="sequence")

    async def enter(self, connection: AsyncConnection, entries: Iterable[LedgerEntry]) -> None:
        """Write ledger rows, move the buckets, and note whose totals are to be derived anew."""
        rows = in_key_order(map(_row, newest(entries).values()))
        if rows:
            await connection.exec_driver_sql(_ENTER, columns(rows))

    async def take_unsettled(
        self, connection: AsyncConnection, *, limit: int
    ) -> tuple[list[int], list[Place]]:
        """Notes of batches by their ids, and the places that they name, in order and each once."""
        ids = list((await connection.exec_driver_sql(_NOTES, (limit,))).scalars())
        rows = await connection.exec_driver_sql(_PLACES, (ids,)) if ids else ()
        return ids, [(row.d, row.y) for row in rows]

    async def newest_note(self, connection: AsyncConnection) -> int | None:
        """The id of the last note of a batch, or None without one."""
        found: int | None = (await connection.exec_driver_sql("SELECT max(id) FROM unsettled")).scalar()
        return found

    async def forget_unsettled(self, connection: AsyncConnection, ids: Sequence[int]) -> None:
        """Remove notes whose places are settled."""
        await connection.exec_driver_sql(_SETTLED, (list(ids),))

    async def settle(
        self, connection: AsyncConnection, places: Sequence[Place], schedule: Schedule
    ) -> list[Scored]:
        """Derive the totals of these places anew; returns those that changed."""
        if not places:
            return []
        columns = ([deputy for deputy, _ in places], [year for _, year in places])
        await connection.exec_driver_sql(_HOLD_TOTALS, columns)
        # Only now, under the lock: whoever settles the same places next reads these sums or newer ones.
        sums: defaultdict[Place, dict[str, dict[int, int]]] = defaultdict(dict)
        for row in await connection.exec_driver_sql(_SUMS, columns):
            of_place = sums[row.deputy_id, row.year]
            for item, month, points in zip(row.items, row.months, row.points, strict=True):
                of_place.setdefault(item, {})[month] = points
        found: dict[Place, Total] = {}
        for number, place in enumerate(places, 1):
            rubric = schedule.in_year(place[1])
            if rubric is None:
                continue  # sums of a year without a rubric are zero and show nowhere
            found[place] = totals(rubric, sums[place])
            if number % AT_A_STRETCH == 0:
                await asyncio.sleep(0)
        return await self._write_totals(connection, found)

    async def _write_totals(self, connection: AsyncConnection, found: Mapping[Place, Total]) -> list[Scored]:
        columns: tuple[list[Any], ...] = (
            [deputy for deputy, _ in found],
            [year for _, year in found],
            [total.total for total in found.values()],
            [to_json(dict(total.categories)).decode() for total in found.values()],
        )
        written = (await connection.exec_driver_sql(_WRITE_TOTALS, columns)).all()
        return [
            Scored(row.deputy_id, row.year, found[row.deputy_id, row.year], row.version) for row in written
        ]

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

    async def hold_audit(self, connection: AsyncConnection, day: date) -> bool:
        """Whether this transaction may make the audit of a day: it was not made, and nobody else is at it."""
        return bool((await connection.exec_driver_sql(_HOLD_AUDIT, (day,))).scalar())

    async def add_audit(
        self, connection: AsyncConnection, day: date, deputies: int, rows: int, differences: int
    ) -> None:
        """Write what a nightly audit found."""
        row = {"day": day, "deputies": deputies, "rows": rows, "differences": differences}
        await insert_rows(connection, tables.audits, [row])
