"""The life of a case 督事 as a pure state machine.

`STEPS` is the machine: from which states a step is possible and where it leads; docs/states.md draws it.
Each function below takes the case, who acts and when (`Act`) and what is asked, and returns events or
refuses; `evolve` applies one event and needs nothing else, so that a case is the fold of its steps.

Invariants: only the department that holds a case acts on it, a co-handler only adds its opinion; the
clock stands still while somebody is waited for, and begins anew with each routing; whether an answer
was on time is judged by when it was given, never by when it was looked at; after so many returns a case
goes up, not round: staff designate who handles it 首接负责, and that department cannot return it. What a
resident submits waits for the deputy to take it up, and nobody else sees it but staff; whose objection 不同意见
the deputy's explanation or refusal meets is answered by staff, once; what is erased comes back by no step. What
staff found themselves has no deputy: whatever is a filer's to do, staff of the place do, who look at what was
done before they close it; nobody rates it, lest an office be asked how content it is with what it supervises.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal
from uuid import UUID

from services.cases import errors
from services.cases.deadlines.reckoning import Calendar, Deadline, Extension, Limit, Pause, deadline
from services.cases.deadlines.rules import CaseRules, Urgency
from services.cases.routing.judgement import Judged
from services.cases.routing.reasons import Ground, why_due

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
Due = Literal[
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
"""What falls due: taking up what a resident submitted, routing what lies in triage, accepting, answering, supervision
of what is still not answered, the end of a wait, closing what was answered, then staff's closing it, a rating."""

FOLLOWERS_MAX = 200
PHOTOS_MAX = 60
DOCUMENTS_MAX = 20
"""Of one case, over its whole life."""


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
    """The deadlines of a case and what explains the one of its answer: a sentence, and as codes `why`."""

    accept_by: datetime
    answer_by: datetime
    reason: str
    provisional: bool
    calendar: str
    why: tuple[Ground, ...] = field(default=(), compare=False)


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
        changed_at=max(case.changed_at, event.at),
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


# -- what is asked of a case ---------------------------------------------------------------------------


def submit(case: Case, rules: Rules, *, by: str, photos: Sequence[str] = ()) -> tuple[Event, ...]:
    """A resident puts a concern to a deputy by the deputy's code 民情直通车; nobody has looked at it yet."""
    limit = _after(rules.cases.take_up, case.filed_at, rules)
    why = why_due(limit)
    submitted = Event("submitted", by, case.filed_at, reason=limit.reason, why=why, take_up_by=limit.at)
    return (replace(submitted, photos=_more_photos(case, photos)),)


def take_up(
    case: Case, act: Act, route_to: Route | None, rules: Rules, *, judged: Judged | None = None
) -> tuple[Event, ...]:
    """The deputy, or staff, take it up as a case 接收; routed where a route is known, `judged` as in `file`."""
    _for_the_deputy(case, act)
    _possible(case, "taken-up")
    taken = Event("taken-up", act.actor, act.at, category=case.category, judged=judged)
    if route_to is None:
        return (taken,)
    system = Act("system", act.at, act.at)
    routed = _routed(case, "routed", system, route_to, rules, route_to.urgency)
    return (taken, replace(routed, judged=judged))


def explain(case: Case, act: Act, text: str) -> tuple[Event, ...]:
    """The deputy, or staff, answer it themselves 解释说明, which closes it; an objection only staff."""
    _for_the_deputy(case, act)
    if case.objected and not act.is_staff:
        raise errors.not_your_case()
    _possible(case, "explained")
    return (Event("explained", act.actor, act.at, result="explained", text=text),)


def decline(case: Case, act: Act, reason: str) -> tuple[Event, ...]:
    """The deputy, or staff, do not take it up 不予受理, and say why; in triage, or after an objection, only staff."""
    _for_the_deputy(case, act)
    if (case.state == "triage" or case.objected) and not act.is_staff:
        raise errors.not_your_case()
    _possible(case, "declined")
    return (Event("declined", act.actor, act.at, text=reason),)


def split(case: Case, act: Act, part: UUID, reason: str) -> tuple[Event, ...]:
    """Staff make a case of its own out of a part of this one 拆分, which goes on without it."""
    _possible(case, "split")
    if case.erased:
        raise errors.nothing_to_split()
    return (Event("split", act.actor, act.at, text=reason or None, other=part),)


