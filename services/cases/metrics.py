"""The metric registry 指标登记册: what each published figure counts, what it divides by, and what it leaves out.

A metric judges each case by itself: it counts for (numerator and denominator), counts against
(denominator only), or is left out for a named reason. So every row stands in exactly one place, a figure is
never more than 1, figures of parts add up to that of the whole, and none comes without its exclusions.
`as_of` is the moment for which a figure is told; nothing here reads a clock. Standard library only.

Three things that are often taken for one stay apart: closed 办结, solved 解决, satisfied 满意. And what is open
and overdue counts against being on time: who never answers is never on time. Nor is lateness lost: a case that
was late once counts as late, though it is transferred, returned, paused or reopened and answered in time later.

docs/metrics.md is written from this registry: `python -m services.cases.metrics_page docs/metrics.md`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

SATISFIED_STARS = 4
"""From how many of five stars on a case counts as satisfied."""


@dataclass(frozen=True)
class CaseRow:
    """What is counted of a case 督事.

    Attributes:
        state: as in the life of a case, such as triage, closed, withdrawn.
        merged: it was merged into another 并案, which is counted in its place, even once it is settled.
        answer_by: the answer's deadline in the present round; None before it was ever routed.
        waiting: since when the clock stands still 暂停计时; None while it runs.
        late: a deadline passed without an answer once, in this round or before, at whatever department.
        on_time: the present round was answered by its deadline, as was decided when the answer was taken; None while
            it is not answered. Not told from moments: an answer given in time is taken after an urge that it crossed.
        result: of the last answer: solved, explained or unsolved.
        stars: the last rating; the resident's where who submitted it rated it.
        routed: a department has been asked to handle it.
        accepted: a department has accepted it 签收, or answered it without accepting.
        moved: how many times it was returned 退回 or transferred 转办.
        reopened: how many times it was reopened 重新办理.
        by_staff: staff found and filed it themselves, and nobody is asked to rate it.
    """

    state: str
    merged: bool = False
    answer_by: datetime | None = None
    waiting: datetime | None = None
    late: bool = False
    on_time: bool | None = None
    result: str | None = None
    stars: int | None = None
    routed: bool = False
    accepted: bool = False
    moved: int = 0
    reopened: int = 0
    by_staff: bool = False


@dataclass(frozen=True)
class Words:
    """The same in Chinese and in English."""

    zh: str
    en: str


COUNTS, COUNTS_AGAINST = "numerator", "denominator"

REASONS: Mapping[str, Words] = {
    "merged": Words("已并案，由主件计算", "merged into another case, which is counted in its place"),
    "withdrawn": Words("已撤回", "withdrawn"),
    "not-taken-up": Words(
        "未接收，或者不予受理", "submitted by a resident and not taken up yet, or declined"
    ),
    "not-routed": Words("尚未派单", "never routed to a department"),
    "returned": Words("已退回，待重新派单", "handed back, and not routed again yet"),
    "not-accepted": Words("尚未签收，仍可能退回", "not accepted yet, so it may still come back"),
    "not-due": Words("办理中，未到期限", "open, and its deadline has not come"),
    "waiting": Words("暂停计时，等待当事人", "the clock stands still while the resident is waited for"),
    "not-answered": Words("尚未答复", "not answered yet"),
    "not-closed": Words("尚未办结", "not closed yet"),
    "not-rated": Words("尚未评价", "not rated"),
    "nobody-rates": Words("人大工作人员提交，不评价", "filed by staff, whom nobody asks for a rating"),
}
"""Why a row may be left out of a figure."""


@dataclass(frozen=True)
class Metric:
    """One entry of the registry.

    Attributes:
        key: stable, kebab-case; part of what is published.
        title: as people read it.
        numerator: what counts, in words.
        denominator: what it is divided by, in words.
        exclusions: the reasons (of `REASONS`) for which a row is left out; no other occurs.
        judge: `COUNTS`, `COUNTS_AGAINST` or one of the exclusions, for a row at a moment.
    """

    key: str
    title: Words
    numerator: Words
    denominator: Words
    exclusions: tuple[str, ...]
    judge: Callable[[CaseRow, datetime], str] = field(repr=False)


@dataclass(frozen=True)
class Figure:
    """A metric's value for some rows; always shown with both numbers and what was left out."""

    key: str
    numerator: int
    denominator: int
    excluded: Mapping[str, int]

    @property
    def ratio(self) -> float | None:
        """Between 0 and 1; None where nothing is counted, which is not 0 and not 100 %."""
        return self.numerator / self.denominator if self.denominator else None

    def __add__(self, other: Figure) -> Figure:
        """The figure of both sets of rows together.

        Raises:
            ValueError: they are figures of two metrics.
        """
        if self.key != other.key:
            raise ValueError(f"{self.key} and {other.key} do not add up")
        return Figure(
            self.key,
            self.numerator + other.numerator,
            self.denominator + other.denominator,
            Counter(self.excluded) + Counter(other.excluded),
        )


