"""The city: its counties and towns, its deputies, stations, departments and congress staff. Pure and seeded.

Invariants: the same seed, scale and divisions give the same city; the parts of a number (deputies by
level, by county, by town) add up to it exactly; town-level deputies sit only where a town congress
exists, so in towns 镇 and townships 乡 and never in streets 街道 (地方组织法); a department code fits
`^[a-z0-9-]{2,40}$`.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Literal
from uuid import UUID, uuid5

Level = Literal["city", "county", "town"]
Occupation = Literal["worker", "farmer", "professional", "official", "manager", "military", "other"]

CITY_CODE = "3302"
CITY_NAME = "宁波市"

DEPUTIES = 9_185
"""Deputies of three levels that the city reported for the year."""
DEPUTIES_OF_CITY = 500
DEPUTIES_OF_COUNTIES = 2_700

TERM_FROM = date(2021, 7, 1)
TERM_UNTIL = date(2026, 12, 31)
"""One term covers the year: the city reported one number of deputies for the whole of it."""

CATEGORIES = (
    "城乡建设",
    "劳动和社会保障",
    "教育文体",
    "商贸旅游",
    "环境保护",
    "卫生计生",
    "交通运输",
    "公共安全",
)

_NAMESPACE = UUID("6a3f4be1-5a0f-5d0c-9d53-1f0f6a7c2f10")

# County code, name, name in a department code, number of towns and streets.
_COUNTIES = (
    ("330203", "海曙区", "haishu", 17),
    ("330205", "江北区", "jiangbei", 8),
    ("330206", "北仑区", "beilun", 11),
    ("330211", "镇海区", "zhenhai", 6),
    ("330212", "鄞州区", "yinzhou", 21),
    ("330213", "奉化区", "fenghua", 12),
    ("330225", "象山县", "xiangshan", 18),
    ("330226", "宁海县", "ninghai", 18),
    ("330281", "余姚市", "yuyao", 21),
    ("330282", "慈溪市", "cixi", 24),
)
_TOWN_FIRST = "东西南北上下新大高长白青石云龙凤梅松竹金银清古横双安永和泰庆"
_TOWN_SECOND = "桥浦塘湖溪山岙渡港江林田峰埠城堰坑湾屿河潭岭滨亭"
_SURNAMES = "王陈李张徐林周吴胡郑叶金朱沈俞应方邵潘何孙杨黄蒋余毛鲍卢史董钱童竺柴舒虞戴励邬裘"
_GIVEN = (
    "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉兰飞鑫波斌宇浩凯晨佳倩琳欣怡雯婷瑶海"
    "国建文志永春红梅萍燕玲亚立忠良德仁义礼信安康宁远航帆岚峰岩松柏"
)

# Of a hundred deputies of each level; made up, no congress's figures.
_OCCUPATIONS: dict[Level, dict[Occupation, int]] = {
    "city": {
        "official": 32,
        "professional": 22,
        "manager": 20,
        "worker": 9,
        "farmer": 8,
        "military": 3,
        "other": 6,
    },
    "county": {
        "official": 28,
        "professional": 19,
        "manager": 20,
        "worker": 12,
        "farmer": 14,
        "military": 1,
        "other": 6,
    },
    "town": {"farmer": 40, "worker": 15, "manager": 17, "official": 12, "professional": 8, "other": 8},
}

# Department code, name and category of the city's own offices.
_CITY_DEPARTMENTS = (
    ("housing", "市住房和城乡建设局", "城乡建设"),
    ("labour", "市人力资源和社会保障局", "劳动和社会保障"),
    ("education", "市教育局", "教育文体"),
    ("commerce", "市商务局", "商贸旅游"),
    ("environment", "市生态环境局", "环境保护"),
    ("health", "市卫生健康委员会", "卫生计生"),
    ("transport", "市交通运输局", "交通运输"),
    ("public-safety", "市公安局", "公共安全"),
)
# Offices of the counties: every county has the first, only the biggest counties the second.
_COUNTY_URBAN = ("urban", "综合行政执法局", "城乡建设")
_COUNTY_TRANSPORT = ("transport", "交通运输局", "交通运输")
_COUNTIES_WITH_TRANSPORT = 4


class DivisionsError(ValueError):
    """A divisions file that cannot be used; the message says where and why."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How much of the year is played: one part in `divisor`.

    People, cases and answers are divided and rounded up; counties, towns, consultations and
    activities are not divided.
    """

    divisor: int = 1

    @classmethod
    def parse(cls, value: float | str) -> Scale:
        """The scale written as a number: 1, 0.1, 0.05; ValueError unless it is one part in a whole number."""
        try:
            share = float(value)
        except ValueError as error:
            raise ValueError(f"SCALE is {value!r}, but must be a number such as 1, 0.1 or 0.05") from error
        if not 0.01 <= share <= 1 or abs(1 / share - round(1 / share)) > 1e-6:
            raise ValueError(
                f"SCALE is {value}, but must be one part in a whole number, such as 1, 0.5, 0.1 or 0.05 (least 0.01)"
            )
        return cls(round(1 / share))

    def of(self, number: int) -> int:
        """A number of the full year at this scale, rounded up."""
        return -(-number // self.divisor)


@dataclass(frozen=True, slots=True)
class Town:
    """A town 镇, township 乡 or street 街道; only the first two elect a congress of their own."""

    code: str
    name: str
    county: str

    @property
    def has_congress(self) -> bool:
        """Whether town-level deputies are elected here."""
        return not self.name.endswith("街道")


@dataclass(frozen=True, slots=True)
class County:
    """A county, district or county-level city with its towns; `slug` is its name in department codes."""

    code: str
    name: str
    slug: str
    towns: tuple[Town, ...]


@dataclass(frozen=True, slots=True)
class Deputy:
    """One deputy as the roster says; `number` is unique in the city."""

    number: str
    name: str
    level: Level
    county: str
    town: str | None
    constituency: str
    occupation: Occupation


@dataclass(frozen=True, slots=True)
class Station:
    """A station 代表联络站 in a town; deputies name it by their `town`."""

    id: UUID
    name: str
    town: str


@dataclass(frozen=True, slots=True)
class Department:
    """An office that handles cases; `counties` empty means the whole city."""

    code: str
    name: str
    categories: tuple[str, ...]
    counties: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StaffMember:
    """A member of congress staff; `organisation` is the place code of the congress."""

    id: UUID
    name: str
    organisation: str


@dataclass(frozen=True)
class City:
    """The whole city. `deputies` are sorted city, counties, towns."""

    code: str
    name: str
    counties: tuple[County, ...]
    deputies: tuple[Deputy, ...] = field(repr=False)
    departments: tuple[Department, ...] = field(repr=False)
    staff: tuple[StaffMember, ...] = field(repr=False)

    @property
    def towns(self) -> tuple[Town, ...]:
        """All towns and streets, county by county."""
        return tuple(town for county in self.counties for town in county.towns)

    @property
    def stations(self) -> tuple[Station, ...]:
        """A station in each town that has deputies of its own, who belong to it."""
        manned = {deputy.town for deputy in self.deputies}
        return tuple(
            Station(uuid5(_NAMESPACE, f"station/{town.code}"), f"{town.name}代表联络站", town.code)
            for town in self.towns
            if town.code in manned
        )

    def divisions(self) -> dict[str, Any]:
        """Its divisions in the form of a divisions file."""
        return {
            "code": self.code,
            "name": self.name,
            "children": [
                {
                    "code": county.code,
                    "name": county.name,
                    "children": [{"code": town.code, "name": town.name} for town in county.towns],
                }
                for county in self.counties
            ],
        }

    def staff_of(self, organisation: str) -> StaffMember:
        """The member of staff who works for a congress; KeyError for a place without one."""
        for member in self.staff:
            if member.organisation == organisation:
                return member
        raise KeyError(organisation)

    def department_for(self, category: str, county: str) -> Department:
        """The city's own choice for a category and county: the county's office, else the city's.

        KeyError for a category that no department handles.
        """
        able = [
            d
            for d in self.departments
            if category in d.categories and (not d.counties or county in d.counties)
        ]
        if not able:
            raise KeyError(category)
        return max(able, key=lambda d: len(d.counties) > 0)


def build_city(seed: int, scale: Scale, divisions: Path | None = None) -> City:
    """The city of a seed. `divisions` names a JSON file {code, name, children} that replaces the generated towns.

    Raises DivisionsError when that file cannot be used.
    """
    if divisions is None:
        code, name, counties = CITY_CODE, CITY_NAME, _generated_counties(seed)
    else:
        code, name, counties = read_divisions(divisions)
    return City(
        code=code,
        name=name,
        counties=counties,
        deputies=_deputies(seed, scale, counties),
        departments=_departments(counties),
        staff=_staff(seed, code, counties),
    )


def read_divisions(path: Path) -> tuple[str, str, tuple[County, ...]]:
    """City code, city name and counties of a divisions file; DivisionsError says what is wrong with it."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DivisionsError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise DivisionsError(f"{path}: is not JSON: {error}") from error
    code, name, children = _division(path, raw)
    if not 1 <= len(children) <= 30:
        raise DivisionsError(f"{path}: {name} has {len(children)} counties, expected 1 to 30")
    counties = []
    slugs = {known: slug for known, _, slug, _ in _COUNTIES}
    for child in children:
        county_code, county_name, towns = _division(path, child)
        if not towns:
            raise DivisionsError(f"{path}: {county_name} ({county_code}) has no towns")
        counties.append(
            County(
                county_code,
                county_name,
                slugs.get(county_code, county_code),
                tuple(Town(*_division(path, town)[:2], county_code) for town in towns),
            )
        )
    codes = [county.code for county in counties] + [town.code for county in counties for town in county.towns]
    if doubled := [c for c, times in Counter(codes).items() if times > 1]:
        raise DivisionsError(f"{path}: code {doubled[0]} stands there twice")
    if not any(town.has_congress for county in counties for town in county.towns):
        raise DivisionsError(f"{path}: has streets only, so no town-level deputy could be elected")
    return code, name, tuple(counties)


