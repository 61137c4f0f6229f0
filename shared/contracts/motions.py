"""Messages of motions: bills 议案 and suggestions 建议、批评和意见, decided on by cases.

No event here carries text: a motion's words travel sealed on the command, and in clear only in the dossier
of a department that handles it.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, Field, StringConstraints

from shared.contracts.identity import DepartmentCode, KnownPlaceCode, Level
from shared.contracts.registry import Contract, command, event

MotionKind = Literal["bill", "suggestion"]
MotionState = Literal[
    "draft",
    "correcting",
    "submitted",
    "accepted",
    "assigned",
    "objected",
    "answered",
    "redo",
    "closed",
    "not-accepted",
    "withdrawn",
    "in-committee",
    "reported",
    "on-agenda",
    "concluded",
]
BillDecision = Literal["agenda", "suggestion", "explained"]
BillOutcome = Literal["passed", "not-passed", "withdrawn", "explained"]
AnswerClass = Literal["A", "B", "C", "D"]
ContactForm = Literal["face-to-face", "phone", "video", "letter", "inspection"]
Outcome = Literal["kept", "partly-kept", "not-kept"]
MotionDeadline = Literal[
    "assign",
    "object",
    "reassign",
    "first-contact",
    "opinion",
    "answer",
    "feedback",
    "unstated",
    "redo",
    "promise",
    "rate-promise",
    "refer",
    "committee",
    "adopt",
    "conclude",
]
Reason = Annotated[str, Field(min_length=1, max_length=500, repr=False)]
Note = Annotated[str, Field(max_length=500, repr=False)]
Sealed = Annotated[str, Field(max_length=400_000, repr=False)]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Code = Annotated[str, Field(pattern=r"^[a-z0-9-]{1,40}$")]


@command("motion.draft", owner="cases", roles=("deputy",), key="motion id")
class DraftMotion(Contract):
    """Begin a motion 起草议案建议, which nobody else sees.

    `sealed` is a JWE for cases of {"title", "text", "cause"?, "basis"?, "plan"?}; a bill needs the last three
    (案由, 案据, 方案) when it is submitted.
    """

    sealed: Sealed
    kind: MotionKind
    secret: bool = Field(default=False, description="the deputy asks that it is not made public 保密")
    from_case: UUID | None = Field(default=None, description="the case that it grew out of 督事转建议")


@command("motion.revise", owner="cases", roles=("deputy",), key="motion id")
class ReviseMotion(Contract):
    """Change one's own motion before it is submitted 修改; another text voids the confirmations."""

    sealed: Sealed
    kind: MotionKind | None = None
    secret: bool | None = None


@command("motion.invite", owner="cases", roles=("deputy",), key="motion id")
class InviteCosigners(Contract):
    """Ask deputies of the same congress to co-sign 邀请联名."""

    deputies: tuple[UUID, ...] = Field(min_length=1, max_length=100)


@command("motion.cosign", owner="cases", roles=("deputy",), key="motion id")
class CosignMotion(Contract):
    """Confirm having read the text with this digest, and co-sign it 联名确认."""

    digest: Digest


@command("motion.decline", owner="cases", roles=("deputy",), key="motion id")
class DeclineMotion(Contract):
    """Do not co-sign 谢绝联名."""


@command("motion.uncosign", owner="cases", roles=("deputy",), key="motion id")
class UncosignMotion(Contract):
    """Take one's signature back before the motion is submitted 退出联名."""


@command("motion.submit", owner="cases", roles=("deputy",), key="motion id")
class SubmitMotion(Contract):
    """Submit one's own motion 提交."""

    informed: bool = Field(
        default=False, description="every co-signer knows the text, where the lead says so"
    )


@command("motion.withdraw", owner="cases", roles=("deputy",), key="motion id")
class WithdrawMotion(Contract):
    """Withdraw one's own motion in writing 撤回, which ends its handling."""

    reason: Reason


@command("motion.give-back", owner="cases", roles=("staff",), key="motion id")
class GiveBackMotion(Contract):
    """Return a submitted motion to its author for correction 退回修改."""

    reason: Reason


@command("motion.accept", owner="cases", roles=("staff",), key="motion id")
class AcceptMotion(Contract):
    """Accept and register a motion 受理登记; `turn` makes a suggestion of a bill 转为建议."""

    number: str = Field(pattern=r"^[^\x00-\x1f]{1,40}$", description="编号")
    turn: bool = False
    reason: Note = ""


@command("motion.refuse", owner="cases", roles=("staff",), key="motion id")
class RefuseMotion(Contract):
    """Do not accept a motion 不予受理, on one of the grounds that the rule pack lists."""

    ground: Code
    reason: Note = ""


@command("motion.refer", owner="cases", roles=("staff",), key="motion id")
class ReferBill(Contract):
    """Refer a bill to a special committee 交专门委员会审议, or to another one."""

    committee: Annotated[
        str,
        StringConstraints(
            strip_whitespace=True,
            min_length=1,
            max_length=40,
            pattern=r"^[^\x00-\x1f]*[^\x00-\x1f\s][^\x00-\x1f]*$",
        ),
    ] = Field(description="专门委员会名称")
    reason: Note = ""