def file(
    case: Case,
    route_to: Route | None,
    rules: Rules,
    *,
    by: str | None = None,
    judged: Judged | None = None,
    photos: Sequence[str] = (),
) -> tuple[Event, ...]:
    """The first steps of a new case: filed, and routed where a route is known; `judged` says what it is about."""
    filed = Event(
        "filed",
        by or str(case.deputy_id),
        case.filed_at,
        category=case.category,
        other=case.split_from,
        photos=_more_photos(case, photos),
        judged=judged,
    )
    if route_to is None:
        return (filed,)
    act = Act("system", case.filed_at, case.filed_at)
    routed = _routed(case, "routed", act, route_to, rules, route_to.urgency)
    return (filed, replace(routed, judged=judged))


def _routed(
    case: Case, step: Step, act: Act, route_to: Route, rules: Rules, urgency: Urgency | None = None
) -> Event:
    clock = Clock(act.at)
    return Event(
        step,
        act.actor,
        act.at,
        department=route_to.department,
        category=route_to.category,
        urgency=urgency,
        reason=route_to.reason,
        why=route_to.why,
        designated=case.returned >= rules.cases.returns.value,
        clock=clock,
        dates=dates(clock, urgency or case.urgency, rules),
    )


def dates(clock: Clock, urgency: Urgency, rules: Rules) -> Dates:
    """The deadlines of a clock that runs."""
    accept = _after(rules.cases.accept, clock.begin, rules)
    answer = _answer_by(clock, urgency, rules)
    return Dates(accept.at, answer.at, answer.reason, answer.provisional, answer.calendar, why_due(answer))


def _after(limit: Limit, begin: datetime, rules: Rules) -> Deadline:
    return deadline("", limit, begin, rules.calendar)


def _answer_by(clock: Clock, urgency: Urgency, rules: Rules) -> Deadline:
    return deadline(
        "",
        rules.cases.answer[urgency],
        clock.begin,
        rules.calendar,
        pauses=clock.pauses,
        extensions=clock.extensions,
    )


def _more_photos(case: Case, photos: Sequence[str]) -> tuple[str, ...]:
    """Those of some photos that are new to the case."""
    new = _new(case.photos, photos)
    if len(case.photos) + len(new) > PHOTOS_MAX:
        raise errors.too_many_photos(PHOTOS_MAX)
    return new


def _more_documents(case: Case, documents: Sequence[str]) -> tuple[str, ...]:
    """Those of some documents that are new to the case."""
    new = _new(case.documents, documents)
    if len(case.documents) + len(new) > DOCUMENTS_MAX:
        raise errors.too_many_documents(DOCUMENTS_MAX)
    return new


def _new(known: Sequence[str], named: Sequence[str]) -> tuple[str, ...]:
    return tuple(digest for digest in dict.fromkeys(named) if digest not in known)


def _possible(case: Case, step: Step) -> None:
    if case.state not in STEPS[step].before:
        raise errors.step_not_possible(step, case.state)


def _is_late(case: Case, act: Act) -> bool:
    return case.answer_by is not None and act.said_at > case.answer_by


def _held_by(case: Case, act: Act) -> None:
    if act.department is None or case.department != act.department:
        raise errors.not_your_case()


def _filed_by(case: Case, act: Act) -> None:
    is_theirs = case.deputy_id is None and act.is_staff
    if not (act.is_resident or is_theirs):
        _of_the_deputy(case, act)


def _of_the_deputy(case: Case, act: Act) -> None:
    if case.deputy_id is None or act.actor != str(case.deputy_id):
        raise errors.not_your_case()


def _for_the_deputy(case: Case, act: Act) -> None:
    if not act.is_staff:
        _of_the_deputy(case, act)


def route(
    case: Case, act: Act, route_to: Route, rules: Rules, *, note: str = "", urgency: Urgency | None = None
) -> tuple[Event, ...]:
    """Staff send a case in triage to a department 派单; after too many returns this designates it 首接负责."""
    _possible(case, "routed")
    return (replace(_routed(case, "routed", act, route_to, rules, urgency), text=note or None),)


