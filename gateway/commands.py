"""From a request to a command on Kafka and back to an answer.

Invariants: the id that the client chose (`Idempotency-Key`) is the command's id, so that a repetition
acts once and gets the first outcome again; the digest of the plain body, not of the sealed one, tells a
repetition from another command; no text leaves here that a database or a log cannot keep.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal
from uuid import UUID

from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from fastapi import Request
from fastapi.responses import Response
from pydantic import BaseModel
from pydantic_core import to_json
from uuid6 import uuid7

from gateway.settings import GatewaySettings
from shared.contracts.envelope import Actor, Envelope
from shared.contracts.operations import CommandOutcome
from shared.contracts.registry import EVERY_SERVICE, Contract, declaration_of
from shared.http.problems import STATUS_BY_KIND, Problem
from shared.messaging.clock import BusinessClock
from shared.messaging.outcomes import CommandPost, TooManyWaiting
from shared.telemetry import tracing

Kind = Literal["photo", "document"]
"""What is uploaded before a command names it by its digest: a photo 照片, a document 文件."""
KINDS: tuple[Kind, ...] = ("photo", "document")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
"""Control characters but tab and line ends: no database text may hold NUL, and nobody types the others."""
_YEARS = range(1954, 2200)
"""From the first people's congress; far ahead of any term, and inside what every library can compute with."""


@dataclass(frozen=True)
class Caller:
    """A signed-in person and the token that proves it."""

    actor: Actor
    token: str = field(repr=False)


@dataclass(frozen=True)
class Command:
    """What to send: the contract, its JSON-ready `data`, and the aggregate's id.

    `plain` is the content before sealing where `data` is sealed; a repetition is known by it. `service`
    is named only for commands that every service understands.
    """

    contract: type[Contract]
    data: dict[str, Any] = field(repr=False)
    subject: str
    plain: Mapping[str, Any] | None = field(default=None, repr=False)
    service: str | None = None

    @property
    def owner(self) -> str:
        """The service that decides on it."""
        return self.service or declaration_of(self.contract).owner


class Commands:
    """Sends commands in the name of callers."""

    def __init__(
        self,
        post: CommandPost,
        clock: BusinessClock,
        settings: GatewaySettings,
        claim: Callable[[Kind, Iterable[str]], Awaitable[None]],
    ) -> None:
        self._post = post
        self._claim = claim
        self._clock = clock
        self._settings = settings
        self._digest_key = settings.digest_key.get_secret_value().encode()

    async def answer(self, request: Request, caller: Caller, command_id: UUID, command: Command) -> Response:
        """Send a command and answer with its outcome: 200, 202 with a Location, or a problem."""
        refuse_unkept(command.data if command.plain is None else command.plain)
        outcome = await self.send(request, caller, command_id, command)
        if outcome is None:
            body = {"id": command.subject, "command_id": str(command_id), "state": "pending"}
            return json_response(body, 202, {"Location": f"/api/commands/{command.owner}/{command_id}"})
        return outcome_response(outcome)

    async def send(
        self,
        request: Request,
        caller: Caller,
        command_id: UUID,
        command: Command,
        *,
        wait_seconds: float | None = None,
    ) -> CommandOutcome | None:
        """Send a command; its outcome, or None when it is not there in time. Raises Problem."""
        require_role(caller.actor, command.contract)
        for kind in KINDS:
            if digests := command.data.get(f"{kind}s"):
                await self._claim(kind, digests)
        declaration = declaration_of(command.contract)
        request.state.command_id = str(command_id)
        envelope = Envelope(
            id=command_id,
            source="/gateway",
            type=declaration.type,
            subject=command.subject,
            time=self._time(request, caller.actor),
            recordedtime=datetime.now(UTC),
            traceparent=tracing.child_of(request.headers.get("traceparent")),
            correlationid=str(command_id),
            actortoken=caller.token,
            datadigest=self._digest(declaration.type, caller.actor, command),
            data=command.data,
        )
        topic = declaration.topic.replace(f"{EVERY_SERVICE}.", f"{command.service}.")
        try:
            return await self._post.send(
                topic, envelope, wait_seconds=wait_seconds or self._settings.outcome_wait_seconds
            )
        except MessageSizeTooLargeError as error:
            raise Problem(413, "too-large", "The command is too large.") from error
        except TooManyWaiting as error:
            retry = {"Retry-After": "1"}
            raise Problem(503, "too-busy", "Too many requests wait; try again.", headers=retry) from error
        except (KafkaError, TimeoutError) as error:
            detail = "The command may not have been taken. Send it again under the same Idempotency-Key."
            raise Problem(503, "broker-away", detail, headers={"Retry-After": "2"}) from error

    def _time(self, request: Request, actor: Actor) -> datetime:
        asked = request.headers.get("simulated-time")
        if asked is None:
            return self._clock.now()
        if not (self._settings.allow_simulated_time and actor.acting_for_simulation):
            raise Problem(403, "simulated-time-not-allowed", "Only the simulation may choose the time.")
        try:
            found = datetime.fromisoformat(asked)
        except ValueError:
            found = datetime.min  # noqa: DTZ901 - refused below
        if found.tzinfo is None or found.year not in _YEARS:
            detail = f"Simulated-Time must be RFC 3339 with an offset, {_YEARS[0]} to {_YEARS[-1]}."
            raise Problem(422, "simulated-time-malformed", detail)
        return found

    def _digest(self, type_: str, actor: Actor, command: Command) -> str:
        """The digest of who asks for what: keyed, because short texts could be guessed.

        Outcomes are told apart by id and digest, so that nobody is handed another's who used the same id.
        """
        body = canonical(command.data if command.plain is None else command.plain)
        head = f"{type_}\n{command.subject}\n{actor.person}\n".encode()
        return hmac.new(self._digest_key, head + body, hashlib.sha256).hexdigest()


