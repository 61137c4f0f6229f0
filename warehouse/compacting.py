"""Compaction: from the facts there are and the events since, the facts of all events.

Bucket by bucket, so that memory does not follow the size of the warehouse; what a step holds too much of is spilt.

Invariants: files first, manifest last, so that an attempt that is killed leaves files that nobody sees; of two at
once one wins; a file stays for a day after the newest manifest has ceased to name it, for those who still read it.
What killed rounds of the writer left goes with it: a file of events whose manifest is there and does not name it.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from shared.messaging import failpoints
from shared.storage import Storage, StorageSettings, open_storage
from shared.telemetry.logging import logger
from warehouse import facts, reading
from warehouse.facts import SHAPES, Facts, Held, Part, Shape
from warehouse.manifests import Contradiction
from warehouse.reading import Contents
from warehouse.rows import typed_fields

if TYPE_CHECKING:
    import duckdb

_LEFT_FOR = timedelta(days=1)
_OWN = re.compile(rf"{facts.FOLDER}/type=[^/]+/bucket=[^/]+/\d{{20}}-[0-9a-f]{{12}}\.parquet")
_OF_WRITER = re.compile(r"events/day=[^/]+/type=[^/]+/\d{20}-[0-9a-f]{12}\.parquet")
_SCRATCH = "warehouse-compact-"
_GROWTH = 50
_FILES = 1000
"""A compaction writes most facts anew, so it waits for every fiftieth event, or for many small files."""
_ROW_GROUP = 122_880
_DAY = "CAST(make_timestamp(epoch_us(time) + 28800000000) AS DATE)"
"""The day in China."""

log = logger(__name__)


@dataclass(frozen=True)
class Job:
    """One event type: `base` are its facts so far, None to make them anew from `files`, which lack the `absent` columns."""

    type: str
    shape: Shape
    columns: Mapping[str, str]
    base: Held | None
    files: Sequence[str]
    absent: frozenset[str] = frozenset()


async def compact(
    url: str,
    settings: StorageSettings | None = None,
    *,
    at_least: int = 1,
    memory: str = "1GB",
    threads: int = 2,
) -> Facts | None:
    """Compact if at least so many records, and enough beside the facts, or many files are new; None where not done.

    Raises StorageAway, Contradiction.
    """
    import duckdb

    storage = open_storage(url, settings)
    number, before = await _before(storage)
    contents = await reading.contents(storage)
    if before is not None:
        try:
            facts.check(before, contents)
        except Contradiction as error:
            log.warning("facts-made-anew", number=number, error=str(error))
            before = None
    if not _due(before, contents, at_least):
        return None
    _sweep()
    with (
        tempfile.TemporaryDirectory(prefix=_SCRATCH) as scratch,
        closing(
            duckdb.connect(
                config={
                    "memory_limit": memory,
                    "threads": threads,
                    "temp_directory": f"{scratch}/spill",
                    "preserve_insertion_order": False,
                }
            )
        ) as database,
    ):
        database.execute("SET enable_progress_bar = false")
        reading.lead_to(database, url, settings)
        after = await _Compaction(database, storage, url, Path(scratch), number + 1, before, contents).run()
    if not await facts.create(storage, after):
        log.warning("another-compaction", number=after.number)
        await _delete(storage, after, before)
        return None
    log.info("facts", number=after.number, until=after.until, rows=after.rows)
    for what, clean in (("facts", _clean(storage)), ("events", _clean_events(storage, contents))):
        try:
            await clean
        except (Contradiction, OSError) as error:
            log.warning("not-cleaned", what=what, error=str(error))
    return after


async def _before(storage: Storage) -> tuple[int, Facts | None]:
    """The newest number (0 where there is none), and its facts unless they cannot be used: then all is made anew."""
    found = await facts.numbers(storage)
    if not found:
        return 0, None
    try:
        return found[-1], await facts.read(storage, found[-1])
    except Contradiction as error:
        log.warning("facts-made-anew", number=found[-1], error=str(error))
        return found[-1], None


def _sweep() -> None:
    """Remove what compactions that were killed left on this machine's disk."""
    for left in Path(tempfile.gettempdir()).glob(f"{_SCRATCH}*"):
        with suppress(FileNotFoundError):  # another compaction ends, or sweeps as well
            if left.stat().st_mtime < time.time() - _LEFT_FOR.total_seconds():
                shutil.rmtree(left, ignore_errors=True)


