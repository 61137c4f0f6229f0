"""One row per message and address: the only SQL on deliveries.

Invariants: a row is `pending` until it is delivered or dead; of one case and address only the oldest
pending row may be claimed, which is the order per case; a claim is a lease, so that a process that dies
leaves nothing stuck, and only the holder of the last claim settles.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.cases import tables
from services.cases.webhooks.endpoints import Replay
from shared.database.rows import dictionaries, insert_rows
from shared.security.sealing import Opener, Sealer

_TOPIC = re.compile(r"^department\.([a-z0-9-]{2,40})\.routed$")
KEPT = "30 days"
"""As long as the department's topic keeps the same messages."""

# The address and its department are active; nothing older of the same case is pending. SKIP LOCKED makes
# replicas share the work; the limit per address keeps a slow one from taking every place.
_CLAIM = text("""
WITH found AS (
    SELECT d.number
    FROM webhooks AS w
    JOIN departments AS p ON p.code = w.department AND p.state = 'active'
    CROSS JOIN LATERAL (
        SELECT c.number FROM webhook_deliveries AS c
        WHERE c.webhook_id = w.id AND c.state = 'pending' AND c.due_at <= clock_timestamp()
        AND NOT EXISTS (
            SELECT FROM webhook_deliveries AS o
            WHERE o.webhook_id = w.id AND o.case_id = c.case_id AND o.state = 'pending' AND o.number < c.number
        )
        ORDER BY c.number LIMIT :per_address FOR UPDATE SKIP LOCKED
    ) AS d
    WHERE w.state = 'active' AND NOT w.id = ANY(CAST(:busy AS uuid[]))
    LIMIT :most
)
UPDATE webhook_deliveries AS t
SET attempts = t.attempts + 1, due_at = clock_timestamp() + make_interval(secs => :lease)
FROM found, webhooks AS w
WHERE t.number = found.number AND w.id = t.webhook_id
RETURNING t.number, t.webhook_id, t.id, t.sealed, t.attempts, w.url, w.sealed AS sealed_secret
""")
_SETTLE = text("""
UPDATE webhook_deliveries SET state = :state, fault = :fault,
    due_at = clock_timestamp() + make_interval(secs => :wait),
    settled_at = CASE WHEN :state = 'pending' THEN NULL ELSE clock_timestamp() END
WHERE number = :number AND attempts = :attempts AND state = 'pending'
""")
_REPLAY = text("""
UPDATE webhook_deliveries SET state = 'pending', attempts = 0, due_at = clock_timestamp(),
    settled_at = NULL, fault = NULL
WHERE webhook_id = :webhook AND (number >= CAST(:number AS bigint) OR recorded_at >= CAST(:since AS timestamptz))
""")
_COUNTS = text("""
SELECT state, count(*) AS n, coalesce(extract(epoch FROM now() - min(recorded_at)), 0) AS oldest
FROM webhook_deliveries WHERE state <> 'delivered' GROUP BY state
""")


@dataclass(frozen=True)
class Claimed:
    """A delivery to attempt now. `attempts` counts this one."""

    number: int
    webhook_id: UUID
    id: UUID
    sealed: str
    attempts: int
    url: str
    sealed_secret: str


class Writer:
    """Writes the deliveries of messages that go to departments' topics; bodies are sealed to ourselves."""

    def __init__(self, opener: Opener) -> None:
        self._sealer = Sealer(opener.public_jwk)

    async def write(self, connection: AsyncConnection, outgoing: Sequence[tuple[str, str, bytes]]) -> None:
        """Write a row for every message to a department and every active address of it."""
        told = [(found[1], key, body) for topic, key, body in outgoing if (found := _TOPIC.match(topic))]
        if not told:
            return
        webhooks = tables.webhooks.c
        rows = await connection.execute(
            select(webhooks.id, webhooks.department)
            .where(webhooks.state == "active", webhooks.department.in_({code for code, _, _ in told}))
            .order_by(webhooks.id)
        )
        addresses: dict[str, list[UUID]] = {}
        for row in rows:
            addresses.setdefault(row.department, []).append(row.id)
        found_rows: list[dict[str, Any]] = []
        for code, case_id, body in told:
            if code not in addresses:
                continue
            event = json.loads(body)
            sealed = self._sealer.seal({"body": body.decode()})
            for webhook_id in addresses[code]:
                row_of = {"webhook_id": webhook_id, "id": event["id"], "case_id": case_id}
                found_rows.append({**row_of, "type": event["type"], "sealed": sealed})
        await insert_rows(connection, tables.webhook_deliveries, found_rows)


async def claim(
    connection: AsyncConnection, *, most: int, per_address: int, busy: Sequence[UUID], lease_seconds: float
) -> list[Claimed]:
    """Take up to `most` due deliveries for `lease_seconds`, none to `busy` addresses; the caller commits."""
    rows = await connection.execute(
        _CLAIM, {"most": most, "per_address": per_address, "busy": list(busy), "lease": lease_seconds}
    )
    return sorted((Claimed(**row) for row in dictionaries(rows)), key=lambda claimed: claimed.number)


async def settle(
    connection: AsyncConnection,
    claimed: Claimed,
    *,
    state: str,
    fault: str | None = None,
    wait_seconds: float = 0,
) -> bool:
    """Write what became of an attempt; False where another process has claimed the row since."""
    found = {"number": claimed.number, "attempts": claimed.attempts, "state": state, "fault": fault}
    result = await connection.execute(_SETTLE, {**found, "wait": wait_seconds})
    return result.rowcount == 1


async def replay(connection: AsyncConnection, webhook_id: UUID, what: Replay) -> None:
    """Make deliveries due again."""
    await connection.execute(_REPLAY, {"webhook": webhook_id, "number": what.number, "since": what.since})


async def drop(connection: AsyncConnection, webhook_id: UUID) -> None:
    """Forget everything about a removed address."""
    deliveries = tables.webhook_deliveries
    await connection.execute(deliveries.delete().where(deliveries.c.webhook_id == webhook_id))


async def forget_old(connection: AsyncConnection) -> int:
    """Delete rows as old as the topic's records would be; returns how many."""
    result = await connection.execute(
        text(f"DELETE FROM webhook_deliveries WHERE recorded_at < now() - interval '{KEPT}'")
    )
    return result.rowcount


async def numbers(connection: AsyncConnection, ids: Sequence[UUID]) -> dict[tuple[UUID, UUID], int]:
    """The numbers of deliveries by address and message id."""
    found = tables.webhook_deliveries.c
    rows = await connection.execute(select(found.webhook_id, found.id, found.number).where(found.id.in_(ids)))
    return {(row.webhook_id, row.id): row.number for row in rows}


async def counts(connection: AsyncConnection) -> dict[str, tuple[int, float]]:
    """How many deliveries are pending and dead, and the age in seconds of the oldest of each."""
    rows = await connection.execute(_COUNTS)
    return {row.state: (row.n, float(row.oldest)) for row in rows}
