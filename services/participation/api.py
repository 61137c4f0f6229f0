"""Read-only HTTP of participation: activities, consultations, duties and figures.

Invariants: an activity's code, who else comes to it, the number and results of answers and what others wrote
are shown to staff only; a deputy sees their own sign-ups, answers and duties, and staff see the duties of the
deputies in the area of their congress.
"""

# No `from __future__ import annotations` here: FastAPI could not find `who`, which is made inside `router`.

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from sqlalchemy import ColumnElement, or_
from sqlalchemy.ext.asyncio import AsyncEngine

from services.participation import errors, queries, tables
from services.participation.domain import ActivityKind, ConsultationKind, DutyState
from shared.contracts.envelope import Actor
from shared.database.areas import reached
from shared.host import WhoCalls
from shared.http.callers import require
from shared.refusals import Refusal

_FOR_STAFF = ("code", "announced_by", "opened_by", "respondents", "opinions")

Number = Annotated[int, Query(ge=1, le=1_000_000)]
Size = Annotated[int, Query(ge=1, le=500)]
County = Annotated[str | None, Query(pattern=r"^\d{4,12}$")]


def _is_staff(actor: Actor) -> bool:
    return bool(actor.roles & {"staff", "simulation"})


def _person(actor: Actor) -> UUID | None:
    try:
        return UUID(actor.person)
    except ValueError:
        return None  # a machine or a department


def _shown(row: dict[str, Any], actor: Actor, mine: tuple[str, str]) -> dict[str, Any]:
    """A row for this caller; the two columns `mine` are the caller's own part, None without one."""
    hidden = (*mine, *(() if _is_staff(actor) else _FOR_STAFF))
    own = None if row[mine[0]] is None else {name: row[name] for name in mine}
    return {**{name: value for name, value in row.items() if name not in hidden}, "mine": own}


def _seen(actor: Actor) -> list[ColumnElement[bool]]:
    """Which duties somebody sees, as conditions on `queries.DUTIES`: as staff those in the area of their congress, as a deputy their own.

    Raises Refusal for who has none.
    """
    seen: list[ColumnElement[bool]] = []
    if _is_staff(actor):
        seen.append(reached(actor.organisation, tables.deputies.c.congress))
    if "deputy" in actor.roles:
        seen.append(tables.duties.c.deputy_id == _person(actor))
    if not seen:
        raise Refusal("role-not-allowed", "Your role has no duties to see.", "forbidden")
    return [or_(*seen)]


def _page(items: list[dict[str, Any]], total: int, page: int, size: int) -> dict[str, Any]:
    return {"items": items, "total": total, "page": page, "size": size}


def _equal(asked: dict[Any, Any]) -> list[ColumnElement[bool]]:
    return [column == value for column, value in asked.items() if value is not None]


_SIGNED_UP = ("signed_up_at", "checked_in_at")
_ANSWERED = ("answered_at", "answers")


def router(engine: AsyncEngine, caller: WhoCalls) -> APIRouter:
    """The routes."""
    routes = APIRouter()
    who = Annotated[Actor, Depends(caller)]

    @routes.get("/activities")
    async def activities(
        actor: who,
        kind: ActivityKind | None = None,
        county: County = None,
        page: Number = 1,
        size: Size = 20,
    ) -> dict[str, Any]:
        of = tables.activities.c
        async with engine.connect() as connection:
            rows, total = await queries.activities(
                connection,
                _equal({of.kind: kind, of.county: county}),
                person=_person(actor),
                number=page,
                size=size,
            )
        return _page([_shown(row, actor, _SIGNED_UP) for row in rows], total, page, size)

    @routes.get("/activities/{activity_id}")
    async def activity(activity_id: UUID, actor: who) -> dict[str, Any]:
        async with engine.connect() as connection:
            found = await queries.activity(connection, activity_id, person=_person(actor))
        if found is None:
            raise errors.activity_unknown()
        return _shown(found, actor, _SIGNED_UP)

    @routes.get("/activities/{activity_id}/attendances")
    async def attendances(activity_id: UUID, actor: who, page: Number = 1, size: Size = 20) -> dict[str, Any]:
        require(actor, "staff", "simulation")
        async with engine.connect() as connection:
            if await queries.activity(connection, activity_id, person=None) is None:
                raise errors.activity_unknown()
            rows, total = await queries.attendances(connection, activity_id, number=page, size=size)
        return _page(rows, total, page, size)

    @routes.get("/consultations")
    async def consultations(
        actor: who,
        kind: ConsultationKind | None = None,
        county: County = None,
        page: Number = 1,
        size: Size = 20,
    ) -> dict[str, Any]:
        of = tables.consultations.c
        async with engine.connect() as connection:
            rows, total = await queries.consultations(
                connection,
                _equal({of.kind: kind, of.county: county}),
                person=_person(actor),
                number=page,
                size=size,
            )
        return _page([_shown(row, actor, _ANSWERED) for row in rows], total, page, size)

    @routes.get("/consultations/{consultation_id}")
    async def consultation(consultation_id: UUID, actor: who) -> dict[str, Any]:
        async with engine.connect() as connection:
            found = await queries.consultation(connection, consultation_id, person=_person(actor))
            if found is None:
                raise errors.consultation_unknown()
            shown = _shown(found, actor, _ANSWERED)
            if _is_staff(actor):
                shown["results"] = await queries.results(connection, found)
        return shown

    @routes.get("/consultations/{consultation_id}/opinions")
    async def opinions(
        consultation_id: UUID,
        actor: who,
        question: str | None = None,
        page: Number = 1,
        size: Size = 20,
    ) -> dict[str, Any]:
        require(actor, "staff", "simulation")
        async with engine.connect() as connection:
            found = await queries.consultation(connection, consultation_id, person=None)
            if found is None:
                raise errors.consultation_unknown()
            rows, total = await queries.opinions(connection, found, question=question, number=page, size=size)
        return _page(rows, total, page, size)

    @routes.get("/duties")
    async def duties(
        actor: who,
        state: DutyState | None = None,
        deputy: UUID | None = None,
        page: Number = 1,
        size: Size = 20,
    ) -> dict[str, Any]:
        of = tables.duties.c
        conditions = [*_equal({of.state: state, of.deputy_id: deputy}), *_seen(actor)]
        async with engine.connect() as connection:
            rows, total = await queries.duties(connection, conditions, number=page, size=size)
        return _page(rows, total, page, size)

    @routes.get("/duties/{duty_id}")
    async def duty(duty_id: UUID, actor: who) -> dict[str, Any]:
        async with engine.connect() as connection:
            found = await queries.duty(connection, duty_id)
            if found is None:
                raise errors.duty_unknown()
            if await queries.duty(connection, duty_id, _seen(actor)) is None:
                raise errors.not_your_duty()
        return found

    @routes.get("/figures")
    async def figures(actor: who) -> dict[str, Any]:
        require(actor, "staff", "operator", "simulation")
        async with engine.connect() as connection:
            return await queries.figures(connection)

    return routes
