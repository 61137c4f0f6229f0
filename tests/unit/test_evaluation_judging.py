"""Ranks within peer groups, who is not ranked, who is chosen, and how ballots are read."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.evaluation.judging import Candidate, band, judge
from services.evaluation.rubric import Eligibility, Selection
from tests.unit.test_evaluation_domain import SHIPPED

HALF = replace(SHIPPED, selection=Selection(50))


def one(number: int, total: int, level: str = "county", state: str = "active") -> Candidate:
    return Candidate(UUID(int=number), str(number), level, "330203", None, state, total)


def test_deputies_are_ranked_among_their_peers_and_equal_totals_share_a_rank() -> None:
    found = judge(SHIPPED, [one(1, 6000), one(2, 3000), one(3, 6000), one(4, 100, "city")])
    assert {j.candidate.number: (j.rank, j.grade.key if j.grade else None) for j in found} == {
        "1": (1, "excellent"),
        "3": (1, "excellent"),
        "2": (3, "good"),
        "4": (1, "low"),
    }


def test_who_is_not_eligible_has_no_rank_and_a_reason() -> None:
    rubric = replace(SHIPPED, eligibility=Eligibility(excluded={"2": "省外挂职"}))
    found = {
        j.candidate.number: j for j in judge(rubric, [one(1, 1), one(2, 9), one(3, 9, state="suspended")])
    }
    assert [(found[n].rank, found[n].reason) for n in "123"] == [
        (1, None),
        (None, "省外挂职"),
        (None, "suspended"),
    ]


def test_outstanding_are_the_first_of_the_quota_and_leaders_are_passed_over() -> None:
    rubric = replace(SHIPPED, selection=Selection(50, "good", {"1": "常委会成员"}))
    found = {j.candidate.number: j for j in judge(rubric, [one(n, 9000 - 1000 * n) for n in range(1, 9)])}
    assert [n for n, j in found.items() if j.outstanding] == ["2", "3", "4", "5"]
    assert (found["1"].rank, found["1"].reason) == (1, "常委会成员")
    few = judge(rubric, [one(n, 3100 - 100 * n) for n in range(1, 9)])
    assert not any(j.outstanding for j in few)


def test_who_shares_the_last_place_is_left_to_staff() -> None:
    found = {j.candidate.number: j for j in judge(HALF, [one(1, 9), one(2, 5), one(3, 5), one(4, 1)])}
    assert [(found[n].outstanding, found[n].tied) for n in "1234"] == [
        (True, False), (False, True), (False, True), (False, False),
    ]  # fmt: skip


@given(st.lists(st.integers(0, 5), max_size=12), st.integers(1, 100))
def test_never_more_are_chosen_than_the_quota_has_places(points: list[int], percent: int) -> None:
    rubric = replace(SHIPPED, selection=Selection(percent))
    found = judge(rubric, [one(number, total) for number, total in enumerate(points)])
    chosen = [j.candidate.total for j in found if j.outstanding]
    quota = len(points) * percent // 100
    assert len(chosen) <= quota
    left = [j.candidate.total for j in found if not j.outstanding]
    assert not chosen or not left or min(chosen) > max(left)
    assert not any(j.outstanding and j.tied for j in found)
    assert len(chosen) + sum(j.tied for j in found) >= min(quota, len(points))


@pytest.mark.parametrize(
    ("approving", "ballots", "key"),
    [(80, 100, "competent"), (79, 100, "basic"), (1, 2, "basic"), (499, 1000, "not-competent"), (0, 0, None)],
)
def test_ballots_are_read_by_the_bands_of_the_rubric(approving: int, ballots: int, key: str | None) -> None:
    assert SHIPPED.review is not None
    found = band(SHIPPED.review, approving, ballots)
    assert (found.key if found else None) == key


def test_more_approving_votes_than_ballots_are_an_error() -> None:
    assert SHIPPED.review is not None
    with pytest.raises(ValueError, match="between"):
        band(SHIPPED.review, 3, 2)
