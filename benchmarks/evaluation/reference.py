"""REF: the loop that a good engineer writes by hand: getmany(500), msgspec, one transaction, one commit.

It decodes with the same structs and scores with the same compiled rubric as evaluation, writes the same
ledger and buckets, and leaves out what only evaluation does: fences, dead letters, settled totals, outbox.
Says in lines of JSON when it is warm (a tenth is committed) and when all is. Environment: KAFKA_*, DATABASE_URL, EVENTS, GROUP.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Sequence
from typing import Any

import asyncpg
import uvloop
from aiokafka import AIOKafkaConsumer

from benchmarks.evaluation import city
from services.evaluation.scoring import Row, Scorer
from services.evaluation.store import in_key_order
from shared.contracts.registry import contract_of
from shared.contracts.structs import decoder_of
from shared.messaging.kafka import connection_options
from shared.settings import KafkaSettings

TOPICS = (
    "case.filed", "case.closed", "case.rated", "case.progressed",
    "course.completed", "activity.attended", "consultation.answered", "duty.logged",
)  # fmt: skip

WRITE = """
WITH written AS (
    INSERT INTO ledger AS l (deputy_id, item, evidence, event_id, event_type, sequence, time, happened_on,
                             points, rubric, rubric_version)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::text[], $6::bigint[],
                         $7::timestamptz[], $8::date[], $9::int[], $10::text[], $11::int[])
    ON CONFLICT (evidence, deputy_id, item) DO UPDATE SET
        event_id = excluded.event_id, event_type = excluded.event_type, sequence = excluded.sequence,
        time = excluded.time, happened_on = excluded.happened_on, points = excluded.points,
        rubric = excluded.rubric, rubric_version = excluded.rubric_version
    WHERE (l.sequence, l.event_id) < (excluded.sequence, excluded.event_id)
    RETURNING new.deputy_id, new.item, new.happened_on AS new_day, new.points AS new_points,
              old.happened_on AS old_day, old.points AS old_points
), moved AS (
    SELECT deputy_id, new_day AS day, item, new_points AS points FROM written WHERE new_points <> 0
    UNION ALL
    SELECT deputy_id, old_day, item, -old_points FROM written WHERE old_points <> 0
)
INSERT INTO buckets AS b (deputy_id, month, item, points)
SELECT deputy_id, extract(year FROM day)::int * 12 + extract(month FROM day)::int - 1, item, sum(points)
FROM moved GROUP BY 1, 2, 3 HAVING sum(points) <> 0 ORDER BY 1, 2, 3
ON CONFLICT (deputy_id, month, item) DO UPDATE SET points = b.points + excluded.points
"""


def consumer() -> AIOKafkaConsumer:
    """A consumer of all topics of the benchmark, from their beginning."""
    settings = KafkaSettings()
    return AIOKafkaConsumer(
        *TOPICS,
        **connection_options(settings),
        group_id=os.environ["GROUP"],
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=20,
        max_partition_fetch_bytes=10_485_760,
    )


def tell(at: str, events: int, **more: Any) -> None:
    """Say on standard output, where the benchmark reads it, how far this process is.

    At the end wait until standard input is closed: the database's processor time is read before its backend ends.
    """
    print(json.dumps({"at": at, "events": events, "cpu": time.process_time(), **more}), flush=True)
    if at == "end":
        sys.stdin.read()


def columns_of(rows: Sequence[Row]) -> list[Sequence[Any]]:
    """The parameters of `WRITE`."""
    deputies, items, evidence, events, worths = zip(*rows, strict=True)
    sequences, ids, times = zip(*events, strict=True)
    _, types, days, points, rubrics, versions = zip(*worths, strict=True)
    return [deputies, items, evidence, ids, types, sequences, times, days, points, rubrics, versions]


async def run(events: int) -> None:
    """Take in `events` records."""
    declared = {topic: contract_of(topic) for topic in TOPICS}
    decoders = {topic: decoder_of(declaration) for topic, declaration in declared.items() if declaration}
    scorer = Scorer(city.schedule())
    connection = await asyncpg.connect(os.environ["DATABASE_URL"].replace("+asyncpg", ""))
    write = await connection.prepare(WRITE)
    reader = consumer()
    await reader.start()
    done, warm = 0, False
    while done < events:
        batches = await reader.getmany(timeout_ms=1000, max_records=500)
        rows: dict[tuple[str, str, str], Row] = {}
        for part, records in batches.items():
            decode = decoders[part.topic].decode
            for record in records:
                for row in scorer.rows(decode(record.value)):
                    held = rows.get(row[:3])
                    if held is None or held[3] < row[3]:
                        rows[row[:3]] = row
            done += len(records)
        if rows:
            columns = columns_of(in_key_order(rows.values()))
            async with connection.transaction():
                await write.fetch(*columns)
        if batches:
            await reader.commit()
        if not warm and done >= events / 10:
            warm = True
            tell("warm", done)
    tell("end", done)
    await reader.stop()
    await connection.close()


if __name__ == "__main__":
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)
    tell("started", 0)
    uvloop.run(run(int(os.environ["EVENTS"])))
