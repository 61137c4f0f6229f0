"""The read side of identity: the only place that reads for others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from sqlalchemy import ColumnElement, RowMapping, Table, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity import tables
from services.identity.domain import DEPARTMENT_PREFIX, county_of, is_department
from services.identity.store import Credentials
from shared.contracts.registry import Role
from shared.database.rows import dictionaries

_PERSON = """
SELECT name, 'deputy' AS role, NULL AS organisation, state = 'active' AS active FROM deputies WHERE id = $1::uuid
UNION ALL
SELECT name, 'staff', organisation, state = 'active' FROM staff WHERE id = $1::uuid
"""
_DEPARTMENT = """
SELECT name, 'department' AS role, code AS organisation, state = 'active' AS active FROM departments WHERE code = $1
"""


@dataclass(frozen=True)
class Person:
    """Somebody who can act: `person` is the id, `organisation` a department code or the place of a congress."""

    person: str
    name: str
    roles: frozenset[Role]
    organisation: str | None


async def person(connection: AsyncConnection, person_id: str) -> Person | None:
    """The deputy, member of staff or department with this id (in its one form), if active."""
    if is_department(person_id):
        rows = await connection.exec_driver_sql(_DEPARTMENT, (person_id.removeprefix(DEPARTMENT_PREFIX),))
    else:
        rows = await connection.exec_driver_sql(_PERSON, (person_id,))
    found = [row for row in rows if row.active]
    if not found:
        return None
    organisation = next((row.organisation for row in found if row.organisation is not None), None)
    return Person(person_id, found[0].name, frozenset(cast("Role", r.role) for r in found), organisation)


async def credentials(connection: AsyncConnection, login: str) -> Credentials | None:
    """The credentials under a sign-in name."""
    rows = await connection.execute(select(tables.credentials).where(tables.credentials.c.login == login))
    found = rows.mappings().first()
    return Credentials(**found) if found else None


async def credentials_version(connection: AsyncConnection, person_id: str) -> int | None:
    """How often a person's password was set, or None if never."""
    table = tables.credentials
    found: int | None = await connection.scalar(select(table.c.version).where(table.c.person == person_id))
    return found


async def clock(connection: AsyncConnection) -> datetime:
    """What the database's clock says, which is the same for all replicas."""
    found: datetime = (await connection.execute(select(func.clock_timestamp()))).scalar_one()
    return found


def matching(text: str) -> ColumnElement[bool]:
    """Deputies whose name or number holds this text."""
    columns = tables.deputies.c
    return or_(columns.name.icontains(text, autoescape=True), columns.number.icontains(text, autoescape=True))


async def page(
    connection: AsyncConnection,
    table: Table,
    order: Sequence[ColumnElement[Any]],
    conditions: Sequence[ColumnElement[bool]] = (),
    *,
    number: int,
    size: int,
) -> dict[str, Any]:
    """One page of a table, and how many rows there are in all."""
    total = await connection.scalar(select(func.count()).select_from(table).where(*conditions))
    rows = await connection.execute(
        select(table).where(*conditions).order_by(*order).limit(size).offset((number - 1) * size)
    )
    items = dictionaries(rows)
    return {"items": items, "total": int(total or 0), "page": number, "size": size}


async def deputy(connection: AsyncConnection, deputy_id: UUID) -> dict[str, Any] | None:
    """A deputy, or None."""
    rows = await connection.execute(select(tables.deputies).where(tables.deputies.c.id == deputy_id))
    found = rows.mappings().first()
    return dict(found) if found else None


async def stations(
    connection: AsyncConnection, conditions: Sequence[ColumnElement[bool]], *, number: int, size: int
) -> dict[str, Any]:
    """One page of stations by town and name, each with its number of active deputies."""
    kept, deputies = tables.stations.c, tables.deputies.c
    total = await connection.scalar(select(func.count()).select_from(tables.stations).where(*conditions))
    counted = (
        select(func.count())
        .where(deputies.station == kept.code, deputies.state == "active")
        .scalar_subquery()
    )
    rows = await connection.execute(
        select(tables.stations, counted.label("deputies"))
        .where(*conditions)
        .order_by(kept.town, kept.name, kept.id)
        .limit(size)
        .offset((number - 1) * size)
    )
    return {"items": dictionaries(rows), "total": int(total or 0), "page": number, "size": size}


