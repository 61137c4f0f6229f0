"""Keeping what events tell of other services' things: of each thing its newest state, whatever the order of arrival."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts.registry import Contract
from shared.database.rows import upsert_rows
from shared.messaging.received import Received

T = TypeVar("T", bound=Contract)


async def keep_newest(
    connection: AsyncConnection,
    table: Table,
    messages: Sequence[Received[T]],
    row: Callable[[T], Mapping[str, Any]],
) -> None:
    """Write `row` of the newest message about each thing, with its `sequence`, unless a newer one is there."""
    keys = [column.name for column in table.primary_key]
    newest: dict[tuple[Any, ...], dict[str, Any]] = {}
    for message in sorted(messages, key=lambda m: m.envelope.sequence or 0):
        found = {**row(message.data), "sequence": message.envelope.sequence or 0}
        newest[tuple(found[key] for key in keys)] = found
    # in the order of their keys, lest two batches wait for each other
    await upsert_rows(connection, table, [newest[key] for key in sorted(newest)], newer_by="sequence")
