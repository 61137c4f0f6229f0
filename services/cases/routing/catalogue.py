"""The catalogue of responsibilities 派单目录: category and place lead to a department, a limit's class and a reason.

Where no rule of the catalogue applies, the departments' own registration does: the categories a department
handles and the counties it serves.

Invariants: the same category, place, catalogue and departments give the same choice; the nearest place goes
first, then the first rule; a rule for a department that is not active is passed over, and that is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from services.cases.deadlines.rules import Urgency


@dataclass(frozen=True)
class Department:
    """An active department: categories it handles, counties it serves (none = the whole city)."""

    code: str
    categories: frozenset[str]
    counties: frozenset[str]


@dataclass(frozen=True)
class Rule:
    """One line of a catalogue. `places` are codes of counties or towns (none = everywhere)."""

    categories: frozenset[str]
    places: frozenset[str]
    department: str
    urgency: Urgency | None
    reason: str


@dataclass(frozen=True)
class Catalogue:
    """A version of the catalogue. `begins` is the first day on which it holds."""

    name: str
    title: str
    begins: date
    rules: tuple[Rule, ...]


@dataclass(frozen=True)
class Choice:
    """A department with the reason for it, and the class of its limit where a rule sets one."""

    department: str
    urgency: Urgency | None
    reason: str


def in_force(catalogues: Sequence[Catalogue], day: date) -> Catalogue | None:
    """The catalogue that holds on a day: the last to begin; of those that begin together the last in the list."""
    begun = [(one.begins, number) for number, one in enumerate(catalogues) if one.begins <= day]
    return catalogues[max(begun)[1]] if begun else None


def choose(
    catalogue: Catalogue | None,
    departments: Mapping[str, Department],
    *,
    category: str,
    county: str,
    town: str | None,
) -> Choice | None:
    """The department for a category at a place, or None where nobody is responsible."""
    passed = ""
    if catalogue is not None:
        able = [rule for rule in catalogue.rules if category in rule.categories]
        for place, said in ((town, f"town {town}"), (county, f"county {county}"), (None, "the whole city")):
            for rule in able:
                if (place in rule.places) if place else (not rule.places and said == "the whole city"):
                    if rule.department in departments:
                        reason = f"catalogue {catalogue.name} for {said}: {rule.reason}{passed}"
                        return Choice(rule.department, rule.urgency, reason)
                    passed = f"; {rule.department} is not active"
    found = [d for d in departments.values() if category in d.categories]
    found = [d for d in found if not d.counties or county in d.counties]
    if not found:
        return None
    # A department of the case's own county goes before one of the whole city; then the code decides.
    best = min(found, key=lambda d: (not d.counties, d.code))
    serves = f"serves county {county}" if best.counties else "serves the whole city"
    return Choice(best.code, None, f"{serves}{passed}")
