"""Manifests: which files exist, and up to where the log has been read. Pure, but for reading and creating them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime

from shared.storage import Storage

FOLDER = "manifests"


@dataclass(frozen=True)
class Range:
    """What a manifest took from one partition: `rows` records, the first and the last at these offsets."""

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
    """One commit. `positions` maps `topic_id/partition` to the next offset, over all manifests up to this one."""

    number: int
    written: str
    ranges: tuple[Range, ...]
    positions: Mapping[str, int]
    files: tuple[File, ...]


@dataclass(frozen=True)
class Head:
    """Where a writer begins: the newest number (0 where there is none) and the positions."""

    number: int = 0
    positions: Mapping[str, int] = field(default_factory=dict)


class Contradiction(Exception):  # noqa: N818 - a finding
    """The manifests are not numbered without a gap, or one of them is none: someone else wrote there."""


def place(topic_id: str, partition: int) -> str:
    """The key of a partition in `positions`."""
    return f"{topic_id}/{partition}"


def name_of(number: int) -> str:
    """The object's name."""
    return f"{FOLDER}/{number:020d}.json"


async def numbers(storage: Storage) -> list[int]:
    """The numbers of all manifests, rising. Raises StorageAway, Contradiction."""
    found = []
    async for one in storage.under(FOLDER):
        stem = one.name.rpartition("/")[2].removesuffix(".json")
        if not stem.isdigit():
            raise Contradiction(f"{one.name} is no manifest")
        found.append(int(stem))
    found.sort()
    if found != list(range(1, len(found) + 1)):
        raise Contradiction("the manifests have a gap")
    return found


async def head(storage: Storage) -> Head:
    """The newest manifest's number and positions. Raises StorageAway, Contradiction."""
    found = await numbers(storage)
    if not found:
        return Head()
    newest = await read(storage, found[-1])
    return Head(newest.number, newest.positions)


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
            tuple(File(**one) for one in document["files"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise Contradiction(f"manifest {number} is not readable") from error
    if found.number != number:
        raise Contradiction(f"manifest {number} says that it is {found.number}")
    return found


async def every(storage: Storage) -> AsyncIterator[Manifest]:
    """All manifests in order. Raises StorageAway, Contradiction."""
    for number in await numbers(storage):
        yield await read(storage, number)


async def create(storage: Storage, manifest: Manifest) -> bool:
    """Commit; False where another writer has taken the number. Raises StorageAway."""
    return await storage.put_new(name_of(manifest.number), json.dumps(asdict(manifest)).encode())


def follow_up(
    before: Head, ranges: tuple[Range, ...], files: tuple[File, ...], written: datetime
) -> Manifest:
    """The manifest after a head."""
    positions = dict(before.positions)
    for one in ranges:
        positions[place(one.topic_id, one.partition)] = one.last_offset + 1
    return Manifest(before.number + 1, written.isoformat(), ranges, positions, files)