@command("motion.advise", owner="cases", roles=("staff",), key="motion id")
class AdviseOnBill(Contract):
    """Record what the committee reports on a bill 提出审议报告."""

    advice: BillDecision
    text: str = Field(min_length=1, max_length=5000, repr=False)


@command("motion.decide", owner="cases", roles=("staff",), key="motion id")
class DecideOnBill(Contract):
    """Record that a bill goes on the agenda 列入议程, or what was decided on the committee's report 审议结果报告."""

    decision: BillDecision
    reason: Note = ""


@command("motion.conclude", owner="cases", roles=("staff",), key="motion id")
class ConcludeBill(Contract):
    """Record what became of a bill on the agenda: the vote 表决, or its withdrawal by consent 经同意撤回."""

    outcome: Literal["passed", "not-passed", "withdrawn"]
    reason: Note = ""


@command("motion.assign", owner="cases", roles=("staff",), key="motion id")
class AssignMotion(Contract):
    """Assign a motion to the lead department 主办 and to those that co-handle it 会办, or anew."""

    lead: DepartmentCode
    co_handlers: tuple[DepartmentCode, ...] = Field(default=(), max_length=20)
    reason: Note = ""


@command("motion.object", owner="cases", roles=("department",), key="motion id")
class ObjectToMotion(Contract):
    """The department says that the motion is not its business 申请退回."""

    reason: Reason


@command("motion.contact", owner="cases", roles=("department",), key="motion id")
class ContactDeputy(Contract):
    """The lead department records that it spoke with the deputy 与代表沟通."""

    on: date
    form: ContactForm
    note: Note = ""


@command("motion.opinion", owner="cases", roles=("department",), key="motion id")
class GiveMotionOpinion(Contract):
    """A co-handling department gives the lead its opinion 会办意见."""

    text: str = Field(min_length=1, max_length=5000, repr=False)


@command("motion.ask-extension", owner="cases", roles=("department",), key="motion id")
class AskMotionExtension(Contract):
    """The lead asks for more time 申请延期, in the unit of the rule pack's limit for the answer."""

    more: int = Field(ge=1, le=1000)
    reason: Reason


@command("motion.decide-extension", owner="cases", roles=("staff",), key="motion id")
class DecideMotionExtension(Contract):
    """Grant or refuse more time 审批延期."""

    granted: bool
    reason: Note = ""


class PledgedItem(Contract):
    """One thing that an answer promises 承诺事项, and by when."""

    text: str = Field(min_length=1, max_length=1000, repr=False)
    due: date


@command("motion.answer", owner="cases", roles=("department",), key="motion id")
class AnswerMotion(Contract):
    """The lead department answers 答复, with a class, who signed 签发人, and what it promises."""

    result: AnswerClass
    text: str = Field(min_length=1, max_length=20_000, repr=False)
    signed_by: str = Field(min_length=1, max_length=50, repr=False)
    public: bool = True
    promises: tuple[PledgedItem, ...] = Field(default=(), max_length=20)


@command("motion.supervise", owner="cases", roles=("staff",), key="motion id")
class SuperviseMotion(Contract):
    """Put a motion among those under key supervision 重点督办."""

    reason: Reason


@command("motion.rate", owner="cases", roles=("deputy",), key="motion id")
class RateMotion(Contract):
    """A signer rates the answer on each axis of the rule pack (attitude 办理态度, result 办理结果)."""

    ratings: dict[Code, Code] = Field(max_length=10)


@command("motion.report-promise", owner="cases", roles=("department",), key="motion id")
class ReportPromise(Contract):
    """The department reports how it kept a promise 报告承诺落实; what is not kept in full is promised anew for `due`."""

    promise: int = Field(ge=1, le=1000)
    outcome: Outcome
    text: str = Field(min_length=1, max_length=5000, repr=False)
    due: date | None = Field(
        default=None, description="by when the rest will be done; needed unless kept, and only then"
    )


@command("motion.rate-promise", owner="cases", roles=("deputy",), key="motion id")
class RatePromise(Contract):
    """The lead author rates how a promise was kept 评价承诺落实."""

    promise: int = Field(ge=1, le=1000)
    rating: Code


@command("motion.fall-due", owner="cases", roles=("system",), key="motion id")
class FallMotionDue(Contract):
    """A deadline of a motion passes; sent by cases to itself, and without effect where the motion moved on."""

    number: int
    at: AwareDatetime


@command("motion.redate", owner="cases", roles=("system",), key="motion id")
class RedateMotion(Contract):
    """Count a motion's open deadlines again with the present calendar 重算期限; sent by cases to itself."""


@command("case.refer", owner="cases", roles=("deputy", "staff"), key="referral id")
class ReferCase(Contract):
    """Put a case forward as a lead for a livelihood project 民生实事线索; the subject is the referral's id."""

    case_id: UUID
    reason: Reason


