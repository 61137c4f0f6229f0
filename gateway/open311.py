"""The Open311 door: GeoReport v2 and the extension for updates, in JSON and XML, under `/open311/v2`.

Requests of the standard are our cases, its services our categories, updates of a department our commands.
Invariants: a secret is taken from a header or a body, never from a URL; a case that the caller may not
see is answered like one that does not exist; no XML is ever read, so that none can do harm; every error
has the standard's own form, with our stable code at the beginning of its description.
Source: GeoReport v2 (wiki.open311.org); the updates of mySociety's extension (Open311-FMS).
"""

# No postponed annotations here: FastAPI could not find names that are made inside functions.

import asyncio
import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Annotated, Any
from urllib.parse import urlencode
from uuid import UUID, uuid5

from fastapi import Depends, FastAPI, Path, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import ValidationError
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException

from gateway.commands import (
    Caller,
    Command,
    Commands,
    content_of,
    idempotency_key,
    refuse_unkept,
)
from gateway.sealing import Seals
from gateway.services import Answer, Services
from gateway.writes import CASE_WORDS, CaseFiling
from shared.contracts import cases
from shared.contracts.operations import CommandOutcome
from shared.contracts.registry import contract_of
from shared.http.callers import bearer, require, whose
from shared.http.problems import STATUS_BY_KIND, Problem
from shared.messaging.clock import BusinessClock
from shared.security.tokens import TokenVerifier

PREFIX = "/open311/v2"
_UPDATE_IDS = UUID("5b0f7b76-2a3c-5d55-9a5e-0d7f4f3a8c11")
_SPAN = timedelta(days=90)
_MOST = 1000
_IDS_MOST = 50
_FIELDS_MOST = 60
_CHANGESET = "2026-11-24T00:00:00+08:00"
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_FORMATS = {"json": "application/json; charset=utf-8", "xml": "text/xml; charset=utf-8"}
Kind = Annotated[str, Path(pattern="^(json|xml)$")]
_ITEM = {
    "service_requests": "request",
    "service_request_updates": "request_update",
}
"""What an item of a list is called in XML where that is not the list's name without its last letter."""
_ENDED_STEPS = frozenset(
    {
        *("explained", "declined", "closed", "settled", "withdrawn", "merged"),
        *("informed", "reminded", "rated", "resident-rated"),
    }
)
"""Steps after which a case is finished, whatever it was before."""
_IN_CHINESE = {
    "submitted": "待接收",
    "declined": "不予受理",
    "triage": "待分流",
    "routed": "已派单",
    "accepted": "已签收",
    "in-progress": "办理中",
    "waiting": "等待补充",
    "answered": "已答复",
    "asked": "请求补充",
    "supplied": "已补充",
    "extension-asked": "申请延期",
    "extension-granted": "同意延期",
    "extension-refused": "不同意延期",
    "closed": "已办结",
    "withdrawn": "已撤回",
    "merged": "已并案",
    "returned": "已退回",
    "progressed": "办理进展",
    "rated": "已评价",
    "solved": "已解决",
    "explained": "已解释",
    "unsolved": "未解决",
}
_ATTRIBUTES = (
    ("county", True, "County, as a code of administrative divisions 区县代码"),
    ("town", False, "Town, as a code 乡镇街道代码"),
    ("title", False, "Title; without it the first line of the description 标题"),
    ("origin", False, "own observation (own), or for a resident (resident) 来源"),
)


@dataclass(frozen=True)
class Step:
    """What an update means: the command, the field that takes its description, and what else it says.

    `form` names fields of the update that the command takes over under the same name.
    """

    command: str
    text: str | None = None
    says: Mapping[str, str] = field(default_factory=dict)
    form: tuple[str, ...] = ()


