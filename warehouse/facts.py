"""Facts: of each fact its newest version, narrow and typed, in buckets by deputy (docs/warehouse.md).

A *fact* is what several events are versions of: a duty of a deputy, declared and then confirmed. `SHAPES` says
which fields of an event type name it. Everything here follows from the events and can be made anew from them.

Invariants: a file that the newest manifest does not name does not exist; a manifest is created, never replaced,
and says itself what its rows are, so that a reader needs no version of `SHAPES`. A manifest that says more than is
known here is not used: what it adds may change what the rows mean.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime

import msgspec

from shared.storage import Storage
from warehouse import reading
from warehouse.manifests import Contradiction
from warehouse.reading import Contents

FOLDER = "facts"
_MANIFESTS = f"{FOLDER}/manifests"
_BUCKET_ROWS = 20_000_000
"""Sixteen times as many buckets from here; and again from sixteen times as many rows."""
_DIGITS_MAX = 4


@dataclass(frozen=True)
class Shape:
    """What names a fact of an event type: whose it is, and `names`.

    `marks` are what a rubric may tell facts apart by beside these; they hardly ever change between versions.
    """

    deputy: str
    names: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()

    @property
    def key(self) -> tuple[str, ...]:
        """The fields that name a fact."""
        return (self.deputy, *self.names)


_OF_CASE = Shape("deputy_id", ("case_id",), ("origin", "county"))
SHAPES: Mapping[str, Shape] = {
    "case.filed": _OF_CASE,
    "case.closed": _OF_CASE,
    "case.rated": _OF_CASE,
    "case.progressed": Shape("deputy_id", ("case_id",), ("step", "origin", "by_resident", "by_deputy")),
    "case.referred": Shape("deputy_id", ("case_id",), ("became",)),
    "motion.submitted": Shape("deputy_id", ("motion_id",), ("kind", "level")),
    "motion.cosigned": Shape("cosigner_id", ("motion_id",), ("kind", "level")),
    "motion.progressed": Shape("deputy_id", ("motion_id",), ("step", "kind", "level")),
    "motion.rated": Shape("rater_id", ("motion_id", "rated_round"), ("kind", "level")),
    "course.completed": Shape("deputy_id", ("course_id",)),
    "activity.attended": Shape("deputy_id", ("activity_id",), ("kind",)),
    "consultation.answered": Shape("deputy_id", ("consultation_id",), ("kind",)),
    "duty.logged": Shape("deputy_id", ("duty_id",), ("kind", "happened_on")),
    "deputy.changed": Shape("deputy_id"),
}
"""Event types that have facts. What a rubric asks of another type, or otherwise, is read from the events."""


@dataclass(frozen=True)
class Part:
    """A bucket of one type: its file.

    `contested` counts the rows whose fact has another row; `widest` maps each whole-number field to the largest
    magnitude in it.
    """

    name: str
    rows: int
    contested: int
    bytes: int
    widest: Mapping[str, int]


@dataclass(frozen=True)
class Held:
    """The facts of one event type; `columns` maps each field to DuckDB's type, `parts` each bucket to its file."""

    deputy: str
    names: tuple[str, ...]
    marks: tuple[str, ...]
    columns: Mapping[str, str]
    parts: Mapping[str, Part]

    @property
    def shape(self) -> Shape:
        """What names a fact."""
        return Shape(self.deputy, self.names, self.marks)


@dataclass(frozen=True)
class Facts:
    """One compaction: the facts of all events up to the manifest `until`; of `digits` digits a bucket has its name.

    `events` tells which events these are (`digest`): after a restore other ones may have the same numbers.
    """

    number: int
    written: str
    until: int
    events: str
    digits: int
    types: Mapping[str, Held]

    @property
    def rows(self) -> int:
        """How many there are."""
        return sum(part.rows for held in self.types.values() for part in held.parts.values())


@dataclass(frozen=True)
class Compacted:
    """Facts and the events since, where DuckDB finds them: what `services.evaluation.replay` scores from.

    The parts of `types` have paths for names; `tail` are the events since by type, `events` all of them.
    """

    digits: int
    types: Mapping[str, Held]
    tail: Mapping[str, Sequence[str]]
    events: Mapping[str, Sequence[str]]


def labels(digits: int) -> list[str]:
    """The names of the buckets: the last digits of a deputy's id."""
    return ["".join(found) for found in itertools.product("0123456789abcdef", repeat=digits)]


