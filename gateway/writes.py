"""The table of writes: path, command, and how the body becomes it. Everything that people can change.

Invariants: bodies refuse unknown fields; a new thing takes its id from the body's `id`, else from the
command's; residents' words and passwords are sealed before they leave, and only for who may send them.
"""

# No postponed annotations here: FastAPI could not find names that are made inside functions.

import base64
import json
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, get_args, get_origin
from uuid import UUID

from fastapi import Depends, FastAPI, Path, Request
from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field, create_model

from gateway.commands import (
    Caller,
    Command,
    Commands,
    content_of,
    idempotency_key,
    json_response,
    refuse_unkept,
    require_role,
)
from gateway.sealing import Seals
from gateway.services import ServiceName
from shared.contracts import (
    cases,
    evaluation,
    identity,
    learning,
    motions,
    notify,
    operations,
    participation,
    routing,
    webhooks,
)
from shared.contracts.registry import Contract
from shared.http.callers import require

DEPARTMENT_CODE = r"^[a-z0-9-]{2,40}$"
PERSON = r"^[a-z0-9:-]{2,60}$"
_RUBRIC_NAME = re.compile(r"[A-Za-z0-9_-]{1,40}")


TEXT = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"
"""Text without control characters: as JSON they take six bytes each, and the sealed text has a limit."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Position(cases.Position):
    """Where a case is, in WGS-84 degrees; accuracy in metres."""

    model_config = ConfigDict(extra="forbid")


class CaseFiling(_Strict):
    """A case 督事 as the deputy writes it, or staff for what they found (origin `staff`).

    Title, text, contact and position are sealed before they leave.
    """

    id: UUID | None = None
    title: Annotated[str, Field(min_length=1, max_length=200, pattern=TEXT)]
    text: Annotated[str, Field(min_length=1, max_length=20_000, pattern=TEXT)]
    contact: Annotated[str, Field(max_length=200, pattern=TEXT)] | None = None
    county: identity.PlaceCode
    town: identity.PlaceCode | None = None
    position: Position | None = None
    category: Annotated[str, Field(max_length=40)] | None = None
    origin: cases.Origin = "own"
    photos: cases.Photos = ()


class CaseSplit(_Strict):
    """A part of a case as staff write it for a case of its own 拆分; title and text are sealed."""

    id: UUID | None = None
    title: Annotated[str, Field(min_length=1, max_length=200, pattern=TEXT)]
    text: Annotated[str, Field(min_length=1, max_length=20_000, pattern=TEXT)]
    category: Annotated[str, Field(max_length=40)] | None = None
    reason: cases.Note = ""


class Supply(_Strict):
    """What the filer supplies to a department's question 补充情况; the text is sealed before it leaves."""

    text: Annotated[str, Field(min_length=1, max_length=5_000, pattern=TEXT)]
    photos: cases.Photos = ()
    documents: cases.Documents = ()


class WebhookRegistration(_Strict):
    """Where a department has its messages delivered; an operator names the department."""

    id: UUID | None = None
    url: Annotated[str, Field(min_length=1, max_length=500, pattern=TEXT)]
    department: identity.DepartmentCode | None = None


class MotionText(_Strict):
    """A motion 议案建议 as the deputy writes it; a bill says its cause 案由, basis 案据 and plan 方案. It is sealed."""

    title: Annotated[str, Field(min_length=1, max_length=200, pattern=TEXT)]
    text: Annotated[str, Field(min_length=1, max_length=20_000, pattern=TEXT)]
    cause: Annotated[str, Field(max_length=5_000, pattern=TEXT)] | None = None
    basis: Annotated[str, Field(max_length=20_000, pattern=TEXT)] | None = None
    plan: Annotated[str, Field(max_length=20_000, pattern=TEXT)] | None = None


class MotionDrafting(MotionText):
    """A new motion."""

    id: UUID | None = None
    kind: motions.MotionKind
    secret: bool = False
    from_case: UUID | None = None


class MotionRevision(MotionText):
    """A motion rewritten, whole."""

    kind: motions.MotionKind | None = None
    secret: bool | None = None


CASE_WORDS = ("title", "text", "contact", "position")
"""Of a case that is filed: what is sealed."""
_MOTION_WORDS = tuple(MotionText.model_fields)


