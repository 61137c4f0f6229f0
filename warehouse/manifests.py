"""Manifests: which files exist, and up to where the log has been read. Pure, but for reading and creating them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime

from shared.storage import Storage

FOLDER = "manifests"
_AT_ONCE = 32
"""So many are asked for at a time: a year has a hundred thousand, and a bucket takes a while for each answer."""


@dataclass(frozen=True)
class Range:
    """What a manifest took from one partition: all `rows` records that the log held at these offsets, both included.

    Fewer rows than offsets are what compaction took; else they are `missing`.
    """

    topic: str
    topic_id: str
    partition: int
    first_offset: int
    last_offset: int
    rows: int


@dataclass(frozen=True)
class File:
    """One Parquet file."""

    name: str
    day: str
    type: str
    rows: int
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """One commit. Over all manifests up to this one, `positions` maps `topic_id/partition` to the next offset.

    And `missing` counts the records that the log had lost before they were read.
    """

    number: int
    written: str
    ranges: tuple[Range, ...]
    positions: Mapping[str, int]
    missing: int
    files: tuple[File, ...]


@dataclass(frozen=True)
class Head:
    """Where a writer begins: the newest manifest's number (0 where there is none), positions and `missing`."""

    number: int = 0
    positions: Mapping[str, int] = field(default_factory=dict)
    missing: int = 0


BEFORE_ALL = Head()


class Contradiction(Exception):  # noqa: N818 - a finding
    """The manifests do not follow one another, or one of them is none: someone else wrote there."""


def place(topic_id: str, partition: int) -> str:
    """The key of a partition in `positions`."""
    return f"{topic_id}/{partition}"


def name_of(number: int) -> str:
    """The object's name."""
    return f"{FOLDER}/{number:020d}.json"


async def numbers(storage: Storage) -> list[int]:
    """The numbers of all manifests, rising. Raises StorageAway, Contradiction."""
    found = await _listed(storage)
    if found != list(range(1, len(found) + 1)):
        # Of two that are made while it is listed, the later may be in the list without the earlier.
        found = await _listed(storage)
    if found != list(range(1, len(found) + 1)):
        raise Contradiction("the manifests have a gap")
    return found


async def _listed(storage: Storage) -> list[int]:
    found = []
    async for one in storage.under(FOLDER):
        stem = one.name.rpartition("/")[2].removesuffix(".json")
        if not stem.isdigit():
            raise Contradiction(f"{one.name} is no manifest")
        found.append(int(stem))
    return sorted(found)


async def head(storage: Storage) -> Head:
    """The newest manifest's number and positions. Raises StorageAway, Contradiction."""
    found = await numbers(storage)
    return head_of(await read(storage, found[-1])) if found else BEFORE_ALL


def head_of(manifest: Manifest) -> Head:
    """The head that a manifest makes."""
    return Head(manifest.number, manifest.positions, manifest.missing)


async def read(storage: Storage, number: int) -> Manifest:
    """One manifest. Raises StorageAway, Contradiction."""
    content = await storage.get(name_of(number))
    try:
        document = json.loads(content or b"")
        found = Manifest(
            document["number"],
            document["written"],
            tuple(Range(**one) for one in document["ranges"]),
            dict(document["positions"]),
            document["missing"],
            tuple(File(**one) for one in document["files"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Contradiction(f"manifest {number} is not readable") from error
    if found.number != number:
        raise Contradiction(f"manifest {number} says that it is {found.number}")
    return found


async def every(storage: Storage) -> AsyncIterator[Manifest]:
    """All manifests in order. Raises StorageAway, Contradiction, so where two took the same record."""
    before = BEFORE_ALL
    left = await numbers(storage)
    while left:
        some, left = left[:_AT_ONCE], left[_AT_ONCE:]
        for found in await asyncio.gather(*(read(storage, number) for number in some)):
            if found.positions != _positions(before, found.ranges):
                raise Contradiction(f"manifest {found.number} does not follow the one before it")
            yield found
            before = head_of(found)


async def create(storage: Storage, manifest: Manifest) -> bool:
    """Commit; False where another writer has taken the number. Raises StorageAway, Contradiction."""
    content = json.dumps(asdict(manifest)).encode()
    if await storage.put_new(name_of(manifest.number), content):
        return True
    # A request whose answer was lost is sent again, and then finds what it wrote itself.
    return await storage.get(name_of(manifest.number)) == content


def follow_up(
    before: Head,
    ranges: tuple[Range, ...],
    files: tuple[File, ...],
    written: datetime,
    compacted: frozenset[str] = frozenset(),
) -> Manifest:
    """The manifest after a head; of the `compacted` topics no record is missing. Raises Contradiction."""
    missing = before.missing
    for one in ranges:
        missing += one.first_offset - before.positions.get(place(one.topic_id, one.partition), 0)
        if one.topic not in compacted:
            missing += one.last_offset + 1 - one.first_offset - one.rows
    number, positions = before.number + 1, _positions(before, ranges)
    return Manifest(number, written.isoformat(), ranges, positions, missing, files)


def _positions(before: Head, ranges: tuple[Range, ...]) -> dict[str, int]:
    """The positions after ranges. Raises Contradiction where one takes what was taken."""
    positions = dict(before.positions)
    for one in ranges:
        where = place(one.topic_id, one.partition)
        if one.first_offset < positions.get(where, 0) or one.last_offset < one.first_offset:
            raise Contradiction(f"{one.topic}/{one.partition} at {one.first_offset} was written before")
        positions[where] = one.last_offset + 1
    return positions
