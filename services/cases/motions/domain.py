"""The life of a motion 议案、建议、批评和意见 as a pure state machine.

`STEPS` is the machine: from which states a step is possible and where it leads; docs/motion-states.md draws
it. Each function below takes the motion, who acts and when (`Act`) and what is asked, and returns steps or
refuses; `evolve` applies one step and needs nothing else.

Invariants: every limit, count and choice comes from the rule pack (`Rules`); a changed text voids every
confirmation given to an earlier one; only the departments assigned act on a motion, and an answer follows a
contact with the deputy in the same round; whether something was in time is judged by when it was said; every
deadline carries the sentence that explains it; what was promised is a ledger of its own and outlives the end
of handling.

What becomes of a bill 议案 that is taken in as one stands in `bills`, what time does in `dates`: all are steps of
this one machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time
from typing import Any, Literal
from uuid import UUID

from services.cases.deadlines.reckoning import CHINA, Calendar, Deadline, Extension, Limit, deadline
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

COSIGNERS_MAX = 300
PROMISES_MAX = 20


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
UNDER_WAY: frozenset[State] = frozenset(
    {"accepted", "assigned", "objected", "answered", "redo", "in-committee", "reported", "on-agenda"}
)
"""Taken in and not at its end."""
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
            "changed_at": max(motion.changed_at, step.at),
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


def _author(motion: Motion, act: Act) -> None:
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


def _lead(motion: Motion, act: Act) -> str:
    if act.department is None or act.department != motion.lead:
        raise errors.not_your_motion()
    return act.department


def _handler(motion: Motion, act: Act) -> Handling:
    for handling in motion.handlers:
        if handling.department == act.department and handling.state != "released":
            return handling
    raise errors.not_your_motion()


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

_OF_PROMISES: tuple[DueKind, ...] = ("promise", "rate-promise")
"""Deadlines that outlive the handling."""
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


def _void(dues: Sequence[Due], act: Act, *, but: Iterable[DueKind] = ()) -> tuple[Due, ...]:
    kept = set(but)
    return tuple(
        replace(due, ended=act.at) if due.ended is None and due.kind not in kept else due for due in dues
    )


# -- writing and signing ---------------------------------------------------------------------------------


def draft(motion: Motion) -> tuple[Step, ...]:
    """A deputy begins a motion 起草; nobody else sees it."""
    return (Step("drafted", str(motion.author_id), motion.drafted_at),)


def revise(
    motion: Motion, act: Act, text: Text, *, kind: MotionKind | None, secret: bool | None
) -> tuple[Step, ...]:
    """The author changes it 修改; another text voids every confirmation of the one before."""
    _author(motion, act)
    possible(motion, "revised")
    cosigners = motion.cosigners
    if text.digest != motion.digest:
        cosigners = tuple(
            replace(c, state="invited", digest=None, at=act.at) if c.state == "confirmed" else c
            for c in cosigners
        )
    change = {
        "sealed": text.sealed,
        "digest": text.digest,
        "parts": tuple(sorted(text.parts)),
        "kind": kind or motion.kind,
        "secret": motion.secret if secret is None else secret,
        "cosigners": cosigners,
    }
    voided = [str(c.deputy) for c, old in zip(cosigners, motion.cosigners, strict=True) if c is not old]
    return (Step("revised", act.actor, act.at, detail={"voided": voided}, change=change),)


def invite(
    motion: Motion, act: Act, invited: Sequence[UUID], known: Mapping[UUID, Deputy]
) -> tuple[Step, ...]:
    """The author asks deputies of the same congress to co-sign 邀请联名; one step for each."""
    _author(motion, act)
    possible(motion, "invited")
    steps: list[Step] = []
    cosigners = motion.cosigners
    for deputy in dict.fromkeys(invited):
        there = next((c for c in cosigners if c.deputy == deputy), None)
        if deputy == motion.author_id or (there is not None and there.state in ("invited", "confirmed")):
            raise errors.already_signed()
        if not _of_congress(motion, known.get(deputy)):
            raise errors.deputy_unknown()
        if len(cosigners) >= COSIGNERS_MAX:
            raise errors.too_many_invited(COSIGNERS_MAX)
        others = tuple(c for c in cosigners if c.deputy != deputy)
        cosigners = (*others, Cosigner(deputy, "invited", act.at))
        steps.append(
            Step("invited", act.actor, act.at, deputy=deputy, change={"cosigners": cosigners}),
        )
    return tuple(steps)


def _of_congress(motion: Motion, deputy: Deputy | None) -> bool:
    if deputy is None or not deputy.active or deputy.level != motion.level:
        return False
    if motion.level == "city":
        return True
    return deputy.county == motion.county and (motion.level == "county" or deputy.town == motion.town)


def _cosigner(motion: Motion, act: Act, *states: CosignState) -> UUID:
    for cosigner in motion.cosigners:
        if cosigner.deputy == act.deputy and cosigner.state in states:
            return cosigner.deputy
    raise errors.not_invited()


def _cosigner_step(
    motion: Motion, act: Act, kind: StepKind, deputy: UUID, state: CosignState, digest: str | None = None
) -> tuple[Step, ...]:
    possible(motion, kind)
    cosigners = tuple(
        Cosigner(deputy, state, act.at, digest) if c.deputy == deputy else c for c in motion.cosigners
    )
    return (Step(kind, act.actor, act.at, deputy=deputy, change={"cosigners": cosigners}),)


def cosign(motion: Motion, act: Act, digest: str) -> tuple[Step, ...]:
    """Somebody invited confirms having read the present text and signs 联名确认."""
    deputy = _cosigner(motion, act, "invited")
    if digest != motion.digest:
        raise errors.text_changed()
    return _cosigner_step(motion, act, "cosigned", deputy, "confirmed", digest)


def decline(motion: Motion, act: Act) -> tuple[Step, ...]:
    """Somebody invited does not sign 谢绝联名."""
    return _cosigner_step(motion, act, "declined", _cosigner(motion, act, "invited"), "declined")


def uncosign(motion: Motion, act: Act) -> tuple[Step, ...]:
    """A co-signer takes the signature back before the motion is submitted 退出联名."""
    return _cosigner_step(motion, act, "uncosigned", _cosigner(motion, act, "confirmed"), "withdrawn")


def submit(
    motion: Motion, act: Act, rules: Rules, known: Mapping[UUID, Deputy], *, informed: bool
) -> tuple[Step, ...]:
    """The author submits it 提交, with as many signers as the rule pack asks for.

    Where the pack lets the lead answer for the co-signers' having read the text (`informed`), those invited
    who did not decline sign with it; elsewhere only those who confirmed the present text. Who is no deputy of
    the congress any more signs nothing.
    """
    _author(motion, act)
    possible(motion, "submitted")
    if not _of_congress(motion, known.get(motion.author_id)):
        raise errors.deputy_unknown()
    if motion.kind == "bill" and not set(motion.parts) >= BILL_PARTS:
        raise errors.parts_missing()
    cosigners = motion.cosigners
    if rules.motions.cosigning.value == "lead-informs" and cosigners:
        if not informed:
            raise errors.not_informed()
        cosigners = tuple(
            replace(c, state="confirmed", at=act.at) if c.state == "invited" else c for c in cosigners
        )
    left = {c.deputy for c in cosigners if c.state == "confirmed"}
    left = {deputy for deputy in left if not _of_congress(motion, known.get(deputy))}
    cosigners = tuple(replace(c, state="withdrawn", at=act.at) if c.deputy in left else c for c in cosigners)
    there = replace(motion, cosigners=cosigners)
    needed = rules.motions.signers.value[motion.kind][motion.level]
    if len(there.signers) < needed:
        raise errors.too_few_signers(needed, len(there.signers))
    change = {"cosigners": cosigners, "submitted_at": act.at}
    detail = {"left": sorted(map(str, left))} if left else {}
    return (Step("submitted", act.actor, act.at, detail=detail, change=change),)


def withdraw(motion: Motion, act: Act, reason: str) -> tuple[Step, ...]:
    """The author withdraws it in writing 撤回, which ends its handling."""
    _author(motion, act)
    possible(motion, "withdrawn")
    change = {"deadlines": _void(motion.deadlines, act, but=_OF_PROMISES), "extension_asked": None}
    return (Step("withdrawn", act.actor, act.at, note=reason, change=change),)


# -- examination -----------------------------------------------------------------------------------------


def give_back(motion: Motion, act: Act, reason: str) -> tuple[Step, ...]:
    """Staff return it to the author for correction 退回修改."""
    staff_only(motion, act)
    possible(motion, "returned")
    return (Step("returned", act.actor, act.at, note=reason),)


def accept(
    motion: Motion, act: Act, rules: Rules, *, number: str, turn: bool, reason: str
) -> tuple[Step, ...]:
    """Staff accept and register it 受理登记, a bill 立案; with `turn` a bill becomes a suggestion 转为建议."""
    staff_only(motion, act)
    kind: StepKind = "turned" if turn else "accepted"
    possible(motion, "accepted")
    if turn and motion.kind != "bill":
        raise errors.not_a_bill()
    due: tuple[DueKind, Limit] = (
        ("assign", rules.motions.assign) if turn or motion.kind != "bill" else ("refer", rules.motions.refer)
    )
    change: dict[str, Any] = {
        "number": number,
        "accepted_at": act.at,
        "deadlines": begun(motion.deadlines, *due, act.at, rules),
    }
    if turn:
        change |= {"kind": "suggestion", "turned": True}
    return (Step(kind, act.actor, act.at, note=reason or None, detail={"number": number}, change=change),)


def refuse(motion: Motion, act: Act, rules: Rules, *, ground: str, reason: str) -> tuple[Step, ...]:
    """Staff do not accept it, on one of the rule pack's grounds 不予受理."""
    staff_only(motion, act)
    possible(motion, "refused")
    if ground not in rules.motions.grounds.value:
        raise errors.ground_unknown(", ".join(rules.motions.grounds.value))
    change = {"ground": ground, "closed_at": act.at}
    return (
        Step("refused", act.actor, act.at, note=reason or None, detail={"ground": ground}, change=change),
    )


