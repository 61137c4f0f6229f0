"""Routing without a trained model: the shipped words, the catalogue of responsibilities, and reasons."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace
from datetime import date, datetime, timedelta
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast, get_args
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from typer.testing import CliRunner

from cli import routing_replay
from cli.main import app
from deploy.local.runfolder import CHECKOUT
from services.cases.deadlines.calendar import ChinaCalendar
from services.cases.deadlines.reckoning import (
    CHINA,
    UNITS_CHINESE,
    Extension,
    Limit,
    Pause,
    StepKind,
    deadline,
)
from services.cases.routing import desk
from services.cases.routing.catalogue import Catalogue, Department, Rule, choose, in_force
from services.cases.routing.choosing import route_of
from services.cases.routing.desk import judge_texts
from services.cases.routing.judgement import chosen
from services.cases.routing.reasons import SENTENCES, Ground, sentence, why_due
from services.cases.routing.replay import EXAMPLES, Comparison, Past
from services.cases.routing.rules_file import read_catalogue, shipped_taxonomy
from services.cases.yaml_file import FileInvalid
from services.evaluation.rubric_file import RubricInvalid, read_rubric
from shared.contracts import routing as contract
from shared.contracts.envelope import Actor
from shared.messaging.received import Received
from shared.refusals import Refusal
from simulation.case_texts import generated_text
from simulation.city import CATEGORIES, Scale, build_city
from tests.case_rules import RULES

TAXONOMY = shipped_taxonomy()
HOUSING = Department("housing", frozenset({"城乡建设"}), frozenset())
COUNTY_HOUSING = Department("haishu-housing", frozenset({"城乡建设"}), frozenset({"330203"}))
ALL = {one.code: one for one in (HOUSING, COUNTY_HOUSING, Department("parks", frozenset(), frozenset()))}
CATALOGUE = """
name: ningbo-2022
title: 宁波市派单目录
begins: 2022-01-01
rules:
  - {categories: [城乡建设], places: ["330203001"], department: parks, limit: urgent, reason: 南门街道园区自管}
  - {categories: [城乡建设], places: ["330203"], department: gone, reason: 已撤销的单位}
  - {categories: [城乡建设, 环境保护], department: housing, reason: 市级统筹}
