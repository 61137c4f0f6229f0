"""Scores facts again under any rubric, set-based in DuckDB: from a log of events, from Parquet, or from facts.

A log is a file of CloudEvents, one JSON object a line; Parquet is as the warehouse writes it (docs/warehouse.md),
given as files by event type. Either is read in any order and with repetitions. The rules of `domain` (what an
event is worth, which version of a fact is the newest, how limits hold) stand here a second time as SQL, because
a country's year has more than a hundred million facts; property tests hold the two against each other.

From events each item is worked out for itself, the newest of its facts first and then its limits, and only what
it gives to its category is kept: so memory follows the largest item, and what does not fit is spilt to disk.

The warehouse's facts (`warehouse.facts`) hold the newest versions already, in buckets by deputy. There a type's
items are summed in one go, bucket by bucket; then what the facts alone do not decide is taken out again and
worked out as from events: facts of which events came since, which other versions contest, and those of deputies
with corrections. An item that asks for what facts do not keep (`Replay._served`) is worked out from the events.

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
from typing import TYPE_CHECKING, Self, TypeAlias
from uuid import UUID

from services.evaluation.domain import POINTS_LIMIT, totals
from services.evaluation.rubric import CORRECTED, WINDOWS, YEAR, Condition, Item, Limits, Rubric, Window
from warehouse.facts import Compacted, Held, label, labels

if TYPE_CHECKING:
    import duckdb

Facts: TypeAlias = Path | Mapping[str, Sequence[str]] | Compacted
"""A log, Parquet files by event type, or the warehouse's facts with the events since."""

_LOAD = """
CREATE TABLE events AS
SELECT json->>'type' AS type, CAST(json->>'id' AS UUID) AS id, CAST(json->>'time' AS TIMESTAMPTZ) AS time,
       coalesce(CAST(json->>'sequence' AS BIGINT), 0) AS sequence, json->'data' AS data
FROM read_ndjson_objects(?)
"""
_PARTS = "CREATE OR REPLACE TEMP TABLE parts (deputy UUID, category INTEGER, month INTEGER, points BIGINT)"
_Served: TypeAlias = Mapping[str, Sequence[Item]]
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

    def counts(self, item: Item) -> str:
        """The points of an event, 0 where it is none of the item's business."""
        concerns = " AND ".join(map(self.holds, item.where))
        return f"CASE WHEN {concerns} THEN {self.points(item)} ELSE 0 END" if concerns else self.points(item)

    def absurd(self, item: Item) -> str:
        """Whether an event would be worth more than any real one: it counts under no item then."""
        concerns = " AND ".join(["true", *map(self.holds, (*item.where, *item.when))])
        return f"coalesce({concerns} AND abs({self.worth(item)}) > {POINTS_LIMIT}, false)"


class _Dated(_Table):
    """Rows that hold the day in China of the event's time as `day`."""

    def day(self, name: str | None) -> str:
        return "day" if name is None else super().day(name)


class _Small(_Dated):
    """Rows whose whole numbers are known to be small enough for any points."""

    def number(self, name: str) -> str:
        return self.plain(name) if self.kinds[name] == "BIGINT" else super().number(name)