# -- assignment and handling -----------------------------------------------------------------------------


def assign(
    motion: Motion, act: Act, rules: Rules, *, lead: str, co: Sequence[str], reason: str
) -> tuple[Step, ...]:
    """Staff assign it to a lead department and others to co-handle it 交办, or anew after an objection.

    Another lead begins a new clock, as the answer is counted from its assignment; the same lead keeps its
    own, so that an objection that is turned down wins no time. In a second round the limit that began with
    the rating goes on whoever handles it.
    """
    staff_only(motion, act)
    possible(motion, "assigned")
    if motion.state == "accepted" and motion.goes_as_bill:
        raise errors.bill_not_assigned()
    if lead in co or len(set(co)) < len(co):
        raise errors.already_there()
    if motion.state == "assigned" and motion.lead == lead and set(motion.co_handlers) == set(co):
        raise errors.already_there()
    moved = motion.lead != lead
    gone = {h.department for h in motion.handlers} - {lead, *co}
    dues = ended(motion.deadlines, act, "assign", "reassign")
    for department in gone:
        dues = ended(dues, act, "object", "opinion", department=department, void=True)
    if moved:
        dues = ended(dues, act, "answer", "first-contact", void=True)
        if motion.lead is not None:
            dues = ended(dues, act, "object", "opinion", department=motion.lead, void=True)
        dues = ended(dues, act, "object", "opinion", department=lead, void=True)
        dues = begun(dues, "object", rules.motions.object, act.at, rules, department=lead)
        dues = begun(dues, "first-contact", rules.motions.first_contact, act.at, rules, department=lead)
        dues = tuple(
            replace(due, department=lead) if due.kind == "redo" and due.ended is None else due for due in dues
        )
        if motion.round <= 1:
            dues = begun(dues, "answer", rules.motions.answer, act.at, rules, department=lead)
    handlers = {h.department: h for h in motion.handlers}
    for department in gone:
        handlers[department] = replace(handlers[department], state="released")
    held = handlers.get(lead)
    handlers[lead] = (
        Handling(lead, "lead", "assigned", act.at)
        if moved or held is None
        else replace(held, role="lead", state="assigned")
    )
    for department in co:
        held = handlers.get(department)
        if held is None or held.role != "co" or held.state in ("released", "objected"):
            handlers[department] = Handling(department, "co", "assigned", act.at)
            dues = ended(dues, act, "object", "opinion", department=department, void=True)
            dues = begun(dues, "object", rules.motions.object, act.at, rules, department=department)
            dues = begun(dues, "opinion", rules.motions.opinion, act.at, rules, department=department)
    change: dict[str, Any] = {
        "lead": lead,
        "round": max(1, motion.round),
        "handlers": tuple(handlers.values()),
        "deadlines": dues,
    }
    if moved:
        change |= {"assigned_at": act.at, "extensions": (), "extension_asked": None}
        change |= {"contacted": min(motion.contacted, max(1, motion.round) - 1)}
    return (
        Step(
            "assigned",
            act.actor,
            act.at,
            department=lead,
            note=reason or None,
            detail={"co": list(co), "from": motion.lead if moved else None},
            change=change,
        ),
    )


