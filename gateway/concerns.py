"""What residents do without an account: put a concern to a deputy by a deputy's or a station's code 民情直通车.

Invariants: nothing is taken in without consent to the notice in force; words and contact leave sealed; who
submitted alone gets the receipt number and the follow link, and only once the concern was taken in.
"""

# No postponed annotations here: FastAPI could not find names that are made inside functions.

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID

from fastapi import Depends, FastAPI, Path, Request
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
from gateway.sealing import Seals
from gateway.services import Services
from gateway.settings import GatewaySettings
from gateway.throttle import Throttle, address_of
from gateway.writes import TEXT
from shared.contracts import cases, identity
from shared.http.callers import require
from shared.http.problems import Problem
from shared.receipts import shown

CODE = r"^[0-9A-Za-z-]{1,20}$"
NOTICE = {
    "version": "2026-12",
    "text": (
        "您填写的内容、照片和联系方式仅用于处理您反映的问题：代表、人大工作人员和承办单位为办理需要可以查看，"
        "每次查看联系方式都有记录，您凭查询链接可以看到。照片和联系方式可以不留；照片中的拍摄地点、设备等信息收到时即去除。"
        "您可以随时撤回同意、删除联系方式或者全部内容，撤回或者删除后照片即销毁；"
        "已送交承办单位的内容最迟30日后从传送系统中清除。请不要填写他人的个人信息，照片尽量避开他人面部、车牌和门牌。"
    ),
    "text_en": (
        "What you write, your photos and your contact are used only to handle your concern: the deputy, congress "
        "staff and the department in charge may see them for that purpose. Each reading of the contact is noted, and "
        "you see the notes by your link. You may leave photos and contact out; where and with what a photo was taken "
        "is removed when it arrives. You may at any time take your consent back and have the contact, or everything, "
        "deleted; photos are destroyed when you withdraw or delete. What was sent to the department leaves the "
        "transport after 30 days at the latest. Please write nothing personal about others, and keep faces, number "
        "plates and house numbers out of photos. The Chinese text is the one that holds."
    ),
}
"""The notice 告知书 in force; the Chinese text holds."""


class Concern(BaseModel):
    """What a resident writes 民情; all but the place is sealed before it leaves.

    `consent` is the version of the notice that was agreed to. Without a place the code's own is taken. `deputy` is
    the code of the one that is picked of a station; any of them gets it who is not picked.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    title: Annotated[str, Field(min_length=1, max_length=200, pattern=TEXT)]
    text: Annotated[str, Field(min_length=1, max_length=20_000, pattern=TEXT)]
    contact: Annotated[str, Field(min_length=1, max_length=200, pattern=TEXT)] | None = None
    county: identity.PlaceCode | None = None
    town: identity.PlaceCode | None = None
    consent: Annotated[str, Field(max_length=20)]
    deputy: Annotated[str, Field(pattern=CODE)] | None = None


class ConcernTold(Concern):
    """A concern that a resident told staff, by telephone or at the desk; `code` is the deputy's or the station's."""

    code: Annotated[str, Field(pattern=CODE)]


@dataclass(frozen=True)
class TakenIn:
    """What the resident gets: the receipt number (without blanks) and the secret of the follow link."""

    receipt: str
    secret: str = field(repr=False)
    version: int | None


class Concerns:
    """Takes concerns in, for the API and for the resident's page alike."""

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
        self._per_address = parse(settings.concerns_per_address)
        self._per_code = parse(settings.concerns_per_code)

    async def _deputy_of(
        self, code: str, person: Caller, command_id: UUID, picked: str | None
    ) -> dict[str, Any]:
        """Who gets it, and whose the code is; the command's id is the lot by which a station's deputies draw."""
        query = urlencode({"lot": command_id} | ({"picked": picked} if picked else {}))
        path = f"/codes/{code}/deputy"
        answer = await self._services.ask("identity", path, token=person.token, query=query)
        if answer.status == 404:
            raise Problem(404, "deputy-unknown", "There is no active deputy or open station with this code.")
        if answer.status == 409:
            raise Problem(409, "station-empty", "No active deputy belongs to this station now.")
        if answer.status == 422:
            raise Problem(422, "deputy-not-there", "The deputy picked is not behind this code; pick another.")
        if answer.status != 200:
            raise Problem(503, "service-away", "The code cannot be looked up now; try again soon.")
        found: dict[str, Any] = json.loads(answer.body)
        return found

    async def take_in(
        self,
        request: Request,
        person: Caller,
        code: str,
        body: Concern,
        command_id: UUID,
        *,
        photos: Sequence[str] = (),
    ) -> TakenIn | None:
        """Send a concern, with uploads by their digests; None when its outcome is not there in time. Raises Problem."""
        if person.actor.roles == {"intake"} and not person.actor.acting_for_simulation:
            self._throttle.admit(self._per_address, "address", address_of(request))
        if body.consent != NOTICE["version"]:
            detail = "Show the notice in force (/api/concern-notice) and send its version as consent."
            raise Problem(422, "consent-needed", detail)
        plain = content_of(body) | ({"photos": list(photos)} if photos else {})
        refuse_unkept(plain)
        deputy = await self._deputy_of(code, person, command_id, body.deputy)
        if not person.actor.acting_for_simulation:
            self._throttle.admit(self._per_code, "code", deputy["owner"])
        county = body.county or deputy["county"]
        if county is None:
            raise Problem(
                422, "county-needed", "This deputy has no county of their own; say which it is about."
            )
        intake, seals = self._intake, self._seals
        case_id = intake.case_id(deputy["owner"], command_id)
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
            photos=tuple(photos),
        )
        command = Command(cases.SubmitConcern, data.model_dump(mode="json"), str(case_id), plain)
        outcome = await self._commands.send(request, person, command_id, command)
        if outcome is None:
            return None  # the same request again has the outcome
        with seals.renewed_if_unreadable("cases"):
            outcome_response(outcome)
        return TakenIn(data.receipt, secret, outcome.version)


def add(app: FastAPI, concerns: Concerns, intake: Intake, caller: Callable[..., Awaitable[Caller]]) -> None:
    """Add the routes."""
    who = Annotated[Caller, Depends(caller)]

    async def taken_in(request: Request, person: Caller, code: str, body: Concern) -> Response:
        command_id = idempotency_key(request)
        taken = await concerns.take_in(request, person, code, body, command_id)
        if taken is None:
            pending = {"command_id": str(command_id), "state": "pending"}
            return json_response(pending, 202, {"Retry-After": "2"})
        receipt = shown(taken.receipt)
        told = {"id": receipt, "command_id": str(command_id), "version": taken.version}
        return json_response({**told, "receipt": receipt, "follow": LINK.format(secret=taken.secret)})

    @app.get("/api/concern-notice", summary="What residents agree to 告知书", tags=["concerns"])
    async def notice() -> Response:
        return json_response(NOTICE)

    @app.post(
        "/api/codes/{code}/concerns",
        summary="Put a concern to a deputy or a station 民情直通车",
        tags=["concerns"],
    )
    async def submit(request: Request, code: Annotated[str, Path(pattern=CODE)], body: Concern) -> Response:
        return await taken_in(request, await intake.speaker(request, "staff"), code, body)

    @app.post("/api/concerns", summary="Take a concern down for a resident 代居民登记", tags=["concerns"])
    async def take_down(request: Request, body: ConcernTold, person: who) -> Response:
        require(person.actor, "staff")  # by whom the case is taken up at once
        return await taken_in(request, person, body.code, body)
