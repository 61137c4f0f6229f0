"""The gateway without backends: its application behind a tiny ASGI client, a hand-made post and services."""

from __future__ import annotations

import asyncio
import atexit
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from uuid import UUID, uuid4

import aiohttp
from fastapi import FastAPI
from pydantic import SecretStr

from gateway.app import Parts, build
from gateway.services import Answer, Services
from gateway.settings import GatewaySettings
from gateway.stream import Hints
from gateway.uploads import Quarantine
from shared.contracts.envelope import Envelope
from shared.contracts.operations import CommandOutcome, Problem
from shared.contracts.registry import Role
from shared.host import serve_http
from shared.http.problems import Problem as HttpProblem
from shared.messaging.clock import BusinessClock
from shared.messaging.outcomes import CommandPost
from shared.security.sealing import Opener, new_private_key
from shared.security.tokens import TokenVerifier
from shared.telemetry.health import Health
from shared.testing.issuer import Issuer
from shared.testing.wait import wait_until

NAMES = ("identity", "cases", "participation", "learning", "evaluation", "notify")


@cache
def quarantine_folder() -> Path:
    """Where gateways of this test run keep uploads."""
    folder = tempfile.mkdtemp(prefix="quarantine-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def settings(**more: Any) -> GatewaySettings:
    """Settings of a gateway without backends."""
    given: dict[str, Any] = {
        "environment": "test",
        "kafka_bootstrap_servers": "none:0",
        "http_port": 0,
        "jwks_url": "http://127.0.0.1:9/none",
        "service_urls": {},
        "digest_key": SecretStr("a digest key of tests"),
        "quarantine_url": quarantine_folder().as_uri(),
        "intake_secret": SecretStr("a key of tests for follow links"),
        "intake_client_secret": SecretStr("a client secret of tests"),
    }
    return GatewaySettings(**{**given, **more})


class HandVerifier(TokenVerifier):
    """Verifies with the keys it was given; fetching finds nothing new, or fails while `away`."""

    away = False

    async def fetch_keys(self) -> None:
        if self.away:
            raise aiohttp.ClientConnectionError


class HandPost(CommandPost):
    """Takes commands and answers each with `outcome`; or raises `failure`."""

    def __init__(self, made_with: GatewaySettings) -> None:
        super().__init__(made_with, Health())
        self.clear()

    def clear(self) -> None:
        self.sent: list[tuple[str, Envelope]] = []
        self.waits: list[float] = []
        self.outcome: Callable[[Envelope], CommandOutcome | None] = accepted
        self.failure: Exception | None = None

    async def send(self, topic: str, command: Envelope, *, wait_seconds: float) -> CommandOutcome | None:
        self.waits.append(wait_seconds)
        if self.failure is not None:
            raise self.failure
        self.sent.append((topic, command))
        return self.outcome(command)


def accepted(command: Envelope) -> CommandOutcome:
    """The service took the command."""
    return CommandOutcome(
        command_id=command.id,
        actor="somebody",
        state="accepted",
        fingerprint="f",
        subject=command.subject,
        version=3,
    )


def refused(
    kind: str, *, code: str = "a-code", state: str = "rejected"
) -> Callable[[Envelope], CommandOutcome]:
    """The service refused the command, or failed at it."""

    def outcome(command: Envelope) -> CommandOutcome:
        return CommandOutcome.model_validate(
            {
                **accepted(command).model_dump(),
                "state": state,
                "version": None,
                "problem": Problem.model_validate(
                    {"code": code, "kind": kind, "detail": "What is wrong."}
                ).model_dump(),
            }
        )

    return outcome


class HandServices(Services):
    """Answers questions by hand; `asked` keeps them. Cases and identity have keys to seal to."""

    def __init__(self) -> None:
        super().__init__({name: [] for name in NAMES})
        self.opener = Opener(new_private_key())
        self.clear()

    def clear(self) -> None:
        self.asked: list[tuple[str, str, str]] = []
        self.tokens: list[str | None] = []
        self.bodies: list[Any] = []
        self.patience: list[float] = []
        self.away: set[str] = set()
        self.answers: dict[tuple[str, str], Answer] = {}

    async def ask(
        self,
        service: str,
        path: str,
        *,
        token: str | None = None,
        query: str = "",
        form: Mapping[str, str] | None = None,
        body: Any = None,
        seconds: float = 10,
    ) -> Answer:
        self.asked.append((service, path, query))
        self.tokens.append(token)
        self.bodies.append(form or body)
        self.patience.append(seconds)
        if service in self.away:
            raise HttpProblem(503, "service-away", "It is away.")
        if path == "/sealing-key":
            return _json(200, self.opener.public_jwk)
        return self.answers.get((service, path)) or _json(200, {"path": path})


def _json(status: int, content: Any) -> Answer:
    return Answer(status, {"Content-Type": "application/json"}, json.dumps(content).encode())


@dataclass(frozen=True)
class Said:
    """What the gateway answered."""

    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw)

    @property
    def code(self) -> str:
        """The stable code of a problem, after a look at its form (RFC 9457)."""
        assert self.headers["content-type"] == "application/problem+json"
        assert self.body["status"] == self.status
        return str(self.body["code"])