def object_to(motion: Motion, act: Act, rules: Rules, reason: str) -> tuple[Step, ...]:
    """A department says within the limit that it is not its business 申请退回; staff assign it anew."""
    handling = _handler(motion, act)
    is_lead = handling.department == motion.lead
    kind: StepKind = "objected" if is_lead else "co-objected"
    possible(motion, kind)
    due = motion.open_due("object", handling.department)
    if due is None or act.said_at > due.at or handling.state == "objected":
        raise errors.too_late()
    dues = ended(motion.deadlines, act, "object", department=handling.department)
    if is_lead:
        dues = begun(dues, "reassign", rules.motions.reassign, act.at, rules)
    else:
        dues = ended(dues, act, "opinion", department=handling.department, void=True)
    change = {"handlers": _handled(motion, handling, "objected"), "deadlines": dues}
    return (Step(kind, act.actor, act.at, department=handling.department, note=reason, change=change),)


def _handled(motion: Motion, handling: Handling, state: HandlingState) -> tuple[Handling, ...]:
    return tuple(replace(h, state=state) if h is handling else h for h in motion.handlers)


def contact(motion: Motion, act: Act, *, on: date, form: ContactForm, note: str) -> tuple[Step, ...]:
    """The lead department records that it spoke with the deputy 与代表沟通, without which it cannot answer."""
    lead = _lead(motion, act)
    possible(motion, "contacted")
    since = max(motion.assigned_at or motion.drafted_at, _begin_of_round(motion))
    if not since.astimezone(CHINA).date() <= on <= act.at.astimezone(CHINA).date():
        raise errors.contact_date_wrong()
    change = {
        "contacted": motion.round,
        "deadlines": ended(motion.deadlines, act, "first-contact"),
    }
    detail = {"on": on.isoformat(), "form": form, "round": motion.round}
    return (
        Step(
            "contacted", act.actor, act.at, department=lead, note=note or None, detail=detail, change=change
        ),
    )


