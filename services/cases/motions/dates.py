"""What time does to a motion: deadlines pass 逾期、未表态, and are counted again with a new calendar 重算期限.

Invariants: what is owed is said to be overdue once, and stays owed; an author's silence ends the handling; each
deadline is counted by the rules that it began under, and nothing is owed without one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, time
from typing import Any

from services.cases.deadlines.reckoning import CHINA, Limit, deadline
from services.cases.deadlines.rules import MotionRules
from services.cases.motions.domain import (
    OF_AUTHORS,
    OVERDUE,
    STEPS,
    Due,
    DueKind,
    Motion,
    Rules,
    Step,
    begun,
    due_of,
)
from services.cases.motions.handling import to_be_rated
from services.cases.motions.promises import promised


def due(motion: Motion) -> Mapping[int, datetime]:
    """What falls due in a motion as it stands: each deadline's number and when."""
    acted_on = {*OVERDUE, *OF_AUTHORS, "rate-promise"}
    return {
        d.number: d.at for d in motion.deadlines if d.ended is None and d.told is None and d.kind in acted_on
    }


def fall_due(motion: Motion, number: int, at: datetime) -> tuple[Step, ...]:
    """What happens when a deadline passes; nothing where the motion has moved on.

    What is owed still is said to be overdue, once. An author's silence ends the handling 未表态, or the wait for
    the rating of a kept promise. The step carries the moment at which it was due.
    """
    if due(motion).get(number) != at:
        return ()
    passed = next(d for d in motion.deadlines if d.number == number)
    when = max(at, motion.changed_at)
    if passed.kind in OVERDUE:
        done, kind = replace(passed, told=when), "overdue"
    else:
        done, kind = replace(passed, told=when, ended=when, met=False), "unstated"
    change: dict[str, Any] = {"deadlines": _with(motion, done)}
    detail: dict[str, Any] = {"deadline": passed.kind, "due": passed.at.isoformat()}
    if passed.promise is not None:
        detail["promise"] = passed.promise
    if kind == "overdue":
        return (Step("overdue", "system", when, department=passed.department, detail=detail, change=change),)
    if passed.kind == "rate-promise":
        return (Step("promise-unstated", "system", when, detail=detail, change=change),)
    if motion.state not in STEPS["unstated"].before:
        return ()
    return (Step("unstated", "system", when, detail=detail, change={**change, "closed_at": when}),)


def _with(motion: Motion, *changed: Due) -> tuple[Due, ...]:
    by_number = {d.number: d for d in changed}
    return tuple(by_number.get(d.number, d) for d in motion.deadlines)


def redate(motion: Motion, at: datetime, rules_at: Callable[[datetime], Rules]) -> tuple[Step, ...]:
    """Count the open deadlines again with the present calendar 重算期限, each by the rules that it began under.

    The step names those that moved, which may be none.

    What is owed without a date, from before it had one, gets it as if it always had 补定期限.
    """
    if motion.state not in STEPS["redated"].before:
        return ()
    counted = [_counted_again(motion, d, rules_at) for d in motion.deadlines if d.ended is None]
    before = {d.number: d for d in motion.deadlines}
    changed = [d for d in counted if d != before[d.number]]
    dues = _dated(motion, _with(motion, *changed), rules_at)
    new = dues[len(before) :]
    if not changed and not new:
        return ()
    moved = [d.number for d in (*changed, *new) if d.number not in before or d.at != before[d.number].at]
    change = {"deadlines": dues}
    return (Step("redated", "system", at, detail={"moved": moved}, change=change),)


def _dated(motion: Motion, dues: tuple[Due, ...], rules_at: Callable[[datetime], Rules]) -> tuple[Due, ...]:
    """The deadlines with those of promises not kept in full, of an answer to rate and of a bill that have none."""
    still_open = {(d.kind, d.promise) for d in dues if d.ended is None}
    for promise in motion.promises:
        if promise.state != "kept" and ("promise", promise.number) not in still_open:
            begin = min(datetime.combine(promise.due, time.min, CHINA), motion.changed_at)
            dues = promised(dues, promise.due, promise.number, promise.department, rules_at(begin))
    unrated = motion.state == "answered" and not {(kind, None) for kind in OF_AUTHORS} & still_open
    if unrated and motion.answered_at is not None:
        dues = to_be_rated(dues, motion.answered_at, rules_at(motion.answered_at))
    is_new_bill = motion.state == "accepted" and motion.goes_as_bill
    if is_new_bill and ("refer", None) not in still_open and motion.accepted_at is not None:
        rules = rules_at(motion.accepted_at)
        dues = tuple(
            replace(d, ended=motion.changed_at) if d.kind == "assign" and d.ended is None else d for d in dues
        )
        dues = begun(dues, "refer", rules.motions.refer, motion.accepted_at, rules)
    return dues


def _counted_again(motion: Motion, old: Due, rules_at: Callable[[datetime], Rules]) -> Due:
    rules = rules_at(min(old.begin, motion.changed_at))  # a promise's begins on a day to come
    limit = _LIMITS[old.kind](rules.motions)
    if limit is None:
        return old
    extensions = motion.extensions if old.kind == "answer" else ()
    found = deadline("", limit, old.begin, rules.calendar, extensions=extensions)
    new = due_of(old.number, old.kind, old.begin, found, old.department, old.promise)
    return replace(new, told=old.told if new.at == old.at else None)


_LIMITS: Mapping[DueKind, Callable[[MotionRules], Limit | None]] = {
    "assign": lambda rules: rules.assign,
    "object": lambda rules: rules.object,
    "reassign": lambda rules: rules.reassign,
    "first-contact": lambda rules: rules.first_contact,
    "opinion": lambda rules: rules.opinion,
    "answer": lambda rules: rules.answer,
    "feedback": lambda rules: rules.feedback,
    "unstated": lambda rules: rules.unstated,
    "redo": lambda rules: rules.redo,
    "promise": lambda rules: rules.promise,
    "rate-promise": lambda rules: rules.feedback,
    "refer": lambda rules: rules.refer,
    "committee": lambda rules: rules.committee,
    "adopt": lambda rules: rules.adopt,
    "conclude": lambda rules: rules.conclude,
}
"""Which limit of the rule pack a deadline is counted with."""
