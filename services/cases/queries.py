"""The read side of cases: the only place that reads for others."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BindParameter,
    BooleanClauseList,
    ColumnElement,
    DateTime,
    RowMapping,
    Subquery,
    Uuid,
    and_,
    any_,
    bindparam,
    case,
    cast,
    func,
    literal,
    not_,
    or_,
    select,
    tuple_,
    union,
)
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.sql import operators

from services.cases import tables
from services.cases.domain import ANSWER_OWED, FINISHED, STATES, Step
from services.cases.metrics import CaseRow
from services.cases.overview import Group
from shared.database.plans import estimated_rows
from shared.database.rows import dictionaries
from shared.http.pages import Position

Sort = Literal["newest", "oldest", "deadline"]

_NOT_LISTED = ("answer", "clock", "follow", "contact", "consent", "photos", "documents")
_SHOWN = [column for column in tables.cases.c if column.name not in _NOT_LISTED]
ACCEPTED = ("accepted", "in-progress", "waiting", "answered", "closed")
"""In these states a department has taken the case on."""


@asynccontextmanager
async def reading(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A connection on which each query is planned for its own values: one plan for all would be wrong for most."""
    async with engine.connect() as connection:
        await connection.exec_driver_sql("SET LOCAL plan_cache_mode = force_custom_plan")
        yield connection


def _in_states(*states: str) -> ColumnElement[bool]:
    # Written into the statement: with parameters the planner would not see that they have an index of their own.
    listed: BindParameter[list[str]] = bindparam(
        "owed", list(states), expanding=True, literal_execute=True, unique=True
    )
    return tables.cases.c.state.in_(listed)


def among(ids: Collection[UUID]) -> ColumnElement[bool]:
    """Cases with one of these ids; one statement, however many they are."""
    return tables.cases.c.id == any_(cast(literal(list(ids), ARRAY(Uuid)), ARRAY(Uuid)))


def owed() -> ColumnElement[bool]:
    """Cases on which a department owes an answer now 待办理."""
    return _in_states(*sorted(ANSWER_OWED))


def unfinished() -> ColumnElement[bool]:
    """Cases that are neither closed nor settled otherwise 未办结, as the overview counts them."""
    return _in_states(*sorted(set(STATES) - FINISHED))


def overdue(now: datetime) -> ColumnElement[bool]:
    """Cases whose answer is owed and late 逾期, as the overview counts them."""
    cases = tables.cases.c
    in_time = and_(cases.state == "waiting", cases.answer_by >= _STOPPED_AT)
    return and_(_in_states(*sorted(ANSWER_OWED), "waiting"), cases.answer_by < now, not_(in_time))


_STOPPED_AT = tables.cases.c.clock[("pauses", -1, "begin")].astext.cast(DateTime(timezone=True))
"""Of a case that waits: since when its clock stands still."""


COUNTED_MAX = 10_000
"""So many are counted; how many more there are is estimated."""


async def page(
    connection: AsyncConnection,
    conditions: Sequence[ColumnElement[bool]],
    *,
    sort: Sort = "newest",
    after: Position | None = None,
    skip: int = 0,
    size: int,
    also: Sequence[ColumnElement[Any]] = (),
) -> list[dict[str, Any]]:
    """Up to `size` cases, newest, oldest or most pressing first, after a position; their words are still sealed.

    `also` names what is wanted beside what lists show.
    """
    if after is not None:
        conditions = (*conditions, behind(sort, after))
    if len(_sides(conditions)) > 1:
        conditions = (tables.cases.c.id.in_(select(first(conditions, sort, skip + size).c.id)),)
    found = select(*_SHOWN, *also).where(*conditions).order_by(*order(sort)).limit(size).offset(skip)
    return dictionaries(await connection.execute(found))


def _sides(conditions: Sequence[ColumnElement[bool]]) -> list[list[ColumnElement[bool]]]:
    """The conditions with one side of the first "or" among them, for each of its sides."""
    for place, one in enumerate(conditions):
        if isinstance(one, BooleanClauseList) and one.operator is operators.or_:
            return [[*conditions[:place], side, *conditions[place + 1 :]] for side in one.clauses]
    return [list(conditions)]


