"""The life of a case 督事 as a pure state machine.

`STEPS` is the machine: from which states a step is possible and where it leads; docs/states.md draws it.
`evolve` applies one event and needs nothing else, so that a case is the fold of its steps. Who may take which
step, and what it then says, stands in `steps`; what time does to a case in `dates`.

Invariants: no step leaves the machine, and none is taken back; what a resident submits nobody sees but the deputy
and staff before it is taken up; what is erased comes back by no step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal
from uuid import UUID

from services.cases.deadlines.reckoning import Calendar, Extension, Pause
from services.cases.deadlines.rules import CaseRules, Urgency
from services.cases.routing.judgement import Judged
from services.cases.routing.reasons import Ground

State = Literal[
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
Result = Literal["solved", "explained", "unsolved"]
Origin = Literal["own", "resident", "staff"]
Step = Literal[
    "submitted",
    "passed-up",
    "taken-up",
    "explained",
    "declined",
    "objected",
    "filed",
    "triage-late",
    "split",
    "routed",
    "transferred",
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
    "closed",
    "informed",
    "settled",
    "reminded",
    "rated",
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
    "submitted": "待接收",
    "triage": "待分流",
    "routed": "已派单",
    "accepted": "已签收",
    "in-progress": "办理中",
    "waiting": "待补充",
    "answered": "已答复",
    "closed": "已办结",
    "withdrawn": "已撤回",
    "merged": "已并案",
    "declined": "不予受理",
}
_AT_WORK = "accepted in-progress"
_HELD = f"routed {_AT_WORK}"
_ALL = " ".join(STATES)
STEPS: Mapping[Step, Rule] = {
    "submitted": _rule("", "submitted", "居民提交"),
    "passed-up": _rule("submitted", None, "逾期未接收，请人大工作人员处理"),
    "taken-up": _rule("submitted", "triage", "接收"),
    "explained": _rule("submitted", "closed", "解释说明"),
    "declined": _rule("submitted triage", "declined", "不予受理"),
    "objected": _rule("closed declined", "submitted", "居民提出不同意见"),
    "filed": _rule("", "triage", "提交"),
    "triage-late": _rule("triage", None, "逾期未分流"),
    "split": _rule(f"triage {_HELD} waiting answered", None, "拆分"),
    "routed": _rule("triage", "routed", "派单"),
    "transferred": _rule(_HELD, "routed", "转办"),
    "accepted": _rule("routed", "accepted", "签收"),
    "progressed": _rule(_AT_WORK, "in-progress", "办理进展"),
    "asked": _rule(_AT_WORK, "waiting", "请求补充"),
    "supplied": _rule("waiting", "in-progress", "补充情况"),
    "resumed": _rule("waiting", "in-progress", "逾期未补充，恢复办理"),
    "returned": _rule("routed accepted", "triage", "退回"),
    "extension-asked": _rule(_AT_WORK, None, "申请延期"),
    "extension-granted": _rule(_AT_WORK, None, "同意延期"),
    "extension-refused": _rule(_AT_WORK, None, "不同意延期"),
    "co-handled": _rule(f"{_HELD} waiting", None, "确定会办"),
    "opinion": _rule(f"{_HELD} waiting", None, "会办意见"),
    "answered": _rule(_HELD, "answered", "答复"),
    "close-reminded": _rule("answered", None, "提醒办结"),
    "close-late": _rule("answered", None, "逾期未办结，请人大工作人员办结"),
    "closed": _rule("answered", "closed", "办结"),
    "informed": _rule("merged", None, "告知主件答复"),
    "settled": _rule("merged", "closed", "随主件办结"),
    "reminded": _rule("closed", None, "提醒评价"),
    "rated": _rule("closed", None, "评价"),
    "reopened": _rule("answered closed", "routed", "重新办理"),
    "urged": _rule(_HELD, None, "催办"),
    "urge-withdrawn": _rule("answered", None, "撤销催办"),
    "supervised": _rule(f"{_HELD} waiting", None, "督办"),
    "redated": _rule(f"{_HELD} waiting", None, "重算期限"),
    "withdrawn": _rule(f"submitted triage {_HELD} waiting", "withdrawn", "撤回"),
    "merged": _rule(f"triage {_HELD} waiting", "merged", "并案"),
    "joined": _rule(f"triage {_HELD} waiting answered", None, "附议"),
    "resident-rated": _rule("closed", None, "居民评价"),
    "contact-erased": _rule(_ALL, None, "删除联系方式"),
    "erased": _rule(_ALL, None, "撤回同意，删除内容"),
    "link-closed": _rule(_ALL, None, "停用查询链接"),
}
FINISHED: frozenset[State] = frozenset({"closed", "withdrawn", "merged", "declined"})
ANSWER_OWED = STEPS["urged"].before
"""In these states a department owes an answer: one that is late is overdue 逾期."""


@dataclass(frozen=True)
class Rules:
    """What the rule pack in force says about cases, and the calendar to count with."""

    calendar: Calendar
    cases: CaseRules


@dataclass(frozen=True)
class Act:
    """Who acts and when: `at` never lies before the case's last step, `said_at` is when it was really said.

    `is_resident`: it is who submitted the case, as the follow link has shown 凭查询链接.
    """

    actor: str
    at: datetime
    said_at: datetime
    department: str | None = None
    is_staff: bool = False
    is_resident: bool = False


@dataclass(frozen=True)
class Route:
    """Where a case goes and by which rule: `why` as codes, `reason` as a sentence; never the case's words."""

    department: str
    category: str | None
    reason: str
    urgency: Urgency | None = None
    why: tuple[Ground, ...] = ()