class Replay:
    """Facts, ready to be scored; use as a context manager.

    Args:
        facts: a log, Parquet files by event type, or the warehouse's facts.
        threads: processor cores to use.
        memory: the most that DuckDB may take, such as `1GB`; beyond it spills to a folder of its own.
    """

    def __init__(self, facts: Facts, *, threads: int = 2, memory: str = "1GB") -> None:
        self._compacted = facts if isinstance(facts, Compacted) else Compacted(0, {}, {}, {})
        self._facts: Path | Mapping[str, Sequence[str]] = (
            facts.events if isinstance(facts, Compacted) else facts
        )
        self._tails: dict[str, str] = {}
        self._threads, self._memory = threads, memory
        self._open = ExitStack()
        self._corrected: frozenset[str] | None = None

    def __enter__(self) -> Self:
        import duckdb

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
        for items, _ in self._summed(rubric, begin, until, months=1):
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
        served = self._serve(rubric)
        self._database.execute(_PARTS)
        for items, months in self._from_events(rubric, served, begin, until):
            self._into_parts(rubric, items, months)
        if not served:
            self._finish(rubric, "CREATE OR REPLACE TEMP TABLE scores AS")
            return
        digits = self._compacted.digits
        self._database.execute("DROP TABLE IF EXISTS others; ALTER TABLE parts RENAME TO others")
        for place, bucket in enumerate(labels(digits)):
            self._database.execute(_PARTS)
            self._database.execute(
                f"INSERT INTO parts FROM others WHERE {label('deputy', digits)} = {_quoted(bucket)}"
            )
            for items, months in self._from_facts(rubric, served, bucket, begin, until):
                self._into_parts(rubric, items, months)
            self._finish(rubric, "INSERT INTO scores" if place else "CREATE OR REPLACE TEMP TABLE scores AS")
        self._database.execute("DROP TABLE others")

    def _into_parts(self, rubric: Rubric, items: Sequence[Item], months: int) -> None:
        """Put what `sums` give to the categories into `parts`, after the limits of the items."""
        categories = {category.key: place for place, category in enumerate(rubric.categories)}
        rows = []
        for place, item in enumerate(items):
            source = f"SELECT deputy, month, p{place} AS points FROM sums WHERE p{place} <> 0"
            limited = _climb(source, months, _within_year(item.steps))
            rows.append(f"SELECT deputy, {categories[item.category]}, month, points FROM ({limited})")
        self._database.execute(f"INSERT INTO parts {' UNION ALL '.join(rows)}")

    def _finish(self, rubric: Rubric, into: str) -> None:
        """From `parts` to totals."""
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
            f"{into} SELECT *, {_clamped(together, rubric.limits)} AS total "
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
        table = self._states({"deputy_id", *names}) or self._take_in("deputy.changed", {"deputy_id", *names})
        if table is None:
            raise LookupError("there is no deputy.changed among the facts, so nobody to rank")
        state = ", ".join(f"{name} := {table.text(name)}" for name in names)
        return f"""
(SELECT deputy, {", ".join(f"of.{name} AS {name}" for name in names)}
 FROM (SELECT {table.uuid("deputy_id")} AS deputy,
              arg_max(struct_pack({state}), struct_pack(s := coalesce(sequence, 0), i := id)) AS of
       FROM {table.name} GROUP BY 1))"""

    def _summed(
        self, rubric: Rubric, begin: date, until: date, *, months: int
    ) -> Iterator[tuple[Sequence[Item], int]]:
        """Make `sums` of all items, some at a time; an item may come once for each bucket."""
        served = self._serve(rubric)
        yield from self._from_events(rubric, served, begin, until, months)
        for bucket in labels(self._compacted.digits):
            yield from self._from_facts(rubric, served, bucket, begin, until, months)

    def _from_events(
        self, rubric: Rubric, served: _Served, begin: date, until: date, months: int | None = None
    ) -> Iterator[tuple[Sequence[Item], int]]:
        """Make `sums` of the items that facts do not answer, some at a time, of so many months."""
        for type_, items in rubric.items_by_event.items():
            of_facts = served.get(type_, ())
            left = [item for item in items if item not in of_facts]
            if not left:
                continue
            # The facts of one type are held at a time.
            table = self._take_in(type_, {name for item in items for name in _fields(item)})
            for group in self._alike(left):
                of = months or min(self._months(rubric, item) for item in group)
                rows = [] if table is None else [self._newest(rubric, table, group)]
                rows += self._corrections(group)
                if rows:
                    self._sum(rows, len(group), of, begin, until)
                    yield group, of
            if table is not None:
                self._database.execute(f"DROP TABLE {table.name}")

    def _alike(self, items: Iterable[Item]) -> Iterable[list[Item]]:
        """Items whose newest facts are found in one go: they look at the same ones in the same way."""
        corrected = self._corrected_items()
        groups: defaultdict[tuple[object, ...], list[Item]] = defaultdict(list)
        for item in items:
            alone = item.key if item.key in corrected else None
            groups[item.evidence, item.deputy, item.where, item.date, alone].append(item)
        return groups.values()

    def _corrections(self, items: Sequence[Item], bucket: str | None = None) -> Iterator[str]:
        """The rows of what was corrected, of all deputies or of those in a bucket."""
        corrected = self._corrected_items()
        for place, item in enumerate(items):
            if item.key not in corrected:
                continue
            wanted = f"item = {_quoted(item.key)}"
            if bucket is not None:
                wanted += f" AND {label('deputy', self._compacted.digits)} = {_quoted(bucket)}"
            points = _at({place: "of.points"}, len(items))
            yield f"SELECT deputy, of.day AS day, {points} FROM corrections WHERE {wanted}"

    def _sum(self, rows: Sequence[str], items: int, months: int, begin: date, until: date) -> None:
        """Make the table `sums` anew: by `deputy` and period of so many `months`, `p0`, `p1`, … of the items."""
        month = "year(day) * 12" if months == 12 else "(year(day) * 12 + month(day) - 1)"
        if 1 < months < 12:
            month = f"{month} - {month} % {months}"
        self._database.execute(
            f"CREATE OR REPLACE TEMP TABLE sums AS SELECT deputy, CAST({month} AS INTEGER) AS month, "
            + ", ".join(f"CAST(sum(p{place}) AS BIGINT) AS p{place}" for place in range(items))
            + f" FROM ({' UNION ALL '.join(rows)}) WHERE day BETWEEN ? AND ? GROUP BY ALL",
            [begin, until],
        )

    def _serve(self, rubric: Rubric) -> _Served:
        """The items that facts answer, by event type; the events since are taken in for them."""
        found: dict[str, Sequence[Item]] = {}
        for type_, items in rubric.items_by_event.items():
            held = self._compacted.types.get(type_)
            if held is None or not _harmless(held, items):
                continue
            answered = [item for item in items if _answers(held, item)]
            fields = {name for item in items for name in _fields(item) if name in held.columns}
            if answered and self._take_tail(type_, held, fields | set(held.shape.key)):
                found[type_] = answered
        return found

    def _take_tail(self, type_: str, held: Held, fields: Iterable[str]) -> bool:
        """Take in the events that the facts of a type do not hold yet; False where they do not fit together."""
        self._tails.pop(type_, None)
        files = self._compacted.tail.get(type_)
        if not files:
            return True
        name, wanted = "tail_" + _plain(type_), sorted(fields)
        pattern = "|".join(map(re.escape, wanted))
        self._database.execute(
            f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT COLUMNS('^(id|sequence|time|d_({pattern}))$') "
            f"FROM {_parquet(files)}"
        )
        kinds = self._kinds(name)
        if any(kinds.get(f"d_{field}", held.columns[field]) != held.columns[field] for field in wanted):
            return False
        columns = ", ".join(
            f"d_{field}" if f"d_{field}" in kinds else f"CAST(NULL AS {held.columns[field]}) AS d_{field}"
            for field in wanted
        )
        self._database.execute(
            f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT id, coalesce(sequence, 0) AS sequence, "
            f"{_day('time')} AS day, {columns}, "
            f"{label(f'd_{held.deputy}', self._compacted.digits)} AS bucket FROM {name}"
        )
        self._tails[type_] = name
        return True

    def _from_facts(
        self,
        rubric: Rubric,
        served: _Served,
        bucket: str,
        begin: date,
        until: date,
        months: int | None = None,
    ) -> Iterator[tuple[Sequence[Item], int]]:
        """Make `sums` of a bucket of the items that facts answer, those of a type and day in one go."""
        for type_, items in served.items():
            held = self._compacted.types[type_]
            part = held.parts.get(bucket)
            open_ = self._undecided(rubric, type_, held, items, bucket)
            facts, undecided = _Small("facts", held.columns), _Dated("undecided", held.columns)
            somebody = f"d_{held.deputy} IS NOT NULL"  # what staff filed is nobody's row
            by_day: defaultdict[str | None, list[Item]] = defaultdict(list)
            for item in items:
                by_day[item.date].append(item)
            for date_, group in by_day.items():
                of = months or min(self._months(rubric, item) for item in group)
                whose = f"SELECT {facts.uuid(held.deputy)} AS deputy, {facts.day(date_)} AS day"
                worth = [facts.counts(item) for item in group]
                rows = []
                if part is not None:
                    points = _at(dict(enumerate(worth)), len(group))
                    rows.append(
                        f"{whose}, {points} FROM {_parquet([part.name])} WHERE NOT contested AND {somebody}"
                    )
                if open_:
                    # Out again with what was counted of them, then in with what is the newest.
                    points = _at({place: f"-({found})" for place, found in enumerate(worth)}, len(group))
                    rows.append(
                        f"{whose}, {points} FROM undecided WHERE compacted AND NOT contested AND {somebody}"
                    )
                    for alike in self._alike(group):
                        places = {group.index(item): f"p{place}" for place, item in enumerate(alike)}
                        newest = self._newest(rubric, undecided, alike)
                        rows.append(f"SELECT deputy, day, {_at(places, len(group))} FROM ({newest})")
                rows += self._corrections(group, bucket)
                if rows:
                    self._sum(rows, len(group), of, begin, until)
                    yield group, of
            self._database.execute("DROP TABLE IF EXISTS undecided")

    def _undecided(self, rubric: Rubric, type_: str, held: Held, items: Sequence[Item], bucket: str) -> bool:
        """Make the table `undecided`: rows of a bucket of which facts alone do not say what counts.

        These are facts with other versions, those of which there are events since, with these, and those of
        deputies with corrections. False where there are none.
        """
        part, tail = held.parts.get(bucket), self._tails.get(type_)
        fields = {name for item in rubric.items_by_event[type_] for name in _fields(item)} | set(
            held.shape.key
        )
        names = ", ".join(
            ["id", "sequence", "day", *(f"d_{name}" for name in sorted(fields & set(held.columns)))]
        )
        corrected = sorted({item.key for item in items} & self._corrected_items())
        rows = []
        if part is not None:
            file, doubt = _parquet([part.name]), "contested"
            if corrected:
                doubt += (
                    f" OR coalesce(d_{held.deputy} IN (SELECT deputy FROM corrections WHERE item IN "
                    f"({', '.join(map(_quoted, corrected))})), false)"
                )
            if corrected or part.contested:
                rows.append(f"SELECT {names}, contested, true AS compacted FROM {file} WHERE {doubt}")
            if tail:
                key = [f"d_{name}" for name in held.shape.key]
                self._database.execute(
                    f"CREATE OR REPLACE TEMP TABLE touched AS SELECT DISTINCT {', '.join(key)} FROM {tail} "
                    f"WHERE bucket = {_quoted(bucket)}"
                )
                same = " AND ".join(f"f.{name} IS NOT DISTINCT FROM t.{name}" for name in key)
                rows.append(
                    f"SELECT {names}, contested, true AS compacted FROM (FROM {file} WHERE NOT ({doubt})) f "
                    f"SEMI JOIN touched t ON {same}"
                )
        if tail:
            rows.append(
                f"SELECT {names}, false AS contested, false AS compacted FROM {tail} "
                f"WHERE bucket = {_quoted(bucket)}"
            )
        if rows:
            self._database.execute(f"CREATE OR REPLACE TEMP TABLE undecided AS {' UNION ALL '.join(rows)}")
        return bool(rows)

    def _states(self, fields: Iterable[str]) -> _Table | None:
        """What facts and events since tell of deputies; None where facts do not hold these fields."""
        held = self._compacted.types.get("deputy.changed")
        wanted = sorted(fields)
        if held is None or not set(wanted) <= set(held.columns):
            return None
        if not self._take_tail("deputy.changed", held, wanted):
            return None
        names = ", ".join(["id", "sequence", *(f"d_{name}" for name in wanted)])
        rows = (
            [f"SELECT {names} FROM {_parquet([part.name for part in held.parts.values()])}"]
            if held.parts
            else []
        )
        tail = self._tails.get("deputy.changed")
        rows += [f"SELECT {names} FROM {tail}"] if tail else []
        if not rows:
            return None
        self._database.execute(f"CREATE OR REPLACE TEMP VIEW states AS {' UNION ALL '.join(rows)}")
        return _Table("states", held.columns)

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
        name = "facts_" + _plain(type_)
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