def measure(metric: Metric, rows: Iterable[CaseRow], as_of: datetime) -> Figure:
    """The figure of a metric for these rows, as of a moment."""
    return measure_groups(metric, ((row, 1) for row in rows), as_of)


def measure_groups(metric: Metric, groups: Iterable[tuple[CaseRow, int]], as_of: datetime) -> Figure:
    """The figure for groups of rows that are judged alike, each given once with its number."""
    verdicts: Counter[str] = Counter()
    for row, number in groups:
        verdicts[metric.judge(row, as_of)] += number
    counts, against = verdicts.pop(COUNTS, 0), verdicts.pop(COUNTS_AGAINST, 0)
    return Figure(metric.key, counts, counts + against, verdicts)


def _counts(yes: bool) -> str:
    return COUNTS if yes else COUNTS_AGAINST


def _not_counted(row: CaseRow) -> str | None:
    if row.merged:
        return "merged"
    if row.state in ("submitted", "declined"):
        return "not-taken-up"
    return "withdrawn" if row.state == "withdrawn" else None


def _case_on_time(row: CaseRow, as_of: datetime) -> str:
    return _not_counted(row) or _answer_on_time(row, as_of)


def _answer_on_time(row: CaseRow, as_of: datetime) -> str:
    if row.late:
        return COUNTS_AGAINST
    if row.answer_by is None:
        return "returned" if row.routed else "not-routed"
    if row.on_time is not None:
        return _counts(row.on_time)
    if row.answer_by < (row.waiting or as_of):
        return COUNTS_AGAINST
    return "not-due" if row.waiting is None else "waiting"


def _closed(row: CaseRow, _: datetime) -> str:
    return _not_counted(row) or _counts(row.state == "closed")


def _solved(row: CaseRow, _: datetime) -> str:
    if row.state != "closed":
        return _not_counted(row) or "not-closed"
    return _not_counted(row) or _counts(row.result == "solved")


def _case_satisfied(row: CaseRow, _: datetime) -> str:
    if row.state != "closed":
        return _not_counted(row) or "not-closed"
    if row.by_staff:
        return _not_counted(row) or "nobody-rates"
    rated = "not-rated" if row.stars is None else _counts(row.stars >= SATISFIED_STARS)
    return _not_counted(row) or rated


def _first_time_right(row: CaseRow, _: datetime) -> str:
    if row.merged:
        return "merged"
    if not row.routed:
        return "not-routed"
    if row.moved:
        return COUNTS_AGAINST
    return COUNTS if row.accepted else "not-accepted"


def _reopened(row: CaseRow, _: datetime) -> str:
    answered = row.on_time is not None or row.reopened > 0
    return _not_counted(row) or (_counts(row.reopened > 0) if answered else "not-answered")


METRICS: tuple[Metric, ...] = (
    Metric(
        "cases-answered-on-time",
        Words("督事按期答复率", "Cases answered on time"),
        Words(
            "每次都在期限内答复，转办、退回、暂停前也未逾期",
            "answered by the deadline each time, and not overdue before a transfer, a return or a pause",
        ),
        Words("已答复，或者曾经逾期", "answered, or overdue now or once, by whomever"),
        ("merged", "withdrawn", "not-taken-up", "not-routed", "returned", "waiting", "not-due"),
        _case_on_time,
    ),
    Metric(
        "cases-closed",
        Words("督事办结率", "Cases closed"),
        Words("已办结，不论结果", "closed, whatever the result"),
        Words("全部提交", "all that were filed"),
        ("merged", "withdrawn", "not-taken-up"),
        _closed,
    ),
    Metric(
        "cases-solved",
        Words("督事解决率", "Cases solved"),
        Words("办结且已解决；已解释、未解决都不算", "closed as solved; explained or unsolved is not"),
        Words("已办结", "closed"),
        ("merged", "withdrawn", "not-taken-up", "not-closed"),
        _solved,
    ),
    Metric(
        "cases-satisfied",
        Words("督事满意率", "Cases rated satisfied"),
        Words(f"评价为 {SATISFIED_STARS} 星以上", f"rated with at least {SATISFIED_STARS} of 5 stars"),
        Words("已办结且已评价", "closed and rated"),
        ("merged", "withdrawn", "not-taken-up", "not-closed", "not-rated", "nobody-rates"),
        _case_satisfied,
    ),
    Metric(
        "cases-routed-right-first",
        Words("督事一次派准率", "Cases routed right the first time"),
        Words(
            "首次派单即被签收，且从未退回、转办", "accepted where first routed, never returned or transferred"
        ),
        Words("已签收，或者曾被退回、转办", "accepted, or returned or transferred at least once"),
        ("merged", "not-routed", "not-accepted"),
        _first_time_right,
    ),
    Metric(
        "cases-reopened",
        Words("督事重新办理率", "Cases reopened"),
        Words("答复后被要求重新办理至少一次", "reopened at least once after an answer"),
        Words("曾经答复", "answered at least once"),
        ("merged", "withdrawn", "not-taken-up", "not-answered"),
        _reopened,
    ),
)
