"""The figures of a session 办理情况报告, counted from motions as they stand at a moment.

Pure; the standard library only. A share is never told without its numerator, its denominator and what was
left out of both, by reason. `MEASURES` says how each is counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from services.cases.deadlines.rules import MotionRules
from services.cases.motions.domain import Answer, Due, Motion, Rating

MEASURES: Mapping[str, str] = {
    "submitted": "Motions submitted in the period, by kind as submitted and by level of congress.",
    "cosigned": "Of those, with at least one co-signer who confirmed 联名.",
    "signatures": "The co-signers of those, a deputy once for each motion.",
    "accepted": "Of those, taken in as what they were.",
    "turned": "Of those, bills taken in or, after a committee's report, handled as suggestions 转为建议.",
    "bills": "Of those, bills taken in as bills 立案, by how they ended, else by where they stand.",
    "not_accepted": "Of those, not accepted, by ground 不予受理.",
    "on_time": "First answers given by their deadline, of all first answers and of those that are overdue and "
    "not given; left out: not yet due, withdrawn before an answer, bills, which departments do not answer.",
    "classes": "The class of each motion's last answer 办理结果分类.",
    "satisfaction": "On each axis: lead authors' ratings of the last answer that are neither unsatisfied nor "
    "unstated, of all that count. No rating by the deadline is unstated 未表态 and left out. Where the pack says "
    "that late feedback does not count, late ratings and those given as unstated are left out as well; elsewhere "
    "they count. Left out always: not yet rated while there is time.",
    "redone": "Motions handled a second time because the lead author was not satisfied.",
    "promises": "Promises by what was last reported of them; overdue: not kept, and nothing reported by the "
    "deadline after the date that is promised now.",
    "promises_kept": "Promises reported as kept, of all reported and all overdue; left out: not yet due.",
}


@dataclass(frozen=True)
class Share:
    """A share with everything it was made from."""

    numerator: int
    denominator: int
    left_out: Mapping[str, int] = field(default_factory=dict)

    def shown(self) -> dict[str, Any]:
        """As JSON, the share itself with four decimals; None where there is nothing to share."""
        share = round(self.numerator / self.denominator, 4) if self.denominator else None
        return {
            "share": share,
            "numerator": self.numerator,
            "denominator": self.denominator,
            "left_out": dict(self.left_out),
        }


def report(motions: Iterable[Motion], rules: MotionRules, now: datetime) -> dict[str, Any]:
    """The figures of these motions at that moment; drafts are passed over."""
    taken = [motion for motion in motions if motion.submitted_at is not None]
    submitted = Counter((_kind(m), m.level) for m in taken)
    classes = Counter(m.answers[-1].result for m in taken if m.answers)
    return {
        "at": now,
        "submitted": {
            "total": len(taken),
            "kinds": {
                kind: {level: count for (k, level), count in sorted(submitted.items()) if k == kind}
                for kind in sorted({k for k, _ in submitted})
            },
        },
        "cosigned": sum(len(m.signers) > 1 for m in taken),
        "signatures": sum(len(m.signers) - 1 for m in taken),
        "states": dict(Counter(m.state for m in taken)),
        "accepted": sum(m.accepted_at is not None and not m.turned for m in taken),
        "turned": sum(m.turned for m in taken),
        "bills": dict(Counter(m.bill_outcome or m.state for m in taken if m.accepted_at and m.goes_as_bill)),
        "not_accepted": dict(Counter(m.ground for m in taken if m.ground)),
        "withdrawn": sum(m.state == "withdrawn" for m in taken),
        "on_time": _on_time(taken, now).shown(),
        "classes": {letter: classes.get(letter, 0) for letter in rules.classes.value},
        "satisfaction": {axis: _satisfied(taken, axis, rules, now).shown() for axis in rules.axes.value},
        "redone": sum(m.round > 1 for m in taken),
        "supervised": sum(m.supervised for m in taken),
        **_promises(taken, now),
        "measures": dict(MEASURES),
    }


def _kind(motion: Motion) -> str:
    return "bill" if motion.turned else motion.kind


def _on_time(motions: Sequence[Motion], now: datetime) -> Share:
    good = given = overdue = waiting = withdrawn = as_bills = 0
    for motion in motions:
        if motion.answers:
            given += 1
            good += motion.answers[0].on_time
        elif motion.accepted_at is not None and motion.goes_as_bill:
            as_bills += 1
        elif motion.state == "withdrawn":
            withdrawn += motion.accepted_at is not None
        elif motion.accepted_at is not None:
            # Not assigned in time is late as well: its own deadline stands for the answer's until then.
            due = motion.next_due
            late = due is not None and now > due.at
            overdue += late
            waiting += not late
    return Share(good, given + overdue, {"not_yet_due": waiting, "withdrawn": withdrawn, "bills": as_bills})


def _satisfied(motions: Sequence[Motion], axis: str, rules: MotionRules, now: datetime) -> Share:
    poor = {*rules.unsatisfied.value, "unstated"}
    excluding = rules.late_feedback.value == "excluded"
    good = counted = 0
    left_out: Counter[str] = Counter(pending=0, unstated=0, late=0)
    for motion in motions:
        if not motion.answers:
            continue
        rating = _last_rating(motion, motion.answers[-1])
        if rating is None:
            left_out["unstated" if _feedback_is_over(motion, now) else "pending"] += 1
            continue
        value = rating.values.get(axis, "unstated")
        if excluding and rating.late:
            left_out["late"] += 1
        elif excluding and value == "unstated":
            left_out["unstated"] += 1
        else:
            counted += 1
            good += value not in poor
    return Share(good, counted, left_out)


def _last_rating(motion: Motion, answer: Answer) -> Rating | None:
    found = (r for r in motion.ratings if r.deputy == motion.author_id and r.round == answer.round)
    return next(found, None)


def _feedback_is_over(motion: Motion, now: datetime) -> bool:
    limit = next((d for d in reversed(motion.deadlines) if d.kind in ("feedback", "unstated")), None)
    return limit is not None and now > limit.at


def _promises(motions: Sequence[Motion], now: datetime) -> dict[str, Any]:
    became: Counter[str] = Counter()
    for motion in motions:
        for promise in motion.promises:
            overdue = promise.state != "kept" and _is_overdue(motion.deadlines, promise.number, now)
            became["overdue" if overdue else promise.state] += 1
    reported = became["kept"] + became["partly-kept"] + became["not-kept"]
    kept = Share(became["kept"], reported + became["overdue"], {"not_yet_due": became["open"]})
    return {
        "promises": {"made": sum(became.values()), **became},
        "promises_kept": kept.shown(),
    }


def _is_overdue(deadlines: Iterable[Due], promise: int, now: datetime) -> bool:
    return any(d.promise == promise and d.ended is None and now > d.at for d in deadlines)
