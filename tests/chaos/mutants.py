"""Cases with one guard taken out, as a process: `python -m tests.chaos.mutants MUTATION`.

A chaos test proves something only if its invariant fails without the guard. Each mutation here takes
out one, changing nothing else; the same kills and the same check must then find the damage.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any

from aiokafka import TopicPartition

from services.cases.__main__ import main
from shared.messaging import failpoints, inbox
from shared.messaging.received import Unit
from shared.messaging.relay import Relay
from shared.messaging.subscriber import Subscription
from shared.messaging.work import Work


def without_inbox() -> None:
    """Write the inbox, but never ask it."""
    claim = inbox.claim

    async def claims_nothing(work: Work, units: Sequence[Unit]) -> list[Unit]:
        await claim(work, units)
        return list(units)

    inbox.claim = claims_nothing


def mark_before_send() -> None:
    """Take rows out of the outbox before they are sent."""
    publish = Relay._publish

    async def marks_first(self: Relay, connection: Any, producer: Any, rows: Sequence[Any]) -> None:
        await connection.execute("DELETE FROM outbox WHERE id = ANY($1::bigint[])", [r["id"] for r in rows])
        failpoints.reach("after-publish")
        await publish(self, connection, producer, rows)

    Relay._publish = marks_first  # type: ignore[method-assign]


def offsets_before_commit() -> None:
    """Commit the offsets of a batch before it is handled."""
    take = Subscription._take

    async def commits_first(self: Subscription, records: Sequence[Any]) -> None:
        following: dict[TopicPartition, int] = {}
        for record in records:
            following[TopicPartition(record.topic, record.partition)] = record.offset + 1
        await self._subscriber.consumer.commit(following)
        await take(self, records)

    Subscription._take = commits_first  # type: ignore[method-assign]


MUTATIONS: dict[str, Callable[[], None]] = {
    "without-inbox": without_inbox,
    "mark-before-send": mark_before_send,
    "offsets-before-commit": offsets_before_commit,
}

if __name__ == "__main__":
    MUTATIONS[sys.argv[1]]()
    sys.argv[1:] = []
    main()
