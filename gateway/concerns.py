"""What residents do without an account: put a concern to a deputy by the deputy's code 民情直通车.

Invariants: nothing is taken in without consent to the notice in force; words and contact leave sealed; the
answer alone has the receipt number and the follow link, and only once the concern was taken in.
"""

# No postponed annotations here: FastAPI could not find names that are made inside functions.

import json
from typing import Annotated, Any
from uuid import UUID

from fastapi import FastAPI, Path, Request
from fastapi.responses import Response
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
from gateway.following import LINK
from gateway.intake import Intake, digest_of
from gateway.receipts import shown
from gateway.sealing import Seals
from gateway.services import Services
from gateway.settings import GatewaySettings
from gateway.throttle import Throttle, address_of
from gateway.writes import TEXT
from shared.contracts import cases, identity
from shared.http.problems import Problem

CODE = r"^[0-9A-Za-z-]{1,20}$"
NOTICE = {
    "version": "2026-11",
    "text": (
        "您填写的内容和联系方式仅用于处理您反映的问题：代表、人大工作人员和承办单位为办理需要可以查看，"
        "每次查看联系方式都有记录，您凭查询链接可以看到。联系方式可以不填。您可以随时撤回同意、删除联系方式或者全部内容；"
        "已送交承办单位的内容最迟30日后从传送系统中清除。请不要填写他人的个人信息。"
    ),
}


class Concern(BaseModel):
    """What a resident writes 民情; all but the place is sealed before it leaves.

    `consent` is the version of the notice that was agreed to. Without a place the deputy's is taken.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: Annotated[str, Field(min_length=1, max_length=200, pattern=TEXT)]
    text: Annotated[str, Field(min_length=1, max_length=20_000, pattern=TEXT)]
    contact: Annotated[str, Field(min_length=1, max_length=200, pattern=TEXT)] | None = None
    county: identity.PlaceCode | None = None
    town: identity.PlaceCode | None = None
    consent: Annotated[str, Field(max_length=20)]


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
    per_address, per_code = parse(settings.concerns_per_address), parse(settings.concerns_per_code)

    async def deputy_of(code: str, person: Caller) -> dict[str, Any]:
        answer = await services.ask("identity", f"/codes/{code}/deputy", token=person.token)
        if answer.status == 404:
            raise Problem(404, "deputy-unknown", "There is no active deputy with this code.")
        if answer.status != 200:
            raise Problem(503, "service-away", "The code cannot be looked up now; try again soon.")
        found: dict[str, Any] = json.loads(answer.body)
        return found

    @app.get("/api/concern-notice", summary="What residents agree to 告知书", tags=["concerns"])
    async def notice() -> Response:
        return json_response(NOTICE)

    @app.post("/api/codes/{code}/concerns", summary="Put a concern to a deputy 民情直通车", tags=["concerns"])
    async def submit(request: Request, code: Annotated[str, Path(pattern=CODE)], body: Concern) -> Response:
        person = await intake.speaker(request, "staff")
        if person.actor.roles == {"intake"} and not person.actor.acting_for_simulation:
            throttle.admit(per_address, "address", address_of(request))
        if body.consent != NOTICE["version"]:
            detail = "Show the notice in force (/api/concern-notice) and send its version as consent."
            raise Problem(422, "consent-needed", detail)
        plain = content_of(body)
        refuse_unkept(plain)
        deputy = await deputy_of(code, person)
        if not person.actor.acting_for_simulation:
            throttle.admit(per_code, "code", deputy["deputy_id"])
        county = body.county or deputy["county"]
        if county is None:
            raise Problem(
                422, "county-needed", "This deputy has no county of their own; say which it is about."
            )
        command_id = idempotency_key(request)
        case_id = intake.case_id(deputy["deputy_id"], command_id)
        secret = intake.secret(case_id)
        sealed = await seals.seal("cases", {"title": body.title, "text": body.text})
        contact = await seals.seal("cases", {"contact": body.contact}) if body.contact else None
        data = cases.SubmitConcern(
            sealed=sealed,
            contact=contact,
            deputy_id=UUID(deputy["deputy_id"]),
            county=county,
            town=body.town or (deputy["town"] if body.county in (None, deputy["county"]) else None),
            receipt=intake.receipt(case_id),
            follow=digest_of(secret),
            consent=body.consent,
        )
        command = Command(cases.SubmitConcern, data.model_dump(mode="json"), str(case_id), plain)
        outcome = await commands.send(request, person, command_id, command)
        if outcome is None:
            pending = {"command_id": str(command_id), "state": "pending"}
            return json_response(pending, 202, {"Retry-After": "2"})  # the same request again has the outcome
        try:
            outcome_response(outcome)
        except Problem as problem:
            if problem.code.endswith("-unreadable"):
                seals.forget("cases")
            raise
        receipt = shown(data.receipt)
        told = {"id": receipt, "command_id": str(command_id), "version": outcome.version}
        return json_response({**told, "receipt": receipt, "follow": LINK.format(secret=secret)})