def _due(before: Facts | None, contents: Contents, at_least: int) -> bool:
    until = before.until if before else 0
    new = [
        file.rows
        for files in contents.tables.values()
        for file in files
        if file.type in SHAPES and reading.manifest_of(file.name) > until
    ]
    enough = max(at_least, (before.rows if before else 0) // _GROWTH)
    return bool(new) and (sum(new) >= enough or len(new) >= _FILES)


class _Compaction:
    """One attempt."""

    def __init__(
        self,
        database: duckdb.DuckDBPyConnection,
        storage: Storage,
        url: str,
        scratch: Path,
        number: int,
        before: Facts | None,
        contents: Contents,
    ) -> None:
        self._database, self._storage, self._url, self._scratch = database, storage, url, scratch
        self._contents = contents
        rows = sum(file.rows for files in contents.tables.values() for file in files if file.type in SHAPES)
        self._digits = max(facts.digits_for(rows), before.digits if before else 0)
        # Buckets that become more are filled from the events.
        self._held = before.types if before and before.digits == self._digits else {}
        self._until = before.until if before and before.digits == self._digits else 0
        self._number = number
        self._stem = f"{number:020d}-{uuid4().hex[:12]}"

    async def run(self) -> Facts:
        """Write the files; returns the manifest."""
        paths = reading.paths(self._url, self._contents)
        tails = facts.since(self._url, self._contents, self._until)
        types = {}
        for type_, shape in SHAPES.items():
            held = self._held.get(type_)
            if type_ not in tails and held is not None and held.shape == shape:
                types[type_] = held
            elif type_ in paths:
                found = await self._made(type_, shape, held, paths[type_], tails.get(type_, []))
                if found is not None:
                    types[type_] = found
        failpoints.reach("facts-written")
        now = datetime.now(UTC).isoformat()
        until = self._contents.number
        return Facts(self._number, now, until, facts.digest(self._contents, until), self._digits, types)

    async def _made(
        self, type_: str, shape: Shape, held: Held | None, every: Sequence[str], tail: Sequence[str]
    ) -> Held | None:
        """The facts of a type with what is new; from all its events where the files of those so far cannot be read."""
        import duckdb

        job = self._job(type_, shape, held, every, tail)
        try:
            return await self._write(job) if job is not None else None
        except (FileNotFoundError, duckdb.Error) as error:
            if job is None or job.base is None:
                raise
            log.warning("facts-made-anew", type=type_, error=type(error).__name__)
        job = self._job(type_, shape, None, every, [])
        return await self._write(job) if job is not None else None

    def _job(
        self, type_: str, shape: Shape, held: Held | None, every: Sequence[str], tail: Sequence[str]
    ) -> Job | None:
        """From where a type is made; None where its events lack a field that names a fact."""
        if held is not None and held.shape == shape:
            columns = self._columns(type_, tail)
            # A field that the facts lack, or had as another type, is taken from the events from the first on.
            if all(held.columns.get(name) == kind for name, kind in columns.items()):
                return Job(type_, shape, held.columns, held, tail, frozenset(held.columns) - set(columns))
        columns = self._columns(type_, every)
        if not {*shape.key, *shape.marks} <= set(columns):
            return None
        return Job(type_, shape, columns, None, every)

    def _columns(self, type_: str, files: Sequence[str]) -> dict[str, str]:
        """The plain fields that the files have, with DuckDB's types."""
        wanted = {f"d_{name}": name for name, kind in typed_fields(type_).items() if kind != "strings"}
        rows = self._database.execute(f"DESCRIBE SELECT * FROM {_parquet(files)}").fetchall()
        return {wanted[str(row[0])]: str(row[1]) for row in rows if row[0] in wanted}

    async def _write(self, job: Job) -> Held:
        shuffled = self._shuffle(job) if self._digits else None
        parts: dict[str, Part] = {}
        for at in facts.labels(self._digits):
            base = job.base.parts.get(at) if job.base else None
            new = _parquet(job.files) if shuffled is None else _parts(shuffled, at)
            if new is None:
                if base is not None:
                    parts[at] = base
                continue
            source = f"SELECT {_taken(job)} FROM {new}" if shuffled is None else f"FROM {new}"
            if base is not None:
                old = _parquet([reading.path(self._url, base.name)])
                source = f"{source} UNION ALL BY NAME SELECT * EXCLUDE (contested) FROM {old}"
            parts[at] = await self._part(job, at, _newest(job, source))
        shape = job.shape
        return Held(shape.deputy, shape.names, shape.marks, job.columns, parts)

    async def _part(self, job: Job, at: str, rows: str) -> Part:
        """Write a bucket."""
        out = self._scratch / "facts.parquet"
        self._database.execute(
            f"COPY ({rows}) TO '{out}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {_ROW_GROUP})"
        )
        numbers = [name for name, kind in job.columns.items() if kind == "BIGINT"]
        most = "".join(f", coalesce(max(abs(CAST(d_{name} AS HUGEINT))), 0)" for name in numbers)
        (counted,) = self._database.execute(
            f"SELECT count(*), count(*) FILTER (contested){most} FROM '{out}'"
        ).fetchall()
        content = await asyncio.to_thread(out.read_bytes)
        name = f"{facts.FOLDER}/type={job.type}/bucket={at or 'all'}/{self._stem}.parquet"
        await self._storage.put(name, content)
        widest = dict(zip(numbers, map(int, counted[2:]), strict=True))
        return Part(name, counted[0], counted[1], len(content), widest)

    def _shuffle(self, job: Job) -> Path:
        """Put what is new into a folder for each bucket, so that each is read once."""
        folder = self._scratch / "shuffled"
        if folder.exists():
            for file in folder.glob("*/*.parquet"):
                file.unlink()
        folder.mkdir(exist_ok=True)
        if job.files:
            at = facts.label(f"d_{job.shape.deputy}", self._digits)
            self._database.execute(
                f"COPY (SELECT {_taken(job)}, {at} AS bucket FROM {_parquet(job.files)}) TO '{folder}' "
                "(FORMAT parquet, COMPRESSION snappy, PARTITION_BY (bucket), OVERWRITE_OR_IGNORE)"
            )
        return folder


def _taken(job: Job) -> str:
    """The columns of events that facts keep, under their names."""
    return f"id, coalesce(sequence, 0) AS sequence, {_DAY} AS day, " + ", ".join(
        f"CAST(NULL AS {kind}) AS d_{name}" if name in job.absent else f"d_{name}"
        for name, kind in job.columns.items()
    )


def _newest(job: Job, source: str) -> str:
    """Of each fact, of each of its marks and years, the newest version; `contested` where that is more than one."""
    key = ", ".join(f"d_{name}" for name in job.shape.key)
    same = ", ".join([key, *(f"d_{name}" for name in job.shape.marks)])
    others = [f"d_{name}" for name in job.columns if name not in {*job.shape.key, *job.shape.marks}]
    kept = ", ".join(f"{name} := {name}" for name in ("id", "sequence", "day", *others))
    return f"""
SELECT {same}, of.*, count(*) OVER (PARTITION BY {key}) > 1 AS contested
FROM (SELECT {same}, arg_max(struct_pack({kept}), struct_pack(s := sequence, i := id)) AS of
      FROM ({source}) GROUP BY {same}, year(day))
ORDER BY year(of.day), d_{job.shape.deputy}, of.day"""


def _parts(shuffled: Path, at: str) -> str | None:
    files = sorted(map(str, (shuffled / f"bucket={at}").glob("*.parquet")))
    return _parquet(files) if files else None


def _parquet(files: Sequence[str]) -> str:
    paths = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
    return f"read_parquet([{paths}], union_by_name = true, hive_partitioning = false)"


async def _delete(storage: Storage, facts_: Facts, before: Facts | None) -> None:
    """Remove the files of an attempt that another was ahead of."""
    kept = _files(before) if before else set()
    for name in _files(facts_) - kept:
        await storage.delete(name)


async def _clean(storage: Storage) -> None:
    """Remove what no manifest names that was the newest within the last day, nor an attempt under way is about to name.

    Whoever began to read when a manifest was the newest may read its files until then, however many have followed.
    Raises StorageAway, Contradiction.
    """
    old = datetime.now(UTC) - _LEFT_FOR
    manifests = sorted(await facts.manifests(storage))
    followed = [number for (number, _), (_, by) in itertools.pairwise(manifests) if by < old]
    kept = {
        name
        for number, _ in manifests
        if number not in followed
        for name in _files(await facts.read(storage, number))
    }
    for number in followed:
        await facts.remove(storage, number)
    left = [
        found.name
        async for found in storage.under(facts.FOLDER)
        if _OWN.fullmatch(found.name) and found.name not in kept and found.modified < old
    ]
    for name in left:
        await storage.delete(name)


async def _clean_events(storage: Storage, contents: Contents) -> None:
    """Remove the files of events of rounds that were killed. Raises StorageAway.

    A file is named by the manifest of its own number or by none, and a manifest is never replaced. So what a round
    under way writes, whose number is not taken yet, is left alone however long it takes.
    """
    old = datetime.now(UTC) - _LEFT_FOR
    kept = {file.name for files in contents.tables.values() for file in files}
    left = [
        found.name
        async for found in storage.under("events")
        if _OF_WRITER.fullmatch(found.name)
        and found.name not in kept
        and reading.manifest_of(found.name) <= contents.number
        and found.modified < old
    ]
    for name in left:
        await storage.delete(name)
    if left:
        log.info("events-cleaned", files=len(left))


def _files(found: Facts) -> set[str]:
    return {part.name for held in found.types.values() for part in held.parts.values()}
