"""The life of a motion 议案、建议、批评和意见 as a pure state machine.

`STEPS` is the machine: from which states a step is possible and where it leads; docs/motion-states.md draws
it. `evolve` applies one step and needs nothing else. Who may take which step, and what it then changes, stands
beside it along a motion's way: `writing`, `handling`, `promises`, `bills` for a bill 议案 that is taken in as one,
and `dates` for what time does. Each function there takes the motion, who acts and when (`Act`) and what is asked,
and returns steps or refuses; all are steps of this one machine.

Invariants: every limit, count and choice comes from the rule pack (`Rules`); whether something was in time is
judged by when it was said; every deadline carries the sentence that explains it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from services.cases.deadlines.reckoning import Calendar, Deadline, Extension, Limit, deadline
from services.cases.deadlines.rules import Level, MotionKind, MotionRules
from services.cases.motions import errors
from services.cases.routing.reasons import Ground, why_due

State = Literal[
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
StepKind = Literal[
    "drafted",
    "revised",
    "invited",
    "cosigned",
    "declined",
    "uncosigned",
    "submitted",
    "returned",
    "accepted",
    "turned",
    "refused",
    "assigned",
    "objected",
    "co-objected",
    "contacted",
    "opinion",
    "extension-asked",
    "extension-granted",
    "extension-refused",
    "answered",
    "rated",
    "unsatisfied",
    "cosigner-rated",
    "promise-reported",
    "promise-rated",
    "promise-unstated",
    "supervised",
    "withdrawn",
    "unstated",
    "overdue",
    "redated",
    "referred",
    "advised",
    "tabled",
    "explained",
    "concluded",
]
DueKind = Literal[
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
BillDecision = Literal["agenda", "suggestion", "explained"]
"""列入议程, 不列入而作建议办理, 已审议并说明: what a committee advises on a bill, and what is decided on its report."""
BillOutcome = Literal["passed", "not-passed", "withdrawn", "explained"]
"""How a bill ended: 通过, 未通过, 经同意撤回, 已审议并说明."""
CosignState = Literal["invited", "confirmed", "declined", "withdrawn"]
HandlingState = Literal["assigned", "objected", "opined", "released"]
PromiseState = Literal["open", "kept", "partly-kept", "not-kept"]
ContactForm = Literal["face-to-face", "phone", "video", "letter", "inspection"]
"""面商, 电话, 视频, 书面, 现场调研."""


@dataclass(frozen=True)
class Rule:
    """One kind of step: from which states it is possible, and the state after it (None = as before)."""

    before: frozenset[State]
    after: State | None
    title: str


def _rule(before: str, after: State | None, title: str) -> Rule:
    known: dict[str, State] = {state: state for state in STATES}
    return Rule(frozenset(known[name] for name in before.split()), after, title)


STATES: Mapping[State, str] = {
    "draft": "起草",
    "correcting": "退改",
    "submitted": "已提交",
    "accepted": "已受理",
    "assigned": "已交办",
    "objected": "申请退回",
    "answered": "已答复",
    "redo": "再次办理",
    "closed": "办结",
    "not-accepted": "不予受理",
    "withdrawn": "撤回",
    "in-committee": "专门委员会审议",
    "reported": "专门委员会已报告",
    "on-agenda": "列入议程",
    "concluded": "审议终结",
}
_WRITING = "draft correcting"
_HANDLED = "assigned redo"
_AFTER_ANSWER = "answered redo assigned objected closed withdrawn"
_BILLS = "in-committee reported on-agenda"
_COUNTED = f"accepted {_AFTER_ANSWER} {_BILLS}"
STEPS: Mapping[StepKind, Rule] = {
    "drafted": _rule("", "draft", "起草"),
    "revised": _rule(_WRITING, None, "修改"),
    "invited": _rule(_WRITING, None, "邀请联名"),
    "cosigned": _rule(_WRITING, None, "联名确认"),
    "declined": _rule(_WRITING, None, "谢绝联名"),
    "uncosigned": _rule(_WRITING, None, "退出联名"),
    "submitted": _rule(_WRITING, "submitted", "提交"),
    "returned": _rule("submitted", "correcting", "退回修改"),
    "accepted": _rule("submitted", "accepted", "受理"),
    "turned": _rule("submitted reported", "accepted", "转为建议"),
    "refused": _rule("submitted", "not-accepted", "不予受理"),
    "assigned": _rule(f"accepted objected {_HANDLED}", "assigned", "交办"),
    "objected": _rule(_HANDLED, "objected", "主办单位申请退回"),
    "co-objected": _rule(_HANDLED, None, "会办单位申请退回"),
    "contacted": _rule(_HANDLED, None, "与代表沟通"),
    "opinion": _rule(_HANDLED, None, "会办意见"),
    "extension-asked": _rule("assigned", None, "申请延期"),
    "extension-granted": _rule("assigned", None, "同意延期"),
    "extension-refused": _rule("assigned", None, "不同意延期"),
    "answered": _rule(_HANDLED, "answered", "答复"),
    "rated": _rule("answered closed", "closed", "评价"),
    "unsatisfied": _rule("answered closed", "redo", "不满意，再次办理"),
    "unstated": _rule("answered", "closed", "未表态，办结"),
    "cosigner-rated": _rule("answered closed", None, "联名代表评价"),
    "promise-reported": _rule(_AFTER_ANSWER, None, "报告承诺落实"),
    "promise-rated": _rule(_AFTER_ANSWER, None, "评价承诺落实"),
    "promise-unstated": _rule(_AFTER_ANSWER, None, "承诺落实未表态"),
    "supervised": _rule("accepted assigned objected redo", None, "重点督办"),
    "withdrawn": _rule(
        f"{_WRITING} submitted accepted assigned objected redo in-committee reported", "withdrawn", "撤回"
    ),
    "overdue": _rule(_COUNTED, None, "逾期"),
    "redated": _rule(_COUNTED, None, "重算期限"),
    "referred": _rule("accepted in-committee", "in-committee", "交专门委员会审议"),
    "advised": _rule("in-committee", "reported", "专门委员会报告"),
    "tabled": _rule("accepted reported", "on-agenda", "列入议程"),
    "explained": _rule("reported", "concluded", "已审议并说明"),
    "concluded": _rule("on-agenda", "concluded", "表决或者终止审议"),
}
PRIVATE: frozenset[State] = frozenset({"draft", "correcting"})
"""Seen by the author and those invited alone; a motion withdrawn before it was submitted stays so."""


@dataclass(frozen=True)
class Rules:
    """What the rule pack in force says about motions, and the calendar to count with."""

    calendar: Calendar
    motions: MotionRules


CITY_DIGITS = 4
"""Digits of a city's code (GB/T 2260)."""


