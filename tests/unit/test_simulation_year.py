"""The script of the year ends with the reported figures and breaks no rule of time on its way."""

from __future__ import annotations

import json
from collections import Counter
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from examples.department_system import department_system as department
from services.cases.routing.desk import judge_texts
from services.cases.routing.rules_file import shipped_taxonomy
from simulation.case_texts import CaseText, MessagesError, generated_text, read_messages
from simulation.cases import (
    CASES_ASKED,
    CASES_CO_HANDLED,
    CASES_DISPUTED,
    CASES_EXTENDED,
    CASES_SPLIT,
    CASES_TRANSFERRED,
    CONCERNS,
    CONCERNS_OBJECTED,
    CONCERNS_UNSATISFIED,
    STORM_DAY,
)
from simulation.city import CATEGORIES, City, Scale, build_city
from simulation.motions import BILL_SIGNERS, write_session
from simulation.report import Figure, figures
from simulation.script import END, LAUNCH
from simulation.year import TRAINING_DAY, Year, write_year

SCALES = st.sampled_from([Scale(2), Scale(10), Scale(20), Scale(100)])


@pytest.fixture(scope="module")
def city() -> City:
    return build_city(1, Scale(1))


@pytest.fixture(scope="module")
def year(city: City) -> Year:
    return write_year(city, 1, Scale(1))


def _expected(city: City, year: Year) -> dict[str, Figure]:
    return {figure.name.strip(): figure for figure in figures(city, year)}


def test_the_full_script_ends_with_the_reported_figures(city: City, year: Year) -> None:
    expected = {name: figure.expected for name, figure in _expected(city, year).items()}
    assert expected["deputies"] == 9_185
    assert expected["cases filed 督事"] == 7_345
    assert expected["cases closed 办结"] == 6_941
    assert expected["training completed 初任培训"] > 8_000
    assert expected["legislative consultations"] == 12
    assert expected["thematic activities"] == 10
    assert expected["questionnaire, respondents"] == 3_642
    assert expected["questionnaire, opinions"] >= 1_500


@given(seed=st.integers(0, 1_000), scale=SCALES)
@settings(max_examples=6)
def test_at_every_scale_each_figure_is_the_reported_one_divided_and_rounded_up(
    seed: int, scale: Scale
) -> None:
    city = build_city(seed, scale)
    for figure in figures(city, write_year(city, seed, scale)):
        if figure.reported is None:
            continue
        if figure.name in {"legislative consultations", "thematic activities"}:
            assert figure.expected == figure.reported
        elif figure.name == "  answered, still open":  # a difference of two rounded numbers
            assert abs(figure.expected - figure.reported / scale.divisor) <= 1
        else:
            assert figure.expected == scale.of(figure.reported)


@given(seed=st.integers(0, 1_000))
@settings(max_examples=3)
def test_one_seed_gives_one_script(seed: int) -> None:
    city = build_city(seed, Scale(100))
    assert write_year(city, seed, Scale(100)) == write_year(city, seed, Scale(100))
    assert write_year(city, seed, Scale(100)) != write_year(city, seed + 1, Scale(100))


@given(seed=st.integers(0, 1_000), scale=SCALES)
@settings(max_examples=6)
def test_residents_concerns_have_instants_of_their_own_and_the_explained_ones_end_there(
    seed: int, scale: Scale
) -> None:
    cases = write_year(build_city(seed, scale), seed, scale).cases
    concerns = [case for case in cases if case.submitted_at is not None]
    assert len(concerns) == scale.of(CONCERNS)
    assert len({case.submitted_at for case in concerns}) == len(concerns)
    assert all(case.origin == "resident" and case.merged_into is None for case in concerns)
    assert any(case.explained for case in cases) or scale.divisor == 100
    for case in cases:
        if case.explained:
            assert None not in (case.submitted_at, case.closed_at)
            assert (case.rated_at, case.reopened_at, case.life) == (None, None, None)
        if case.resident_rated_at is not None:
            assert None not in (case.submitted_at, case.closed_at, case.resident_stars)