def first(conditions: Sequence[ColumnElement[bool]], sort: Sort, most: int) -> Subquery:
    """The first of a list: `id`, and `at`, by which it is ordered.

    Each side of an "or" is asked by its own index: together they have none, and all cases were walked through.
    """
    cases = tables.cases.c
    at = (cases.answer_by if sort == "deadline" else cases.filed_at).label("at")
    sides = [
        select(cases.id, at).where(*side).order_by(*order(sort)).limit(most) for side in _sides(conditions)
    ]
    if len(sides) == 1:
        return sides[0].subquery("first")
    either = union(*(select(side.subquery()) for side in sides)).subquery()
    return select(either).order_by(*ordered(sort, either.c.at, either.c.id)).limit(most).subquery("first")


@dataclass(frozen=True)
class Part:
    """Some cases of a list; `behind` is where it goes on, None at its end, and `skip` how many to leave out there."""

    rows: list[dict[str, Any]]
    behind: Position | None
    skip: int = 0


async def part(
    connection: AsyncConnection,
    conditions: Sequence[ColumnElement[bool]],
    *,
    sort: Sort,
    after: Position | None,
    skip: int,
    size: int,
) -> Part:
    """Up to `size` cases behind a position, without the first `skip` of them."""
    rows = await page(connection, conditions, sort=sort, after=after, skip=skip, size=size)
    return Part(rows, position_of(rows[-1], sort) if len(rows) == size else None)


def order(sort: Sort) -> tuple[ColumnElement[Any], ...]:
    """By what a list is ordered."""
    cases = tables.cases.c
    return ordered(sort, cases.answer_by if sort == "deadline" else cases.filed_at, cases.id)


def ordered(sort: Sort, at: ColumnElement[Any], id_: ColumnElement[Any]) -> tuple[ColumnElement[Any], ...]:
    """The same, of what stands elsewhere."""
    if sort == "deadline":
        return (at.asc().nulls_last(), id_.asc())
    if sort == "oldest":  # the newest from the end, so that the same index serves
        return (at.asc(), id_.asc())
    return (at.desc(), id_.desc())


def behind(sort: Sort, after: Position) -> ColumnElement[bool]:
    """What lies behind a position in that order."""
    cases = tables.cases.c
    if sort == "newest":
        return tuple_(cases.filed_at, cases.id) < tuple_(literal(after.at), literal(after.id))
    if sort == "oldest":
        return tuple_(cases.filed_at, cases.id) > tuple_(literal(after.at), literal(after.id))
    undated = cases.answer_by.is_(None)
    if after.at is None:
        return and_(undated, cases.id > after.id)
    return or_(tuple_(cases.answer_by, cases.id) > tuple_(literal(after.at), literal(after.id)), undated)


def position_of(row: Mapping[str, Any], sort: Sort) -> Position:
    """Where a case stands in a list."""
    return Position(row["answer_by"] if sort == "deadline" else row["filed_at"], row["id"])


async def total(connection: AsyncConnection, conditions: Sequence[ColumnElement[bool]]) -> tuple[int, bool]:
    """How many cases there are, and whether that is counted (up to `COUNTED_MAX`) or the planner's estimate."""
    some = select(literal(1)).select_from(tables.cases).where(*conditions)
    sides = [
        select(tables.cases.c.id).where(*side).limit(COUNTED_MAX + 1).subquery()
        for side in _sides(conditions)
    ]
    listed = union(*map(select, sides)) if len(sides) > 1 else some.limit(COUNTED_MAX + 1)
    counted = await connection.scalar(select(func.count()).select_from(listed.subquery()))
    if int(counted or 0) <= COUNTED_MAX:
        return int(counted or 0), True
    return max(await estimated_rows(connection, some), COUNTED_MAX), False


