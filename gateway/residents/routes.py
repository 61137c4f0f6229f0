"""The addresses of the resident's page, and what their forms ask for."""

# No postponed annotations here: FastAPI could not find names that are made inside functions.

import asyncio
import hmac
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any
from uuid import UUID, uuid4

from fastapi import FastAPI, Path, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import ValidationError
from starlette.datastructures import UploadFile

from gateway.browser import require_own_page
from gateway.concerns import CODE, NOTICE, Concern, Concerns
from gateway.following import LINK, Erasure, Following, Opened, Rating, Said
from gateway.intake import Intake, digest_of
from gateway.residents.photos import PHOTOS_MAX, Photos
from gateway.residents.rendering import LOOKS, WORDS, page
from gateway.services import Services
from shared.contracts import cases
from shared.contracts.registry import Contract
from shared.http.problems import Problem, as_json
from shared.places import Place
from shared.receipts import shown

RECEIPT_SHOWN_SECONDS = 15 * 60
"""How long after submitting the browser that did so is shown the follow link."""
_COUNTY_DIGITS = 6
_LATE = Problem(202, "pending", "It is on its way; send it again to see.")
_FAULT_OF_PROBLEM: Mapping[str, Mapping[str, str]] = {
    "county-needed": {"place": "missing"},
    "deputy-not-there": {"deputy": "gone"},
    "photo-unknown": {"photos": "gone"},
    "too-many-photos": {"photos": "full"},
}
"""What is said at a field, though the service found it."""
_FIELD_FAULTS = {"missing": "missing", "string_too_short": "missing", "string_too_long": "long"}

_ACTIONS: Mapping[str, type[Contract]] = {
    "supply": cases.SupplyConcern,
    "reopen": cases.ReopenConcern,
    "object": cases.ObjectToConcern,
    "rate": cases.RateConcern,
    "withdraw": cases.WithdrawConcern,
    "erase-contact": cases.EraseConcern,
    "erase-all": cases.EraseConcern,
    "close-link": cases.CloseFollowLink,
}
_SURE = frozenset({"withdraw", "erase-all"})
"""What cannot be taken back needs a tick besides."""

Receipt = Annotated[str, Path(max_length=60)]


def wrong(request: Request, problem: Problem) -> Response:
    """The page for what cannot be shown: what is the matter, and the ways on."""
    found = page(
        request,
        "start.html",
        status=problem.status,
        problem=_word_of(problem),
        done=None,
        filled={},
    )
    found.headers.update(problem.headers or {})
    return found


def answer(request: Request, problem: Problem) -> Response:
    """What the gateway says of an error: to residents, who are people with a browser, as a page."""
    path = request.url.path
    return wrong(request, problem) if path == "/r" or path.startswith("/r/") else as_json(request, problem)


def _word_of(problem: Problem) -> str:
    key = f"problem.{problem.code}"
    return key if key in WORDS["zh"] else "problem.other"


async def _form(request: Request) -> dict[str, str]:
    """The fields of a form as text: line ends as they are everywhere else, no blanks around."""
    found = await request.form()
    return {
        name: value.replace("\r\n", "\n").strip()
        for name, value in found.items()
        if not isinstance(value, UploadFile)
    }


def _id_of(form: Mapping[str, str]) -> UUID:
    """The id that a form brings, by which a repetition is known; a new one where it is none."""
    try:
        return UUID(form.get("id", ""))
    except ValueError:
        return uuid4()


def _refuse_foreign(request: Request) -> None:
    """Raise Problem 403 where the browser says that another site's page has sent the form.

    Browsers before 2020 say nothing: then the cookie's `SameSite` and the form's own token must do.
    """
    if "sec-fetch-site" in request.headers:
        require_own_page(request)


def _faults(error: ValidationError) -> dict[str, str]:
    """What is wrong with which field, as keys of words."""
    return {str(one["loc"][0]): _FIELD_FAULTS.get(one["type"], "signs") for one in error.errors()}


