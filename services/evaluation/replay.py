"""Scores facts again under any rubric, set-based in DuckDB: from a log of events, or from Parquet.

A log is a file of CloudEvents, one JSON object a line; Parquet is as the warehouse writes it (docs/warehouse.md),
given as files by event type. Either is read in any order and with repetitions. The rules of `domain` (what an
event is worth, which version of a fact is the newest, how limits hold) stand here a second time as SQL, because
a country's year has more than a hundred million facts; property tests hold the two against each other.

Each item is worked out for itself, the newest of its facts first and then its limits, and only what it gives to
its category is kept: so memory follows the largest item, and what does not fit is spilt to disk.

Invariant: nothing here writes to the service's tables; scoring again changes no score.
"""

from __future__ import annotations

import re
import tempfile
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import TracebackType
from typing import Self
from uuid import UUID

import duckdb

from services.evaluation.domain import (
    CORRECTED,
    POINTS_LIMIT,
    WINDOWS,
    YEAR,
    Condition,
    Item,
    Limits,
    Rubric,
    Window,
    totals,
)

Facts = Path | Mapping[str, Sequence[str]]
"""A log, or Parquet files by event type."""

_LOAD = """
CREATE TABLE events AS
SELECT json->>'type' AS type, CAST(json->>'id' AS UUID) AS id, CAST(json->>'time' AS TIMESTAMPTZ) AS time,
       coalesce(CAST(json->>'sequence' AS BIGINT), 0) AS sequence, json->'data' AS data
FROM read_ndjson_objects(?)
"""
_EIGHT_HOURS = 28_800_000_000
"""Between UTC and China, in microseconds."""


@dataclass(frozen=True)
class _Table:
    """The facts of one event type as they were taken in: `id`, `sequence`, `time`, and `d_<field>` of their data.

    `kinds` are DuckDB's types of these fields; from a log, and where a file has no typed column, they are text.
    """

    name: str
    kinds: Mapping[str, str]

    def plain(self, name: str) -> str:
        return f"d_{name}"

    def text(self, name: str) -> str:
        return self.plain(name) if self.kinds[name] == "VARCHAR" else f"CAST({self.plain(name)} AS VARCHAR)"

    def number(self, name: str) -> str:
        return f"CAST({self.plain(name)} AS HUGEINT)"

    def uuid(self, name: str) -> str:
        return self.plain(name) if self.kinds[name] == "UUID" else f"CAST({self.plain(name)} AS UUID)"

    def day(self, name: str | None) -> str:
        """The day in China of the event's time, or of a field with a date or a moment."""
        if name is None:
            return _day("time")
        kind, text = self.kinds[name], self.plain(name)
        if kind == "DATE":
            return text
        if kind != "VARCHAR":
            return _day(text)
        return f"CASE WHEN length({text}) = 10 THEN CAST({text} AS DATE) ELSE {_day(f'CAST({text} AS TIMESTAMPTZ)')} END"

    def holds(self, condition: Condition) -> str:
        """Whether a condition is met; a missing field never meets one."""
        if condition.one_of:
            values = (str(v).lower() if isinstance(v, bool) else str(v) for v in condition.one_of)
            return f"coalesce({self.text(condition.field)} IN ({', '.join(map(_quoted, sorted(values)))}), false)"
        number = self.number(condition.field)
        bounds = [f"{number} >= {condition.at_least}"] if condition.at_least is not None else []
        bounds += [f"{number} <= {condition.at_most}"] if condition.at_most is not None else []
        return f"coalesce({' AND '.join(bounds)}, false)"

    def worth(self, item: Item) -> str:
        """What an event is worth where the item's state holds; a number of any size."""
        return str(item.points) if item.per is None else f"{item.points} * {self.number(item.per)}"

    def points(self, item: Item) -> str:
        counts = " AND ".join(map(self.holds, item.when))
        worth = f"coalesce(CAST({self.worth(item)} AS BIGINT), 0)"
        return f"CASE WHEN {counts} THEN {worth} ELSE 0 END" if counts else worth

    def absurd(self, item: Item) -> str:
        """Whether an event would be worth more than any real one: it counts under no item then."""
        concerns = " AND ".join(["true", *map(self.holds, (*item.where, *item.when))])
        return f"coalesce({concerns} AND abs({self.worth(item)}) > {POINTS_LIMIT}, false)"


