"""The write side of identity: the only place that writes its tables."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.identity import tables
from services.identity.domain import (
    DEPARTMENT_PREFIX,
    Department,
    Deputy,
    Staff,
    Station,
    check_department_code,
    is_department,
)
from services.identity.roster import Judgement
from services.identity.sessions import Session
from shared.contracts.identity import ImportRoster
from shared.database.engine import VersionConflict
from shared.database.rows import insert_rows, update_rows, upsert_rows
from shared.messaging.desk import subject_id, subject_ids
from shared.messaging.received import Received
from shared.refusals import Refusal

FAILURES_MAX = 5
LOCKED_MINUTES = 15

_DEPUTY_COLUMNS = ", ".join(field.name for field in fields(Deputy))
_DEPUTIES = f"SELECT {_DEPUTY_COLUMNS} FROM deputies WHERE id = ANY($1::uuid[]) ORDER BY id"
_IMPORTS = (
    "SELECT id, begun_by, begun_at, parts, parts_done, rows, accepted, changed FROM roster_imports "
    "WHERE id = ANY($1::uuid[]) ORDER BY id FOR UPDATE"
)
_NUMBERS = (
    "SELECT r.import_id, r.number, min(r.line) AS line FROM roster_import_rows r "
    "JOIN unnest($1::uuid[], $2::text[]) AS asked (import_id, number) "
    "ON r.import_id = asked.import_id AND r.number = asked.number GROUP BY r.import_id, r.number"
)
_PERSONS = (
    "SELECT id::text AS person FROM deputies WHERE id = ANY($1::uuid[]) AND state = 'active' "
    "UNION SELECT id::text FROM staff WHERE id = ANY($1::uuid[]) AND state = 'active' "
    f"UNION SELECT '{DEPARTMENT_PREFIX}' || code FROM departments WHERE code = ANY($2::text[]) AND state = 'active'"
)
_CREDENTIALS = (
    "SELECT person, version, login, hash, changed_at FROM credentials "
    "WHERE person = ANY($1::text[]) ORDER BY person FOR UPDATE"
)
_OWNERS = "SELECT login, person FROM credentials WHERE login = ANY($1::text[])"
_FORGIVE = "DELETE FROM sign_in_failures WHERE login_digest = ANY($1::bytea[])"

# An attempt is counted before the password is looked at, so that many at once guess no more often.
_ATTEMPT = f"""
INSERT INTO sign_in_failures AS f (login_digest, failures, failed_at) VALUES ($1, 1, now())
ON CONFLICT (login_digest) DO UPDATE SET failed_at = now(),
    failures = CASE WHEN f.failed_at < now() - interval '{LOCKED_MINUTES} minutes' THEN 1 ELSE f.failures + 1 END
WHERE f.failures < {FAILURES_MAX} OR f.failed_at < now() - interval '{LOCKED_MINUTES} minutes'
RETURNING failures
"""
_FORGET_OLD = f"""
DELETE FROM sign_in_failures WHERE login_digest IN (
    SELECT login_digest FROM sign_in_failures WHERE failed_at < now() - interval '{LOCKED_MINUTES} minutes'
    AND login_digest <> $1 ORDER BY failed_at LIMIT 20 FOR UPDATE SKIP LOCKED)
"""
_FORGET_SESSIONS = """
DELETE FROM browser_sessions WHERE id IN (
    SELECT id FROM browser_sessions WHERE renewed_at < $1 ORDER BY renewed_at LIMIT 20 FOR UPDATE SKIP LOCKED)
"""


@dataclass(frozen=True)
class RosterImport:
    """How far an import of a roster has come."""

    id: UUID
    begun_by: str
    begun_at: datetime
    parts: int
    parts_done: tuple[int, ...]
    rows: int
    accepted: int
    changed: int


@dataclass(frozen=True)
class Credentials:
    """A person's sign-in name and the argon2id hash of the password."""

    person: str
    version: int
    login: str
    hash: str
    changed_at: datetime


@dataclass(frozen=True)
class PartTaken:
    """A part of an import after its rows were judged; `changed` are the lines that changed a deputy."""

    import_id: UUID
    part: int
    judgement: Judgement
    changed: frozenset[int]


class DepartmentStore:
    """Departments by code."""

    def key(self, message: Received[Any]) -> str:
        """The department's code; raises Refusal when it cannot be one."""
        check_department_code(message.envelope.subject)
        return message.envelope.subject

    async def load(
        self, connection: AsyncConnection, messages: Sequence[Received[Any]]
    ) -> dict[str, Department]:
        """The departments of a batch, locked in the order of their codes."""
        codes: set[str] = set()
        for message in messages:
            with contextlib.suppress(Refusal):
                codes.add(self.key(message))
        statement = select(tables.departments).where(tables.departments.c.code.in_(sorted(codes)))
        rows = await connection.execute(statement.order_by(tables.departments.c.code).with_for_update())
        return {
            row["code"]: Department(
                **{**row, "categories": tuple(row["categories"]), "counties": tuple(row["counties"])}
            )
            for row in rows.mappings()
        }

    async def context(self, connection: AsyncConnection, messages: Sequence[Received[Any]]) -> None:
        """Nothing besides."""

    async def save(
        self, connection: AsyncConnection, before: Mapping[str, Department], after: Mapping[str, Department]
    ) -> None:
        """Write changed departments."""
        await insert_rows(
            connection, tables.departments, [asdict(d) for k, d in after.items() if k not in before]
        )
        await _update(connection, tables.departments, [asdict(d) for k, d in after.items() if k in before])


