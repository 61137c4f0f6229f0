"""The write side of cases: the only place that writes its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from services.cases import tables
from services.cases.domain import Case
from services.cases.routing import Department, Words
from shared.contracts.identity import DepartmentChanged
from shared.database.engine import VersionConflict
from shared.database.rows import insert_rows, update_rows, upsert_rows
from shared.messaging.desk import subject_id, subject_ids
from shared.messaging.received import Received
from shared.messaging.work import Work
from shared.security.sealing import Opener

_COLUMNS = tuple(field.name for field in fields(Case) if field.name != "steps")


@dataclass(frozen=True)
class Context:
    """What decisions on cases look up: active departments, category words, the key that opens words."""

    departments: Mapping[str, Department]
    words: Words
    opener: Opener


class CaseStore:
    """Cases by id."""

    def __init__(self, words: Words, opener: Opener) -> None:
        self._words = words
        self._opener = opener

    def key(self, message: Received[Any]) -> str:
        """The case id. Raises Refusal when the subject is none."""
        return str(subject_id(message))

    async def load(self, connection: AsyncConnection, messages: Sequence[Received[Any]]) -> dict[str, Case]:
        """The cases of a batch, locked in id order."""
        ids = subject_ids(messages)
        statement = select(tables.cases).where(tables.cases.c.id.in_(ids))
        rows = await connection.execute(statement.order_by(tables.cases.c.id).with_for_update())
        return {str(row["id"]): Case(**{name: row[name] for name in _COLUMNS}) for row in rows.mappings()}

    async def context(self, connection: AsyncConnection, messages: Sequence[Received[Any]]) -> Context:  # noqa: ARG002
        """Active departments, read anew for each batch."""
        rows = await connection.execute(
            select(tables.departments).where(tables.departments.c.state == "active")
        )
        found = {
            row.code: Department(row.code, frozenset(row.categories), frozenset(row.counties)) for row in rows
        }
        return Context(found, self._words, self._opener)

    async def save(
        self, connection: AsyncConnection, before: Mapping[str, Case], after: Mapping[str, Case]
    ) -> None:
        """Write changed cases and their new steps."""
        new = [_row(case) for key, case in after.items() if key not in before]
        old = [_row(case) for key, case in after.items() if key in before]
        await insert_rows(connection, tables.cases, new)
        if await update_rows(connection, tables.cases, old) != len(old):
            raise VersionConflict("a locked case is gone")
        steps = [
            {
                "case_id": case.id,
                "number": case.version - len(case.steps) + index,
                "step": step.step,
                "actor": step.actor,
                "at": step.at,
                "department": step.department,
                "reason": step.reason,
                "text": step.text,
            }
            for case in after.values()
            for index, step in enumerate(case.steps, start=1)
        ]
        await insert_rows(connection, tables.case_steps, steps)


def _row(case: Case) -> dict[str, Any]:
    return {name: getattr(case, name) for name in _COLUMNS}


async def keep_departments(messages: Sequence[Received[DepartmentChanged]], work: Work) -> None:
    """Handler of `department.changed`: keep the newest state of each department."""
    newest = {m.data.code: m for m in sorted(messages, key=lambda m: m.envelope.sequence or 0)}
    rows = [
        {
            "code": code,
            "sequence": message.envelope.sequence or 0,
            "categories": message.data.categories,
            "counties": message.data.counties,
            "state": message.data.state,
        }
        for code, message in newest.items()
    ]
    await upsert_rows(work.connection, tables.departments, rows, newer_by="sequence")
