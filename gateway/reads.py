"""The table of reads: each is asked of one service, with the caller's token, and passed through.

Who may see what is decided by the service that holds it.
"""

# No postponed annotations here: FastAPI could not find names that are made inside functions.

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, FastAPI, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field

from gateway.answers import (
    cases,
    evaluation,
    identity,
    learning,
    motions,
    notify,
    operations,
    participation,
    routing,
)
from gateway.commands import Caller, content_of, json_response, outcome_response, refuse_unkept
from gateway.services import Answer, ServiceName, Services
from shared.contracts.identity import PlaceCode
from shared.contracts.learning import LESSON_TEXT_MAX
from shared.contracts.operations import CommandOutcome
from shared.http.callers import require
from shared.http.problems import Problem
from shared.telemetry.health import Health

PAGE = ("page", "size")
_FILE_SECONDS = 60.0
"""For files that a service makes when asked: a PDF with Chinese type takes its time on a busy machine."""
IDENTIFIER = re.compile(r"[A-Za-z0-9-]{1,60}|[0-9a-f]{64}")
"""What may stand in an address for one thing."""


@dataclass(frozen=True)
class Read:
    """One route: its path, the service that answers, its query parameters, the form of its answer."""

    path: str
    service: str
    summary: str
    query: tuple[str, ...] = ()
    public: bool = False
    answer: Any = None
    seconds: float = 10
    """How long the service may take."""


