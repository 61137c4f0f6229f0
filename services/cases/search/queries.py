"""The read side of the search: candidates by hashes, similar cases by sketches, open cases for clusters.

What is searched for may be in every other case or in one of a million, and the database cannot tell which. So the
first of a list are looked through one by one: where enough of them have the words, that is all; of a long list
a thousand may do, because each is read from another place of the disk. Where hardly one
has them, and few of all cases with the list's marks do, the index of words and marks gives them; else it is asked
after some more have been looked through, for it costs most then.

Invariant: a case is found from the moment it is filed. Its words are hashed a little later; until then whoever
searches reads them (`waiting`), as long as no more than WAITING_MAX wait.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    CTE,
    BindParameter,
    ColumnElement,
    CompoundSelect,
    Integer,
    LargeBinary,
    RowMapping,
    Select,
    Subquery,
    Text,
    bindparam,
    case,
    cast,
    func,
    literal,
    or_,
    select,
    union,
)
from sqlalchemy.dialects.postgresql import BIT
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.selectable import LateralFromClause

from services.cases import queries as lists
from services.cases import tables
from services.cases.domain import STEPS
from services.cases.search.clusters import Report
from services.cases.search.grams import SKETCH_BITS
from services.cases.search.marks import NO_MARKS, Marks
from services.cases.search.tables import case_words, cases_to_index
from shared.database.plans import estimated_rows
from shared.database.rows import dictionaries
from shared.http.pages import Position

_SKETCH = BIT(SKETCH_BITS)
SAMPLED = 1_000
"""So many of the first cases of a list tell how common words are."""
RARE, COMMON = 7, 50
"""Where no more of these have the words, it is worth asking whether they are rare in the whole list; where so many
have them, their share is known well enough."""
LOOKED_THROUGH = 3_000
"""So many of the first cases of a list are looked through for words, and for their share where SAMPLED leave doubt."""
PARTS_MAX = 2
"""So many times, one after the other, for one page of a long list; then the index of words is asked."""
LONG = 20_000
"""A list of about so many cases is long; of a shorter one, looking through all is cheaper than the index."""
FEW = 3_000
"""Words that no more cases than this with the list's marks have are looked up in the index of words."""
WAITING_MAX = 200
"""So many cases whose words wait to be hashed are read for a search; only while all are hashed anew wait more."""
COMPARED_MAX = 5_000
"""So many open cases of a county, the newest, are compared with a text."""
NEAR_DAYS = 90
_TOWN_UNKNOWN = 0.9
_OTHER_TOWN = 0.7
_FARTHEST_IN_TIME = 0.7
"""How much of the likeness is left between towns of a county, and at NEAR_DAYS."""


def _one_of(states: frozenset[str]) -> ColumnElement[bool]:
    # Written into the statement: a parameter would keep the planner from the index of open cases.
    listed: BindParameter[list[str]] = bindparam(
        "states", sorted(states), expanding=True, literal_execute=True
    )
    return tables.cases.c.state.in_(listed)


def _has(hashes: ColumnElement[Any], values: Sequence[int]) -> ColumnElement[bool]:
    return hashes.contains(cast(literal(list(values), ARRAY(Integer)), ARRAY(Integer)))


def _texts(values: Sequence[str]) -> ColumnElement[Any]:
    return cast(literal(list(values), ARRAY(Text)), ARRAY(Text))


def _words_of(first: Subquery) -> LateralFromClause:
    """Beside each of the first of some cases its hashes, looked up one by one."""
    # An offset keeps the planner from asking the index of words instead.
    return select(case_words.c.hashes).where(case_words.c.case_id == first.c.id).offset(0).lateral("words")


async def waiting(
    connection: AsyncConnection, conditions: Sequence[ColumnElement[bool]]
) -> Sequence[RowMapping]:
    """Cases whose words wait to be hashed, with their sealed words; none, nearly always."""
    cases = tables.cases.c
    some = select(cases_to_index.c.case_id).limit(WAITING_MAX).subquery()
    found = select(cases.id, cases.sealed).join(some, some.c.case_id == cases.id).where(*conditions)
    return (await connection.execute(found)).mappings().all()


