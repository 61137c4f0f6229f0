r"""Writing many rows with one statement: the rows travel as one JSON parameter.

Building `INSERT … VALUES` with a parameter per cell costs more client time than the database needs
for the rows; `json_populate_recordset` takes the table's own column types from the catalogue.
A `bytea` cell is given as a text of the form `\x…`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import to_json
from sqlalchemy import CursorResult, Table, text
from sqlalchemy.ext.asyncio import AsyncConnection

Rows = Sequence[Mapping[str, Any]]


def dictionaries(result: CursorResult[Any]) -> list[dict[str, Any]]:
    """All rows of a result as plain dictionaries, ready to be serialised.

    SQLAlchemy names columns with a subclass of `str` that costs a JSON serialiser many times a string.
    """
    names = [str(name) for name in result.keys()]  # noqa: SIM118 - a result is no dictionary
    return [dict(zip(names, row, strict=True)) for row in result]


def _columns(table: Table, rows: Rows) -> list[str]:
    names = list(rows[0])
    unknown = set(names) - set(table.columns.keys())
    if unknown:
        raise ValueError(f"{table.name} has no column {', '.join(sorted(unknown))}")
    return names


async def _write(connection: AsyncConnection, statement: str, rows: Rows) -> int:
    result = await connection.execute(text(statement), {"rows": to_json(list(rows)).decode()})
    return result.rowcount


def _source(table: Table) -> str:
    return f"json_populate_recordset(NULL::{table.name}, CAST(CAST(:rows AS text) AS json)) AS r"


async def insert_rows(connection: AsyncConnection, table: Table, rows: Rows, *, ignore: bool = False) -> int:
    """Insert rows, all with the same columns; with `ignore`, those whose key exists are left alone.

    Returns how many were inserted. A key that exists raises the database's own unique violation.
    """
    if not rows:
        return 0
    names = ", ".join(_columns(table, rows))
    values = ", ".join(f"r.{name}" for name in rows[0])
    conflict = " ON CONFLICT DO NOTHING" if ignore else ""
    statement = f"INSERT INTO {table.name} ({names}) SELECT {values} FROM {_source(table)}{conflict}"
    return await _write(connection, statement, rows)


async def update_rows(connection: AsyncConnection, table: Table, rows: Rows) -> int:
    """Update rows by primary key; returns how many were there."""
    if not rows:
        return 0
    keys = [column.name for column in table.primary_key]
    changes = ", ".join(f"{name} = r.{name}" for name in _columns(table, rows) if name not in keys)
    where = " AND ".join(f"t.{key} = r.{key}" for key in keys)
    return await _write(
        connection, f"UPDATE {table.name} AS t SET {changes} FROM {_source(table)} WHERE {where}", rows
    )


async def upsert_rows(
    connection: AsyncConnection, table: Table, rows: Rows, *, newer_by: str | None = None
) -> int:
    """Insert rows or replace those with the same primary key.

    With `newer_by`, a row is replaced only by one whose value in that column is higher, which is how
    a reader keeps the newest state whatever the order of arrival. One key may stand only once in `rows`.
    """
    if not rows:
        return 0
    names = _columns(table, rows)
    keys = [column.name for column in table.primary_key]
    values = ", ".join(f"r.{name}" for name in names)
    changes = ", ".join(f"{name} = excluded.{name}" for name in names if name not in keys)
    newer = f" WHERE {table.name}.{newer_by} < excluded.{newer_by}" if newer_by else ""
    statement = (
        f"INSERT INTO {table.name} ({', '.join(names)}) SELECT {values} FROM {_source(table)} "
        f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {changes}{newer}"
    )
    return await _write(connection, statement, rows)