def _division(path: Path, raw: Any) -> tuple[str, str, list[Any]]:
    if not isinstance(raw, dict):
        raise DivisionsError(f"{path}: expected {{code, name, children}}, found {type(raw).__name__}")
    code, name, children = raw.get("code"), raw.get("name"), raw.get("children", [])
    if not isinstance(code, str) or not code.isdigit() or not 4 <= len(code) <= 12:
        raise DivisionsError(f"{path}: {name!r} has code {code!r}, expected 4 to 12 digits in quotes")
    if not isinstance(name, str) or not name or not isinstance(children, list):
        raise DivisionsError(f"{path}: {code} lacks a name, or its children are no list")
    return code, name, children


def apportion(total: int, weights: Sequence[float]) -> list[int]:
    """`total` split by weight into whole parts that add up to it (largest remainder).

    Every part is its exact share rounded down or up. Weights must be >= 0 with a sum > 0.
    """
    scale = total / sum(weights)
    exact = [weight * scale for weight in weights]
    parts = [int(share) for share in exact]
    by_remainder = sorted(range(len(parts)), key=lambda i: (parts[i] - exact[i], i))
    for i in by_remainder[: total - sum(parts)]:
        parts[i] += 1
    return parts


def _generated_counties(seed: int) -> tuple[County, ...]:
    rng = random.Random(f"{seed}/towns")
    stems = [a + b for a in _TOWN_FIRST for b in _TOWN_SECOND]
    names = iter(rng.sample(stems, sum(number for *_, number in _COUNTIES)))
    counties = []
    for code, name, slug, number in _COUNTIES:
        # Urban districts have more streets than counties; the codes follow the national habit:
        # streets from 001, towns from 100, townships from 200.
        streets = number * 3 // 5 if name.endswith("区") else number // 4
        townships = number // 8
        kinds = (
            [("街道", 1 + i) for i in range(streets)]
            + [("镇", 100 + i) for i in range(number - streets - townships)]
            + [("乡", 200 + i) for i in range(townships)]
        )
        towns = tuple(Town(f"{code}{serial:03}", next(names) + kind, code) for kind, serial in kinds)
        counties.append(County(code, name, slug, towns))
    return tuple(counties)