@given(seed=st.integers(0, 1_000), scale=SCALES)
@settings(max_examples=6)
def test_every_instant_lies_in_the_year_and_steps_of_one_thing_rise(seed: int, scale: Scale) -> None:
    city = build_city(seed, scale)
    year = write_year(city, seed, scale)
    ways = [
        [c.submitted_at, c.filed_at, c.closed_at, c.doubted_at, c.closed_again_at, c.rated_at]
        for c in year.cases
    ]
    ways += [[c.filed_at, c.reopened_at, c.closed_at] for c in year.cases if c.reopened_at is not None]
    ways += [
        [c.closed_at, c.doubted_at, c.closed_again_at, c.resident_rated_at]
        for c in year.cases
        if c.resident_rated_at is not None
    ]
    wholes = {c.id: c for c in year.cases}
    for part in year.cases:
        if part.split_from is not None:
            whole = wholes[part.split_from]
            ways.append([whole.filed_at, part.filed_at, whole.closed_at])
    ways += [[year.training.published_at, a.progressed_at, a.completed_at] for a in year.training.attendees]
    ways += [[c.opened_at, answer.at, c.closes_at] for c in year.consultations for answer in c.answers]
    ways += [
        [a.announced_at, one.signed_up_at, a.starts_at] for a in year.activities for one in a.attendances
    ]
    ways += [[d.declared_at, d.decided_at] for d in year.duties]
    ways += [
        [
            m.drafted_at,
            m.submitted_at,
            m.given_back_at,
            m.examined_at,
            m.assigned_at,
            m.rated_at,
            m.rated_again_at,
        ]
        for m in year.motions
    ]
    for way in ways:
        instants = [instant for instant in way if instant is not None]
        assert all(LAUNCH <= instant <= END for instant in instants)
        assert all(earlier < later for earlier, later in pairwise(instants))
    for activity in year.activities:
        checked_in = [one.checked_in_at for one in activity.attendances if one.checked_in_at is not None]
        assert all(activity.starts_at <= instant <= activity.ends_at for instant in checked_in)
    for duty in year.duties:
        assert timedelta(0) <= duty.declared_at.date() - duty.happened_on <= timedelta(days=2)


def test_nobody_does_twice_what_counts_once(year: Year) -> None:
    everything = [[a.deputy for a in year.training.attendees]]
    everything += [[answer.deputy for answer in c.answers] for c in year.consultations]
    everything += [[one.deputy for one in a.attendances] for a in year.activities]
    assert all(len(people) == len(set(people)) for people in everything)
    ids = [c.id for c in year.cases] + [d.id for d in year.duties] + [a.id for a in year.activities]
    assert len(ids) == len(set(ids))


def test_only_closed_cases_are_rated(year: Year) -> None:
    for case in year.cases:
        assert (case.rated_at is None) == (case.stars is None)
        if case.rated_at is not None:
            assert case.closed_at is not None
            assert case.closed_at < case.rated_at


def test_the_storm_day_brings_more_cases_than_any_other(year: Year) -> None:
    by_day = Counter(case.filed_at.date() for case in year.cases)
    assert by_day.most_common(1)[0][0] == STORM_DAY
    assert by_day[STORM_DAY] > 5 * by_day[STORM_DAY - timedelta(days=7)]


def test_reports_of_one_storm_matter_become_one_case_that_nothing_routes_before_staff_read_it(
    year: Year,
) -> None:
    by_id = {case.id: case for case in year.cases}
    merged = [case for case in year.cases if case.merged_into is not None]
    assert merged
    for case in merged:
        assert case.merged_into is not None
        whole = by_id[case.merged_into]
        assert whole.merged_into is None
        assert (case.closed_at, case.county) == (whole.closed_at, whole.county)
        for report in (case, whole):
            assert report.chosen is None
            [judged] = judge_texts([f"{report.title}\n{report.text}"], None, shipped_taxonomy())
            assert judged.category is None


