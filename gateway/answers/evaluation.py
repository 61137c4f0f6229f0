"""What `evaluation` answers: rubrics 评价办法 and drafts of them, scores and what explains them, archives 履职档案, appeals 申诉.

Points are hundredths of a point, but in a rubric's own text.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

from gateway.answers.page import Answer, Page
from shared.contracts import evaluation, identity


class RubricCategory(Answer):
    """A category of a rubric, and the most points it can count for in a year."""

    title: str
    cap: float | None = None


class RubricItem(Answer):
    """An item 评分项 of a rubric."""

    title: str
    category: str


class RubricYears(Answer):
    """The whole calendar years for which a rubric may count."""

    until: date | None = None


class RubricDocument(Answer):
    """A rubric as it was adopted; points as people write them.

    Rows of a year may be contested for `appeal_days` after its end; without it for ever.
    """

    title: str
    cap: float | None = None
    appeal_days: int | None = None
    effective: RubricYears | None = None
    categories: dict[str, RubricCategory]
    items: dict[str, RubricItem]


class Rubric(Answer):
    """A rubric 评价办法 that was adopted."""

    name: str
    version: int
    effective_from: date
    document: RubricDocument


class RubricText(Answer):
    """An adopted rubric as YAML, to read or to begin a draft from."""

    name: str
    version: int
    effective_from: date
    text: str


class RubricFlaw(Answer):
    """One thing wrong with a rubric: where, in which line, and what, as a code with its values; `reason` says it."""

    path: str
    line: int | None
    code: str
    values: dict[str, str]
    reason: str


class RubricStart(Answer):
    """A day from which a rubric could count; `refused` is the code of what would refuse that."""

    day: date
    refused: str | None


class CheckedRubric(Answer):
    """A rubric without flaws; `document` is what simulations and the adoption take."""

    name: str
    version: int
    title: str
    document: dict[str, Any]
    starts: tuple[RubricStart, ...]


class RubricCheck(Answer):
    """What came of checking a rubric: itself, or its flaws."""

    rubric: CheckedRubric | None
    flaws: tuple[RubricFlaw, ...]


class TitledRubric(Answer):
    """A rubric in short."""

    name: str
    version: int
    title: str


class SimulatedGroup(Answer):
    """A group of deputies under two rubrics; means in hundredths of a point."""

    key: str | None
    deputies: int
    rise: int
    fall: int
    present_mean: float
    draft_mean: float


class SimulatedChange(Answer):
    """A deputy under two rubrics: totals in hundredths of a point, ranks from 1."""

    deputy_id: UUID
    number: str | None
    name: str | None
    level: str
    county: str | None
    occupation: identity.Occupation | None
    present: int
    draft: int
    present_rank: int
    draft_rank: int


class Simulation(Answer):
    """A period under the adopted rubrics and under a draft, side by side."""

    begin: date
    until: date
    draft: TitledRubric
    present: tuple[TitledRubric, ...]
    facts: int
    cut: tuple[str, ...]
    deputies: int
    rise: int
    fall: int
    groups: dict[Literal["level", "county", "town", "occupation"], tuple[SimulatedGroup, ...]]
    risers: tuple[SimulatedChange, ...]
    fallers: tuple[SimulatedChange, ...]


class WholeActivity(Answer):
    """Deputies of a place, and how many were active in each month; null where so few would point at persons."""

    deputies: int
    active: tuple[int, ...] | None


class PlaceActivity(WholeActivity):
    """One place, a station by its code; null are deputies of no county, town or station."""

    place: str | None


class ActivityRates(Answer):
    """Activity 活跃率 of a year by month, of the whole and of each place: counties, towns of one, stations of a town."""

    year: int
    county: str | None
    town: str | None
    definition: dict[str, str]
    months: tuple[str, ...]
    whole: WholeActivity
    places: tuple[PlaceActivity, ...]


class GradeName(Answer):
    """A grade 等次."""

    key: str
    title: str


class Standing(Answer):
    """A deputy among their peers; points in hundredths. `reason` says why one is not chosen or ranked.

    `ranked` says how many of these peers have a rank.
    """

    deputy_id: UUID
    number: str
    name: str
    level: str
    county: str | None
    town: str | None
    total: int
    state: str
    peers: tuple[str | None, ...]
    ranked: int
    rank: int | None
    grade: GradeName | None
    outstanding: bool
    tied: bool
    reason: str | None


class StandingPage(Page):
    """Deputies by rank."""

    year: int
    items: tuple[Standing, ...]


class RubricName(Answer):
    """Which rubric 评价办法 counted."""

    name: str
    version: int


class TermScore(Answer):
    """A deputy's score of a term 届 up to a year, in hundredths of a point."""

    first_year: int
    last_year: int
    total: int