def _deputies(seed: int, scale: Scale, counties: tuple[County, ...]) -> tuple[Deputy, ...]:
    rng, callings = random.Random(f"{seed}/deputies"), random.Random(f"{seed}/occupations")
    total, of_city, of_counties = (
        scale.of(DEPUTIES),
        scale.of(DEPUTIES_OF_CITY),
        scale.of(DEPUTIES_OF_COUNTIES),
    )
    by_size = [float(len(county.towns)) for county in counties]
    deputies: list[Deputy] = []
    for county, seats in zip(counties, apportion(of_city, by_size), strict=True):
        deputies += [
            Deputy(
                f"S{county.code}-{n:03}",
                _name(rng),
                "city",
                county.code,
                None,
                f"{county.name}选举单位",
                _occupation(callings, "city"),
            )
            for n in range(1, seats + 1)
        ]
    for county, seats in zip(counties, apportion(of_counties, by_size), strict=True):
        deputies += [
            Deputy(
                f"X{county.code}-{n:03}",
                _name(rng),
                "county",
                county.code,
                None,
                f"{county.name}第{n:03}选区",
                _occupation(callings, "county"),
            )
            for n in range(1, seats + 1)
        ]
    towns = [town for county in counties for town in county.towns if town.has_congress]
    seats_of_towns = apportion(total - of_city - of_counties, [rng.uniform(0.7, 1.3) for _ in towns])
    for town, seats in zip(towns, seats_of_towns, strict=True):
        deputies += [
            Deputy(
                f"Z{town.code}-{n:03}",
                _name(rng),
                "town",
                town.county,
                town.code,
                f"{town.name}第{n:02}选区",
                _occupation(callings, "town"),
            )
            for n in range(1, seats + 1)
        ]
    return tuple(deputies)


