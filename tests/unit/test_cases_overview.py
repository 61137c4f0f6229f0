"""The overview: its parts add up to the whole, and overdue means that somebody still owes an answer."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cases.metrics import CaseRow
from services.cases.overview import Group, is_overdue, overview

NOW = datetime(2022, 3, 1, tzinfo=UTC)
rows = st.builds(
    CaseRow,
    state=st.sampled_from(["triage", "routed", "waiting", "answered", "closed", "withdrawn", "merged"]),
    merged=st.booleans(),
    answer_by=st.one_of(st.none(), st.sampled_from([NOW - timedelta(days=1), NOW, NOW + timedelta(days=1)])),
    waiting=st.none() | st.sampled_from([NOW - timedelta(days=2), NOW]),
    late=st.booleans(),
    result=st.sampled_from([None, "solved", "unsolved"]),
    stars=st.one_of(st.none(), st.integers(1, 5)),
    routed=st.booleans(),
)
groups = st.lists(
    st.builds(
        Group,
        place=st.sampled_from([None, "330203", "330205"]),
        period=st.sampled_from(["2022-01", "2022-02"]),
        row=rows,
        number=st.integers(1, 50),
    ),
    max_size=20,
)


@given(groups)
def test_places_and_periods_add_up_to_the_whole(found: list[Group]) -> None:
    told = overview(found, NOW)
    for parts in (told["places"], told["trend"]):
        for name in ("filed", "open", "overdue"):
            assert sum(part[name] for part in parts) == told["whole"][name]
        for key, figure in told["whole"]["figures"].items():
            for side in ("numerator", "denominator"):
                assert sum(part["figures"][key][side] for part in parts) == figure[side]
    assert told["whole"]["overdue"] <= told["whole"]["open"] <= told["whole"]["filed"]


def test_nothing_filed_has_no_rates() -> None:
    whole = overview([], NOW)["whole"]
    assert (whole["filed"], {one["ratio"] for one in whole["figures"].values()}) == (0, {None})


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, True),
        ({"answer_by": NOW}, False),
        ({"answer_by": None}, False),
        ({"state": "waiting", "waiting": NOW - timedelta(days=2)}, False),  # it was asked in time
        ({"state": "waiting", "waiting": NOW}, True),  # it was overdue when it was asked
        ({"state": "in-progress"}, True),
        ({"state": "answered"}, False),
        ({"state": "closed"}, False),
    ],
)
def test_overdue_is_what_somebody_still_owes_after_its_deadline(
    changed: dict[str, object], expected: bool
) -> None:
    row = CaseRow(state="accepted", answer_by=NOW - timedelta(seconds=1))
    assert is_overdue(replace(row, **changed), NOW) is expected  # type: ignore[arg-type]
