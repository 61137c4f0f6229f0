"""The OpenAPI document: what FastAPI cannot know of the routes, and the committed copy.

`python -m gateway.openapi write` writes `gateway/openapi.json`; `check` fails (exit 1) when it differs.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from gateway.edge import DOCUMENT_PATH, PHOTO_PATH

FILE = Path(__file__).with_name("openapi.json")

CONCERN = "/api/concerns/{receipt}"
OF_RESIDENTS = frozenset(
    {
        "/api/codes/{code}/concerns",
        *(f"{CONCERN}/{act}" for act in ("supply", "reopen", "rate", "withdraw", "erase", "close-link")),
    }
)
"""Commands of residents, who have no token; where no outcome is there yet, the request is sent again."""
OF_CONCERNS = frozenset({"/api/codes/{code}/concerns", "/api/concerns"})
"""Commands that bring a concern: their answer alone has its receipt number and its follow link."""
PUBLIC = OF_RESIDENTS | {
    "/api/sign-in",
    "/api/session",
    "/api/session/renewal",
    "/api/token",
    "/api/codes/{code}",
    "/api/surroundings",
    "/api/concern-notice",
    "/api/concerns/open",
    CONCERN,
    "/f/{secret}",
}
"""Routes that need no token."""
NO_COMMANDS = frozenset(
    {
        "/api/sign-in",
        "/api/session",
        "/api/session/renewal",
        "/api/token",
        "/api/concerns/open",
        "/api/cases/similar",
        "/api/rubric-checks",
        "/api/rubric-simulations",
        "/api/lesson-previews",
        "/api/routing-checks",
        "/api/routing-replays",
        PHOTO_PATH,
        DOCUMENT_PATH,
    }
)
"""POSTs that are no commands."""

_PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457; `code` is stable",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"place": {"type": "string"}, "code": {"type": "string"}},
            },
        },
    },
}
_ACCEPTED: dict[str, Any] = {
    "type": "object",
    "description": "an accepted command: the thing's id and its version afterwards",
    "required": ["id", "command_id", "version"],
    "properties": {
        "id": {"type": "string"},
        "command_id": {"type": "string", "format": "uuid"},
        "version": {"type": ["integer", "null"]},
    },
}
_TAKEN_IN: dict[str, Any] = {
    "description": "a concern that was taken in: its receipt number, which is its id here, and its follow link",
    "allOf": [
        {"$ref": "#/components/schemas/Accepted"},
        {
            "type": "object",
            "required": ["receipt", "follow"],
            "properties": {"receipt": {"type": "string"}, "follow": {"type": "string"}},
        },
    ],
}
_PENDING: dict[str, Any] = {
    "description": "No outcome yet: ask again at `Location`",
    "headers": {"Location": {"schema": {"type": "string"}}},
}
_PENDING_WITHOUT_TOKEN: dict[str, Any] = {
    "description": "No outcome yet: send the same again with its `command_id` as Idempotency-Key",
    "headers": {"Retry-After": {"schema": {"type": "integer"}}},
}
_COMMAND_HEADERS: list[dict[str, Any]] = [
    {
        "name": "Idempotency-Key",
        "in": "header",
        "required": False,
        "description": "the command's id; the same id again acts once and gets the first outcome",
        "schema": {"type": "string", "format": "uuid"},
    },
    {
        "name": "Simulated-Time",
        "in": "header",
        "required": False,
        "description": "business time; only for the simulation, where it is allowed",
        "schema": {"type": "string", "format": "date-time"},
    },
]


def complete(app: FastAPI) -> None:
    """Let the application's document say what holds for all routes: tokens, problems, commands' answers."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            found = generate()
            components = found.setdefault("components", {})
            components["securitySchemes"] = {
                "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
            }
            schemas = components.setdefault("schemas", {})
            schemas |= {"Problem": _PROBLEM, "Accepted": _ACCEPTED, "TakenIn": _TAKEN_IN}
            for name in ("HTTPValidationError", "ValidationError"):  # FastAPI's own form, never sent
                schemas.pop(name, None)
            for path, operations in found["paths"].items():
                for method, operation in operations.items():
                    _complete(operation, path, is_write=method != "get")
        return app.openapi_schema or found

    app.openapi = openapi  # type: ignore[method-assign]  # the way that FastAPI names for it


def _complete(operation: dict[str, Any], path: str, *, is_write: bool) -> None:
    operation["security"] = [] if path in PUBLIC else [{"token": []}]
    responses = operation["responses"]
    responses.pop("422", None)
    responses["default"] = {
        "description": "A problem",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if not is_write or path in NO_COMMANDS:
        return
    operation["parameters"] = [*operation.get("parameters", []), *_COMMAND_HEADERS]
    responses["202"] = _PENDING_WITHOUT_TOKEN if path in OF_RESIDENTS | OF_CONCERNS else _PENDING
    if path != "/api/roster-imports":
        name = "TakenIn" if path in OF_CONCERNS else "Accepted"
        content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
        responses["200"] = {"description": "Accepted", "content": content}


def text() -> str:
    """The document as it is committed."""
    from gateway.app import Parts, build
    from gateway.services import Services
    from gateway.settings import GatewaySettings
    from gateway.stream import Hints
    from gateway.uploads import Quarantine
    from shared.messaging.clock import BusinessClock
    from shared.messaging.outcomes import CommandPost
    from shared.security.tokens import TokenVerifier
    from shared.telemetry.health import Health

    settings = GatewaySettings.model_validate(
        {
            "kafka_bootstrap_servers": "none:0",
            "http_port": 0,
            "jwks_url": "http://none",
            "service_urls": {},
            "digest_key": "none",
            "quarantine_url": "file:///none",
            "intake_secret": "none none none none",
            "intake_client_secret": "none",
        }
    )
    health = Health()
    parts = Parts(
        settings=settings,
        health=health,
        clock=BusinessClock("append"),
        verifier=TokenVerifier(settings.jwks_url),
        post=CommandPost(settings, health),
        services=Services({}),
        hints=Hints(settings),
        quarantine=Quarantine(settings),
    )
    return json.dumps(build(parts).openapi(), ensure_ascii=False, indent=1) + "\n"


if __name__ == "__main__":
    if sys.argv[1:] == ["write"]:
        FILE.write_text(text(), "utf-8")
    elif not FILE.exists() or FILE.read_text("utf-8") != text():
        sys.exit("gateway/openapi.json differs from the code: run `python -m gateway.openapi write`")