def _departments(counties: tuple[County, ...]) -> tuple[Department, ...]:
    departments = [Department(code, name, (category,)) for code, name, category in _CITY_DEPARTMENTS]
    kind, name, category = _COUNTY_URBAN
    departments += [
        Department(f"{county.slug}-{kind}", county.name + name, (category,), (county.code,))
        for county in counties
    ]
    kind, name, category = _COUNTY_TRANSPORT
    biggest = sorted(counties, key=lambda county: len(county.towns), reverse=True)[:_COUNTIES_WITH_TRANSPORT]
    departments += [
        Department(f"{county.slug}-{kind}", county.name + name, (category,), (county.code,))
        for county in biggest
    ]
    return tuple(departments)


def _staff(seed: int, city_code: str, counties: tuple[County, ...]) -> tuple[StaffMember, ...]:
    rng = random.Random(f"{seed}/staff")
    return tuple(
        StaffMember(uuid5(_NAMESPACE, f"{seed}/staff/{organisation}"), _name(rng), organisation)
        for organisation in (city_code, *(county.code for county in counties))
    )


def _occupation(rng: random.Random, level: Level) -> Occupation:
    known = _OCCUPATIONS[level]
    return rng.choices([*known], [*known.values()])[0]


def _name(rng: random.Random) -> str:
    given = rng.choice(_GIVEN)
    return rng.choice(_SURNAMES) + given + (rng.choice(_GIVEN) if rng.random() < 0.75 else "")