def test_a_case_is_sent_back_before_it_is_closed_and_never_with_others_in_it(year: Year) -> None:
    parents = {case.merged_into for case in year.cases}
    reopened = [case for case in year.cases if case.reopened_at is not None]
    assert reopened
    for case in reopened:
        assert case.reopened_at is not None
        assert case.closed_at is not None
        assert case.filed_at < case.reopened_at < case.closed_at
        assert case.merged_into is None
        assert case.id not in parents


def test_a_session_has_every_fate_of_a_motion_and_bills_have_their_signers(city: City, year: Year) -> None:
    fates = Counter(motion.fate for motion in year.motions)
    assert set(fates) == {"accepted", "turned", "passed", "not-accepted", "withdrawn", "draft"}
    for motion in year.motions:
        people = [motion.author, *motion.cosigners, *motion.declining]
        assert len(set(people)) == len(people)
        assert {city.deputies[who].level for who in people} == {"city"}
        assert motion.kind == "suggestion" or len(motion.cosigners) + 1 >= BILL_SIGNERS
        assert motion.fate not in ("turned", "passed") or motion.kind == "bill"
        assert motion.lead not in motion.co
    assert any(motion.rated_again_at for motion in year.motions)
    assert any(motion.given_back_at for motion in year.motions)


def test_a_city_with_few_deputies_has_a_session_without_bills() -> None:
    motions = write_session(build_city(1, Scale(100)), 1, Scale(100))
    assert {motion.kind for motion in motions} == {"suggestion"}


def test_what_a_case_says_decides_what_its_department_does_before_it_answers(year: Year) -> None:
    cues = {
        "disputed": (department.DISPUTED, CASES_DISPUTED),
        "extended": (department.CONCERNS_MANY, CASES_EXTENDED),
        "transferred": (department.ELSEWHERE, CASES_TRANSFERRED),
        "co-handled": (department.TOGETHER, CASES_CO_HANDLED),
        "asked": (department.INCOMPLETE, CASES_ASKED),
    }
    for life, (cue, number) in cues.items():
        lived = [case for case in year.cases if case.life == life]
        assert len(lived) == number
        assert {case.id for case in lived} == {case.id for case in year.cases if cue in case.text}
        assert not [case for case in lived if case.merged_into is not None]
    extended = [case for case in year.cases if case.life == "extended"]
    assert {case.extension for case in extended} == {True, False}
    assert {case.extension for case in year.cases if case.life != "extended"} == {None}


@given(seed=st.integers(0, 1_000), scale=SCALES)
@settings(max_examples=6)
def test_a_part_is_one_of_the_cases_filed_and_has_the_filer_and_place_of_its_whole(
    seed: int, scale: Scale
) -> None:
    cases = write_year(build_city(seed, scale), seed, scale).cases
    by_id = {case.id: case for case in cases}
    parts = [case for case in cases if case.split_from is not None]
    assert len(parts) == scale.of(CASES_SPLIT)
    for part in parts:
        assert part.split_from is not None
        whole = by_id[part.split_from]
        assert (part.deputy, part.county, part.town, part.origin) == (
            whole.deputy,
            whole.county,
            whole.town,
            whole.origin,
        )
        for case in (part, whole):
            assert case.merged_into is None
            assert case.submitted_at is None
    assert not {part.id for part in parts} & {part.split_from for part in parts}


def test_residents_who_are_not_content_object_to_an_explanation_or_have_the_case_handled_again(
    year: Year,
) -> None:
    doubted = [case for case in year.cases if case.doubted_at is not None]
    assert sum(case.explained for case in doubted) == CONCERNS_OBJECTED
    assert sum(case.taken_up for case in doubted) == CONCERNS_UNSATISFIED
    for case in doubted:
        assert None not in (case.submitted_at, case.closed_at, case.closed_again_at)
        assert case.reopened_at is None


