"""Read-only HTTP of webhooks: a department's own addresses and what was delivered to them.

Invariant: a department is shown its own and nobody else's; another's address is as unknown as one that
does not exist. Bodies and secrets are shown to nobody.
"""

# No postponed annotations here: FastAPI could not find names that are made inside `router`.

from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from services.cases import tables
from services.cases.webhooks import endpoints
from shared.contracts.envelope import Actor
from shared.database.rows import dictionaries
from shared.host import WhoCalls
from shared.http.callers import require

_OF_WEBHOOK = [column for column in tables.webhooks.c if column.name not in ("sealed", "version")]
_OF_DELIVERY = [
    column for column in tables.webhook_deliveries.c if column.name not in ("sealed", "webhook_id", "number")
]


def _own(actor: Actor) -> list[ColumnElement[bool]]:
    """Which addresses a caller may see."""
    require(actor, "department", "operator")
    active = tables.webhooks.c.state == "active"
    if "operator" in actor.roles:
        return [active]
    return [active, tables.webhooks.c.department == actor.organisation]


def router(engine: AsyncEngine, caller: WhoCalls) -> APIRouter:
    """The routes."""
    routes = APIRouter()
    who = Annotated[Actor, Depends(caller)]

    @routes.get("/webhooks")
    async def webhooks(
        actor: who,
        page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
        size: Annotated[int, Query(ge=1, le=500)] = 20,
    ) -> dict[str, Any]:
        conditions = _own(actor)
        async with engine.connect() as connection:
            total = await connection.scalar(
                select(func.count()).select_from(tables.webhooks).where(*conditions)
            )
            rows = await connection.execute(
                select(*_OF_WEBHOOK)
                .where(*conditions)
                .order_by(tables.webhooks.c.registered_at, tables.webhooks.c.id)
                .limit(size)
                .offset((page - 1) * size)
            )
            return {"items": dictionaries(rows), "total": int(total or 0), "page": page, "size": size}

    @routes.get("/webhooks/{webhook_id}/deliveries")
    async def deliveries(
        webhook_id: UUID,
        actor: who,
        state: Literal["pending", "delivered", "dead"] | None = None,
        page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
        size: Annotated[int, Query(ge=1, le=500)] = 20,
    ) -> dict[str, Any]:
        conditions = [*_own(actor), tables.webhooks.c.id == webhook_id]
        table = tables.webhook_deliveries
        wanted = [table.c.webhook_id == webhook_id]
        if state is not None:
            wanted.append(table.c.state == state)
        async with engine.connect() as connection:
            if await connection.scalar(select(tables.webhooks.c.id).where(*conditions)) is None:
                endpoints.of_sender(None, None)
            total = await connection.scalar(select(func.count()).select_from(table).where(*wanted))
            rows = await connection.execute(
                select(*_OF_DELIVERY)
                .where(*wanted)
                .order_by(table.c.number.desc())
                .limit(size)
                .offset((page - 1) * size)
            )
            return {"items": dictionaries(rows), "total": int(total or 0), "page": page, "size": size}

    return routes