def transfer(case: Case, act: Act, route_to: Route, rules: Rules, *, note: str) -> tuple[Event, ...]:
    """Staff move a case from one department to another 转办; its clock begins anew."""
    _possible(case, "transferred")
    if case.department == route_to.department:
        raise errors.already_there()
    moved = _routed(case, "transferred", act, route_to, rules)
    return (replace(moved, text=note or None, late=_is_late(case, act)),)


def accept(case: Case, act: Act) -> tuple[Event, ...]:
    """The department that holds the case takes it on 签收."""
    _held_by(case, act)
    _possible(case, "accepted")
    return (Event("accepted", act.actor, act.at),)


def progress(case: Case, act: Act, text: str) -> tuple[Event, ...]:
    """The department says how far it is 办理进展."""
    _held_by(case, act)
    _possible(case, "progressed")
    return (Event("progressed", act.actor, act.at, text=text),)


def ask(case: Case, act: Act, text: str) -> tuple[Event, ...]:
    """The department asks the filer for what it lacks 请求补充; the clock stands still until it has it."""
    _held_by(case, act)
    _possible(case, "asked")
    clock = (case.clock or Clock(act.at)).pause(act.at)
    return (Event("asked", act.actor, act.at, text=text, clock=clock, late=_is_late(case, act)),)


def supply(
    case: Case,
    act: Act,
    sealed: str,
    rules: Rules,
    photos: Sequence[str] = (),
    documents: Sequence[str] = (),
) -> tuple[Event, ...]:
    """The filer supplies what was asked for 补充情况; the clock goes on."""
    _filed_by(case, act)
    _possible(case, "supplied")
    return (
        replace(
            _resumed(case, "supplied", act, rules),
            sealed=sealed,
            photos=_more_photos(case, photos),
            documents=_more_documents(case, documents),
        ),
    )


def _resumed(case: Case, step: Step, act: Act, rules: Rules) -> Event:
    clock = case.clock or Clock(act.at)
    clock = clock.go_on(act.at) if clock.paused else clock
    return Event(step, act.actor, act.at, clock=clock, dates=dates(clock, case.urgency, rules))


def hand_back(case: Case, act: Act, reason: str, rules: Rules) -> tuple[Event, ...]:
    """The department hands the case back to triage 退回, in good time and unless it was designated."""
    _held_by(case, act)
    _possible(case, "returned")
    if case.designated:
        raise errors.designated()
    if case.clock is not None and not _after(rules.cases.hand_back, case.clock.begin, rules).met(act.said_at):
        raise errors.returned_too_late()
    return (Event("returned", act.actor, act.at, text=reason, late=_is_late(case, act)),)


def ask_extension(case: Case, act: Act, days: int, reason: str, rules: Rules) -> tuple[Event, ...]:
    """The department asks for more time 申请延期, in the unit of the rule pack's longest extension."""
    _held_by(case, act)
    _possible(case, "extension-asked")
    if case.extension_asked is not None:
        raise errors.extension_pending()
    granted = case.clock.extensions if case.clock else ()
    left = rules.cases.extension.number - sum(one.limit.number for one in granted)
    if days > left or len(granted) >= rules.cases.extensions.value:
        raise errors.extension_too_long(left if len(granted) < rules.cases.extensions.value else 0)
    if case.answer_by is not None and act.said_at > case.answer_by:
        raise errors.extension_too_late()
    return (Event("extension-asked", act.actor, act.at, days=days, text=reason),)


def decide_extension(case: Case, act: Act, *, granted: bool, reason: str, rules: Rules) -> tuple[Event, ...]:
    """Staff grant or refuse what was asked 审批延期."""
    _possible(case, "extension-granted")
    if case.extension_asked is None:
        raise errors.no_extension_asked()
    if not granted:
        return (Event("extension-refused", act.actor, act.at, text=reason or None),)
    limit = replace(rules.cases.extension, number=case.extension_asked)
    clock = case.clock or Clock(act.at)
    clock = replace(clock, extensions=(*clock.extensions, Extension(limit, "人大工作人员", act.at)))
    return (
        Event(
            "extension-granted",
            act.actor,
            act.at,
            days=case.extension_asked,
            text=reason or None,
            clock=clock,
            dates=dates(clock, case.urgency, rules),
        ),
    )