class Password(_Strict):
    """Sign-in name and password; both are sealed before they leave."""

    login: Annotated[str, Field(min_length=3, max_length=40)]
    password: Annotated[str, Field(min_length=10, max_length=200)]


@dataclass(frozen=True)
class Write:
    """One route. `new` marks routes that make a thing; `code` those whose subject is a department's code."""

    method: str
    path: str
    command: type[Contract]
    summary: str
    new: bool = False
    code: bool = False


WRITES = (
    Write("POST", "/cases/{subject}/take-up", cases.TakeUpConcern, "Take a resident's concern up 接收"),
    Write(
        "POST",
        "/cases/{subject}/explain",
        cases.ExplainConcern,
        "Answer a resident's concern oneself 解释说明",
    ),
    Write("POST", "/cases/{subject}/decline", cases.DeclineConcern, "Do not take a concern up 不予受理"),
    Write("POST", "/cases/{subject}/route", cases.RouteCase, "Send a case in triage to a department 派单"),
    Write("POST", "/cases/{subject}/transfer", cases.TransferCase, "Move a case to another department 转办"),
    Write("POST", "/cases/{subject}/accept", cases.AcceptCase, "Take a case on 签收"),
    Write("POST", "/cases/{subject}/progress", cases.ProgressCase, "Say how far a case is 办理进展"),
    Write("POST", "/cases/{subject}/ask", cases.AskFiler, "Ask the filer for what is lacking 请求补充"),
    Write("POST", "/cases/{subject}/return", cases.ReturnCase, "Hand a case back 退回"),
    Write("POST", "/cases/{subject}/extension", cases.AskExtension, "Ask for more time 申请延期"),
    Write(
        "POST", "/cases/{subject}/extension/decision", cases.DecideExtension, "Grant or refuse it 审批延期"
    ),
    Write("POST", "/cases/{subject}/co-handlers", cases.CoHandle, "Add co-handling departments 会办"),
    Write("POST", "/cases/{subject}/opinion", cases.GiveOpinion, "Give a co-handler's opinion 会办意见"),
    Write("POST", "/cases/{subject}/answer", cases.AnswerCase, "Answer a case 答复"),
    Write("POST", "/cases/{subject}/close", cases.CloseCase, "Close a case 办结"),
    Write("POST", "/cases/{subject}/rate", cases.RateCase, "Rate a case 评价"),
    Write("POST", "/cases/{subject}/reopen", cases.ReopenCase, "Have a case handled again 重新办理"),
    Write("POST", "/cases/{subject}/urge", cases.UrgeCase, "Urge the department 催办"),
    Write("POST", "/cases/{subject}/supervise", cases.SuperviseCase, "Put a case under supervision 督办"),
    Write("POST", "/cases/{subject}/withdraw", cases.WithdrawCase, "Withdraw one's own case 撤回"),
    Write("POST", "/cases/{subject}/merge", cases.MergeCase, "Merge a case into another 并案"),
    Write("POST", "/cases/{subject}/gather", cases.GatherCases, "Merge many reports into a case 批量并案"),
    Write("POST", "/cases/{subject}/join", cases.JoinCase, "Join a case as having met the same 附议"),
    Write(
        "PUT",
        "/routing/catalogues/{subject}",
        routing.AdoptCatalogue,
        "Adopt a catalogue of responsibilities 派单目录",
        code=True,
    ),
    Write(
        "POST",
        "/routing/models/{subject}/adopt",
        routing.AdoptModel,
        "Route by a classifier that passed its check 启用分类模型",
        code=True,
    ),
    Write("DELETE", "/webhooks/{subject}", webhooks.RemoveWebhook, "Remove a webhook 注销推送地址"),
    Write("POST", "/webhooks/{subject}/replay", webhooks.ReplayWebhook, "Deliver again 重新推送"),
    Write("POST", "/case-referrals", motions.ReferCase, "Make a case a project lead 民生实事线索", new=True),
    Write(
        "POST", "/motions/{subject}/invitations", motions.InviteCosigners, "Ask deputies to co-sign 邀请联名"
    ),
    Write(
        "POST",
        "/motions/{subject}/cosign",
        motions.CosignMotion,
        "Confirm having read it and co-sign 联名确认",
    ),
    Write("POST", "/motions/{subject}/decline", motions.DeclineMotion, "Do not co-sign 谢绝联名"),
    Write(
        "POST", "/motions/{subject}/uncosign", motions.UncosignMotion, "Take one's signature back 退出联名"
    ),
    Write("POST", "/motions/{subject}/submit", motions.SubmitMotion, "Submit a motion 提交议案建议"),
    Write("POST", "/motions/{subject}/withdraw", motions.WithdrawMotion, "Withdraw one's own motion 撤回"),
    Write(
        "POST",
        "/motions/{subject}/give-back",
        motions.GiveBackMotion,
        "Return a motion for correction 退回修改",
    ),
    Write("POST", "/motions/{subject}/accept", motions.AcceptMotion, "Accept and register a motion 受理登记"),
    Write("POST", "/motions/{subject}/refuse", motions.RefuseMotion, "Do not accept a motion 不予受理"),
    Write(
        "POST", "/motions/{subject}/refer", motions.ReferBill, "Refer a bill to a committee 交专门委员会审议"
    ),
    Write("POST", "/motions/{subject}/advise", motions.AdviseOnBill, "Record a committee's report 审议报告"),
    Write(
        "POST",
        "/motions/{subject}/decide",
        motions.DecideOnBill,
        "Put a bill on the agenda, or decide on the report 列入议程、审议结果报告",
    ),
    Write("POST", "/motions/{subject}/conclude", motions.ConcludeBill, "Record a bill's end 表决"),
    Write("POST", "/motions/{subject}/assign", motions.AssignMotion, "Assign a motion to departments 交办"),
    Write(
        "POST",
        "/motions/{subject}/object",
        motions.ObjectToMotion,
        "Say that it is not one's business 申请退回",
    ),
    Write(
        "POST",
        "/motions/{subject}/contact",
        motions.ContactDeputy,
        "Record a contact with the deputy 与代表沟通",
    ),
    Write(
        "POST",
        "/motions/{subject}/opinion",
        motions.GiveMotionOpinion,
        "Give a co-handler's opinion on a motion 会办意见",
    ),
    Write(
        "POST",
        "/motions/{subject}/extension",
        motions.AskMotionExtension,
        "Ask for more time on a motion 申请延期",
    ),
    Write(
        "POST",
        "/motions/{subject}/extension/decision",
        motions.DecideMotionExtension,
        "Grant or refuse it 审批延期",
    ),
    Write("POST", "/motions/{subject}/answer", motions.AnswerMotion, "Answer a motion 答复"),
    Write(
        "POST",
        "/motions/{subject}/supervise",
        motions.SuperviseMotion,
        "Put a motion under key supervision 重点督办",
    ),
    Write("POST", "/motions/{subject}/rate", motions.RateMotion, "Rate the answer 评价"),
    Write(
        "POST",
        "/motions/{subject}/promises/report",
        motions.ReportPromise,
        "Report how a promise was kept 报告承诺落实",
    ),
    Write(
        "POST",
        "/motions/{subject}/promises/rate",
        motions.RatePromise,
        "Rate how a promise was kept 评价承诺落实",
    ),
    Write(
        "PUT",
        "/departments/{subject}",
        identity.RegisterDepartment,
        "Register a department 承办单位",
        code=True,
    ),
    Write("PUT", "/staff/{subject}", identity.RegisterStaff, "Register a member of staff"),
    Write("PUT", "/stations/{subject}", identity.RegisterStation, "Register or change a station 代表联络站"),
    Write("POST", "/activities", participation.AnnounceActivity, "Announce an activity 代表活动", new=True),
    Write("POST", "/activities/{subject}/sign-up", participation.SignUp, "Sign up 报名"),
    Write(
        "POST",
        "/activities/{subject}/check-in",
        participation.CheckIn,
        "Check in with the activity's code 签到",
    ),
    Write("POST", "/consultations", participation.OpenConsultation, "Open a consultation 意见征集", new=True),
    Write(
        "POST", "/consultations/{subject}/answers", participation.AnswerConsultation, "Answer a consultation"
    ),
    Write("POST", "/consultations/{subject}/close", participation.CloseConsultation, "Close a consultation"),
    Write("POST", "/duties", participation.DeclareDuty, "Log a duty 履职登记", new=True),
    Write("POST", "/duties/{subject}/confirm", participation.ConfirmDuty, "Confirm a duty"),
    Write("POST", "/duties/{subject}/reject", participation.RejectDuty, "Reject a duty"),
    Write("POST", "/duties/{subject}/withdraw", participation.WithdrawDuty, "Withdraw a duty"),
    Write(
        "POST", "/archive-notes", evaluation.NoteInArchive, "Note a report 述职 or an honour 奖励", new=True
    ),
    Write("POST", "/archive-notes/{subject}/strike", evaluation.StrikeNote, "Strike a note"),
    Write("POST", "/appeals", evaluation.AppealScore, "Contest a row of one's own score 申诉", new=True),
    Write("POST", "/appeals/{subject}/decide", evaluation.DecideAppeal, "Uphold or dismiss an appeal"),
    Write("POST", "/appeals/{subject}/withdraw", evaluation.WithdrawAppeal, "Take an appeal back"),
    Write("POST", "/courses", learning.PublishCourse, "Publish a course 网上学堂", new=True),
    Write("PUT", "/courses/{subject}", learning.DraftCourse, "Save a course as a draft 草稿"),
    Write("POST", "/courses/{subject}/lessons", learning.WriteLesson, "Write or correct a lesson 课文"),
    Write("POST", "/courses/{subject}/progress", learning.RecordProgress, "Record lessons and quiz answers"),
    Write("POST", "/courses/{subject}/complete", learning.CompleteCourse, "Complete a course"),
)


