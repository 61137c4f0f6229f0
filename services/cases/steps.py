"""What may be asked of a case: one function for each step that somebody takes.

Each takes the case, who acts and when (`Act`) and what is asked, and returns events or refuses. The functions
stand in the order of a case's life; what time does to it by itself stands in `dates`.

Invariants: only the department that holds a case acts on it, a co-handler only adds its opinion; whether an
answer was on time is judged by when it was given, never by when it was looked at; after so many returns a case
goes up, not round: staff designate who handles it 首接负责, and that department cannot return it. What a
resident submits waits for the deputy to take it up; whose objection 不同意见 the deputy's explanation or refusal
meets is answered by staff, once. What staff found themselves has no deputy: whatever is a filer's to do, staff of
the place do, who look at what was done before they close it; nobody rates it, lest an office be asked how content
it is with what it supervises.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from services.cases import errors
from services.cases.dates import after, dates, resumed
from services.cases.deadlines.reckoning import Extension
from services.cases.domain import FINISHED, STEPS, Act, Case, Clock, Event, Result, Route, Rules, Step
from services.cases.routing.judgement import Judged
from services.cases.routing.reasons import why_due

FOLLOWERS_MAX = 200
PHOTOS_MAX = 60
DOCUMENTS_MAX = 20
"""Of one case, over its whole life."""


# -- who may, and from where --------------------------------------------------------------------------------


def _possible(case: Case, step: Step) -> None:
    if case.state not in STEPS[step].before:
        raise errors.step_not_possible(step, case.state)


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


def _is_late(case: Case, act: Act) -> bool:
    return case.answer_by is not None and act.said_at > case.answer_by


# -- coming in, until a department has it --------------------------------------------------------------------


def submit(case: Case, rules: Rules, *, by: str, photos: Sequence[str] = ()) -> tuple[Event, ...]:
    """A resident puts a concern to a deputy by the deputy's code 民情直通车; nobody has looked at it yet."""
    limit = after(rules.cases.take_up, case.filed_at, rules)
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
    routed = _routed(case, "routed", system, route_to, rules)
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
    routed = _routed(case, "routed", act, route_to, rules)
    return (filed, replace(routed, judged=judged))


def split(case: Case, act: Act, part: UUID, reason: str) -> tuple[Event, ...]:
    """Staff make a case of its own out of a part of this one 拆分, which goes on without it."""
    _possible(case, "split")
    if case.erased:
        raise errors.nothing_to_split()
    return (Event("split", act.actor, act.at, text=reason or None, other=part),)


def route(case: Case, act: Act, route_to: Route, rules: Rules, *, note: str = "") -> tuple[Event, ...]:
    """Staff send a case in triage to a department 派单; after too many returns this designates it 首接负责."""
    _possible(case, "routed")
    return (replace(_routed(case, "routed", act, route_to, rules), text=note or None),)


def transfer(case: Case, act: Act, route_to: Route, rules: Rules, *, note: str) -> tuple[Event, ...]:
    """Staff move a case from one department to another 转办; its clock begins anew."""
    _possible(case, "transferred")
    if case.department == route_to.department:
        raise errors.already_there()
    moved = _routed(case, "transferred", act, route_to, rules)
    return (replace(moved, text=note or None, late=_is_late(case, act)),)


def is_to_be_designated(returned: int, rules: Rules) -> bool:
    """Whether a case that came back so often is given for good to whoever gets it next 首接负责."""
    return returned >= rules.cases.returns.value


def _routed(case: Case, step: Step, act: Act, route_to: Route, rules: Rules) -> Event:
    clock = Clock(act.at)
    return Event(
        step,
        act.actor,
        act.at,
        department=route_to.department,
        category=route_to.category,
        urgency=route_to.urgency,
        reason=route_to.reason,
        why=route_to.why,
        designated=is_to_be_designated(case.returned, rules),
        clock=clock,
        dates=dates(clock, route_to.urgency or case.urgency, rules),
    )