READS = (
    Read(
        "/deputies",
        "identity",
        "Deputies 人大代表",
        ("county", "town", "level", "station", "state", "q", *PAGE),
        answer=identity.DeputyPage,
    ),
    Read("/deputies/{id}", "identity", "One deputy", answer=identity.Deputy),
    Read("/codes/{code}", "identity", "The deputy or the station behind a public code 代表码", public=True),
    Read(
        "/stations",
        "identity",
        "Stations 代表联络站",
        ("county", "town", "state", *PAGE),
        answer=identity.StationPage,
    ),
    Read("/stations/{id}", "identity", "One station", answer=identity.Station),
    Read("/departments", "identity", "Departments 承办单位", PAGE, answer=identity.DepartmentPage),
    Read("/staff", "identity", "Congress staff", PAGE, answer=identity.StaffPage),
    Read(
        "/roster-imports/{id}",
        "identity",
        "The report of a roster import, row by row",
        answer=identity.RosterReport,
    ),
    Read(
        "/cases",
        "cases",
        "Cases one may see",
        (
            "q",
            "state",
            "department",
            "deputy",
            "county",
            "place",
            "category",
            "origin",
            "merged_into",
            "among",
            "owed",
            "open",
            "overdue",
            "extension_asked",
            "unrated",
            "filed_from",
            "filed_until",
            "sort",
            "after",
            *PAGE,
        ),
        answer=cases.CasePage,
    ),
    Read("/cases/{id}", "cases", "One case with its way", answer=cases.WholeCase),
    Read("/cases/{id}/photos/{digest}", "cases", "A photo of a case 照片, as JPEG", ("size",)),
    Read("/cases/{id}/documents/{digest}", "cases", "A document of a case 文件, as PDF"),
    Read("/cases/{id}/similar", "cases", "Open cases about the same 相似事项", answer=cases.SimilarCases),
    Read(
        "/case-clusters",
        "cases",
        "Many reports of one matter 集中反映, for staff",
        ("county", "days", "least", "size"),
        answer=cases.CaseClusters,
    ),
    Read("/cases/{id}/routing", "cases", "Why a case is where it is 派单依据", answer=routing.CaseRouting),
    Read(
        "/routing",
        "cases",
        "Catalogues and models, and what is in force, for staff",
        answer=routing.Routing,
    ),
    Read(
        "/cases/{id}/contact",
        "cases",
        "A resident's contact data 联系方式; the reading is noted",
        ("purpose",),
        answer=cases.Contact,
    ),
    Read(
        "/indicators",
        "cases",
        "Honest figures of cases: numerator, denominator, what was left out, for staff",
        ("county", "department", "filed_from", "filed_until", "as_of"),
    ),
    Read(
        "/overview",
        "cases",
        "What was filed, how it stands, where, and the trend 工作概览, for staff",
        ("place", "filed_from", "filed_until", "as_of"),
        answer=cases.Overview,
    ),
    Read("/webhooks", "cases", "A department's webhooks 推送地址", PAGE),
    Read("/webhooks/{id}/deliveries", "cases", "What was delivered to a webhook", ("state", *PAGE)),
    Read(
        "/motions",
        "cases",
        "Motions 议案建议 one may see",
        ("state", "kind", "level", "department", "deputy", "mine", "from_case", "from", "until", *PAGE),
        answer=motions.MotionPage,
    ),
    Read("/motions/{id}", "cases", "One motion with its way", answer=motions.WholeMotion),
    Read(
        "/motion-report",
        "cases",
        "The figures of a session 办理情况报告, for staff",
        ("from", "until", "at"),
        answer=motions.MotionReport,
    ),
    Read(
        "/motion-rules",
        "cases",
        "What the rule pack in force names: grounds, classes of answers, grades",
        answer=motions.MotionNames,
    ),
    Read("/motion-deadlines", "cases", "Open deadlines of motions, for staff", ("until", *PAGE)),
    Read(
        "/motion-promises",
        "cases",
        "What answers promised 承诺台账, for staff and departments",
        ("department", "state", "overdue", *PAGE),
        answer=motions.PromisePage,
    ),
    Read(
        "/case-referrals/{id}",
        "cases",
        "What became of a case besides",
        answer=motions.CaseReferrals,
    ),
    Read(
        "/activities",
        "participation",
        "Activities",
        ("kind", "county", *PAGE),
        answer=participation.ActivityPage,
    ),
    Read("/activities/{id}", "participation", "One activity", answer=participation.Activity),
    Read(
        "/activities/{id}/attendances",
        "participation",
        "Who signed up for an activity and who came 报名签到, for staff",
        PAGE,
        answer=participation.AttendancePage,
    ),
    Read(
        "/consultations",
        "participation",
        "Consultations",
        ("kind", "county", *PAGE),
        answer=participation.ConsultationPage,
    ),
    Read("/consultations/{id}", "participation", "One consultation", answer=participation.Consultation),
    Read(
        "/consultations/{id}/opinions",
        "participation",
        "Opinions in words, for staff",
        ("question", *PAGE),
        answer=participation.OpinionPage,
    ),
    Read(
        "/duties", "participation", "Logged duties", ("state", "deputy", *PAGE), answer=participation.DutyPage
    ),
    Read("/duties/{id}", "participation", "One duty", answer=participation.Duty),
    Read("/courses", "learning", "Courses", ("level", *PAGE), answer=learning.CoursePage),
    Read("/courses/{id}", "learning", "One course with own progress", answer=learning.Course),
    Read(
        "/courses/{id}/lessons/{key}",
        "learning",
        "One lesson with what there is to read 课文, as HTML of a few plain elements",
        answer=learning.LessonText,
    ),
    Read(
        "/courses/{id}/learners",
        "learning",
        "Who studies a course and who completed it 学习情况, for staff",
        ("completed", *PAGE),
        answer=learning.LearnerPage,
    ),
    Read("/courses/{id}/certificate", "learning", "Own certificate of a course", answer=learning.Certificate),
    Read(
        "/scores/{id}",
        "evaluation",
        "A deputy's score of a year, in hundredths of a point",
        ("year",),
        answer=evaluation.Score,
    ),
    Read(
        "/scores/{id}/explanation",
        "evaluation",
        "The list that adds up to a score: event, evidence, rule, what was capped and why, what would raise it",
        ("year", "on"),
        answer=evaluation.ScoreExplanation,
    ),
    Read(
        "/scores/{id}/sheet",
        "evaluation",
        "The same as a sheet for printing (PDF)",
        ("year", "on"),
        seconds=_FILE_SECONDS,
    ),
    Read(
        "/scores/{id}/difference",
        "evaluation",
        "What changed in a score between two days",
        ("begin", "until"),
        answer=evaluation.ScoreDifference,
    ),
    Read(
        "/ranking",
        "evaluation",
        "Deputies by score, for staff: those of their own area",
        ("year", "level", "county", *PAGE),
    ),
    Read(
        "/archive/{id}",
        "evaluation",
        "A deputy's archive 履职档案",
        ("year", "with_zero", *PAGE),
        answer=evaluation.Archive,
    ),
    Read(
        "/standings",
        "evaluation",
        "Ranks among all peers, grades, outstanding deputies within the quota, for staff: those of their own area",
        ("year", "level", "county", "outstanding", *PAGE),
        answer=evaluation.StandingPage,
    ),
    Read(
        "/scores/{id}/report",
        "evaluation",
        "Draft of a report of the year 述职 (DOCX or PDF)",
        ("year", "kind"),
        seconds=_FILE_SECONDS,
    ),
    Read(
        "/archive/{id}/parts",
        "evaluation",
        "The archive 履职档案 in its eight parts",
        answer=evaluation.ArchiveParts,
    ),
    Read(
        "/archive/{id}/package",
        "evaluation",
        "The archive as a signed package (ZIP of PDF and JSON)",
        seconds=_FILE_SECONDS,
    ),
    Read(
        "/archive/{id}/spreadsheet",
        "evaluation",
        "The archive as a spreadsheet (XLSX)",
        seconds=_FILE_SECONDS,
    ),
    Read("/archive-keys", "evaluation", "Keys that verify signed archives (JWKS)", public=True),
    Read(
        "/activity",
        "evaluation",
        "Active deputies 活跃率 by month and county, by a county's towns, or by a town's stations, for staff",
        ("year", "county", "town"),
        answer=evaluation.ActivityRates,
    ),
    Read(
        "/appeals",
        "evaluation",
        "Appeals 申诉 one may see",
        ("state", "deputy", *PAGE),
        answer=evaluation.AppealPage,
    ),
    Read("/rubrics", "evaluation", "Rubrics 评价办法", answer=tuple[evaluation.Rubric, ...]),
    Read(
        "/rubrics/{id}",
        "evaluation",
        "An adopted rubric as YAML, its last version or the one asked for, for staff",
        ("version",),
        answer=evaluation.RubricText,
    ),
    Read("/notices", "notify", "Own notices", ("unread", *PAGE), answer=notify.NoticePage),
)


