"""Dead letters from the operator's side: list, look at, replay.

Replay sends the original bytes with their first position to `<service>.replay`, which this service
alone reads; the inbox admits them once. Reading again what others read would act twice elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.contracts.registry import Contract
from shared.database.rows import dictionaries
from shared.messaging.desk import authorise, subject_id
from shared.messaging.received import Position, Received, origin_headers
from shared.messaging.work import Work
from shared.refusals import Refusal

_COLUMNS = 'id, type, topic, partition, "offset", appended_at, reason, detail, attempts, state, created_at, replayed_at'
_TAKE = (
    "UPDATE dead_letters SET state = 'replaying' WHERE id = ANY($1::uuid[]) AND state IN ('dead', 'replaying') "
    'RETURNING id, inbox_key, topic, partition, "offset", appended_at, message_key, message'
)
_UNKNOWN = Refusal(
    "dead-letter-not-open", "There is no such dead letter, or it has been replayed already.", "not-found"
)


async def replay(messages: Sequence[Received[Contract]], work: Work) -> None:
    """Handler of `dead-letter.replay`: hand each letter in again."""
    wanted: dict[UUID, Received[Contract]] = {}
    for message in messages:
        try:
            authorise(message)
            letter_id = subject_id(message)
        except Refusal as refusal:
            work.reject(message, refusal)
            continue
        if wanted.setdefault(letter_id, message) is not message:
            work.reject(message, _UNKNOWN)
    rows = await work.connection.exec_driver_sql(_TAKE, (sorted(wanted),))
    taken: dict[UUID, Any] = {row.id: row for row in rows}
    for letter_id, message in wanted.items():
        row = taken.get(letter_id)
        if row is None:
            work.reject(message, _UNKNOWN)
            continue
        position = Position(row.topic, row.partition, row.offset, row.appended_at)
        key = bytes(row.message_key).decode(errors="replace") if row.message_key else str(letter_id)
        work.resend(
            f"{work.service}.replay", key, bytes(row.message), origin_headers(position, row.inbox_key)
        )
        work.accept(message)


async def listed(
    connection: AsyncConnection, *, state: str | None, page: int, size: int
) -> tuple[list[dict[str, Any]], int]:
    """A page of dead letters, newest first, without their content, and how many there are."""
    which = "FROM dead_letters WHERE $1::text IS NULL OR state = $1"
    counted = await connection.exec_driver_sql(f"SELECT count(*) {which}", (state,))
    rows = await connection.exec_driver_sql(
        f"SELECT {_COLUMNS} {which} ORDER BY created_at DESC, id LIMIT $2::int OFFSET $3::bigint",
        (state, size, (page - 1) * size),
    )
    return dictionaries(rows), counted.scalar_one()


async def shown(connection: AsyncConnection, letter_id: str) -> dict[str, Any] | None:
    """One dead letter with its size and digest; the bytes stay in the table (they may be personal)."""
    rows = await connection.exec_driver_sql(
        f"SELECT {_COLUMNS}, length(message) AS bytes, encode(sha256(message), 'hex') AS sha256 "
        "FROM dead_letters WHERE id = $1::uuid",
        (letter_id,),
    )
    row = rows.mappings().first()
    return dict(row) if row else None