class Replay:
    """Facts, ready to be scored; use as a context manager.

    Args:
        facts: a log, or Parquet files by event type.
        threads: processor cores to use.
        memory: the most that DuckDB may take, such as `1GB`; beyond it spills to a folder of its own.
    """

    def __init__(self, facts: Facts, *, threads: int = 2, memory: str = "1GB") -> None:
        self._facts = facts
        self._threads, self._memory = threads, memory
        self._open = ExitStack()
        self._corrected: frozenset[str] | None = None

    def __enter__(self) -> Self:
        with ExitStack() as opening:
            spill = opening.enter_context(tempfile.TemporaryDirectory(prefix="rescore-"))
            self._database = opening.enter_context(
                duckdb.connect(
                    config={
                        "threads": self._threads,
                        "memory_limit": self._memory,
                        "temp_directory": spill,
                        "preserve_insertion_order": False,
                    }
                )
            )
            self._database.execute("SET parquet_metadata_cache = true")
            # In a process started by another DuckDB takes itself for interactive and draws a bar into the output.
            self._database.execute("SET enable_progress_bar = false")
            if isinstance(self._facts, Path):
                self._database.execute(_LOAD, [str(self._facts)])
            self._open = opening.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._open.close()

    @property
    def database(self) -> duckdb.DuckDBPyConnection:
        """The connection, for questions about `scores` and `standings`."""
        return self._database

    def facts(self) -> int:
        """How many different events there are."""
        if isinstance(self._facts, Path):
            return self._number("SELECT count(DISTINCT id) FROM events")
        return sum(
            self._number(f"SELECT count(DISTINCT id) FROM {_parquet(files)}")
            for files in self._facts.values()
        )

    def sums(self, rubric: Rubric, begin: date, until: date) -> dict[UUID, dict[str, dict[int, int]]]:
        """Every deputy's uncapped sums by item and month, of the facts that happened from `begin` to `until`."""
        found: defaultdict[UUID, dict[str, dict[int, int]]] = defaultdict(dict)
        for table, items in self._groups(rubric):
            self._sum(rubric, table, items, begin, until, months=1)
            for place, item in enumerate(items):
                answer = self._database.execute(
                    f"SELECT deputy, month, p{place} FROM sums WHERE p{place} <> 0"
                )
                while part := answer.fetchmany(50_000):
                    for deputy, month, points in part:
                        found[deputy].setdefault(item.key, {})[month] = points
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
            self.score(rubric, max(begin, date(year, 1, 1)), min(until, date(year, 12, 31)))
            answer = self._database.execute("SELECT deputy, total FROM scores")
            while part := answer.fetchmany(50_000):
                for deputy, total in part:
                    # Above the base, so that a deputy without a fact in this year still has it.
                    found[deputy] += total - base
        return {deputy: points + bases for deputy, points in found.items()}

    def score(self, rubric: Rubric, begin: date, until: date) -> None:
        """Make the table `scores` anew: `deputy` and `total` of the facts of days in one year.

        Beside them `c_0`, `c_1`, … hold what each category counts, in the order of the rubric. Who has no fact
        is not there.
        """
        self._database.execute(
            "CREATE OR REPLACE TEMP TABLE parts (deputy UUID, category INTEGER, month INTEGER, points BIGINT)"
        )
        categories = {category.key: place for place, category in enumerate(rubric.categories)}
        for table, items in self._groups(rubric):
            months = min(self._months(rubric, item) for item in items)
            self._sum(rubric, table, items, begin, until, months=months)
            for place, item in enumerate(items):
                source = f"SELECT deputy, month, p{place} AS points FROM sums WHERE p{place} <> 0"
                self._database.execute(
                    f"INSERT INTO parts SELECT deputy, {categories[item.category]}, month, points "
                    f"FROM ({_climb(source, months, _within_year(item.steps))})"
                )
        for place, category in enumerate(rubric.categories):
            steps = [step for step in _within_year(category.steps) if step[0] is not Window.YEAR]
            if steps:
                self._replace_by(
                    place,
                    _climb(f"SELECT deputy, month, points FROM parts WHERE category = {place}", None, steps),
                )
        columns = ", ".join(
            f"{_clamped(f'sum(points) FILTER (category = {place})', category.limits)} AS c_{place}"
            for place, category in enumerate(rubric.categories)
        )
        together = " + ".join(
            [str(rubric.base), *(f"coalesce(c_{p}, 0)" for p in range(len(rubric.categories)))]
        )
        self._database.execute(
            f"CREATE OR REPLACE TEMP TABLE scores AS SELECT *, {_clamped(together, rubric.limits)} AS total "
            f"FROM (SELECT deputy, {columns} FROM parts GROUP BY deputy)"
        )
        self._database.execute("DROP TABLE parts; DROP TABLE IF EXISTS sums")

    def stand(self, rubric: Rubric, people: str) -> None:
        """Make the table `standings` of `scores`: total, grade and rank of everybody.

        `people` is a relation with `deputy`, `number`, `level`, `county`, `town`, `occupation` and `state`, one
        row each; who has no fact has the score of nothing. `occupation` is null for whom the roster does not
        tell it, `rank` within the peer group and `grade` for who is not ranked.
        """
        nothing = totals(rubric, {}).total
        ranked = f"state IN ({', '.join(map(_quoted, sorted(rubric.eligibility.states)))})"
        if rubric.eligibility.excluded:
            ranked += f" AND number NOT IN ({', '.join(map(_quoted, sorted(rubric.eligibility.excluded)))})"
        grades = sorted(rubric.grades, key=lambda grade: -grade.at_least)
        cases = " ".join(f"WHEN total >= {grade.at_least} THEN {_quoted(grade.key)}" for grade in grades)
        grade = f"CASE {cases} END" if cases else "CAST(NULL AS VARCHAR)"
        peers = ", ".join(["ranked", *rubric.peers])
        self._database.execute(
            f"""
CREATE OR REPLACE TEMP TABLE standings AS
SELECT deputy, number, level, county, town, occupation, total, CASE WHEN ranked THEN {grade} END AS grade,
       CASE WHEN ranked THEN rank() OVER (PARTITION BY {peers} ORDER BY total DESC) END AS rank
FROM (SELECT p.*, coalesce(s.total, {nothing}) AS total, {ranked} AS ranked
      FROM {people} p LEFT JOIN scores s ON s.deputy = p.deputy)"""
        )

    def roster(self) -> str:
        """The deputies as `stand` takes them, in the newest state that the facts tell.

        Raises:
            LookupError: the facts tell of no deputy.
        """
        names = ("number", "level", "county", "town", "occupation", "state")
        table = self._take_in("deputy.changed", {"deputy_id", *names})
        if table is None:
            raise LookupError("there is no deputy.changed among the facts, so nobody to rank")
        state = ", ".join(f"{name} := {table.text(name)}" for name in names)
        return f"""
(SELECT deputy, {", ".join(f"of.{name} AS {name}" for name in names)}
 FROM (SELECT {table.uuid("deputy_id")} AS deputy,
              arg_max(struct_pack({state}), struct_pack(s := coalesce(sequence, 0), i := id)) AS of
       FROM {table.name} GROUP BY 1))"""

    def _groups(self, rubric: Rubric) -> Iterator[tuple[_Table | None, Sequence[Item]]]:
        """The items whose newest facts are found in one go: they look at the same ones in the same way.

        The facts of one type are held at a time.
        """
        corrected = self._corrected_items()
        for type_, items in rubric.items_by_event.items():
            fields = {name for item in items for name in _fields(item)}
            table = self._take_in(type_, fields)
            groups: defaultdict[tuple[object, ...], list[Item]] = defaultdict(list)
            for item in items:
                alone = item.key if item.key in corrected else None
                groups[item.evidence, item.deputy, item.where, item.date, alone].append(item)
            for group in groups.values():
                yield table, group
            if table is not None:
                self._database.execute(f"DROP TABLE {table.name}")

    def _sum(
        self,
        rubric: Rubric,
        table: _Table | None,
        items: Sequence[Item],
        begin: date,
        until: date,
        *,
        months: int,
    ) -> None:
        """Make the table `sums` anew: by `deputy` and period of so many `months`, `p0`, `p1`, … of the items."""
        rows = [] if table is None else [self._newest(rubric, table, items)]
        if items[0].key in self._corrected_items():
            wanted = f"item = {_quoted(items[0].key)}"
            rows.append(f"SELECT deputy, of.day AS day, of.points AS p0 FROM corrections WHERE {wanted}")
        month = "year(day) * 12" if months == 12 else "(year(day) * 12 + month(day) - 1)"
        if 1 < months < 12:
            month = f"{month} - {month} % {months}"
        columns = [f"p{place}" for place in range(len(items))]
        if not rows:
            empty = ", ".join(f"CAST(0 AS BIGINT) AS {column}" for column in columns)
            rows = [f"SELECT CAST(NULL AS UUID) AS deputy, CAST(NULL AS DATE) AS day, {empty} WHERE false"]
        self._database.execute(
            f"CREATE OR REPLACE TEMP TABLE sums AS SELECT deputy, CAST({month} AS INTEGER) AS month, "
            + ", ".join(f"CAST(sum({column}) AS BIGINT) AS {column}" for column in columns)
            + f" FROM ({' UNION ALL '.join(rows)}) WHERE day BETWEEN ? AND ? GROUP BY ALL",
            [begin, until],
        )

    def _newest(self, rubric: Rubric, table: _Table, items: Sequence[Item]) -> str:
        """The newest version of each fact that the items look at, without those that were corrected."""
        one = items[0]
        day = table.day(one.date)
        evidence = [f"year({day})" if name == YEAR else table.plain(name) for name in one.evidence]
        by_unit = [item for item in rubric.items_by_event[one.event] if item.per is not None]
        wanted = [f"{table.uuid(one.deputy)} IS NOT NULL", *map(table.holds, one.where)]
        wanted += [f"NOT {table.absurd(item)}" for item in by_unit]
        if one.key in self._corrected_items():
            text = " || '/' || ".join(f"CAST({part} AS VARCHAR)" for part in evidence)
            wanted.append(
                f"({table.uuid(one.deputy)}, {text}) NOT IN "
                f"(SELECT (deputy, evidence) FROM corrections WHERE item = {_quoted(one.key)})"
            )
        points = ", ".join(f"p{place} := {table.points(item)}" for place, item in enumerate(items))
        return f"""
SELECT deputy, of.day AS day, {", ".join(f"of.p{place} AS p{place}" for place in range(len(items)))}
FROM (SELECT {table.uuid(one.deputy)} AS deputy, {", ".join(evidence)},
             arg_max(struct_pack(day := {day}, {points}), struct_pack(s := coalesce(sequence, 0), i := id)) AS of
      FROM {table.name} WHERE {" AND ".join(wanted)} GROUP BY deputy, {", ".join(evidence)})"""

    def _corrected_items(self) -> frozenset[str]:
        """The items with corrections; the table `corrections` holds the newest of each fact."""
        if self._corrected is None:
            fields = {"deputy_id", "item", "evidence", "happened_on", "points", "revision"}
            table = self._take_in(CORRECTED, fields)
            if table is None:
                self._corrected = frozenset()
                return self._corrected
            self._database.execute(f"""
CREATE TEMP TABLE corrections AS
SELECT {table.uuid("deputy_id")} AS deputy, {table.text("item")} AS item, {table.text("evidence")} AS evidence,
       arg_max(struct_pack(day := {table.day("happened_on")}, points := CAST({table.plain("points")} AS BIGINT)),
               struct_pack(s := CAST({table.plain("revision")} AS BIGINT), i := id)) AS of
FROM {table.name} GROUP BY ALL""")
            rows = self._database.execute("SELECT DISTINCT item FROM corrections").fetchall()
            self._corrected = frozenset(str(item) for (item,) in rows)
        return self._corrected

    def _take_in(self, type_: str, fields: Iterable[str]) -> _Table | None:
        """Take in these fields of the facts of a type; None where there are none."""
        name = "facts_" + re.sub(r"[^a-z0-9]", "_", type_)
        wanted = sorted(fields)
        if isinstance(self._facts, Path):
            self._create(name, [], wanted, f"(SELECT * FROM events WHERE type = {_quoted(type_)})")
            if not self._number(f"SELECT count(*) FROM {name}"):
                return None
        elif files := self._facts.get(type_):
            # What the files have as columns is taken by a pattern: to ask them first would open each twice.
            pattern = "|".join(map(re.escape, wanted))
            self._database.execute(
                f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT COLUMNS('^(id|sequence|time|d_({pattern}))$') "
                f"FROM {_parquet(files)}"
            )
            typed = self._kinds(name)
            if not all(f"d_{field}" in typed for field in wanted):
                self._create(name, typed, wanted, _parquet(files))
        else:
            return None
        kinds = self._kinds(name)
        return _Table(name, {field: kinds[f"d_{field}"] for field in wanted})

    def _create(self, name: str, typed: Container[str], fields: Sequence[str], source: str) -> None:
        """Make a table of facts with these fields, those without a column of their own from the JSON."""
        columns = [
            f"d_{field}" if f"d_{field}" in typed else f"(data->>{_quoted(field)}) AS d_{field}"
            for field in fields
        ]
        self._database.execute(
            f"CREATE OR REPLACE TEMP TABLE {name} AS "
            f"SELECT {', '.join(['id', 'sequence', 'time', *columns])} FROM {source}"
        )

    def _kinds(self, name: str) -> dict[str, str]:
        return {str(row[0]): str(row[1]) for row in self._database.execute(f"DESCRIBE {name}").fetchall()}

    def _months(self, rubric: Rubric, item: Item) -> int:
        """The shortest window that an item's sums are limited in, in months."""
        category = next(one for one in rubric.categories if one.key == item.category)
        return min([12, *(window.months for window, _ in _within_year((*item.steps, *category.steps)))])

    def _replace_by(self, category: int, rows: str) -> None:
        """Put a category's rows after its limits in place of those before."""
        self._database.execute(f"CREATE OR REPLACE TEMP TABLE limited AS {rows}")
        self._database.execute(f"DELETE FROM parts WHERE category = {category}")
        self._database.execute(f"INSERT INTO parts SELECT deputy, {category}, month, points FROM limited")
        self._database.execute("DROP TABLE limited")

    def _number(self, question: str) -> int:
        found = self._database.execute(question).fetchone()
        return int(found[0]) if found else 0