def co_handle(case: Case, act: Act, departments: Iterable[str], reason: str) -> tuple[Event, ...]:
    """Staff add co-handling departments 会办; who is there already is passed over."""
    _possible(case, "co-handled")
    new = [d for d in dict.fromkeys(departments) if d != case.department and d not in case.co_handlers]
    if not new:
        raise errors.already_there()
    return tuple(Event("co-handled", act.actor, act.at, department=code, text=reason or None) for code in new)


def give_opinion(case: Case, act: Act, text: str) -> tuple[Event, ...]:
    """A co-handler gives the lead its opinion 会办意见."""
    if act.department is None or act.department not in case.co_handlers:
        raise errors.not_your_case()
    _possible(case, "opinion")
    return (Event("opinion", act.actor, act.at, department=act.department, text=text),)


def answer(
    case: Case,
    act: Act,
    *,
    result: Result,
    text: str,
    photos: Sequence[str] = (),
    documents: Sequence[str] = (),
) -> tuple[Event, ...]:
    """The department reports what it did 答复; it may do so without accepting first.

    An urge whose cause turns out to have been met, because the answer was given in time and arrived
    late, is withdrawn.
    """
    _held_by(case, act)
    _possible(case, "answered")
    on_time = not _is_late(case, act)
    answered = Event(
        "answered",
        act.actor,
        act.at,
        result=result,
        text=text,
        on_time=on_time,
        late=not on_time,
        photos=_more_photos(case, photos),
        documents=_more_documents(case, documents),
    )
    if not on_time or case.chased < 2:
        return (answered,)
    return (answered, Event("urge-withdrawn", "system", act.at))


def close(case: Case, act: Act, result: Result | None) -> tuple[Event, ...]:
    """The filing deputy or staff close an answered case 办结; `result` corrects the department's."""
    _for_the_deputy(case, act)
    _possible(case, "closed")
    return (Event("closed", act.actor, act.at, result=result),)


def inform(case: Case, act: Act, parent: Case | None) -> tuple[Event, ...]:
    """A merged case takes over the answer of its parent 告知主件答复, so that its own filer hears it, each once."""
    if parent is None or parent.state not in ("answered", "merged") or not _is_part_of(case, parent):
        return ()
    if parent.answer is None or (case.answer, case.result) == (parent.answer, parent.result):
        return ()
    return (Event("informed", act.actor, act.at, text=parent.answer, result=parent.result, other=parent.id),)


def settle(case: Case, act: Act, parent: Case | None) -> tuple[Event, ...]:
    """A merged case is closed with its parent 随主件办结, so that its own filer can rate it."""
    if parent is None or parent.state != "closed" or not _is_part_of(case, parent):
        return ()
    return (
        Event(
            "settled",
            act.actor,
            act.at,
            text=parent.answer,
            result=parent.result,
            department=parent.department,
            other=parent.id,
        ),
    )


def _is_part_of(case: Case, parent: Case) -> bool:
    return case.state == "merged" and case.merged_into == parent.id


def rate(case: Case, act: Act, stars: int) -> tuple[Event, ...]:
    """The filing deputy rates a closed case 评价; a later rating replaces the earlier."""
    _of_the_deputy(case, act)
    _possible(case, "rated")
    return (Event("rated", act.actor, act.at, stars=stars),)


def reopen(
    case: Case, act: Act, reason: str | None, rules: Rules, *, sealed: str | None = None
) -> tuple[Event, ...]:
    """The filer is not content, and the case goes back to who answered it 重新办理, with a new clock.

    Staff and deputies give a `reason`; what a resident says is `sealed`.
    """
    if not act.is_staff:
        _filed_by(case, act)
    _possible(case, "reopened")
    if case.department is None or case.erased:
        raise errors.nothing_to_reopen()
    ended = case.closed_at or case.answered_at or case.changed_at
    if not _after(rules.cases.reopen, ended, rules).met(act.said_at):
        raise errors.reopened_too_late()
    clock = Clock(act.at)
    return (
        Event(
            "reopened",
            act.actor,
            act.at,
            department=case.department,
            text=reason,
            sealed=sealed,
            clock=clock,
            dates=dates(clock, case.urgency, rules),
        ),
    )