class StaffStore:
    """Members of staff by id."""

    def key(self, message: Received[Any]) -> str:
        """The id; raises Refusal when it is none."""
        return str(subject_id(message))

    async def load(self, connection: AsyncConnection, messages: Sequence[Received[Any]]) -> dict[str, Staff]:
        """The members of staff of a batch, locked in the order of their ids."""
        statement = select(tables.staff).where(tables.staff.c.id.in_(subject_ids(messages)))
        rows = await connection.execute(statement.order_by(tables.staff.c.id).with_for_update())
        return {str(row["id"]): Staff(**row) for row in rows.mappings()}

    async def context(self, connection: AsyncConnection, messages: Sequence[Received[Any]]) -> None:
        """Nothing besides."""

    async def save(
        self, connection: AsyncConnection, before: Mapping[str, Staff], after: Mapping[str, Staff]
    ) -> None:
        """Write changed members of staff."""
        await insert_rows(connection, tables.staff, [asdict(s) for k, s in after.items() if k not in before])
        await _update(connection, tables.staff, [asdict(s) for k, s in after.items() if k in before])


class StationStore:
    """Stations by id."""

    def key(self, message: Received[Any]) -> str:
        """The id; raises Refusal when it is none."""
        return str(subject_id(message))

    async def load(
        self, connection: AsyncConnection, messages: Sequence[Received[Any]]
    ) -> dict[str, Station]:
        """The stations of a batch, locked in the order of their ids."""
        statement = select(tables.stations).where(tables.stations.c.id.in_(subject_ids(messages)))
        rows = await connection.execute(statement.order_by(tables.stations.c.id).with_for_update())
        return {str(row["id"]): Station(**row) for row in rows.mappings()}

    async def context(self, connection: AsyncConnection, messages: Sequence[Received[Any]]) -> None:
        """Nothing besides."""

    async def save(
        self, connection: AsyncConnection, before: Mapping[str, Station], after: Mapping[str, Station]
    ) -> None:
        """Write changed stations."""
        await insert_rows(
            connection, tables.stations, [asdict(s) for k, s in after.items() if k not in before]
        )
        await _update(connection, tables.stations, [asdict(s) for k, s in after.items() if k in before])


async def station_codes(connection: AsyncConnection) -> frozenset[str]:
    """The public codes of all stations, open or closed; none is ever removed."""
    return frozenset(await connection.scalars(select(tables.stations.c.code)))


async def _update(connection: AsyncConnection, table: Any, rows: list[dict[str, Any]]) -> None:
    if await update_rows(connection, table, rows) != len(rows):
        raise VersionConflict(f"a locked row of {table.name} is gone")


async def open_imports(
    connection: AsyncConnection, messages: Sequence[Received[ImportRoster]]
) -> dict[UUID, RosterImport]:
    """The imports that parts belong to, locked in the order of their ids; new ones are begun."""
    first = {subject_id(message): message for message in reversed(messages)}
    new = [
        {
            "id": import_id,
            "begun_by": message.sender().person,
            "begun_at": message.now,
            "parts": message.data.parts,
            "parts_done": [],
            "rows": 0,
            "accepted": 0,
            "changed": 0,
        }
        for import_id, message in sorted(first.items())
    ]
    await insert_rows(connection, tables.roster_imports, new, ignore=True)
    rows = await connection.exec_driver_sql(_IMPORTS, (sorted(first),))
    return {
        row["id"]: RosterImport(**{**row, "parts_done": tuple(row["parts_done"])}) for row in rows.mappings()
    }


async def lines_of_numbers(
    connection: AsyncConnection, asked: Iterable[tuple[UUID, str]]
) -> dict[tuple[UUID, str], int]:
    """Which numbers were taken by earlier parts of their import, and in which line."""
    pairs = sorted(set(asked))
    if not pairs:
        return {}
    imports, numbers = map(list, zip(*pairs, strict=True))
    rows = await connection.exec_driver_sql(_NUMBERS, (imports, numbers))
    return {(row.import_id, row.number): row.line for row in rows}


async def deputies(connection: AsyncConnection, ids: Iterable[UUID], *, lock: bool) -> dict[UUID, Deputy]:
    """The deputies that exist, locked in the order of their ids where that is asked for."""
    rows = await connection.exec_driver_sql(f"{_DEPUTIES}{' FOR UPDATE' * lock}", (sorted(ids),))
    return {row["id"]: Deputy(**row) for row in rows.mappings()}


