"""The follow link: how a resident without an account sees and answers what became of a concern.

The link's GET sets a cookie that is good for that one concern and a short time, and answers 303 to a clean
address (a browser's is the resident's page, a program's the API's); receipt number and secret in a form do
the same. Invariants (ADR 14): the secret stands in no other address, in no log and in no cookie; every wrong
secret, number or cookie gets the same answer; who guesses is slowed down, except the simulation, whose
residents all come from one address.
"""

# No postponed annotations here: FastAPI could not find names that are made inside functions.

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import FastAPI, Form, Path, Request
from fastapi.responses import Response
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from limits import parse
from pydantic import BaseModel, ConfigDict, Field

from gateway.commands import (
    Caller,
    Command,
    Commands,
    content_of,
    idempotency_key,
    json_response,
    outcome_response,
    refuse_unkept,
)
from gateway.intake import Intake, digest_of
from gateway.reads import passed_on
from gateway.sealing import Seals
from gateway.services import Services
from gateway.settings import GatewaySettings
from gateway.throttle import Throttle, address_of
from gateway.writes import TEXT
from shared.contracts import cases
from shared.contracts.operations import CommandOutcome
from shared.contracts.registry import Contract
from shared.http.problems import Problem
from shared.receipts import ALPHABET, read_receipt, read_signs, shown