async def behind_code(connection: AsyncConnection, code: str) -> dict[str, Any] | None:
    """What the public may know of the active deputy or the open station with this public code, or None."""
    columns = tables.deputies.c
    public = select(columns.name, columns.level, columns.county, columns.town, columns.constituency)
    rows = await connection.execute(public.where(columns.code == code, columns.state == "active"))
    found = rows.mappings().first()
    if found:
        return {"kind": "deputy", **found}
    station = await _open_station(connection, code)
    if station is None:
        return None
    members = await connection.execute(
        select(columns.code, columns.name, columns.level, columns.constituency)
        .where(columns.station == code, columns.state == "active")
        .order_by(columns.name, columns.code)
    )
    return {
        "kind": "station",
        "name": station["name"],
        "county": county_of(station["town"]),
        "town": station["town"],
        "deputies": dictionaries(members),
    }


@dataclass(frozen=True)
class Reached:
    """Whom a public code reaches: the `owner` of the code, its place, and active deputies by their own codes."""

    owner: UUID
    county: str | None
    town: str | None
    deputies: Mapping[str, UUID]


async def reached_by_code(connection: AsyncConnection, code: str) -> Reached | None:
    """Whom the public code of an active deputy or an open station reaches, or None."""
    columns = tables.deputies.c
    asked = select(columns.id, columns.county, columns.town)
    rows = await connection.execute(asked.where(columns.code == code, columns.state == "active"))
    found = rows.first()
    if found is not None:
        return Reached(found.id, found.county, found.town, {code: found.id})
    station = await _open_station(connection, code)
    if station is None:
        return None
    members = await connection.execute(
        select(columns.code, columns.id).where(columns.station == code, columns.state == "active")
    )
    deputies = {row.code: row.id for row in members}
    return Reached(station["id"], county_of(station["town"]), station["town"], deputies)


async def _open_station(connection: AsyncConnection, code: str) -> RowMapping | None:
    kept = tables.stations.c
    asked = select(kept.id, kept.name, kept.town).where(kept.code == code, kept.state == "open")
    return (await connection.execute(asked)).mappings().first()


async def roster_import(connection: AsyncConnection, import_id: UUID) -> dict[str, Any] | None:
    """How far an import has come, with every error found so far in the order of the lines, or None."""
    imports, rows = tables.roster_imports, tables.roster_import_rows
    found = (await connection.execute(select(imports).where(imports.c.id == import_id))).mappings().first()
    if found is None:
        return None
    wrong = await connection.execute(
        select(rows.c.line, rows.c.errors)
        .where(rows.c.import_id == import_id, rows.c.errors.is_not(None))
        .order_by(rows.c.line, rows.c.part)
    )
    return {
        "id": found["id"],
        "begun_at": found["begun_at"],
        "parts": found["parts"],
        "parts_done": len(found["parts_done"]),
        "rows": found["rows"],
        "accepted": found["accepted"],
        "changed": found["changed"],
        "errors": [{"line": row.line, **error} for row in wrong for error in row.errors],
    }


async def figures(connection: AsyncConnection) -> dict[str, Any]:
    """How many deputies (also by level), departments and members of staff are active, and how many stations open."""
    deputies, departments, staff = tables.deputies, tables.departments, tables.staff
    levels = await connection.execute(
        select(deputies.c.level, func.count().label("number"))
        .where(deputies.c.state == "active")
        .group_by(deputies.c.level)
    )
    by_level = {"city": 0, "county": 0, "town": 0} | {row.level: row.number for row in levels}

    async def counted(table: Table, state: str = "active") -> int:
        found = select(func.count()).select_from(table).where(table.c.state == state)
        return int(await connection.scalar(found) or 0)

    return {
        "deputies": sum(by_level.values()),
        "by_level": by_level,
        "departments": await counted(departments),
        "staff": await counted(staff),
        "stations": await counted(tables.stations, "open"),
    }