@dataclass(frozen=True)
class Clock:
    """What a case's deadlines are counted from: the routing, the pauses and the granted extensions."""

    begin: datetime
    pauses: tuple[Pause, ...] = ()
    extensions: tuple[Extension, ...] = ()

    @property
    def paused(self) -> bool:
        """Whether it stands still now."""
        return bool(self.pauses) and self.pauses[-1].end is None

    def pause(self, at: datetime) -> Clock:
        """The clock standing still from a moment on."""
        return replace(self, pauses=(*self.pauses, Pause(at, None)))

    def go_on(self, at: datetime) -> Clock:
        """The clock running again."""
        last = replace(self.pauses[-1], end=at)
        return replace(self, pauses=(*self.pauses[:-1], last))


@dataclass(frozen=True)
class Dates:
    """The deadlines of a case and what explains them: the answer's as a sentence and as codes `why`, acceptance as codes."""

    accept_by: datetime
    answer_by: datetime
    reason: str
    provisional: bool
    calendar: str
    why: tuple[Ground, ...] = field(default=(), compare=False)
    accept_why: tuple[Ground, ...] = field(default=(), compare=False)


@dataclass(frozen=True)
class Event:
    """One step of a case: what, who, when, and what it set. `sealed` holds words that only this service opens."""

    step: Step
    actor: str
    at: datetime
    department: str | None = None
    category: str | None = None
    urgency: Urgency | None = None
    reason: str | None = None
    result: Result | None = None
    stars: int | None = None
    attitude: int | None = None
    outcome: int | None = None
    text: str | None = None
    sealed: str | None = None
    take_up_by: datetime | None = None
    days: int | None = None
    chased: int | None = None
    designated: bool = False
    clock: Clock | None = None
    dates: Dates | None = None
    on_time: bool | None = None
    late: bool = False
    other: UUID | None = None
    photos: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()
    judged: Judged | None = None
    why: tuple[Ground, ...] = ()