async def save_roster(
    connection: AsyncConnection,
    *,
    before: Mapping[UUID, Deputy],
    after: Mapping[UUID, Deputy],
    imports: Iterable[RosterImport],
    parts: Iterable[PartTaken],
) -> None:
    """Write changed deputies, and the imports with what became of each of their rows."""
    await insert_rows(connection, tables.deputies, [vars(d) for i, d in after.items() if i not in before])
    await _update(connection, tables.deputies, [vars(d) for i, d in after.items() if i in before])
    await _update(connection, tables.roster_imports, [vars(found) for found in imports])
    await insert_rows(connection, tables.roster_import_rows, [row for part in parts for row in _rows(part)])


def _rows(part: PartTaken) -> list[dict[str, Any]]:
    errors: dict[int, list[dict[str, str]]] = {}
    for error in part.judgement.errors:
        told = {"column": error.column, "code": error.code, "detail": error.detail}
        errors.setdefault(error.line, []).append(told)
    place = {"import_id": part.import_id, "part": part.part}
    right = [
        {
            **place,
            "line": row.line,
            "number": row.entry.number,
            "changed": row.line in part.changed,
            "errors": None,
        }
        for row in part.judgement.right
    ]
    wrong = [
        {**place, "line": line, "number": None, "changed": False, "errors": told}
        for line, told in errors.items()
    ]
    return right + wrong


async def active_persons(connection: AsyncConnection, persons: Iterable[str]) -> set[str]:
    """Which of these ids belong to somebody who is active."""
    asked = set(persons)
    codes = sorted(p.removeprefix(DEPARTMENT_PREFIX) for p in asked if is_department(p))
    ids = sorted(p for p in asked if not is_department(p))
    rows = await connection.exec_driver_sql(_PERSONS, (ids, codes))
    return {row.person for row in rows}


async def lock_credentials(connection: AsyncConnection, persons: Iterable[str]) -> dict[str, Credentials]:
    """The credentials of these persons, locked in the order of their ids."""
    rows = await connection.exec_driver_sql(_CREDENTIALS, (sorted(persons),))
    return {row["person"]: Credentials(**row) for row in rows.mappings()}


async def owners_of_logins(connection: AsyncConnection, logins: Iterable[str]) -> dict[str, str]:
    """Who signs in under which of these names."""
    rows = await connection.exec_driver_sql(_OWNERS, (sorted(logins),))
    return {row.login: row.person for row in rows}


async def save_credentials(connection: AsyncConnection, changed: Iterable[Credentials]) -> None:
    """Write credentials; attempts counted against their names are forgiven."""
    rows = [vars(found) for found in changed]
    await upsert_rows(connection, tables.credentials, rows)
    await forgive(connection, [row["login"] for row in rows])


def login_digest(login: str) -> bytes:
    """What stands for a sign-in name where attempts are counted."""
    return hashlib.sha256(login.encode("utf-8", "surrogatepass")).digest()


async def count_attempt(connection: AsyncConnection, login: str) -> bool:
    """Count an attempt to sign in; False while the name is locked.

    Five attempts that did not succeed lock a name for fifteen minutes, whether anybody has it or not.
    """
    digest = login_digest(login)
    counted = await connection.exec_driver_sql(_ATTEMPT, (digest,))
    allowed = counted.first() is not None
    await connection.exec_driver_sql(_FORGET_OLD, (digest,))
    return allowed


async def forgive(connection: AsyncConnection, logins: Iterable[str]) -> None:
    """Forget the attempts counted against these names."""
    await connection.exec_driver_sql(_FORGIVE, (sorted(map(login_digest, logins)),))


async def begin_session(connection: AsyncConnection, session: Session, *, forgotten_before: datetime) -> None:
    """Keep a new session; some of those that nobody renewed since then are forgotten."""
    await connection.execute(tables.browser_sessions.insert().values(vars(session)))
    await connection.exec_driver_sql(_FORGET_SESSIONS, (forgotten_before,))


async def lock_session(connection: AsyncConnection, session_id: UUID) -> tuple[Session, datetime] | None:
    """A session, locked, and what the database's clock says; None if there is none."""
    table = tables.browser_sessions
    asked = select(table, func.clock_timestamp()).where(table.c.id == session_id).with_for_update()
    row = (await connection.execute(asked)).first()
    return (Session(*row[:-1]), row[-1]) if row is not None else None


async def save_session(connection: AsyncConnection, session: Session) -> None:
    """Write a renewed session."""
    table = tables.browser_sessions
    await connection.execute(table.update().where(table.c.id == session.id).values(vars(session)))


async def end_session(connection: AsyncConnection, session_id: UUID) -> None:
    """End a session, if there is one: none of its tokens is known any more."""
    table = tables.browser_sessions
    await connection.execute(table.delete().where(table.c.id == session_id))
