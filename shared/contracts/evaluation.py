"""Messages of evaluation: the rubric and the scores 履职量化评价.

Points are integers in hundredths of a point everywhere on the wire and at rest.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import Field

from shared.contracts.identity import PlaceCode
from shared.contracts.registry import Contract, command, event

Topic = Annotated[str, Field(pattern=r"^[a-z0-9._-]{1,100}$")]


@command("rubric.adopt", owner="evaluation", roles=("staff",), key="rubric name")
class AdoptRubric(Contract):
    """Adopt a rubric 评价办法 from a date on; refused where it would touch a period already scored."""

    effective_from: date
    rubric: dict[str, Any] = Field(description="the whole rubric as in services/evaluation/rubrics/*.yaml")


@event("rubric.adopted", owner="evaluation", key="rubric name")
class RubricAdopted(Contract):
    """A rubric counts from a date on."""

    name: str
    version: int
    effective_from: date
    rubric: dict[str, Any]


@event("score.changed", owner="evaluation", key="deputy id")
class ScoreChanged(Contract):
    """A deputy's score of a calendar year after a batch of facts; only the latest per batch is sent."""

    deputy_id: UUID
    year: int
    total: int = Field(description="hundredths of a point, capped")
    categories: dict[str, int] = Field(description="hundredths of a point per category, capped")


NotePart = Literal["reports", "honours"]


@command("archive.note", owner="evaluation", roles=("staff",), key="note id")
class NoteInArchive(Contract):
    """Staff note in a deputy's archive what no service knows: a report 述职 with its ballots, an honour 奖励."""

    deputy_id: UUID
    part: NotePart
    happened_on: date
    title: str = Field(min_length=1, max_length=200, repr=False)
    ballots: int | None = Field(default=None, ge=1, le=1_000_000, description="cast on a report 述职测评")
    approving: int | None = Field(default=None, ge=0, le=1_000_000, description="those of them for 称职")


@command("archive.strike", owner="evaluation", roles=("staff",), key="note id")
class StrikeNote(Contract):
    """Staff strike a note that was wrong, and say why; it stays to be seen as struck."""

    reason: str = Field(min_length=1, max_length=2000, repr=False)


@event("archive.noted", owner="evaluation", key="note id")
class ArchiveNoted(Contract):
    """A note in an archive as it stands now; of several the highest `sequence` counts."""

    note_id: UUID
    deputy_id: UUID
    part: NotePart
    happened_on: date
    state: Literal["noted", "struck"]


@command("evaluation.rewind", owner="evaluation", roles=("operator",), key="any")
class RewindEvents(Contract):
    """Take events in again from the beginning of the log 重放; no score changes by it but one that was wrong."""

    topics: tuple[Topic, ...] = Field(
        default=(), max_length=200, description="none means all that it takes in"
    )


AppealKind = Literal["wrong", "repeated", "missing"]
AppealState = Literal["open", "upheld", "dismissed", "withdrawn"]
ItemKey = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]
Evidence = Annotated[str, Field(pattern=r"^[A-Za-z0-9./:_-]{1,200}$")]


@command("score.appeal", owner="evaluation", roles=("deputy",), key="appeal id")
class AppealScore(Contract):
    """Contest a row of one's own ledger 申诉: it is wrong 错, counted twice 重, or missing 漏."""

    kind: AppealKind
    item: ItemKey
    evidence: Evidence = Field(
        description="as the explanation shows it; of a missing row what names the fact, or a name of its own until staff find the fact"
    )
    happened_on: date
    reason: str = Field(min_length=1, max_length=2000, repr=False)


@command("score.decide_appeal", owner="evaluation", roles=("staff",), key="appeal id")
class DecideAppeal(Contract):
    """Staff uphold an appeal, with the points that the row then has, or dismiss it, and say why."""

    upheld: bool
    points: int | None = Field(default=None, description="hundredths of a point, when upheld")
    evidence: Evidence | None = Field(
        default=None,
        description="what names the fact of a missing row, as the rubric's item has it; without it the fact counts again should it be recorded later",
    )
    reason: str = Field(min_length=1, max_length=2000, repr=False)


@command("score.withdraw_appeal", owner="evaluation", roles=("deputy",), key="appeal id")
class WithdrawAppeal(Contract):
    """The deputy takes an appeal back before it is decided."""


@event("score.appealed", owner="evaluation", key="appeal id")
class ScoreAppealed(Contract):
    """An appeal as it stands now; of several the highest `sequence` counts."""

    appeal_id: UUID
    deputy_id: UUID
    county: PlaceCode | None
    congress: PlaceCode | None = Field(
        default=None,
        description="the place of the deputy's congress, whose staff decide; None for the city's",
    )
    kind: AppealKind
    item: str
    state: AppealState


@event("score.corrected", owner="evaluation", key="appeal id")
class ScoreCorrected(Contract):
    """Staff corrected a row of a ledger: from now on it has these points, whatever its facts say.

    Of several corrections of one row the one with the highest `revision` counts.
    """

    deputy_id: UUID
    item: str
    evidence: str
    happened_on: date
    points: int = Field(description="hundredths of a point")
    revision: int = Field(ge=1)
    appeal_id: UUID
