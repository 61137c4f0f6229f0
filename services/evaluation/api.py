"""Read-only HTTP of evaluation: scores, ranking, archive, rubrics and figures.

Invariant: a deputy sees their own score and archive; the ranking of all is for staff. Points are
integers in hundredths of a point.
"""

# No `from __future__ import annotations` here: FastAPI could not find `who`, which is made inside `router`.

from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.evaluation import errors, queries
from services.evaluation.domain import CHINA, Rubric, Schedule, Total, totals
from services.evaluation.store import EvaluationStore
from shared.contracts.envelope import Actor
from shared.contracts.identity import Level, PlaceCode
from shared.contracts.registry import Role
from shared.host import WhoCalls
from shared.http.callers import require

_EVERYTHING: tuple[Role, ...] = ("staff", "operator", "simulation")

Year = Annotated[
    int | None, Query(ge=1954, le=9999, description="calendar year; the last with a score by default")
]
Page = Annotated[int, Query(ge=1, le=1_000_000)]
Size = Annotated[int, Query(ge=1, le=500)]


def _only_own(actor: Actor, deputy_id: UUID) -> None:
    if not actor.roles.intersection(_EVERYTHING) and actor.person != str(deputy_id):
        raise errors.not_your_score()


def _nothing(rubric: Rubric | None) -> Total:
    """The score of a deputy without any fact."""
    return totals(rubric, {}) if rubric else Total(0, {}, {})


async def _year(connection: AsyncConnection, asked: int | None, deputy_id: UUID | None = None) -> int:
    return (
        asked or await queries.latest_year(connection, deputy_id) or datetime.now(UTC).astimezone(CHINA).year
    )


def _titles(schedule: Schedule) -> dict[tuple[str, int, str], dict[str, str]]:
    return {
        (rubric.name, rubric.version, item.key): {"title": item.title, "category": item.category}
        for rubric in schedule.rubrics
        for item in rubric.items
    }


def router(store: EvaluationStore, engine: AsyncEngine, caller: WhoCalls) -> APIRouter:
    """The routes."""
    routes = APIRouter()
    who = Annotated[Actor, Depends(caller)]

    @routes.get("/scores/{deputy_id}")
    async def score(deputy_id: UUID, actor: who, year: Year = None) -> dict[str, Any]:
        _only_own(actor, deputy_id)
        async with engine.connect() as connection:
            found_year = await _year(connection, year, deputy_id)
            rubric = (await store.read_schedule(connection)).in_year(found_year)
            found = await queries.score(connection, deputy_id, found_year, rubric)
        if found is None:
            raise errors.deputy_unknown()
        return {
            "deputy_id": deputy_id,
            "year": found_year,
            "total": found.total,
            "categories": found.categories,
            "rubric": {"name": rubric.name, "version": rubric.version} if rubric else None,
        }

    @routes.get("/ranking")
    async def ranking(
        actor: who,
        year: Year = None,
        level: Level | None = None,
        county: PlaceCode | None = None,
        page: Page = 1,
        size: Size = 50,
    ) -> dict[str, Any]:
        require(actor, *_EVERYTHING)
        async with engine.connect() as connection:
            found_year = await _year(connection, year)
            rubric = (await store.read_schedule(connection)).in_year(found_year)
            found = await queries.ranking(
                connection, found_year, _nothing(rubric), level=level, county=county, page=page, size=size
            )
        return {"items": found.items, "total": found.total, "page": page, "size": size, "year": found_year}

    @routes.get("/archive/{deputy_id}")
    async def archive(
        deputy_id: UUID,
        actor: who,
        year: Year = None,
        with_zero: Annotated[bool, Query(description="also what counts nothing (now)")] = False,
        page: Page = 1,
        size: Size = 50,
    ) -> dict[str, Any]:
        _only_own(actor, deputy_id)
        async with engine.connect() as connection:
            rows, total = await queries.archive(
                connection, deputy_id, year=year, with_zero=with_zero, page=page, size=size
            )
            titles = _titles(await store.read_schedule(connection))
        items = [{**row, **titles[row["rubric"], row["rubric_version"], row["item"]]} for row in rows]
        return {"items": items, "total": total, "page": page, "size": size}

    @routes.get("/rubrics")
    async def rubrics(actor: who) -> list[dict[str, Any]]:
        require(actor, *_EVERYTHING, "deputy")
        async with engine.connect() as connection:
            return await queries.rubrics(connection)

    @routes.get("/figures")
    async def figures(actor: who) -> dict[str, Any]:
        require(actor, *_EVERYTHING)
        async with engine.connect() as connection:
            return await queries.figures(connection)

    return routes
