"""One round of the writer: read the log from the positions to its present ends, write files, commit manifests.

Invariants: files first, manifest last; positions come from the newest manifest alone; a partition whose
beginning lies behind its position has lost records, which is said and never papered over; a topic that was
made anew is another topic (Kafka's topic id).
"""

from __future__ import annotations

import asyncio
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.contracts.registry import EVERY_SERVICE, events
from shared.messaging import failpoints
from shared.messaging.kafka import open_reader
from shared.messaging.log_identity import identify
from shared.storage import Storage
from shared.telemetry.logging import logger
from warehouse import manifests
from warehouse.manifests import File, Head, Range
from warehouse.rows import Record, Row, row_of, table_of
from warehouse.settings import WarehouseSettings

ROW_GROUP = 131_072
_ACCOUNT = "warehouse"
_QUIET_SECONDS = 30.0
_WITHOUT_DICTIONARY = {
    "id",
    "data",
    "subject",
    "correlationid",
    "causationid",
    "traceparent",
    "offset",
    "raw",
}

log = logger(__name__)


class Stalled(Exception):  # noqa: N818 - a finding
    """The broker gave no record for long, although there are some."""


@dataclass(frozen=True)
class Told:
    """What a round did: rows and files written, records still unread, records lost before they were read."""

    rows: int = 0
    files: int = 0
    lag: int = 0
    lost: int = 0


def topics() -> list[str]:
    """Every topic of events that all may read: not a department's own, no outcomes, no references to dead letters."""
    from deploy.kafka.provision import Catalogue

    declared = {topic.name: topic for topic in Catalogue.load().topics}
    found = {d.topic for d in events().values() if d.owner != EVERY_SERVICE}
    return sorted(name for name in found & set(declared) if _ACCOUNT in declared[name].readers)


async def write_round(settings: WarehouseSettings, storage: Storage) -> Told:
    """Write what the log holds now, in as many manifests as it takes.

    Raises StorageAway, KafkaError, LookupError, Contradiction, Stalled.
    """
    failpoints.arm(settings.failpoint)
    head = await manifests.head(storage)
    names = topics()
    consumer = await open_reader(settings, *names, from_end=False)
    try:
        known = await identify(consumer._client, names)
        ids = {name: str(topic_id) for name, topic_id in known.topics.items()}
        parts = sorted(consumer.assignment())
        begins = await consumer.beginning_offsets(parts)
        ends = await consumer.end_offsets(parts)
        told = Told()
        while True:
            begin, lost = _begin(head, ids, begins)
            wanted = {part: (offset, ends[part]) for part, offset in begin.items() if offset < ends[part]}
            lag = sum(end - offset for offset, end in wanted.values())
            if not wanted:
                return Told(told.rows, told.files, 0, told.lost + lost)
            records = await _read(consumer, wanted, settings.warehouse_rows_max)
            after = await _commit(storage, head, ids, records)
            if after is None:
                log.warning("another-writer", manifest=head.number + 1)
                return Told(told.rows, told.files, lag, told.lost + lost)
            head, files = after
            told = Told(told.rows + len(records), told.files + files, 0, told.lost + lost)
    finally:
        await consumer.stop()


def _begin(
    head: Head, ids: Mapping[str, str], begins: Mapping[TopicPartition, int]
) -> tuple[dict[TopicPartition, int], int]:
    """The next offset of each partition, and how many records were deleted before they were read."""
    found, lost = {}, 0
    for part, first in begins.items():
        position = head.positions.get(manifests.place(ids[part.topic], part.partition), 0)
        if first > position:
            lost += first - position
            log.error("records-lost", topic=part.topic, partition=part.partition, count=first - position)
        found[part] = max(position, first)
    return found, lost


async def _read(
    consumer: AIOKafkaConsumer, wanted: Mapping[TopicPartition, tuple[int, int]], most: int
) -> list[Record]:
    """The next records, at most about `most`, none at or behind the ends."""
    for part, (offset, _) in wanted.items():
        consumer.seek(part, offset)
    left = set(wanted)
    found: list[Record] = []
    loop = asyncio.get_running_loop()
    last = loop.time()
    while left and len(found) < most:
        batches = await consumer.getmany(*left, timeout_ms=500, max_records=min(5000, most - len(found)))
        for part, records in batches.items():
            last = loop.time()
            end = wanted[part][1]
            for record in records:
                if record.offset < end:
                    appended = datetime.fromtimestamp(record.timestamp / 1000, UTC)
                    found.append(
                        Record(part.topic, part.partition, record.offset, appended, record.value or b"")
                    )
        for part in list(left):
            # The position, and not the last offset: compaction may have taken the last records.
            if await consumer.position(part) >= wanted[part][1]:
                left.discard(part)
        if loop.time() - last > _QUIET_SECONDS:
            raise Stalled(f"no record for {_QUIET_SECONDS:.0f} s")
    return found


async def _commit(
    storage: Storage, head: Head, ids: Mapping[str, str], records: Sequence[Record]
) -> tuple[Head, int] | None:
    """Write the files and the manifest; the new head and how many files, or None where another writer was first."""
    rows: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
    by_part: defaultdict[tuple[str, int], list[int]] = defaultdict(list)
    for record in records:
        row = row_of(record)
        rows[row.day, row.type].append(row)
        by_part[record.topic, record.partition].append(record.offset)
    stem = f"{head.number + 1:020d}-{uuid4().hex[:12]}"
    files = []
    for (day, type_), found in sorted(rows.items()):
        content = parquet(type_, found)
        name = f"events/day={day}/type={type_}/{stem}.parquet"
        await storage.put(name, content)
        files.append(File(name, day, type_, len(found), len(content)))
    failpoints.reach("files-written")
    ranges = tuple(
        Range(topic, ids[topic], partition, min(offsets), max(offsets), len(offsets))
        for (topic, partition), offsets in sorted(by_part.items())
    )
    manifest = manifests.follow_up(head, ranges, tuple(files), datetime.now(UTC))
    if not await manifests.create(storage, manifest):
        for file in files:
            await storage.delete(file.name)
        return None
    failpoints.reach("manifest-written")
    log.info("manifest", number=manifest.number, rows=len(records), files=len(files))
    return Head(manifest.number, manifest.positions), len(files)


def parquet(type_: str, rows: Sequence[Row]) -> bytes:
    """A Parquet file of rows of one type."""
    import pyarrow.parquet as pq

    table = table_of(type_, rows)
    out = io.BytesIO()
    pq.write_table(
        table,
        out,
        compression="zstd",
        row_group_size=ROW_GROUP,
        use_dictionary=[name for name in table.column_names if name not in _WITHOUT_DICTIONARY],
    )
    return out.getvalue()


def as_line(told: Told) -> dict[str, int]:
    """What a round says on its standard output, as JSON."""
    return asdict(told)
