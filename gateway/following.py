"""The follow link: how a resident without an account sees and answers what became of a concern.

The link's GET sets a cookie that is good for that one concern and a short time, and answers 303 to a clean
address; receipt number and secret in a form do the same. Invariants (ADR 14): the secret stands in no other
address, in no log and in no cookie; every wrong secret, number or cookie gets the same answer; who guesses
is slowed down.
"""

# No postponed annotations here: FastAPI could not find names that are made inside functions.

import json
import time
from typing import Annotated, Any, Literal

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
from gateway.receipts import ALPHABET, read_receipt, read_signs, shown
from gateway.sealing import Seals
from gateway.services import Services
from gateway.settings import GatewaySettings
from gateway.throttle import Throttle, address_of
from gateway.writes import TEXT
from shared.contracts import cases
from shared.contracts.registry import Contract
from shared.http.problems import Problem

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


def add(
    app: FastAPI,
    commands: Commands,
    seals: Seals,
    services: Services,
    intake: Intake,
    settings: GatewaySettings,
) -> None:
    """Add the routes."""
    throttle = Throttle()
    attempts, requests = (
        parse(settings.follow_attempts_per_address),
        parse(settings.follow_requests_per_concern),
    )
    key = OctKey.import_key(intake.cookie_key())
    secure = settings.environment == "production"

    def name_of(receipt: str) -> str:
        return f"{'__Host-' if secure else ''}concern-{receipt}"

    async def seen(digest: str, person: Caller) -> dict[str, Any]:
        """The concern that a digest opens. Raises Problem 404."""
        answer = await services.ask("cases", "/concerns/seen", token=person.token, body={"follow": digest})
        if answer.status == 404:
            raise _unknown()
        if answer.status != 200:
            raise Problem(503, "service-away", "The concern cannot be shown now; try again soon.")
        found: dict[str, Any] = json.loads(answer.body)
        return found

    async def opened(request: Request, typed: str, receipt: str | None = None) -> Response:
        """Set the cookie of the concern that a secret opens, and send on to its clean address."""
        throttle.admit(attempts, "open", address_of(request))
        secret = read_signs(typed)
        if not set(secret) <= set(ALPHABET):
            raise _unknown()
        digest = digest_of(secret)
        found = (await seen(digest, await intake.gateway()))["concern"]["receipt"]
        if receipt is not None and receipt != found:
            raise _unknown()
        ends = int(time.time()) + settings.follow_seconds
        token = jwt.encode({"alg": _ALGORITHM}, {"sub": found, "follow": digest, "exp": ends}, key)
        answer = Response(status_code=303, headers={"Location": f"/api/concerns/{shown(found)}"})
        answer.set_cookie(
            name_of(found),
            token,
            max_age=settings.follow_seconds,
            path="/",
            secure=secure,
            httponly=True,
            samesite="lax",
        )
        return answer

    def digest_in_cookie(request: Request, typed: str) -> str:
        """The digest that the cookie of a concern holds. Raises Problem 404."""
        receipt = read_receipt(typed)
        try:
            claims = jwt.decode(
                request.cookies.get(name_of(receipt or ""), ""), key, algorithms=[_ALGORITHM]
            ).claims
            jwt.JWTClaimsRegistry(exp={"essential": True}).validate(claims)
        except (JoseError, ValueError):
            raise _unknown() from None
        if claims["sub"] != receipt:
            raise _unknown()
        digest = str(claims["follow"])
        throttle.admit(requests, "concern", digest)
        return digest

    @app.get(LINK, summary="A resident's follow link 查询链接", tags=["concerns"], status_code=303)
    async def link(request: Request, secret: Annotated[str, Path(max_length=_SIGNS_MAX)]) -> Response:
        return await opened(request, secret)

    @app.post(
        "/api/concerns/open",
        summary="The same by receipt number and secret",
        tags=["concerns"],
        status_code=303,
    )
    async def open_by_form(request: Request, form: Annotated[Opening, Form()]) -> Response:
        receipt = read_receipt(form.receipt)
        if receipt is None:
            throttle.admit(attempts, "open", address_of(request))
            raise _unknown()
        return await opened(request, form.secret, receipt)

    @app.get("/api/concerns/{receipt}", summary="What became of one's own concern", tags=["concerns"])
    async def concern(request: Request, receipt: Receipt) -> Response:
        digest = digest_in_cookie(request, receipt)
        found = (await seen(digest, await intake.gateway()))["concern"]
        return json_response({**found, "receipt": shown(found["receipt"])})

    async def say(
        request: Request,
        typed: str,
        contract: type[Contract],
        plain: dict[str, Any],
        *,
        sealed: bool = False,
    ) -> Response:
        """Send what a resident asks for as a command on the concern that the cookie opens."""
        digest = digest_in_cookie(request, typed)
        refuse_unkept(plain)
        person = await intake.speaker(request)
        case_id = (await seen(digest, person))["case_id"]
        clear = {"sealed": await seals.seal("cases", plain)} if sealed else plain
        data = contract.model_validate({**clear, "follow": digest}).model_dump(mode="json")
        command = Command(contract, data, case_id, {**plain, "follow": digest})
        command_id = idempotency_key(request)
        outcome = await commands.send(request, person, command_id, command)
        if outcome is None:
            pending = {"command_id": str(command_id), "state": "pending"}
            return json_response(pending, 202, {"Retry-After": "2"})
        try:
            outcome_response(outcome)
        except Problem as problem:
            if problem.code.endswith("-unreadable"):
                seals.forget("cases")
            raise
        return json_response({"id": typed, "command_id": str(command_id), "version": outcome.version})

    @app.post(
        "/api/concerns/{receipt}/supply", summary="Supply what was asked for 补充情况", tags=["concerns"]
    )
    async def supply(request: Request, receipt: Receipt, body: Said) -> Response:
        return await say(request, receipt, cases.SupplyConcern, content_of(body), sealed=True)

    @app.post(
        "/api/concerns/{receipt}/reopen", summary="Not content: handle it again 重新办理", tags=["concerns"]
    )
    async def reopen(request: Request, receipt: Receipt, body: Said) -> Response:
        return await say(request, receipt, cases.ReopenConcern, content_of(body), sealed=True)

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