def object_to(case: Case, act: Act, rules: Rules, *, sealed: str) -> tuple[Event, ...]:
    """The resident does not agree that it was explained or declined 不同意见, once; staff look again and answer."""
    _possible(case, "objected")
    if case.objected:
        raise errors.objected_already()
    if case.receipt is None or case.department is not None or case.erased:
        raise errors.nothing_to_object_to()
    ended = case.closed_at or case.state_since or case.changed_at
    if not _after(rules.cases.reopen, ended, rules).met(act.said_at):
        raise errors.objected_too_late()
    limit = _after(rules.cases.objection, act.at, rules)
    return (Event("objected", act.actor, act.at, reason=limit.reason, sealed=sealed, take_up_by=limit.at),)


def urge(case: Case, act: Act, reason: str) -> tuple[Event, ...]:
    """Staff or the filer urge the department 催办."""
    if not act.is_staff:
        _filed_by(case, act)
    _possible(case, "urged")
    return (Event("urged", act.actor, act.at, text=reason or None),)


def supervise(case: Case, act: Act, reason: str) -> tuple[Event, ...]:
    """Staff put the case under supervision 督办."""
    _possible(case, "supervised")
    return (Event("supervised", act.actor, act.at, text=reason or None),)


def withdraw(case: Case, act: Act, reason: str) -> tuple[Event, ...]:
    """The filer withdraws the case 撤回, which ends it; a resident's concern only the resident can."""
    _filed_by(case, act)
    if case.receipt is not None and not act.is_resident:
        raise errors.not_your_case()  # what a resident submitted is declined with a reason, or handled
    _possible(case, "withdrawn")
    return (Event("withdrawn", act.actor, act.at, text=reason or None),)


def merge(case: Case, act: Act, parent: Case | None, reason: str) -> tuple[Event, ...]:
    """Staff merge the case into another of the same matter 并案, with which it is answered and closed."""
    _possible(case, "merged")
    if parent is None or parent.id == case.id:
        raise errors.parent_unknown()
    _takes_in(parent)
    return (Event("merged", act.actor, act.at, text=reason or None, other=parent.id),)


def gather(parent: Case, cases: Sequence[Case | None]) -> tuple[UUID, ...]:
    """Staff merge many reports of one matter into one 批量并案; those that are finished already stay as they are."""
    _takes_in(parent)
    if any(case is None or case.id == parent.id for case in cases):
        raise errors.parent_unknown()
    ready = {case.id for case in cases if case is not None and case.state in STEPS["merged"].before}
    if not ready:
        raise errors.nothing_to_gather()
    return tuple(sorted(ready))


def _takes_in(parent: Case) -> None:
    if parent.state in FINISHED or parent.state in ("submitted", "answered"):
        raise errors.parent_not_open(parent.state)


def join(case: Case, act: Act, deputy: UUID) -> tuple[Event, ...]:
    """Another deputy has met the same matter 附议 and follows the case; a second time changes nothing."""
    _possible(case, "joined")
    if deputy == case.deputy_id or deputy in case.followers:
        return ()
    if len(case.followers) >= FOLLOWERS_MAX:
        raise errors.too_many_followers()
    return (Event("joined", act.actor, act.at, other=deputy),)


def rate_as_resident(
    case: Case, act: Act, stars: int, attitude: int | None, outcome: int | None
) -> tuple[Event, ...]:
    """Who submitted it rates how it was handled 居民评价; a later rating replaces the earlier."""
    _possible(case, "resident-rated")
    return (Event("resident-rated", act.actor, act.at, stars=stars, attitude=attitude, outcome=outcome),)


def erase_contact(case: Case, act: Act) -> tuple[Event, ...]:
    """The resident has the contact data destroyed 删除联系方式; the case goes on."""
    _possible(case, "contact-erased")
    return () if case.contact is None else (Event("contact-erased", act.actor, act.at),)


