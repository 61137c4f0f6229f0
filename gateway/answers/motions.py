"""What `cases` answers about motions 议案建议: them and their way, promises 承诺台账, the figures of a session."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal
from uuid import UUID

from pydantic import Field

from gateway.answers.cases import Ground
from gateway.answers.page import Answer, Page
from shared.contracts import identity, motions


class Due(Answer):
    """A deadline of a motion, with its reason as a sentence and in codes."""

    kind: str
    department: str | None
    at: datetime
    reason: str
    why: tuple[Ground, ...]
    provisional: bool
    promise: int | None
    ended: datetime | None
    met: bool | None


class Handler(Answer):
    """A department's part in a motion: the lead 主办 or a co-handler 会办."""

    department: str
    role: Literal["lead", "co"]
    state: Literal["assigned", "objected", "opined", "released"]
    since: datetime


class Cosigner(Answer):
    """A deputy who was asked to co-sign 联名."""

    deputy: UUID
    state: str
    at: datetime
    digest: str | None


class MotionAnswer(Answer):
    """An answer 答复 to a motion."""

    round: int
    department: str
    result: motions.AnswerClass
    signed_by: str
    public: bool
    at: datetime
    on_time: bool
    text: str | None


class Promise(Answer):
    """A thing that an answer promised 承诺事项."""

    number: int
    department: str
    due: date
    state: str
    text: str | None
    report: str | None
    rating: str | None
    postponed: int = Field(default=0, description="how often a new date was promised")
    late: bool = Field(default=False, description="rated after the deadline")


class PromiseEntry(Answer):
    """A promise in the list across motions 承诺台账; `report_by` is null where nothing is owed."""

    motion_id: UUID
    motion_number: str | None
    title: str | None
    congress: str | None
    number: int
    department: str
    text: str | None
    due: date
    state: str
    made_at: datetime
    reported_at: datetime | None
    report: str | None
    rating: str | None
    postponed: int
    report_by: datetime | None
    overdue: bool


class PromisePage(Page):
    """Promises across motions, by the date they are promised for."""

    items: tuple[PromiseEntry, ...]


class MotionRating(Answer):
    """A rating 评价 of an answer."""

    round: int
    deputy: UUID
    values: dict[str, str]
    at: datetime
    late: bool


class MotionStep(Answer):
    """One step of a motion."""

    number: int
    step: str
    actor: str
    at: datetime
    department: str | None
    deputy: UUID | None
    note: str | None


class Motion(Answer):
    """A motion 议案建议."""

    id: UUID
    kind: motions.MotionKind
    level: identity.Level
    state: motions.MotionState
    version: int
    author_id: UUID
    number: str | None
    secret: bool
    turned: bool
    ground: str | None
    lead: str | None
    co_handlers: tuple[str, ...]
    round: int
    supervised: bool
    from_case: UUID | None
    signers: tuple[UUID, ...]
    drafted_at: datetime
    submitted_at: datetime | None
    answered_at: datetime | None
    closed_at: datetime | None
    due: Due | None
    title: str | None
    committee: str | None = Field(description="the special committee 专门委员会 that deliberates a bill")
    advice: motions.BillDecision | None = Field(description="what that committee advises on the bill")
    bill_outcome: motions.BillOutcome | None = Field(description="how the bill ended")


class WholeMotion(Motion):
    """A motion with its way; who is no party to it sees less."""

    text: str | None = None
    cause: str | None = None
    basis: str | None = None
    plan: str | None = None
    answers: tuple[MotionAnswer, ...]
    deadlines: tuple[Due, ...]
    digest: str | None = None
    cosigners: tuple[Cosigner, ...] = ()
    promises: tuple[Promise, ...] = ()
    ratings: tuple[MotionRating, ...] = ()
    handlers: tuple[Handler, ...] = ()
    extension_asked: int | None = None
    steps: tuple[MotionStep, ...] = Field(default=())


class MotionPage(Page):
    """Motions."""

    items: tuple[Motion, ...]


class Share(Answer):
    """A share with everything it was made from; null where there is nothing to share."""

    share: float | None
    numerator: int
    denominator: int
    left_out: dict[str, int]


class SubmittedMotions(Answer):
    """How many motions were submitted, by kind and level."""

    total: int
    kinds: dict[str, dict[str, int]]


class MotionReport(Answer):
    """The figures of a session 办理情况报告; `measures` says how each is counted."""

    at: datetime
    submitted: SubmittedMotions
    cosigned: int
    signatures: int
    states: dict[str, int]
    accepted: int
    turned: int
    not_accepted: dict[str, int]
    withdrawn: int
    on_time: Share
    classes: dict[str, int]
    satisfaction: dict[str, Share]
    redone: int
    supervised: int
    promises: dict[str, int]
    promises_kept: Share
    bills: dict[str, int]
    measures: dict[str, str]


class MotionNames(Answer):
    """What the rule pack in force names, each a code with its Chinese words.

    `promising` lists the classes of answers that are promises; `answer_unit` is what the answer's limit, and so
    more time for it, is counted in.
    """

    grounds: dict[str, str]
    answer_unit: Literal["hours", "days", "working-days", "months"]
    classes: dict[str, str]
    promising: tuple[str, ...]
    axes: dict[str, str]
    satisfaction: dict[str, str]


class CaseReferral(Answer):
    """What became of a case besides: a motion that was submitted, or a lead for a livelihood project."""

    id: UUID
    case_id: UUID
    deputy_id: UUID
    became: Literal["motion", "project-lead"]
    actor: str
    at: datetime
    reason: str | None


class CaseReferrals(Answer):
    """Everything that became of a case, the oldest first."""

    items: tuple[CaseReferral, ...]