async def ask(
    app: FastAPI,
    method: str,
    target: str,
    *,
    headers: Sequence[tuple[str, str]] = (),
    body: bytes = b"",
) -> Said:
    """One request to an application, as a server would hand it on."""
    raw_path, _, query = target.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(raw_path),
        "raw_path": raw_path.encode(),
        "query_string": query.encode("latin-1"),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    told: list[dict[str, Any]] = []
    left = [{"type": "http.request", "body": body, "more_body": False}]
    answered = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if left:
            return left.pop()
        await answered.wait()  # who asks stays until the answer is whole
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        told.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body"):
            answered.set()

    await app(scope, receive, send)
    found = {name.decode(): value.decode("latin-1") for name, value in told[0]["headers"]}
    return Said(told[0]["status"], found, b"".join(part.get("body", b"") for part in told[1:]))


@dataclass
class Door:
    """A gateway to knock at, and what stands behind it."""

    app: FastAPI
    post: HandPost
    services: HandServices
    issuer: Issuer
    verifier: HandVerifier
    hints: Hints
    person: UUID = field(default_factory=uuid4)

    def token(self, *roles: Role, **more: Any) -> str:
        return self.issuer.token(self.person, *roles, **more)

    async def ask(
        self,
        method: str,
        target: str,
        *,
        role: Role | None = "staff",
        token: str | None = None,
        content: Any = None,
        raw: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Said:
        """One request as somebody with a role (None = not signed in), or with a token."""
        given: dict[str, str] = {}
        if token is None and role is not None:
            token = self.token(role)
        if token is not None:
            given["authorization"] = f"Bearer {token}"
        body = raw if raw is not None else (json.dumps(content).encode() if content is not None else b"")
        if body:
            given |= {"content-type": "application/json", "content-length": str(len(body))}
        given |= headers or {}
        return await ask(self.app, method, target, headers=list(given.items()), body=body)


@asynccontextmanager
async def served(app: FastAPI) -> AsyncIterator[str]:
    """The application behind a real server; gives its address."""
    server, task = await serve_http(app, "127.0.0.1", 0)

    async def started() -> bool:
        return server.started

    await wait_until(started, what="the server")
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    yield f"http://{host}:{port}"
    server.should_exit = True
    await task


def door(**more: Any) -> Door:
    """A gateway without backends; `more` are settings. One is built per settings, and cleared for each use."""
    found = _built(tuple(sorted(more.items())))
    found.post.clear()
    found.services.clear()
    found.verifier.away = False
    return found


@cache
def _built(more: tuple[tuple[str, Any], ...]) -> Door:
    found = settings(**dict(more))
    issuer = Issuer()
    verifier = HandVerifier(found.jwks_url)
    verifier.use_keys(issuer.keys)
    post, services, hints = HandPost(found), HandServices(), Hints(found)
    clock = BusinessClock("append")
    app = build(Parts(found, Health(), clock, verifier, post, services, hints, Quarantine(found)))
    return Door(app, post, services, issuer, verifier, hints)
