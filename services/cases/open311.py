"""What the gateway's Open311 door asks of this service: categories, cases by date, steps by date.

Invariant: what a caller sees here is what `api` shows them, by the same conditions.
"""

# No postponed annotations here: FastAPI could not find names that are made inside `router`.

from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime
from sqlalchemy.ext.asyncio import AsyncEngine

from services.cases import api, queries, tables
from shared.contracts.cases import FINISHED
from shared.contracts.envelope import Actor
from shared.host import WhoCalls
from shared.security.sealing import Opener

_ENDED = sorted(FINISHED)
_MOST = 1000


def router(
    words: Mapping[str, Sequence[str]], opener: Opener, engine: AsyncEngine, caller: WhoCalls
) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/open311")
    who = Annotated[Actor, Depends(caller)]

    @routes.get("/categories")
    async def categories() -> dict[str, Any]:
        return {"items": [{"category": code, "words": list(found)} for code, found in words.items()]}

    @routes.get("/cases")
    async def cases(
        actor: who,
        filed_from: AwareDatetime,
        filed_until: AwareDatetime,
        ended: bool | None = None,
        category: Annotated[list[str] | None, Query(max_length=50)] = None,
        page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
        size: Annotated[int, Query(ge=1, le=_MOST)] = _MOST,
    ) -> dict[str, Any]:
        columns = tables.cases.c
        conditions = [
            *api.visible(actor),
            columns.filed_at >= filed_from,
            columns.filed_at <= filed_until,
        ]
        if ended is not None:
            conditions.append(columns.state.in_(_ENDED) if ended else columns.state.not_in(_ENDED))
        if category is not None:
            conditions.append(columns.category.in_(category))
        async with engine.connect() as connection:
            total, _ = await queries.total(connection, conditions)
            rows = await queries.page(
                connection, conditions, skip=(page - 1) * size, size=size, also=[columns.photos]
            )
        return {"items": [api.shown(row, opener) for row in rows], "total": total}

    @routes.get("/steps")
    async def steps(
        actor: who,
        since: AwareDatetime,
        until: AwareDatetime,
        case: UUID | None = None,
        size: Annotated[int, Query(ge=1, le=_MOST)] = _MOST,
    ) -> dict[str, Any]:
        conditions = [
            *api.visible(actor),
            tables.case_steps.c.at >= since,
            tables.case_steps.c.at <= until,
        ]
        if case is not None:
            conditions.append(tables.cases.c.id == case)
        async with engine.connect() as connection:
            return {"items": await queries.steps(connection, conditions, most=size)}

    return routes