def test_the_training_is_one_evening_of_county_and_town_deputies(city: City, year: Year) -> None:
    assert all(
        a.completed_at.date() == TRAINING_DAY and a.completed_at.hour >= 19 for a in year.training.attendees
    )
    assert {city.deputies[a.deputy].level for a in year.training.attendees} == {"county", "town"}
    right = {key: index for key, _, _, index in year.training.quiz}
    for attendee in year.training.attendees:
        marks = sum(attendee.answers[key] == index for key, index in right.items()) * 100 // len(right)
        assert marks >= year.training.pass_mark


def test_a_countys_activity_is_for_its_own_deputies(city: City, year: Year) -> None:
    local = [activity for activity in year.activities if activity.county is not None]
    assert local
    for activity in local:
        assert {city.deputies[one.deputy].county for one in activity.attendances} == {activity.county}


def test_a_case_lies_in_its_filers_county(city: City, year: Year) -> None:
    towns = {town.code: town for town in city.towns}
    for case in year.cases:
        filer = city.deputies[case.deputy]
        assert case.county == filer.county == towns[case.town].county
        assert filer.town in (None, case.town)
        assert towns[case.town].name in case.title


def test_generated_texts_vary(year: Year) -> None:
    assert len({case.text for case in year.cases}) > 0.95 * len(year.cases)
    assert {case.category for case in year.cases} == set(CATEGORIES)


@given(seed=st.integers(0, 10_000), category=st.sampled_from(CATEGORIES), storm=st.booleans())
def test_a_generated_text_fits_a_case_and_names_its_place(seed: int, category: str, storm: bool) -> None:
    import random

    text = generated_text(random.Random(seed), "东桥镇", category, storm=storm)
    assert text.title.startswith("东桥镇")
    assert "东桥镇" in text.text
    assert 0 < len(text.title) <= 200
    assert "{" not in text.title + text.text


def test_real_messages_replace_the_generated_texts(city: City) -> None:
    scale = Scale(100)
    messages = [CaseText(f"标题{n}", f"正文{n}", None) for n in range(100)]
    cases = write_year(build_city(1, scale), 1, scale, messages).cases
    real = [case for case in cases if "台风" not in case.title]
    assert len(real) > len(cases) / 2
    assert {case.title for case in real} < {message.title for message in messages}
    assert len({case.title for case in cases}) == len(cases)
    assert all(case.chosen is None for case in cases)


def test_too_few_messages_are_refused() -> None:
    scale = Scale(100)
    with pytest.raises(ValueError, match="only 1 messages"):
        write_year(build_city(1, scale), 1, scale, [CaseText("标题", "正文", None)])


def test_messages_are_read_from_several_files(tmp_path: Path) -> None:
    one, two = tmp_path / "one.jsonl", tmp_path / "two.jsonl"
    rows = [
        {"subject": " 路灯不亮 ", "body": "第一行\u2028第二行", "label": "城乡建设"},
        {"subject": "长" * 300, "body": "字"},
    ]
    one.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n\n", encoding="utf-8")
    two.write_text(json.dumps({"subject": "甲", "body": "乙"}), encoding="utf-8")
    found = read_messages([one, two])
    assert [text.category for text in found] == ["城乡建设", None, None]
    assert found[0].title == "路灯不亮"
    assert len(found[1].title) == 200


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "line 1: is not JSON"),
        ("[1]", "needs the texts"),
        ('{"subject": "甲"}', "needs the texts"),
        ('{"subject": "甲", "body": 5}', "needs the texts"),
        ('{"subject": " ", "body": "乙"}', "is empty"),
    ],
)
def test_a_wrong_message_is_named_by_file_and_line(tmp_path: Path, line: str, complaint: str) -> None:
    path = tmp_path / "messages.jsonl"
    path.write_text(line, encoding="utf-8")
    with pytest.raises(MessagesError, match=complaint) as raised:
        read_messages([path])
    assert "乙" not in str(raised.value)


def test_unreadable_files_of_messages_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MessagesError, match="cannot be read"):
        read_messages([tmp_path / "none.jsonl"])
    path = tmp_path / "latin.jsonl"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(MessagesError, match="UTF-8"):
        read_messages([path])