def _begin_of_round(motion: Motion) -> datetime:
    """When the rating came that asked for the present round; for the first when it was drafted."""
    asked = [r.at for r in motion.ratings if r.deputy == motion.author_id and r.round < motion.round]
    return max(asked, default=motion.drafted_at)


def give_opinion(motion: Motion, act: Act, text: str) -> tuple[Step, ...]:
    """A co-handler gives the lead its opinion 会办意见."""
    handling = _handler(motion, act)
    if handling.role != "co":
        raise errors.not_your_motion()
    possible(motion, "opinion")
    if handling.state != "assigned":
        raise errors.opinion_given()
    change = {
        "handlers": _handled(motion, handling, "opined"),
        "deadlines": ended(motion.deadlines, act, "opinion", "object", department=handling.department),
    }
    return (Step("opinion", act.actor, act.at, department=handling.department, note=text, change=change),)


def ask_extension(motion: Motion, act: Act, rules: Rules, *, more: int, reason: str) -> tuple[Step, ...]:
    """The lead asks for more time 申请延期, in the unit of the pack's limit for the answer."""
    lead = _lead(motion, act)
    possible(motion, "extension-asked")
    if motion.extension_asked is not None:
        raise errors.extension_pending()
    due = motion.open_due("answer")
    if due is None:
        raise errors.extension_too_long()
    if act.said_at > due.at:
        raise errors.too_late()
    asked = _extended(motion, act, rules, more)
    latest = deadline("", rules.motions.answer_latest, due.begin, rules.calendar)
    if deadline("", rules.motions.answer, due.begin, rules.calendar, extensions=asked).at > latest.at:
        raise errors.extension_too_long()
    change = {"extension_asked": more}
    return (
        Step(
            "extension-asked",
            act.actor,
            act.at,
            department=lead,
            note=reason,
            detail={"more": more},
            change=change,
        ),
    )


def _extended(motion: Motion, act: Act, rules: Rules, more: int) -> tuple[Extension, ...]:
    limit = replace(rules.motions.answer, number=more)
    return (*motion.extensions, Extension(limit, "人大代表工作机构", act.at))


