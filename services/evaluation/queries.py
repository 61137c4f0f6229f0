"""The read side of evaluation: the only place that reads for others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import ColumnElement, Row, and_, case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.evaluation import tables
from services.evaluation.domain import Bucket, Identity, LedgerEntry, Total, term_total, totals
from services.evaluation.judging import Candidate
from services.evaluation.reckoning import Held
from services.evaluation.rescore import Person
from services.evaluation.rubric import Rubric
from shared.contracts.envelope import CITY_DIGITS
from shared.database.areas import reached
from shared.database.rows import dictionaries

_CONGRESS = case(
    (tables.deputies.c.level == "county", tables.deputies.c.county),
    (tables.deputies.c.level == "town", tables.deputies.c.town),
)
"""`congress_of` as a column."""

_RANKING = """
WITH ranked AS (
    SELECT coalesce(d.id, t.deputy_id) AS deputy_id, d.number, d.name, d.level, d.county, d.town, d.state,
           coalesce(t.total, $2::bigint) AS total, coalesce(t.categories, $3::jsonb) AS categories
    FROM deputies d FULL JOIN (SELECT * FROM totals WHERE year = $1::int) t ON t.deputy_id = d.id
)
SELECT *, rank() OVER (ORDER BY total DESC) AS rank, count(*) OVER () AS deputies
FROM ranked
WHERE ($4::text IS NULL OR level = $4) AND ($5::text IS NULL OR county = $5)
  AND ($6::text IS NULL OR coalesce(
      starts_with(CASE level WHEN 'county' THEN county WHEN 'town' THEN town END, $6), length($6) <= $7::int))
ORDER BY total DESC, deputy_id LIMIT $8::int OFFSET $9::int
"""

_LATEST = "SELECT max(year) FROM totals"

_LATEST_OF = "SELECT max(month) / 12 FROM buckets WHERE deputy_id = $1"

_FIGURES = {
    "ledger_rows": "SELECT count(*) FROM ledger",
    "deputies": "SELECT count(*) FROM deputies",
    "rubrics": "SELECT count(*) FROM rubrics",
    "scores": "SELECT count(*) FROM totals WHERE total <> 0",
}

_TAKEN_IN = """
SELECT topic, sum(records)::bigint AS records, sum(unused)::bigint AS unused FROM fences
GROUP BY topic HAVING sum(records) > 0
"""

_UNKNOWN = """
SELECT coalesce(type, '') AS type, count(*) AS count FROM dead_letters
WHERE reason = 'unknown-type' AND state <> 'replayed' GROUP BY type
"""


@dataclass(frozen=True)
class Ranked:
    """One page of a ranking; `total` counts all deputies that it has."""

    items: list[dict[str, Any]]
    total: int


@dataclass(frozen=True)
class TermScore:
    """A score of a term of these years, in hundredths of a point."""

    first_year: int
    last_year: int
    total: int


async def ranking(
    connection: AsyncConnection,
    year: int,
    nothing: Total,
    *,
    area: str | None,
    level: str | None,
    county: str | None,
    page: int,
    size: int,
) -> Ranked:
    """Deputies of an area's congresses by total, the highest first; who has no fact in the year has the score `nothing`."""
    parameters: tuple[Any, ...] = (
        year,
        nothing.total,
        to_json(dict(nothing.categories)).decode(),
        level,
        county,
        area,
        CITY_DIGITS,
    )
    found = await connection.exec_driver_sql(_RANKING, (*parameters, size, (page - 1) * size))
    items = dictionaries(found)
    if not items and page > 1:  # past the end: the window that counts has no row to stand in
        first = await connection.exec_driver_sql(_RANKING, (*parameters, 1, 0))
        return Ranked([], next((row.deputies for row in first), 0))
    total = items[0]["deputies"] if items else 0
    for item in items:
        del item["deputies"]
    return Ranked(items, total)


async def sums(connection: AsyncConnection, deputy_id: UUID, years: range) -> dict[str, dict[int, int]]:
    """A deputy's uncapped sums in years: item to month (see `domain.month_of`) to points."""
    kept = tables.buckets.c
    rows = await connection.execute(
        select(kept.item, kept.month, kept.points).where(
            kept.deputy_id == deputy_id, kept.month.between(years.start * 12, years.stop * 12 - 1)
        )
    )
    found: dict[str, dict[int, int]] = {}
    for row in rows:
        found.setdefault(row.item, {})[row.month] = row.points
    return found


