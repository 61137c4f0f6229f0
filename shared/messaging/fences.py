"""Fences: how far a consumer has written each partition, kept in the transaction of the effect.

For a stream whose effects have identities of their own and which is too fast for an inbox row per record.
Invariants: a batch moves the fence of each of its partitions from exactly where its consumer believed it
to be, or nothing of the batch is written; so of two consumers that believe to own a partition one wins.
A topic that was made anew, or another cluster, has another id and begins without a fence.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import BigInteger, Column, DateTime, Integer, MetaData, Table, Text
from sqlalchemy.dialects import postgresql

CREATE_FENCES_V1 = """
CREATE TABLE fences (
    cluster text NOT NULL,
    topic_id uuid NOT NULL,
    partition integer NOT NULL,
    topic text NOT NULL,
    next bigint NOT NULL,
    records bigint NOT NULL,
    unused bigint NOT NULL,
    latest timestamptz,
    PRIMARY KEY (cluster, topic_id, partition)
) WITH (fillfactor = 50);
"""

_READ = """
WITH wanted AS (SELECT * FROM unnest($2::uuid[], $3::text[], $4::int[]) AS w (topic_id, topic, partition)),
made AS (
    INSERT INTO fences (cluster, topic_id, partition, topic, next, records, unused)
    SELECT $1, topic_id, partition, topic, 0, 0, 0 FROM wanted ORDER BY topic_id, partition
    ON CONFLICT DO NOTHING
)
SELECT w.topic, w.partition, coalesce(f.next, 0) AS next
FROM wanted w LEFT JOIN fences f ON f.cluster = $1 AND f.topic_id = w.topic_id AND f.partition = w.partition
"""

# To be put in front of what a batch writes, with the columns of its steps as parameters 1 to 8. What is
# written must be read through `passed`: where a fence stands elsewhere, dividing by zero undoes all.
MOVE = """
fenced AS (
    UPDATE fences f SET next = r.next, records = f.records + r.records, unused = f.unused + r.unused,
        latest = greatest(f.latest, r.latest)
    FROM unnest($2::uuid[], $3::int[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::timestamptz[])
        AS r (topic_id, partition, held, next, records, unused, latest)
    WHERE f.cluster = $1 AND f.topic_id = r.topic_id AND f.partition = r.partition AND f.next = r.held
    RETURNING 1
), passed AS MATERIALIZED (
    SELECT 1 / (count(*) = cardinality($3))::int AS one FROM fenced
)"""
PARAMETERS = 8
STANDS_ELSEWHERE = "22012"
"""SQLSTATE of a batch whose fence stood elsewhere: division by zero."""

_REWIND = "UPDATE fences SET next = least(next, $2) WHERE topic = $1"


@dataclass(frozen=True)
class Log:
    """Which log it is: the cluster, and the id that each topic has had since it was made."""

    cluster: str
    topics: Mapping[str, UUID]


@dataclass(frozen=True)
class Step:
    """What a batch does to one partition: from `held`, where its consumer believes the fence to be, to `next`.

    Counted with it: `records`, those of them that nothing used, and the latest of their business times.
    """

    topic: str
    partition: int
    held: int
    next: int
    records: int = 0
    unused: int = 0
    latest: datetime | None = None


def columns(log: Log, steps: Sequence[Step]) -> tuple[Any, ...]:
    """The parameters of `MOVE`."""
    return (
        log.cluster,
        [log.topics[step.topic] for step in steps],
        [step.partition for step in steps],
        [step.held for step in steps],
        [step.next for step in steps],
        [step.records for step in steps],
        [step.unused for step in steps],
        [step.latest for step in steps],
    )


def fence_table(metadata: MetaData) -> Table:
    """Add the fences to a service's tables."""
    return Table(
        "fences",
        metadata,
        Column("cluster", Text, primary_key=True),
        Column("topic_id", postgresql.UUID, primary_key=True),
        Column("partition", Integer, primary_key=True),
        Column("topic", Text, nullable=False),
        Column("next", BigInteger, nullable=False),
        Column("records", BigInteger, nullable=False),
        Column("unused", BigInteger, nullable=False),
        Column("latest", DateTime(timezone=True)),
    )


async def read(
    connection: asyncpg.Connection, log: Log, parts: Sequence[tuple[str, int]]
) -> dict[tuple[str, int], int]:
    """Where each partition goes on; a partition without a fence gets one at 0."""
    ids = [log.topics[topic] for topic, _ in parts]
    rows = await connection.fetch(_READ, log.cluster, ids, [t for t, _ in parts], [p for _, p in parts])
    return {(row["topic"], row["partition"]): row["next"] for row in rows}


async def rewind(connection: asyncpg.Connection, topic: str, offset: int) -> int:
    """Let a topic be taken in again from an offset on; its consumers notice within seconds. Returns how many partitions."""
    done: str = await connection.execute(_REWIND, topic, offset)
    return int(done.rpartition(" ")[2])