class Score(Answer):
    """A deputy's score of a year, in hundredths of a point; `term` is null where the rubric knows no term."""

    deputy_id: UUID
    year: int
    total: int
    categories: dict[str, int]
    rubric: RubricName | None
    term: TermScore | None


class Entry(Answer):
    """One fact in the archive 履职档案 and what it counts, in hundredths of a point before caps."""

    item: str
    evidence: str
    event_type: str
    time: datetime
    happened_on: date
    points: int
    rubric: str
    rubric_version: int
    title: str
    category: str


class ScoreCut(Answer):
    """What a cap (or a floor) took from a row or gave to it, in hundredths of a point, with the reason in words."""

    part: str
    key: str
    title: str
    by_cap: bool
    window: str
    limit: int
    points: int
    reason: str


class ScoreLine(Answer):
    """One fact of a year: its points, and what the score grew by after all caps."""

    item: str
    title: str
    category: str
    event_type: str
    evidence: str
    happened_on: date
    points: int
    counts: int
    cuts: tuple[ScoreCut, ...]


class ScoreChance(Answer):
    """What would still raise a score: what one more of it adds, and how much there is room for."""

    item: str
    title: str
    adds: int
    room: int


class ScoreExplanation(Answer):
    """A score as the list that adds up to it: `begins` and what each line counts make `total`."""

    year: int
    total: int
    begins: int
    lines: tuple[ScoreLine, ...]
    chances: tuple[ScoreChance, ...]


class ScoreChange(ScoreLine):
    """A fact that counts otherwise on a later day than on an earlier one; nothing where it did not count."""

    before: int
    after: int


class ScoreDifference(Answer):
    """What changed in a score between two days: what `begins` and what each line changed make `change`."""

    deputy_id: UUID
    begin: date
    until: date
    before: int
    after: int
    change: int
    begins: int
    lines: tuple[ScoreChange, ...]


class ArchiveRow(Answer):
    """What an item of a rubric makes of a fact, in hundredths of a point before caps."""

    item: str
    title: str
    points: int


class ArchiveFact(Answer):
    """A fact in a part of an archive, and what it counts before caps."""

    event_id: UUID
    event_type: str
    evidence: str
    happened_on: date
    points: int
    rows: tuple[ArchiveRow, ...]


class ArchiveNote(Answer):
    """A note that staff made: a report 述职 with its ballots, or an honour 奖励; `reason` says why it was struck."""

    id: UUID
    part: evaluation.NotePart
    happened_on: date
    title: str
    approving: int | None
    ballots: int | None
    state: Literal["noted", "struck"]
    reason: str | None
    band: GradeName | None


class ArchivePart(Answer):
    """One of the eight parts of an archive, its facts and notes the oldest first."""

    key: Literal[
        "basics",
        "meetings",
        "inspections",
        "training",
        "activities",
        "suggestions",
        "reports",
        "honours",
    ]
    title: str
    entries: tuple[ArchiveFact, ...]
    notes: tuple[ArchiveNote, ...]


class ArchiveYear(Answer):
    """A year's score with its grade."""

    year: int
    total: int
    grade: GradeName | None


class ArchiveParts(Answer):
    """A deputy's archive in its eight parts."""

    deputy_id: UUID
    as_of: datetime
    years: tuple[ArchiveYear, ...]
    parts: tuple[ArchivePart, ...]


class Archive(Page):
    """A deputy's archive, newest first."""

    items: tuple[Entry, ...]


class Appeal(Answer):
    """An appeal 申诉 about one row of a score; points in hundredths, `row_points` are the row's now (None: no such row).

    `named_by` says which fields of a fact make the evidence of this item, as `course_id/year`; None without the item.
    """

    id: UUID
    deputy_id: UUID
    kind: evaluation.AppealKind
    item: str
    title: str
    evidence: str
    named_by: str | None
    happened_on: date
    reason: str
    state: evaluation.AppealState
    filed_at: datetime
    row_points: int | None
    answer: str | None
    points: int | None
    decided_at: datetime | None


class AppealPage(Page):
    """Appeals, newest first."""

    items: tuple[Appeal, ...]
