"""The rubric's file as the audit reads it. A flaw in the file stops the audit; nothing is guessed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

import yaml

_RULE_KEYS = {
    "title", "category", "event", "points", "per", "where", "when", "deputy", "evidence", "date", "cap", "floor",
}  # fmt: skip


class RubricUnusable(Exception):  # noqa: N818 - says what the file is
    """The file is no rubric that the audit understands."""


@dataclass(frozen=True)
class Bounds:
    """How far a sum counts, in hundredths of a point; None = without limit."""

    cap: int | None
    floor: int | None

    def apply(self, points: int) -> int:
        """The part of the sum that counts."""
        if self.cap is not None and points > self.cap:
            return self.cap
        if self.floor is not None and points < self.floor:
            return self.floor
        return points


_WINDOWS = {"month": 1, "quarter": 3, "half-year": 6, "year": 12, "term": 0}
"""How many months a limit holds for; those of a term are no matter of a year's score."""


@dataclass(frozen=True)
class Rule:
    """One item of the rubric; `where` and `when` map a field to a list of values or to a range."""

    key: str
    category: str
    event: str
    points: int
    per: str | None
    where: Mapping[str, Any]
    when: Mapping[str, Any]
    deputy: str
    evidence: Sequence[str]
    date: str | None
    bounds: Mapping[int, Bounds]


@dataclass(frozen=True)
class Rubric:
    """The whole rubric; `document` is the file as it stands, to be held against what was adopted.

    Bounds stand by the length of their window in months, the shortest first.
    """

    name: str
    version: int
    base: int
    bounds: Mapping[int, Bounds]
    categories: Mapping[str, Mapping[int, Bounds]]
    rules: Sequence[Rule]
    document: Mapping[str, Any]


def read(text: str) -> Rubric:
    """The rubric of a YAML text; raises RubricUnusable."""
    try:
        document = yaml.safe_load(text)
        return Rubric(
            name=str(document["name"]),
            version=int(document["version"]),
            base=_hundredths(document.get("base", 0)),
            bounds=_bounds(document),
            categories={str(key): _bounds(category) for key, category in document["categories"].items()},
            rules=[_rule(str(key), rule) for key, rule in document["items"].items()],
            # Through JSON, because that is how the log holds it.
            document=json.loads(json.dumps(document, default=date.isoformat)),
        )
    except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError, InvalidOperation) as error:
        raise RubricUnusable(f"the rubric file cannot be used: {type(error).__name__} {error}") from error


def _rule(key: str, rule: Mapping[str, Any]) -> Rule:
    unknown = set(rule) - _RULE_KEYS
    if unknown:
        raise ValueError(f"item {key} has keys that the audit does not know: {', '.join(sorted(unknown))}")
    evidence = rule["evidence"]
    return Rule(
        key=key,
        category=rule["category"],
        event=rule["event"],
        points=_hundredths(rule["points"]),
        per=rule.get("per"),
        where=rule.get("where", {}),
        when=rule.get("when", {}),
        deputy=rule.get("deputy", "deputy_id"),
        evidence=evidence if isinstance(evidence, list) else [evidence],
        date=rule.get("date"),
        bounds=_bounds(rule),
    )


def _bounds(part: Mapping[str, Any]) -> dict[int, Bounds]:
    """A part's bounds by months; a plain number holds for a calendar year."""
    caps, floors = (
        {months: limit for name, limit in _by_window(part.get(word)).items() if (months := _WINDOWS[name])}
        for word in ("cap", "floor")
    )
    return {
        months: Bounds(caps.get(months), floors.get(months)) for months in sorted(caps.keys() | floors.keys())
    }


def _by_window(limit: object) -> dict[str, int]:
    if limit is None:
        return {}
    if isinstance(limit, Mapping):
        return {str(name): _hundredths(points) for name, points in limit.items()}
    return {"year": _hundredths(limit)}


def _hundredths(points: object) -> int:
    exact = Decimal(str(points)).scaleb(2)
    if exact != exact.to_integral_value():
        raise ValueError(f"{points} has more than two decimal places")
    return int(exact)
