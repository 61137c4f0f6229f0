"""Which department a case goes to, as a pure function that explains itself.

Invariant: the same case, judgement, catalogue and departments give the same route; no reason repeats the
case's words.
"""

from __future__ import annotations

from collections.abc import Mapping

from services.cases.domain import Route
from services.cases.routing.catalogue import Catalogue, Department, choose
from services.cases.routing.judgement import Judged


def route_of(
    judged: Judged,
    catalogue: Catalogue | None,
    departments: Mapping[str, Department],
    *,
    county: str,
    town: str | None,
) -> Route | None:
    """The route of a new case, or None where staff must decide: unsure of its category, or nobody is responsible."""
    if judged.category is None:
        return None
    choice = choose(catalogue, departments, category=judged.category, county=county, town=town)
    if choice is None:
        return None
    reason = f"category {judged.category} {judged.because}; {choice.reason}"
    return Route(choice.department, judged.category, reason, urgency=choice.urgency)