def add(
    app: FastAPI,
    concerns: Concerns,
    following: Following,
    intake: Intake,
    services: Services,
    city: Place,
    photos: Photos,
) -> None:
    """Add the pages."""
    places = {place.code: place for place in _every(city)}

    def place_name(code: str | None) -> str:
        return "" if code is None else places[code].name if code in places else code

    async def owner_of(code: str) -> dict[str, Any]:
        """The deputy or the station behind a code, as the public may know them."""
        answer = await services.ask("identity", f"/codes/{code}")
        if answer.status == 404:
            raise Problem(404, "deputy-unknown", "There is no active deputy or open station with this code.")
        if answer.status != 200:
            raise Problem(503, "service-away", "The code cannot be looked up now; try again soon.")
        found: dict[str, Any] = json.loads(answer.body)
        return found

    async def department_names() -> dict[str, str]:
        """What departments are called; where that cannot be had now, their codes have to do."""
        person = await intake.gateway()
        try:
            answer = await services.ask("identity", "/departments", token=person.token, query="size=500")
        except Problem:
            return {}
        if answer.status != 200:
            return {}
        return {one["code"]: one["name"] for one in json.loads(answer.body)["items"]}

    async def code_page(
        request: Request,
        code: str,
        owner: Mapping[str, Any],
        *,
        form: Mapping[str, str],
        faults: Mapping[str, str],
        digests: Sequence[str] = (),
        problem: Problem | None = None,
        status: int = 200,
    ) -> Response:
        own = owner["county"]
        counties = [place for place in city.children if own in (None, place.code)]
        return page(
            request,
            "code.html",
            status=status,
            code=code,
            owner=owner,
            place=" ".join(filter(None, map(place_name, (own, owner["town"])))),
            counties=counties,
            form=form,
            faults=faults,
            photos=await photos.shown(digests, UUID(form["id"])),
            photos_max=PHOTOS_MAX,
            problem=_word_of(problem) if problem else None,
            notice=NOTICE,
        )

    async def concern_page(
        request: Request,
        opened: Opened,
        *,
        form: Mapping[str, str],
        action: str = "",
        fault: str | None = None,
        photo_fault: str | None = None,
        digests: Sequence[str] = (),
        problem: Problem | None = None,
        status: int = 200,
    ) -> Response:
        found, names = await asyncio.gather(following.seen(opened.digest), department_names())
        secret = None
        if opened.told_until > time.time():
            derived = intake.secret(UUID(found["case_id"]))
            if hmac.compare_digest(digest_of(derived), opened.digest):
                secret = derived
        done = request.query_params.get("done", "")
        codes: dict[str, Callable[[str], str]] = {
            "place": place_name,
            "department": lambda code: names.get(code, code),
        }
        return page(
            request,
            "concern.html",
            status=status,
            concern=found["concern"],
            receipt=shown(opened.receipt),
            secret=secret,
            link=f"{request.url.scheme}://{request.url.netloc}{LINK.format(secret=secret)}",
            start=f"{request.url.netloc}/r/",
            token=form_token(opened),
            ids={name: str(uuid4()) for name in _ACTIONS} | ({action: form["id"]} if "id" in form else {}),
            department_name=codes["department"],
            named=lambda about: {k: codes[k](v) if k in codes else v for k, v in about.items()},
            form=form,
            action=action,
            fault=fault,
            photo_fault=photo_fault,
            photos=await photos.shown(digests, UUID(form["id"])) if digests else [],
            photos_max=PHOTOS_MAX,
            problem=_word_of(problem) if problem else None,
            done=done if done in _ACTIONS else None,
        )

    def form_token(opened: Opened) -> str:
        """What a form on an opened concern must bring; only that page has it."""
        return hmac.digest(intake.cookie_key(), f"form/{opened.digest}".encode(), "sha256").hex()

    @app.get("/r/looks.css", include_in_schema=False)
    async def looks() -> Response:
        kept = {"Cache-Control": "public, max-age=31536000, immutable"}
        return Response(LOOKS, headers=kept, media_type="text/css; charset=utf-8")

    @app.get("/r", include_in_schema=False)
    async def home() -> Response:
        return RedirectResponse("/r/", 303)

    @app.get("/r/", include_in_schema=False)
    async def start(request: Request) -> Response:
        code = request.query_params.get("code", "").strip()
        if code:
            if all(sign.isascii() and (sign.isalnum() or sign == "-") for sign in code) and len(code) <= 20:
                return RedirectResponse(f"/r/{code}", 303)
            unknown = "There is no active deputy or open station with this code."
            return wrong(request, Problem(404, "deputy-unknown", unknown))
        done = request.query_params.get("done")
        told = "close-link" if done == "close-link" else None
        return page(request, "start.html", problem=None, done=told, filled={})

    @app.post("/r/", include_in_schema=False)
    async def find(request: Request) -> Response:
        form = await _form(request)
        try:
            _refuse_foreign(request)
            secret = form.get("secret", "").rsplit("/", 1)[-1]  # the whole link is as good
            opened = await following.open(request, secret[:60], form.get("receipt", "")[:60])
        except Problem as problem:
            filled = {"receipt": form.get("receipt", "")}
            word = "problem.not-found-together" if problem.code == "follow-unknown" else _word_of(problem)
            return page(request, "start.html", status=problem.status, problem=word, done=None, filled=filled)
        answer = RedirectResponse(f"/r/concerns/{shown(opened.receipt)}", 303)
        following.keep(answer, opened)
        return answer

    @app.get("/r/concerns/{receipt}", include_in_schema=False)
    async def concern(request: Request, receipt: Receipt) -> Response:
        try:
            return await concern_page(request, following.kept(request, receipt), form={})
        except Problem as problem:
            return wrong(request, problem)

    @app.post("/r/concerns/{receipt}/{action}", include_in_schema=False)
    async def say(request: Request, receipt: Receipt, action: str) -> Response:
        try:
            _refuse_foreign(request)
            opened = following.kept(request, receipt)
            brought = await photos.read(request)
            form = brought.fields
            if not hmac.compare_digest(form.get("token", "").encode(), form_token(opened).encode()):
                raise Problem(403, "foreign-page", "The form is not of this page.")
            if action not in _ACTIONS:
                raise Problem(404, "not-found", "There is no such page.")
        except Problem as problem:
            return wrong(request, problem)
        command_id = _id_of(form)
        form["id"] = str(command_id)
        digests: list[str] = []
        wrong_photo = None
        if action == "supply":
            digests, wrong_photo = await photos.taken(request, brought, command_id)
        await request.close()

        async def again(
            status: int, *, fault: str = "", photos: str | None = None, problem: Problem | None = None
        ) -> Response:
            """The concern's page with what was typed; where even that cannot be shown, why."""
            try:
                return await concern_page(
                    request,
                    opened,
                    form=form,
                    action=action,
                    fault=fault or None,
                    photo_fault=f"fault.photos.{photos}" if photos else None,
                    digests=() if photos == "gone" else digests,
                    problem=problem,
                    status=status,
                )
            except Problem as unshown:
                return wrong(request, unshown)

        try:
            plain = _asked(action, form)
        except ValidationError as error:
            fault = f"fault.{action}.{next(iter(_faults(error).values()))}"
            return await again(422, fault=fault, photos=wrong_photo)
        if action in _SURE and "sure" not in form:
            return await again(422, fault="fault.sure")
        if wrong_photo:
            return await again(422, photos=wrong_photo)
        try:
            outcome = await following.say(request, opened, command_id, _ACTIONS[action], plain, digests)
        except Problem as problem:
            found = _FAULT_OF_PROBLEM.get(problem.code, {}).get("photos")
            return await again(problem.status, photos=found, problem=None if found else problem)
        if outcome is None:
            return await again(202, problem=_LATE)
        if action == "close-link":
            return RedirectResponse("/r/?done=close-link", 303)
        return RedirectResponse(f"/r/concerns/{shown(opened.receipt)}?done={action}", 303)

    @app.get("/r/{code}", include_in_schema=False)
    async def code_of(request: Request, code: Annotated[str, Path(pattern=CODE)]) -> Response:
        try:
            owner = await owner_of(code)
        except Problem as problem:
            return wrong(request, problem)
        blank = {"id": str(uuid4()), "place": owner["town"] or ""}
        return await code_page(request, code, owner, form=blank, faults={})

    @app.post("/r/{code}", include_in_schema=False)
    async def submit(request: Request, code: Annotated[str, Path(pattern=CODE)]) -> Response:
        try:
            _refuse_foreign(request)
            owner = await owner_of(code)
            brought = await photos.read(request)
        except Problem as problem:
            return wrong(request, problem)
        form = brought.fields
        command_id = _id_of(form)
        form["id"] = str(command_id)
        digests, fault = await photos.taken(request, brought, command_id)
        await request.close()

        async def again(status: int, faults: Mapping[str, str], problem: Problem | None = None) -> Response:
            kept = () if faults.get("photos") == "gone" else digests
            return await code_page(
                request, code, owner, form=form, faults=faults, digests=kept, problem=problem, status=status
            )

        faults = {"deputy": "gone"} if _picked_is_gone(form, owner) else {}
        faults |= {"photos": fault} if fault else {}
        try:
            body = Concern.model_validate(_concern(form, places, owner))
        except ValidationError as error:
            return await again(422, _faults(error) | faults)
        faults |= {"consent": "missing"} if body.consent != NOTICE["version"] else {}
        if faults:
            return await again(422, faults)
        try:
            person = await intake.gateway()
            taken = await concerns.take_in(request, person, code, body, command_id, photos=digests)
        except Problem as problem:
            found = _FAULT_OF_PROBLEM.get(problem.code, {})
            return await again(problem.status, found, None if found else problem)
        if taken is None:
            return await again(202, {}, _LATE)
        answer = RedirectResponse(f"/r/concerns/{shown(taken.receipt)}", 303)
        opened = Opened(taken.receipt, digest_of(taken.secret))
        following.keep(answer, replace(opened, told_until=int(time.time()) + RECEIPT_SHOWN_SECONDS))
        return answer