class MotionFact(Contract):
    """What every motion event says of the motion as it stands after the event. `deputy_id` is its author."""

    motion_id: UUID
    deputy_id: UUID
    kind: MotionKind
    level: Level
    congress: KnownPlaceCode | None = Field(default=None, description="place of the congress it is put to")
    state: MotionState
    secret: bool = False
    turned: bool = Field(default=False, description="submitted as a bill, handled as a suggestion")
    signers: tuple[UUID, ...] = Field(default=(), description="the author and who confirmed")
    lead: DepartmentCode | None = None
    co_handlers: tuple[DepartmentCode, ...] = ()
    round: int = Field(default=0, description="1, or 2 when it is handled again")
    result: AnswerClass | None = None
    on_time: bool | None = None
    supervised: bool = False
    bill_outcome: BillOutcome | None = Field(default=None, description="how a bill ended")
    due_at: AwareDatetime | None = Field(default=None, description="what handling must meet next")
    from_case: UUID | None = None


@event("motion.invited", owner="cases", key="motion id")
class MotionInvited(MotionFact):
    """A deputy is asked to co-sign, or to confirm anew because the text changed."""

    cosigner_id: UUID
    again: bool = False


@event("motion.cosigned", owner="cases", key="motion id")
class MotionCosigned(MotionFact):
    """A motion was submitted with this deputy's signature beside the author's; one event for each."""

    cosigner_id: UUID


@event("motion.submitted", owner="cases", key="motion id")
class MotionSubmitted(MotionFact):
    """A motion was submitted 提交, or again after a correction."""


@event("motion.assigned", owner="cases", key="motion id")
class MotionAssigned(MotionFact):
    """Staff assigned it to departments 交办."""


@event("motion.progressed", owner="cases", key="motion id")
class MotionProgressed(MotionFact):
    """Any other step after it was submitted."""

    step: Literal[
        "returned",
        "accepted",
        "turned",
        "refused",
        "objected",
        "co-objected",
        "contacted",
        "opinion",
        "extension-asked",
        "extension-granted",
        "extension-refused",
        "supervised",
        "promise-reported",
        "promise-rated",
        "promise-unstated",
        "withdrawn",
        "unstated",
        "overdue",
        "redated",
        "referred",
        "advised",
        "tabled",
        "explained",
        "concluded",
    ] = Field(description="`unstated`: the author did not rate in time, and the handling ended")
    deadline: MotionDeadline | None = Field(
        default=None, description="which passed, or has another date; one event for each that has"
    )
    owing: DepartmentCode | None = Field(
        default=None, description="the department whose deadline or promise it is, if it is one's"
    )
    ground: Code | None = None
    promise: int | None = None
    outcome: Outcome | None = None


@event("motion.answered", owner="cases", key="motion id")
class MotionAnswered(MotionFact):
    """The lead department answered 答复."""

    promises: int = Field(default=0, description="how many things this answer promises")
    public: bool = True
    to_every_signer: bool = True


@event("motion.rated", owner="cases", key="motion id")
class MotionRated(MotionFact):
    """A signer rated an answer 评价; `by_lead`: it is the author's rating that counts."""

    rater_id: UUID
    by_lead: bool
    rated_round: int
    ratings: dict[Code, Code]
    late: bool = False


@event("case.referred", owner="cases", key="case id")
class CaseReferred(Contract):
    """A case became a motion 转建议, or a lead for a livelihood project 民生实事线索."""

    case_id: UUID
    deputy_id: UUID
    became: Literal["motion", "project-lead"]
    motion_id: UUID | None = None


@event("department.motion", owner="cases", key="motion id")
class MotionDossier(Contract):
    """What one department receives of a motion assigned to it, on `department.<code>.routed` alone."""

    motion_id: UUID
    kind: MotionKind
    number: str | None
    title: str = Field(repr=False)
    text: str = Field(repr=False)
    cause: str | None = Field(default=None, repr=False)
    basis: str | None = Field(default=None, repr=False)
    plan: str | None = Field(default=None, repr=False)
    role: Literal["lead", "co-handler"]
    round: int
    secret: bool = False
    supervised: bool = False
    due_at: AwareDatetime | None = None
    due_reason: str | None = None


@event("department.motion-told", owner="cases", key="motion id")
class DepartmentToldOfMotion(Contract):
    """Tells a department, on its own topic, what became of a motion that it handles or handled."""

    motion_id: UUID
    step: Literal[
        "opinion",
        "extension-granted",
        "extension-refused",
        "supervised",
        "rated",
        "promise-rated",
        "recalled",
        "unstated",
        "overdue",
        "redated",
    ] = Field(
        description="`recalled`: the motion is no longer this department's; `overdue`: `due_at` has passed"
    )
    state: MotionState
    due_at: AwareDatetime | None = None
    text: str | None = Field(default=None, repr=False)


@event("department.motion-refused", owner="cases", key="motion id")
class MotionReplyRefused(Contract):
    """Tells a department, on its own topic, that its reply on a motion was not taken, and why."""

    motion_id: str
    reply_id: UUID
    code: str
    detail: str
