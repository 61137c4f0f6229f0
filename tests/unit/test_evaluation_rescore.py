"""Facts scored again in SQL, from a log or from Parquet, give what the rules give; two rubrics stand side by side."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings

from services.evaluation import domain
from services.evaluation.judging import Candidate, judge
from services.evaluation.replay import Replay
from services.evaluation.rescore import Person, groups, side_by_side, worth_of_nothing
from services.evaluation.rubric import Adopted, Rubric, Schedule
from services.evaluation.rubric_file import read_rubric
from shared.contracts.identity import OCCUPATIONS
from tests.unit.test_audit import _TEXTS, Event, _events, event
from warehouse.rows import Record, Row, row_of, table_of

RUBRICS = [read_rubric(text)[1] for text in _TEXTS]
BEGIN, UNTIL = date(2021, 1, 1), date(2022, 12, 31)


def log(events: Iterable[Event]) -> Path:
    with tempfile.NamedTemporaryFile("w", suffix=".ndjson", delete=False) as file:
        file.writelines(json.dumps(one) + "\n" for one in events)
    return Path(file.name)


def parquet(events: Iterable[Event], folder: Path) -> dict[str, list[str]]:
    """The events as the warehouse writes them: files of a day and type, in two commits."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    events = list(events)
    for commit, part in enumerate((events[::2], events[1::2])):
        rows: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
        for offset, one in enumerate(part):
            row = row_of(
                Record(one["type"], 0, offset, datetime(2022, 1, 1, tzinfo=UTC), json.dumps(one).encode())
            )
            rows[row.day, row.type].append(row)
        for (day, type_), members in rows.items():
            file = folder / f"{commit}-{day}-{type_}.parquet"
            pq.write_table(table_of(type_, members), file)
            found[type_].append(str(file))
    return dict(found)


def by_the_rules(rubric: Rubric, events: Iterable[Event]) -> dict[UUID, dict[str, dict[int, int]]]:
    schedule = Schedule((Adopted(date(2021, 1, 1), rubric),))
    rows: list[domain.LedgerEntry] = []
    for e in events:
        fact = domain.Fact(
            UUID(e["id"]), e["type"], datetime.fromisoformat(e["time"]), e["data"], e["sequence"]
        )
        try:
            rows += domain.entries(schedule, fact)
        except domain.AbsurdAmount:
            continue
    found: dict[UUID, dict[str, dict[int, int]]] = {}
    for bucket, points in domain.buckets(rows).items():
        found.setdefault(bucket.deputy_id, {}).setdefault(bucket.item, {})[bucket.month] = points
    return found


@pytest.mark.parametrize("rubric", RUBRICS, ids=lambda rubric: rubric.name)
@given(events=_events)
@settings(max_examples=8, deadline=None)
def test_a_log_scored_in_sql_gives_the_sums_that_the_rules_give(rubric: Rubric, events: list[Event]) -> None:
    file = log([*events, *events[:3]])
    try:
        with Replay(file, threads=1) as replay:
            found = replay.sums(rubric, BEGIN, UNTIL)
            assert replay.facts() == len({e["id"] for e in events})
    finally:
        file.unlink()
    assert found == by_the_rules(rubric, events)


