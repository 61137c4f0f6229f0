"""What time does to a case: its deadlines are counted, fall due 到期, and are counted again 重算期限.

Invariants: the clock stands still while somebody is waited for, and begins anew with each routing; nothing runs
by itself: what falls due is counted from the case as it stands, and counted again when its day has come; a step
of the system carries the moment at which it was due, whenever somebody looked; what runs keeps the rule pack under
which it began, whatever is in force later.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Literal

from services.cases.deadlines.reckoning import Deadline, Limit, deadline
from services.cases.deadlines.rules import Urgency
from services.cases.domain import STEPS, Act, Case, Clock, Dates, Event, Rules, Step
from services.cases.routing.reasons import why_due

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


def dates(clock: Clock, urgency: Urgency, rules: Rules) -> Dates:
    """The deadlines of a clock that runs."""
    accept = after(rules.cases.accept, clock.begin, rules)
    answer = _answer_by(clock, urgency, rules)
    return Dates(
        accept.at,
        answer.at,
        answer.reason,
        answer.provisional,
        answer.calendar,
        why_due(answer),
        why_due(accept),
    )


def ruled_at(case: Case) -> datetime:
    """The moment whose rule pack holds for what runs in a case: when its clock began, else its last change."""
    runs = case.clock is not None and case.state in STEPS["redated"].before
    return case.clock.begin if case.clock is not None and runs else case.changed_at


def after(limit: Limit, begin: datetime, rules: Rules) -> Deadline:
    """When a limit that has no pauses is over."""
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


def resumed(case: Case, step: Step, act: Act, rules: Rules) -> Event:
    """The step with which the clock of a case that waited goes on."""
    clock = case.clock or Clock(act.at)
    clock = clock.go_on(act.at) if clock.paused else clock
    return Event(step, act.actor, act.at, clock=clock, dates=dates(clock, case.urgency, rules))


def due(case: Case, rules: Rules) -> Mapping[Due, datetime]:
    """What falls due in a case as it stands, and when. A later step changes it; nothing runs by itself."""
    found: dict[Due, datetime] = {}
    limits = rules.cases
    if case.state == "submitted" and case.take_up_by and case.chased < 1:
        found["take-up"] = case.take_up_by
    elif case.state == "triage" and case.state_since and case.chased < 1:
        found["triage"] = after(limits.triage, case.state_since, rules).at
    elif case.state == "answered" and case.answered_at and case.chased < 2:
        reminded_at = _on_the_day(limits.close_reminder, case.answered_at, rules)
        if case.chased < 1:
            found["close-reminder"] = reminded_at
        else:
            found["close-late"] = _on_the_day(limits.close_late, reminded_at, rules)
    elif case.state == "closed" and case.closed_at and _unrated(case) and not case.reminded:
        found["rating"] = _on_the_day(limits.rating_reminder, case.closed_at, rules)
    elif case.state == "waiting" and case.clock is not None and case.clock.paused:
        found["waiting"] = after(limits.waiting, case.clock.pauses[-1].begin, rules).at
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
    found = after(limit, begin, rules)
    return found.at if limit.unit == "hours" else max(found.morning, begin)


def _unrated(case: Case) -> bool:
    return case.deputy_id is not None and case.stars is None and case.resident_stars is None


def fall_due(case: Case, kind: Due, at: datetime, rules: Rules) -> tuple[Event, ...]:
    """What happens when something falls due that was noted for `at`; nothing where the case has moved on.

    It is counted again, since the calendar may have changed: what is due later now waits for that day.
    The step carries the moment at which it was due, whenever somebody looked.
    """
    counted = due(case, rules).get(kind)
    if counted is None or counted > at:
        return ()
    when = max(counted, case.changed_at)
    if kind == "waiting":
        return (resumed(case, "resumed", Act("system", when, counted), rules),)
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


def redate(case: Case, at: datetime, rules: Rules) -> Case | Event | None:
    """Count the deadlines again with a new calendar 重算期限.

    The step where one moves or is no longer provisional; the case that only knows of the calendar where none does;
    None where no clock runs, which is counted when it goes on.
    """
    if case.clock is None or case.clock.paused or case.state not in STEPS["redated"].before:
        return None
    found = dates(case.clock, case.urgency, rules)
    if (found.accept_by, found.answer_by, found.provisional) == (
        case.accept_by,
        case.answer_by,
        case.provisional,
    ):
        return replace(case, calendar=found.calendar)
    return Event("redated", "system", at, dates=found)