_ANSWER = "case.answer"
_STEPS = {
    "accepted": Step("case.accept"),
    "investigating": Step("case.accept"),
    "in_progress": Step("case.progress", "text"),
    "action_scheduled": Step("case.progress", "text"),
    "fixed": Step(_ANSWER, "text", {"result": "solved"}),
    "no_further_action": Step(_ANSWER, "text", {"result": "unsolved"}),
    "closed": Step(_ANSWER, "text", form=("result",)),
    "not_councils_responsibility": Step("case.return", "reason"),
    "not_responsible": Step("case.return", "reason"),
    # Ours: the extension has no words for what follows.
    "information_needed": Step("case.ask", "text"),
    "extension_asked": Step("case.ask-extension", "reason", form=("days",)),
    "opinion": Step("case.opinion", "text"),
}
STEPS = {status: step for status, step in _STEPS.items() if contract_of(step.command) is not None}
"""Status of an update → command; only for commands that the contract has."""


@dataclass(frozen=True)
class Parts:
    """What the door is made of."""

    commands: Commands
    seals: Seals
    services: Services
    clock: BusinessClock
    verifier: TokenVerifier


# -- what is written -----------------------------------------------------------------------------------


def written(kind: str, name: str, content: Any, status: int = 200) -> Response:
    """An answer in one of the two formats; `name` is the outermost element in XML."""
    if kind == "xml":
        body = ET.tostring(_element(name, content), encoding="utf-8", xml_declaration=True)
    else:
        body = json.dumps(content, ensure_ascii=False).encode("utf-8", "replace")
    return Response(body, status, media_type=_FORMATS[kind])


def _element(name: str, content: Any) -> ET.Element:
    found = ET.Element(name)
    if isinstance(content, Mapping):
        found.extend(_element(key, value) for key, value in content.items())
    elif isinstance(content, list):
        found.extend(_element(_ITEM.get(name, name[:-1]), value) for value in content)
    elif content is not None:
        text = str(content).lower() if isinstance(content, bool) else str(content)
        found.text = _NOT_XML.sub("\ufffd", text)
    return found


def _format_of(request: Request) -> str:
    return "xml" if request.url.path.endswith(".xml") else "json"


def _failed(request: Request, status: int, code: str, detail: str) -> Response:
    """An error in the standard's form; what is wrong with a request is 400 there."""
    told = 400 if status == 422 else status
    return written(_format_of(request), "errors", [{"code": told, "description": f"{code}: {detail}"}], told)


# -- what is read --------------------------------------------------------------------------------------


def _site(request: Request) -> str:
    return f"{request.url.scheme}://{request.url.netloc}"


def _refuse_key_in_url(request: Request) -> None:
    if "api_key" in request.query_params:
        detail = "An api_key never belongs in a URL: send it as bearer token, or in the body of a POST."
        raise Problem(400, "api-key-in-url", detail)


def _moment(request: Request, name: str) -> datetime | None:
    given = request.query_params.get(name)
    if given is None:
        return None
    try:
        # A plus that was not escaped arrives as a blank.
        found = datetime.fromisoformat(given.replace(" ", "+"))
    except ValueError:
        found = datetime.min  # noqa: DTZ901 - refused below
    if found.tzinfo is None or not 1954 <= found.year < 2200:
        raise Problem(400, "date-malformed", f"{name} must be a date and time with an offset (W3C).")
    return found


def span(start: datetime | None, end: datetime | None, now: datetime) -> tuple[datetime, datetime]:
    """The time asked for: at most 90 days, the last ones where nothing is said. Source: GeoReport v2, GET requests."""
    if start is None:
        end = end or now
        return end - _SPAN, end
    return start, min(end or start + _SPAN, start + _SPAN)


def _words(request: Request, name: str) -> list[str]:
    return [part.strip() for part in request.query_params.get(name, "").split(",") if part.strip()]


def _number(request: Request, name: str, default: int, most: int) -> int:
    given = request.query_params.get(name, str(default))
    if not (given.isascii() and given.isdigit() and len(given) < 10 and 1 <= int(given) <= most):
        raise Problem(400, "number-malformed", f"{name} must be a number from 1 to {most:,}.")
    return int(given)