LINK = "/f/{secret}"
_ALGORITHM = "HS256"
_SIGNS_MAX = 60
Receipt = Annotated[str, Path(max_length=_SIGNS_MAX)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Opening(_Strict):
    """Receipt number 回执编号 and secret 查询码 as typed in."""

    receipt: Annotated[str, Field(max_length=_SIGNS_MAX)]
    secret: Annotated[str, Field(max_length=_SIGNS_MAX, repr=False)]


class Said(_Strict):
    """What the resident supplies, or why they are not content; it is sealed before it leaves."""

    text: Annotated[str, Field(min_length=1, max_length=5_000, pattern=TEXT)]


class Rating(_Strict):
    """One to five stars: as a whole, for the attitude, for the result."""

    stars: cases.Stars
    attitude: cases.Stars | None = None
    result: cases.Stars | None = None


class Erasure(_Strict):
    """What is to be destroyed: the contact data, or every word 撤回同意."""

    what: Literal["contact", "all"]


@dataclass(frozen=True)
class Opened:
    """A concern that somebody has opened: its receipt number, and the digest of its secret.

    `told_until` is until when (Unix seconds) who submitted it may still be shown the link itself.
    """

    receipt: str
    digest: str = field(repr=False)
    told_until: int = 0


class Following:
    """Opens concerns and says things on them, for the API and for the resident's page alike."""

    def __init__(
        self,
        commands: Commands,
        seals: Seals,
        services: Services,
        intake: Intake,
        settings: GatewaySettings,
    ) -> None:
        self._commands, self._seals, self._services, self._intake = commands, seals, services, intake
        self._throttle = Throttle()
        self._attempts = parse(settings.follow_attempts_per_address)
        self._requests = parse(settings.follow_requests_per_concern)
        self._key = OctKey.import_key(intake.cookie_key())
        self._secure = settings.environment == "production"
        self._seconds = settings.follow_seconds

    def _name_of(self, receipt: str) -> str:
        return f"{'__Host-' if self._secure else ''}concern-{receipt}"

    async def seen(self, digest: str, person: Caller | None = None) -> dict[str, Any]:
        """The concern that a digest opens, {case_id, concern}. Raises Problem 404."""
        token = (person or await self._intake.gateway()).token
        answer = await self._services.ask("cases", "/concerns/seen", token=token, body={"follow": digest})
        if answer.status == 404:
            raise _unknown()
        if answer.status != 200:
            raise Problem(503, "service-away", "The concern cannot be shown now; try again soon.")
        found: dict[str, Any] = json.loads(answer.body)
        return found

    async def photo(self, follow: str, digest: str, size: str) -> Response:
        """A photo that came with the concern, for who opened it; a download with a name, never a page."""
        token = (await self._intake.gateway()).token
        asked = {"follow": follow, "digest": digest, "size": size}
        return passed_on(await self._services.ask("cases", "/concerns/photo", token=token, body=asked))

    async def open(self, request: Request, secret: str, receipt: str | None = None) -> Opened:
        """What a typed secret opens; with a receipt number only if both belong together. Raises Problem."""
        if not await self._intake.is_simulated(request):
            self._throttle.admit(self._attempts, "open", address_of(request))
        number = None if receipt is None else read_receipt(receipt)
        signs = read_signs(secret)
        if (receipt is not None and number is None) or not set(signs) <= set(ALPHABET):
            raise _unknown()
        digest = digest_of(signs)
        found = (await self.seen(digest))["concern"]["receipt"]
        if number is not None and number != found:
            raise _unknown()
        return Opened(found, digest)

    def keep(self, answer: Response, opened: Opened) -> None:
        """Let the browser keep that it has opened a concern, for a while."""
        ends = int(time.time()) + self._seconds
        claims = {"sub": opened.receipt, "follow": opened.digest, "exp": ends, "told": opened.told_until}
        answer.set_cookie(
            self._name_of(opened.receipt),
            jwt.encode({"alg": _ALGORITHM}, claims, self._key),
            max_age=self._seconds,
            path="/",
            secure=self._secure,
            httponly=True,
            samesite="lax",
        )

    def kept(self, request: Request, typed: str) -> Opened:
        """What the cookie of a concern says. Raises Problem 404."""
        receipt = read_receipt(typed)
        try:
            claims = jwt.decode(
                request.cookies.get(self._name_of(receipt or ""), ""), self._key, algorithms=[_ALGORITHM]
            ).claims
            jwt.JWTClaimsRegistry(exp={"essential": True}).validate(claims)
        except (JoseError, ValueError):
            raise _unknown() from None
        if claims["sub"] != receipt:
            raise _unknown()
        digest = str(claims["follow"])
        self._throttle.admit(self._requests, "concern", digest)
        return Opened(claims["sub"], digest, int(claims.get("told", 0)))

    async def say(
        self,
        request: Request,
        opened: Opened,
        command_id: UUID,
        contract: type[Contract],
        plain: dict[str, Any],
        photos: Sequence[str] = (),
    ) -> CommandOutcome | None:
        """Send what a resident asks for, as a command on the concern; None when its outcome is late.

        Words are sealed where the contract wants them sealed; photos are digests of uploads. Raises Problem.
        """
        refuse_unkept(plain)
        person = await self._intake.speaker(request)
        case_id = (await self.seen(opened.digest, person))["case_id"]
        sealed = "sealed" in contract.model_fields
        clear = {"sealed": await self._seals.seal("cases", plain)} if sealed else plain
        more = {"follow": opened.digest} | ({"photos": list(photos)} if photos else {})
        data = contract.model_validate(clear | more).model_dump(mode="json")
        command = Command(contract, data, case_id, plain | more)
        outcome = await self._commands.send(request, person, command_id, command)
        if outcome is None:
            return None
        with self._seals.renewed_if_unreadable("cases"):
            outcome_response(outcome)
        return outcome


def from_browser(request: Request) -> bool:
    """Whether a person's browser asks for a page, and not a program for JSON."""
    return "text/html" in request.headers.get("accept", "")


def add(app: FastAPI, following: Following, wrong: Callable[[Request, Problem], Response]) -> None:
    """Add the routes; `wrong` makes the page for a link that opens nothing."""

    def led_on(request: Request, opened: Opened) -> Response:
        face = "/r" if from_browser(request) else "/api"
        answer = Response(status_code=303, headers={"Location": f"{face}/concerns/{shown(opened.receipt)}"})
        following.keep(answer, opened)
        return answer

    @app.get(LINK, summary="A resident's follow link 查询链接", tags=["concerns"], status_code=303)
    async def link(request: Request, secret: Annotated[str, Path(max_length=_SIGNS_MAX)]) -> Response:
        try:
            return led_on(request, await following.open(request, secret))
        except Problem as problem:
            if from_browser(request):
                return wrong(request, problem)
            raise

    @app.post(
        "/api/concerns/open",
        summary="The same by receipt number and secret",
        tags=["concerns"],
        status_code=303,
    )
    async def open_by_form(request: Request, form: Annotated[Opening, Form()]) -> Response:
        return led_on(request, await following.open(request, form.secret, form.receipt))

    @app.get("/api/concerns/{receipt}", summary="What became of one's own concern", tags=["concerns"])
    async def concern(request: Request, receipt: Receipt) -> Response:
        found = (await following.seen(following.kept(request, receipt).digest))["concern"]
        return json_response({**found, "receipt": shown(found["receipt"])})

    async def say(request: Request, typed: str, contract: type[Contract], plain: dict[str, Any]) -> Response:
        opened = following.kept(request, typed)
        command_id = idempotency_key(request)
        outcome = await following.say(request, opened, command_id, contract, plain)
        if outcome is None:
            pending = {"command_id": str(command_id), "state": "pending"}
            return json_response(pending, 202, {"Retry-After": "2"})
        return json_response({"id": typed, "command_id": str(command_id), "version": outcome.version})

    @app.post(
        "/api/concerns/{receipt}/supply", summary="Supply what was asked for 补充情况", tags=["concerns"]
    )
    async def supply(request: Request, receipt: Receipt, body: Said) -> Response:
        return await say(request, receipt, cases.SupplyConcern, content_of(body))

    @app.post(
        "/api/concerns/{receipt}/reopen", summary="Not content: handle it again 重新办理", tags=["concerns"]
    )
    async def reopen(request: Request, receipt: Receipt, body: Said) -> Response:
        return await say(request, receipt, cases.ReopenConcern, content_of(body))

    @app.post(
        "/api/concerns/{receipt}/object", summary="Not of the same opinion 不同意见, once", tags=["concerns"]
    )
    async def object_to(request: Request, receipt: Receipt, body: Said) -> Response:
        return await say(request, receipt, cases.ObjectToConcern, content_of(body))

    @app.get(
        "/api/concerns/{receipt}/photos/{digest}",
        summary="A photo of one's own concern 照片",
        tags=["concerns"],
    )
    async def photo(
        request: Request,
        receipt: Receipt,
        digest: Annotated[str, Path(pattern=r"^[0-9a-f]{64}$")],
        size: Literal["full", "thumbnail"] = "full",
    ) -> Response:
        return await following.photo(following.kept(request, receipt).digest, digest, size)

    @app.post("/api/concerns/{receipt}/rate", summary="Rate how it was handled 评价", tags=["concerns"])
    async def rate(request: Request, receipt: Receipt, body: Rating) -> Response:
        return await say(request, receipt, cases.RateConcern, content_of(body))

    @app.post("/api/concerns/{receipt}/withdraw", summary="Withdraw it 撤回", tags=["concerns"])
    async def withdraw(request: Request, receipt: Receipt) -> Response:
        return await say(request, receipt, cases.WithdrawConcern, {})

    @app.post("/api/concerns/{receipt}/erase", summary="Take the consent back 撤回同意", tags=["concerns"])
    async def erase(request: Request, receipt: Receipt, body: Erasure) -> Response:
        return await say(request, receipt, cases.EraseConcern, content_of(body))

    @app.post(
        "/api/concerns/{receipt}/close-link",
        summary="Have the link opened no more 停用链接",
        tags=["concerns"],
    )
    async def close_link(request: Request, receipt: Receipt) -> Response:
        return await say(request, receipt, cases.CloseFollowLink, {})


def _unknown() -> Problem:
    return Problem(
        404, "follow-unknown", "This link or number leads to no concern, or the time to look is over."
    )