async def one(connection: AsyncConnection, case_id: UUID) -> dict[str, Any] | None:
    """A case with its steps, and the cases that were merged into it or split from it; None where there is none."""
    found = (
        (await connection.execute(select(tables.cases).where(tables.cases.c.id == case_id)))
        .mappings()
        .first()
    )
    return None if found is None else await _with_way(connection, found)


async def of_receipt(connection: AsyncConnection, receipt: str) -> UUID | None:
    """The case with a receipt number 回执编号; None where there is none."""
    cases = tables.cases.c
    found: UUID | None = await connection.scalar(select(cases.id).where(cases.receipt == receipt))
    return found


async def by_follow(connection: AsyncConnection, follow: str) -> dict[str, Any] | None:
    """The case that the digest of a follow link's secret opens, as `one` gives it, with its photos and parts; or None."""
    found = (
        (await connection.execute(select(tables.cases).where(tables.cases.c.follow == follow)))
        .mappings()
        .first()
    )
    if found is None:
        return None
    told = await _with_way(connection, found)
    told |= await attachments(connection, found["id"], found["photos"])
    told |= {"parts": await _parts(connection, found["id"])}
    return {**told, **await _parents_dates(connection, found)}


async def _parts(connection: AsyncConnection, case_id: UUID) -> list[dict[str, Any]]:
    """The cases that were split from one, oldest first, as far as its resident is told of them."""
    cases = tables.cases.c
    shown = (cases.state, cases.department, cases.filed_at, cases.answer_by, cases.closed_at)
    rows = await connection.execute(
        select(*shown, cases.result, cases.answer)
        .where(cases.split_from == case_id)
        .order_by(cases.filed_at, cases.id)
    )
    return dictionaries(rows)


async def _parents_dates(connection: AsyncConnection, found: RowMapping) -> dict[str, Any]:
    """What a merged case takes from the one with which it is answered: by when, and why then."""
    cases = tables.cases.c
    seen: dict[str, Any] = {}
    while found["state"] == "merged" and found["merged_into"] is not None:
        parent = select(cases.state, cases.merged_into, cases.answer_by, cases.dates_reason, cases.dates_why)
        rows = await connection.execute(parent.where(cases.id == found["merged_into"]))
        found = rows.mappings().one()
        seen = {name: found[name] for name in ("answer_by", "dates_reason", "dates_why")}
    return seen


async def contact_reads(connection: AsyncConnection, case_id: UUID) -> list[dict[str, Any]]:
    """Who read a case's contact data, oldest first."""
    reads = tables.contact_reads
    found = await connection.execute(select(reads).where(reads.c.case_id == case_id).order_by(reads.c.number))
    return dictionaries(found)


async def _with_way(connection: AsyncConnection, found: RowMapping) -> dict[str, Any]:
    case_id = found["id"]
    steps = await connection.execute(
        select(tables.case_steps)
        .where(tables.case_steps.c.case_id == case_id)
        .order_by(tables.case_steps.c.number)
    )
    cases = tables.cases.c
    related = await connection.execute(
        select(cases.id, cases.state, cases.merged_into, cases.split_from)
        .where(or_(cases.merged_into == case_id, cases.split_from == case_id))
        .order_by(cases.id)
    )
    return {**found, "steps": dictionaries(steps), "related": dictionaries(related)}


async def metric_groups(
    connection: AsyncConnection, conditions: list[ColumnElement[bool]], as_of: datetime
) -> list[tuple[CaseRow, int]]:
    """Cases in groups that every metric judges alike, counted by the database."""
    return [(row, number) for _, row, number in await _groups(connection, conditions, as_of, ())]


async def overview_groups(
    connection: AsyncConnection,
    conditions: list[ColumnElement[bool]],
    as_of: datetime,
    *,
    by_town: bool,
    by_day: bool,
) -> list[Group]:
    """The same, apart by county or town and by month or day of filing in China."""
    cases = tables.cases.c
    place = cases.town if by_town else cases.county
    period = func.to_char(
        func.timezone("Asia/Shanghai", cases.filed_at), "YYYY-MM-DD" if by_day else "YYYY-MM"
    )
    groups = await _groups(connection, conditions, as_of, (place.label("place"), period.label("period")))
    return [Group(apart.place, apart.period, row, number) for apart, row, number in groups]