def _text(form: FormData, name: str) -> str | None:
    found = form.get(name)
    return found.strip() or None if isinstance(found, str) else None


def _needed(form: FormData, name: str) -> str:
    found = _text(form, name)
    if found is None:
        raise Problem(400, "field-missing", f"{name} was not given.")
    return found


def _unknown_request() -> Problem:
    return Problem(404, "service-request-unknown", "There is no service request with this id.")


def _content(answer: Answer) -> Any:
    """What a service said. Raises Problem for its problem."""
    try:
        found = json.loads(answer.body)
    except ValueError:
        found = {}
    if answer.status == 200:
        return found
    raise Problem(
        answer.status,
        found.get("code", "service-failed"),
        found.get("detail", "The service did not say why."),
    )


def _invalid(error: ValidationError, names: Mapping[str, str]) -> Problem:
    """Which fields are wrong, by the names that the caller used, without what they hold."""
    wrong = sorted(
        {names.get(str(fault["loc"][0]), str(fault["loc"][0])) for fault in error.errors() if fault["loc"]}
    )
    return Problem(400, "field-malformed", f"Missing, too long or malformed: {', '.join(wrong)}.")


# -- what is shown -------------------------------------------------------------------------------------


def _named(word: str) -> str:
    return f"{word} {_IN_CHINESE[word]}" if word in _IN_CHINESE else word


def service_request(case: Mapping[str, Any], site: str) -> dict[str, Any]:
    """A case as the standard shows it; `site` is the origin of this gateway, for the address of its first photo.

    That address asks for the same key as a bearer token, and answers 404 until the photo is kept.
    """
    at: Mapping[str, Any] = case.get("position") or {}
    photo = next((one if isinstance(one, str) else one["digest"] for one in case.get("photos", ())), None)
    told = [_named(case["state"])] + ([_named(case["result"])] if case.get("result") else [])
    words = [case[name] for name in ("title", "text") if case.get(name)]
    return {
        "service_request_id": case["id"],
        "status": "closed" if case["state"] in cases.FINISHED else "open",
        "status_notes": ": ".join(told),
        "service_name": case.get("category"),
        "service_code": case.get("category"),
        "description": "\n".join(words) or None,
        "agency_responsible": case.get("department"),
        "service_notice": None,
        "requested_datetime": case["filed_at"],
        "updated_datetime": case["changed_at"],
        "expected_datetime": case.get("answer_by"),
        "address": None,
        "address_id": case.get("town") or case.get("county"),
        "zipcode": None,
        "lat": at.get("latitude"),
        "long": at.get("longitude"),
        "media_url": photo and f"{site}/api/cases/{case['id']}/photos/{photo}",
    }


def request_update(step: Mapping[str, Any]) -> dict[str, Any]:
    """A step of a case as the extension shows it."""
    return {
        "update_id": f"{step['case_id']}.{step['number']}",
        "service_request_id": step["case_id"],
        "status": "closed" if step["step"] in _ENDED_STEPS else "open",
        "status_notes": _named(step["step"]),
        "updated_datetime": step["at"],
        "description": step["text"],
        "media_url": None,
    }


