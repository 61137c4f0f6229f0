"""Read-only HTTP of cases: lists, one case with its way, figures, and the key to seal words to.

Invariant: a deputy sees the cases that they filed or joined, a department those it holds or co-handles,
staff all; contact data are shown only to the deputy who took them.
"""

# No postponed annotations here: FastAPI could not find names that are made inside `router`.

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request
from pydantic import AwareDatetime
from sqlalchemy import ColumnElement, or_
from sqlalchemy.ext.asyncio import AsyncEngine

from services.cases import errors, queries, tables
from services.cases.domain import State
from services.cases.handlers import read_supplied, read_words
from services.cases.metrics import METRICS, REASONS, Figure, Metric, measure_groups
from shared.contracts.envelope import Actor
from shared.contracts.identity import DepartmentCode, PlaceCode
from shared.host import WhoCalls
from shared.http.callers import require
from shared.refusals import Refusal
from shared.security.sealing import Opener


def _visible(actor: Actor) -> list[ColumnElement[bool]]:
    cases = tables.cases.c
    if actor.roles & {"staff", "operator", "simulation"}:
        return []
    if "department" in actor.roles:
        held = cases.department == actor.organisation
        return [or_(held, cases.co_handlers.contains([actor.organisation]))]
    if "deputy" in actor.roles:
        own = cases.deputy_id == UUID(actor.person)
        return [or_(own, cases.followers.contains([actor.person]))]
    raise Refusal("role-not-allowed", "Your role has no cases to see.", "forbidden")


def _shown(row: dict[str, Any], opener: Opener, actor: Actor) -> dict[str, Any]:
    sealed = row.pop("sealed")
    try:
        words = read_words(opener, sealed)
    except Refusal:  # the content key was destroyed: the words are erased, the case stays
        return {**row, "title": None, "text": None, "photos": [], "erased": True}
    shown = {**row, "title": words.title, "text": words.text}
    for step in shown.get("steps", ()):
        if (supplied := step.pop("sealed")) is not None:
            step["text"] = _supplied(opener, supplied)
    if actor.person == str(row["deputy_id"]):
        shown["contact"] = words.contact
    return shown


def _supplied(opener: Opener, sealed: str) -> str | None:
    try:
        return read_supplied(opener, sealed)
    except Refusal:  # erased, as above
        return None


def _indicator(metric: Metric, figure: Figure) -> dict[str, Any]:
    return {
        "key": metric.key,
        "title": metric.title.zh,
        "title_en": metric.title.en,
        "numerator": figure.numerator,
        "denominator": figure.denominator,
        "ratio": figure.ratio,
        "excluded": {
            reason: {"title": REASONS[reason].zh, "number": number}
            for reason, number in figure.excluded.items()
        },
    }


def router(opener: Opener, engine: AsyncEngine, caller: WhoCalls) -> APIRouter:
    """The routes."""
    routes = APIRouter()
    who = Annotated[Actor, Depends(caller)]

    @routes.get("/sealing-key")
    async def sealing_key() -> dict[str, Any]:
        return opener.public_jwk

    @routes.get("/cases")
    async def cases(
        actor: who,
        state: State | None = None,
        department: DepartmentCode | None = None,
        deputy: UUID | None = None,
        county: PlaceCode | None = None,
        category: Annotated[str | None, Query(max_length=40)] = None,
        merged_into: UUID | None = None,
        overdue: bool = False,
        sort: Literal["newest", "deadline"] = "newest",
        page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
        size: Annotated[int, Query(ge=1, le=500)] = 20,
    ) -> dict[str, Any]:
        columns = tables.cases.c
        asked = {
            columns.state: state,
            columns.department: department,
            columns.deputy_id: deputy,
            columns.county: county,
            columns.category: category,
            columns.merged_into: merged_into,
        }
        conditions = _visible(actor) + [
            column == value for column, value in asked.items() if value is not None
        ]
        if overdue:
            conditions.append(columns.chased >= queries.OVERDUE)
        async with engine.connect() as connection:
            rows, total = await queries.page(connection, conditions, sort=sort, number=page, size=size)
        return {
            "items": [_shown(row, opener, actor) for row in rows],
            "total": total,
            "page": page,
            "size": size,
        }

    @routes.get("/cases/{case_id}")
    async def case(case_id: UUID, actor: who) -> dict[str, Any]:
        async with engine.connect() as connection:
            found = await queries.one(connection, case_id)
            photos = await queries.photos(connection, case_id)
        if found is None:
            raise errors.case_unknown()
        found["photos"] = photos
        is_staff = bool(actor.roles & {"staff", "operator", "simulation"})
        own = actor.person in (str(found["deputy_id"]), *found["followers"])
        holds = "department" in actor.roles and (
            actor.organisation in (found["department"], *found["co_handlers"])
        )
        if not (is_staff or own or holds):
            raise errors.not_your_case()
        return _shown(found, opener, actor)

    @routes.get("/indicators")
    async def indicators(
        request: Request,
        actor: who,
        county: PlaceCode | None = None,
        department: DepartmentCode | None = None,
        filed_from: AwareDatetime | None = None,
        filed_until: AwareDatetime | None = None,
        as_of: AwareDatetime | None = None,
    ) -> dict[str, Any]:
        require(actor, "staff", "operator", "simulation")
        columns = tables.cases.c
        asked = {columns.county: county, columns.department: department}
        conditions = [column == value for column, value in asked.items() if value is not None]
        if filed_from is not None:
            conditions.append(columns.filed_at >= filed_from)
        if filed_until is not None:
            conditions.append(columns.filed_at < filed_until)
        moment = as_of or request.app.state.clock.now()
        async with engine.connect() as connection:
            groups = await queries.metric_groups(connection, conditions, moment)
        return {
            "as_of": moment,
            "indicators": [_indicator(metric, measure_groups(metric, groups, moment)) for metric in METRICS],
        }

    @routes.get("/figures")
    async def figures(actor: who) -> dict[str, Any]:
        require(actor, "staff", "operator", "simulation")
        async with engine.connect() as connection:
            return await queries.figures(connection)

    return routes
