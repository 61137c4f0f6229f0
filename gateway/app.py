"""The gateway's application, put together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse
from fastapi.routing import APIRoute
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.routing import Match
from starlette.types import Scope

from gateway import (
    browser,
    concerns,
    exports,
    following,
    open311,
    openapi,
    pages,
    places,
    reads,
    roster,
    stream,
    uploads,
    writes,
)
from gateway.commands import Caller, Commands
from gateway.edge import Edge
from gateway.intake import Intake
from gateway.residents import routes as residents
from gateway.residents.photos import Photos
from gateway.sealing import Seals
from gateway.services import Services
from gateway.settings import GatewaySettings
from gateway.stream import Hints
from gateway.uploads import Quarantine
from shared.http import problems
from shared.http.callers import whose
from shared.http.operations import health_router
from shared.messaging.clock import BusinessClock
from shared.messaging.outcomes import CommandPost
from shared.places import read_divisions
from shared.security.tokens import TokenVerifier
from shared.telemetry import metrics
from shared.telemetry.health import Health


@dataclass(frozen=True)
class Parts:
    """What the application is made of."""

    settings: GatewaySettings
    health: Health
    clock: BusinessClock
    verifier: TokenVerifier
    post: CommandPost
    services: Services
    hints: Hints
    quarantine: Quarantine


class QuickRoute(APIRoute):
    """A route that looks at its fixed beginning first: matching some seventy patterns was a third of a request."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **more: Any) -> None:
        super().__init__(path, endpoint, **more)
        self._beginning = path.partition("{")[0]

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Whether the route is the one asked for."""
        if not scope["path"].startswith(self._beginning):
            return Match.NONE, {}
        return super().matches(scope)


def build(parts: Parts) -> FastAPI:
    """The application, without its outermost layer (`Edge`)."""
    app = FastAPI(
        title="代表通 Daibiaotong",
        version="0.1.0",
        description="Writes become commands on Kafka; reads are asked of the services.",
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirect would repeat path and query
    )
    app.router.route_class = QuickRoute
    problems.install(app, residents.answer)

    async def caller(request: Request) -> Caller:
        token = browser.token_of(request)
        return Caller(await whose(token, parts.verifier), token)

    who: Callable[..., Awaitable[Caller]] = caller
    commands = Commands(parts.post, parts.clock, parts.settings, parts.quarantine.claim)
    seals = Seals(parts.services)
    writes.add(app, commands, seals, who)
    roster.add(app, commands, parts.services, parts.settings, who)
    uploading = uploads.Uploading(parts.quarantine)
    allowance = uploads.Allowance(parts.settings.photos_per_hour_max)
    uploads.add(app, uploading, allowance, who)
    intake = Intake(parts.services, parts.settings, caller)
    city = read_divisions(parts.settings.divisions_file)
    taking = concerns.Concerns(commands, seals, parts.services, intake, parts.settings)
    concerns.add(app, taking, intake, who)
    follower = following.Following(commands, seals, parts.services, intake, parts.settings)
    following.add(app, follower, residents.wrong)
    photos = Photos(uploading, allowance, intake, parts.settings)
    residents.add(app, taking, follower, intake, parts.services, city, photos)
    reads.add(app, parts.services, parts.health, who)
    exports.add(app, parts.services, city, parts.clock, who)
    stream.add(app, parts.hints, parts.settings, who)
    browser.add(app, parts.services, parts.settings)
    places.add(app, city, parts.clock)
    pages.add(app, pages.Pages(parts.settings.web_folder))

    georeport = open311.Parts(commands, seals, parts.services, parts.clock, parts.verifier)
    app.mount(open311.PREFIX, open311.door(georeport))

    @app.get("/metrics", include_in_schema=False)
    async def prometheus() -> PlainTextResponse:
        parts.health.stalled()
        return PlainTextResponse(generate_latest(metrics.REGISTRY), media_type=CONTENT_TYPE_LATEST)

    app.include_router(health_router(parts.health))
    app.add_middleware(Edge, settings=parts.settings, answer=residents.answer)
    openapi.complete(app)
    return app
