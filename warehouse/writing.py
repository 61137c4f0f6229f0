"""One round of the writer: read the log from the positions to its present ends, write files, commit manifests.

Invariants: files first, manifest last; positions come from the newest manifest alone; records that the log
lost before they were read are counted in the manifest for good; a topic that was made anew is another topic
(Kafka's topic id).
"""

from __future__ import annotations

import asyncio
import io
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, TopicPartition

from deploy.kafka.provision import Catalogue, Topic
from shared.contracts.registry import EVERY_SERVICE, events
from shared.messaging import failpoints
from shared.messaging.kafka import open_reader
from shared.messaging.log_identity import identify
from shared.storage import Storage
from shared.telemetry.logging import logger
from warehouse import manifests
from warehouse.manifests import File, Head, Manifest, Range
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
    """The broker gave no record for long, although there are some, or a topic was made anew meanwhile."""


@dataclass(frozen=True)
class Told:
    """What a round did: rows and files written, records still unread; and how many were ever lost unread."""

    rows: int = 0
    files: int = 0
    lag: int = 0
    lost: int = 0


@dataclass(frozen=True)
class Read:
    """What was read of one partition: its records from the offset `first` up to, not including, `next`."""

    first: int
    next: int
    records: Sequence[Record]


def topics() -> list[str]:
    """Every topic of events that all may read: not a department's own, no outcomes, no references to dead letters."""
    declared = _declared()
    found = {d.topic for d in events().values() if d.owner != EVERY_SERVICE}
    return sorted(name for name in found & set(declared) if _ACCOUNT in declared[name].readers)


def compacted() -> frozenset[str]:
    """Topics of which the log keeps the latest record of each key alone."""
    return frozenset(name for name, topic in _declared().items() if topic.compact)


def _declared() -> Mapping[str, Topic]:
    return {topic.name: topic for topic in Catalogue.load().topics}


async def write_round(settings: WarehouseSettings, storage: Storage) -> Told:
    """Write what the log holds now, in as many manifests as it takes.

    Raises StorageAway, KafkaError, LookupError, Contradiction, Stalled.
    """
    failpoints.arm(settings.failpoint)
    head = await manifests.head(storage)
    names = topics()
    consumer = await open_reader(settings, *names, from_end=False)
    try:
        log_now = await identify(consumer._client, names)
        ids = {name: str(topic_id) for name, topic_id in log_now.topics.items()}
        parts = sorted(consumer.assignment())
        begins = await consumer.beginning_offsets(parts)
        ends = await consumer.end_offsets(parts)
        rows = files = 0
        while wanted := _wanted(head, ids, begins, ends):
            read = await _read(consumer, wanted, settings.warehouse_rows_max)
            if await identify(consumer._client, names) != log_now:
                raise Stalled("a topic was made anew")
            after = await _commit(storage, head, ids, read)
            if after is None:
                log.warning("another-writer", manifest=head.number + 1)
                break
            if after.missing > head.missing:
                log.error("records-lost", manifest=after.number, count=after.missing - head.missing)
            head = manifests.head_of(after)
            rows += sum(len(one.records) for one in read.values())
            files += len(after.files)
        lag = sum(end - first for first, end in wanted.values())
        return Told(rows, files, lag, head.missing)
    finally:
        await consumer.stop()


def _wanted(
    head: Head,
    ids: Mapping[str, str],
    begins: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
) -> dict[TopicPartition, tuple[int, int]]:
    """Where to read on in each partition that holds something unread, and where it ends."""
    found = {}
    for part, begin in begins.items():
        position = head.positions.get(manifests.place(ids[part.topic], part.partition), 0)
        if max(position, begin) < ends[part]:
            found[part] = (max(position, begin), ends[part])
    return found


async def _read(
    consumer: AIOKafkaConsumer, wanted: Mapping[TopicPartition, tuple[int, int]], most: int
) -> dict[TopicPartition, Read]:
    """The next records, at most `most`, none at or behind the ends. Raises Stalled."""
    for part, (first, _) in wanted.items():
        consumer.seek(part, first)
    left = set(wanted)
    found: defaultdict[TopicPartition, list[Record]] = defaultdict(list)
    taken = 0
    loop = asyncio.get_running_loop()
    last = loop.time()
    while left and taken < most:
        batches = await consumer.getmany(*left, timeout_ms=500, max_records=min(5000, most - taken))
        for part, records in batches.items():
            last = loop.time()
            kept = [_record(part, record) for record in records if record.offset < wanted[part][1]]
            found[part] += kept
            taken += len(kept)
        for part in list(left):
            # The position, and not the last offset: compaction may have taken the last records.
            if await consumer.position(part) >= wanted[part][1]:
                left.discard(part)
        if loop.time() - last > _QUIET_SECONDS:
            raise Stalled(f"no record for {_QUIET_SECONDS:.0f} s")
    read = {}
    for part, (first, end) in wanted.items():
        reached = min(await consumer.position(part), end)
        if reached > first:
            read[part] = Read(first, reached, found[part])
    return read


def _record(part: TopicPartition, record: Any) -> Record:
    appended = datetime.fromtimestamp(record.timestamp / 1000, UTC)
    return Record(part.topic, part.partition, record.offset, appended, record.value or b"")


async def _commit(
    storage: Storage, head: Head, ids: Mapping[str, str], read: Mapping[TopicPartition, Read]
) -> Manifest | None:
    """Write the files and the manifest, which is returned; None where another writer was first."""
    rows: defaultdict[tuple[str, str], list[Row]] = defaultdict(list)
    for one in read.values():
        for record in one.records:
            row = row_of(record)
            rows[row.day, row.type].append(row)
    stem = f"{head.number + 1:020d}-{uuid4().hex[:12]}"
    files = []
    for (day, type_), found in sorted(rows.items()):
        content = parquet(type_, found)
        name = f"events/day={day}/type={type_}/{stem}.parquet"
        await storage.put(name, content)
        files.append(File(name, day, type_, len(found), len(content)))
    failpoints.reach("files-written")
    ranges = tuple(
        Range(part.topic, ids[part.topic], part.partition, one.first, one.next - 1, len(one.records))
        for part, one in sorted(read.items())
    )
    manifest = manifests.follow_up(head, ranges, tuple(files), datetime.now(UTC), compacted())
    if not await manifests.create(storage, manifest):
        for file in files:
            await storage.delete(file.name)
        return None
    failpoints.reach("manifest-written")
    log.info("manifest", number=manifest.number, rows=sum(one.rows for one in ranges), files=len(files))
    return manifest


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
