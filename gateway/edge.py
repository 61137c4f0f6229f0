"""What happens around every request: body limit, security headers, timing, access log. Plain ASGI, for speed.

Invariant: what is counted and logged is the route's template, never the path or query that was asked for.
"""

from __future__ import annotations

import re
import time

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.settings import GatewaySettings
from shared.http.problems import Answering, Problem, as_json
from shared.telemetry import metrics
from shared.telemetry.logging import logger

ROSTER_PATH = "/api/roster-imports"
PHOTO_PATH = "/api/photos"
DOCUMENT_PATH = "/api/documents"
STREAM_PATH = "/api/events"
_CONCERN_PATH = re.compile(r"/r/([0-9A-Za-z-]{1,20}|concerns/[0-9A-Za-z-]{1,60}/supply)")
"""Where residents' forms go that may bring photos."""
_PROBES = frozenset({"/livez", "/readyz", "/metrics"})
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cache-control", b"no-store"),
]
_LENGTH_DIGITS_MAX = 15

log = logger(__name__)


class Edge:
    """The outermost layer."""

    def __init__(self, app: ASGIApp, settings: GatewaySettings, answer: Answering = as_json) -> None:
        self._app = app
        self._answer = answer
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 0

        async def dressed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message.setdefault("headers", [])
                said = {name for name, _ in headers}  # a page has a policy of its own
                headers.extend(header for header in _HEADERS if header[0] not in said)
            await send(message)

        problem = self._too_large(scope)
        if problem is not None:
            await self._answer(Request(scope), problem)(scope, receive, dressed)
        else:
            await self._app(scope, receive, dressed)
        _note(scope, status, time.perf_counter() - started)

    def _too_large(self, scope: Scope) -> Problem | None:
        """Bodies must say their length, so that none is read in vain."""
        headers = dict(scope["headers"])
        if b"transfer-encoding" in headers:
            return Problem(411, "length-required", "Send the body with a Content-Length.")
        length = headers.get(b"content-length", b"0")
        settings = self._settings
        larger = {
            ROSTER_PATH: settings.roster_bytes_max,
            PHOTO_PATH: settings.photo_bytes_max,
            DOCUMENT_PATH: settings.photo_bytes_max,
        }
        most = larger.get(scope["path"], settings.body_bytes_max)
        is_form = headers.get(b"content-type", b"").startswith(b"multipart/form-data")
        if is_form and _CONCERN_PATH.fullmatch(scope["path"]):
            most = settings.concern_bytes_max
        if len(length) > _LENGTH_DIGITS_MAX or not length.isdigit() or int(length) > most:
            return Problem(413, "too-large", f"A body here may have at most {most:,} bytes.")
        return None


def _note(scope: Scope, status: int, seconds: float) -> None:
    """Count and log one answered request; how long a stream was listened to says nothing of our speed."""
    route = getattr(scope.get("route"), "path", "none")
    if route != STREAM_PATH:
        metrics.HTTP_SECONDS.labels(route, str(status)).observe(seconds)
    if route in _PROBES:
        return
    facts = {"method": scope["method"], "route": route, "status": status, "ms": round(seconds * 1000, 1)}
    command_id = scope.get("state", {}).get("command_id")
    if command_id is not None:
        facts["correlationid"] = command_id
    log.info("request", **facts)