def content_of(body: BaseModel) -> dict[str, Any]:
    """A request's body as JSON-ready content, without the `id` of a new thing. Raises Problem 422."""
    try:
        return body.model_dump(mode="json", exclude={"id"})
    except (ValueError, RecursionError):  # nested too deep
        raise _not_allowed() from None


def canonical(content: Any) -> bytes:
    """One and the same JSON for the same content. Raises Problem 422 for what JSON cannot carry."""
    try:
        text = json.dumps(content, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
        return text.encode()
    except (ValueError, RecursionError):  # NaN or Infinity, half a character, or nested too deep
        raise _not_allowed() from None


def refuse_unkept(content: Any) -> None:
    """Raise Problem 422 where a text holds control characters: no service could keep or show it."""
    try:
        found = _holds_control(content)
    except RecursionError:
        found = True
    if found:
        raise _not_allowed()


def _not_allowed() -> Problem:
    detail = "The body holds control characters, half a character, no number, or is nested too deep."
    return Problem(422, "text-not-allowed", detail)


def _holds_control(value: Any) -> bool:
    if isinstance(value, str):
        return _CONTROL.search(value) is not None
    if isinstance(value, Mapping):
        return any(_holds_control(key) or _holds_control(content) for key, content in value.items())
    return isinstance(value, list | tuple) and any(map(_holds_control, value))


def require_role(actor: Actor, contract: type[Contract]) -> None:
    """Raise Problem 403 unless one of the actor's roles may send such a command."""
    roles = declaration_of(contract).roles
    if not roles & actor.roles:
        raise Problem(403, "role-not-allowed", f"This is for: {', '.join(sorted(roles))}.")


def idempotency_key(request: Request) -> UUID:
    """The id that the client chose for its command, or a new one. Raises Problem 422."""
    asked = request.headers.get("idempotency-key")
    if asked is None:
        return UUID(int=uuid7().int)
    try:
        return UUID(asked)
    except ValueError:
        raise Problem(422, "idempotency-key-malformed", "Idempotency-Key must be a UUID.") from None


def outcome_response(outcome: CommandOutcome) -> Response:
    """The answer to an outcome that is known. Raises Problem for a refusal or a failure."""
    if outcome.state == "accepted":
        return json_response(
            {"id": outcome.subject, "command_id": str(outcome.command_id), "version": outcome.version}
        )
    problem = outcome.problem
    if problem is None:
        raise Problem(500, "outcome-without-problem", "The service refused without a reason.")
    raise Problem(STATUS_BY_KIND[problem.kind], problem.code, problem.detail)


def json_response(
    body: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """A JSON answer."""
    return Response(to_json(body), status, headers, "application/json")
