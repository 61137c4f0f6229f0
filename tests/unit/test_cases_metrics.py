"""Honest figures: overdue open ones count, closed is not solved is not satisfied, nothing is left out unnamed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.local.runfolder import CHECKOUT
from services.cases import metrics, metrics_page
from services.cases.metrics import METRICS, CaseRow, Figure, Metric, measure

NOW = datetime(2022, 6, 1, tzinfo=UTC)
PAST, FUTURE = NOW - timedelta(days=10), NOW + timedelta(days=10)
REGISTERED = {metric.key: metric for metric in METRICS}


def of_cases(key: str, *rows: CaseRow) -> Figure:
    return measure(REGISTERED[key], rows, NOW)


def routed(state: str = "accepted", **more: object) -> CaseRow:
    return CaseRow(**{"state": state, "routed": True, "accepted": True, "answer_by": PAST, **more})  # type: ignore[arg-type]


def test_an_open_overdue_case_counts_against_being_on_time() -> None:
    found = of_cases(
        "cases-answered-on-time",
        routed("closed", on_time=True),
        routed("answered", on_time=False),
        routed(),  # overdue, and nobody answers
        routed(answer_by=NOW),  # due this very moment, so not overdue yet
        routed(answer_by=FUTURE),
        routed(waiting=PAST - timedelta(days=1)),
        CaseRow("triage"),
        routed("withdrawn"),
        routed("merged", merged=True),
        routed("closed", merged=True, on_time=True),
    )
    assert (found.numerator, found.denominator) == (1, 3)
    assert found.excluded == {"not-due": 2, "waiting": 1, "not-routed": 1, "withdrawn": 1, "merged": 2}


def test_what_was_late_once_stays_late_and_what_was_returned_says_so() -> None:
    found = of_cases(
        "cases-answered-on-time",
        routed("waiting", waiting=PAST + timedelta(days=1)),  # overdue when the filer was asked
        routed(answer_by=FUTURE, late=True),  # transferred when it was overdue
        routed("closed", on_time=True, late=True),  # answered late, reopened, answered in time
        CaseRow("triage", routed=True, late=True),
        CaseRow("triage", routed=True),
        CaseRow("triage"),
    )
    assert (found.numerator, found.denominator) == (0, 4)
    assert found.excluded == {"returned": 1, "not-routed": 1}


def test_a_department_that_answers_one_and_leaves_nine_overdue_is_not_on_time_in_all() -> None:
    found = of_cases("cases-answered-on-time", routed("closed", on_time=True), *[routed()] * 9)
    assert found.ratio == pytest.approx(0.1)


def test_closed_and_solved_and_satisfied_are_three_figures() -> None:
    rows = (
        routed("closed", on_time=True, result="solved", stars=5),
        routed("closed", on_time=True, result="solved", stars=3),
        routed("closed", on_time=True, result="explained", stars=4),
        routed("closed", on_time=True, result="unsolved"),
        routed("closed", on_time=True, result="solved", by_staff=True),
        routed("answered", on_time=True, result="solved", stars=5),
        routed("withdrawn"),
    )
    closed, solved, satisfied = (
        of_cases(key, *rows) for key in ("cases-closed", "cases-solved", "cases-satisfied")
    )
    assert (closed.numerator, closed.denominator, closed.excluded) == (5, 6, {"withdrawn": 1})
    assert (solved.numerator, solved.denominator) == (3, 5)
    assert solved.excluded == {"not-closed": 1, "withdrawn": 1}
    assert (satisfied.numerator, satisfied.denominator) == (2, 3)
    assert satisfied.excluded == {"not-rated": 1, "nobody-rates": 1, "not-closed": 1, "withdrawn": 1}


def test_routed_right_the_first_time_waits_until_the_department_has_accepted() -> None:
    found = of_cases(
        "cases-routed-right-first",
        routed("closed"),
        routed("withdrawn"),  # it was accepted before: the routing was right
        routed("routed", accepted=False),  # it may still come back
        routed("closed", moved=1),  # accepted in the end, elsewhere
        CaseRow("triage", routed=True, moved=1),
        CaseRow("triage"),
        routed(merged=True),
    )
    assert (found.numerator, found.denominator) == (2, 4)
    assert found.excluded == {"not-accepted": 1, "not-routed": 1, "merged": 1}


def test_a_reopened_case_counts_however_it_stands_now() -> None:
    found = of_cases(
        "cases-reopened",
        routed("closed", on_time=True),
        routed("closed", on_time=True, reopened=2),
        routed("routed", reopened=1),
        routed(),
        routed("withdrawn", reopened=1),
    )
    assert (found.numerator, found.denominator) == (2, 3)
    assert found.excluded == {"not-answered": 1, "withdrawn": 1}


def test_where_nothing_is_counted_there_is_no_rate() -> None:
    assert of_cases("cases-solved").ratio is None
    assert of_cases("cases-solved", CaseRow("triage")).ratio is None


def test_figures_of_two_metrics_do_not_add_up() -> None:
    with pytest.raises(ValueError, match="do not add up"):
        of_cases("cases-solved") + of_cases("cases-closed")


moments = st.none() | st.sampled_from((PAST, NOW, FUTURE))
case_rows = st.builds(
    CaseRow,
    state=st.sampled_from(
        ("submitted", "triage", "routed", "accepted", "answered", "closed", "withdrawn", "merged", "declined")
    ),
    merged=st.booleans(),
    answer_by=moments,
    waiting=moments,
    late=st.booleans(),
    on_time=st.none() | st.booleans(),
    result=st.sampled_from((None, "solved", "explained", "unsolved")),
    stars=st.none() | st.integers(1, 5),
    routed=st.booleans(),
    accepted=st.booleans(),
    moved=st.integers(0, 3),
    reopened=st.integers(0, 2),
    by_staff=st.booleans(),
)


@given(st.sampled_from(METRICS), st.lists(case_rows, max_size=30), st.integers(0, 30))
def test_no_case_is_left_out_without_a_named_reason_and_parts_add_up(
    metric: Metric, rows: list[CaseRow], cut: int
) -> None:
    found = measure(metric, rows, NOW)
    assert 0 <= found.numerator <= found.denominator
    # Every row stands in exactly one place, and what is left out is left out for a reason of the registry.
    assert found.denominator + sum(found.excluded.values()) == len(rows)
    assert set(found.excluded) <= set(metric.exclusions)
    assert (found.ratio is None) == (found.denominator == 0)
    parts = measure(metric, rows[:cut], NOW) + measure(metric, rows[cut:], NOW)
    assert parts == found


@given(st.lists(case_rows, max_size=30))
def test_waiting_alone_never_makes_a_department_look_better(rows: list[CaseRow]) -> None:
    metric = REGISTERED["cases-answered-on-time"]
    today, later = measure(metric, rows, NOW), measure(metric, rows, FUTURE + timedelta(days=1))
    assert later.numerator == today.numerator
    assert later.denominator >= today.denominator


def test_the_registry_names_each_metric_once_and_uses_every_reason() -> None:
    assert len(REGISTERED) == len(METRICS)
    assert {reason for metric in METRICS for reason in metric.exclusions} == set(metrics.REASONS)


def test_the_document_is_current() -> None:
    written = Path(CHECKOUT, "docs", "metrics.md").read_text("utf-8")
    assert written == metrics_page.document(), "run: python -m services.cases.metrics_page docs/metrics.md"