# -- at the department -----------------------------------------------------------------------------------------


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
            resumed(case, "supplied", act, rules),
            sealed=sealed,
            photos=_more_photos(case, photos),
            documents=_more_documents(case, documents),
        ),
    )


def hand_back(case: Case, act: Act, reason: str, rules: Rules) -> tuple[Event, ...]:
    """The department hands the case back to triage 退回, in good time and unless it was designated."""
    _held_by(case, act)
    _possible(case, "returned")
    if case.designated:
        raise errors.designated()
    if case.clock is not None and not after(rules.cases.hand_back, case.clock.begin, rules).met(act.said_at):
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


# -- the end, and what comes after it --------------------------------------------------------------------------


def close(case: Case, act: Act, result: Result | None) -> tuple[Event, ...]:
    """The filing deputy or staff close an answered case 办结; `result` corrects the department's."""
    _for_the_deputy(case, act)
    _possible(case, "closed")
    return (Event("closed", act.actor, act.at, result=result),)


def rate(case: Case, act: Act, stars: int) -> tuple[Event, ...]:
    """The filing deputy rates a closed case 评价; a later rating replaces the earlier."""
    _of_the_deputy(case, act)
    _possible(case, "rated")
    return (Event("rated", act.actor, act.at, stars=stars),)


def rate_as_resident(
    case: Case, act: Act, stars: int, attitude: int | None, outcome: int | None
) -> tuple[Event, ...]:
    """Who submitted it rates how it was handled 居民评价; a later rating replaces the earlier."""
    _possible(case, "resident-rated")
    return (Event("resident-rated", act.actor, act.at, stars=stars, attitude=attitude, outcome=outcome),)


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
    if not in_time_to_reopen(case.closed_at or case.answered_at or case.changed_at, act.said_at, rules):
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


def in_time_to_reopen(ended: datetime, at: datetime, rules: Rules) -> bool:
    """Whether what ended then may still be reopened, or objected to."""
    return after(rules.cases.reopen, ended, rules).met(at)


def object_to(case: Case, act: Act, rules: Rules, *, sealed: str) -> tuple[Event, ...]:
    """The resident does not agree that it was explained or declined 不同意见, once; staff look again and answer."""
    _possible(case, "objected")
    if case.objected:
        raise errors.objected_already()
    if case.receipt is None or case.department is not None or case.erased:
        raise errors.nothing_to_object_to()
    if not in_time_to_reopen(case.closed_at or case.state_since or case.changed_at, act.said_at, rules):
        raise errors.objected_too_late()
    limit = after(rules.cases.objection, act.at, rules)
    why = why_due(limit)
    objected = Event("objected", act.actor, act.at, reason=limit.reason, why=why, take_up_by=limit.at)
    return (replace(objected, sealed=sealed),)


def withdraw(case: Case, act: Act, reason: str) -> tuple[Event, ...]:
    """The filer withdraws the case 撤回, which ends it; a resident's concern only the resident can."""
    _filed_by(case, act)
    if case.receipt is not None and not act.is_resident:
        raise errors.not_your_case()  # what a resident submitted is declined with a reason, or handled
    _possible(case, "withdrawn")
    return (Event("withdrawn", act.actor, act.at, text=reason or None),)


# -- several about one matter ----------------------------------------------------------------------------------


def join(case: Case, act: Act, deputy: UUID) -> tuple[Event, ...]:
    """Another deputy has met the same matter 附议 and follows the case; a second time changes nothing."""
    _possible(case, "joined")
    if deputy == case.deputy_id or deputy in case.followers:
        return ()
    if len(case.followers) >= FOLLOWERS_MAX:
        raise errors.too_many_followers()
    return (Event("joined", act.actor, act.at, other=deputy),)


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


# -- what the resident gave -------------------------------------------------------------------------------------


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
