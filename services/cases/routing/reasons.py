"""Why a case goes where it goes, and falls due when it does: each ground as a code with what belongs to it.

Pages word the codes in their own language (web/src/words); events, dossiers and operators get a sentence, which
for a routing is made here and for a deadline by `deadlines.reckoning`.
Invariant: no ground holds a case's words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from services.cases.deadlines.reckoning import Deadline, StepKind

Routed = Literal[
    "chosen",
    "judged",
    "catalogue-town",
    "catalogue-county",
    "catalogue-city",
    "county",
    "city",
    "not-active",
    "by-staff",
    "transferred-by-staff",
]
Code = Routed | StepKind

SENTENCES: Mapping[Code, str] = {
    "chosen": "category {category} chosen when filing",
    "judged": "category {category} by {classifier}, confidence {confidence}",
    "catalogue-town": "catalogue {catalogue} for town {place}: {text}",
    "catalogue-county": "catalogue {catalogue} for county {place}: {text}",
    "catalogue-city": "catalogue {catalogue} for the whole city: {text}",
    "county": "serves county {place}",
    "city": "serves the whole city",
    "not-active": "{department} is not active",
    "by-staff": "chosen by staff",
    "transferred-by-staff": "transferred by staff",
}
"""What belongs to a code stands in braces: category, classifier, confidence, catalogue, place, text, department."""


@dataclass(frozen=True)
class Ground:
    """One ground of a routing or a deadline; `about` holds what belongs to its code."""

    code: Code
    about: Mapping[str, str] = field(default_factory=dict)


def sentence(grounds: Iterable[Ground]) -> str:
    """The grounds of a routing in English, in their order."""
    return "; ".join(SENTENCES[one.code].format_map(one.about) for one in grounds)


def why_due(found: Deadline) -> tuple[Ground, ...]:
    """The grounds of a deadline; what belongs to each: day, number, unit, text (see `reckoning.Step`)."""
    return tuple(
        Ground(
            step.kind,
            {
                name: str(value)
                for name, value in (
                    ("day", step.day),
                    ("number", step.number),
                    ("unit", step.unit),
                    ("text", step.text or None),
                )
                if value is not None
            },
        )
        for step in found.steps
    )
