"""From events and a rubric to every deputy's score, by the rubric's own words and nothing else.

For each rule the facts are found first (one per deputy and evidence, its newest version), then each
fact is judged once, then points are summed by calendar year and limited: rule, category, total.
An event counts once, however often it stands in the log.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

from audit.rubric import Bounds, Rubric, Rule

Envelope = Mapping[str, Any]

_CHINA = timezone(timedelta(hours=8))
# An event worth more than this many hundredths under one rule is a mistake; evaluation sets it aside too.
_ABSURD = 10_000_000
# No aggregate has so many versions.
_ABOVE_FACTS = 10**18
_CONTENT = ("type", "subject", "time", "sequence", "data")


@dataclass(frozen=True)
class Score:
    """A deputy's score of a year in hundredths of a point."""

    total: int
    categories: Mapping[str, int]


@dataclass
class Findings:
    """What the log holds, before it is summed."""

    counted: Counter[str] = field(default_factory=Counter)
    """Events by type, each id once."""
    repeated: int = 0
    unusable: list[str] = field(default_factory=list)
    """Ids of events that do not say what the rubric asks of them."""
    contradictions: list[str] = field(default_factory=list)
    """Ids under which two different events stand."""
    known: set[str] = field(default_factory=set)
    """Deputies that `deputy.changed` names."""
    adopted: list[Envelope] = field(default_factory=list)
    """The `rubric.adopted` events."""
    facts: dict[tuple[str, str, str], Version] = field(default_factory=dict)
    """Newest version by rule, deputy and evidence."""


@dataclass(frozen=True)
class Version:
    """What the newest event of a fact says: its rank among the fact's events, its month and its points."""

    rank: tuple[int, int]
    year: int
    month: int
    points: int


def gather(rubric: Rubric, envelopes: Iterable[Envelope]) -> Findings:
    """Read every event once, in any order."""
    rules: defaultdict[str, list[Rule]] = defaultdict(list)
    for rule in rubric.rules:
        rules[rule.event].append(rule)
    findings = Findings()
    seen: dict[tuple[str, str], int] = {}
    for envelope in envelopes:
        name = (str(envelope["source"]), str(envelope["id"]))
        content = hash(json.dumps([envelope.get(part) for part in _CONTENT], sort_keys=True))
        if name in seen:
            findings.repeated += 1
            if seen[name] != content:
                findings.contradictions.append(name[1])
            continue
        seen[name] = content
        findings.counted[envelope["type"]] += 1
        try:
            if envelope["type"] == "score.corrected":
                _correct(findings, envelope, {rule.key for rule in rubric.rules})
            _take(findings, envelope, rules.get(envelope["type"], []))
        except (KeyError, ValueError, TypeError):
            findings.unusable.append(name[1])
    return findings


def _take(findings: Findings, envelope: Envelope, rules: Iterable[Rule]) -> None:
    data = envelope["data"]
    if envelope["type"] == "deputy.changed":
        findings.known.add(str(UUID(data["deputy_id"])))
    elif envelope["type"] == "rubric.adopted":
        date.fromisoformat(data["effective_from"])
        if not isinstance(data["version"], int) or not isinstance(data["rubric"], dict):
            raise TypeError
        findings.adopted.append(envelope)
    rank = (int(envelope.get("sequence") or 0), UUID(envelope["id"]).int)
    found: dict[tuple[str, str, str], Version] = {}
    for rule in rules:
        if not _all_hold(rule.where, data) or data.get(rule.deputy) is None:
            continue
        day = _day(rule, envelope)
        units = 1 if rule.per is None else int(data[rule.per])
        points = rule.points * units if _all_hold(rule.when, data) else 0
        if abs(points) > _ABSURD:
            raise ValueError("absurd amount")
        evidence = [str(day.year) if name == "year" else str(data[name]) for name in rule.evidence]
        fact = (rule.key, str(UUID(data[rule.deputy])), " ".join(evidence))
        found[fact] = Version(rank, day.year, day.month, points)
    # Only now, so that an event that turns out unusable under one rule counts under none.
    for fact, version in found.items():
        held = findings.facts.get(fact)
        if held is None or held.rank < version.rank:
            findings.facts[fact] = version


