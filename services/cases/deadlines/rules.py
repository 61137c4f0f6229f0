"""What a rule pack holds 办理规则包的内容: every limit, count and choice that differs by place, with its source.

Plain values, made by `pack` from a YAML file; the standard library only, so that decisions may take them.
A limit knows what ends (`title`) and what it is counted from (`since`); both are the same in every pack
unless the pack says otherwise. None for an optional limit means: this place sets none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Generic, Literal, TypeVar

from services.cases.deadlines.reckoning import Limit

T = TypeVar("T")

Urgency = Literal["urgent", "inquiry", "normal", "complex"]
"""How fast a case must be answered: 应急, 咨询求助, 一般, 复杂."""

Level = Literal["city", "county", "town"]
MotionKind = Literal["bill", "suggestion"]
"""议案, and 建议、批评和意见."""

CosignConfirmation = Literal["each-confirms", "lead-informs"]
"""Each co-signer confirms 联名人逐一确认, or the lead answers for their having read it 领衔人告知."""

AnswersTo = Literal["every-signer", "lead-passes-on"]
"""The answer goes to every signer separately 分别答复, or to the lead who passes it on 领衔代表转复."""

LateFeedback = Literal["counted", "excluded"]
"""Whether a rating after its deadline counts in the satisfaction figures 逾期反馈是否计入满意统计."""


Side = Literal["south", "west", "north", "east"]
Area = Mapping[Side, float]
"""A box in degrees of WGS-84, all four sides or none; none holds everything."""


def is_within(area: Area, latitude: float, longitude: float) -> bool:
    """Whether a position lies in the box."""
    if not area:
        return True
    return area["south"] <= latitude <= area["north"] and area["west"] <= longitude <= area["east"]


@dataclass(frozen=True)
class Setting(Generic[T]):
    """A value that is no limit, and the rule that it comes from."""

    value: T
    source: str


@dataclass(frozen=True)
class CaseRules:
    """The rules of cases 督事.

    Attributes:
        take_up: the deputy takes up what a resident submitted, explains or declines 接收, since it was submitted.
        triage: staff route what no rule could 分流, since it came into triage.
        accept: the department accepts 签收, since it was routed 派单.
        answer: the department answers 答复, since it was routed, by urgency; all four are there.
        extension: the most by which the answer may be put off in all 延期, in its own unit.
        extensions: how many times it may be put off.
        hand_back: the department may hand the case back 退回, since it was routed.
        returns: how many returns a case takes before it goes up instead of round 首接负责.
        reopen: the deputy or resident may reopen 重新办理, since it was closed; as long a resident may object 不同意见.
        objection: staff answer a resident's objection 复核, since it was made.
        urge: an overdue department is urged 催办, since the deadline passed.
        supervise: it is put under supervision 督办, since it was urged.
        close_reminder: the deputy is reminded to close 提醒办结, since the answer.
        close_late: staff are told to close it in the deputy's place, since the deputy was reminded.
        rating_reminder: who filed is reminded to rate 回访提醒, since it was closed.
        waiting: the longest that the clock stands still waiting for the resident 等待当事人.
        area: the box in which positions of cases lie 位置范围; one outside is a mistake and refused.
    """

    take_up: Limit
    triage: Limit
    accept: Limit
    answer: Mapping[Urgency, Limit]
    extension: Limit
    extensions: Setting[int]
    hand_back: Limit
    returns: Setting[int]
    reopen: Limit
    objection: Limit
    urge: Limit
    supervise: Limit
    close_reminder: Limit
    close_late: Limit
    rating_reminder: Limit
    waiting: Limit
    area: Setting[Area] = Setting({}, "")


@dataclass(frozen=True)
class MotionRules:
    """The rules of motions: bills 议案 and suggestions 建议、批评和意见.

    Attributes:
        signers: the least number of signers, the lead included, by kind and level; all are there.
        cosigning: who makes sure that co-signers have read the text.
        grounds: what is not accepted as a suggestion 不作为建议的情形: code to Chinese words.
        assign: staff assign it to departments 交办, since it was accepted 受理.
        object: the department may object 申请退回, since it was assigned.
        reassign: staff assign it anew 重新交办, since the objection.
        first_contact: the department contacts the deputy 首次沟通, since it was assigned; None: no limit.
        opinion: a co-handling department gives its opinion 会办意见, since it was assigned.
        answer: the lead department answers 答复, since it was assigned.
        answer_latest: the latest that extensions may put the answer off to, since it was assigned.
        answers_to: whom the answer goes to when there are co-signers.
        classes: the classes of answers 办理结果分类: letter A to D to Chinese words.
        promising: the classes whose answers are promises, to be kept and answered again 承诺事项.
        feedback: the deputy rates an answer, or how a promise was kept 反馈, since it came; None: no limit.
        unstated: without a rating by then the handling ends 未表态, since the answer came; where `feedback` is set,
            that ends it.
        late_feedback: whether a later rating counts.
        axes: what is rated: code to Chinese words.
        satisfaction: the values of a rating, best first: code to Chinese words; `unstated` 未表态 is there.
        unsatisfied: the values of `satisfaction` that lead to a second round.
        redo: the answer of the second round 再次办理, since the rating 不满意.
        promise: the new answer after a promised date 承诺事项再次答复, since that date.
        refer: a bill is put on the agenda or referred to a committee 列入议程或者交专门委员会, since it was taken in 立案.
        committee: the committee reports on it 提出审议报告, since it was referred.
        adopt: the standing committee adopts the report 审议结果报告, since the report.
        conclude: a bill on the agenda is voted on 表决, since it was put there.
    """

    signers: Setting[Mapping[MotionKind, Mapping[Level, int]]]
    cosigning: Setting[CosignConfirmation]
    grounds: Setting[Mapping[str, str]]
    assign: Limit
    object: Limit
    reassign: Limit
    first_contact: Limit | None
    opinion: Limit
    answer: Limit
    answer_latest: Limit
    answers_to: Setting[AnswersTo]
    classes: Setting[Mapping[str, str]]
    promising: Setting[tuple[str, ...]]
    feedback: Limit | None
    unstated: Limit | None
    late_feedback: Setting[LateFeedback]
    axes: Setting[Mapping[str, str]]
    satisfaction: Setting[Mapping[str, str]]
    unsatisfied: Setting[tuple[str, ...]]
    redo: Limit
    promise: Limit
    refer: Limit
    committee: Limit
    adopt: Limit
    conclude: Limit


@dataclass(frozen=True)
class Pack:
    """A jurisdiction's rules and the days on which they are in force 办理规则包.

    Attributes:
        name: of this pack, unique; the file is `<name>.yaml`.
        jurisdiction: whose rules they are, such as `ningbo`.
        title: in Chinese, for people.
        begins: the first day in force (`from` in the file).
        until: the last day in force; None: until further notice.
        sources: short name to full title of what the values' sources name.
        confirmed_by: the office that adopted them; None: still to be confirmed 待采用机关确认.
        cases: the rules of cases.
        motions: the rules of motions.
    """

    name: str
    jurisdiction: str
    title: str
    begins: date
    until: date | None
    sources: Mapping[str, str]
    confirmed_by: str | None
    cases: CaseRules
    motions: MotionRules

    def covers(self, day: date) -> bool:
        """Whether the pack is in force on that day."""
        return self.begins <= day and (self.until is None or day <= self.until)
