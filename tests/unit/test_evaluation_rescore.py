"""A log scored again in SQL gives what the rules give, and two rubrics stand side by side."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings

from services.evaluation import domain
from services.evaluation.rescore import Person, Replay, groups, side_by_side, worth_of_nothing
from services.evaluation.rubric_file import read_rubric
from tests.unit.test_audit import _TEXTS, Event, _events, event

RUBRICS = [read_rubric(text)[1] for text in _TEXTS]
BEGIN, UNTIL = date(2021, 1, 1), date(2022, 12, 31)


def log(events: Iterable[Event]) -> Path:
    with tempfile.NamedTemporaryFile("w", suffix=".ndjson", delete=False) as file:
        file.writelines(json.dumps(one) + "\n" for one in events)
    return Path(file.name)


def by_the_rules(rubric: domain.Rubric, events: Iterable[Event]) -> dict[UUID, dict[str, dict[int, int]]]:
    schedule = domain.Schedule((domain.Adopted(date(2021, 1, 1), rubric),))
    rows = []
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
def test_a_log_scored_in_sql_gives_the_sums_that_the_rules_give(
    rubric: domain.Rubric, events: list[Event]
) -> None:
    file = log([*events, *events[:3]])
    try:
        with Replay(file, threads=1) as replay:
            found = replay.sums(rubric, BEGIN, UNTIL)
            assert replay.facts() == len({e["id"] for e in events})
    finally:
        file.unlink()
    assert found == by_the_rules(rubric, events)


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
        Person(UUID(int=n), level, county, None)
        for n, level, county in [(1, "city", None), (2, "county", "330203"), (3, "county", "330203")]
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
