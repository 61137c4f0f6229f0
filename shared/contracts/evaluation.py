"""Messages of evaluation: the rubric and the scores 履职量化评价.

Points are integers in hundredths of a point everywhere on the wire and at rest.
"""

from __future__ import annotations

from datetime import date
from typing import Any
from uuid import UUID

from pydantic import Field

from shared.contracts.registry import Contract, command, event


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