@pytest.mark.parametrize("rubric", RUBRICS, ids=lambda rubric: rubric.name)
@given(events=_events)
@settings(max_examples=6, deadline=None)
def test_parquet_scored_in_sql_gives_the_sums_totals_grades_and_ranks_that_the_rules_give(
    rubric: Rubric, events: list[Event]
) -> None:
    right = by_the_rules(rubric, events)
    deputies = [*sorted(right), UUID(int=0xFFFF)]  # one has done nothing
    of_2021 = {
        deputy: {
            item: {month: points for month, points in months.items() if month // 12 == 2021}
            for item, months in right.get(deputy, {}).items()
        }
        for deputy in deputies
    }
    people = [
        Candidate(
            deputy,
            f"N{place}",
            "city",
            "330203" if place % 2 else None,
            None,
            "suspended" if place == 1 else "active",
            domain.totals(rubric, of_2021[deputy]).total,
        )
        for place, deputy in enumerate(deputies)
    ]
    with (
        tempfile.TemporaryDirectory() as folder,
        Replay(parquet([*events, *events[:3]], Path(folder)), threads=1) as replay,
    ):
        assert replay.sums(rubric, BEGIN, UNTIL) == right
        assert replay.facts() == len({e["id"] for e in events})
        replay.score(rubric, date(2021, 1, 1), date(2021, 12, 31))
        replay.database.execute(
            "CREATE TABLE people (deputy UUID, number VARCHAR, level VARCHAR, county VARCHAR, town VARCHAR, "
            "occupation VARCHAR, state VARCHAR)"
        )
        replay.database.executemany(
            "INSERT INTO people VALUES (?, ?, ?, ?, ?, NULL, ?)",
            [[one.deputy_id, one.number, one.level, one.county, one.town, one.state] for one in people],
        )
        replay.stand(rubric, "people")
        found = replay.database.execute("SELECT deputy, total, grade, rank FROM standings").fetchall()
    assert sorted(found) == sorted(
        (one.candidate.deputy_id, one.candidate.total, one.grade and one.grade.key, one.rank)
        for one in judge(rubric, people)
    )


@pytest.mark.parametrize("sequence", [1, 2**18 - 1, 2**18, 2**50])
def test_of_versions_with_one_sequence_the_one_with_the_highest_id_counts(sequence: int) -> None:
    """As often as it is read, in any order, beside facts with one version, and for sequences of any size."""
    course = str(UUID(int=9))
    versions = [
        event(number, "course.completed", sequence, course_id=course, minutes=minutes, mark=mark)
        for number, minutes, mark in ((3, 30, 60), (7, 45, 95), (5, 60, 80))
    ]
    older = event(99, "course.completed", sequence - 1, course_id=course, minutes=90, mark=99)
    other = event(1, "course.completed", sequence, course_id=str(UUID(int=8)), minutes=20, mark=70)
    for order in ([*versions, older, other, *versions], [other, older, *versions[::-1]]):
        with Replay(log(order)) as replay:
            found = replay.sums(RUBRICS[1], BEGIN, UNTIL)
        assert found == by_the_rules(RUBRICS[1], order)
        assert found


def test_a_category_limited_by_the_month_takes_its_items_together() -> None:
    rubric = read_rubric(_MONTHLY)[1]
    events = [
        event(1, "case.filed", case_id=str(UUID(int=1)), origin="resident", at="2021-03-01T10:00:00+08:00"),
        event(2, "case.filed", case_id=str(UUID(int=2)), origin="own", at="2021-03-31T23:59:00+08:00"),
        event(3, "case.filed", case_id=str(UUID(int=3)), origin="own", at="2021-04-01T00:00:00+08:00"),
        event(
            4,
            "case.filed",
            case_id=str(UUID(int=4)),
            deputy_id=None,
            origin="staff",
            at="2021-05-01T00:00:00+08:00",
        ),
    ]
    with Replay(log(events)) as replay:
        assert replay.totals(lambda _: rubric, BEGIN, date(2021, 12, 31)) == {UUID(int=0xA): 350 + 200}


_MONTHLY = """
name: monthly
version: 1
title: 月度上限
source: test
base: 0
categories:
  supervision: {title: 督事, cap: {month: 3.5, year: 30}}
items:
  filed: {title: 提交, category: supervision, event: case.filed, points: 2, evidence: case_id, cap: {month: 3}}
  resident: {title: 代居民反映, category: supervision, event: case.filed, where: {origin: resident}, points: 1, evidence: case_id, cap: {month: 2}}
"""


def test_an_absurd_event_counts_under_no_item_and_stops_nothing() -> None:
    course: dict[str, Any] = {"course_id": str(UUID(int=9)), "mark": 95}
    events = [
        event(1, "course.completed", minutes=10**14, **course),
        event(2, "course.completed", minutes=30, **{**course, "course_id": str(UUID(int=8))}),
    ]
    with Replay(log(events)) as replay:
        found = replay.sums(RUBRICS[1], BEGIN, UNTIL)
    assert found == by_the_rules(RUBRICS[1], events)
    assert sum(len(items) for items in found.values()) == 3


def test_a_period_takes_the_facts_of_its_days_and_the_base_of_each_year() -> None:
    events = [
        event(1, "case.filed", case_id=str(UUID(int=1)), at="2021-12-31T10:00:00+08:00"),
        event(2, "case.filed", case_id=str(UUID(int=2)), at="2022-01-01T00:00:00+08:00"),
        event(3, "case.filed", case_id=str(UUID(int=3)), at="2022-03-01T10:00:00+08:00"),
    ]
    tight = RUBRICS[-1]
    with Replay(log(events)) as replay:
        whole = replay.totals(lambda _: tight, BEGIN, UNTIL)
        part = replay.totals(lambda _: tight, date(2021, 12, 31), date(2022, 2, 28))
    assert whole == {UUID(int=0xA): 300 + 100 + 300 + 200}
    assert part == {UUID(int=0xA): 300 + 100 + 300 + 100}
    assert worth_of_nothing(lambda _: tight, BEGIN, UNTIL) == 600


def test_who_rises_and_falls_is_told_with_ranks_and_by_group() -> None:
    people = [
        Person(UUID(int=n), level, county, None, occupation)
        for n, level, county, occupation in [
            (1, "city", None, None),
            (2, "county", "330203", "farmer"),
            (3, "county", "330203", "worker"),
        ]
    ]
    changes = side_by_side(
        people,
        {UUID(int=1): 500, UUID(int=2): 300},
        {UUID(int=1): 400, UUID(int=2): 700},
        present_nothing=0,
        draft_nothing=50,
    )
    assert [(c.person.deputy_id.int, c.points, c.present_rank, c.draft_rank) for c in changes] == [
        (2, 400, 2, 1),
        (3, 50, 3, 3),
        (1, -100, 1, 2),
    ]
    by_level = groups(changes, lambda person: person.level)
    assert [(g.key, g.deputies, g.rise, g.fall, g.present_mean) for g in by_level] == [
        ("city", 1, 0, 1, 500.0),
        ("county", 2, 2, 0, 150.0),
    ]
    by_occupation = groups(changes, lambda person: person.occupation, OCCUPATIONS)
    assert [(g.key, g.deputies, g.rise, g.fall) for g in by_occupation] == [
        ("worker", 1, 1, 0),
        ("farmer", 1, 1, 0),
        (None, 1, 0, 1),
    ]


def told(number: int, deputy: int, sequence: int, **more: str) -> Event:
    found = event(number, "deputy.changed", sequence, deputy_id=str(UUID(int=deputy)), level="city", **more)
    found["data"] |= {"number": f"N{deputy}", "state": "active"}
    return found


BEFORE = [told(1, 1, 1), told(2, 2, 1), told(3, 3, 1)]
"""As `deputy.changed` was before it could tell an occupation."""
SINCE = [
    told(4, 2, 2, occupation="farmer"),
    told(5, 4, 1, occupation="worker"),
    told(6, 4, 2),
    told(7, 5, 1, occupation="manager"),
]


def with_old_files(folder: Path, *, since: bool) -> dict[str, list[str]]:
    """Files from before the field, without a column for it, and those written since."""
    (folder / "old").mkdir()
    files = parquet(BEFORE, folder / "old")["deputy.changed"]
    for file in files:
        table = pq.read_table(file)
        pq.write_table(table.drop_columns(["d_occupation"]), file)
    return {"deputy.changed": files + (parquet(SINCE, folder)["deputy.changed"] if since else [])}


@pytest.mark.parametrize("since", [False, True])
@pytest.mark.parametrize("kind", ["log", "parquet"])
def test_deputies_told_of_before_there_were_occupations_stand_beside_those_told_of_since(
    tmp_path: Path, kind: str, since: bool
) -> None:
    facts = (
        log([*BEFORE, *(SINCE if since else [])]) if kind == "log" else with_old_files(tmp_path, since=since)
    )
    with Replay(facts) as replay:
        replay.score(RUBRICS[0], date(2021, 1, 1), date(2021, 12, 31))
        replay.stand(RUBRICS[0], replay.roster())
        found = replay.database.execute("SELECT number, occupation FROM standings").fetchall()
    before = {"N1": None, "N2": None, "N3": None}
    assert dict(found) == (before | {"N2": "farmer", "N4": None, "N5": "manager"} if since else before)
