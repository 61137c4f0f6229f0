"""Handling a motion 办理: from its examination 受理 by way of its assignment 交办 to the answer 答复 and its rating 评价.

Invariants: staff of the congress examine and assign, only the departments assigned act on a motion; an answer
follows a contact with the deputy in the same round, and there are two rounds at most; the handling ends with the
author's rating, silence or withdrawal, and what was promised outlives that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from typing import Any

from services.cases.deadlines.reckoning import CHINA, Extension, Limit, deadline
from services.cases.motions import errors
from services.cases.motions.domain import (
    OF_AUTHORS,
    Act,
    Answer,
    ContactForm,
    Due,
    DueKind,
    Handling,
    HandlingState,
    Motion,
    Promise,
    Rating,
    Rules,
    Step,
    StepKind,
    author_only,
    begun,
    due_of,
    ended,
    possible,
    staff_only,
)
from services.cases.motions.promises import Pledge, promised

_OF_PROMISES: tuple[DueKind, ...] = ("promise", "rate-promise")
"""Deadlines that outlive the handling."""


def _lead(motion: Motion, act: Act) -> str:
    if act.department is None or act.department != motion.lead:
        raise errors.not_your_motion()
    return act.department


def _handler(motion: Motion, act: Act) -> Handling:
    for handling in motion.handlers:
        if handling.department == act.department and handling.state != "released":
            return handling
    raise errors.not_your_motion()


def _void(dues: Sequence[Due], act: Act, *, but: Iterable[DueKind] = ()) -> tuple[Due, ...]:
    kept = set(but)
    return tuple(
        replace(due, ended=act.at) if due.ended is None and due.kind not in kept else due for due in dues
    )


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


def supervise(motion: Motion, act: Act, reason: str) -> tuple[Step, ...]:
    """Staff put it among those under key supervision 重点督办."""
    staff_only(motion, act)
    possible(motion, "supervised")
    return (Step("supervised", act.actor, act.at, note=reason, change={"supervised": True}),)


# -- the answer and its rating ---------------------------------------------------------------------------


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


def withdraw(motion: Motion, act: Act, reason: str) -> tuple[Step, ...]:
    """The author withdraws it in writing 撤回, which ends its handling."""
    author_only(motion, act)
    possible(motion, "withdrawn")
    change = {"deadlines": _void(motion.deadlines, act, but=_OF_PROMISES), "extension_asked": None}
    return (Step("withdrawn", act.actor, act.at, note=reason, change=change),)