@dataclass(frozen=True)
class Wanted:
    """What is searched for: among the cases under `conditions` those with all values, and `also` these.

    `marks` are such that every case under the conditions has.
    """

    conditions: Sequence[ColumnElement[bool]]
    values: Sequence[int]
    also: Sequence[UUID] = ()
    marks: Marks = NO_MARKS

    def has(self, id_: ColumnElement[UUID], hashes: ColumnElement[Any]) -> ColumnElement[bool]:
        """Whether a case is one of them."""
        has = _has(hashes, self.values)
        return or_(has, id_.in_(self.also)) if self.also else has

    def indexed(self) -> Select[UUID]:
        """The cases with all values and marks: all that are hashed and wanted, and some that are not."""
        found = select(case_words.c.case_id).where(_has(case_words.c.hashes, self.values))
        if self.marks.each:
            found = found.where(case_words.c.marks.contains(_texts(self.marks.each)))
        if self.marks.some:
            found = found.where(case_words.c.marks.overlap(_texts(self.marks.some)))
        return found


def _given(wanted: Wanted, *, most: int | None = None) -> tuple[CTE, Select[UUID]]:
    """What the index of words gives, and which cases among that and `also` are under the conditions."""
    # Materialised, so that nothing else is tried.
    index = wanted.indexed().limit(most).cte("given").prefix_with("MATERIALIZED")
    every: Select[UUID] | CompoundSelect[UUID] = select(index.c.case_id)
    if wanted.also:
        every = union(every, select(tables.cases.c.id).where(tables.cases.c.id.in_(wanted.also)))
    words = every.subquery()
    found = select(tables.cases.c.id).join(words, words.c.case_id == tables.cases.c.id)
    return index, found.where(*wanted.conditions)


@asynccontextmanager
async def _by_indices(connection: AsyncConnection) -> AsyncIterator[None]:
    """What is asked here is asked of an index.

    The planner takes values and marks for independent; where it then expects many it would go through all rows
    for the first of them, and there may be none.
    """
    await connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
    yield
    await connection.exec_driver_sql("SET LOCAL enable_seqscan = on")


@dataclass(frozen=True)
class Found:
    """A case that the index of words gave, and what lists are ordered by."""

    id: UUID
    filed_at: datetime
    answer_by: datetime | None

    def place(self, sort: lists.Sort) -> tuple[bool, datetime, UUID]:
        """Where it stands in the order of a list, or from its end if that is `newest`."""
        return _place(Position(self.answer_by if sort == "deadline" else self.filed_at, self.id))


def _place(position: Position) -> tuple[bool, datetime, UUID]:
    return position.at is None, position.at or datetime.max.replace(tzinfo=UTC), position.id


async def _few(connection: AsyncConnection, wanted: Wanted) -> list[Found] | None:
    """All that the index of words leads to; None where it gives more than FEW."""
    index, found = _given(wanted, most=FEW + 1)
    given = select(func.count()).select_from(index).scalar_subquery()
    listed = found.add_columns(tables.cases.c.filed_at, tables.cases.c.answer_by).subquery()
    every = [func.array_agg(column) for column in listed.c]
    async with _by_indices(connection):
        count, *columns = (await connection.execute(select(given, *every))).one()
    if count > FEW:
        return None
    return list(map(Found, *(column or () for column in columns)))


@dataclass(frozen=True)
class Matches:
    """About how many cases have what is searched for, and by which way they are found.

    `few` are all of them, and some others. Else by looking through the list, up to `parts` times for a page.
    """

    total: int
    few: Sequence[Found] | None = None
    parts: int = PARTS_MAX