class RubricDraft(BaseModel):
    """A rubric to try and the period to try it on."""

    model_config = ConfigDict(extra="forbid")

    rubric: dict[str, Any]
    begin: date | None = None
    until: date | None = None


class RubricWriting(BaseModel):
    """A rubric as it is being written, in YAML."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(max_length=100_000)]


class LessonWriting(BaseModel):
    """A lesson's text as it is being written."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(max_length=LESSON_TEXT_MAX)]


class CatalogueWriting(BaseModel):
    """A catalogue of responsibilities as it is being written, in YAML."""

    model_config = ConfigDict(extra="forbid")

    text: Annotated[str, Field(max_length=200_000)]


class RoutingDraft(BaseModel):
    """A catalogue of responsibilities to try (or a model's version, or both), and the period to try it on."""

    model_config = ConfigDict(extra="forbid")

    catalogue: dict[str, Any] | None = None
    model: str | None = Field(default=None, max_length=40)
    begin: date | None = None
    until: date | None = None


_SIMULATION_SECONDS = 120.0
_OF_BROWSERS = frozenset({"scope", "refresh_token"})
"""What makes identity answer with a refresh token, which no body of ours may hold (`browser.py`)."""


class SignIn(BaseModel):
    """Sign-in name and password."""

    model_config = ConfigDict(extra="forbid")

    login: Annotated[str, Field(min_length=1, max_length=40)]
    password: Annotated[str, Field(min_length=1, max_length=200)]


class SimilarAsked(BaseModel):
    """A case that is about to be filed; what is like it is looked for, nothing is kept."""

    model_config = ConfigDict(extra="forbid")

    title: Annotated[str, Field(max_length=200)] = ""
    text: Annotated[str, Field(min_length=1, max_length=20_000)]
    county: PlaceCode
    town: PlaceCode | None = None
    category: Annotated[str, Field(max_length=40)] | None = None


def passed_on(answer: Answer) -> Response:
    """A service's answer as the gateway's."""
    return Response(answer.body, answer.status, dict(answer.headers))