async def score(
    connection: AsyncConnection, deputy_id: UUID, year: int, rubric: Rubric | None
) -> Total | None:
    """A deputy's score of a year as the facts stand now; None for a deputy of whom nothing is known at all."""
    found = await sums(connection, deputy_id, range(year, year + 1))
    if not found and not await is_known(connection, deputy_id):
        return None
    if rubric is None:
        return Total(0, {}, {})
    return totals(rubric, found)


async def score_of_term(
    connection: AsyncConnection, deputy_id: UUID, year: int, rubric: Rubric | None
) -> TermScore | None:
    """A deputy's score of the term 届 so far, from its first year to this one.

    None where the rubric has no term, and where an earlier year was scored under items that it does not have.
    """
    if rubric is None or rubric.term is None:
        return None
    years = range(rubric.term.begin(year), year + 1)
    try:
        total = term_total(rubric, await sums(connection, deputy_id, years), years).total
    except KeyError:
        return None
    return TermScore(years.start, years.start + rubric.term.years - 1, total)


async def is_known(connection: AsyncConnection, deputy_id: UUID) -> bool:
    """Whether anybody told of this deputy or any fact names them."""
    named = select(tables.deputies.c.id).where(tables.deputies.c.id == deputy_id)
    scored = select(tables.ledger.c.deputy_id).where(tables.ledger.c.deputy_id == deputy_id).limit(1)
    return bool(await connection.scalar(select(named.exists() | scored.exists())))


async def latest_year(connection: AsyncConnection, deputy_id: UUID | None = None) -> int | None:
    """The last year with a score, of one deputy or of all."""
    if deputy_id is None:
        found = (await connection.exec_driver_sql(_LATEST)).scalar()
    else:
        found = (await connection.exec_driver_sql(_LATEST_OF, (deputy_id,))).scalar()
    return None if found is None else int(found)


async def archive(
    connection: AsyncConnection, deputy_id: UUID, *, year: int | None, with_zero: bool, page: int, size: int
) -> tuple[list[dict[str, Any]], int]:
    """A deputy's ledger rows, the newest event first, and how many there are."""
    rows = tables.ledger.c
    conditions = [rows.deputy_id == deputy_id]
    if year is not None:
        conditions.append(func.extract("year", rows.happened_on) == year)
    if not with_zero:
        conditions.append(rows.points != 0)
    total = await connection.scalar(select(func.count()).select_from(tables.ledger).where(*conditions))
    found = await connection.execute(
        select(tables.ledger)
        .where(*conditions)
        .order_by(rows.time.desc(), rows.item, rows.evidence)
        .limit(size)
        .offset((page - 1) * size)
    )
    return dictionaries(found), int(total or 0)


async def rubrics(connection: AsyncConnection) -> list[dict[str, Any]]:
    """All adopted rubrics, the last to begin first."""
    kept = tables.rubrics.c
    found = await connection.execute(
        select(tables.rubrics).order_by(kept.effective_from.desc(), kept.name, kept.version.desc())
    )
    return dictionaries(found)


async def figures(connection: AsyncConnection) -> dict[str, Any]:
    """What came in and what became of it; `events` counts records; repetitions by their sender too, but for news of deputies."""
    found: dict[str, Any] = {
        name: (await connection.exec_driver_sql(query)).scalar_one() for name, query in _FIGURES.items()
    }
    counts = (
        await connection.execute(select(tables.event_counts).order_by(tables.event_counts.c.type))
    ).all()
    events = Counter({row.type: row.events for row in counts})
    unscored = Counter({row.type: row.unscored for row in counts})
    for row in await connection.exec_driver_sql(_TAKEN_IN):
        events[row.topic] += row.records
        unscored[row.topic] += row.unused
    found["events"] = dict(sorted(events.items()))
    found["unscored"] = {type_: count for type_, count in sorted(unscored.items()) if count}
    found["unknown"] = {row.type: row.count for row in await connection.exec_driver_sql(_UNKNOWN)}
    return found


_HANDLED_SINCE = """
WITH handled AS MATERIALIZED (
    SELECT key::uuid AS event_id FROM inbox WHERE handled_at >= $1 AND key ~ '^[0-9a-f-]{36}$'
)
SELECT l.* FROM public.ledger l WHERE EXISTS (SELECT FROM handled) AND event_id IN (SELECT event_id FROM handled)
"""

