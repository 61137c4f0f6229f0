"""Rows of a roster file, each judged by itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.identity import domain
from services.identity.domain import enter
from services.identity.roster import Judgement, Right, judge, judge_rows, within_reach
from shared.contracts.envelope import Actor
from shared.contracts.identity import OCCUPATIONS, DeputyChanged, Occupation

NOW = datetime(2022, 1, 10, 9, tzinfo=UTC)
ROW = {
    "number": "T-001",
    "name": "叶敏",
    "level": "town",
    "occupation": "farmer",
    "county": "330203",
    "town": "330203101",
    "constituency": "第三选区",
    "term_from": "2021-07-01",
    "term_until": "2026-12-31",
    "state": "active",
}
CHINESE = {
    "编号": "Ｔ-001",
    "姓名": " 叶敏 ",
    "层级": "乡镇",
    "职业": "农民",
    "县（市、区）代码": "330203",
    "乡镇代码": "３３０２０３１０１",
    "选区": "第三选区",
    "任期起": "2021年7月1日",
    "任期止": "20261231",
    "状态": "在任",
    "电话": "13800000000",
}
COLUMNS = st.sampled_from([*ROW, *CHINESE])
LIKELY = st.sampled_from(
    [*ROW.values(), "市", "县", "暂停", "2026-02-30", "2020/1/2", "其他", "", " ", "330203.0", "离任"]
)
CELLS = st.dictionaries(COLUMNS, st.one_of(LIKELY, st.text(max_size=12)), max_size=12)


def codes(row: dict[str, str]) -> set[tuple[str, str]]:
    verdict = judge(5, row)
    assert isinstance(verdict, list)
    assert {error.line for error in verdict} == {5}
    return {(error.column, error.code) for error in verdict}


def test_chinese_and_english_headings_say_the_same() -> None:
    english, chinese = judge(2, ROW), judge(2, CHINESE)
    assert isinstance(english, Right)
    assert english == chinese


@pytest.mark.parametrize(
    ("change", "column", "code"),
    [
        ({"number": ""}, "number", "missing"),
        ({"name": "  "}, "name", "missing"),
        ({"name": "叶" * 51}, "name", "too-long"),
        ({"name": "叶\x01敏"}, "name", "not-printable"),
        ({"constituency": ""}, "constituency", "missing"),
        ({"level": ""}, "level", "missing"),
        ({"level": "村"}, "level", "level-unknown"),
        ({"occupation": "教师"}, "occupation", "occupation-unknown"),
        ({"county": ""}, "county", "county-missing"),
        ({"county": "海曙"}, "county", "place-code-wrong"),
        ({"town": ""}, "town", "town-missing"),
        ({"town": "33020310x"}, "town", "place-code-wrong"),
        ({"town": "330205001"}, "town", "town-elsewhere"),
        ({"level": "city", "county": ""}, "county", "county-missing"),
        ({"term_from": "soon"}, "term_from", "date-wrong"),
        ({"term_until": "2022-02-30"}, "term_until", "date-wrong"),
        ({"term_until": "2021-07-01"}, "term_until", "term-wrong"),
        ({"state": "在岗"}, "state", "state-unknown"),
        ({"编号": "T-001"}, "number", "column-twice"),
    ],
)
def test_each_fault_is_named_by_line_column_and_code(change: dict[str, str], column: str, code: str) -> None:
    assert codes({**ROW, **change}) == {(column, code)}


STATION = "7k2m9q4t1x"


@pytest.mark.parametrize("heading", ["station", "联络站代码", "代表联络站代码"])
@pytest.mark.parametrize("typed", [STATION, " 7K2M9-Q4T1X", "７ｋ２ｍ９ｑ４ｔ１ｘ"])
def test_a_row_names_its_station_by_the_code_however_it_is_typed(heading: str, typed: str) -> None:
    verdict = judge(2, {**ROW, heading: typed}, {STATION})
    assert isinstance(verdict, Right)
    assert verdict.entry.station == STATION


@pytest.mark.parametrize("typed", [STATION, "高桥镇联络站", "7k2m"])
def test_a_row_with_a_station_that_nobody_registered_is_wrong(typed: str) -> None:
    judgement = judge_rows(2, [{**ROW, "station": typed}], {}, {"0000000000"})
    assert [(error.column, error.code) for error in judgement.errors] == [("station", "station-unknown")]
    assert typed not in judgement.errors[0].detail


@pytest.mark.parametrize("row", [ROW, {**ROW, "station": " "}])
def test_who_is_given_no_station_belongs_to_none(row: dict[str, str]) -> None:
    verdict, before = judge(2, row, {STATION}), judge(2, {**ROW, "station": STATION}, {STATION})
    assert isinstance(verdict, Right)
    assert isinstance(before, Right)
    found = enter(None, before.entry, NOW)
    assert (found.station, enter(found, verdict.entry, NOW).station) == (STATION, None)


def test_several_faults_of_a_row_are_all_named() -> None:
    found = codes({**ROW, "name": "", "level": "村", "term_from": "x"})
    assert found == {("name", "missing"), ("level", "level-unknown"), ("term_from", "date-wrong")}


def test_a_file_with_other_headings_gets_one_error_a_row() -> None:
    assert codes({"A": "1", "B": "2"}) == {("", "headings-unknown")}


def test_a_city_level_deputy_needs_no_county() -> None:
    verdict = judge(2, {**ROW, "level": "市", "county": "", "town": ""})
    assert isinstance(verdict, Right)
    assert (verdict.entry.county, verdict.entry.town) == (None, None)


@pytest.mark.parametrize(("occupation", "title"), OCCUPATIONS.items())
def test_an_occupation_is_understood_by_its_title_and_its_key(occupation: str, title: str) -> None:
    for written in (title, f" {occupation.upper()} "):
        verdict = judge(2, {**ROW, "occupation": written})
        assert isinstance(verdict, Right)
        assert verdict.entry.occupation == occupation


@pytest.mark.parametrize(
    ("written", "occupation"),
    [("一线工人", "worker"), ("解放军／武警", "military"), ("企业负责人", "manager"), ("其它", "other")],
)
def test_statistics_call_one_class_by_several_words(written: str, occupation: str) -> None:
    verdict = judge(2, {**ROW, "occupation": written})
    assert isinstance(verdict, Right)
    assert verdict.entry.occupation == occupation


def test_an_occupation_without_a_column_or_in_an_empty_cell_is_not_told() -> None:
    without = {column: cell for column, cell in ROW.items() if column != "occupation"}
    for row in (without, {**ROW, "occupation": " "}):
        verdict = judge(2, row)
        assert isinstance(verdict, Right)
        assert verdict.entry.occupation is None


def test_every_occupation_has_a_title_and_the_service_knows_the_same_ones_as_the_contract() -> None:
    assert get_args(domain.Occupation) == get_args(Occupation) == tuple(OCCUPATIONS)


@pytest.mark.parametrize(
    "written",
    [
        "2021-07-01",
        "2021/7/1",
        "2021.7.1",
        "2021年7月1日",
        "20210701",
        "2021-07-01 00:00:00",
        "2021-07-01T00:00:00",
    ],
)
def test_dates_are_understood_as_rosters_write_them(written: str) -> None:
    verdict = judge(2, {**ROW, "term_from": written})
    assert isinstance(verdict, Right)
    assert verdict.entry.term_from == date(2021, 7, 1)


@pytest.mark.parametrize(
    "written", ["2021-07/01", "1.7.2021", "2021-07-01 08:00:00", "210701", "2021-13-01", "0000-01-01"]
)
def test_a_date_that_could_mean_something_else_is_wrong(written: str) -> None:
    assert codes({**ROW, "term_from": written}) == {("term_from", "date-wrong")}


def test_blank_rows_count_nowhere() -> None:
    judgement = judge_rows(2, [ROW, {}, dict.fromkeys(ROW, " "), {**ROW, "number": "T-002"}], {})
    assert [right.line for right in judgement.right] == [2, 5]
    assert (judgement.rows, judgement.errors) == (2, ())


def test_a_wrong_row_never_touches_its_neighbours() -> None:
    judgement = judge_rows(2, [ROW, {**ROW, "number": "T-002", "level": "?"}, {**ROW, "number": "T-003"}], {})
    assert [right.line for right in judgement.right] == [2, 4]
    assert {error.line for error in judgement.errors} == {3}
    assert judgement.rows == 3


def test_a_number_that_stands_twice_is_wrong_in_the_later_row() -> None:
    judgement = judge_rows(2, [ROW, {**ROW, "name": "别人"}], {})
    assert [right.line for right in judgement.right] == [2]
    assert [(error.line, error.code) for error in judgement.errors] == [(3, "number-repeated")]
    assert "line 2" in judgement.errors[0].detail


def test_a_number_of_an_earlier_part_is_wrong_even_in_the_same_line() -> None:
    judgement = judge_rows(2, [ROW], {"T-001": 2})
    assert [error.code for error in judgement.errors] == ["number-repeated"]


@pytest.mark.parametrize(
    ("area", "expected"),
    [
        (None, {2, 3, 4, 6}),
        ("3302", {2, 3, 4, 6}),
        ("330203", {2}),
        ("330203101", {2}),
        ("330203102", set()),
        ("330205", {3}),
        ("3301", {4, 6}),  # what lies in no county is a city's, and the suite serves one
    ],
)
def test_staff_take_in_rows_about_deputies_of_their_area_alone(area: str | None, expected: set[int]) -> None:
    city = {**ROW, "number": "T-003", "level": "city", "county": "", "town": ""}
    elsewhere = {**ROW, "number": "T-002", "level": "county", "county": "330205", "town": ""}
    elected_here = {**ROW, "number": "T-004", "level": "city"}
    judgement = judge_rows(2, [ROW, elsewhere, city, {**ROW, "level": "?"}, elected_here], {})
    found = within_reach(judgement, Actor("staff", frozenset({"staff"}), area), {})
    assert {right.line for right in found.right} == expected
    assert {error.line for error in found.errors} == {2, 3, 4, 5, 6} - expected
    assert found.rows == judgement.rows


def test_nobody_draws_a_deputy_of_another_area_into_their_own() -> None:
    judgement = judge_rows(2, [ROW], {})
    (row,) = judgement.right
    known = replace(enter(None, row.entry, NOW), county="330205", town=None)
    sender = Actor("staff", frozenset({"staff"}), "330203")
    found = within_reach(judgement, sender, {known.id: known})
    assert (found.right, [(error.line, error.code) for error in found.errors]) == ((), [(2, "not-your-area")])
    assert within_reach(judgement, replace(sender, organisation="3302"), {known.id: known}) == judgement


def test_a_wrong_row_does_not_take_its_number() -> None:
    judgement = judge_rows(2, [{**ROW, "level": "?"}, ROW], {})
    assert [right.line for right in judgement.right] == [3]


@given(st.lists(CELLS, max_size=6))
def test_judging_never_fails_and_accounts_for_every_row(rows: list[dict[str, str]]) -> None:
    judgement: Judgement = judge_rows(2, rows, {})
    right, wrong = {r.line for r in judgement.right}, {e.line for e in judgement.errors}
    blank = {n for n, row in enumerate(rows, 2) if not any(cell.strip() for cell in row.values())}
    assert right | wrong | blank == set(range(2, 2 + len(rows)))
    assert not right & wrong
    assert judgement.rows == len(right) + len(wrong)
    assert len({r.entry.number for r in judgement.right}) == len(judgement.right)


@given(st.dictionaries(COLUMNS, st.one_of(LIKELY, st.text(max_size=12)), min_size=9, max_size=14))
def test_whatever_is_accepted_fits_the_contract_and_a_database(more: dict[str, str]) -> None:
    verdict = judge(2, {**ROW, **more})
    if not isinstance(verdict, Right):
        return
    fields = {name: value for name, value in vars(enter(None, verdict.entry, NOW)).items() if name != "id"}
    told = DeputyChanged(deputy_id=enter(None, verdict.entry, NOW).id, **fields)
    assert "\x00" not in "".join(map(str, told.model_dump().values()))
    assert told.term_from < told.term_until


MARK = "汉密尔顿"


@given(CELLS)
def test_no_error_repeats_what_a_cell_says(row: dict[str, str]) -> None:
    verdict = judge(2, {name: MARK + cell for name, cell in row.items()})
    assert not isinstance(verdict, list) or not any(MARK in error.detail + error.column for error in verdict)


@given(st.lists(st.sampled_from(["T-1", "T-2", "T-3", ""]), max_size=12), st.integers(1, 12))
def test_parts_judged_one_after_the_other_equal_the_whole_file(numbers: list[str], size: int) -> None:
    rows = [{**ROW, "number": number} for number in numbers]
    whole = judge_rows(2, rows, {})
    taken: dict[str, int] = {}
    right: list[Right] = []
    errors: list[object] = []
    for start in range(0, len(rows), size):
        part = judge_rows(2 + start, rows[start : start + size], taken)
        taken |= {r.entry.number: r.line for r in part.right}
        right += part.right
        errors += part.errors
    assert (tuple(right), tuple(errors)) == (whole.right, whole.errors)
