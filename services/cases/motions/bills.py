"""The way of a bill 议案 that was taken in as one 立案: onto the agenda 列入议程, or first to a committee 专门委员会.

Sources: 地方组织法 (2022) §22: ten deputies, in a town five, put a bill to the congress; its presidium 主席团
decides whether it goes on the agenda, or lets a committee deliberate first, say whether it should, and then
decides; on the agenda it is taken back before the vote only with the presidium's consent. Between sessions as in
上海市人民代表大会关于代表议案的规定 §5-10: to the committee within fifteen days, its opinion within thirty. What
the committee reports 审议结果报告 the standing committee 常务委员会 adopts. A committee is no account of its own:
staff of the congress, who keep its minutes, say what it decided.

Invariants: only a bill goes this way, and while it does no department has it; every deadline is the rule pack's;
it ends with a stated outcome, or as a suggestion that departments handle.
"""

from __future__ import annotations

from typing import Any

from services.cases.deadlines.reckoning import Limit
from services.cases.motions import errors
from services.cases.motions.domain import (
    Act,
    BillDecision,
    BillOutcome,
    DueKind,
    Motion,
    Rules,
    Step,
    StepKind,
    begun,
    ended,
    possible,
    staff_only,
)


def _bill(motion: Motion, act: Act) -> None:
    staff_only(motion, act)
    if not motion.goes_as_bill:
        raise errors.not_a_bill()


def refer(motion: Motion, act: Act, rules: Rules, *, committee: str, reason: str) -> tuple[Step, ...]:
    """A bill goes to a special committee 交专门委员会审议, or to another one, which then has its own time."""
    _bill(motion, act)
    possible(motion, "referred")
    if committee == motion.committee:
        raise errors.same_committee()
    dues = ended(motion.deadlines, act, "refer", "assign")
    dues = ended(dues, act, "committee", void=True)
    change = {
        "committee": committee,
        "deadlines": begun(dues, "committee", rules.motions.committee, act.at, rules),
    }
    detail = {"committee": committee}
    return (Step("referred", act.actor, act.at, note=reason or None, detail=detail, change=change),)


def advise(motion: Motion, act: Act, rules: Rules, *, advice: BillDecision, text: str) -> tuple[Step, ...]:
    """The committee reports what it advises 提出审议报告; the standing committee has to adopt it."""
    _bill(motion, act)
    possible(motion, "advised")
    dues = ended(motion.deadlines, act, "committee")
    change = {
        "advice": advice,
        "deadlines": begun(dues, "adopt", rules.motions.adopt, act.at, rules),
    }
    return (Step("advised", act.actor, act.at, note=text, detail={"advice": advice}, change=change),)


def decide(
    motion: Motion, act: Act, rules: Rules, *, decision: BillDecision, reason: str
) -> tuple[Step, ...]:
    """The bill goes on the agenda 列入议程, from its acceptance or on a committee's report.

    On a report it may as well be handled as a suggestion 作建议办理, or end as deliberated and explained.
    """
    _bill(motion, act)
    possible(motion, "tabled")  # `turned` is also a way out of the examination, which is not decided here
    dues = ended(motion.deadlines, act, "refer", "assign", "adopt")
    kind: StepKind
    due: tuple[DueKind, Limit] | None
    change: dict[str, Any]
    match decision:
        case "agenda":
            kind, due, change = "tabled", ("conclude", rules.motions.conclude), {}
        case "suggestion":
            kind, due = "turned", ("assign", rules.motions.assign)
            change = {"kind": "suggestion", "turned": True}
        case "explained":
            kind, due = "explained", None
            change = {"bill_outcome": "explained", "closed_at": act.at}
    possible(motion, kind)
    change["deadlines"] = begun(dues, *due, act.at, rules) if due else dues
    return (Step(kind, act.actor, act.at, note=reason or None, change=change),)


def conclude(motion: Motion, act: Act, *, outcome: BillOutcome, reason: str) -> tuple[Step, ...]:
    """What became of a bill on the agenda: the vote 表决, or its withdrawal with the presidium's consent."""
    _bill(motion, act)
    possible(motion, "concluded")
    change = {
        "bill_outcome": outcome,
        "closed_at": act.at,
        "deadlines": ended(motion.deadlines, act, "conclude", void=outcome == "withdrawn"),
    }
    detail = {"bill_outcome": outcome}
    return (Step("concluded", act.actor, act.at, note=reason or None, detail=detail, change=change),)