def erase(case: Case, act: Act, *, has_others: bool = False) -> tuple[Event, ...]:
    """The resident takes the consent back 撤回同意: every word and the contact data are destroyed.

    A case that nobody has answered ends with it, because nobody could handle it any more; not so one into which
    others' cases were merged, which goes on for those.
    """
    _possible(case, "erased")
    if case.erased:
        return ()
    ended: tuple[Event, ...] = ()
    if case.state in STEPS["withdrawn"].before and not has_others:
        ended = (Event("withdrawn", act.actor, act.at),)
    return (*ended, Event("erased", act.actor, act.at))


def close_link(case: Case, act: Act) -> tuple[Event, ...]:
    """The resident has the follow link opened no more 停用查询链接."""
    _possible(case, "link-closed")
    return (Event("link-closed", act.actor, act.at),)


# -- what falls due --------------------------------------------------------------------------------------


def due(case: Case, rules: Rules) -> Mapping[Due, datetime]:
    """What falls due in a case as it stands, and when. A later step changes it; nothing runs by itself."""
    found: dict[Due, datetime] = {}
    limits = rules.cases
    if case.state == "submitted" and case.take_up_by and case.chased < 1:
        found["take-up"] = case.take_up_by
    elif case.state == "triage" and case.state_since and case.chased < 1:
        found["triage"] = _after(limits.triage, case.state_since, rules).at
    elif case.state == "answered" and case.answered_at and case.chased < 2:
        reminded_at = _on_the_day(limits.close_reminder, case.answered_at, rules)
        if case.chased < 1:
            found["close-reminder"] = reminded_at
        else:
            found["close-late"] = _on_the_day(limits.close_late, reminded_at, rules)
    elif case.state == "closed" and case.closed_at and _unrated(case) and not case.reminded:
        found["rating"] = _on_the_day(limits.rating_reminder, case.closed_at, rules)
    elif case.state == "waiting" and case.clock is not None and case.clock.paused:
        found["waiting"] = _after(limits.waiting, case.clock.pauses[-1].begin, rules).at
    elif case.state in STEPS["urged"].before and case.accept_by and case.answer_by:
        if case.state == "routed" and case.chased < 1:
            found["accept"] = case.accept_by
        urged_at = _on_the_day(limits.urge, case.answer_by, rules)
        if case.chased < 2:
            found["answer"] = urged_at
        elif case.chased < 3:
            found["supervise"] = _on_the_day(limits.supervise, urged_at, rules)
    return found


def _on_the_day(limit: Limit, begin: datetime, rules: Rules) -> datetime:
    """When something is done that belongs to the last day of a limit, such as urging: in its morning."""
    found = _after(limit, begin, rules)
    return found.at if limit.unit == "hours" else max(found.morning, begin)


def _unrated(case: Case) -> bool:
    return case.deputy_id is not None and case.stars is None and case.resident_stars is None


def fall_due(case: Case, kind: Due, at: datetime, rules: Rules) -> tuple[Event, ...]:
    """What happens when something falls due that was noted for `at`; nothing where the case has moved on.

    It is counted again, since calendar and rule pack may have changed: what is due later now waits for that day.
    The step carries the moment at which it was due, whenever somebody looked.
    """
    counted = due(case, rules).get(kind)
    if counted is None or counted > at:
        return ()
    when = max(counted, case.changed_at)
    if kind == "waiting":
        return (_resumed(case, "resumed", Act("system", when, counted), rules),)
    step, chased = _CHASES[kind]
    return (Event(step, "system", when, chased=chased),)


_CHASES: Mapping[Due, tuple[Step, int | None]] = {
    "take-up": ("passed-up", None),
    "triage": ("triage-late", None),
    "accept": ("urged", 1),
    "answer": ("urged", 2),
    "supervise": ("supervised", 3),
    "close-reminder": ("close-reminded", None),
    "close-late": ("close-late", None),
    "rating": ("reminded", None),
}


def redate(case: Case, rules: Rules) -> tuple[Event, ...]:
    """Count the deadlines again after the calendar or the rule pack changed 重算期限."""
    if case.clock is None or case.clock.paused or case.state not in STEPS["redated"].before:
        return ()
    found = dates(case.clock, case.urgency, rules)
    if found == Dates(
        case.accept_by or found.accept_by,
        case.answer_by or found.answer_by,
        case.dates_reason or "",
        case.provisional,
        case.calendar or "",
    ):
        return ()
    return (Event("redated", "system", case.changed_at, dates=found),)