_SAMPLE = """
SELECT id FROM (SELECT id FROM deputies UNION SELECT deputy_id FROM totals) AS known
ORDER BY hashtextextended(id::text, $1::bigint), id LIMIT $2
"""

_UNSETTLED = """
SELECT DISTINCT u.d, u.y FROM unsettled, unnest(deputies, years) AS u (d, y) WHERE u.d = ANY($1::uuid[])
"""


async def sample(connection: AsyncConnection, *, seed: int, size: int) -> list[UUID]:
    """So many deputies, others for another seed."""
    return [row.id for row in await connection.exec_driver_sql(_SAMPLE, (seed, size))]


async def held(connection: AsyncConnection, deputies: Sequence[UUID]) -> Held:
    """All ledger rows, sums and totals of these deputies; of one moment where the transaction reads so."""
    rows, sums, scores = tables.ledger.c, tables.buckets.c, tables.totals.c
    found = await connection.execute(select(tables.ledger).where(rows.deputy_id.in_(deputies)))
    kept = await connection.execute(select(tables.buckets).where(sums.deputy_id.in_(deputies)))
    settled = await connection.execute(
        select(scores.deputy_id, scores.year, scores.total, scores.categories).where(
            scores.deputy_id.in_(deputies)
        )
    )
    noted = await connection.exec_driver_sql(_UNSETTLED, (list(deputies),))
    return Held(
        rows=_entries(found),
        buckets={Bucket(row.deputy_id, row.month, row.item): row.points for row in kept},
        totals={(row.deputy_id, row.year): (row.total, row.categories) for row in settled},
        unsettled=frozenset((row.d, row.y) for row in noted),
    )


async def last_audit(connection: AsyncConnection) -> dict[str, Any] | None:
    """What the last nightly audit found; None before the first."""
    found = await connection.execute(select(tables.audits).order_by(tables.audits.c.day.desc()).limit(1))
    return next(iter(dictionaries(found)), None)


async def ledger_rows(
    connection: AsyncConnection, deputy_id: UUID, begin: date, until: date
) -> list[LedgerEntry]:
    """A deputy's ledger rows of what happened in a period, with those that count nothing."""
    rows = tables.ledger.c
    found = await connection.execute(
        select(tables.ledger).where(rows.deputy_id == deputy_id, rows.happened_on.between(begin, until))
    )
    return _entries(found)


async def rows_handled_since(connection: AsyncConnection, since: datetime) -> list[LedgerEntry]:
    """The live ledger's rows of events that were handled one by one since a moment of wall time."""
    return _entries(await connection.exec_driver_sql(_HANDLED_SINCE, (since,)))


def _entries(found: Iterable[Row[Any]]) -> list[LedgerEntry]:
    return [
        LedgerEntry(
            identity=Identity(row.item, row.deputy_id, row.evidence),
            event_id=row.event_id,
            event_type=row.event_type,
            sequence=row.sequence,
            time=row.time,
            happened_on=row.happened_on,
            points=row.points,
            rubric=row.rubric,
            rubric_version=row.rubric_version,
        )
        for row in found
    ]


async def deputy(connection: AsyncConnection, deputy_id: UUID) -> dict[str, Any] | None:
    """What is known of a deputy, such as name, place, constituency and term; None if nobody told of them."""
    kept = tables.deputies.c
    told = (kept.number, kept.name, kept.level, kept.county, kept.town, kept.state)
    office = (kept.constituency, kept.term_from, kept.term_until)
    found = await connection.execute(select(*told, *office).where(kept.id == deputy_id))
    return next(iter(dictionaries(found)), None)


async def congress(connection: AsyncConnection, deputy_id: UUID) -> str | None:
    """The place of the congress that a deputy is of; None for the city's, and for who is not known."""
    asked = select(_CONGRESS).where(tables.deputies.c.id == deputy_id)
    found: str | None = await connection.scalar(asked)
    return found


async def people(connection: AsyncConnection) -> list[Person]:
    """All active deputies, as a simulation groups them."""
    kept = tables.deputies.c
    found = await connection.execute(
        select(kept.id, kept.level, kept.county, kept.town, kept.occupation)
        .where(kept.state == "active")
        .order_by(kept.id)
    )
    return [Person(row.id, row.level, row.county, row.town, row.occupation) for row in found]


ByPlace = dict[str | None, int]


