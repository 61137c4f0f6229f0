"""The scoring rules: a score is a pure function of the set of events."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, UUID, uuid5

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from services.evaluation.domain import (
    AbsurdAmount,
    Bucket,
    Fact,
    Identity,
    LedgerEntry,
    Sums,
    buckets,
    chances,
    entries,
    explain,
    month_of,
    newer,
    newest,
    sums_of,
    term_total,
    totals,
)
from services.evaluation.rubric import (
    YEAR,
    Adopted,
    Category,
    Condition,
    Item,
    Limits,
    Rubric,
    Schedule,
    Term,
    Window,
    adopt,
)
from services.evaluation.rubric_file import read_rubric
from shared.refusals import Refusal

ANNA, BO = UUID(int=0xA), UUID(int=0xB)
CASE, COURSE, DUTY = (str(UUID(int=n)) for n in (1, 2, 3))
JULY = month_of(date(2021, 7, 25))
_NUMBERS = itertools.count(1000)

SOLVED = Condition("result", frozenset({"solved"}))
RUBRIC = Rubric(
    name="test",
    version=1,
    title="试行",
    base=1000,
    categories=(Category("supervision", "督事", Limits(cap=500, floor=-300)), Category("duties", "履职")),
    items=(
        Item("solved", "解决", "supervision", "case.closed", 200, ("case_id",), when=(SOLVED,)),
        Item("explained", "说明", "supervision", "case.closed", 100, ("case_id",), when=(Condition("result", frozenset({"explained"})),)),
        Item("unsolved", "未解决", "supervision", "case.closed", -150, ("case_id",), when=(Condition("result", frozenset({"unsolved"})),), limits=Limits(floor=-300)),
        Item("inspection", "视察", "duties", "duty.logged", 300, ("duty_id",), where=(Condition("kind", frozenset({"inspection"})),), when=(Condition("state", frozenset({"confirmed"})),), date="happened_on", limits=Limits(cap=600)),
        Item("course", "课程", "duties", "course.completed", 50, ("course_id", YEAR)),
        Item("minutes", "分钟", "duties", "course.completed", 1, ("course_id", YEAR), per="minutes"),
        Item("distinction", "优秀", "duties", "course.completed", 25, ("course_id", YEAR), when=(Condition("mark", at_least=90, at_most=100),)),
    ),
    limits=Limits(cap=2000, floor=0),
)  # fmt: skip
SCHEDULE = Schedule((Adopted(date(2021, 1, 1), RUBRIC),))


def fact(type_: str, sequence: int = 1, *, at: str = "2021-07-25T10:00:00+08:00", **data: Any) -> Fact:
    return Fact(
        UUID(int=next(_NUMBERS)),
        type_,
        datetime.fromisoformat(at),
        {"deputy_id": str(ANNA), **data},
        sequence,
    )


def closed(result: str, sequence: int = 1, **more: Any) -> Fact:
    return fact("case.closed", sequence, **{"case_id": CASE, "result": result, **more})


def duty(state: str, sequence: int, **more: Any) -> Fact:
    plain = {"duty_id": DUTY, "kind": "inspection", "state": state, "happened_on": "2021-07-20"}
    return fact("duty.logged", sequence, **{**plain, **more})


def course(**more: Any) -> Fact:
    return fact("course.completed", **{"course_id": COURSE, "minutes": 30, "mark": 80, **more})


def ledger(*facts: Fact, schedule: Schedule = SCHEDULE) -> list[LedgerEntry]:
    return [row for one in facts for row in entries(schedule, one)]


def points(*facts: Fact, schedule: Schedule = SCHEDULE) -> dict[tuple[str, int], int]:
    return {(b.item, b.year): p for b, p in buckets(ledger(*facts, schedule=schedule)).items()}


def july(**sums: int) -> Sums:
    """Sums that were all earned in one month."""
    return {item.replace("_", "-"): {JULY: earned} for item, earned in sums.items()}


def test_a_case_closed_as_solved_earns_its_points_for_its_deputy_in_its_year() -> None:
    assert buckets(ledger(closed("solved"))) == {Bucket(ANNA, JULY, "solved"): 200}


def test_a_case_reopened_and_closed_as_explained_gives_the_first_points_back() -> None:
    first, second = closed("solved", 5), closed("explained", 8)
    assert points(first, second) == points(second, first) == {("explained", 2021): 100}


def test_a_confirmed_duty_that_is_withdrawn_counts_nothing_whatever_arrives_first() -> None:
    states = [duty("declared", 1), duty("confirmed", 2), duty("withdrawn", 3)]
    assert points(*states[:2]) == {("inspection", 2021): 300}
    assert all(points(*order) == {} for order in itertools.permutations(states))


def test_a_declared_duty_counts_only_when_it_is_confirmed() -> None:
    assert points(duty("declared", 1)) == {}


def test_an_item_leaves_alone_what_its_where_does_not_name() -> None:
    assert ledger(duty("confirmed", 2, kind="research")) == []


def test_a_course_counts_once_a_year_and_again_in_the_next() -> None:
    twice = [course(), course(at="2021-09-01T00:00:00+08:00")]
    assert points(*twice) == {("course", 2021): 50, ("minutes", 2021): 30}
    assert points(*twice, course(at="2022-02-01T00:00:00+08:00"))[("course", 2022)] == 50


def test_the_newer_version_of_a_fact_brings_its_own_figures() -> None:
    assert points(course(sequence=1, minutes=30), course(sequence=2, minutes=45))[("minutes", 2021)] == 45


def test_without_a_sequence_the_later_event_id_counts() -> None:
    one, two = course(sequence=0, minutes=10), course(sequence=0, minutes=20)
    assert points(two, one) == points(one, two) == {("course", 2021): 50, ("minutes", 2021): 20}


@pytest.mark.parametrize(("mark", "counts"), [(89, False), (90, True), (100, True), (101, False)])
def test_a_range_includes_both_its_ends(mark: int, counts: bool) -> None:
    assert (("distinction", 2021) in points(course(mark=mark))) is counts


def test_an_empty_field_meets_no_condition() -> None:
    assert not Condition("stars", at_least=0).holds({"stars": None})
    assert not Condition("result", frozenset({"solved"})).holds({})


@pytest.mark.parametrize(
    ("at", "year"),
    [
        ("2021-12-31T15:59:59+00:00", 2021),
        ("2021-12-31T16:00:00+00:00", 2022),
        ("2022-01-01T00:30:00+09:00", 2021),
    ],
)
def test_the_year_begins_at_midnight_in_china(at: str, year: int) -> None:
    assert points(closed("solved", at=at)) == {("solved", year): 200}


def test_a_duty_counts_in_the_year_it_happened_not_when_it_was_confirmed() -> None:
    late = duty("confirmed", 2, happened_on="2021-12-31", at="2022-01-20T09:00:00+08:00")
    assert points(late) == {("inspection", 2021): 300}


def test_a_fact_that_moves_to_another_year_leaves_nothing_behind() -> None:
    moved = [
        closed("solved", 3, at="2021-12-30T09:00:00+08:00"),
        closed("solved", 7, at="2022-01-05T09:00:00+08:00"),
    ]
    assert points(*moved) == {("solved", 2022): 200}


def test_a_case_is_the_fact_of_one_deputy_each() -> None:
    assert buckets(ledger(closed("solved"), closed("solved", 2, deputy_id=str(BO)))) == {
        Bucket(ANNA, JULY, "solved"): 200,
        Bucket(BO, JULY, "solved"): 200,
    }


def test_an_event_that_no_item_looks_at_makes_no_row() -> None:
    assert ledger(fact("course.published")) == []


def test_a_ledger_row_names_its_event_evidence_rubric_and_day() -> None:
    one = closed("solved", 4)
    row = next(row for row in ledger(one) if row.points)
    assert (row.event_id, row.identity, row.sequence) == (one.id, Identity("solved", ANNA, CASE), 4)
    assert (row.rubric, row.rubric_version, row.happened_on) == ("test", 1, date(2021, 7, 25))


def test_an_absurd_amount_is_an_error_and_not_a_score() -> None:
    with pytest.raises(AbsurdAmount, match="minutes"):
        entries(SCHEDULE, course(minutes=10**12))
    with pytest.raises(AbsurdAmount):
        entries(SCHEDULE, course(minutes=-(10**12)))


def test_totals_limit_the_item_then_its_category_then_all() -> None:
    found = totals(RUBRIC, july(inspection=900, solved=700, course=400))
    assert (found.items["inspection"], found.items["solved"]) == (600, 700)
    assert found.categories == {"supervision": 500, "duties": 1000}
    assert found.total == 2000


def test_a_sum_below_a_cap_counts_negative_points_before_the_cap() -> None:
    # 700 earned and 300 lost are 400, not 500 less 300.
    assert totals(RUBRIC, july(solved=700, unsolved=-300)).categories["supervision"] == 400


def test_floors_hold_negative_points() -> None:
    found = totals(RUBRIC, july(unsolved=-1500))
    assert (found.items["unsolved"], found.categories["supervision"], found.total) == (-300, -300, 700)


def test_a_deputy_without_facts_has_the_base() -> None:
    assert totals(RUBRIC, {}).total == 1000


def test_points_of_an_item_that_the_rubric_lacks_are_an_error_and_a_zero_is_none() -> None:
    assert totals(RUBRIC, july(gone=0)).total == 1000
    with pytest.raises(KeyError):
        totals(RUBRIC, july(gone=1))


# --- any order, any batching, repeats, late and superseding events ---------------------------------

_facts = st.lists(
    st.builds(
        lambda type_, sequence, deputy, evidence, day, result, state, minutes: Fact(
            # One id is one event: everything that tells two events apart is in it.
            uuid5(NAMESPACE_OID, repr((type_, sequence, deputy, evidence, day, result, state, minutes))),
            type_,
            datetime(2021, 12, 28, 12, tzinfo=UTC) + timedelta(days=day),
            {
                "deputy_id": str(UUID(int=deputy)),
                "case_id": str(UUID(int=evidence)),
                "course_id": str(UUID(int=evidence)),
                "duty_id": str(UUID(int=evidence)),
                "kind": "inspection",
                "result": result,
                "state": state,
                "minutes": minutes,
                "mark": minutes,
                "happened_on": str(date(2021, 12, 28) + timedelta(days=day)),
            },
            sequence,
        ),
        st.sampled_from(["case.closed", "duty.logged", "course.completed"]),
        st.integers(0, 4),
        st.integers(1, 2),
        st.integers(1, 3),
        st.integers(0, 7),
        st.sampled_from(["solved", "explained", "unsolved"]),
        st.sampled_from(["declared", "confirmed", "rejected", "withdrawn"]),
        st.integers(0, 100),
    ),
    max_size=25,
)


def _arrive(facts: Sequence[Fact], sizes: Iterable[int]) -> dict[Bucket, int]:
    """The ledger as the store keeps it: batch by batch, buckets changed by old value to new value."""
    held: dict[Identity, LedgerEntry] = {}
    sums: dict[Bucket, int] = {}
    rest = list(facts)
    for size in itertools.chain(sizes, itertools.repeat(7)):
        if not rest:
            return {bucket: points for bucket, points in sums.items() if points}
        batch, rest = rest[:size], rest[size:]
        for identity, row in newest(r for one in batch for r in entries(SCHEDULE, one)).items():
            old = held.get(identity)
            if old is not None and not newer(row, old):
                continue
            for sign, version in ((-1, old), (1, row)):
                if version is not None:
                    bucket = Bucket(identity.deputy_id, month_of(version.happened_on), identity.item)
                    sums[bucket] = sums.get(bucket, 0) + sign * version.points
            held[identity] = row
    raise AssertionError("unreachable")


@given(facts=_facts, data=st.data())
@example(facts=[], data=None)
def test_a_score_is_a_function_of_the_set_of_events(facts: list[Fact], data: st.DataObject | None) -> None:
    expected = buckets(row for one in facts for row in entries(SCHEDULE, one))
    if data is None:
        assert expected == {}
        return
    repeated = facts + data.draw(st.lists(st.sampled_from(facts), max_size=8)) if facts else facts
    arriving = data.draw(st.permutations(repeated))
    sizes = data.draw(st.lists(st.integers(1, 9), max_size=10))
    found = _arrive(arriving, sizes)
    assert found == expected
    for year, deputy in {(b.year, b.deputy_id) for b in expected}:
        by_item: dict[str, dict[int, int]] = {}
        for b, p in found.items():
            if (b.year, b.deputy_id) == (year, deputy):
                by_item.setdefault(b.item, {})[b.month] = p
        assert -(10**6) < totals(RUBRIC, by_item).total <= 2000


@given(facts=_facts)
def test_every_point_of_a_bucket_leads_to_the_newest_event_of_its_fact(facts: list[Fact]) -> None:
    rows = [row for one in facts for row in entries(SCHEDULE, one)]
    for identity, row in newest(rows).items():
        rivals = [r for r in rows if r.identity == identity]
        assert (row.sequence, row.event_id) == max((r.sequence, r.event_id) for r in rivals)


# --- windows, and explanations that add up ----------------------------------------------------------

TIGHT = Rubric(
    name="tight",
    version=1,
    title="紧",
    base=300,
    categories=(Category("supervision", "督事", Limits(cap=900), {Window.HALF_YEAR: Limits(cap=700, floor=-200)}), Category("duties", "履职")),
    items=(
        Item("solved", "解决", "supervision", "case.closed", 200, ("case_id",), when=(SOLVED,), within={Window.MONTH: Limits(cap=300), Window.QUARTER: Limits(cap=500)}),
        Item("unsolved", "未解决", "supervision", "case.closed", -150, ("case_id",), when=(Condition("result", frozenset({"unsolved"})),), within={Window.QUARTER: Limits(floor=-300)}),
        Item("minutes", "分钟", "duties", "course.completed", 1, ("course_id", YEAR), per="minutes", limits=Limits(cap=120), within={Window.MONTH: Limits(cap=60)}),
    ),
    limits=Limits(cap=1000, floor=250),
    term=Term(2021, 5),
)  # fmt: skip


def months(**sums: Mapping[int, int]) -> Sums:
    """Sums by calendar month of 2021."""
    return {item: {2021 * 12 + month - 1: p for month, p in by.items()} for item, by in sums.items()}


def test_a_cap_of_a_month_holds_in_each_month_and_that_of_the_quarter_over_them() -> None:
    found = totals(TIGHT, months(solved={1: 400, 2: 100, 3: 400, 4: 400}))
    assert found.items["solved"] == 500 + 300
    assert found.categories["supervision"] == 700
    assert totals(TIGHT, months(solved={1: 600, 4: 600, 7: 600})).categories["supervision"] == 600 + 300


def test_a_cap_of_the_half_year_and_the_year_hold_together() -> None:
    full = months(solved=dict.fromkeys(range(1, 13), 600))
    assert totals(TIGHT, full).items["solved"] == 4 * 500
    assert totals(TIGHT, full).categories["supervision"] == 900
    assert totals(TIGHT, full).total == 1000


def test_a_floor_of_a_quarter_holds_negative_points_quarter_by_quarter() -> None:
    found = totals(TIGHT, months(unsolved={1: -450, 2: -150, 7: -150}))
    assert (found.items["unsolved"], found.categories["supervision"], found.total) == (-450, -350, 250)


def test_the_base_of_a_term_counts_in_each_of_its_years_and_its_limits_hold_over_them() -> None:
    termed = replace(TIGHT, limits=Limits(), within={Window.TERM: Limits(cap=1500)})
    sums = {"solved": {2021 * 12: 300, 2022 * 12: 300, 2023 * 12: 300}}
    assert term_total(termed, sums, range(2021, 2024)).total == 1500
    assert totals(termed, {"solved": {2021 * 12: 300}}).total == 600
    assert term_total(termed, {}, range(2021, 2024)).total == 900


def test_terms_follow_each_other() -> None:
    assert [Term(2022, 5).begin(year) for year in (2017, 2021, 2022, 2026, 2027)] == [
        2017,
        2017,
        2022,
        2022,
        2027,
    ]


def _newest_of(deputy: UUID, facts: Iterable[Fact], rubric: Rubric) -> list[LedgerEntry]:
    schedule = Schedule((Adopted(date(2021, 1, 1), rubric),))
    rows = newest(row for one in facts for row in entries(schedule, one)).values()
    return [row for row in rows if row.identity.deputy_id == deputy]


@pytest.mark.parametrize("rubric", [RUBRIC, TIGHT], ids=lambda rubric: rubric.name)
@given(facts=_facts, data=st.data())
def test_an_explanation_adds_up_to_the_total_whatever_the_order_of_arrival(
    rubric: Rubric, facts: list[Fact], data: st.DataObject
) -> None:
    for deputy in (UUID(int=1), UUID(int=2)):
        rows = _newest_of(deputy, facts, rubric)
        for year in (2021, 2022):
            of_year = [row for row in rows if row.year == year]
            found = explain(rubric, rows, year)
            assert found.total == totals(rubric, sums_of(of_year))
            assert found.begins + sum(line.counts for line in found.lines) == found.total.total
            for line in found.lines:
                assert line.entry.points - sum(cut.points for cut in line.cuts) == line.counts
            assert [line.entry for line in found.lines] == sorted(
                (row for row in of_year if row.points),
                key=lambda row: (row.time, row.event_id, row.identity.item, row.identity.evidence),
            )
            assert explain(rubric, data.draw(st.permutations(rows)), year) == found


@given(facts=_facts, data=st.data())
def test_in_windows_and_under_caps_a_score_is_a_function_of_the_set_of_events(
    facts: list[Fact], data: st.DataObject
) -> None:
    repeated = facts + data.draw(st.lists(st.sampled_from(facts), max_size=8)) if facts else facts
    arriving = data.draw(st.permutations(repeated))
    for deputy in (UUID(int=1), UUID(int=2)):
        for year in (2021, 2022):
            one, other = (explain(TIGHT, _newest_of(deputy, some, TIGHT), year) for some in (facts, arriving))
            assert one == other


def test_what_a_cap_took_is_told_with_its_limit_in_the_order_of_the_facts() -> None:
    facts = [
        fact("case.closed", case_id=str(UUID(int=n)), result="solved", at=f"2021-01-0{9 - n}T10:00:00+08:00")
        for n in (1, 2, 3)
    ]
    found = explain(TIGHT, _newest_of(ANNA, facts, TIGHT), 2021)
    assert [(line.entry.identity.evidence[-1], line.counts) for line in found.lines] == [
        ("3", 200),
        ("2", 100),
        ("1", 0),
    ]
    assert [[(cut.rung.window, cut.by_cap, cut.points) for cut in line.cuts] for line in found.lines] == [
        [],
        [(Window.MONTH, True, 100)],
        [(Window.MONTH, True, 200)],
    ]


def test_negative_points_at_a_cap_are_met_by_what_lies_above_it() -> None:
    capped = replace(TIGHT, limits=Limits(cap=500))
    facts = [
        fact("case.closed", case_id=str(UUID(int=1)), result="solved", at="2021-01-01T10:00:00+08:00"),
        fact("case.closed", case_id=str(UUID(int=2)), result="solved", at="2021-05-01T10:00:00+08:00"),
        fact("case.closed", case_id=str(UUID(int=3)), result="unsolved", at="2021-06-01T10:00:00+08:00"),
    ]
    found = explain(capped, _newest_of(ANNA, facts, capped), 2021)
    assert [line.counts for line in found.lines] == [200, 0, 0]
    assert [(cut.rung.part, cut.by_cap, cut.points) for cut in found.lines[2].cuts] == [("total", True, -150)]


def test_what_would_raise_a_score_is_worth_what_it_then_adds() -> None:
    sums = months(solved={7: 200})
    found = {chance.item.key: (chance.adds, chance.room) for chance in chances(TIGHT, sums, JULY)}
    assert found == {"solved": (100, 100), "minutes": (1, 60)}
    for key, (adds, room) in found.items():
        for points, gain in ((adds, adds), (room, room), (10**6, room)):
            more = {**sums, key: {**sums.get(key, {}), JULY: sums.get(key, {}).get(JULY, 0) + points}}
            assert totals(TIGHT, more).total - totals(TIGHT, sums).total == gain


# --- rubrics over time ---------------------------------------------------------------------------


def _next_rubric(**changes: Any) -> Rubric:
    plain: dict[str, Any] = {
        "name": "test", "version": 2, "title": "正式",
        "categories": (Category("supervision", "督事"),),
        "items": (Item("solved", "解决", "supervision", "case.closed", 400, ("case_id",), when=(SOLVED,)),),
    }  # fmt: skip
    return Rubric(**{**plain, **changes})


def test_an_event_is_worth_what_the_rubric_of_its_own_day_says() -> None:
    schedule = adopt(SCHEDULE, Adopted(date(2022, 1, 1), _next_rubric()), last_scored_year=2021)
    old, new = closed("solved", case_id=DUTY), closed("solved", at="2022-01-01T00:00:00+08:00")
    assert points(new, old, schedule=schedule) == {("solved", 2021): 200, ("solved", 2022): 400}


def test_a_fact_that_moves_under_a_rubric_without_its_item_leaves_nothing_behind() -> None:
    schedule = adopt(SCHEDULE, Adopted(date(2022, 1, 1), _next_rubric()), last_scored_year=2021)
    moved = [closed("explained", 3), closed("explained", 9, at="2022-03-01T00:00:00+08:00")]
    assert points(*moved, schedule=schedule) == {}


def test_a_fact_from_before_the_first_rubric_is_kept_and_worth_nothing() -> None:
    rows = ledger(closed("solved", at="2020-05-01T00:00:00+08:00"))
    assert rows
    assert not any(row.points for row in rows)


def test_a_higher_version_for_the_same_day_replaces_the_one_before() -> None:
    schedule = adopt(SCHEDULE, Adopted(date(2021, 1, 1), _next_rubric()), last_scored_year=None)
    assert schedule.in_year(2021) == _next_rubric()
    assert points(closed("solved"), schedule=schedule) == {("solved", 2021): 400}


@pytest.mark.parametrize(
    ("begin", "rubric", "last", "code"),
    [
        (date(2022, 7, 1), _next_rubric(), 2021, "rubric-not-from-new-year"),
        (date(2021, 1, 1), _next_rubric(), 2021, "rubric-touches-scored-period"),
        (date(2022, 1, 1), _next_rubric(), 2023, "rubric-touches-scored-period"),
        (date(2022, 1, 1), _next_rubric(version=1), 2021, "rubric-version-taken"),
        (date(2021, 1, 1), _next_rubric(name="other"), None, "rubric-date-taken"),
        (
            date(2022, 1, 1),
            _next_rubric(items=(Item("solved", "解决", "supervision", "case.rated", 400, ("case_id",)),)),
            2021,
            "rubric-item-redefined",
        ),
        (
            date(2022, 1, 1),
            _next_rubric(items=(Item("course", "课", "supervision", "course.completed", 4, ("course_id",)),)),
            2021,
            "rubric-item-redefined",
        ),
        (
            date(2023, 1, 1),
            _next_rubric(effective_from=date(2022, 1, 1), effective_until=date(2022, 12, 31)),
            2021,
            "rubric-outside-its-dates",
        ),
    ],
)
def test_a_rubric_that_would_change_what_is_scored_is_refused(
    begin: date, rubric: Rubric, last: int | None, code: str
) -> None:
    with pytest.raises(Refusal) as refused:
        adopt(SCHEDULE, Adopted(begin, rubric), last_scored_year=last)
    assert refused.value.code == code


def test_until_its_first_event_a_year_gets_the_corrected_version_of_its_rubric_and_never_after() -> None:
    wrong, right, late = (_next_rubric(version=version, base=version) for version in (2, 3, 4))
    begin = date(2022, 1, 1)
    schedule = adopt(SCHEDULE, Adopted(begin, wrong), last_scored_year=2021)
    schedule = adopt(schedule, Adopted(begin, right), last_scored_year=2021)
    assert [schedule.in_year(year) for year in (2021, 2022)] == [RUBRIC, right]
    with pytest.raises(Refusal) as refused:
        adopt(schedule, Adopted(begin, late), last_scored_year=2022)
    assert refused.value.code == "rubric-touches-scored-period"
    assert "2023-01-01" in refused.value.detail
    schedule = adopt(schedule, Adopted(date(2023, 1, 1), late), last_scored_year=2022)
    assert [schedule.in_year(year) for year in (2022, 2023)] == [right, late]


def test_a_rubric_counts_until_its_own_last_day_and_another_waits_for_it() -> None:
    bounded = _next_rubric(effective_from=date(2022, 1, 1), effective_until=date(2023, 12, 31))
    schedule = adopt(SCHEDULE, Adopted(date(2022, 1, 1), bounded), last_scored_year=2021)
    assert [schedule.in_year(year) for year in (2021, 2022, 2023, 2024)] == [RUBRIC, bounded, bounded, None]
    other = _next_rubric(name="other")
    with pytest.raises(Refusal) as refused:
        adopt(schedule, Adopted(date(2023, 1, 1), other), last_scored_year=2021)
    assert refused.value.code == "rubric-dates-overlap"
    assert adopt(schedule, Adopted(date(2024, 1, 1), other), last_scored_year=2021).in_year(2024) == other


# --- the rubric that ships -----------------------------------------------------------------------

SHIPPED = read_rubric(
    (Path(__file__).parents[2] / "services/evaluation/rubrics/ningbo.yaml").read_text(encoding="utf-8")
)[1]


def test_the_shipped_rubric_scores_every_kind_of_work_and_gives_nothing_for_presence_or_money() -> None:
    assert {item.event for item in SHIPPED.items} == {
        "case.filed", "case.closed", "case.rated", "course.completed",
        "activity.attended", "consultation.answered", "duty.logged", "case.progressed", "case.referred",
        "motion.submitted", "motion.cosigned", "motion.progressed", "motion.rated",
    }  # fmt: skip
    assert {category.key for category in SHIPPED.categories} == {
        "supervision",
        "motions",
        "learning",
        "participation",
        "duties",
    }
    assert not [item for item in SHIPPED.items if "donat" in item.key or "sign-in" in item.key]
    assert len(SHIPPED.items) >= 30
    assert all(part.steps for part in (*SHIPPED.items, *SHIPPED.categories, SHIPPED))


def test_under_the_shipped_rubric_no_pile_of_facts_passes_a_hundred_points() -> None:
    everything = {item.key: {JULY: 10**9} for item in SHIPPED.items if item.points > 0}
    assert totals(SHIPPED, everything).total == 100_00


def test_under_the_shipped_rubric_opinions_earn_more_up_to_their_cap() -> None:
    schedule = Schedule((Adopted(date(2021, 1, 1), SHIPPED),))
    answered = fact("consultation.answered", consultation_id=CASE, kind="legislation", opinions=3)
    assert points(answered, schedule=schedule) == {
        ("consultation-answered", 2021): 100,
        ("consultation-opinions", 2021): 75,
        ("consultation-legislation", 2021): 50,
    }
    assert totals(SHIPPED, july(consultation_opinions=25 * 500)).categories["participation"] == 500


@pytest.mark.parametrize("kind", ["inspection", "research", "reception", "visit", "hearing", "meeting"])
def test_under_the_shipped_rubric_every_kind_of_duty_counts_once_confirmed(kind: str) -> None:
    schedule = Schedule((Adopted(date(2021, 1, 1), SHIPPED),))
    confirmed = points(duty("confirmed", 2, kind=kind), schedule=schedule)
    assert len(confirmed) == 1
    assert points(duty("confirmed", 2, kind=kind), duty("withdrawn", 3, kind=kind), schedule=schedule) == {}