def _answers(held: Held, item: Item) -> bool:
    """Whether facts hold what an item looks at.

    Its facts must be those that are told apart there, and what it tells them apart by must be kept of each.
    """
    kept = {*held.shape.key, *held.marks}
    evidence = {name for name in item.evidence if name != YEAR}
    return (
        item.deputy == held.deputy
        and set(held.names) <= evidence <= kept
        and {condition.field for condition in item.where} <= kept
        and (YEAR not in item.evidence or item.date is None or item.date in kept)
        and set(_fields(item)) <= set(held.columns)
    )


def _harmless(held: Held, items: Sequence[Item]) -> bool:
    """Whether no fact is worth more than any real one, so that none of them is passed over for an older one."""
    for item in items:
        if item.per is None:
            continue
        most = [part.widest.get(item.per) for part in held.parts.values()]
        if not set(_fields(item)) <= set(held.columns) or held.columns[item.per] != "BIGINT":
            return False
        if any(one is None or abs(item.points) * one > POINTS_LIMIT for one in most):
            return False
    return True


def _at(points: Mapping[int, str], items: int) -> str:
    """The columns `p0`, `p1`, … of so many items; 0 where nothing is given."""
    return ", ".join(f"CAST({points.get(place, '0')} AS BIGINT) AS p{place}" for place in range(items))


def _plain(type_: str) -> str:
    return re.sub(r"[^a-z0-9]", "_", type_)


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
