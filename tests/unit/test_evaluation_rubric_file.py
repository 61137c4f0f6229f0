"""Everything wrong with a rubric is found when it is read, with path, line and reason."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.local.runfolder import CHECKOUT
from services.cases.routing import rules_file
from services.evaluation import rubric_file
from services.evaluation.flaws import SENTENCES, Flaw
from services.evaluation.rubric import YEAR, Condition, Limits, Rubric, Window
from services.evaluation.rubric_file import RubricInvalid, overlapping, parse_rubric, read_rubric, written

RUBRIC_FILES = sorted((Path(__file__).parents[2] / "services/evaluation/rubrics").glob("*.yaml"))

SHIPPED = (Path(__file__).parents[2] / "services/evaluation/rubrics/ningbo.yaml").read_text(encoding="utf-8")

SMALL = """\
name: small
version: 3
title: 小
base: 60
cap: 100.5
categories:
  work: {title: 工作, cap: 12.25, floor: -3}
items:
  solved:
    title: 解决
    category: work
    event: case.closed
    when: {result: [solved, explained], stars: {at_least: 4}}
    where: {origin: resident}
    points: 1.1
    evidence: [case_id, year]
    cap: 5
"""


def flaws(text: str) -> tuple[Flaw, ...]:
    with pytest.raises(RubricInvalid) as refused:
        read_rubric(text)
    assert refused.value.code == "rubric-invalid"
    return refused.value.flaws


def line_of(fragment: str) -> int:
    return next(n for n, line in enumerate(SMALL.splitlines(), 1) if fragment in line)


def test_points_are_written_as_people_say_them_and_held_in_hundredths() -> None:
    document, rubric = read_rubric(SMALL)
    assert (rubric.name, rubric.version, rubric.base, rubric.limits) == ("small", 3, 6000, Limits(cap=10050))
    assert rubric.categories[0].limits == Limits(cap=1225, floor=-300)
    item = rubric.items[0]
    assert (item.points, item.evidence, item.deputy, item.date) == (110, ("case_id", YEAR), "deputy_id", None)
    assert item.when == (
        Condition("result", one_of=frozenset({"solved", "explained"})),
        Condition("stars", at_least=4),
    )
    assert item.where == (Condition("origin", one_of=frozenset({"resident"})),)
    assert document["items"]["solved"]["points"] == 1.1


@pytest.mark.parametrize("text", [SMALL, SHIPPED], ids=["small", "shipped"])
def test_a_rubric_says_the_same_as_json_on_a_command(text: str) -> None:
    document, rubric = read_rubric(text)
    assert parse_rubric(json.loads(json.dumps(document))) == rubric


@pytest.mark.parametrize(
    ("written", "instead", "path", "reason"),
    [
        ("event: case.closed", "event: case.shut", "items.solved.event", "no such event"),
        ("event: case.closed", "event: case.close", "items.solved.event", "no such event"),
        ("event: case.closed", "event: score.changed", "items.solved.event", "no such event"),
        ("event: case.closed", "event: course.published", "items.solved.event", "no such event"),
        ("result: [solved", "result: [solvd", "items.solved.when.result", "never has that value"),
        ("result: [solved", "result: [true", "items.solved.when.result", "never has that value"),
        ("stars: {at_least: 4}", "stars: 9", "items.solved.when.stars", "never has that value"),
        ("stars: {at_least: 4}", "town: {at_least: 4}", "items.solved.when.town", "not a whole number"),
        ("stars: {at_least: 4}", "mark: {at_least: 4}", "items.solved.when.mark", "no such field"),
        ("stars: {at_least: 4}", "stars: {}", "items.solved.when.stars", "needs at_least or at_most"),
        ("{at_least: 4}", "{at_least: 4, at_most: 3}", "items.solved.when.stars", "above at_most"),
        ("{at_least: 4}", "{atleast: 4}", "items.solved.when.stars.atleast", "no such key"),
        ("when: {result:", "when: {origin: own, result:", "items.solved.when.origin", "in where as well"),
        ("evidence: [case_id, year]", "evidence: [year]", "items.solved.evidence", "besides year"),
        ("evidence: [case_id, year]", "evidence: [case]", "items.solved.evidence", "no such field"),
        ("evidence: [case_id, year]", "evidence: [stars]", "items.solved.evidence", "may be empty"),
        ("evidence: [case_id, year]", "evidence: [origin]", "items.solved.evidence", "is not an id"),
        ("evidence: [case_id, year]", "evidence: [case_id, case_id]", "items.solved.evidence", "twice"),
        ("points: 1.1", "points: 1.1\n    per: case_id", "items.solved.per", "not a whole number"),
        ("points: 1.1", "points: 1.1\n    date: state", "items.solved.date", "not a date"),
        ("points: 1.1", "points: 1.1\n    deputy: state", "items.solved.deputy", "not an id"),
        ("points: 1.1", "points: 1.115", "items.solved.points", "two decimal places"),
        ("points: 1.1", "points: 0", "items.solved.points", "worth something"),
        ("points: 1.1", "points: .inf", "items.solved.points", "between"),
        ("points: 1.1", "points: 1e9", "items.solved.points", "between"),
        ("points: 1.1", "points: yes", "items.solved.points", "number of points"),
        ("category: work", "category: play", "items.solved.category", "no such category"),
        ("floor: -3", "floor: 13", "categories.work.floor", "above the cap"),
        ("version: 3", "version: three", "version", "valid integer"),
        ("title: 小", "titel: 小", "title", "is missing"),
        ("base: 60", "base: 60\nbase: 70", "base", "stands twice"),
    ],
)  # fmt: skip
def test_a_flaw_is_told_with_its_path_line_and_reason(
    written: str, instead: str, path: str, reason: str
) -> None:
    text = SMALL.replace(written, instead, 1)
    assert text != SMALL
    found = {flaw.path: flaw for flaw in flaws(text)}
    assert path in found
    assert reason in found[path].reason
    expected = line_of(written) + instead.count("\n") if reason != "is missing" else 1
    assert found[path].line == expected


@pytest.mark.parametrize(
    ("written", "instead", "path", "reason"),
    [
        ("cap: 5\n", "cap: {month: 6, year: 5}\n", "items.solved.cap", "month lies above that of the year"),
        ("cap: 5\n", "cap: {month: 2, quarter: 6}\n", "items.solved.cap", "3 times the cap of the month never pass"),
        ("cap: 5\n", "cap: {week: 2}\n", "items.solved.cap.week", "Input should be 'month'"),
        ("cap: 5\n", "cap: {}\n", "items.solved.cap", "at least 1 item"),
        ("cap: 5\n", "cap: {term: 50}\n", "items.solved", "the rubric has no term"),
        ("cap: 5\n", "cap: 0.5\n", "items.solved.cap", "one event is worth more than the cap"),
        ("cap: 5\n", "cap: 5\n    floor: 1\n", "items.solved.floor", "points for nothing"),
        ("cap: 12.25", "cap: {quarter: 12.25}", "items.solved", "a longer window than its category"),
        ("cap: 12.25", "cap: -1", "categories.work.cap", "below 0"),
        ("cap: 100.5", "cap: {month: 100}", "the rubric", "no window shorter than a year"),
        ("title: 解决", "title: 捐款", "items.solved", "donations"),
        ("title: 小\n", "title: 小\neffective: {from: 2022-02-01}\n", "effective.from", "1 January"),
        ("title: 小\n", "title: 小\neffective: {from: 2022-01-01, until: 2022-06-30}\n", "effective.until", "31 December"),
        ("title: 小\n", "title: 小\neffective: {from: 2022-01-01, until: 2021-12-31}\n", "effective.until", "before the first day"),
        ("title: 小\n", "title: 小\ngrades: [{key: a, title: 甲, at_least: 60}, {key: b, title: 乙, at_least: 80}]\n", "grades.1.at_least", "falling order"),
        ("title: 小\n", "title: 小\ngrades: [{key: a, title: 甲, at_least: 110}]\n", "grades.0.at_least", "above the cap"),
        ("title: 小\n", "title: 小\nselection: {quota_percent: 20, grade: z}\n", "selection.grade", "no such grade"),
        ("title: 小\n", "title: 小\nselection: {quota_percent: 0}\n", "selection.quota_percent", "greater than or equal to 1"),
        ("title: 小\n", "title: 小\nreview: {bands: [{key: a, title: 甲, at_least: 80}, {key: b, title: 乙, at_least: 50}]}\n", "review.bands.1.at_least", "begins at 0"),
        ("title: 小\n", "title: 小\npeers: [job]\n", "peers.0", "'level'"),
    ],
)  # fmt: skip
def test_limits_dates_and_grades_that_contradict_are_told_with_line_and_reason(
    written: str, instead: str, path: str, reason: str
) -> None:
    text = SMALL.replace(written, instead, 1)
    assert text != SMALL
    found = [flaw for flaw in flaws(text) if flaw.path == path]
    assert any(reason in flaw.reason for flaw in found), flaws(text)
    assert all(flaw.line for flaw in found)


def test_a_duty_that_would_count_before_staff_confirmed_it_is_a_flaw() -> None:
    text = SMALL.replace("event: case.closed", "event: duty.logged").replace("[case_id, year]", "duty_id")
    text = text.replace(
        "when: {result: [solved, explained], stars: {at_least: 4}}", "when: {state: declared}"
    )
    text = text.replace("where: {origin: resident}", "where: {kind: visit}")
    assert [flaw.reason for flaw in flaws(text)] == [
        "a duty that deputies log themselves counts once confirmed: when: {state: confirmed}"
    ]
    assert read_rubric(text.replace("declared", "confirmed"))
    assert read_rubric(text.replace("declared", "rejected").replace("points: 1.1", "points: -1"))


def test_two_items_that_look_at_the_same_facts_are_a_flaw() -> None:
    again = SMALL[SMALL.index("  solved:") :].replace("solved:", "again:", 1)
    assert [flaw.reason for flaw in flaws(SMALL + again)] == ["looks at the same facts as solved"]


def test_rubrics_whose_stated_dates_overlap_are_found() -> None:
    def dated(name: str, version: int, dates: str) -> Rubric:
        text = SMALL.replace("name: small", f"name: {name}").replace("version: 3", f"version: {version}")
        return read_rubric(text.replace("base: 60", f"base: 60\neffective: {dates}"))[1]

    files = {
        "a": dated("one", 1, "{from: 2022-01-01, until: 2024-12-31}"),
        "b": dated("two", 1, "{from: 2024-01-01}"),
        "c": dated("three", 1, "{from: 2020-01-01, until: 2021-12-31}"),
        "d": dated("one", 2, "{from: 2022-01-01, until: 2024-12-31}"),
    }
    assert list(overlapping(files)) == [("a", "b"), ("b", "d")]


def test_every_shipped_rubric_is_read_and_gives_nothing_for_money() -> None:
    assert [read_rubric(file.read_text(encoding="utf-8"))[1].name for file in RUBRIC_FILES] == [
        "dongbao",
        "ningbo",
        "yinchuan",
    ]


def test_a_rubric_written_out_again_says_the_same_in_its_usual_order() -> None:
    for path in RUBRIC_FILES:
        document, rubric = read_rubric(path.read_text("utf-8"))
        as_kept = json.loads(json.dumps(document, sort_keys=True))  # the database keeps no order of keys
        text = written(as_kept)
        again, same = read_rubric(text)
        assert again == document
        assert {item.key: item for item in same.items} == {item.key: item for item in rubric.items}
        assert text.startswith(f"name: {rubric.name}\nversion: {rubric.version}\n")


def test_a_text_that_stands_for_millions_of_lines_is_refused_at_its_first_alias() -> None:
    layers = "\n".join(
        f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]"
        for before, name in zip("abcdefghi", "bcdefghij", strict=True)
    )
    with pytest.raises(RubricInvalid) as caught:
        read_rubric(f"a: &a [x]\n{layers}\n")
    assert caught.value.flaws == (Flaw("the file", 2, "alias"),)
    assert caught.value.flaws[0].reason == "write it out, without *"


def test_all_flaws_are_told_at_once() -> None:
    text = SMALL.replace("case.closed", "case.shut").replace("category: work", "category: play")
    assert {flaw.path for flaw in flaws(text)} >= {"items.solved.event", "items.solved.category"}


def test_a_category_without_an_item_is_a_flaw() -> None:
    text = SMALL.replace("items:\n", "  idle: {title: 空}\nitems:\n")
    assert [(flaw.path, flaw.reason) for flaw in flaws(text)] == [("categories.idle", "has no item")]


def test_a_flaw_repeats_no_words_of_the_sender() -> None:
    document = read_rubric(SMALL)[0]
    secret = "张三 13800000000"
    document[secret] = 1
    document["items"]["solved"]["event"] = secret
    document["items"]["solved"]["when"] = {"result": secret}
    document["items"]["solved"]["evidence"] = [secret]
    with pytest.raises(RubricInvalid) as refused:
        parse_rubric(document)
    assert "13800000000" not in refused.value.detail
    assert "张三" not in refused.value.detail


TWICE = SMALL + SMALL[SMALL.index("  solved:") :].replace("solved:", "again:", 1)
GRADES = "title: 小\ngrades: [{key: a, title: 甲, at_least: 60}, "
BANDS = "title: 小\nreview: {bands: [{key: a, title: 甲, at_least: 80}, "
EACH: dict[str, tuple[str, str, dict[str, str]]] = {
    "empty": (SMALL, "", {}),
    "alias": ("base: 60", "base: *x", {}),
    "key-twice": ("base: 60", "base: 60\nbase: 70", {}),
    "yaml-tab": ("base: 60", "\tbase: 60", {}),
    "yaml-colon": ("base: 60", "base: a: 60", {}),
    "yaml-no-colon": ("base: 60", "base：60", {}),
    "yaml-indent": ("base: 60", "- base: 60", {}),
    "yaml-bracket": ("[solved, explained]", "[solved, explained", {}),
    "yaml-quote": ("title: 小", "title: '小", {}),
    "yaml-character": ("base: 60", "base: 60\x0b", {}),
    "not-yaml": ("base: 60", "base: !!python/name:os.system", {}),
    "missing": ("base: 60\ncap: 100.5\n", "term: {years: 5}\n", {}),
    "unknown-key": ("base: 60", "bass: 60", {}),
    "not-a-mapping": ("{title: 工作, cap: 12.25, floor: -3}", "工作", {}),
    "not-a-list": ("title: 小\n", "title: 小\ngrades: none\n", {}),
    "not-a-text": ("title: 小", "title: 3", {}),
    "not-a-whole-number": ("version: 3", "version: three", {}),
    "not-a-date": ("title: 小\n", "title: 小\neffective: {from: soon}\n", {}),
    "not-true-or-false": ("result: [solved", "result: [1.5", {}),
    "not-one-of": ("cap: 5\n", "cap: {week: 2}\n", {"expected": "'month' / 'quarter' / 'half-year' / 'year' / 'term'"}),
    "wrong-pattern": ("category: work", "category: 工作", {"pattern": "^[a-z0-9][a-z0-9-]{0,39}$"}),
    "text-too-short": ("title: 小", "title: ''", {"least": "1"}),
    "text-too-long": ("title: 小", f"title: {'小' * 201}", {"most": "200"}),
    "too-few": ("evidence: [case_id, year]", "evidence: []", {"least": "1"}),
    "too-many": ("evidence: [case_id, year]", "evidence: [a, b, c, d, e]", {"most": "4"}),
    "too-small": ("version: 3", "version: 0", {"least": "1"}),
    "too-large": ("version: 3", "version: 1000001", {"most": "1000000"}),
    "points-not-a-number": ("points: 1.1", "points: many", {}),
    "points-out-of-bounds": ("points: 1.1", "points: 1e9", {"most": "100000"}),
    "points-too-fine": ("points: 1.1", "points: 1.115", {}),
    "named-twice": ("evidence: [case_id, year]", "evidence: [case_id, case_id]", {}),
    "category-without-item": ("items:\n", "  idle: {title: 空}\nitems:\n", {}),
    "category-unknown": ("category: work", "category: play", {}),
    "points-zero": ("points: 1.1", "points: 0", {}),
    "points-for-donations": ("title: 解决", "title: 捐款", {}),
    "same-facts": (SMALL, TWICE, {"item": "solved"}),
    "in-where-too": ("when: {result:", "when: {origin: own, result:", {}),
    "range-empty": ("stars: {at_least: 4}", "stars: {}", {}),
    "range-reversed": ("{at_least: 4}", "{at_least: 4, at_most: 3}", {}),
    "floor-above-cap": ("floor: -3", "floor: 13", {"window": "year"}),
    "floor-above-zero": ("floor: -3", "floor: 1", {}),
    "cap-below-zero": ("cap: 12.25, floor: -3", "cap: -1", {}),
    "no-term": ("cap: 5\n", "cap: {term: 50}\n", {}),
    "cap-above-longer": ("cap: 5\n", "cap: {month: 6, year: 5}\n", {"short": "month", "long": "year"}),
    "cap-never-passed": ("cap: 5\n", "cap: {month: 2, quarter: 6}\n", {"times": "3", "short": "month", "long": "quarter"}),
    "window-longer-than-category": ("cap: 12.25, floor: -3", "cap: {month: 12}", {"category": "work"}),
    "window-longer-than-total": ("cap: 100.5", "cap: {month: 100}", {}),
    "cap-below-one-event": ("cap: 5\n", "cap: 0.5\n", {}),
    "total-window-too-short": ("cap: 100.5", "cap: {month: 100}", {}),
    "from-not-first-day": ("title: 小\n", "title: 小\neffective: {from: 2022-02-01}\n", {}),
    "until-not-last-day": ("title: 小\n", "title: 小\neffective: {from: 2022-01-01, until: 2022-06-30}\n", {}),
    "until-before-from": ("title: 小\n", "title: 小\neffective: {from: 2022-01-01, until: 2021-12-31}\n", {}),
    "grades-not-falling": ("title: 小\n", GRADES + "{key: b, title: 乙, at_least: 80}]\n", {}),
    "grade-above-cap": ("title: 小\n", GRADES + "{key: b, title: 乙, at_least: 101}]\n", {}),
    "grade-twice": ("title: 小\n", GRADES + "{key: a, title: 乙, at_least: 50}]\n", {}),
    "grade-unknown": ("title: 小\n", "title: 小\nselection: {quota_percent: 20, grade: z}\n", {}),
    "bands-not-falling": ("title: 小\n", BANDS + "{key: b, title: 乙, at_least: 90}]}\n", {}),
    "last-band-above-zero": ("title: 小\n", BANDS + "{key: b, title: 乙, at_least: 50}]}\n", {}),
    "event-unknown": ("event: case.closed", "event: case.shut", {}),
    "duty-unconfirmed": ("event: case.closed", "event: duty.logged", {}),
    "field-unknown": ("evidence: [case_id, year]", "evidence: [case]", {"event": "case.closed"}),
    "field-not-an-id": ("points: 1.1", "points: 1.1\n    deputy: state", {"field": "state", "event": "case.closed"}),
    "field-not-a-number": ("points: 1.1", "points: 1.1\n    per: case_id", {"field": "case_id", "event": "case.closed"}),
    "field-not-a-date": ("points: 1.1", "points: 1.1\n    date: state", {"field": "state", "event": "case.closed"}),
    "field-not-evidence": ("evidence: [case_id, year]", "evidence: [origin]", {"field": "origin", "event": "case.closed"}),
    "field-may-be-empty": ("evidence: [case_id, year]", "evidence: [stars]", {"field": "stars", "event": "case.closed"}),
    "evidence-only-year": ("evidence: [case_id, year]", "evidence: [year]", {}),
    "value-impossible": ("result: [solved", "result: [solvd", {"field": "result", "event": "case.closed"}),
}  # fmt: skip
LEFT_TO_OTHER_VERSIONS = {"not-valid"}  # of pydantic; what they may say has a test of its own


@pytest.mark.parametrize("code", EACH)
def test_each_flaw_has_its_code_and_the_values_from_which_its_reason_is_made(code: str) -> None:
    old, new, values = EACH[code]
    text = SMALL.replace(old, new, 1)
    found = {flaw.code: flaw for flaw in flaws(text)}
    assert code in found, found
    assert found[code].values == values
    assert found[code].reason == SENTENCES[found[code].code].format_map(values)
    if "yaml" in code:
        assert found[code].line == line_of(old)


def test_every_code_has_an_example() -> None:
    assert {*EACH, *LEFT_TO_OTHER_VERSIONS} == set(SENTENCES)


def test_what_pydantic_says_beyond_the_known_kinds_is_told_in_its_own_words() -> None:
    assert rubric_file._said("uuid_type", "UUID input should be a string", {}) == (
        "not-valid",
        {"message": "UUID input should be a string"},
    )


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_pages_word_every_flaw_and_window_with_what_belongs_to_it(language: str) -> None:
    words = json.loads((CHECKOUT / f"web/src/words/{language}.json").read_text("utf-8"))
    assert set(words["flaw"]) == set(SENTENCES) | set(rules_file.CODES.values()), (
        "a catalogue's have the same place"
    )
    for code, said in SENTENCES.items():
        assert set(re.findall(r"{(\w+)}", words["flaw"][code])) == set(re.findall(r"{(\w+)}", said)), code
    assert set(words["window"]) == set(Window)


@pytest.mark.parametrize(
    "text",
    [
        "a: !!python/name:secret",
        "a: !secret b",
        "a: &secret\n  b: &secret c\n",
        "%secret\n---\na: b",
        "a: 'secret\n",
        "secret: [1, {2: secret]",
        "? secret\n: [secret\n",
        "\tsecret: b",
    ],
)
def test_a_broken_yaml_text_is_told_with_its_line_and_none_of_its_words(text: str) -> None:
    assert all("secret" not in str(flaw) and flaw.line for flaw in flaws(text)), flaws(text)


@pytest.mark.parametrize(
    "text", ["", "3", "- a", "a: [", "a: &x [*x]", "? [a]\n: 1", "a: !!python/name:os.system"]
)
def test_a_text_that_is_no_rubric_is_told_so(text: str) -> None:
    assert flaws(text)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(document=_json)
def test_any_document_is_read_or_refused_and_never_crashes(document: Any) -> None:
    with pytest.raises(RubricInvalid):
        parse_rubric(document)


@given(
    path=st.sampled_from(["points", "evidence", "when", "where", "per", "cap", "event", "date"]), value=_json
)
def test_any_value_in_an_item_is_read_or_refused_and_never_crashes(path: str, value: Any) -> None:
    document = read_rubric(SMALL)[0]
    document["items"]["solved"][path] = value
    with contextlib.suppress(RubricInvalid):
        assert parse_rubric(document).items[0].key == "solved"
