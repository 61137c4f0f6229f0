"""Appeals: who may contest what, and that a correction stands above the facts of its row."""

from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from audit.arithmetic import gather, scores
from services.evaluation import appeals
from services.evaluation.appeals import Appeal, Context
from services.evaluation.domain import Identity, totals
from services.evaluation.replay import Replay
from services.evaluation.rubric import Adopted, Schedule
from shared.refusals import Refusal
from tests.unit.test_audit import ANNA, RUBRIC, event
from tests.unit.test_evaluation_domain import CASE, SHIPPED, closed, fact, points
from tests.unit.test_evaluation_rescore import by_the_rules, log

NOW = datetime(2022, 3, 1, tzinfo=UTC)
ROW = Identity("case-solved", UUID(ANNA), CASE)


def context(*, rows: bool = True, revision: int = 0, is_open: bool = False) -> Context:
    schedule = Schedule((Adopted(date(2021, 1, 1), SHIPPED),))
    return Context(
        schedule, {ROW: date(2021, 7, 25)} if rows else {}, {ROW: revision}, {ROW} if is_open else set()
    )


def appeal(**changes: Any) -> Appeal:
    plain: dict[str, Any] = {
        "id": UUID(int=1), "deputy_id": UUID(ANNA), "kind": "wrong", "item": "case-solved", "evidence": CASE,
        "happened_on": date(2021, 1, 1), "reason": "已解决", "state": "open", "filed_at": NOW,
    }  # fmt: skip
    return Appeal(**{**plain, **changes})


def old_row() -> Context:
    """A ledger with a row of an item that the rubric of its year does not have."""
    gone = Identity("gone", UUID(ANNA), "old")
    return replace(context(), rows={gone: date(2021, 7, 25)})


def test_an_appeal_about_a_row_takes_the_day_of_the_row() -> None:
    assert appeals.file(appeal(), context()).happened_on == date(2021, 7, 25)
    missing = appeal(kind="missing", happened_on=date(2021, 5, 1))
    assert appeals.file(missing, context(rows=False)).happened_on == date(2021, 5, 1)


@pytest.mark.parametrize(
    ("filed", "looked", "code"),
    [
        (appeal(), context(is_open=True), "appeal-open"),
        (appeal(), context(rows=False), "appeal-row-unknown"),
        (appeal(item="gone", evidence="old"), old_row(), "appeal-item-unknown"),
        (appeal(kind="missing", item="gone"), context(rows=False), "appeal-item-unknown"),
        (appeal(kind="missing", happened_on=date(2019, 1, 1)), context(rows=False), "appeal-item-unknown"),
        (appeal(kind="missing", happened_on=date(2023, 1, 1)), context(rows=False), "appeal-in-the-future"),
    ],
)
def test_an_appeal_about_nothing_is_refused(filed: Appeal, looked: Context, code: str) -> None:
    with pytest.raises(Refusal) as refused:
        appeals.file(filed, looked)
    assert refused.value.code == code


def test_a_row_is_contested_until_the_last_day_that_the_rubric_of_its_year_gives() -> None:
    schedule = Schedule((Adopted(date(2021, 1, 1), replace(SHIPPED, appeal_days=60)),))
    looked = replace(context(), schedule=schedule)
    last_moment = datetime(2022, 3, 1, 15, 59, 59, tzinfo=UTC)  # 23:59:59 in China
    assert appeals.file(appeal(filed_at=last_moment), looked).state == "open"
    with pytest.raises(Refusal) as refused:
        appeals.file(appeal(filed_at=last_moment + timedelta(seconds=1)), looked)
    assert (refused.value.code, "2022-03-01" in refused.value.detail) == ("appeal-too-late", True)
    missing = appeal(
        kind="missing", evidence="other", happened_on=date(2021, 12, 31), filed_at=last_moment + timedelta(1)
    )
    with pytest.raises(Refusal) as refused:
        appeals.file(missing, looked)
    assert refused.value.code == "appeal-too-late"


def test_what_happened_today_in_china_is_not_in_the_future() -> None:
    early = datetime(2021, 8, 1, 17, tzinfo=UTC)  # one in the morning of the second in China
    missing = appeal(kind="missing", evidence="other", happened_on=date(2021, 8, 2), filed_at=early)
    assert appeals.file(missing, context(rows=False)).happened_on == date(2021, 8, 2)


def decide(one: Appeal, looked: Context, **changes: Any) -> Appeal:
    plain: dict[str, Any] = {"upheld": True, "points": 150, "reason": "属实", "by": "staff", "at": NOW}
    return appeals.decide(one, **{**plain, **changes}, context=looked)


def test_an_upheld_appeal_is_the_next_correction_of_its_row_and_a_dismissed_one_is_none() -> None:
    assert (decide(appeal(), context()).revision, decide(appeal(), context(revision=2)).revision) == (1, 3)
    dismissed = decide(appeal(), context(), upheld=False, points=None)
    assert (dismissed.state, dismissed.points, dismissed.revision) == ("dismissed", None, None)


def test_staff_name_the_fact_of_a_missing_row_and_its_correction_stands_under_it() -> None:
    unnamed = appeal(kind="missing", evidence="appeal/1", happened_on=date(2021, 5, 1))
    found = decide(unnamed, context(rows=False, revision=2), evidence=CASE)
    assert (found.identity, found.revision, found.happened_on) == (ROW, 3, date(2021, 5, 1))
    there = decide(unnamed, context(), evidence=CASE)
    assert there.happened_on == date(2021, 7, 25), "the day of a row that is there is its own"
    assert decide(unnamed, context(rows=False, revision=2)).revision == 1, "unnamed, it is a row of its own"
    assert decide(unnamed, context(rows=False), evidence=CASE.upper()).identity == ROW