async def activity(
    connection: AsyncConnection, within: Sequence[str], months: Sequence[int]
) -> tuple[ByPlace, dict[tuple[str | None, int], int], list[tuple[ByPlace, str]]]:
    """Deputies in office by place, those active by place and month, and the lists above, as `activity.series` takes them.

    `within` nothing the places are counties, within a county its towns, within a county and a town the stations.
    """
    kept, sums_ = tables.deputies.c, tables.buckets.c
    conditions = [kept.state == "active"]

    async def in_office(by: ColumnElement[Any]) -> ByPlace:
        found = await connection.execute(select(by, func.count()).where(*conditions).group_by(by))
        return {row[0]: row[1] for row in found}

    steps = (kept.county, kept.town, kept.station)
    above = []
    for step, place in zip(steps, within, strict=False):
        above.append((await in_office(step), place))
        conditions.append(step == place)
    by = steps[len(within)]
    deputies = await in_office(by)
    active = await connection.execute(
        select(by.label("place"), sums_.month, func.count(kept.id.distinct()))
        .select_from(tables.deputies.join(tables.buckets, sums_.deputy_id == kept.id))
        .where(*conditions, sums_.month.between(months[0], months[-1]), sums_.points > 0)
        .group_by(by, sums_.month)
    )
    return deputies, {(row[0], row[1]): row[2] for row in active}, above


async def names(connection: AsyncConnection, deputies: Iterable[UUID]) -> dict[UUID, tuple[str, str]]:
    """Number and name of these deputies."""
    kept = tables.deputies.c
    found = await connection.execute(
        select(kept.id, kept.number, kept.name).where(kept.id.in_(list(deputies)))
    )
    return {row.id: (row.number, row.name) for row in found}


async def appeals(
    connection: AsyncConnection,
    *,
    area: str | None,
    own: UUID | None,
    state: str | None,
    deputy_id: UUID | None,
    page: int,
    size: int,
) -> tuple[list[dict[str, Any]], int]:
    """Appeals of the deputies of an area's congresses and of one's `own`, the newest first, and how many there are.

    Each with what its row is worth now (None: there is none).
    """
    kept, ledger, known = tables.appeals.c, tables.ledger.c, tables.deputies.c
    conditions = [or_(reached(area, _CONGRESS), kept.deputy_id == own)]
    if state:
        conditions.append(kept.state == state)
    if deputy_id is not None:
        conditions.append(kept.deputy_id == deputy_id)
    those = tables.appeals.outerjoin(tables.deputies, known.id == kept.deputy_id)
    total = await connection.scalar(select(func.count()).select_from(those).where(*conditions))
    row = and_(ledger.deputy_id == kept.deputy_id, ledger.item == kept.item, ledger.evidence == kept.evidence)
    found = await connection.execute(
        select(tables.appeals, ledger.points.label("row_points"))
        .select_from(those.outerjoin(tables.ledger, row))
        .where(*conditions)
        .order_by(kept.filed_at.desc(), kept.id)
        .limit(size)
        .offset((page - 1) * size)
    )
    return dictionaries(found), int(total or 0)


async def notes(connection: AsyncConnection, deputy_id: UUID) -> list[dict[str, Any]]:
    """The notes in a deputy's archive, the oldest first, with those that were struck."""
    kept = tables.notes.c
    found = await connection.execute(
        select(
            kept.id,
            kept.part,
            kept.happened_on,
            kept.title,
            kept.approving,
            kept.ballots,
            kept.state,
            kept.reason,
        )
        .where(kept.deputy_id == deputy_id)
        .order_by(kept.happened_on, kept.noted_at, kept.id)
    )
    return dictionaries(found)


async def candidates(connection: AsyncConnection, year: int, nothing: Total) -> list[tuple[Candidate, str]]:
    """All deputies with their totals of a year and their names; who has no fact has the score `nothing`."""
    kept, scores = tables.deputies.c, tables.totals.c
    of_year = and_(scores.deputy_id == kept.id, scores.year == year)
    asked = select(
        kept.id, kept.number, kept.name, kept.level, kept.county, kept.town, kept.state, scores.total
    ).select_from(tables.deputies.outerjoin(tables.totals, of_year))
    return [
        (
            Candidate(
                row.id,
                row.number,
                row.level,
                row.county,
                row.town,
                row.state,
                nothing.total if row.total is None else row.total,
            ),
            row.name,
        )
        for row in await connection.execute(asked.order_by(kept.id))
    ]