def label(deputy: str, digits: int) -> str:
    """SQL for the bucket of a deputy; who is nobody is in the first."""
    return f"coalesce(right(CAST({deputy} AS VARCHAR), {digits}), '{'0' * digits}')"


def digits_for(rows: int) -> int:
    """How many digits a bucket's name has for so many records."""
    digits = 0
    while rows > _BUCKET_ROWS * 16**digits and digits < _DIGITS_MAX:
        digits += 1
    return digits


async def newest(storage: Storage) -> Facts | None:
    """The facts that count; None before the first compaction. Raises StorageAway, Contradiction."""
    found = await numbers(storage)
    return await read(storage, found[-1]) if found else None


async def numbers(storage: Storage) -> list[int]:
    """The numbers of the compactions, rising. Raises StorageAway."""
    return sorted(number for number, _ in await manifests(storage))


async def manifests(storage: Storage) -> list[tuple[int, datetime]]:
    """The numbers of the compactions, in no order, and since when each is there. Raises StorageAway."""
    found = []
    async for one in storage.under(_MANIFESTS):
        stem = one.name.rpartition("/")[2].removesuffix(".json")
        if stem.isdigit():
            found.append((int(stem), one.modified))
    return found


async def read(storage: Storage, number: int) -> Facts:
    """One compaction's manifest. Raises StorageAway, Contradiction."""
    content = await storage.get(_name_of(number)) or b""
    try:
        found = msgspec.json.decode(content, type=Facts)
        whole = json.loads(msgspec.json.encode(found)) == json.loads(content)
    except (ValueError, msgspec.MsgspecError) as error:
        raise Contradiction(f"manifest {number} of the facts is not readable") from error
    if not whole:
        raise Contradiction(f"manifest {number} of the facts says what is not known here")
    if found.number != number:
        raise Contradiction(f"manifest {number} of the facts says that it is {found.number}")
    buckets = set(labels(found.digits)) if found.digits in range(_DIGITS_MAX + 1) else set()
    for type_, held in found.types.items():
        if not set(held.parts) <= buckets or not {*held.shape.key, *held.shape.marks} <= set(held.columns):
            raise Contradiction(f"manifest {number} of the facts contradicts itself about {type_}")
    return found


async def create(storage: Storage, facts: Facts) -> bool:
    """Commit; False where another has taken the number. Raises StorageAway."""
    content = json.dumps(asdict(facts)).encode()
    if await storage.put_new(_name_of(facts.number), content):
        return True
    # A request whose answer was lost is sent again, and then finds what it wrote itself.
    return await storage.get(_name_of(facts.number)) == content


async def remove(storage: Storage, number: int) -> None:
    """Remove a manifest that does not count any more. Raises StorageAway."""
    await storage.delete(_name_of(number))


def compacted(url: str, facts: Facts, contents: Contents) -> Compacted:
    """Facts with the events since; the contents must have been read after the facts. Raises Contradiction."""
    check(facts, contents)
    types = {
        type_: replace(
            held,
            parts={at: replace(part, name=reading.path(url, part.name)) for at, part in held.parts.items()},
        )
        for type_, held in facts.types.items()
    }
    return Compacted(
        facts.digits, types, since(url, contents, facts.until), dict(reading.paths(url, contents))
    )


def check(facts: Facts, contents: Contents) -> None:
    """Raises Contradiction where facts are not of the events that are there."""
    if facts.until > contents.number:
        raise Contradiction(f"manifest {facts.number} of the facts is of events that are not there")
    if facts.events != digest(contents, facts.until):
        raise Contradiction(
            f"manifest {facts.number} of the facts is of other events than those up to manifest {facts.until}"
        )


def digest(contents: Contents, until: int) -> str:
    """Which events there are up to a manifest: SHA-256 of their files' names, each of which is given once."""
    names = (file.name for files in contents.tables.values() for file in files)
    found = sorted(name for name in names if reading.manifest_of(name) <= until)
    return hashlib.sha256("\n".join(found).encode()).hexdigest()


def since(url: str, contents: Contents, until: int) -> dict[str, list[str]]:
    """Where the events after a manifest lie, by type."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for files in contents.tables.values():
        for file in files:
            if reading.manifest_of(file.name) > until:
                found[file.type].append(reading.path(url, file.name))
    return dict(found)


def _name_of(number: int) -> str:
    return f"{_MANIFESTS}/{number:020d}.json"