def strict_body(command: type[Contract], *, new: bool = False) -> type[BaseModel]:
    """The command's data as a request body: unknown fields are refused, a new thing may bring its id."""
    return _strict(command, {"id": (UUID | None, None)} if new else {})


def _strict(model: type[Contract], more: dict[str, Any]) -> type[BaseModel]:
    """A model that refuses unknown fields, also in the things that it lists."""
    fields = dict(more)
    for name, field in model.model_fields.items():
        item, *_ = get_args(field.annotation) or (None,)
        if get_origin(field.annotation) is tuple and isinstance(item, type) and issubclass(item, Contract):
            fields[name] = (tuple[_strict_part(item), ...], field)  # type: ignore[misc]
    # "constants": NaN must stay what it is until it is refused, and not become null in silence.
    config = ConfigDict(extra="forbid", ser_json_inf_nan="constants")
    base = type(model.__name__, (model,), {"__module__": __name__, "model_config": config})
    return create_model(model.__name__, __base__=base, __doc__=model.__doc__, **fields)


@cache
def _strict_part(model: type[Contract]) -> type[BaseModel]:
    """One model for a thing that several bodies list, so that the document names it once."""
    return _strict(model, {})


def add(app: FastAPI, commands: Commands, seals: Seals, caller: Callable[..., Awaitable[Caller]]) -> None:
    """Add all writes."""
    who = Annotated[Caller, Depends(caller)]
    rubric_body = strict_body(evaluation.AdoptRubric)
    marks_body = strict_body(notify.MarkNotices)
    marks_all_body = strict_body(notify.MarkAllNotices)
    rewind_body = strict_body(evaluation.RewindEvents)

    for write in WRITES:
        _add(app, write, commands, caller)

    async def sealed(
        request: Request,
        person: Caller,
        contract: type[Contract],
        plain: Mapping[str, Any],
        *,
        to: str,
        words: Mapping[str, Any],
        clear: Mapping[str, Any],
        subject: str | None,
    ) -> Response:
        """Send a command whose `words` only the service `to` can read."""
        require_role(person.actor, contract)
        refuse_unkept(plain)  # before sealing: such letters are six times as long as JSON
        data = contract.model_validate({**clear, "sealed": await seals.seal(to, words)})
        command_id = idempotency_key(request)
        command = Command(contract, data.model_dump(mode="json"), subject or str(command_id), plain)
        with seals.renewed_if_unreadable(to):
            return await commands.answer(request, person, command_id, command)

    @app.post("/api/cases", summary="File a case 督事", tags=["cases"])
    async def file_case(request: Request, body: CaseFiling, person: who) -> Response:
        require(person.actor, "staff" if body.origin == "staff" else "deputy")
        plain = content_of(body)
        words = {name: plain[name] for name in CASE_WORDS}
        clear = {name: plain[name] for name in ("county", "town", "category", "origin", "photos")}
        return await sealed(
            request,
            person,
            cases.FileCase,
            plain,
            to="cases",
            words=words,
            clear=clear,
            subject=str(body.id) if body.id else None,
        )

    @app.post(
        "/api/cases/{subject}/split", summary="Make a case of its own out of a part 拆分", tags=["cases"]
    )
    async def split_case(request: Request, subject: UUID, body: CaseSplit, person: who) -> Response:
        plain = content_of(body)
        return await sealed(
            request,
            person,
            cases.SplitCase,
            {**plain, "out_of": str(subject)},
            to="cases",
            words={name: plain[name] for name in ("title", "text")},
            clear={"out_of": subject, "category": body.category, "reason": body.reason},
            subject=str(body.id) if body.id else None,
        )

    @app.post("/api/cases/{subject}/supply", summary="Supply what was asked for 补充情况", tags=["cases"])
    async def supply_case(request: Request, subject: UUID, body: Supply, person: who) -> Response:
        plain = content_of(body)
        return await sealed(
            request,
            person,
            cases.SupplyCase,
            plain,
            to="cases",
            words={"text": plain["text"]},
            clear={name: plain[name] for name in ("photos", "documents")},
            subject=str(subject),
        )

    @app.post(
        "/api/webhooks",
        summary="Register a webhook 登记推送地址; the answer alone has its secret",
        tags=["webhooks"],
    )
    async def register_webhook(request: Request, body: WebhookRegistration, person: who) -> Response:
        # The secret is new each time and part of what a repetition is known by: a repeated id is refused,
        # and nobody is shown a secret that was not kept.
        secret = f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
        clear = content_of(body)
        answer = await sealed(
            request,
            person,
            webhooks.RegisterWebhook,
            {**clear, "secret": secret},
            to="cases",
            words={"secret": secret},
            clear=clear,
            subject=str(body.id) if body.id else None,
        )
        told = {**json.loads(bytes(answer.body)), "secret": secret}
        headers = {"location": answer.headers["location"]} if "location" in answer.headers else {}
        return json_response(told, answer.status_code, headers)

    @app.post("/api/motions", summary="Begin a motion 起草议案建议", tags=["motions"])
    async def draft_motion(request: Request, body: MotionDrafting, person: who) -> Response:
        plain = content_of(body)
        return await sealed(
            request,
            person,
            motions.DraftMotion,
            plain,
            to="cases",
            words={name: plain[name] for name in _MOTION_WORDS},
            clear={name: plain[name] for name in ("kind", "secret", "from_case")},
            subject=str(body.id) if body.id else None,
        )

    @app.put("/api/motions/{subject}", summary="Rewrite one's own motion 修改", tags=["motions"])
    async def revise_motion(request: Request, subject: UUID, body: MotionRevision, person: who) -> Response:
        plain = content_of(body)
        return await sealed(
            request,
            person,
            motions.ReviseMotion,
            plain,
            to="cases",
            words={name: plain[name] for name in _MOTION_WORDS},
            clear={name: plain[name] for name in ("kind", "secret")},
            subject=str(subject),
        )

    @app.put("/api/me/password", summary="Set one's own sign-in name and password", tags=["me"])
    async def set_password(request: Request, body: Password, person: who) -> Response:
        words = content_of(body)
        return await sealed(
            request,
            person,
            identity.SetPassword,
            words,
            to="identity",
            words=words,
            clear={},
            subject=person.actor.person,
        )

    @app.put(
        "/api/people/{subject}/password", summary="Set somebody's first password, for operators", tags=["me"]
    )
    async def set_first_password(
        request: Request, subject: Annotated[str, Path(pattern=PERSON)], body: Password, person: who
    ) -> Response:
        require(person.actor, "operator")
        words = content_of(body)
        return await sealed(
            request,
            person,
            identity.SetPassword,
            words,
            to="identity",
            words=words,
            clear={},
            subject=subject,
        )

    async def adopt_rubric(request: Request, body: Any, person: Any) -> Response:
        data = content_of(body)
        command_id = idempotency_key(request)
        name = data["rubric"].get("name")
        known = isinstance(name, str) and _RUBRIC_NAME.fullmatch(name)  # a wrong one evaluation refuses
        command = Command(evaluation.AdoptRubric, data, str(name if known else command_id))
        return await commands.answer(request, person, command_id, command)

    adopt_rubric.__annotations__ |= {"body": rubric_body, "person": who}
    app.post("/api/rubrics", summary="Adopt a rubric 评价办法", tags=["rubrics"])(adopt_rubric)

    async def mark_notices(request: Request, body: Any, person: Any) -> Response:
        command = Command(notify.MarkNotices, content_of(body), person.actor.person)
        return await commands.answer(request, person, idempotency_key(request), command)

    mark_notices.__annotations__ |= {"body": marks_body, "person": who}
    app.post("/api/notices/mark", summary="Mark own notices as read or unread", tags=["notices"])(
        mark_notices
    )

    async def mark_all_notices(request: Request, body: Any, person: Any) -> Response:
        command = Command(notify.MarkAllNotices, content_of(body), person.actor.person)
        return await commands.answer(request, person, idempotency_key(request), command)

    mark_all_notices.__annotations__ |= {"body": marks_all_body, "person": who}
    summary = "Mark own notices as read, from one of them back to the oldest"
    app.post("/api/notices/mark-all", summary=summary, tags=["notices"])(mark_all_notices)

    async def rewind(request: Request, body: Any, person: Any) -> Response:
        command_id = idempotency_key(request)
        command = Command(evaluation.RewindEvents, content_of(body), str(command_id))
        return await commands.answer(request, person, command_id, command)

    rewind.__annotations__ |= {"body": rewind_body, "person": who}
    app.post(
        "/api/operations/evaluation/rewind",
        summary="Take events in again from the beginning of the log",
        tags=["operations"],
    )(rewind)

    @app.post(
        "/api/operations/{service}/dead-letters/{letter_id}/replay",
        summary="Replay a dead letter",
        tags=["operations"],
    )
    async def replay(request: Request, service: ServiceName, letter_id: UUID, person: who) -> Response:
        command = Command(operations.ReplayDeadLetter, {}, str(letter_id), service=service)
        return await commands.answer(request, person, idempotency_key(request), command)