def decide_extension(
    motion: Motion, act: Act, rules: Rules, *, granted: bool, reason: str
) -> tuple[Step, ...]:
    """Staff grant or refuse what was asked 审批延期."""
    staff_only(motion, act)
    possible(motion, "extension-granted")
    due = motion.open_due("answer")
    if motion.extension_asked is None or due is None:
        raise errors.no_extension_asked()
    if not granted:
        change: dict[str, Any] = {"extension_asked": None}
        return (Step("extension-refused", act.actor, act.at, note=reason or None, change=change),)
    extensions = _extended(motion, act, rules, motion.extension_asked)
    found = deadline("", rules.motions.answer, due.begin, rules.calendar, extensions=extensions)
    longer = due_of(due.number, due.kind, due.begin, found, due.department, due.promise)
    change = {
        "extension_asked": None,
        "extensions": extensions,
        "deadlines": tuple(longer if d is due else d for d in motion.deadlines),
    }
    detail = {"more": motion.extension_asked}
    return (Step("extension-granted", act.actor, act.at, note=reason or None, detail=detail, change=change),)


@dataclass(frozen=True)
class Pledge:
    """What an answer promises: sealed words and a date."""

    sealed: str = field(repr=False)
    due: date


def answer(
    motion: Motion,
    act: Act,
    rules: Rules,
    *,
    result: str,
    sealed: str,
    signed_by: str,
    public: bool,
    pledges: Sequence[Pledge],
) -> tuple[Step, ...]:
    """The lead answers 答复, with a class, who signed, and what it promises by when 承诺事项."""
    lead = _lead(motion, act)
    possible(motion, "answered")
    if result not in rules.motions.classes.value:
        raise errors.class_unknown()
    if motion.contacted < motion.round:
        raise errors.contact_missing()
    if public and motion.secret:
        raise errors.secret_not_public()
    if result in rules.motions.promising.value and not pledges:
        raise errors.promise_missing()
    today = act.at.astimezone(CHINA).date()
    if any(pledge.due <= today for pledge in pledges):
        raise errors.promise_date_wrong()
    due = motion.open_due("answer") or motion.open_due("redo")
    on_time = due is None or act.said_at <= due.at
    dues = ended(motion.deadlines, act, "answer", "redo")
    dues = to_be_rated(_void(dues, act, but=_OF_PROMISES), act.at, rules)
    promises = list(motion.promises)
    for pledge in pledges:
        number = len(promises) + 1
        promises.append(Promise(number, lead, pledge.sealed, pledge.due, act.at))
        dues = promised(dues, pledge.due, number, lead, rules)
    given = Answer(motion.round, lead, result, signed_by, public, sealed, act.at, on_time)
    change = {
        "answers": (*motion.answers, given),
        "answered_at": act.at,
        "promises": tuple(promises),
        "deadlines": dues,
        "extension_asked": None,
    }
    detail = {"class": result, "round": motion.round, "on_time": on_time, "promises": len(pledges)}
    return (Step("answered", act.actor, act.at, department=lead, detail=detail, change=change),)


def to_be_rated(dues: Sequence[Due], answered_at: datetime, rules: Rules) -> tuple[Due, ...]:
    """The deadlines with the one by which an answer is rated, or its handling ends."""
    if rules.motions.feedback is not None:
        return begun(dues, "feedback", rules.motions.feedback, answered_at, rules)
    return begun(dues, "unstated", rules.motions.unstated, answered_at, rules)


def supervise(motion: Motion, act: Act, reason: str) -> tuple[Step, ...]:
    """Staff put it among those under key supervision 重点督办."""
    staff_only(motion, act)
    possible(motion, "supervised")
    return (Step("supervised", act.actor, act.at, note=reason, change={"supervised": True}),)


# -- rating ----------------------------------------------------------------------------------------------