def filing(form: FormData) -> CaseFiling:
    """A new request as the case that a deputy files. Raises Problem.

    Where it is: county, town and, if given, a position. An address and a picture's URL are kept as lines of the
    text, for the people who read it; nothing is made of them.
    """
    description = _needed(form, "description")
    latitude, longitude = _coordinate(form, "lat", 90), _coordinate(form, "long", 180)
    if (latitude is None) != (longitude is None):
        raise Problem(400, "coordinates-malformed", "Give both lat and long, or neither.")
    lines = [
        description,
        *(f"地址：{found}" for name in ("address_string", "address_id") if (found := _text(form, name))),
        *([f"图片：{found}"] if (found := _text(form, "media_url")) else []),
    ]
    contact = [
        found for name in ("first_name", "last_name", "phone", "email") if (found := _text(form, name))
    ]
    given = {
        "title": _text(form, "attribute[title]") or description.splitlines()[0][:60],
        "text": "\n".join(lines),
        "contact": " ".join(contact) or None,
        "county": _needed(form, "attribute[county]"),
        "town": _text(form, "attribute[town]"),
        "position": None if latitude is None else {"latitude": latitude, "longitude": longitude},
        "category": _needed(form, "service_code"),
        "origin": _text(form, "attribute[origin]") or "own",
    }
    try:
        return CaseFiling.model_validate(given)
    except ValidationError as error:
        names = {name: f"attribute[{name}]" for name, _, _ in _ATTRIBUTES}
        raise _invalid(error, {**names, "text": "description", "category": "service_code"}) from None


def _coordinate(form: FormData, name: str, most: int) -> float | None:
    found = _text(form, name)
    if found is None:
        return None
    if not re.fullmatch(r"-?\d{1,3}(\.\d{1,12})?", found, re.ASCII) or abs(float(found)) > most:
        raise Problem(400, "coordinates-malformed", f"{name} must be decimal degrees (WGS-84).")
    return float(found)


def update_command(form: FormData) -> Command:
    """An update as the command that it means. Raises Problem."""
    try:
        subject = str(UUID(_needed(form, "service_request_id")))
    except ValueError:
        raise _unknown_request() from None
    status = _needed(form, "status").lower()
    step = STEPS.get(status)
    if step is None:
        raise Problem(400, "status-unknown", f"status must be one of: {', '.join(STEPS)}.")
    lines = [_text(form, "description"), *(f"附件：{found}" for found in [_text(form, "media_url")] if found)]
    said = "\n".join(line for line in lines if line)
    data: dict[str, Any] = {**step.says, **{name: _needed(form, name) for name in step.form}}
    if step.text is not None:
        data[step.text] = said
    elif said:
        detail = (
            f"The status {status} takes no description or media_url: nothing would keep it. Leave it out."
        )
        raise Problem(400, "description-not-kept", detail)
    declaration = contract_of(step.command)
    if declaration is None:
        raise Problem(400, "status-unknown", "This status has no meaning here.")
    try:
        model = declaration.model.model_validate(data)
    except ValidationError as error:
        raise _invalid(error, {step.text or "": "description"}) from None
    return Command(declaration.model, model.model_dump(mode="json"), subject)


def update_id(person: str, subject: str, given: str) -> UUID:
    """The id of the command behind an update: the same for the same update of the same sender."""
    return uuid5(_UPDATE_IDS, f"{person}\n{subject}\n{given}")


# -- the routes ----------------------------------------------------------------------------------------