def _correct(findings: Findings, envelope: Envelope, rules: set[str]) -> None:
    """A correction stands above every fact of its row, and below the row's next correction."""
    data = envelope["data"]
    day = date.fromisoformat(data["happened_on"])
    rank = (_ABOVE_FACTS + int(data["revision"]), UUID(envelope["id"]).int)
    fact = (data["item"], str(UUID(data["deputy_id"])), " ".join(data["evidence"].split("/")))
    held = findings.facts.get(fact)
    if data["item"] in rules and (held is None or held.rank < rank):
        findings.facts[fact] = Version(rank, day.year, day.month, int(data["points"]))


def _all_hold(tests: Mapping[str, Any], data: Mapping[str, Any]) -> bool:
    for name, test in tests.items():
        value = data.get(name)
        if value is None:
            return False
        if isinstance(test, dict):
            if not test.get("at_least", value) <= value <= test.get("at_most", value):
                return False
        elif value not in (test if isinstance(test, list) else [test]):
            return False
    return True


def _day(rule: Rule, envelope: Envelope) -> date:
    written = str(envelope["time"] if rule.date is None else envelope["data"][rule.date])
    if "T" not in written:
        return date.fromisoformat(written)
    return datetime.fromisoformat(written).astimezone(_CHINA).date()


def years_in(findings: Findings) -> list[int]:
    """The calendar years in which some fact counts."""
    return sorted({version.year for version in findings.facts.values() if version.points})


Earned = Mapping[str, Mapping[int, int]]
"""Rule to month (1 to 12) to the sum of its points in one year."""


def scores(rubric: Rubric, findings: Findings, year: int) -> dict[str, Score]:
    """The score of a year of every deputy who is known or has points in it."""
    earned: defaultdict[str, defaultdict[str, Counter[int]]] = defaultdict(lambda: defaultdict(Counter))
    for (rule_key, deputy, _), version in findings.facts.items():
        if version.year == year and version.points:
            earned[deputy][rule_key][version.month] += version.points
    return {deputy: score(rubric, earned.get(deputy, {})) for deputy in findings.known | earned.keys()}


def score(rubric: Rubric, earned: Earned) -> Score:
    """A score from uncapped sums: each rule limited, then each category, then base and categories.

    Each of them is limited in its short windows first, a year being made of the months that are left.
    """
    categories = {key: [0] * 12 for key in rubric.categories}
    for rule in rubric.rules:
        months = [earned.get(rule.key, {}).get(number, 0) for number in range(1, 13)]
        for number, points in enumerate(_limit(months, rule.bounds)):
            categories[rule.category][number] += points
    limited = {key: sum(_limit(months, rubric.categories[key])) for key, months in categories.items()}
    total = sum(_limit([rubric.base + sum(limited.values())] + [0] * 11, rubric.bounds))
    return Score(total, limited)


def _limit(months: list[int], bounds: Mapping[int, Bounds]) -> list[int]:
    """Twelve months after every bound; what a longer window leaves stands in its first month."""
    for length, bound in bounds.items():
        parts = [sum(months[begin : begin + length]) for begin in range(0, 12, length)]
        months = [0] * 12
        months[::length] = [bound.apply(part) for part in parts]
    return months


def in_force(findings: Findings, year: int) -> Mapping[str, Any] | None:
    """The rubric that the log says counts in a year, or None where none was adopted for it."""
    begun = [
        e["data"] for e in findings.adopted if date.fromisoformat(e["data"]["effective_from"]).year <= year
    ]
    if not begun:
        return None
    last = max(begun, key=lambda adopted: (adopted["effective_from"], adopted["version"]))
    rubric: Mapping[str, Any] = last["rubric"]
    until = rubric.get("effective", {}).get("until")
    return None if until is not None and date.fromisoformat(until).year < year else rubric
