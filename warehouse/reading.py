"""Questions to the warehouse in SQL, through DuckDB.

Invariant: a question sees the files that are in manifests and each event once, whatever the log held twice.
"""

from __future__ import annotations

import re
import tempfile
from collections import defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import msgspec

from shared.storage import Storage, StorageSettings, open_storage
from warehouse import manifests
from warehouse.manifests import File
from warehouse.rows import UNREADABLE

if TYPE_CHECKING:
    import duckdb

EVENTS = "events"
_COMMON = (
    "id, source, type, subject, time, recordedtime, sequence, correlationid, causationid, traceparent, "
    'topic, "partition", "offset", appended, data'
)


@dataclass(frozen=True)
class Contents:
    """What the warehouse held when it was looked at: files by table name, and the last manifest's number.

    `missing` counts the records that the log had lost before they were read; `positions` as in a manifest.
    """

    tables: dict[str, list[File]]
    number: int
    missing: int
    positions: Mapping[str, int]


@dataclass(frozen=True)
class Record:
    """An event as the log held it: what `shared.messaging.received.Record` asks for. `timestamp` in milliseconds."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    value: bytes
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes]] = ()


@dataclass(frozen=True)
class Answer:
    """Column names and rows; `missing` as in `Contents`."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    missing: int


def table_name(type_: str) -> str:
    """The table of a type: `case_filed` for `case.filed`."""
    return re.sub(r"[^a-z0-9]", "_", type_)


async def contents(storage: Storage) -> Contents:
    """All files by table. Raises StorageAway, Contradiction."""
    tables: defaultdict[str, list[File]] = defaultdict(list)
    head = manifests.BEFORE_ALL
    async for manifest in manifests.every(storage):
        head = manifests.head_of(manifest)
        for file in manifest.files:
            tables[table_name(file.type)].append(file)
    return Contents(dict(sorted(tables.items())), head.number, head.missing, head.positions)


async def query(url: str, sql: str, settings: StorageSettings | None = None) -> Answer:
    """Answer a question. Raises StorageAway, Contradiction, ValueError for wrong SQL, with what is wrong."""
    import duckdb

    found = await contents(open_storage(url, settings))
    with _connection(url, settings) as connection:
        try:
            for statement in _views(url, found, sql):
                connection.execute(statement)
            connection.execute(sql)
            rows = connection.fetchall() if connection.description else []
            columns = [column[0] for column in connection.description or ()]
        except duckdb.Error as error:
            raise ValueError(str(error)) from error
    return Answer(columns, rows, found.missing)


def paths(url: str, found: Contents) -> dict[str, list[str]]:
    """Where DuckDB finds the files, by event type; a connection must be led to them (`lead_to`)."""
    by_type: defaultdict[str, list[str]] = defaultdict(list)
    for files in found.tables.values():
        for file in files:
            by_type[file.type].append(path(url, file.name))
    return dict(by_type)


def manifest_of(name: str) -> int:
    """The number of the one manifest that may name a file of events; the file's own name begins with it."""
    return int(name.rpartition("/")[2][:20])


def records(
    url: str, found: Contents, types: Container[str], settings: StorageSettings | None = None
) -> Iterator[list[Record]]:
    """The events of these types as messages again, up to 5,000 at a time, in any order and with repetitions."""
    with _connection(url, settings) as connection:
        for type_, files in paths(url, found).items():
            if type_ not in types:
                continue
            answer = connection.execute(
                'SELECT topic, "partition", "offset", epoch_ms(appended), id, source, type, subject, time, '
                "recordedtime, sequence, data FROM read_parquet($files, union_by_name = true, hive_partitioning = false)",
                {"files": files},
            )
            while rows := answer.fetchmany(5_000):
                yield [_record(row) for row in rows]


def _record(row: Sequence[Any]) -> Record:
    names = ("id", "source", "type", "subject", "time", "recordedtime", "sequence")
    document = {
        "specversion": "1.0",
        **dict(zip(names, row[4:11], strict=True)),
        "data": msgspec.Raw(row[11].encode()),
    }
    topic, partition, offset, timestamp = row[:4]
    return Record(topic, partition, offset, timestamp, msgspec.json.encode(document))


@contextmanager
def _connection(url: str, settings: StorageSettings | None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that spills to a folder of its own, not to where somebody asks from, and draws no bar there."""
    import duckdb

    with (
        tempfile.TemporaryDirectory(prefix="warehouse-query-") as spill,
        duckdb.connect(config={"memory_limit": "1GB", "threads": 2, "temp_directory": spill}) as connection,
    ):
        connection.execute("SET enable_progress_bar = false")
        lead_to(connection, url, settings)
        yield connection


def lead_to(connection: duckdb.DuckDBPyConnection, url: str, settings: StorageSettings | None) -> None:
    """Let DuckDB read from the storage: a folder by itself, a bucket through the same library as the writer."""
    if urlsplit(url).scheme == "file":
        return
    from obstore.fsspec import FsspecStore

    from shared.storage import s3_options

    connection.register_filesystem(FsspecStore("s3", **s3_options(settings)))


def path(url: str, name: str) -> str:
    """Where DuckDB finds an object of the storage."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return str(Path(unquote(parts.path)) / name)
    return f"{url.rstrip('/')}/{name}"


def _views(url: str, found: Contents, sql: str) -> list[str]:
    """A view per table that the question names, and `events` over all where it names that."""
    words = set(re.findall(r"[a-z0-9_]+", sql.lower()))
    every = EVENTS in words
    views = []
    for table, files in found.tables.items():
        if not every and table not in words:
            continue
        paths = ", ".join("'" + path(url, file.name).replace("'", "''") + "'" for file in files)
        source = f"read_parquet([{paths}], union_by_name = true, hive_partitioning = false)"
        one = "" if table == UNREADABLE else f" QUALIFY {_FIRST} = 1"
        views.append(f'CREATE VIEW "{table}" AS SELECT * FROM {source}{one}')
    if every:
        parts = [f'SELECT {_COMMON} FROM "{table}"' for table in found.tables if table != UNREADABLE]
        if parts:
            views.append(f"CREATE VIEW {EVENTS} AS {' UNION ALL '.join(parts)}")
    return views


_FIRST = 'row_number() OVER (PARTITION BY source, id ORDER BY topic, "partition", "offset")'