async def _groups(
    connection: AsyncConnection,
    conditions: list[ColumnElement[bool]],
    as_of: datetime,
    apart: tuple[ColumnElement[Any], ...],
) -> list[tuple[Any, CaseRow, int]]:
    """What is given apart, what the metrics judge by, and how many cases.

    Of moments only their order matters to a metric, so a group has stand-ins for them.
    """
    cases = tables.cases.c
    parts = (
        cases.state,
        cases.merged_into.is_not(None).label("merged"),
        cases.answer_by.is_not(None).label("dated"),
        (cases.answer_by < case((cases.state == "waiting", _STOPPED_AT), else_=as_of)).label("past"),
        cases.on_time,
        cases.late,
        cases.result,
        func.coalesce(cases.resident_stars, cases.stars).label("stars"),
        or_(cases.department.is_not(None), cases.returned > 0).label("routed"),
        (cases.returned + cases.transferred > 0).label("moved"),
        (cases.reopened > 0).label("reopened"),
        cases.deputy_id.is_(None).label("by_staff"),
        *apart,
    )
    judged = select(*parts).where(*conditions).subquery()
    rows = await connection.execute(select(judged, func.count().label("number")).group_by(*judged.columns))
    moment = timedelta(microseconds=1)
    found = []
    for row in rows:
        answer_by = (as_of - moment if row.past else as_of) if row.dated else None
        one = CaseRow(
            state=row.state,
            merged=row.merged,
            answer_by=answer_by,
            waiting=as_of if row.state == "waiting" else None,
            late=row.late,
            on_time=row.on_time,
            result=row.result,
            stars=row.stars,
            routed=row.routed,
            accepted=row.on_time is not None or row.reopened or row.state in ACCEPTED,
            moved=int(row.moved),
            reopened=int(row.reopened),
            by_staff=row.by_staff,
        )
        found.append((row, one, row.number))
    return found


_COUNTED = ("rated", "merged", "reopened", "designated", "extensions_asked")
_TOLD: tuple[Step, ...] = (
    "submitted",
    "taken-up",
    "explained",
    "objected",
    "resident-rated",
    "split",
    "transferred",
    "asked",
    "supplied",
    "opinion",
    "returned",
    "extension-asked",
    "extension-granted",
    "extension-refused",
)


async def figures(
    connection: AsyncConnection, conditions: Sequence[ColumnElement[bool]] = ()
) -> dict[str, Any]:
    """How many cases were filed, rated, merged and so on, how many stand in each state and result, and some steps.

    `extensions_asked` counts cases whose department waits for staff's decision now.
    """
    cases = tables.cases.c
    rows = await connection.execute(
        select(
            cases.state,
            cases.result,
            func.count().label("count"),
            func.count(cases.stars).label("rated"),
            func.count(cases.merged_into).label("merged"),
            func.count().filter(cases.reopened > 0).label("reopened"),
            func.count().filter(cases.designated).label("designated"),
            func.count(cases.extension_asked).label("extensions_asked"),
        )
        .where(*conditions)
        .group_by(cases.state, cases.result)
    )
    found: dict[str, Any] = {"filed": 0, **dict.fromkeys(_COUNTED, 0), "states": {}, "results": {}}
    for row in rows.mappings():
        found["filed"] += row["count"]
        for name in _COUNTED:
            found[name] += row[name]
        found["states"][row["state"]] = found["states"].get(row["state"], 0) + row["count"]
        if row["state"] == "closed":
            found["results"][row["result"]] = found["results"].get(row["result"], 0) + row["count"]
    found["closed"] = found["states"].get("closed", 0)
    taken = tables.case_steps.c.step
    told = select(taken, func.count()).where(taken.in_(_TOLD)).group_by(taken)
    if conditions:
        told = told.join(tables.cases, cases.id == tables.case_steps.c.case_id).where(*conditions)
    steps = await connection.execute(told)
    found["steps"] = {**dict.fromkeys(_TOLD, 0), **{row[0]: row[1] for row in steps}}
    return found


