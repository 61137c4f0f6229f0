"""The life of a case as a pure state machine.

    triage ──route──► routed ──accept──► accepted ──answer──► answered ──close──► closed ──rate──► closed
      ▲                 │ │                  │
      └────return───────┘ └───answer──►      └──return──► triage

`decide`-functions take the case and what is asked and return events; `evolve` applies one. Filing
routes at once when a route is known, else the case waits in triage for staff.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal
from uuid import UUID

from services.cases import errors

State = Literal["triage", "routed", "accepted", "answered", "closed"]
Result = Literal["solved", "explained", "unsolved"]
Origin = Literal["own", "resident"]
Step = Literal["filed", "routed", "accepted", "returned", "answered", "closed", "rated"]


@dataclass(frozen=True)
class Route:
    """Where a case goes and by which rule; `reason` never holds the case's words."""

    department: str
    category: str | None
    reason: str


@dataclass(frozen=True)
class Event:
    """One step of a case: what, who, when, and what it set."""

    step: Step
    actor: str
    at: datetime
    department: str | None = None
    category: str | None = None
    reason: str | None = None
    result: Result | None = None
    stars: int | None = None
    text: str | None = None


@dataclass(frozen=True)
class Case:
    """A case as it stands. `version` counts its steps; `steps` are those not yet written."""

    id: UUID
    deputy_id: UUID
    county: str
    town: str | None
    origin: Origin
    sealed: str
    filed_at: datetime
    changed_at: datetime
    state: State = "triage"
    version: int = 0
    category: str | None = None
    department: str | None = None
    reason: str | None = None
    result: Result | None = None
    answer: str | None = None
    stars: int | None = None
    returned: int = 0
    steps: tuple[Event, ...] = ()


_AFTER: dict[Step, State] = {
    "filed": "triage",
    "routed": "routed",
    "accepted": "accepted",
    "returned": "triage",
    "answered": "answered",
    "closed": "closed",
    "rated": "closed",
}
_FROM: dict[Step, frozenset[State]] = {
    "routed": frozenset({"triage"}),
    "accepted": frozenset({"routed"}),
    "returned": frozenset({"routed", "accepted"}),
    "answered": frozenset({"routed", "accepted"}),
    "closed": frozenset({"answered"}),
    "rated": frozenset({"closed"}),
}


def evolve(case: Case, event: Event) -> Case:
    """The case after one step."""
    changed = replace(
        case,
        state=_AFTER[event.step],
        version=case.version + 1,
        changed_at=max(case.changed_at, event.at),
        steps=(*case.steps, event),
        category=event.category or case.category,
        result=event.result or case.result,
        stars=event.stars or case.stars,
    )
    if event.step == "routed":
        return replace(changed, department=event.department, reason=event.reason)
    if event.step == "returned":
        return replace(changed, department=None, reason=None, returned=case.returned + 1)
    if event.step == "answered":
        return replace(changed, answer=event.text)
    return changed


def _possible(case: Case, step: Step) -> None:
    if case.state not in _FROM[step]:
        raise errors.step_not_possible(step, case.state)


def file(case: Case, route_to: Route | None) -> tuple[Event, ...]:
    """The first steps of a new case: filed, and routed where a route is known."""
    filed = Event("filed", str(case.deputy_id), case.filed_at, category=case.category)
    if route_to is None:
        return (filed,)
    return (filed, _routed("system", route_to, case.filed_at))


def _routed(actor: str, route_to: Route, at: datetime) -> Event:
    return Event(
        "routed",
        actor,
        at,
        department=route_to.department,
        category=route_to.category,
        reason=route_to.reason,
    )


def route(case: Case, route_to: Route, actor: str, at: datetime, note: str = "") -> tuple[Event, ...]:
    """Staff send a case in triage to a department 派单; their note stays on the step."""
    _possible(case, "routed")
    return (replace(_routed(actor, route_to, at), text=note or None),)


def _held_by(case: Case, department: str | None) -> None:
    if department is None or case.department != department:
        raise errors.not_your_case()


def accept(case: Case, department: str | None, actor: str, at: datetime) -> tuple[Event, ...]:
    """The department that holds the case takes it on 签收."""
    _held_by(case, department)
    _possible(case, "accepted")
    return (Event("accepted", actor, at),)


def hand_back(case: Case, department: str | None, actor: str, at: datetime, reason: str) -> tuple[Event, ...]:
    """The department hands the case back to triage 退回."""
    _held_by(case, department)
    _possible(case, "returned")
    return (Event("returned", actor, at, text=reason),)


def answer(
    case: Case, department: str | None, actor: str, at: datetime, *, result: Result, text: str
) -> tuple[Event, ...]:
    """The department reports what it did 答复; it may do so without accepting first."""
    _held_by(case, department)
    _possible(case, "answered")
    return (Event("answered", actor, at, result=result, text=text),)


def close(
    case: Case, actor: str, at: datetime, *, is_staff: bool, result: Result | None
) -> tuple[Event, ...]:
    """The filing deputy or staff close an answered case 办结; `result` corrects the department's."""
    if not is_staff and actor != str(case.deputy_id):
        raise errors.not_your_case()
    _possible(case, "closed")
    return (Event("closed", actor, at, result=result),)


def rate(case: Case, actor: str, at: datetime, stars: int) -> tuple[Event, ...]:
    """The filing deputy rates a closed case 评价; a later rating replaces the earlier."""
    if actor != str(case.deputy_id):
        raise errors.not_your_case()
    _possible(case, "rated")
    return (Event("rated", actor, at, stars=stars),)