@dataclass(frozen=True)
class Case:
    """A case as it stands. `version` counts its steps; `steps` are those not yet written.

    `department` is who holds it (the lead 主办), `co_handlers` (会办) give it their opinions. `chased` says how
    far the present deadline has been chased by itself: at a department 1 urged to accept, 2 urged to answer,
    3 supervised; submitted and in triage 1 told to staff; answered 1 the deputy was reminded, 2 told to staff.
    What staff urge or supervise by hand changes nothing about that. `state_since`: when it came into its state.
    `photos` and `documents` are digests, in the order in which they came. `category_doubted`: with its category
    it came to a department whose business it was not, and nobody has said another since. `late`: a deadline
    passed without an answer, in this round or before; no later step takes that back.

    `deputy_id`: who filed it, or to whom a resident put it; None where staff filed what they found themselves.

    What a resident submitted by a deputy's code 代表码 has a `receipt` number, the `consent` that was given, the
    sealed `contact` where there is one, and `follow`, the digest of the secret that opens it; a resident's
    rating (`resident_stars`, of `attitude` and `result`) stands beside the deputy's. Both are of the present round.
    `objected`: the resident did not agree with what no department was asked about; from then on `take_up_by` is
    by when staff answer.
    """

    id: UUID
    deputy_id: UUID | None
    county: str
    town: str | None
    origin: Origin
    sealed: str
    filed_at: datetime
    changed_at: datetime
    state: State = "triage"
    state_since: datetime | None = None
    version: int = 0
    category: str | None = None
    category_doubted: bool = False
    urgency: Urgency = "normal"
    department: str | None = None
    co_handlers: tuple[str, ...] = ()
    reason: str | None = None
    result: Result | None = None
    answer: str | None = None
    stars: int | None = None
    returned: int = 0
    transferred: int = 0
    designated: bool = False
    reopened: int = 0
    clock: Clock | None = None
    accept_by: datetime | None = None
    answer_by: datetime | None = None
    dates_reason: str | None = None
    dates_why: tuple[Ground, ...] = ()
    accept_why: tuple[Ground, ...] = ()
    provisional: bool = False
    calendar: str | None = None
    extension_asked: int | None = None
    chased: int = 0
    answered_at: datetime | None = None
    on_time: bool | None = None
    late: bool = False
    closed_at: datetime | None = None
    reminded: bool = False
    merged_into: UUID | None = None
    split_from: UUID | None = None
    followers: tuple[UUID, ...] = ()
    photos: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()
    receipt: str | None = None
    follow: str | None = field(default=None, repr=False)
    consent: str | None = None
    contact: str | None = field(default=None, repr=False)
    take_up_by: datetime | None = None
    resident_stars: int | None = None
    resident_attitude: int | None = None
    resident_result: int | None = None
    objected: bool = False
    steps: tuple[Event, ...] = field(default=(), repr=False)

    @property
    def erased(self) -> bool:
        """Whether its words were destroyed."""
        return not self.sealed