async def matches(connection: AsyncConnection, wanted: Wanted) -> Matches:
    """How many there are: counted where they are few, else reckoned from the newest."""
    seen, having = await _first_with(connection, wanted, SAMPLED)
    if seen < SAMPLED:
        return Matches(having)
    every = select(tables.cases.c.id).where(*wanted.conditions)
    whole = await estimated_rows(connection, every)
    # More than FEW by the share of the first ones are most likely more, and finding that out would be for nothing.
    if (
        having <= RARE
        and having * whole <= FEW * seen
        and (few := await _few(connection, wanted)) is not None
    ):
        return Matches(len(few), few)
    if having < COMMON or whole <= LOOKED_THROUGH:
        seen, having = await _first_with(connection, wanted, LOOKED_THROUGH)
        if seen < LOOKED_THROUGH:
            return Matches(having)
    parts = PARTS_MAX if whole > LONG else -(-LONG // LOOKED_THROUGH)
    return Matches(round(having / seen * max(whole, seen)), parts=parts)


async def _first_with(connection: AsyncConnection, wanted: Wanted, most: int) -> tuple[int, int]:
    """How many there are of so many first ones of a list, and how many of them have what is wanted."""
    first = lists.first(wanted.conditions, "newest", most)
    words = _words_of(first)
    has = wanted.has(first.c.id, words.c.hashes)
    counted = select(func.count(), func.count().filter(has))
    found = counted.select_from(first).join(words, literal(True), isouter=True)
    seen, having = (await connection.execute(found)).one()
    return seen, having


class Candidates:
    """The cases that are wanted, and a few others, part by part, as `Matches` says."""

    def __init__(
        self,
        connection: AsyncConnection,
        wanted: Wanted,
        found: Matches,
    ) -> None:
        self._connection, self._wanted, self._found = connection, wanted, found
        self._parts = 0

    async def __call__(self, *, sort: lists.Sort, after: Position | None, skip: int, size: int) -> lists.Part:
        """As `queries.part`."""
        if self._found.few is not None:
            return await self._of_few(self._found.few, sort, after, skip, size)
        conditions = self._wanted.conditions
        if after is not None:
            conditions = (*conditions, lists.behind(sort, after))
        if self._parts == self._found.parts:
            return await self._by_index(conditions, sort, skip, size)
        return await self._by_looking(conditions, sort, skip, size)

    async def _of_few(
        self, few: Sequence[Found], sort: lists.Sort, after: Position | None, skip: int, size: int
    ) -> lists.Part:
        listed = sorted(few, key=lambda one: one.place(sort), reverse=sort == "newest")
        if after is not None:
            here = _place(after)
            listed = [
                one
                for one in listed
                if (one.place(sort) < here if sort == "newest" else one.place(sort) > here)
            ]
        rows = await self._rows([one.id for one in listed[skip : skip + size]], sort)
        return lists.Part(rows, lists.position_of(rows[-1], sort) if len(rows) == size else None)

    async def _by_index(
        self, conditions: Sequence[ColumnElement[bool]], sort: lists.Sort, skip: int, size: int
    ) -> lists.Part:
        _, found = _given(replace(self._wanted, conditions=conditions))
        found = found.order_by(*lists.order(sort)).limit(size).offset(skip)
        async with _by_indices(self._connection):
            ids = (await self._connection.scalars(found)).all()
        rows = await self._rows(ids, sort)
        return lists.Part(rows, lists.position_of(rows[-1], sort) if len(rows) == size else None)

    async def _by_looking(
        self, conditions: Sequence[ColumnElement[bool]], sort: lists.Sort, skip: int, size: int
    ) -> lists.Part:
        listed = lists.first(conditions, sort, LOOKED_THROUGH)
        order = lists.ordered(sort, listed.c.at, listed.c.id)
        first = select(listed, func.row_number().over(order_by=order).label("place")).subquery()
        words = _words_of(first)
        has = self._wanted.has(first.c.id, words.c.hashes)
        # The last one comes along whatever it has, because behind it the looking goes on. By what the list is
        # ordered and not by place, so that no more are looked at than are needed.
        among = (
            select(first.c.id, first.c.place, func.coalesce(has, False).label("has"))
            .select_from(first)
            .join(words, literal(True), isouter=True)
            .where(or_(has, first.c.place == LOOKED_THROUGH))
            .order_by(*lists.ordered(sort, first.c.at, first.c.id))
        )
        seen = (await self._connection.execute(among.limit(skip + size))).all()
        ids = [row.id for row in seen if row.has]
        rows = await self._rows(ids[skip:], sort)
        if len(rows) == size:
            return lists.Part(rows, lists.position_of(rows[-1], sort))
        self._parts += 1
        last = await self._rows([row.id for row in seen if row.place == LOOKED_THROUGH], sort)
        behind = lists.position_of(last[0], sort) if last else None
        return lists.Part(rows, behind, max(skip - len(ids), 0))

    async def _rows(self, ids: Sequence[UUID], sort: lists.Sort) -> list[dict[str, Any]]:
        return await lists.page(self._connection, [tables.cases.c.id.in_(ids)], sort=sort, size=len(ids))


def _bits(sketch: int) -> ColumnElement[Any]:
    return cast(cast(literal(f"{sketch:0{SKETCH_BITS}b}"), Text), _SKETCH)


def _size(bits: ColumnElement[Any]) -> ColumnElement[Any]:
    full = float(SKETCH_BITS)
    return -full * func.ln(1 - func.least(func.bit_count(bits), full - 0.5) / full)


def likeness_to(sketch: int) -> ColumnElement[Any]:
    """`grams.likeness` of each case with a sketch, reckoned by the database."""
    asked, own = _bits(sketch), case_words.c.sketch
    together = _size(own.op("|")(asked))
    common = _size(own) + _size(asked) - together
    alike = func.least(func.greatest(common / func.nullif(together, 0), 0), 1)
    return func.coalesce(alike, 0)


async def similar(
    connection: AsyncConnection,
    sketch: int,
    *,
    county: str,
    town: str | None,
    at: datetime,
    besides: UUID | None = None,
    least: float,
    most: int,
) -> list[dict[str, Any]]:
    """Open cases of the county that are about the same, best first.

    `likeness` is that of the words alone, `score` what is left of it by place and time.
    """
    cases = tables.cases.c
    near = (
        select(cases.id, cases.town, cases.filed_at)
        .where(
            _one_of(STEPS["joined"].before),
            cases.county == county,
            cases.filed_at > at - timedelta(days=NEAR_DAYS),
            cases.filed_at < at + timedelta(days=NEAR_DAYS),
        )
        .order_by(cases.filed_at.desc())
        .limit(COMPARED_MAX)
    )
    if besides is not None:
        near = near.where(cases.id != besides)
    candidates = near.subquery()
    days = func.abs(func.extract("epoch", candidates.c.filed_at - at)) / 86_400
    place: ColumnElement[Any] = literal(_TOWN_UNKNOWN)
    if town is not None:
        place = case(
            (candidates.c.town == town, 1.0), (candidates.c.town.is_(None), _TOWN_UNKNOWN), else_=_OTHER_TOWN
        )
    alike = (
        select(
            candidates.c.id,
            likeness_to(sketch).label("likeness"),
            (place * (1 - (1 - _FARTHEST_IN_TIME) * func.least(days / NEAR_DAYS, 1))).label("nearness"),
        )
        .join(case_words, case_words.c.case_id == candidates.c.id)
        .subquery()
    )
    score = alike.c.likeness * alike.c.nearness
    best = (
        select(alike.c.id, alike.c.likeness, score.label("score"))
        .where(alike.c.likeness >= least)
        .order_by(score.desc(), alike.c.id)
        .limit(most)
        .subquery()
    )
    shown = [column for column in tables.cases.c if column.name not in ("answer", "clock")]
    return dictionaries(
        await connection.execute(
            select(*shown, best.c.likeness, best.c.score)
            .join(best, best.c.id == cases.id)
            .order_by(best.c.score.desc(), cases.id)
        )
    )


async def sketch_of(connection: AsyncConnection, case_id: UUID) -> int | None:
    """The sketch of a case; None while it is not indexed, or for ever where its words were erased."""
    sent = func.bit_send(case_words.c.sketch, type_=LargeBinary)
    found = await connection.scalar(select(sent).where(case_words.c.case_id == case_id))
    return int.from_bytes(_sketches(found)[0]) if found is not None else None


_SENT_LENGTH, _SENT_BYTES = 4, SKETCH_BITS // 8
"""`bit_send` gives the number of bits and then these."""


def _sketches(sent: bytes) -> list[bytes]:
    """Of sketches as `bit_send` gives them, one behind the other."""
    begins = range(_SENT_LENGTH, len(sent), _SENT_LENGTH + _SENT_BYTES)
    return [sent[begin : begin + _SENT_BYTES] for begin in begins]


async def open_reports(
    connection: AsyncConnection, conditions: Sequence[ColumnElement[bool]], *, since: datetime, most: int
) -> tuple[list[Report], dict[UUID, str]]:
    """Cases that can be merged, the newest so many, and the state of each."""
    cases = tables.cases.c
    newest = (  # first, so that sketches are read of no more cases than are compared
        select(cases.id, cases.county, cases.town, cases.filed_at, cases.state)
        .where(
            *conditions,
            _one_of(STEPS["merged"].before),
            cases.filed_at >= since,
        )
        .order_by(cases.filed_at.desc(), cases.id)
        .limit(most)
        .subquery()
    )
    one = newest.c
    # All in one row: thousands of rows take the driver as long as the database takes to find them.
    columns = [func.array_agg(column) for column in (one.id, one.county, one.town, one.filed_at, one.state)]
    sent = func.bit_send(case_words.c.sketch)
    sketches = func.string_agg(sent, cast(literal(b""), LargeBinary), type_=LargeBinary)
    found = select(*columns, sketches).join(case_words, case_words.c.case_id == one.id)
    ids, counties, towns, filed, states, bits = tuple((await connection.execute(found)).one())
    if ids is None:
        return [], {}
    reports = list(map(Report, ids, counties, towns, filed, _sketches(bits)))
    return reports, dict(zip(ids, states, strict=True))


async def shown_in_clusters(connection: AsyncConnection, ids: Collection[UUID]) -> dict[UUID, dict[str, Any]]:
    """What clusters show of these cases, by id."""
    cases = tables.cases.c
    columns = (cases.id, cases.category, cases.department, cases.sealed)
    rows = dictionaries(await connection.execute(select(*columns).where(lists.among(ids))))
    return {row["id"]: row for row in rows}