def joined(replicas: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One service's status out of its replicas': each knows the lag of its own partitions, the database is theirs in common."""
    if len(replicas) == 1:
        return replicas[0]
    found = {name: value for one in replicas for name, value in one.items()}
    lags: dict[str, int | None] = {}
    for one in replicas:
        for group, lag in one.get("lag", {}).items():
            sofar = lags.get(group, 0)
            lags[group] = None if lag is None or sofar is None else sofar + lag
    if lags:
        found["lag"] = lags
    found["ready"] = all(one["ready"] for one in replicas)
    found["reasons"] = {part: reason for one in replicas for part, reason in one["reasons"].items()}
    return found


def add(app: FastAPI, services: Services, health: Health, caller: Callable[..., Awaitable[Caller]]) -> None:
    """Add all reads."""
    who = Annotated[Caller, Depends(caller)]
    for read in READS:
        _add(app, read, services, caller)

    @app.post("/api/sign-in", summary="Sign in with name and password", tags=["me"])
    async def sign_in(body: SignIn) -> Response:
        form = {"grant_type": "password", "username": body.login, "password": body.password}
        return passed_on(await services.ask("identity", "/token", form=form))

    @app.post(
        "/api/rubric-simulations",
        summary="A period under a draft rubric beside the adopted ones; changes nothing",
        tags=["rubrics"],
        responses={200: {"model": evaluation.Simulation}},
    )
    async def simulate(body: RubricDraft, person: who) -> Response:
        require(person.actor, "staff", "operator", "simulation")
        asked = services.ask(
            "evaluation",
            "/simulations",
            token=person.token,
            body=body.model_dump(mode="json"),
            seconds=_SIMULATION_SECONDS,
        )
        return passed_on(await asked)

    @app.post(
        "/api/rubric-checks",
        summary="What is wrong with a rubric that is being written, with line and reason; keeps nothing",
        tags=["rubrics"],
        responses={200: {"model": evaluation.RubricCheck}},
    )
    async def check(body: RubricWriting, person: who) -> Response:
        require(person.actor, "staff", "operator", "simulation")
        asked = {"text": body.text}
        return passed_on(await services.ask("evaluation", "/rubric-checks", token=person.token, body=asked))

    @app.post(
        "/api/lesson-previews",
        summary="A lesson that is being written, as deputies would see it; keeps nothing",
        tags=["courses"],
        responses={200: {"model": learning.LessonPreview}},
    )
    async def preview(body: LessonWriting, person: who) -> Response:
        require(person.actor, "staff")
        asked = {"text": body.text}
        return passed_on(await services.ask("learning", "/lesson-previews", token=person.token, body=asked))

    @app.post(
        "/api/routing-replays",
        summary="What a draft catalogue or model would have done with past cases; changes nothing",
        tags=["routing"],
        responses={200: {"model": routing.RoutingReplay}},
    )
    async def replay(body: RoutingDraft, person: who) -> Response:
        require(person.actor, "staff", "operator", "simulation")
        asked = services.ask(
            "cases",
            "/routing/replays",
            token=person.token,
            body=body.model_dump(mode="json"),
            seconds=_SIMULATION_SECONDS,
        )
        return passed_on(await asked)

    @app.post(
        "/api/routing-checks",
        summary="What is wrong with a catalogue that is being written, with line and reason; keeps nothing",
        tags=["routing"],
        responses={200: {"model": routing.CatalogueCheck}},
    )
    async def check_catalogue(body: CatalogueWriting, person: who) -> Response:
        require(person.actor, "staff", "operator", "simulation")
        asked = services.ask(
            "cases",
            "/routing/checks",
            token=person.token,
            body={"text": body.text},
            seconds=_SIMULATION_SECONDS,
        )
        return passed_on(await asked)

    @app.post("/api/token", summary="Tokens for machines (OAuth 2.0)", tags=["me"])
    async def token(request: Request) -> Response:
        given = await request.form()
        form = {k: v for k, v in given.items() if isinstance(v, str) and k not in _OF_BROWSERS}
        return passed_on(await services.ask("identity", "/token", form=form))

    @app.post(
        "/api/cases/similar",
        summary="Open cases about the same, before filing 相似事项",
        tags=["cases"],
        responses={200: {"model": cases.SimilarCases}},
    )
    async def similar(body: SimilarAsked, person: who) -> Response:
        asked = content_of(body)
        refuse_unkept(asked)
        return passed_on(await services.ask("cases", "/cases/similar", token=person.token, body=asked))

    @app.get("/api/me", summary="Who one is", tags=["me"], responses={200: {"model": identity.Me}})
    async def me(person: who) -> Response:
        return passed_on(await services.ask("identity", f"/people/{person.actor.person}", token=person.token))

    @app.get(
        "/api/commands/{service}/{command_id}", summary="The outcome of one's own command", tags=["commands"]
    )
    async def outcome(service: ServiceName, command_id: UUID, person: who) -> Response:
        answer = await services.ask(service, f"/commands/{command_id}", token=person.token)
        if answer.status != 200:
            return passed_on(answer)
        return outcome_response(CommandOutcome.model_validate_json(answer.body))

    async def said(asked: Awaitable[Answer], service: str) -> dict[str, Any]:
        """What a service says, or that it is not ready and why."""
        try:
            answer = await asked
        except Problem as problem:
            return {"ready": False, "reasons": {service: problem.detail}}
        if answer.status != 200:
            return {"ready": False, "reasons": {service: f"answered {answer.status}"}}
        found: dict[str, Any] = json.loads(answer.body)
        return found

    @app.get("/api/figures", summary="Counts of every service, for staff", tags=["operations"])
    async def figures(person: who) -> Response:
        require(person.actor, "staff", "operator", "simulation")
        asked = (said(services.ask(name, "/figures", token=person.token), name) for name in services.names)
        return json_response(dict(zip(services.names, await asyncio.gather(*asked), strict=True)))

    @app.get("/api/operations/status", summary="Readiness, lag, outbox, dead letters", tags=["operations"])
    async def status(person: who) -> Response:
        require(person.actor, "operator", "simulation")

        async def of(service: str) -> dict[str, Any]:
            asked = services.ask_each(service, "/status", token=person.token)
            return joined(await asyncio.gather(*(said(one, service) for one in asked)))

        found = await asyncio.gather(*map(of, services.names))
        gateway = {"ready": not health.unready(), "reasons": health.unready()}
        return json_response({"services": dict(zip(services.names, found, strict=True)), "gateway": gateway})

    for path in ("/operations/{service}/dead-letters", "/operations/{service}/dead-letters/{id}"):
        _add_operations(app, path, services, caller)


def _query(request: Request) -> str:
    """The query as it came; bytes that are no text are replaced, so that the service refuses them."""
    return bytes(request.scope["query_string"]).decode("utf-8", "replace")


def _add(app: FastAPI, read: Read, services: Services, caller: Callable[..., Awaitable[Caller]]) -> None:
    async def ask(request: Request, token: str | None) -> Response:
        if not all(IDENTIFIER.fullmatch(str(value)) for value in request.path_params.values()):
            raise Problem(404, "not-found", "There is nothing under this name.")
        path = read.path.format(**request.path_params)
        asked = services.ask(read.service, path, token=token, query=_query(request), seconds=read.seconds)
        return passed_on(await asked)

    if read.public:

        async def anybody(request: Request) -> Response:
            return await ask(request, None)

        endpoint: Callable[..., Awaitable[Response]] = anybody
    else:

        async def somebody(request: Request, person: Any) -> Response:
            return await ask(request, person.token)

        somebody.__annotations__ = {
            "request": Request,
            "person": Annotated[Caller, Depends(caller)],
            "return": Response,
        }
        endpoint = somebody
    parameters = [
        {"name": name, "in": "query", "required": False, "schema": {"type": "string"}} for name in read.query
    ] + [
        {"name": part[1:-1], "in": "path", "required": True, "schema": {"type": "string"}}
        for part in read.path.split("/")
        if part.startswith("{")
    ]
    app.add_api_route(
        f"/api{read.path}",
        endpoint,
        methods=["GET"],
        summary=read.summary,
        tags=[read.path.split("/")[1]],
        operation_id="get_"
        + read.path.strip("/").replace("/", "_").replace("{", "").replace("}", "").replace("-", "_"),
        responses={200: {"model": read.answer}} if read.answer else None,
        openapi_extra={"parameters": parameters},
    )


def _add_operations(
    app: FastAPI, path: str, services: Services, caller: Callable[..., Awaitable[Caller]]
) -> None:
    async def letters(request: Request, service: str, person: Any) -> Response:
        letter = request.path_params.get("id")
        if letter is not None and not IDENTIFIER.fullmatch(letter):
            raise Problem(404, "not-found", "There is nothing under this name.")
        rest = "/dead-letters" + (f"/{letter}" if letter else "")
        return passed_on(await services.ask(service, rest, token=person.token, query=_query(request)))

    letters.__annotations__ = {
        "request": Request,
        "service": ServiceName,
        "person": Annotated[Caller, Depends(caller)],
        "return": Response,
    }
    one = "{id}" in path
    parameters = [
        {"name": name, "in": place, "required": place == "path", "schema": {"type": "string"}}
        for name, place in ([("id", "path")] if one else [(name, "query") for name in ("state", *PAGE)])
    ]
    app.add_api_route(
        f"/api{path}",
        letters,
        methods=["GET"],
        summary="A dead letter of a service, without its content"
        if one
        else "Dead letters of a service 死信",
        tags=["operations"],
        operation_id="get_dead_letter" if one else "get_dead_letters",
        responses={200: {"model": operations.DeadLetter if one else operations.DeadLetterPage}},
        openapi_extra={"parameters": parameters},
    )
