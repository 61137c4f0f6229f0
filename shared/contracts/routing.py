"""Messages of cases about routing: which catalogue of responsibilities and which classifier are in force."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from pydantic import Field

from shared.contracts.cases import Urgency
from shared.contracts.identity import DepartmentCode, PlaceCode
from shared.contracts.registry import Contract, command

_Category = Annotated[str, Field(min_length=1, max_length=40)]


class Responsibility(Contract):
    """One rule of a catalogue: cases of these categories at these places (none: everywhere) are this department's."""

    categories: tuple[_Category, ...] = Field(min_length=1, max_length=100)
    places: tuple[PlaceCode, ...] = Field(default=(), max_length=500)
    department: DepartmentCode
    limit: Urgency | None = Field(
        default=None, description="class of the time limit, where not the normal one"
    )
    reason: str = Field(min_length=1, max_length=200)


@command("routing.adopt-catalogue", owner="cases", roles=("staff",), key="catalogue name")
class AdoptCatalogue(Contract):
    """Adopt a version of the catalogue of responsibilities 派单目录; the subject is its name, which is never reused.

    It holds for cases filed from its first day on, until another that begins later or is adopted later.
    """

    title: str = Field(min_length=1, max_length=200)
    begins: date
    rules: tuple[Responsibility, ...] = Field(max_length=5000)


@command("routing.adopt-model", owner="cases", roles=("staff",), key="model version")
class AdoptModel(Contract):
    """Route by a classifier that the service holds and that passed its check 启用分类模型; the subject is its version."""