def _every(place: Place) -> list[Place]:
    return [place, *(inside for child in place.children for inside in _every(child))]


def _concern(
    form: Mapping[str, str], places: Mapping[str, Place], owner: Mapping[str, Any]
) -> dict[str, Any]:
    """A form's fields as the body of a concern; a place that is none of the city's is as good as none."""
    found: dict[str, Any] = {name: form.get(name, "") for name in ("title", "text", "consent")}
    if form.get("contact"):
        found["contact"] = form["contact"]
    if owner["kind"] == "station" and form.get("deputy"):
        found["deputy"] = form["deputy"]
    code = form.get("place", "")
    if code in places and code != owner["county"]:
        found["county"] = code[:_COUNTY_DIGITS]
        if len(code) > _COUNTY_DIGITS:
            found["town"] = code
    return found


def _picked_is_gone(form: Mapping[str, str], owner: Mapping[str, Any]) -> bool:
    """Whether the deputy picked on a station's page does not, or no longer, belong to it."""
    if owner["kind"] != "station" or not form.get("deputy"):
        return False
    return form["deputy"] not in {deputy["code"] for deputy in owner["deputies"]}


def _asked(action: str, form: Mapping[str, str]) -> dict[str, Any]:
    """What an action's form asks for, as JSON-ready content. Raises ValidationError."""
    if action in {"supply", "reopen", "object"}:
        return Said.model_validate({"text": form.get("text", "")}).model_dump(mode="json")
    if action == "rate":
        given = {name: form[name] for name in ("stars", "attitude", "result") if form.get(name)}
        return Rating.model_validate(given).model_dump(mode="json")
    if action.startswith("erase-"):
        return Erasure.model_validate({"what": action.removeprefix("erase-")}).model_dump(mode="json")
    return {}