async def steps(
    connection: AsyncConnection, conditions: list[ColumnElement[bool]], *, most: int
) -> list[dict[str, Any]]:
    """Steps of cases, oldest first; the conditions may be on the step and on its case."""
    step = tables.case_steps.c
    found = await connection.execute(
        select(step.case_id, step.number, step.step, step.at, step.text)
        .join(tables.cases, tables.cases.c.id == step.case_id)
        .where(*conditions)
        .order_by(step.at, step.case_id, step.number)
        .limit(most)
    )
    return dictionaries(found)


async def attachments(
    connection: AsyncConnection, case_id: UUID, digests: Sequence[str]
) -> dict[str, list[dict[str, Any]]]:
    """Digest, step and state of a case's photos and documents, and documents' sizes, in the order of `digests`."""
    one = tables.case_photos.c
    found = await connection.execute(
        select(one.kind, one.digest, one.number.label("step"), one.state, one.bytes).where(
            one.case_id == case_id, one.digest.in_(digests)
        )
    )
    photos: list[dict[str, Any]] = []
    documents: list[dict[str, Any]] = []
    for row in sorted(dictionaries(found), key=lambda row: digests.index(row["digest"])):
        if row.pop("kind") == "document":
            documents.append(row)
        else:
            row.pop("bytes")
            photos.append(row)
    return {"photos": photos, "documents": documents}


async def routings(connection: AsyncConnection, ids: Sequence[UUID]) -> dict[UUID, dict[str, Any]]:
    """What was held about the category of cases when they were filed, by case id."""
    held = tables.case_routings
    rows = await connection.execute(select(held).where(held.c.case_id.in_(ids)))
    return {row.pop("case_id"): row for row in dictionaries(rows)}


async def routing(connection: AsyncConnection) -> dict[str, Any]:
    """Catalogues in the order of adoption, and models with what their check sets showed.

    The model in force comes first; those that nobody adopted come last, the newest of them first.
    """
    catalogues, models = tables.routing_catalogues.c, tables.routing_models.c
    adopted = await connection.execute(
        select(catalogues.name, catalogues.document, catalogues.adopted_by, catalogues.adopted_at).order_by(
            catalogues.number
        )
    )
    held = await connection.execute(
        select(
            models.name,
            models.checked,
            models.automatic,
            models.automatic_right,
            models.adopted_by,
            models.adopted_at,
            models.recorded_at,
        ).order_by(models.adopted_at.desc().nulls_last(), models.recorded_at.desc(), models.name)
    )
    return {"catalogues": dictionaries(adopted), "models": dictionaries(held)}


async def past_routings(
    connection: AsyncConnection, conditions: Sequence[ColumnElement[bool]], *, most: int, part: int
) -> AsyncIterator[Sequence[Any]]:
    """What routing decided by itself about the newest cases, in parts: `sent` is where to, None where staff did."""
    cases, held, step = tables.cases.c, tables.case_routings.c, tables.case_steps.c
    sent = (
        select(step.department)
        .where(step.case_id == cases.id, step.step == "routed", step.actor == "system")
        .scalar_subquery()
    )
    settled = case((cases.state.in_(ACCEPTED), cases.department))
    found = await connection.stream(
        select(
            cases.id,
            cases.county,
            cases.town,
            cases.sealed,
            held.at,
            held.category,
            held.classifier,
            sent.label("sent"),
            settled.label("settled"),
        )
        .join(tables.case_routings, held.case_id == cases.id)
        .where(*conditions)
        .order_by(cases.filed_at.desc(), cases.id)
        .limit(most)
    )
    async for rows in found.partitions(part):
        yield rows
