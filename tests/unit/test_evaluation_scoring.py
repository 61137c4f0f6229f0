"""Scoring at speed gives exactly the rows of the rules, or sets the event aside."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.evaluation.domain import Fact, entries
from services.evaluation.handlers import SHIPPED_RUBRIC
from services.evaluation.rubric import Adopted, Condition, Item, Schedule
from services.evaluation.rubric_file import read_rubric
from services.evaluation.scoring import Row, Scorer, SetAside
from shared.contracts.cases import CaseClosed, CaseFiled
from shared.contracts.envelope import Envelope
from shared.contracts.learning import CourseCompleted
from shared.contracts.participation import ActivityAttended, ConsultationAnswered, DutyLogged
from shared.contracts.registry import Contract, contract_of
from shared.contracts.structs import decoder_of
from shared.testing.messages import encoded, message

RUBRIC = read_rubric(SHIPPED_RUBRIC.read_text("utf-8"))[1]
LATER = replace(
    RUBRIC,
    version=2,
    items=tuple(replace(item, points=item.points * 2) for item in RUBRIC.items if item.key != "case-rated"),
)
SCHEDULE = Schedule((Adopted(date(2020, 1, 1), RUBRIC), Adopted(date(2022, 1, 1), LATER)))
IDS = st.integers(1, 5).map(lambda number: UUID(int=number))
BOUNDS = (datetime(2019, 12, 25), datetime(2023, 1, 5))  # noqa: DTZ001 - hypothesis wants them naive
MOMENTS = st.datetimes(*BOUNDS, timezones=st.just(UTC))


def facts() -> st.SearchStrategy[Contract]:
    case = {
        "case_id": IDS,
        "deputy_id": st.none() | IDS,  # what staff filed has none
        "county": st.just("330203"),
        "origin": st.sampled_from(("own", "resident", "staff")),
    }
    return st.one_of(
        st.builds(CaseFiled, **case, state=st.just("routed")),
        st.builds(CaseClosed, **case, state=st.just("closed"), result=st.sampled_from((None, "solved", "explained", "unsolved"))),
        st.builds(CourseCompleted, course_id=IDS, deputy_id=IDS, minutes=st.integers(-10, 10**8), mark=st.integers(0, 100)),
        st.builds(ActivityAttended, activity_id=IDS, deputy_id=IDS, kind=st.sampled_from(("theme", "research", "reception"))),
        st.builds(ConsultationAnswered, consultation_id=IDS, deputy_id=IDS, kind=st.just("legislation"), opinions=st.integers(0, 50)),
        st.builds(DutyLogged, duty_id=IDS, deputy_id=IDS, state=st.sampled_from(("declared", "confirmed", "withdrawn")),
                  kind=st.sampled_from(("inspection", "visit", "meeting")), happened_on=MOMENTS.map(lambda m: m.date())),
    )  # fmt: skip


def by_the_rules(schedule: Schedule, envelope: Envelope) -> list[Row]:
    fact = Fact(envelope.id, envelope.type, envelope.time, envelope.data, envelope.sequence or 0)
    return [
        (
            str(row.identity.deputy_id), row.identity.item, row.identity.evidence,
            (row.sequence, str(row.event_id), row.time),
            (row.identity.item, row.event_type, row.happened_on, row.points, row.rubric, row.rubric_version),
        )
        for row in entries(schedule, fact)
    ]  # fmt: skip


def decoded(envelope: Envelope) -> Any:
    declaration = contract_of(envelope.type)
    assert declaration is not None
    return decoder_of(declaration).decode(encoded(envelope))


SCORER = Scorer(SCHEDULE)


@settings(max_examples=400, deadline=None)
@given(fact=facts(), time=MOMENTS, sequence=st.none() | st.integers(0, 9))
def test_rows_are_those_of_the_rules(fact: Contract, time: datetime, sequence: int | None) -> None:
    envelope = message(fact, subject=UUID(int=1), time=time, sequence=sequence)
    try:
        expected = by_the_rules(SCHEDULE, envelope)
    except ValueError:  # an absurd amount
        with pytest.raises(SetAside):
            SCORER.rows(decoded(envelope))
        return
    assert sorted(SCORER.rows(decoded(envelope))) == sorted(expected)


def test_days_are_those_of_china_whatever_zone_the_event_was_written_in() -> None:
    fact = CaseFiled(case_id=UUID(int=1), deputy_id=UUID(int=2), state="routed", county="330203")
    envelope = message(fact, subject=UUID(int=1), time=datetime(2021, 12, 31, 17, tzinfo=UTC), sequence=1)
    rows = SCORER.rows(decoded(envelope))
    assert rows == by_the_rules(SCHEDULE, envelope)
    assert {(worth[2], worth[5]) for *_, worth in rows} >= {(date(2022, 1, 1), 2)}
    assert rows[0][3][2] - timedelta(0) == envelope.time


def schedule_with(**more: Any) -> Schedule:
    item = replace(next(item for item in RUBRIC.items if item.key == "case-filed"), **more)
    return Schedule((Adopted(date(2020, 1, 1), replace(RUBRIC, items=(item,))),))


@pytest.mark.parametrize(
    "more",
    [
        {"evidence": ("answer_by",)},
        {"where": (Condition("co_handlers", frozenset({"x"})),)},
        {"deputy": "merged_into"},
        {"per": "category"},
        {"evidence": ("no_such_field",)},
    ],
)
def test_what_is_not_known_to_be_the_same_is_set_aside(more: dict[str, Any]) -> None:
    fact = CaseFiled(case_id=UUID(int=1), deputy_id=UUID(int=2), state="routed", county="330203")
    with pytest.raises(SetAside):
        Scorer(schedule_with(**more)).rows(decoded(message(fact, subject=UUID(int=1), sequence=1)))


def test_a_field_that_is_null_where_an_item_counts_on_it_is_set_aside() -> None:
    fact = CaseFiled(case_id=UUID(int=1), deputy_id=UUID(int=2), state="routed", county="330203")
    envelope = message(fact, subject=UUID(int=1), time=datetime(2021, 5, 1, tzinfo=UTC), sequence=1)
    with pytest.raises(SetAside):
        Scorer(schedule_with(per="stars")).rows(decoded(envelope))


def test_scoring_knows_every_part_of_an_item() -> None:
    """A new part of an item must be thought of in `scoring` too, or be no matter of a single event's worth."""
    of_an_event = {"key", "event", "points", "evidence", "per", "where", "when", "deputy", "date"}
    applied_on_reading = {"title", "category", "limits", "within"}
    assert set(Item.__dataclass_fields__) <= of_an_event | applied_on_reading