def door(parts: Parts) -> FastAPI:
    """The application to be mounted at `PREFIX`."""
    app = FastAPI(
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        dependencies=[Depends(_refuse_key_in_url)],
    )
    services = parts.services

    @app.exception_handler(Problem)
    async def _problem(request: Request, problem: Problem) -> Response:
        response = _failed(request, problem.status, problem.code, problem.detail)
        response.headers.update(dict(problem.headers or {}))
        return response

    @app.exception_handler(RequestValidationError)
    async def _invalid_path(request: Request, _: RequestValidationError) -> Response:
        return _failed(request, 404, "format-unknown", "Ask for .json or .xml.")

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        response = _failed(request, error.status_code, "http-error", str(error.detail))
        response.headers.update(dict(error.headers or {}))
        return response

    @app.exception_handler(Exception)
    async def _unexpected(request: Request, _: Exception) -> Response:
        return _failed(request, 500, "internal-error", "The server failed; the fault has been logged.")

    async def caller(request: Request, form: FormData | None = None) -> Caller:
        key = _text(form, "api_key") if form is not None else None
        token = key if key is not None and "authorization" not in request.headers else bearer(request)
        return Caller(await whose(token, parts.verifier), token)

    async def asked(path: str, person: Caller, query: Sequence[tuple[str, str]] = ()) -> Any:
        return _content(await services.ask("cases", path, token=person.token, query=urlencode(query)))

    async def one(identifier: str, person: Caller, site: str) -> dict[str, Any] | None:
        """A case, or None where there is none or it is not the caller's to see."""
        try:
            found = await asked(f"/cases/{UUID(identifier)}", person)
        except ValueError:
            return None
        except Problem as problem:
            if problem.status in (403, 404):
                return None
            raise
        return service_request(found, site)

    async def sent(
        request: Request, person: Caller, command_id: UUID, command: Command
    ) -> CommandOutcome | None:
        """The outcome of a command, if there is one in time. Raises Problem for a refusal."""
        refuse_unkept(command.data if command.plain is None else command.plain)
        outcome = await parts.commands.send(request, person, command_id, command)
        if outcome is None or outcome.state == "accepted":
            return outcome
        if outcome.problem is None:
            raise Problem(500, "outcome-without-problem", "The service refused without a reason.")
        if outcome.problem.code in ("not-your-case", "case-unknown"):
            raise _unknown_request()
        raise Problem(STATUS_BY_KIND[outcome.problem.kind], outcome.problem.code, outcome.problem.detail)

    @app.get("/discovery.{kind}")
    async def discovery(request: Request, kind: Kind) -> Response:
        url = f"{_site(request)}{PREFIX}"
        found = {
            "changeset": _CHANGESET,
            "contact": "Ask the office of the people's congress 人大办公室.",
            "key_service": "Sign in at /api/token; the token is the key (bearer token, or api_key in a body).",
            "endpoints": [
                {
                    "specification": "http://wiki.open311.org/GeoReport_v2",
                    "url": url,
                    "changeset": _CHANGESET,
                    "type": "production",
                    "formats": ["text/xml", "application/json"],
                }
            ],
        }
        return written(kind, "discovery", found)

    async def categories() -> dict[str, list[str]]:
        found = _content(await services.ask("cases", "/open311/categories"))
        return {item["category"]: item["words"] for item in found["items"]}

    @app.get("/services.{kind}")
    async def service_list(kind: Kind) -> Response:
        found = [
            {
                "service_code": code,
                "service_name": code,
                "description": f"督事：{code}",
                "metadata": True,
                "type": "realtime",
                "keywords": ", ".join(words),
                "group": "督事",
            }
            for code, words in (await categories()).items()
        ]
        return written(kind, "services", found)

    @app.get("/services/{service_code}.{kind}")
    async def service_definition(kind: Kind, service_code: str) -> Response:
        if service_code not in await categories():
            raise Problem(404, "service-code-unknown", "There is no service with this code.")
        attributes = [
            {
                "variable": True,
                "code": name,
                "datatype": "singlevaluelist" if name == "origin" else "string",
                "required": required,
                "datatype_description": None,
                "order": number,
                "description": description,
                "values": [{"key": key, "name": key} for key in ("own", "resident")]
                if name == "origin"
                else [],
            }
            for number, (name, required, description) in enumerate(_ATTRIBUTES, 1)
        ]
        return written(kind, "service_definition", {"service_code": service_code, "attributes": attributes})

    @app.get("/requests.{kind}")
    async def requests(request: Request, kind: Kind) -> Response:
        person = await caller(request)
        if ids := _words(request, "service_request_id"):
            if len(ids) > _IDS_MOST:
                raise Problem(400, "too-many-ids", f"Ask for at most {_IDS_MOST} ids at once.")
            site = _site(request)
            held = await asyncio.gather(*(one(each, person, site) for each in dict.fromkeys(ids)))
            return written(kind, "service_requests", [found for found in held if found is not None])
        start, end = span(_moment(request, "start_date"), _moment(request, "end_date"), parts.clock.now())
        query = [("filed_from", start.isoformat()), ("filed_until", end.isoformat())]
        statuses = set(_words(request, "status"))
        if not statuses <= {"open", "closed"}:
            raise Problem(400, "status-unknown", "status must be open, closed, or both with a comma.")
        if len(statuses) == 1:
            query.append(("ended", str("closed" in statuses).lower()))
        query += [("category", code) for code in _words(request, "service_code")]
        query.append(("page", str(_number(request, "page", 1, 1_000_000))))
        query.append(("size", str(_number(request, "page_size", _MOST, _MOST))))
        found = await asked("/open311/cases", person, query)
        return written(
            kind, "service_requests", [service_request(case, _site(request)) for case in found["items"]]
        )

    @app.get("/requests/{service_request_id}.{kind}")
    async def single_request(request: Request, kind: Kind, service_request_id: str) -> Response:
        person = await caller(request)
        found = await one(service_request_id, person, _site(request))
        if found is None:
            raise _unknown_request()
        return written(kind, "service_requests", [found])

    @app.post("/requests.{kind}")
    async def file_request(request: Request, kind: Kind) -> Response:
        form = await request.form(max_files=0, max_fields=_FIELDS_MOST)
        person = await caller(request, form)
        require(person.actor, "deputy")
        plain = content_of(filing(form))
        refuse_unkept(plain)
        words = {name: plain[name] for name in CASE_WORDS}
        clear = {name: plain[name] for name in ("county", "town", "category", "origin")}
        data = cases.FileCase(sealed=await parts.seals.seal("cases", words), **clear)
        command_id = idempotency_key(request)
        command = Command(cases.FileCase, data.model_dump(mode="json"), str(command_id), plain)
        with parts.seals.renewed_if_unreadable("cases"):
            outcome = await sent(request, person, command_id, command)
        if outcome is None:
            return written(kind, "service_requests", [{"token": str(command_id)}], 202)
        told = {"service_request_id": outcome.subject, "service_notice": None, "account_id": None}
        return written(kind, "service_requests", [told])

    @app.get("/tokens/{token}.{kind}")
    async def request_of_token(request: Request, kind: Kind, token: str) -> Response:
        person = await caller(request)
        try:
            found = await asked(f"/commands/{UUID(token)}", person)
        except ValueError:
            raise Problem(404, "token-unknown", "There is no token like this.") from None
        outcome = CommandOutcome.model_validate(found)
        if outcome.state != "accepted":
            problem = outcome.problem
            raise Problem(
                400, problem.code if problem else outcome.state, problem.detail if problem else "Refused."
            )
        told = {"service_request_id": outcome.subject, "token": token}
        return written(kind, "service_requests", [told])

    @app.get("/servicerequestupdates.{kind}")
    async def updates(request: Request, kind: Kind) -> Response:
        person = await caller(request)
        start, end = span(_moment(request, "start_date"), _moment(request, "end_date"), parts.clock.now())
        query = [("since", start.isoformat()), ("until", end.isoformat())]
        for identifier in _words(request, "service_request_id")[:1]:
            try:
                query.append(("case", str(UUID(identifier))))
            except ValueError:
                return written(kind, "service_request_updates", [])
        found = await asked("/open311/steps", person, query)
        return written(kind, "service_request_updates", [request_update(step) for step in found["items"]])

    @app.post("/servicerequestupdates.{kind}")
    async def update(request: Request, kind: Kind) -> Response:
        form = await request.form(max_files=0, max_fields=_FIELDS_MOST)
        person = await caller(request, form)
        command = update_command(form)
        given = _text(form, "update_id")
        command_id = (
            update_id(person.actor.person, command.subject, given) if given else idempotency_key(request)
        )
        outcome = await sent(request, person, command_id, command)
        if outcome is None:
            return written(kind, "service_request_updates", [{"token": str(command_id)}], 202)
        return written(
            kind, "service_request_updates", [{"update_id": f"{outcome.subject}.{outcome.version}"}]
        )

    return app