def test_a_correction_stands_on_the_day_that_its_row_has_by_then() -> None:
    filed = appeals.file(appeal(), context())
    moved = replace(context(), rows={ROW: date(2021, 9, 1)})
    assert decide(filed, moved).happened_on == date(2021, 9, 1)
    came = appeals.file(appeal(kind="missing", happened_on=date(2021, 5, 1)), context(rows=False))
    assert decide(came, moved).happened_on == date(2021, 9, 1), "the fact was recorded after all"
    assert decide(filed, moved, upheld=False, points=None).happened_on == date(2021, 7, 25)


def test_an_appeal_is_not_upheld_under_a_rubric_that_lacks_its_item_by_then() -> None:
    """The ledger would have a row of an item that nobody can name."""
    items = tuple(item for item in SHIPPED.items if item.key != "case-solved")
    other = Adopted(date(2022, 1, 1), replace(SHIPPED, version=2, items=items))
    schedule = Schedule((*context().schedule.adopted, other))
    moved = replace(context(), schedule=schedule, rows={ROW: date(2022, 1, 1)})
    filed = appeals.file(appeal(), context())
    with pytest.raises(Refusal) as refused:
        decide(filed, moved)
    assert refused.value.code == "appeal-item-unknown"
    assert decide(filed, moved, upheld=False, points=None).state == "dismissed"


@pytest.mark.parametrize(
    ("item", "evidence", "taken"),
    [
        ("case-solved", f"{CASE}/2021", False),
        ("course-completed", f"{CASE}/2021", True),
        ("course-completed", CASE, False),
        ("course-completed", f"{CASE}/2020", False),
        ("course-completed", "/2021", False),
    ],
)
def test_a_fact_is_named_as_its_item_names_facts_or_it_would_count_beside_itself(
    item: str, evidence: str, taken: bool
) -> None:
    one = appeal(kind="missing", item=item, evidence="appeal/1", happened_on=date(2021, 5, 1))
    if taken:
        assert decide(one, context(rows=False), evidence=evidence).evidence == evidence
        return
    with pytest.raises(Refusal) as refused:
        decide(one, context(rows=False), evidence=evidence)
    assert refused.value.code == "appeal-evidence-not-of-the-item"


@pytest.mark.parametrize(
    ("one", "changes", "code"),
    [
        (appeal(state="upheld"), {}, "appeal-closed"),
        (appeal(state="withdrawn"), {}, "appeal-closed"),
        (appeal(), {"points": None}, "appeal-points-wrong"),
        (appeal(), {"upheld": False}, "appeal-points-wrong"),
        (appeal(), {"points": 10**9}, "appeal-points-absurd"),
        (appeal(), {"evidence": "other"}, "appeal-evidence-not-asked"),
        (
            appeal(kind="missing"),
            {"upheld": False, "points": None, "evidence": "other"},
            "appeal-evidence-not-asked",
        ),
    ],
)
def test_a_decision_that_cannot_be_is_refused(one: Appeal, changes: dict[str, Any], code: str) -> None:
    with pytest.raises(Refusal) as refused:
        decide(one, context(), **changes)
    assert refused.value.code == code


def test_only_the_deputy_takes_an_appeal_back() -> None:
    assert appeals.withdraw(appeal(), UUID(ANNA)).state == "withdrawn"
    with pytest.raises(Refusal) as refused:
        appeals.withdraw(appeal(), UUID(int=77))
    assert refused.value.code == "appeal-unknown"


def corrected(number: int, revision: int, worth: int, **changes: Any) -> dict[str, Any]:
    data = {
        "item": "case-solved",
        "evidence": CASE,
        "happened_on": "2021-07-25",
        "points": worth,
        "revision": revision,
    }
    return event(number, "score.corrected", 2, **{**data, **changes})


def test_the_last_correction_stands_whatever_arrives_in_which_order() -> None:
    schedule = Schedule((Adopted(date(2021, 1, 1), SHIPPED),))
    facts = [
        closed("solved", 3, case_id=CASE),
        closed("explained", 9, case_id=CASE),
        *(fact("score.corrected", 2, **corrected(n, n, 100 * n)["data"]) for n in (1, 2)),
    ]
    for order in itertools.permutations(facts):
        assert points(*order, schedule=schedule) == {
            ("case-solved", 2021): 200,
            ("case-explained", 2021): 100,
        }


def test_rules_audit_and_replay_agree_on_corrections() -> None:
    events = [
        event(1, "case.closed", 3, case_id=CASE, result="solved"),
        corrected(2, 1, 50),
        corrected(3, 2, -75),
        corrected(4, 1, 300, evidence=str(UUID(int=9))),
        corrected(5, 1, 300, item="gone"),
        event(6, "case.closed", 10**15, case_id=CASE, result="solved"),
    ]
    ours = by_the_rules(SHIPPED, events)
    assert {item: sum(months.values()) for item, months in ours[UUID(ANNA)].items()} == {"case-solved": 225}
    with Replay(log(events)) as replay:
        assert replay.sums(SHIPPED, date(2021, 1, 1), date(2021, 12, 31)) == ours
    audited = scores(RUBRIC, gather(RUBRIC, events), 2021)[ANNA]
    assert audited.total == totals(SHIPPED, ours[UUID(ANNA)]).total == 225