def _add(app: FastAPI, write: Write, commands: Commands, caller: Callable[..., Awaitable[Caller]]) -> None:
    """Add one route of the table."""
    body_model = strict_body(write.command, new=write.new)

    async def answer(
        request: Request, person: Caller, body: BaseModel | None, subject: UUID | str | None
    ) -> Response:
        data = content_of(body) if body is not None else {}
        command_id = idempotency_key(request)
        command = Command(write.command, data, str(subject or command_id))
        return await commands.answer(request, person, command_id, command)

    named = Annotated[str, Path(pattern=DEPARTMENT_CODE)] if write.code else UUID
    endpoint: Callable[..., Awaitable[Response]]
    if write.new:

        async def make(request: Request, person: Any, body: Any) -> Response:
            return await answer(request, person, body, body.id)

        endpoint = make
    elif not body_model.model_fields:

        async def step(request: Request, person: Any, subject: Any) -> Response:
            return await answer(request, person, None, subject)

        endpoint = step
    else:

        async def change(request: Request, person: Any, subject: Any, body: Any) -> Response:
            return await answer(request, person, body, subject)

        endpoint = change
    annotations = {"person": Annotated[Caller, Depends(caller)], "subject": named, "body": body_model}
    endpoint.__annotations__ |= {k: v for k, v in annotations.items() if k in endpoint.__annotations__}
    app.add_api_route(
        f"/api{write.path}",
        endpoint,
        methods=[write.method],
        summary=write.summary,
        tags=[write.path.split("/")[1]],
        operation_id=f"{write.method.lower()}_{write.command.__name__}",
    )
