"""Scores a log of facts again under any rubric, set-based in DuckDB, and holds two rubrics side by side.

The log is a file of CloudEvents, one JSON object a line, in any order and with repetitions. The rules of
`domain.entries` and `domain.newest` stand here a second time as SQL, because a year has a million facts;
a property test holds the two against each other. Limits are applied by `domain.totals` itself.

Invariant: nothing here writes to the service's tables; a simulation changes no score.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from statistics import fmean
from types import TracebackType
from typing import Self
from uuid import UUID

import duckdb

from services.evaluation.domain import (
    CORRECTED,
    CORRECTION,
    POINTS_LIMIT,
    YEAR,
    Condition,
    Item,
    Rubric,
    totals,
)

_LOAD = """
CREATE TABLE events AS
SELECT json->>'type' AS type, json->>'id' AS id, json->>'time' AS time,
       coalesce(CAST(json->>'sequence' AS BIGINT), 0) AS sequence, json->'data' AS data
FROM read_ndjson_objects(?)
"""

_NEWEST = f"""
WITH rows AS ({{rows}}),
usable AS (
    -- An event that is absurd under one item counts under none: evaluation sets the whole event aside.
    SELECT * FROM rows WHERE id NOT IN (SELECT id FROM rows WHERE abs(points) > {POINTS_LIMIT})
),
newest AS (
    SELECT deputy, item, evidence, arg_max(struct_pack(day := day, points := points), struct_pack(s := sequence, i := id)) AS of
    FROM usable GROUP BY deputy, item, evidence
)
SELECT deputy, item, year(of.day) * 12 + month(of.day) - 1 AS month, CAST(sum(of.points) AS BIGINT) AS points
FROM newest WHERE of.day BETWEEN ? AND ?
GROUP BY deputy, item, month HAVING sum(of.points) <> 0
"""


class Replay:
    """The facts of a log, ready to be scored; use as a context manager.

    Args:
        file: the log, one CloudEvent a line.
        threads: processor cores to use.
        memory: the most that DuckDB may take, such as `1GB`; beyond it spills to disk.
    """

    def __init__(self, file: Path, *, threads: int = 2, memory: str = "1GB") -> None:
        self._file = file
        self._database = duckdb.connect(config={"threads": threads, "memory_limit": memory})

    def __enter__(self) -> Self:
        self._database.execute(_LOAD, [str(self._file)])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._database.close()

    def facts(self) -> int:
        """How many different events the log holds."""
        found = self._database.execute("SELECT count(DISTINCT id) FROM events").fetchone()
        return int(found[0]) if found else 0

    def sums(self, rubric: Rubric, begin: date, until: date) -> dict[UUID, dict[str, dict[int, int]]]:
        """Every deputy's uncapped sums by item and month, of the facts that happened from `begin` to `until`."""
        rows = "\nUNION ALL ".join([*(_rows(item) for item in rubric.items), _corrections(rubric)])
        found: defaultdict[UUID, dict[str, dict[int, int]]] = defaultdict(dict)
        answer = self._database.execute(_NEWEST.format(rows=rows), [begin, until])
        while part := answer.fetchmany(50_000):
            for deputy, item, month, points in part:
                found[UUID(deputy)].setdefault(item, {})[month] = points
        return dict(found)

    def totals(self, rubric_of: Callable[[int], Rubric | None], begin: date, until: date) -> dict[UUID, int]:
        """Every deputy's total of a period: the years' totals together, each under the rubric of its year.

        Who has no fact is not there; a year without a rubric counts nothing.
        """
        found: defaultdict[UUID, int] = defaultdict(int)
        bases = 0
        for year in range(begin.year, until.year + 1):
            rubric = rubric_of(year)
            if rubric is None:
                continue
            base = totals(rubric, {}).total
            bases += base
            first, last = max(begin, date(year, 1, 1)), min(until, date(year, 12, 31))
            for deputy, sums in self.sums(rubric, first, last).items():
                # Above the base, so that a deputy without a fact in this year still has it.
                found[deputy] += totals(rubric, sums).total - base
        return {deputy: points + bases for deputy, points in found.items()}


def _rows(item: Item) -> str:
    """The ledger rows of one item as a SELECT; names of fields are plain words, values are quoted."""
    day = _day("time") if item.date is None else _day(_field(item.date))
    evidence = [f"CAST(year({day}) AS VARCHAR)" if name == YEAR else _field(name) for name in item.evidence]
    worth = str(item.points) if item.per is None else f"{item.points} * CAST({_field(item.per)} AS HUGEINT)"
    counts = " AND ".join(map(_holds, item.when))
    points = f"CASE WHEN {counts} THEN {worth} ELSE 0 END" if counts else worth
    concerns = " AND ".join([f"type = {_quoted(item.event)}", *map(_holds, item.where)])
    return f"""
SELECT id, sequence, {_field(item.deputy)} AS deputy, {_quoted(item.key)} AS item, {" || '/' || ".join(evidence)} AS evidence,
       {day} AS day, CAST({points} AS HUGEINT) AS points
FROM events WHERE {concerns}"""


