"""What answers promise 承诺事项: by when, what the department reported, and how the deputy rated that.

Invariants: the promises of a motion are a ledger of their own, which goes on after the end of handling; what was
promised is owed until it is kept, so that who reports less names another date; only who promised reports, and only
the author rates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time
from typing import Any

from services.cases.deadlines.reckoning import CHINA
from services.cases.motions import errors
from services.cases.motions.domain import (
    Act,
    Due,
    Motion,
    Promise,
    PromiseState,
    Rules,
    Step,
    author_only,
    begun,
    ended,
    possible,
)


@dataclass(frozen=True)
class Pledge:
    """What an answer promises: sealed words and a date."""

    sealed: str = field(repr=False)
    due: date


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
    author_only(motion, act)
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
