"""Messages of cases: a resident's problem on its way (代表督事).

No event here carries text: words of residents travel sealed on the command, and in clear only in
the dossier of the one department that handles the case.
"""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from shared.contracts.identity import DepartmentCode, PlaceCode
from shared.contracts.registry import Contract, command, event

CaseState = Literal["triage", "routed", "accepted", "answered", "closed"]
Result = Literal["solved", "explained", "unsolved"]
Stars = Annotated[int, Field(ge=1, le=5)]


@command("case.file", owner="cases", roles=("deputy",), key="case id")
class FileCase(Contract):
    """File a case 督事. `sealed` is a JWE for cases of {"title", "text", "contact"?}."""

    sealed: str = Field(max_length=120_000, repr=False)
    county: PlaceCode
    town: PlaceCode | None = None
    category: str | None = Field(default=None, max_length=40, description="the filer's own choice, if any")
    origin: Literal["own", "resident"] = Field(
        default="own", description="own observation, or for a resident"
    )


@command("case.route", owner="cases", roles=("staff",), key="case id")
class RouteCase(Contract):
    """Send a case in triage to a department by hand 派单."""

    department: DepartmentCode
    reason: str = Field(default="", max_length=500, repr=False)


@command("case.accept", owner="cases", roles=("department",), key="case id")
class AcceptCase(Contract):
    """The department takes the case on 签收."""


@command("case.return", owner="cases", roles=("department",), key="case id")
class ReturnCase(Contract):
    """The department hands the case back 退回 because it is not its business."""

    reason: str = Field(min_length=1, max_length=500, repr=False)


@command("case.answer", owner="cases", roles=("department",), key="case id")
class AnswerCase(Contract):
    """The department reports what it did 答复."""

    result: Result
    text: str = Field(min_length=1, max_length=5000, repr=False)


@command("case.close", owner="cases", roles=("deputy", "staff"), key="case id")
class CloseCase(Contract):
    """Close an answered case 办结; the result stays the department's unless `result` corrects it."""

    result: Result | None = None


@command("case.rate", owner="cases", roles=("deputy",), key="case id")
class RateCase(Contract):
    """The filing deputy rates a closed case 评价, one to five stars."""

    stars: Stars


class CaseFact(Contract):
    """What every case event says of the case as it stands after the event."""

    case_id: UUID
    deputy_id: UUID
    state: CaseState
    category: str | None = None
    county: PlaceCode
    town: PlaceCode | None = None
    department: DepartmentCode | None = None
    result: Result | None = None
    stars: Stars | None = None
    origin: Literal["own", "resident"] = "own"


@event("case.filed", owner="cases", key="case id")
class CaseFiled(CaseFact):
    """A deputy filed a case 督事."""


@event("case.routed", owner="cases", key="case id")
class CaseRouted(CaseFact):
    """The case went to a department 派单; `reason` says by which rule."""

    reason: str = Field(description="rule that chose the department, without the case's words")


@event("case.progressed", owner="cases", key="case id")
class CaseProgressed(CaseFact):
    """A step between routing and closing."""

    step: Literal["accepted", "answered", "returned"]


@event("case.closed", owner="cases", key="case id")
class CaseClosed(CaseFact):
    """The case is closed 办结, with its honest result."""


@event("case.rated", owner="cases", key="case id")
class CaseRated(CaseFact):
    """The filing deputy rated the case 评价."""


@event("department.routed", owner="cases", key="case id")
class Dossier(Contract):
    """What one department receives on `department.<code>.routed`, on that topic alone."""

    case_id: UUID
    title: str = Field(repr=False)
    text: str = Field(repr=False)
    category: str | None
    county: PlaceCode
    town: PlaceCode | None
    reason: str


@event("department.refused", owner="cases", key="case id")
class ReplyRefused(Contract):
    """Tells a department, on `department.<code>.routed`, that its reply was not taken, and why."""

    case_id: str
    reply_id: UUID
    code: str
    detail: str