@dataclass(frozen=True)
class Act:
    """Who acts and when: `at` never lies before the motion's last step, `said_at` is when it was really said.

    `staff_of` is the place code of the congress that a member of staff works for; None for all others.
    """

    actor: str
    at: datetime
    said_at: datetime
    deputy: UUID | None = None
    department: str | None = None
    staff_of: str | None = None


@dataclass(frozen=True)
class Deputy:
    """A deputy as motions know them. A congress is its level and place."""

    id: UUID
    level: Level
    county: str | None
    town: str | None
    active: bool = True


@dataclass(frozen=True)
class Text:
    """A motion's words, sealed; `digest` says which text it is, `parts` which of a bill's parts are there."""

    sealed: str = field(repr=False)
    digest: str
    parts: frozenset[str] = frozenset()


BILL_PARTS = frozenset({"cause", "basis", "plan"})
"""案由, 案据, 方案."""


@dataclass(frozen=True)
class Cosigner:
    """A deputy asked to co-sign; `digest` is the text that they confirmed having read."""

    deputy: UUID
    state: CosignState
    at: datetime
    digest: str | None = None


@dataclass(frozen=True)
class Handling:
    """A department's part: the lead 主办 answers, the others 会办 give it their opinions."""

    department: str
    role: Literal["lead", "co"]
    state: HandlingState
    since: datetime


@dataclass(frozen=True)
class Answer:
    """A department's answer 答复 of one round; `sealed` holds its text."""

    round: int
    department: str
    result: str
    signed_by: str
    public: bool
    sealed: str = field(repr=False)
    at: datetime
    on_time: bool


@dataclass(frozen=True)
class Promise:
    """What a department will do by when 承诺事项, what it reported, and how the deputy rated that.

    It is owed until it is kept: who reports less names another date, and `postponed` counts how often.
    `late`: rated after the deadline.
    """

    number: int
    department: str
    sealed: str = field(repr=False)
    due: date
    made_at: datetime
    state: PromiseState = "open"
    reported_at: datetime | None = None
    report: str | None = field(default=None, repr=False)
    rating: str | None = None
    rated_at: datetime | None = None
    postponed: int = 0
    late: bool = False


@dataclass(frozen=True)
class Rating:
    """One signer's rating of the answer of one round: a value for each axis. `late`: after the deadline."""

    round: int
    deputy: UUID
    values: Mapping[str, str]
    at: datetime
    late: bool