def _corrections(rubric: Rubric) -> str:
    """The rows of corrections, which are newer than every fact."""
    keys = ", ".join(_quoted(item.key) for item in rubric.items)
    return f"""
SELECT id, {CORRECTION} + CAST({_field("revision")} AS BIGINT), {_field("deputy_id")}, {_field("item")}, {_field("evidence")},
       CAST({_field("happened_on")} AS DATE), CAST({_field("points")} AS HUGEINT)
FROM events WHERE type = {_quoted(CORRECTED)} AND {_field("item")} IN ({keys})"""


def _day(text: str) -> str:
    """The day in China of a date or a moment with its offset, which DuckDB reads as UTC."""
    return f"CAST(CASE WHEN length({text}) = 10 THEN CAST({text} AS TIMESTAMP) ELSE CAST({text} AS TIMESTAMP) + INTERVAL 8 HOUR END AS DATE)"


def _holds(condition: Condition) -> str:
    field = _field(condition.field)
    if condition.one_of:
        values = ", ".join(
            _quoted(str(v).lower() if isinstance(v, bool) else str(v)) for v in condition.one_of
        )
        return f"coalesce({field} IN ({values}), false)"
    number = f"CAST({field} AS HUGEINT)"
    bounds = [f"{number} >= {condition.at_least}"] if condition.at_least is not None else []
    bounds += [f"{number} <= {condition.at_most}"] if condition.at_most is not None else []
    return f"coalesce({' AND '.join(bounds)}, false)"


def _field(name: str) -> str:
    return f"(data->>{_quoted(name)})"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@dataclass(frozen=True)
class Person:
    """What a simulation groups deputies by."""

    deputy_id: UUID
    level: str
    county: str | None
    town: str | None


@dataclass(frozen=True)
class Change:
    """A deputy under two rubrics: totals in hundredths of a point, ranks from 1, equal totals sharing one."""

    person: Person
    present: int
    draft: int
    present_rank: int
    draft_rank: int

    @property
    def points(self) -> int:
        """How much the deputy gains under the draft."""
        return self.draft - self.present


@dataclass(frozen=True)
class Group:
    """A group of deputies under two rubrics; means in hundredths of a point."""

    key: str | None
    deputies: int
    rise: int
    fall: int
    present_mean: float
    draft_mean: float


def side_by_side(
    people: Sequence[Person],
    present: Mapping[UUID, int],
    draft: Mapping[UUID, int],
    *,
    present_nothing: int,
    draft_nothing: int,
) -> list[Change]:
    """Every deputy under both rubrics, who gains most first; who has no fact has the score of nothing."""
    now = {one.deputy_id: present.get(one.deputy_id, present_nothing) for one in people}
    then = {one.deputy_id: draft.get(one.deputy_id, draft_nothing) for one in people}
    ranks_now, ranks_then = _ranks(now.values()), _ranks(then.values())
    changes = [
        Change(
            one,
            now[one.deputy_id],
            then[one.deputy_id],
            ranks_now[now[one.deputy_id]],
            ranks_then[then[one.deputy_id]],
        )
        for one in people
    ]
    return sorted(changes, key=lambda change: (-change.points, change.person.deputy_id))


def _ranks(values: Iterable[int]) -> dict[int, int]:
    ordered = sorted(values, reverse=True)
    ranks: dict[int, int] = {}
    for rank, points in enumerate(ordered, 1):
        ranks.setdefault(points, rank)
    return ranks


def groups(changes: Sequence[Change], key: Callable[[Person], str | None]) -> list[Group]:
    """The changes by group, in the order of the keys."""
    found: defaultdict[str | None, list[Change]] = defaultdict(list)
    for change in changes:
        found[key(change.person)].append(change)
    return [
        Group(
            name,
            len(members),
            sum(change.points > 0 for change in members),
            sum(change.points < 0 for change in members),
            round(fmean(change.present for change in members), 2),
            round(fmean(change.draft for change in members), 2),
        )
        for name, members in sorted(found.items(), key=lambda pair: pair[0] or "")
    ]


def worth_of_nothing(rubric_of: Callable[[int], Rubric | None], begin: date, until: date) -> int:
    """The total of a period of a deputy without any fact."""
    rubrics = [rubric_of(year) for year in range(begin.year, until.year + 1)]
    return sum(totals(rubric, {}).total for rubric in rubrics if rubric is not None)