def _fields(item: Item) -> Iterator[str]:
    """The fields of the data that an item looks at."""
    yield item.deputy
    yield from (condition.field for condition in (*item.where, *item.when))
    yield from (name for name in item.evidence if name != YEAR)
    yield from (name for name in (item.per, item.date) if name is not None)


def _parquet(files: Sequence[str]) -> str:
    """Files as a relation; their columns may differ, because contracts grow."""
    return (
        f"read_parquet([{', '.join(map(_quoted, files))}], union_by_name = true, hive_partitioning = false)"
    )


def _within_year(steps: Sequence[tuple[Window, Limits]]) -> list[tuple[Window, Limits]]:
    """The limits that hold within a calendar year, the shortest window first."""
    return [step for step in steps if WINDOWS.index(step[0]) <= WINDOWS.index(Window.YEAR)]


def _climb(source: str, months: int | None, steps: Sequence[tuple[Window, Limits]]) -> str:
    """Rows of `deputy`, `month`, `points` after each of the limits.

    The source holds one row for each deputy and period of so many `months`, or rows of any kind (None).
    """
    for window, limits in steps:
        if window.months == months:
            source = f"SELECT deputy, month, {_clamped('points', limits)} AS points FROM ({source})"
            continue
        months = window.months
        source = (
            f"SELECT deputy, month - month % {months} AS month, {_clamped('sum(points)', limits)} AS points "
            f"FROM ({source}) GROUP BY ALL"
        )
    return source


def _clamped(points: str, limits: Limits) -> str:
    """A sum as far as it counts; null stays null, because limits never lift or lower an empty sum."""
    found = points
    if limits.cap is not None:
        found = f"least({found}, {limits.cap})"
    if limits.floor is not None:
        found = f"greatest({found}, {limits.floor})"
    found = f"CAST({found} AS BIGINT)"
    return f"CASE WHEN {points} IS NOT NULL THEN {found} END" if limits else found


def _day(moment: str) -> str:
    """The day in China of a moment with its offset."""
    return f"CAST(make_timestamp(epoch_us({moment}) + {_EIGHT_HOURS}) AS DATE)"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