@dataclass(frozen=True)
class Due:
    """One deadline of a motion, with its reason as a sentence and as codes (`why`). It is open until `ended`.

    `met` then says whether in time; None: it went away with what it was for. `told`: when it was said that it
    has passed.
    """

    number: int
    kind: DueKind
    begin: datetime
    at: datetime
    reason: str
    provisional: bool
    calendar: str
    department: str | None = None
    promise: int | None = None
    ended: datetime | None = None
    met: bool | None = None
    told: datetime | None = None
    why: tuple[Ground, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class Step:
    """One step: what, who, when, why, and what it changes. `note` is for those who may read the motion."""

    kind: StepKind
    actor: str
    at: datetime
    department: str | None = None
    deputy: UUID | None = None
    note: str | None = field(default=None, repr=False)
    detail: Mapping[str, Any] = field(default_factory=dict)
    change: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Motion:
    """A motion as it stands. `version` counts its steps; `steps` are those not yet written.

    `round` is 0 before the first assignment, then 1, and one more with every 再次办理. `contacted` is the last
    round in which a contact with the deputy was recorded. `committee`, `advice` and `bill_outcome` belong to the
    way of a bill (`bills`).
    """

    id: UUID
    author_id: UUID
    kind: MotionKind
    level: Level
    county: str | None
    town: str | None
    secret: bool
    sealed: str = field(repr=False)
    digest: str
    parts: tuple[str, ...]
    drafted_at: datetime
    changed_at: datetime
    from_case: UUID | None = None
    state: State = "draft"
    version: int = 0
    turned: bool = False
    number: str | None = None
    ground: str | None = None
    submitted_at: datetime | None = None
    accepted_at: datetime | None = None
    assigned_at: datetime | None = None
    answered_at: datetime | None = None
    closed_at: datetime | None = None
    lead: str | None = None
    round: int = 0
    contacted: int = 0
    supervised: bool = False
    extension_asked: int | None = None
    extensions: tuple[Extension, ...] = ()
    cosigners: tuple[Cosigner, ...] = ()
    handlers: tuple[Handling, ...] = ()
    answers: tuple[Answer, ...] = field(default=(), repr=False)
    promises: tuple[Promise, ...] = field(default=(), repr=False)
    ratings: tuple[Rating, ...] = ()
    committee: str | None = None
    advice: BillDecision | None = None
    bill_outcome: BillOutcome | None = None
    deadlines: tuple[Due, ...] = ()
    steps: tuple[Step, ...] = field(default=(), repr=False)

    @property
    def signers(self) -> tuple[UUID, ...]:
        """Who signs it: the author and the co-signers who confirmed."""
        return (self.author_id, *(c.deputy for c in self.cosigners if c.state == "confirmed"))

    @property
    def congress(self) -> str | None:
        """The place code of the congress it is put to; None where a city-level deputy has no place."""
        if self.level == "city":
            return self.county[:CITY_DIGITS] if self.county else None
        return self.county if self.level == "county" else self.town or self.county

    @property
    def goes_as_bill(self) -> bool:
        """Whether it is dealt with as a bill, and not by departments."""
        return self.kind == "bill" and self.lead is None

    @property
    def co_handlers(self) -> tuple[str, ...]:
        """The departments that co-handle it now."""
        return tuple(h.department for h in self.handlers if h.role == "co" and h.state != "released")

    def open_due(self, kind: DueKind, department: str | None = None) -> Due | None:
        """The open deadline of a kind, of one department where there may be several."""
        found = (
            d
            for d in self.deadlines
            if d.kind == kind and d.ended is None and department in (None, d.department)
        )
        return next(found, None)

    @property
    def next_due(self) -> Due | None:
        """The deadline that handling stands under now: assigning, answering, rating, or of a bill's way."""
        leading: tuple[DueKind, ...] = ("assign", "reassign", "answer", "redo", "feedback", *OF_BILLS)
        found = [d for d in self.deadlines if d.ended is None and d.kind in leading]
        return min(found, key=lambda d: d.at, default=None)


def evolve(motion: Motion, step: Step) -> Motion:
    """The motion after one step."""
    return replace(
        motion,
        **{
            "state": STEPS[step.kind].after or motion.state,
            "version": motion.version + 1,
            # Not when dates were counted again: what fell due meanwhile still has its own moment.
            "changed_at": motion.changed_at if step.kind == "redated" else max(motion.changed_at, step.at),
            "steps": (*motion.steps, step),
            **step.change,
        },
    )


def diagram() -> str:
    """The state machine as a Mermaid state diagram, drawn from `STEPS`."""
    lines = ["stateDiagram-v2", *(f"    {_drawn(s)}: {s} {title}" for s, title in STATES.items())]
    lines.append(f"    [*] --> draft: drafted {STEPS['drafted'].title}")
    for state in STATES:
        staying = [
            f"{n} {r.title}" for n, r in STEPS.items() if state in r.before and r.after in (None, state)
        ]
        for name, rule in STEPS.items():
            if state in rule.before and rule.after not in (None, state):
                lines.append(f"    {_drawn(state)} --> {_drawn(str(rule.after))}: {name} {rule.title}")
        if staying:
            lines.append(f"    note right of {_drawn(state)}: {', '.join(staying)}")
    return "\n".join(lines) + "\n"


def _drawn(state: str) -> str:
    return state.replace("-", "_")


# -- who may ---------------------------------------------------------------------------------------------


def possible(motion: Motion, kind: StepKind) -> None:
    """Refuse a step that the machine has not from here."""
    if motion.state not in STEPS[kind].before:
        raise errors.step_not_possible(kind, motion.state)


def author_only(motion: Motion, act: Act) -> None:
    """Refuse whoever is not its author."""
    if act.deputy != motion.author_id:
        raise errors.not_your_motion()


def staff_only(motion: Motion, act: Act) -> None:
    """Refuse whoever is not staff of the congress."""
    if not _reached(motion, act):
        raise errors.not_your_motion()


def _reached(motion: Motion, act: Act) -> bool:
    """Whether it was put to a congress in the area of staff; what has no place is the city's."""
    if act.staff_of is None:
        return False
    return motion.congress.startswith(act.staff_of) if motion.congress else len(act.staff_of) <= CITY_DIGITS


def may_read(motion: Motion, act: Act) -> bool:
    """Whether somebody may read a motion: author, invited, staff of the congress, its departments.

    Every deputy may read what was submitted and is not secret.
    """
    if act.deputy is not None:
        named = {c.deputy for c in motion.cosigners if c.state in ("invited", "confirmed")}
        if act.deputy == motion.author_id or act.deputy in named:
            return True
    if motion.submitted_at is None or motion.state in PRIVATE:
        return False
    if act.deputy is not None and not motion.secret:
        return True
    if any(h.department == act.department and h.state != "released" for h in motion.handlers):
        return True
    return _reached(motion, act)


# -- deadlines -------------------------------------------------------------------------------------------

OF_AUTHORS: tuple[DueKind, ...] = ("feedback", "unstated")
"""By when the author rates an answer; the handling ends without it."""
OF_BILLS: tuple[DueKind, ...] = ("refer", "committee", "adopt", "conclude")
"""By when a bill is referred or put on the agenda, a committee reports, its report is adopted, the bill voted on."""
OVERDUE: frozenset[DueKind] = frozenset(
    {"assign", "reassign", "first-contact", "opinion", "answer", "redo", "promise", *OF_BILLS}
)
"""What is owed still when its time is over."""


def begun(
    dues: Sequence[Due],
    kind: DueKind,
    limit: Limit | None,
    begin: datetime,
    rules: Rules,
    *,
    department: str | None = None,
    promise: int | None = None,
    extensions: Sequence[Extension] = (),
) -> tuple[Due, ...]:
    """The deadlines with one more; the same where the place sets no limit."""
    if limit is None:
        return tuple(dues)
    found = deadline("", limit, begin, rules.calendar, extensions=extensions)
    return (*dues, due_of(len(dues) + 1, kind, begin, found, department, promise))


def due_of(
    number: int, kind: DueKind, begin: datetime, found: Deadline, department: str | None, promise: int | None
) -> Due:
    """A deadline as it was counted."""
    return Due(
        number,
        kind,
        begin,
        found.at,
        found.reason,
        found.provisional,
        found.calendar,
        department,
        promise,
        why=why_due(found),
    )


def ended(
    dues: Sequence[Due],
    act: Act,
    *kinds: DueKind,
    department: str | None = None,
    promise: int | None = None,
    void: bool = False,
) -> tuple[Due, ...]:
    """The deadlines after those of some kinds (all where none is named) ended."""
    return tuple(
        replace(due, ended=act.at, met=None if void else act.said_at <= due.at)
        if due.ended is None
        and (not kinds or due.kind in kinds)
        and department in (None, due.department)
        and promise in (None, due.promise)
        else due
        for due in dues
    )
