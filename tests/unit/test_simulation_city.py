"""The simulated city is seeded, adds up, and follows the law on who elects a congress."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.contracts.identity import OCCUPATIONS
from simulation.city import CATEGORIES, DivisionsError, Scale, apportion, build_city, read_divisions

SCALES = st.sampled_from([Scale(1), Scale(2), Scale(10), Scale(20), Scale(100)])


@given(seed=st.integers(0, 10_000))
@settings(max_examples=5)
def test_one_seed_gives_one_city_and_another_seed_another(seed: int) -> None:
    assert build_city(seed, Scale(20)) == build_city(seed, Scale(20))
    assert build_city(seed, Scale(20)) != build_city(seed + 1, Scale(20))


def test_the_full_city_has_the_reported_numbers() -> None:
    city = build_city(1, Scale(1))
    assert len(city.counties) == 10
    assert len(city.towns) == 156
    assert len(city.deputies) == 9_185
    assert Counter(d.level for d in city.deputies) == {"city": 500, "county": 2_700, "town": 5_985}
    assert len({d.number for d in city.deputies}) == 9_185
    assert 20 <= len(city.departments) <= 40


@given(seed=st.integers(0, 100), scale=SCALES)
@settings(max_examples=10)
def test_people_are_divided_and_rounded_up_while_counties_and_towns_stay(seed: int, scale: Scale) -> None:
    city = build_city(seed, scale)
    assert len(city.deputies) == -(-9_185 // scale.divisor)
    assert (len(city.counties), len(city.towns), len(city.staff)) == (10, 156, 11)


def test_town_deputies_sit_only_where_a_town_congress_exists() -> None:
    city = build_city(1, Scale(1))
    towns = {town.code: town for town in city.towns}
    seated = {d.town for d in city.deputies if d.town is not None}
    assert all(towns[code].has_congress for code in seated)
    assert seated == {town.code for town in city.towns if town.has_congress}
    assert all((d.level == "town") == (d.town is not None) for d in city.deputies)


def test_the_city_has_deputies_of_every_occupation_and_levels_that_differ() -> None:
    counted = Counter((d.level, d.occupation) for d in build_city(1, Scale(1)).deputies)
    assert {occupation for _, occupation in counted} == set(OCCUPATIONS)
    assert counted["town", "farmer"] > counted["town", "official"]
    assert counted["city", "official"] > counted["city", "farmer"]


def test_place_and_department_codes_fit_the_contract() -> None:
    city = build_city(1, Scale(20))
    assert all(re.fullmatch(r"\d{9}", town.code) and town.code.startswith(town.county) for town in city.towns)
    assert len({town.code for town in city.towns} | {town.name for town in city.towns}) == 312
    assert all(re.fullmatch(r"[a-z0-9-]{2,40}", d.code) for d in city.departments)
    assert len({d.code for d in city.departments}) == len(city.departments)


def test_every_category_has_a_department_in_every_county_and_the_county_goes_first() -> None:
    city = build_city(1, Scale(20))
    for county in city.counties:
        for category in CATEGORIES:
            assert category in city.department_for(category, county.code).categories
        assert city.department_for("城乡建设", county.code).counties == (county.code,)
    with pytest.raises(KeyError):
        city.department_for("无此类别", "330203")


@given(total=st.integers(0, 5_000), weights=st.lists(st.floats(0.01, 100), min_size=1, max_size=60))
def test_apportioned_parts_add_up_and_are_the_exact_share_rounded(total: int, weights: list[float]) -> None:
    parts = apportion(total, weights)
    assert sum(parts) == total
    shares = [weight * total / sum(weights) for weight in weights]
    assert all(abs(part - share) < 1 + 1e-6 for part, share in zip(parts, shares, strict=True))


@pytest.mark.parametrize("text", ["0", "2", "0.3", "zehn", "-1", "nan", "0.001"])
def test_a_scale_that_is_no_part_in_a_whole_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="SCALE"):
        Scale.parse(text)


@pytest.mark.parametrize(("text", "divisor"), [("1", 1), ("0.1", 10), ("0.05", 20), ("0.01", 100)])
def test_a_scale_reads_as_one_part_in(text: str, divisor: int) -> None:
    assert Scale.parse(text).divisor == divisor
    assert Scale.parse(text).of(9_185) == -(-9_185 // divisor)


def test_a_divisions_file_replaces_counties_and_towns(tmp_path: Path) -> None:
    path = tmp_path / "divisions.json"
    towns = [{"code": "110101001", "name": "甲街道"}, {"code": "110101100", "name": "乙镇"}]
    path.write_text(
        json.dumps(
            {
                "code": "1101",
                "name": "某市",
                "children": [{"code": "110101", "name": "丙区", "children": towns}],
            }
        ),
        encoding="utf-8",
    )
    city = build_city(1, Scale(100), path)
    assert (city.code, city.name) == ("1101", "某市")
    assert [town.name for town in city.towns] == ["甲街道", "乙镇"]
    assert {d.town for d in city.deputies if d.level == "town"} == {"110101100"}
    assert len(city.deputies) == 92
    assert all(re.fullmatch(r"[a-z0-9-]{2,40}", d.code) for d in city.departments)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "is not JSON"),
        ("[]", "found list"),
        ('{"code": 1101, "name": "某市"}', "digits in quotes"),
        ('{"code": "1101", "name": ""}', "lacks a name"),
        ('{"code": "1101", "name": "某市", "children": []}', "0 counties"),
        ('{"code": "1101", "name": "某市", "children": [{"code": "110101", "name": "丙区"}]}', "no towns"),
        (
            (
                '{"code": "1101", "name": "市", "children": [{"code": "110101", "name": "区", "children":'
                ' [{"code": "110101", "name": "乙镇"}]}]}'
            ),
            "twice",
        ),
        (
            (
                '{"code": "1101", "name": "市", "children": [{"code": "110101", "name": "区", "children":'
                ' [{"code": "110101001", "name": "甲街道"}]}]}'
            ),
            "streets only",
        ),
    ],
)
def test_a_wrong_divisions_file_is_refused_with_its_reason(
    tmp_path: Path, content: str, complaint: str
) -> None:
    path = tmp_path / "divisions.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DivisionsError, match=complaint):
        read_divisions(path)


def test_a_missing_divisions_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DivisionsError, match="cannot be read"):
        read_divisions(tmp_path / "none.json")
