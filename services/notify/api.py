"""Read-only HTTP of notify: one's own inbox, and figures.

Invariant: there is no way to ask for somebody else's inbox.
"""

# No `from __future__ import annotations` here: FastAPI could not find `who`, which is made inside `router`.

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from sqlalchemy.ext.asyncio import AsyncEngine

from services.notify import queries
from services.notify.handlers import reader_of
from shared.contracts.envelope import Actor
from shared.host import WhoCalls
from shared.http.callers import require


def router(engine: AsyncEngine, caller: WhoCalls) -> APIRouter:
    """The routes."""
    routes = APIRouter()
    who = Annotated[Actor, Depends(caller)]

    @routes.get("/notices")
    async def notices(
        actor: who,
        unread: bool = False,
        page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
        size: Annotated[int, Query(ge=1, le=500)] = 20,
    ) -> dict[str, Any]:
        async with engine.connect() as connection:
            return await queries.page(
                connection, reader_of(actor), unread_only=unread, number=page, size=size
            )

    @routes.get("/figures")
    async def figures(actor: who) -> dict[str, Any]:
        require(actor, "staff", "operator", "simulation")
        async with engine.connect() as connection:
            return await queries.figures(connection)

    return routes