def rate(motion: Motion, act: Act, rules: Rules, values: Mapping[str, str]) -> tuple[Step, ...]:
    """A signer rates the answer on every axis 评价: the lead always, the others where it went to each of them.

    The lead's being unsatisfied with the first answer on any axis leads to a second round 再次办理; otherwise
    the lead's rating ends the handling. A lead who was silent until the handling ended may still rate.
    """
    deputy = act.deputy
    by_lead = deputy == motion.author_id
    every = rules.motions.answers_to.value == "every-signer"
    if deputy is None or not (by_lead or (every and deputy in motion.signers)):
        raise errors.not_your_motion()
    if set(values) != set(rules.motions.axes.value) or not set(values.values()) <= set(
        rules.motions.satisfaction.value
    ):
        raise errors.ratings_wrong()
    again = (
        by_lead and motion.round == 1 and bool(set(values.values()) & set(rules.motions.unsatisfied.value))
    )
    kind: StepKind = ("unsatisfied" if again else "rated") if by_lead else "cosigner-rated"
    possible(motion, kind)
    if any(r.deputy == deputy and r.round == motion.round for r in motion.ratings):
        raise errors.already_rated()
    limit = next((d for d in reversed(motion.deadlines) if d.kind == "feedback"), None)
    late = limit is not None and act.said_at > limit.at
    rating = Rating(motion.round, deputy, dict(values), act.at, late)
    change: dict[str, Any] = {"ratings": (*motion.ratings, rating)}
    if by_lead:
        dues = ended(motion.deadlines, act, *OF_AUTHORS)
        if again:
            dues = begun(dues, "redo", rules.motions.redo, act.at, rules, department=motion.lead)
            change |= {"round": motion.round + 1, "closed_at": None}
        else:
            change |= {"closed_at": motion.closed_at or act.at}
        change |= {"deadlines": dues}
    detail = {"values": dict(values), "round": motion.round, "late": late}
    return (Step(kind, act.actor, act.at, deputy=deputy, detail=detail, change=change),)


# -- promises --------------------------------------------------------------------------------------------


def _promise(motion: Motion, number: int) -> Promise:
    found = next((p for p in motion.promises if p.number == number), None)
    if found is None:
        raise errors.promise_unknown()
    return found


def _kept(motion: Motion, promise: Promise) -> tuple[Promise, ...]:
    return tuple(promise if p.number == promise.number else p for p in motion.promises)


def promised(dues: Sequence[Due], due: date, number: int, department: str, rules: Rules) -> tuple[Due, ...]:
    """The deadlines with the one by which a promise is reported on."""
    begin = datetime.combine(due, time.min, CHINA)
    limit = rules.motions.promise
    return begun(dues, "promise", limit, begin, rules, department=department, promise=number)


def report_promise(
    motion: Motion,
    act: Act,
    rules: Rules,
    *,
    number: int,
    outcome: PromiseState,
    sealed: str,
    due: date | None,
) -> tuple[Step, ...]:
    """The department that promised reports how it kept its word 报告承诺落实; unless kept, it promises a new date."""
    possible(motion, "promise-reported")
    promise = _promise(motion, number)
    if act.department is None or promise.department != act.department:
        raise errors.not_your_motion()
    if promise.state == "kept" or outcome == "open":
        raise errors.promise_unknown()
    kept = outcome == "kept"
    if not kept and due is None:
        raise errors.promise_date_missing()
    if due is not None and (kept or due <= act.at.astimezone(CHINA).date()):
        raise errors.promise_date_wrong()
    done = replace(
        promise,
        state=outcome,
        due=due or promise.due,
        reported_at=act.at,
        report=sealed,
        rating=None,
        rated_at=None,
        late=False,
        postponed=promise.postponed + (not kept),
    )
    dues = ended(motion.deadlines, act, "promise", promise=number)
    if due is not None:
        dues = promised(dues, due, number, promise.department, rules)
    else:
        dues = begun(dues, "rate-promise", rules.motions.feedback, act.at, rules, promise=number)
    change = {"promises": _kept(motion, done), "deadlines": dues}
    detail: dict[str, Any] = {"promise": number, "outcome": outcome}
    if due is not None:
        detail["due"] = due.isoformat()
    return (
        Step(
            "promise-reported", act.actor, act.at, department=promise.department, detail=detail, change=change
        ),
    )


def rate_promise(motion: Motion, act: Act, rules: Rules, *, number: int, value: str) -> tuple[Step, ...]:
    """The lead rates how a promise was kept 评价承诺落实: the second rating."""
    _author(motion, act)
    possible(motion, "promise-rated")
    promise = _promise(motion, number)
    if promise.state == "open" or promise.rating is not None:
        raise errors.promise_unknown()
    if value not in rules.motions.satisfaction.value:
        raise errors.ratings_wrong()
    limits = (d for d in motion.deadlines if d.kind == "rate-promise" and d.promise == number)
    late = any(act.said_at > limit.at for limit in limits)
    rated = replace(promise, rating=value, rated_at=act.at, late=late)
    change = {
        "promises": _kept(motion, rated),
        "deadlines": ended(motion.deadlines, act, "rate-promise", promise=number),
    }
    detail = {"promise": number, "value": value, "late": late}
    return (Step("promise-rated", act.actor, act.at, deputy=act.deputy, detail=detail, change=change),)
