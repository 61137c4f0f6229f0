"""From records to tables: one row per record, the columns that docs/warehouse.md names.

Invariants: no record is left out, whatever its bytes; typed columns come from the contract of the type and
never stand in the way of a row (a value of another form is null there and still in `data`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin
from uuid import UUID

from shared.contracts.envelope import Envelope
from shared.contracts.registry import contract_of

if TYPE_CHECKING:
    import pyarrow as pa

CHINA = timezone(timedelta(hours=8))
UNREADABLE = "unreadable"
LEFT_OUT: Mapping[str, frozenset[str]] = {"staff.changed": frozenset({"name"})}
"""Fields of a type's data that stay out: what identifies somebody who holds no public office."""
_TYPE = re.compile(r"[a-z0-9][a-z0-9.-]{0,99}")
_YEARS = range(1954, 2200)

Kind = Literal["uuid", "string", "int", "float", "bool", "time", "date", "strings"]


@dataclass(frozen=True)
class Record:
    """A record of the log; `appended` is when the broker took it."""

    topic: str
    partition: int
    offset: int
    appended: datetime
    value: bytes


@dataclass(frozen=True)
class Row:
    """A record with the day and type under which it is kept, and its cells."""

    day: str
    type: str
    cells: Mapping[str, Any]


def row_of(record: Record) -> Row:
    """The row of a record."""
    where = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "appended": record.appended,
    }
    try:
        envelope = Envelope.model_validate_json(record.value)
    except ValueError:
        envelope = None
    if envelope is None or not _TYPE.fullmatch(envelope.type) or envelope.time.year not in _YEARS:
        return Row(_day(record.appended), UNREADABLE, {**where, "raw": record.value})
    left_out = LEFT_OUT.get(envelope.type, frozenset())
    data = {name: value for name, value in envelope.data.items() if name not in left_out}
    cells = {
        "id": envelope.id.bytes,
        "source": envelope.source,
        "type": envelope.type,
        "subject": envelope.subject,
        "time": envelope.time.astimezone(UTC),
        "recordedtime": envelope.recordedtime and envelope.recordedtime.astimezone(UTC),
        "sequence": envelope.sequence,
        "correlationid": envelope.correlationid,
        "causationid": envelope.causationid,
        "traceparent": envelope.traceparent,
        **where,
        "data": json.dumps(data, ensure_ascii=False, separators=(",", ":")),
    }
    for name, kind in typed_fields(envelope.type).items():
        cells[f"d_{name}"] = _typed(data.get(name), kind)
    return Row(_day(envelope.time), envelope.type, cells)


def _day(moment: datetime) -> str:
    return moment.astimezone(CHINA).date().isoformat()


@cache
def typed_fields(type_: str) -> Mapping[str, Kind]:
    """The plain fields of a type's data with their kind, as its contract declares them; none for an unknown type."""
    declaration = contract_of(type_)
    if declaration is None:
        return {}
    left_out = LEFT_OUT.get(type_, frozenset())
    kinds = {
        name: _kind(field.annotation)
        for name, field in declaration.model.model_fields.items()
        if name not in left_out
    }
    return {name: kind for name, kind in kinds.items() if kind is not None}


_SCALARS: Mapping[Any, Kind] = {
    UUID: "uuid",
    str: "string",
    int: "int",
    float: "float",
    bool: "bool",
    datetime: "time",
    date: "date",
}


def _kind(annotation: Any) -> Kind | None:
    """The column's kind for a field's annotation; None for what is kept in `data` alone."""
    if annotation in _SCALARS:
        return _SCALARS[annotation]
    origin, inner = get_origin(annotation), [a for a in get_args(annotation) if a is not type(None)]
    if getattr(annotation, "__name__", "") == "AwareDatetime":
        return "time"
    if hasattr(annotation, "__metadata__"):  # Annotated
        return _kind(inner[0])
    if origin is Literal:
        return "string" if all(isinstance(value, str) for value in inner) else None
    if origin is tuple:
        item = _kind(inner[0])
        return "strings" if item in ("string", "uuid") else None
    if origin is not None and len(inner) == 1 and origin not in (list, dict, set, frozenset):
        return _kind(inner[0])  # X | None
    return None


def _moment(value: Any) -> datetime | None:
    found = datetime.fromisoformat(value)
    return found.astimezone(UTC) if found.tzinfo is not None and found.year in _YEARS else None


_CONVERT: Mapping[Kind, Callable[[Any], Any]] = {
    "uuid": lambda value: UUID(value).bytes,
    "string": lambda value: value if isinstance(value, str) else None,
    "int": lambda value: value if type(value) is int and abs(value) < 2**63 else None,
    "float": float,
    "bool": lambda value: value if isinstance(value, bool) else None,
    "time": _moment,
    "date": date.fromisoformat,
    "strings": lambda value: [str(one) for one in value] if isinstance(value, list) else None,
}


def _typed(value: Any, kind: Kind) -> Any:
    if value is None:
        return None
    try:
        return _CONVERT[kind](value)
    except (ValueError, TypeError, AttributeError, OverflowError):
        return None


def table_of(type_: str, rows: Iterable[Row]) -> pa.Table:
    """The rows of one type as a table, in the order of time."""
    import pyarrow as pa

    schema = schema_of(type_)
    cells = sorted(
        (row.cells for row in rows),
        key=lambda c: (c.get("time") or c["appended"], c["partition"], c["offset"]),
    )
    columns = [_array([c[field.name] for c in cells], field.type) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _array(values: list[Any], kind: pa.DataType) -> pa.Array:
    """An array; of an extension type (UUID) through what it is stored as."""
    import pyarrow as pa

    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, pa.array(values, kind.storage_type))
    return pa.array(values, kind)


@cache
def schema_of(type_: str) -> pa.Schema:
    """The columns of a type."""
    import pyarrow as pa

    moment = pa.timestamp("us", tz="UTC")
    where = [
        pa.field("topic", pa.string(), nullable=False),
        pa.field("partition", pa.int32(), nullable=False),
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("appended", pa.timestamp("ms", tz="UTC"), nullable=False),
    ]
    if type_ == UNREADABLE:
        return pa.schema([*where, pa.field("raw", pa.binary(), nullable=False)])
    kinds = {
        "uuid": pa.uuid(),
        "string": pa.string(),
        "int": pa.int64(),
        "float": pa.float64(),
        "bool": pa.bool_(),
        "time": moment,
        "date": pa.date32(),
        "strings": pa.list_(pa.string()),
    }
    return pa.schema(
        [
            pa.field("id", pa.uuid(), nullable=False),
            pa.field("source", pa.string(), nullable=False),
            pa.field("type", pa.string(), nullable=False),
            pa.field("subject", pa.string(), nullable=False),
            pa.field("time", moment, nullable=False),
            pa.field("recordedtime", moment),
            pa.field("sequence", pa.int64()),
            pa.field("correlationid", pa.string()),
            pa.field("causationid", pa.string()),
            pa.field("traceparent", pa.string()),
            *where,
            pa.field("data", pa.string(), nullable=False),
            *(pa.field(f"d_{name}", kinds[kind]) for name, kind in typed_fields(type_).items()),
        ]
    )