def evolve(case: Case, event: Event) -> Case:
    """The case after one step."""
    after = STEPS[event.step].after
    changed = replace(
        case,
        state=after or case.state,
        state_since=event.at if after else case.state_since,
        version=case.version + 1,
        # Not when dates were counted again: what fell due meanwhile still has its own moment.
        changed_at=case.changed_at if event.step == "redated" else max(case.changed_at, event.at),
        steps=(*case.steps, event),
        category=event.category or case.category,
        category_doubted=case.category_doubted and event.category is None,
        urgency=event.urgency or case.urgency,
        result=event.result or case.result,
        stars=case.stars if event.step == "resident-rated" else event.stars or case.stars,
        clock=event.clock or case.clock,
        late=case.late or event.late,
        photos=tuple(dict.fromkeys((*case.photos, *event.photos))),
        documents=tuple(dict.fromkeys((*case.documents, *event.documents))),
    )
    if event.dates is not None:
        changed = _dated(changed, event.dates)
    match event.step:
        case "submitted":
            return replace(changed, take_up_by=event.take_up_by)
        case "passed-up" | "triage-late" | "close-reminded":
            return replace(changed, chased=1)
        case "close-late":
            return replace(changed, chased=2)
        case "taken-up":
            return replace(changed, chased=0)
        case "objected":
            return replace(
                _anew(changed),
                objected=True,
                take_up_by=event.take_up_by,
                chased=0,
                closed_at=None,
                answer=None,  # what is objected to is no answer any more; it stays among the steps
                result=None,
            )
        case "explained":
            return replace(changed, answer=event.text, closed_at=event.at, chased=0)
        case "routed" | "transferred":
            keep = tuple(code for code in case.co_handlers if code != event.department)
            return replace(
                changed,
                department=event.department,
                reason=event.reason,
                co_handlers=keep,
                transferred=case.transferred + (event.step == "transferred"),
                category_doubted=event.category is None
                and (case.category_doubted or event.step == "transferred" or case.returned > 0),
                designated=event.designated,
                chased=0,
                extension_asked=None,
            )
        case "accepted":
            return replace(changed, chased=0 if case.chased == 1 else case.chased)
        case "returned":
            return replace(
                changed,
                department=None,
                reason=None,
                returned=case.returned + 1,
                chased=0,
                extension_asked=None,
                accept_by=None,
                answer_by=None,
                dates_reason=None,
                dates_why=(),
                accept_why=(),
                provisional=False,
            )
        case "extension-asked":
            return replace(changed, extension_asked=event.days)
        case "extension-granted":
            return replace(changed, extension_asked=None, chased=0)
        case "extension-refused":
            return replace(changed, extension_asked=None)
        case "co-handled":
            return replace(changed, co_handlers=(*case.co_handlers, str(event.department)))
        case "answered":
            return replace(
                changed,
                answer=event.text,
                answered_at=event.at,
                on_time=event.on_time,
                extension_asked=None,
                chased=0,
            )
        case "closed" | "settled":
            department = event.department or case.department
            return replace(
                changed, closed_at=event.at, department=department, answer=event.text or case.answer
            )
        case "informed":
            return replace(changed, answer=event.text)
        case "reopened":
            return replace(
                _anew(changed),
                reopened=case.reopened + 1,
                chased=0,
                closed_at=None,
                answered_at=None,
                on_time=None,
            )
        case "reminded":
            return replace(changed, reminded=True)
        case "urged" | "supervised":
            return replace(changed, chased=max(case.chased, event.chased or 0))
        case "urge-withdrawn":
            return replace(changed, chased=0)
        case "merged":
            return replace(changed, merged_into=event.other)
        case "joined" if event.other is not None:
            return replace(changed, followers=(*case.followers, event.other))
        case "resident-rated":
            return replace(
                changed,
                resident_stars=event.stars,
                resident_attitude=event.attitude,
                resident_result=event.outcome,
            )
        case "contact-erased":
            return replace(changed, contact=None)
        case "erased":
            return replace(changed, contact=None, sealed="")
        case "link-closed":
            return replace(changed, follow=None)
        case _:
            return changed


def _anew(case: Case) -> Case:
    """A case that is to be rated anew."""
    return replace(
        case,
        reminded=False,
        stars=None,
        resident_stars=None,
        resident_attitude=None,
        resident_result=None,
    )


def _dated(case: Case, dates: Dates) -> Case:
    return replace(
        case,
        accept_by=dates.accept_by,
        answer_by=dates.answer_by,
        dates_reason=dates.reason,
        dates_why=dates.why,
        accept_why=dates.accept_why,
        provisional=dates.provisional,
        calendar=dates.calendar,
    )


def diagram() -> str:
    """The state machine as a Mermaid state diagram, drawn from `STEPS`."""
    lines = ["stateDiagram-v2", *(f"    {_drawn(s)}: {s} {title}" for s, title in STATES.items())]
    lines += [
        f"    [*] --> {_drawn(str(rule.after))}: {name} {rule.title}"
        for name, rule in STEPS.items()
        if not rule.before
    ]
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
