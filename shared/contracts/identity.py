"""Messages of identity: deputies, stations, departments and staff."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from shared.contracts.registry import Contract, command, event

Level = Literal["city", "county", "town"]
Occupation = Literal["worker", "farmer", "professional", "official", "manager", "military", "other"]
OCCUPATIONS: Mapping[str, str] = {
    "worker": "工人",
    "farmer": "农民",
    "professional": "专业技术人员",
    "official": "党政领导干部",
    "manager": "企业经营管理人员",
    "military": "解放军和武警",
    "other": "其他",
}
"""What a congress's statistics count its deputies by 代表构成, in their order, with the Chinese titles."""
DepartmentCode = Annotated[str, Field(pattern=r"^[a-z0-9-]{2,40}$")]
PlaceCode = Annotated[str, Field(pattern=r"^[1-9]\d{5}(\d{3}){0,2}$")]
"""County, town or village by GB/T 2260 and 统计用区划代码: 6, 9 or 12 digits, so that no telephone number fits."""
TownCode = Annotated[str, Field(pattern=r"^[1-9]\d{5}(\d{3}){1,2}$")]
"""A town 乡镇(街道), or what lies in it; its first six digits are its county."""
StationCode = Annotated[str, Field(pattern=r"^[0-9a-hjkmnp-tv-z]{10}$")]
"""The public code of a station 代表联络站."""
KnownPlaceCode = Annotated[str, Field(pattern=r"^\d{4,12}$")]
"""A place as facts name it: what was written before `PlaceCode` became exact is still read."""


def congress_of(level: str, county: str | None, town: str | None) -> str | None:
    """The place of the congress that somebody is a deputy of; None for the city's, wherever they were elected."""
    return {"county": county, "town": town}.get(level)


@command("roster.import", owner="identity", roles=("staff", "operator"), key="import id")
class ImportRoster(Contract):
    """One part of a roster file 代表名册; each row is judged by itself, never half applied.

    `rows` hold the cells by column name as text; `first_line` is the line number of the first of
    them in the file (the heading is line 1). `part` of `parts` counts from 1.
    """

    part: int = Field(ge=1)
    parts: int = Field(ge=1)
    first_line: int = Field(ge=2)
    rows: tuple[dict[str, str], ...] = Field(max_length=500)


@command("department.register", owner="identity", roles=("staff", "operator"), key="department code")
class RegisterDepartment(Contract):
    """Register or change a department 承办单位 and what it is responsible for."""

    name: str = Field(min_length=1, max_length=100)
    categories: tuple[str, ...] = Field(default=(), description="case categories it handles")
    counties: tuple[PlaceCode, ...] = Field(default=(), description="counties it serves; empty = all")
    state: Literal["active", "left"] = "active"


@command("staff.register", owner="identity", roles=("staff", "operator"), key="staff id")
class RegisterStaff(Contract):
    """Register or change a member of staff 人大工作者."""

    name: str = Field(min_length=1, max_length=100)
    organisation: str = Field(min_length=1, max_length=40, description="place code of the congress")
    state: Literal["active", "left"] = "active"


@command("station.register", owner="identity", roles=("staff", "operator"), key="station id")
class RegisterStation(Contract):
    """Register or change a station 代表联络站, where deputies receive residents; its public code follows from its id."""

    name: str = Field(min_length=1, max_length=100)
    town: TownCode
    state: Literal["open", "closed"] = "open"


@command(
    "password.set", owner="identity", roles=("deputy", "staff", "department", "operator"), key="person id"
)
class SetPassword(Contract):
    """Set one's own sign-in name and password. `sealed` is a JWE for identity of {"login", "password"}."""

    sealed: str = Field(max_length=4096, repr=False)


@event("deputy.changed", owner="identity", key="deputy id")
class DeputyChanged(Contract):
    """The whole present state of a deputy 人大代表."""

    deputy_id: UUID
    number: str = Field(description="number on the roster")
    name: str
    level: Level
    occupation: Occupation | None = Field(
        default=None, description="occupation 职业; None where the roster does not tell it"
    )
    county: KnownPlaceCode | None = Field(
        default=None, description="None for a city-level deputy without one"
    )
    town: KnownPlaceCode | None = None
    constituency: str
    code: str = Field(description="public code 代表码")
    term_from: date
    term_until: date
    state: Literal["active", "suspended", "left"]
    station: StationCode | None = Field(default=None, description="code of the station 代表联络站")


@event("department.changed", owner="identity", key="department code")
class DepartmentChanged(Contract):
    """The whole present state of a department 承办单位."""

    code: DepartmentCode
    name: str
    categories: tuple[str, ...]
    counties: tuple[KnownPlaceCode, ...]
    state: Literal["active", "left"]


@event("staff.changed", owner="identity", key="staff id")
class StaffChanged(Contract):
    """The whole present state of a member of staff 人大工作者."""

    staff_id: UUID
    name: str
    organisation: str
    state: Literal["active", "left"]


@event("station.changed", owner="identity", key="station id")
class StationChanged(Contract):
    """The whole present state of a station 代表联络站; its deputies name it in `deputy.changed`."""

    station_id: UUID
    name: str
    town: KnownPlaceCode
    code: StationCode
    state: Literal["open", "closed"]
