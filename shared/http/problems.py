"""Errors over HTTP as RFC 9457 problem+json: a stable `code`, a sentence, and where the fault lies.

Invariants: no value that the caller sent is repeated, neither to the caller nor in the log (`errors` name
the fields that the caller sent, to the caller alone); an error that nobody expected ends here, because the
server would log its text, which may hold input.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.refusals import Refusal
from shared.telemetry.logging import logger

MEDIA_TYPE = "application/problem+json"
STATUS_BY_KIND = {"invalid": 422, "forbidden": 403, "not-found": 404, "conflict": 409, "failed": 500}
CODES = {
    400: "bad-request",
    401: "not-signed-in",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    413: "too-large",
    415: "unsupported-media-type",
}
"""The codes of errors that the framework raises, by their status."""
OTHER_CODE = "http-error"
"""The code of those of any other status."""

log = logger(__name__)


class Problem(Exception):  # noqa: N818 - an answer, not an accident
    """An answer other than yes. `errors` lists faults by place: {"place", "code"}."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: Sequence[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = errors
        self.headers = headers


def problem_response(problem: Problem) -> JSONResponse:
    """The problem as a response."""
    body: dict[str, Any] = {
        "type": f"urn:daibiaotong:problem:{problem.code}",
        "title": problem.code.replace("-", " "),
        "status": problem.status,
        "code": problem.code,
        "detail": problem.detail,
    }
    if problem.errors:
        body["errors"] = list(problem.errors)
    return JSONResponse(body, problem.status, dict(problem.headers or {}), MEDIA_TYPE)


Answering = Callable[[Request, Problem], Response]


def as_json(_: Request, problem: Problem) -> Response:
    """The problem for programs, whoever asked."""
    return problem_response(problem)


def install(app: FastAPI, answer: Answering = as_json) -> None:
    """Make every error of the application a problem; `answer` says it to who asked."""

    @app.exception_handler(Problem)
    async def _problem(request: Request, problem: Problem) -> Response:
        return answer(request, problem)

    @app.exception_handler(Refusal)
    async def _refusal(request: Request, refusal: Refusal) -> Response:
        return answer(request, Problem(STATUS_BY_KIND[refusal.kind], refusal.code, refusal.detail))

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> Response:
        errors = [{"place": ".".join(map(str, e["loc"])), "code": e["type"]} for e in error.errors()]
        if any(e["code"] == "json_invalid" for e in errors):
            return answer(request, Problem(400, "malformed-json", "The body is not JSON.", errors=errors))
        detail = "The request does not have the right form; see errors for the places."
        return answer(request, Problem(422, "invalid-request", detail, errors=errors))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        code = CODES.get(error.status_code, OTHER_CODE)
        problem = Problem(error.status_code, code, str(error.detail), headers=error.headers)
        return answer(request, problem)

    app.add_middleware(_LastResort, answer=answer)


class _LastResort:
    """Answers an error that nobody expected, and logs where it came from without what it says."""

    def __init__(self, app: ASGIApp, answer: Answering) -> None:
        self._app = app
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:  # noqa: BLE001 - whatever it is
            frames = traceback.walk_tb(error.__traceback__)
            places = [f"{frame.f_globals.get('__name__')}:{line}" for frame, line in frames]
            route = getattr(scope.get("route"), "path", "none")
            log.error("request-failed", route=route, error=type(error).__name__, places=places[-5:])  # noqa: TRY400
            if not begun:
                failed = Problem(500, "internal-error", "The server failed; the fault has been logged.")
                await self._answer(Request(scope), failed)(scope, receive, send)
