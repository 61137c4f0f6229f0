"""The routes that every service has for operators: health, metrics, contract, outcomes, dead letters."""

# No `from __future__ import annotations` here: FastAPI could not find `who`, which is made inside `operations_router`.

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any, Protocol
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from shared.contracts.asyncapi import document
from shared.contracts.envelope import Actor
from shared.database.rows import dictionaries
from shared.http.callers import require
from shared.http.problems import Problem
from shared.messaging import deadletters
from shared.telemetry import metrics
from shared.telemetry.health import Health

_BACKLOG = """
SELECT count(*) AS rows, coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 AS oldest,
       count(*) FILTER (WHERE parked_since IS NOT NULL) AS parked,
       (SELECT count(*) FROM dead_letters WHERE state <> 'replayed') AS dead
FROM outbox
"""


class Lagging(Protocol):
    """A consumer that knows how far behind it is."""

    @property
    def group(self) -> str: ...  # noqa: D102
    @property
    def lag(self) -> int | None: ...  # noqa: D102


def health_router(health: Health) -> APIRouter:
    """`/livez` and `/readyz`."""
    router = APIRouter(include_in_schema=False)

    @router.get("/livez")
    async def livez() -> JSONResponse:
        stalled = health.stalled()
        return JSONResponse({"alive": not stalled, "stalled": stalled}, 503 if stalled else 200)

    @router.get("/readyz")
    async def readyz() -> JSONResponse:
        reasons = health.unready()
        return JSONResponse({"ready": not reasons, "reasons": reasons}, 503 if reasons else 200)

    return router


def operations_router(
    *,
    service: str,
    engine: AsyncEngine,
    health: Health,
    consumers: Callable[[], Sequence[Lagging]],
    caller: Callable[..., Awaitable[Actor]],
    queues: Mapping[str, str] | None = None,
) -> APIRouter:
    """All operator routes of one service. `queues` are tables by name whose rows are work still to be done."""
    router = APIRouter()
    router.include_router(health_router(health))
    who = Annotated[Actor, Depends(caller)]

    async def backlog(connection: AsyncConnection) -> dict[str, Any]:
        found = dict((await connection.exec_driver_sql(_BACKLOG)).mappings().one())
        metrics.OUTBOX_ROWS.set(found["rows"])
        metrics.OUTBOX_OLDEST.set(found["oldest"])
        metrics.OUTBOX_PARKED.set(found["parked"])
        metrics.DEAD_LETTERS_OPEN.set(found["dead"])
        return found

    def lags() -> dict[str, int | None]:
        found = {consumer.group: consumer.lag for consumer in consumers()}
        for group, lag in found.items():
            if lag is not None:
                metrics.LAG.labels(group).set(lag)
        return found

    @router.get("/metrics", include_in_schema=False)
    async def prometheus() -> PlainTextResponse:
        lags()
        health.stalled()
        try:
            async with engine.connect() as connection:
                await backlog(connection)
        except (SQLAlchemyError, OSError, TimeoutError):
            metrics.OUTBOX_ROWS.set(float("nan"))  # unknown is not zero
        return PlainTextResponse(generate_latest(metrics.REGISTRY), media_type=CONTENT_TYPE_LATEST)

    @router.get("/asyncapi", include_in_schema=False)
    async def asyncapi() -> dict[str, Any]:
        return document(service)

    @router.get("/status")
    async def status(actor: who) -> dict[str, Any]:
        require(actor, "operator", "simulation")
        # What comes first in a message's way is read first: else it could slip past between two readings.
        left = lags()
        async with engine.connect() as connection:
            for name, table in (queues or {}).items():
                left[name] = (await connection.exec_driver_sql(f"SELECT count(*) FROM {table}")).scalar_one()
            found = await backlog(connection)
        return {
            "service": service,
            "ready": not health.unready(),
            "reasons": health.unready(),
            "lag": left,
            "outbox": found["rows"],
            "outbox_oldest_seconds": found["oldest"],
            "outbox_parked": found["parked"],
            "dead_letters": found["dead"],
        }

    @router.get("/commands/{command_id}")
    async def outcome(command_id: UUID, actor: who) -> JSONResponse:
        async with engine.connect() as connection:
            rows = await connection.exec_driver_sql(
                "SELECT outcome FROM inbox WHERE key = $1", (f"{command_id}/{actor.person}",)
            )
            row = rows.first()
        if row is None or row.outcome is None:
            raise Problem(404, "no-outcome-yet", "You sent no such command, or it has not been handled yet.")
        return JSONResponse(row.outcome)

    @router.get("/messages/{message_id}")
    async def handled(message_id: UUID, actor: who) -> list[dict[str, Any]]:
        require(actor, "operator")
        async with engine.connect() as connection:
            rows = await connection.exec_driver_sql(
                "SELECT type, state, handled_at FROM inbox WHERE key >= $1 AND key < $1 || '0'",
                (str(message_id),),
            )
            return dictionaries(rows)

    @router.get("/dead-letters")
    async def letters(
        actor: who,
        state: str | None = None,
        page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
        size: Annotated[int, Query(ge=1, le=500)] = 50,
    ) -> dict[str, Any]:
        require(actor, "operator")
        async with engine.connect() as connection:
            items, total = await deadletters.listed(connection, state=state, page=page, size=size)
        return {"items": items, "total": total, "page": page, "size": size}

    @router.get("/dead-letters/{letter_id}")
    async def letter(letter_id: UUID, actor: who) -> dict[str, Any]:
        require(actor, "operator")
        async with engine.connect() as connection:
            found = await deadletters.shown(connection, str(letter_id))
        if found is None:
            raise Problem(404, "not-found", "There is no such dead letter.")
        return found

    return router
