"""Which department a case goes to, as a pure function that explains itself.

Invariant: the same case, judgement, catalogue and departments give the same route; no reason repeats the
case's words.
"""

from __future__ import annotations

from collections.abc import Mapping

from services.cases.domain import Route
from services.cases.routing.catalogue import Catalogue, Department, choose
from services.cases.routing.judgement import Judged
from services.cases.routing.reasons import Ground, sentence


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
    why = (_category(judged.category, judged), *choice.why)
    return Route(choice.department, judged.category, sentence(why), choice.urgency, why)


def _category(category: str, judged: Judged) -> Ground:
    if judged.classifier is None:
        return Ground("chosen", {"category": category})
    confidence = f"{judged.guesses[0].confidence:.2f}"
    return Ground("judged", {"category": category, "classifier": judged.classifier, "confidence": confidence})
