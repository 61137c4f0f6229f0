"""Messages of cases: a resident's problem on its way (代表督事).

No event here carries text: words of residents travel sealed on the command, and in clear only in
the dossier of the one department that handles the case.
"""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, Field

from shared.contracts.identity import DepartmentCode, KnownPlaceCode, PlaceCode
from shared.contracts.registry import Contract, command, event

CaseState = Literal[
    "submitted",
    "triage",
    "routed",
    "accepted",
    "in-progress",
    "waiting",
    "answered",
    "closed",
    "withdrawn",
    "merged",
    "declined",
]
FINISHED: frozenset[CaseState] = frozenset({"closed", "withdrawn", "merged", "declined"})
"""States in which nobody owes anything any more; Open311 calls such a case closed and every other open."""
Result = Literal["solved", "explained", "unsolved"]
Urgency = Literal["urgent", "inquiry", "normal", "complex"]
Origin = Literal["own", "resident", "staff"]
"""Who found it: the deputy, a resident, or the staff of a congress 人大工作人员, as on an inspection."""
Stars = Annotated[int, Field(ge=1, le=5)]
Reason = Annotated[str, Field(min_length=1, max_length=500, repr=False)]
Note = Annotated[str, Field(max_length=500, repr=False)]
PHOTOS_MAX = 9
Photos = Annotated[
    tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")], ...],
    Field(max_length=PHOTOS_MAX, description="digests (SHA-256, hex) under which the gateway keeps uploads"),
]
DOCUMENTS_MAX = 5
Documents = Annotated[
    tuple[Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")], ...],
    Field(
        max_length=DOCUMENTS_MAX,
        description="digests (SHA-256, hex) under which the gateway keeps uploaded PDFs",
    ),
]
Sealed = Annotated[str, Field(max_length=120_000, repr=False)]
Follow = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", repr=False)]
"""The SHA-256 of the secret in a resident's follow link; the secret itself never leaves the gateway."""


def _six_decimals(degrees: float) -> float:
    """About ten centimetres; a phone knows no better."""
    return round(degrees, 6)


class Position(Contract):
    """Where something is, in degrees of WGS-84, as browsers and satellites give it; it travels only sealed and in dossiers.

    Maps made in China show GCJ-02, which lies up to some hundred metres beside it: convert before showing it there.
    """

    latitude: Annotated[
        float,
        Field(ge=-90, le=90, allow_inf_nan=False, strict=True, repr=False),
        AfterValidator(_six_decimals),
    ]
    longitude: Annotated[
        float,
        Field(ge=-180, le=180, allow_inf_nan=False, strict=True, repr=False),
        AfterValidator(_six_decimals),
    ]
    accuracy: int | None = Field(
        default=None, ge=0, le=1_000_000, description="metres by which it may be wrong, if the device says so"
    )


@command("case.file", owner="cases", roles=("deputy", "staff"), key="case id")
class FileCase(Contract):
    """File a case 督事. `sealed` is a JWE for cases of {"title", "text", "contact"?, "position"?}.

    What staff found themselves they file with the origin `staff`, in their own area; the others are a deputy's.
    """

    sealed: Sealed
    county: PlaceCode
    town: PlaceCode | None = None
    category: str | None = Field(default=None, max_length=40, description="the filer's own choice, if any")
    origin: Origin = Field(
        default="own", description="own observation, for a resident, or an observation of staff"
    )
    photos: Photos = ()


@command("concern.submit", owner="cases", roles=("intake", "staff"), key="case id")
class SubmitConcern(Contract):
    """A resident puts a concern to a deputy by the deputy's code 民情直通车, or staff take one down for a resident.

    `sealed` is a JWE for cases of {"title", "text"}, `contact` one of {"contact"}. What staff take down is
    taken up at once.
    """

    sealed: Sealed
    contact: str | None = Field(default=None, max_length=4096, repr=False)
    deputy_id: UUID
    county: PlaceCode
    town: PlaceCode | None = None
    receipt: str = Field(
        pattern=r"^[0-9A-HJKMNP-TV-Z]{12}$", description="receipt number, with its check sign"
    )
    follow: Follow
    consent: str = Field(
        pattern=r"^[0-9a-z.-]{1,20}$", description="version of the notice that was agreed to"
    )
    photos: Photos = ()


@command("concern.take-up", owner="cases", roles=("deputy", "staff"), key="case id")
class TakeUpConcern(Contract):
    """The deputy, or staff, take a resident's concern up as a case 接收."""

    category: str | None = Field(default=None, max_length=40)


@command("concern.explain", owner="cases", roles=("deputy", "staff"), key="case id")
class ExplainConcern(Contract):
    """The deputy, or staff, answer a resident's concern themselves 解释说明, which closes it."""

    text: str = Field(min_length=1, max_length=5000, repr=False)


@command("concern.decline", owner="cases", roles=("deputy", "staff"), key="case id")
class DeclineConcern(Contract):
    """The deputy, or staff, do not take a resident's concern up 不予受理, and say why.

    Staff may decline any case in triage so, also a deputy's own: what is nobody's business to handle.
    """

    reason: Reason


class ByFollowLink(Contract):
    """What a resident says by the follow link; it acts only where the digest is the case's own."""

    follow: Follow


@command("concern.supply", owner="cases", roles=("intake",), key="case id")
class SupplyConcern(ByFollowLink):
    """The resident supplies what was asked for 补充情况. `sealed` is a JWE for cases of {"text"}."""

    sealed: Sealed
    photos: Photos = ()


@command("concern.rate", owner="cases", roles=("intake",), key="case id")
class RateConcern(ByFollowLink):
    """The resident rates how a closed concern was handled 居民评价: as a whole, the attitude, the result."""

    stars: Stars
    attitude: Stars | None = None
    result: Stars | None = None


@command("concern.reopen", owner="cases", roles=("intake",), key="case id")
class ReopenConcern(ByFollowLink):
    """The resident is not content, and the case goes back 重新办理. `sealed` is a JWE for cases of {"text"}."""

    sealed: Sealed


@command("concern.object", owner="cases", roles=("intake",), key="case id")
class ObjectToConcern(ByFollowLink):
    """The resident does not agree that it was explained or declined 不同意见, and staff look again, once.

    `sealed` is a JWE for cases of {"text"}.
    """

    sealed: Sealed


@command("concern.withdraw", owner="cases", roles=("intake",), key="case id")
class WithdrawConcern(ByFollowLink):
    """The resident withdraws the concern 撤回."""


@command("concern.erase", owner="cases", roles=("intake",), key="case id")
class EraseConcern(ByFollowLink):
    """The resident takes the consent back 撤回同意: the contact data, or every word, are destroyed."""

    what: Literal["contact", "all"]


@command("concern.close-link", owner="cases", roles=("intake",), key="case id")
class CloseFollowLink(ByFollowLink):
    """The resident has the follow link opened no more 停用查询链接."""


@command("case.split", owner="cases", roles=("staff",), key="case id")
class SplitCase(Contract):
    """Staff make a case of its own out of a part of another 拆分; the subject is the new one's id.

    It keeps the filer and place of the other, which must be open. `sealed` is as with `case.file`.
    """

    sealed: Sealed
    out_of: UUID
    category: str | None = Field(default=None, max_length=40)
    reason: Note = ""


@command("case.route", owner="cases", roles=("staff",), key="case id")
class RouteCase(Contract):
    """Send a case in triage to a department by hand 派单.

    Without `category` a department that handles a single one says what the case is about; models learn from it.
    Without `urgency` it is what the catalogue says of that department's rule, else it stays.
    """

    department: DepartmentCode
    category: str | None = Field(default=None, max_length=40)
    urgency: Urgency | None = None
    reason: Note = ""


@command("case.transfer", owner="cases", roles=("staff",), key="case id")
class TransferCase(Contract):
    """Move a case from the department that holds it to another 转办.

    The category with which it came to the wrong one is in doubt: without `category` a department that handles a
    single one says what the case is about, else models do not learn from the case. `urgency` as with `case.route`.
    """

    department: DepartmentCode
    reason: Reason
    category: str | None = Field(default=None, max_length=40)
    urgency: Urgency | None = None


@command("case.accept", owner="cases", roles=("department",), key="case id")
class AcceptCase(Contract):
    """The department takes the case on 签收."""


@command("case.progress", owner="cases", roles=("department",), key="case id")
class ProgressCase(Contract):
    """The department says how far it is 办理进展."""

    text: str = Field(min_length=1, max_length=2000, repr=False)


@command("case.ask", owner="cases", roles=("department",), key="case id")
class AskFiler(Contract):
    """The department asks the filer for what it lacks 请求补充; the clock stands still until then."""

    text: str = Field(min_length=1, max_length=1000, repr=False)


@command("case.supply", owner="cases", roles=("deputy", "staff"), key="case id")
class SupplyCase(Contract):
    """The filer supplies what was asked for 补充情况. `sealed` is a JWE for cases of {"text"}.

    For what staff filed, staff of the place do.
    """

    sealed: Sealed
    photos: Photos = ()
    documents: Documents = ()


@command("case.return", owner="cases", roles=("department",), key="case id")
class ReturnCase(Contract):
    """The department hands the case back 退回 because it is not its business."""

    reason: Reason


@command("case.ask-extension", owner="cases", roles=("department",), key="case id")
class AskExtension(Contract):
    """The department asks for more time 申请延期, in the unit of the rule pack (working days)."""

    days: int = Field(ge=1, le=365)
    reason: Reason


@command("case.decide-extension", owner="cases", roles=("staff",), key="case id")
class DecideExtension(Contract):
    """Staff grant or refuse the time that was asked for 审批延期."""

    granted: bool
    reason: Note = ""


@command("case.co-handle", owner="cases", roles=("staff",), key="case id")
class CoHandle(Contract):
    """Staff add departments that help the one that holds the case 会办."""

    departments: tuple[DepartmentCode, ...] = Field(min_length=1, max_length=10)
    reason: Note = ""


@command("case.opinion", owner="cases", roles=("department",), key="case id")
class GiveOpinion(Contract):
    """A co-handling department gives its opinion to the lead 会办意见."""

    text: str = Field(min_length=1, max_length=5000, repr=False)


@command("case.answer", owner="cases", roles=("department",), key="case id")
class AnswerCase(Contract):
    """The department reports what it did 答复."""

    result: Result
    text: str = Field(min_length=1, max_length=5000, repr=False)
    photos: Photos = ()
    documents: Documents = ()


@command("case.close", owner="cases", roles=("deputy", "staff"), key="case id")
class CloseCase(Contract):
    """Close an answered case 办结; the result stays the department's unless `result` corrects it."""

    result: Result | None = None


@command("case.rate", owner="cases", roles=("deputy",), key="case id")
class RateCase(Contract):
    """The filing deputy rates a closed case 评价, one to five stars."""

    stars: Stars


@command("case.reopen", owner="cases", roles=("deputy", "staff"), key="case id")
class ReopenCase(Contract):
    """The filer is not content with answer or closing, and the case goes back 重新办理."""

    reason: Reason


@command("case.urge", owner="cases", roles=("deputy", "staff"), key="case id")
class UrgeCase(Contract):
    """Staff or the filer urge the department 催办."""

    reason: Note = ""


@command("case.supervise", owner="cases", roles=("staff",), key="case id")
class SuperviseCase(Contract):
    """Staff put the case under supervision 督办."""

    reason: Reason


@command("case.withdraw", owner="cases", roles=("deputy", "staff"), key="case id")
class WithdrawCase(Contract):
    """The filer withdraws the case 撤回; what staff filed, staff of the place."""

    reason: Note = ""


@command("case.merge", owner="cases", roles=("staff",), key="case id")
class MergeCase(Contract):
    """Staff merge the case into another of the same matter 并案; it is answered and closed with that."""

    into: UUID
    reason: Note = ""


@command("case.gather", owner="cases", roles=("staff",), key="case id")
class GatherCases(Contract):
    """Staff merge many reports of one matter into this case 批量并案; what is finished already stays as it is."""

    cases: tuple[UUID, ...] = Field(min_length=1, max_length=500)
    reason: Note = ""


@command("case.join", owner="cases", roles=("deputy",), key="case id")
class JoinCase(Contract):
    """A deputy has met the same matter 附议 and follows the case from now on."""


@command("case.fall-due", owner="cases", roles=("system",), key="case id")
class FallDue(Contract):
    """Something falls due in a case; sent by cases to itself, and without effect where the case moved on."""

    due: Literal[
        "take-up",
        "triage",
        "accept",
        "answer",
        "supervise",
        "waiting",
        "close-reminder",
        "close-late",
        "rating",
    ]
    at: AwareDatetime


@command("case.redate", owner="cases", roles=("system",), key="case id")
class RedateCase(Contract):
    """Count a case's deadlines again with the present calendar 重算期限; sent by cases to itself."""


@command("case.merge-gathered", owner="cases", roles=("system",), key="case id")
class MergeGathered(Contract):
    """Merge one of the cases that staff gathered; sent by cases to itself. `by` is who gathered them."""

    into: UUID
    by: str = Field(max_length=60)
    reason: Note = ""


@command("case.inform", owner="cases", roles=("system",), key="case id")
class InformMerged(Contract):
    """Tell a merged case the answer of its parent 告知主件答复; sent by cases to itself."""

    parent: UUID


@command("case.settle", owner="cases", roles=("system",), key="case id")
class SettleCase(Contract):
    """Close a merged case with its parent 随主件办结; sent by cases to itself. The result is the parent's."""

    parent: UUID


class CaseFact(Contract):
    """What every case event says of the case as it stands after the event.

    `on_time` is known from the answer on; `followers` are the deputies who joined; `merged_into` and
    `split_from` tell where a case went and came from. `take_up_by` is set for what a resident submitted by a
    deputy's code, anew by an objection; `resident_stars` once the resident has rated it. What staff filed (origin
    `staff`) has no deputy, so that nobody gets points for it.
    """

    case_id: UUID
    deputy_id: UUID | None = None
    state: CaseState
    category: str | None = None
    county: KnownPlaceCode
    town: KnownPlaceCode | None = None
    department: DepartmentCode | None = None
    result: Result | None = None
    stars: Stars | None = None
    origin: Origin = "own"
    urgency: Urgency = "normal"
    co_handlers: tuple[DepartmentCode, ...] = ()
    answer_by: AwareDatetime | None = None
    on_time: bool | None = None
    returned: int = Field(default=0, ge=0)
    reopened: int = Field(default=0, ge=0)
    merged_into: UUID | None = None
    split_from: UUID | None = None
    followers: tuple[UUID, ...] = ()
    take_up_by: AwareDatetime | None = None
    resident_stars: Stars | None = None


@event("case.filed", owner="cases", key="case id")
class CaseFiled(CaseFact):
    """A deputy or staff filed a case 督事, or took up what a resident had submitted 接收.

    `unrouted`: nothing says where to, and it waits for staff; else the routing follows.
    """

    unrouted: bool = False


@event("case.routed", owner="cases", key="case id")
class CaseRouted(CaseFact):
    """The case went to a department 派单, or from one to another 转办; `reason` says by which rule."""

    reason: str = Field(description="rule that chose the department, without the case's words")
    transferred: bool = False
    classifier: str | None = Field(default=None, description="model or words that found the category")
    catalogue: str | None = Field(default=None, description="catalogue of responsibilities in force")


@event("case.progressed", owner="cases", key="case id")
class CaseProgressed(CaseFact):
    """A step that is neither filing, routing, closing nor the deputy's rating.

    `by_system`: nobody did it, it fell due. `by_resident`: who submitted it did, by the follow link.
    `by_deputy`: its deputy did.
    """

    step: Literal[
        "submitted",
        "passed-up",
        "declined",
        "objected",
        "triage-late",
        "split",
        "accepted",
        "progressed",
        "asked",
        "supplied",
        "resumed",
        "returned",
        "extension-asked",
        "extension-granted",
        "extension-refused",
        "co-handled",
        "opinion",
        "answered",
        "close-reminded",
        "close-late",
        "informed",
        "reminded",
        "reopened",
        "urged",
        "urge-withdrawn",
        "supervised",
        "redated",
        "withdrawn",
        "merged",
        "joined",
        "resident-rated",
        "contact-erased",
        "erased",
        "link-closed",
    ]
    by_system: bool = False
    by_resident: bool = False
    by_deputy: bool = False


@event("case.closed", owner="cases", key="case id")
class CaseClosed(CaseFact):
    """The case is closed 办结, with its honest result."""


@event("case.rated", owner="cases", key="case id")
class CaseRated(CaseFact):
    """The filing deputy rated the case 评价."""


@event("department.routed", owner="cases", key="case id")
class Dossier(Contract):
    """What one department receives on `department.<code>.routed`, on that topic alone.

    `role` is `lead` 主办 for who handles and answers the case, `co-handler` 会办 for who gives an opinion.
    """

    case_id: UUID
    title: str = Field(repr=False)
    text: str = Field(repr=False)
    category: str | None
    county: KnownPlaceCode
    town: KnownPlaceCode | None
    position: Position | None = Field(default=None, repr=False)
    reason: str
    role: Literal["lead", "co-handler"] = "lead"
    urgency: Urgency = "normal"
    answer_by: AwareDatetime | None = None
    again: bool = Field(default=False, description="the case was answered before and has been reopened")
    returned: int = Field(default=0, ge=0, description="how often departments have handed the case back")
    designated: bool = Field(
        default=False,
        description="it came back too often and was given to this department for good 首接负责: it cannot be returned",
    )
    photos: tuple[str, ...] = Field(
        default=(), description="digests; the gateway shows them under /api/cases/{id}/photos/{digest}"
    )
    documents: tuple[str, ...] = Field(
        default=(), description="digests; the gateway gives the PDFs under /api/cases/{id}/documents/{digest}"
    )


@event("department.told", owner="cases", key="case id")
class DepartmentTold(Contract):
    """Tells a department, on `department.<code>.routed`, what became of a case that it holds or held."""

    case_id: UUID
    step: Literal[
        "supplied",
        "resumed",
        "extension-granted",
        "extension-refused",
        "opinion",
        "urged",
        "urge-withdrawn",
        "supervised",
        "redated",
        "closed",
        "recalled",
        "erased",
    ] = Field(
        description="`recalled`: the case is no longer this department's; `erased`: the resident took the "
        "consent back, and what the department holds of the resident must go as well"
    )
    state: CaseState
    answer_by: AwareDatetime | None = None
    text: str | None = Field(default=None, repr=False)
    photos: tuple[str, ...] = Field(default=(), description="digests of what came with a supply")
    documents: tuple[str, ...] = Field(default=(), description="digests of PDFs that came with a supply")


@event("department.refused", owner="cases", key="case id")
class ReplyRefused(Contract):
    """Tells a department, on `department.<code>.routed`, that its reply was not taken, and why."""

    case_id: str
    reply_id: UUID
    code: str
    detail: str