"""


def test_the_county_s_own_department_goes_before_the_city_s() -> None:
    def code(county: str) -> str | None:
        route = route_of(chosen("城乡建设"), None, ALL, county=county, town=None)
        return route and route.department

    assert (code("330203"), code("330205")) == ("haishu-housing", "housing")


def test_the_nearest_place_of_the_catalogue_goes_first_and_sets_the_limit() -> None:
    catalogue = read_catalogue(CATALOGUE, TAXONOMY).made()
    found = choose(catalogue, ALL, category="城乡建设", county="330203", town="330203001")
    assert found is not None
    assert (found.department, found.urgency) == ("parks", "urgent")
    about = {"catalogue": "ningbo-2022", "place": "330203001", "text": "南门街道园区自管"}
    assert found.why == (Ground("catalogue-town", about),)


def test_a_rule_for_a_department_that_is_not_active_is_passed_over_and_that_is_said() -> None:
    catalogue = read_catalogue(CATALOGUE, TAXONOMY).made()
    found = choose(catalogue, ALL, category="城乡建设", county="330203", town="330203002")
    assert found is not None
    assert found.department == "housing"
    assert [one.code for one in found.why] == ["catalogue-city", "not-active"]
    assert "gone is not active" in sentence(found.why)


def test_nobody_responsible_is_left_to_staff() -> None:
    assert choose(None, ALL, category="卫生计生", county="330203", town=None) is None


def test_a_catalogue_holds_from_its_first_day_and_the_later_one_goes_first() -> None:
    def catalogue(name: str, begins: date) -> Catalogue:
        return Catalogue(name, name, begins, ())

    first, second = catalogue("a", date(2021, 1, 1)), catalogue("b", date(2022, 1, 1))
    amended = catalogue("c", date(2022, 1, 1))
    assert in_force([first, second], date(2020, 12, 31)) is None
    assert in_force([second, first], date(2021, 12, 31)) == first
    assert in_force([first, second, amended], date(2022, 1, 1)) == amended


@pytest.mark.parametrize(
    ("old", "new", "line", "why", "code"),
    [
        ("城乡建设, 环境保护", "城乡建设, 宇航", 8, "is no category of the taxonomy", "category-unknown"),
        ('places: ["330203"]', 'places: ["3302"]', 7, "should match pattern", "wrong-pattern"),
        ("limit: urgent", "limit: soon", 6, "Input should be", "not-one-of"),
        ("begins: 2022-01-01", "begins: someday", 4, "date", "not-a-date"),
        ("title: 宁波市派单目录", "tittle: x", 3, "there is no such key", "unknown-key"),
        ('places: ["330203"], department: gone', "department: housing", 8, "", "rule-never-applies"),
        ("[城乡建设, 环境保护]", "*all", 8, "must be written out", "alias"),
        ("limit: urgent,", "limit: urgent", 6, "expected ','", "yaml-bracket"),
    ],
)
def test_a_wrong_catalogue_is_refused_with_line_reason_and_a_code_for_the_pages(
    old: str, new: str, line: int, why: str, code: str
) -> None:
    text = CATALOGUE.replace(old, new)
    if not why:
        text += "  - {categories: [城乡建设], department: parks, reason: 永不适用}\n"
        line, why = 9, "never applies"
    with pytest.raises(FileInvalid) as refused:
        read_catalogue(text, TAXONOMY, "new.yaml")
    found = [(flaw.line, flaw.code) for flaw in refused.value.flaws if why in flaw.reason]
    assert (line, code) in found, refused.value


RUBBISH = (
    "!!bool zz",
    "!!timestamp zz",
    '!!int ""',
    '"\\UFFFFFFFF"',
    '"\\U7FFFFFFF"',
    f"%YAML {'9' * 5000}.1",
)
"""Tags, escapes and directives that stand for nothing, for which the library raises other errors than its own."""


@pytest.mark.parametrize("rubbish", RUBBISH, ids=lambda text: text[:12])
def test_rubbish_that_looks_like_yaml_is_refused_and_no_error_of_the_library_s(rubbish: str) -> None:
    for text in (rubbish, f"name: {rubbish}", f"{rubbish}\n---\nname: x"):
        with pytest.raises(FileInvalid):
            read_catalogue(text, TAXONOMY, "new.yaml")
        with pytest.raises(RubricInvalid):
            read_rubric(text)


def test_the_shipped_words_find_the_department_of_generated_cases() -> None:
    """Department accuracy on generated cases with known truth: what is routed alone, and how many that are."""
    city = build_city(7, Scale.parse(0.05))
    departments = {
        one.code: Department(one.code, frozenset(one.categories), frozenset(one.counties))
        for one in city.departments
    }
    rng = random.Random(8)
    said = [
        (generated_text(rng, town.name, category), category, county.code)
        for county in city.counties
        for town in county.towns[:3]
        for category in CATEGORIES
    ]
    judged = judge_texts([f"{one.title}\n{one.text}" for one, _, _ in said], None, TAXONOMY)
    routed = right = 0
    for held, (_, category, county_code) in zip(judged, said, strict=True):
        route = route_of(held, None, departments, county=county_code, town=None)
        if route is not None:
            routed += 1
            right += route.department == city.department_for(category, county_code).code
    assert routed / len(said) > 0.7
    assert right / routed > 0.97


@given(st.text(max_size=60), st.permutations(list(ALL.values())))
def test_a_route_depends_on_neither_order_nor_luck_and_never_repeats_the_words(
    text: str, departments: list[Department]
) -> None:
    secret = "王小明住在三号楼"
    whole = f"{text} {secret} 窨井盖破损"

    def route(order: list[Department]) -> Any:
        [judged] = judge_texts([whole], None, TAXONOMY)
        return route_of(judged, None, {one.code: one for one in order}, county="330203", town=None)

    found = route(departments)
    assert found == route(departments[::-1])
    if found is not None:
        assert secret not in found.reason
        assert found.department in ALL


def test_words_of_two_categories_alike_are_left_to_staff_with_the_best_guesses() -> None:
    [judged, nothing] = judge_texts(["公交站和医院", ""], None, TAXONOMY)
    assert judged.category is None
    assert {guess.category for guess in judged.guesses} >= {"卫生计生", "交通运输"}
    assert len(judged.guesses) <= 3
    assert (nothing.category, nothing.guesses) == (None, ())


def test_the_taxonomy_has_three_levels_and_names_the_topic() -> None:
    [judged] = judge_texts(["路灯不亮\n整条路的路灯都不亮，请市政维修"], None, TAXONOMY)
    assert judged.category == "城乡建设"
    assert judged.topic == "城乡建设 / 市政与环卫 / 道路与照明"


def adopting(data: Any, subject: str) -> Received[Any]:
    who = Actor("staff-1", frozenset({"staff"}))
    return cast(
        "Received[Any]",
        SimpleNamespace(data=data, envelope=SimpleNamespace(subject=subject), now=None, sender=lambda: who),
    )


def test_a_name_is_adopted_once_and_a_contradiction_never() -> None:
    rule = contract.Responsibility(categories=("城乡建设",), department="housing", reason="市级统筹")
    data = contract.AdoptCatalogue(title="目录", begins=date(2022, 1, 1), rules=(rule,))
    decide = desk.DECISIONS[contract.AdoptCatalogue]
    adopted = decide(None, adopting(data, "a-1"), TAXONOMY).state
    with pytest.raises(Refusal) as again:
        decide(adopted, adopting(data, "a-1"), TAXONOMY)
    assert again.value.code == "catalogue-exists"
    wrong = data.model_copy(update={"rules": (rule.model_copy(update={"categories": ("宇航",)}),)})
    with pytest.raises(Refusal) as refused:
        decide(None, adopting(wrong, "a-2"), TAXONOMY)
    assert refused.value.code == "catalogue-invalid"


@pytest.mark.parametrize(
    ("right", "automatic", "passes"), [(98, 100, True), (97, 100, False), (20, 20, False)]
)
def test_a_model_is_adopted_only_after_it_passed_its_check(right: int, automatic: int, passes: bool) -> None:
    held = desk.Adoption(contract.AdoptModel, "m", 0, automatic=automatic, automatic_right=right)
    decide = desk.DECISIONS[contract.AdoptModel]
    if passes:
        assert decide(held, adopting(contract.AdoptModel(), "m"), TAXONOMY).state.version == 1
    else:
        with pytest.raises(Refusal) as refused:
            decide(held, adopting(contract.AdoptModel(), "m"), TAXONOMY)
        assert refused.value.code == "model-not-good-enough"


def test_an_urgent_rule_gives_the_urgent_limit() -> None:
    rule = Rule(frozenset({"城乡建设"}), frozenset(), "housing", "urgent", "燃气泄漏")
    catalogue = Catalogue("a", "a", date(2021, 1, 1), (rule,))
    urgent = route_of(chosen("城乡建设"), catalogue, ALL, county="330203", town=None)
    normal = route_of(chosen("城乡建设"), replace(catalogue, rules=()), ALL, county="330203", town=None)
    assert urgent is not None
    assert normal is not None
    assert (urgent.urgency, normal.urgency) == ("urgent", None)
    assert RULES.cases.answer["urgent"] != RULES.cases.answer["normal"]


def test_a_replay_counts_every_case_once_and_says_from_where_to_where() -> None:
    compared = Comparison()
    ways = [  # sent by routing, taken on by, sent by the draft
        *[("housing", "parks", "parks")] * 5,
        ("housing", "housing", "housing"),
        ("housing", "housing", None),
        (None, "parks", "parks"),
        (None, None, "housing"),
    ]
    for number, (sent, settled, drafted) in enumerate(ways):
        compared.add(Past(UUID(int=number), sent, settled), drafted)
    found = compared.result()
    assert (found["cases"], found["changed"], found["settled"]) == (9, 8, 8)
    assert found["before"] == {"alone": 7, "right": 2}
    assert found["after"] == {"alone": 7, "right": 7}
    assert [(one["before"], one["after"], one["cases"]) for one in found["changes"]] == [
        ("housing", "parks", 5),
        ("housing", None, 1),
        (None, "housing", 1),
        (None, "parks", 1),
    ]
    assert found["changes"][0]["examples"] == [UUID(int=number) for number in range(EXAMPLES)]


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_pages_word_every_ground_with_what_belongs_to_it(language: str) -> None:
    words = json.loads((CHECKOUT / f"web/src/words/{language}.json").read_text("utf-8"))["ground"]
    assert set(words) == {*SENTENCES, "between"}
    for code, said in SENTENCES.items():
        # Instead of a version and a figure the pages say by what a category was found, and how surely.
        put = {"classifier": "by", "confidence": "sure"} if code == "judged" else {}
        told = {put.get(name, name) for name in re.findall(r"{(\w+)}", said)}
        assert set(re.findall(r"{(\w+)}", words[code])) == told


@pytest.mark.parametrize("language", ["zh", "en"])
def test_the_pages_word_every_ground_of_a_deadline_with_what_belongs_to_it(language: str) -> None:
    words = json.loads((CHECKOUT / f"web/src/words/{language}.json").read_text("utf-8"))
    begin = datetime(2022, 3, 1, 9, tzinfo=CHINA)
    found = deadline(
        "",
        Limit(3, "days", "浙江规定"),
        begin,
        ChinaCalendar(),
        pauses=[Pause(begin, begin + timedelta(days=4)), Pause(begin + timedelta(days=5))],
        extensions=[Extension(Limit(2, "days", "浙江规定"), "staff", begin)],
    )
    grounds = why_due(found)
    assert {one.code for one in grounds} >= {"limit", "extension", "pause", "stopped"}
    assert set(words["dueGround"]) == set(get_args(StepKind))
    assert set(words["amount"]) == set(UNITS_CHINESE)
    for one in grounds:
        gaps = set(re.findall(r"{(\w+)}", words["dueGround"][one.code]))
        known = {*one.about, *(["amount"] if {"number", "unit"} <= one.about.keys() else []), "year"}
        assert gaps <= known


def test_a_wrong_draft_is_refused_with_its_line_before_any_suite_is_asked(tmp_path: Path) -> None:
    draft = tmp_path / "draft.yaml"
    draft.write_text(CATALOGUE.replace("城乡建设, 环境保护", "城乡建设, 宇航"), "utf-8")
    done = CliRunner().invoke(app, ["routing", "replay", str(draft)])
    assert done.exit_code == 1
    assert "draft.yaml:8: rules.2.categories.1: is no category of the taxonomy" in done.stderr
    assert CliRunner().invoke(app, ["routing", "replay"]).exit_code == 2


def test_the_replay_is_printed_with_every_figure_and_example() -> None:
    compared = Comparison()
    compared.add(Past(UUID(int=7), None, "housing"), "housing")
    compared.add(Past(UUID(int=8), "housing", "housing"), "housing")
    printed = StringIO()
    found = {**compared.result(), "not_active": ["gone"], "newest_only": False}
    routing_replay.show(Console(file=printed, width=160), json.loads(json.dumps(found, default=str)))
    lines = printed.getvalue()
    assert "2 cases: 1 would go elsewhere, 1 as they did" in lines
    assert "as they were routed: 1 without staff, 1 of these to that department" in lines
    assert "by the draft: 2 without staff, 2 of these to that department" in lines
    assert "gone, which is no active department" in lines
    assert re.search(rf"staff 待分流 +│ housing +│ 1 +│ {UUID(int=7)}", lines)
