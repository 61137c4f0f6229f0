"""Tables as files 导出: what a list shows under the same filters, as a spreadsheet (XLSX) or CSV.

The rows are asked of the service that holds them, page by page and with the caller's own token, so that a file
holds what its caller may see. Invariants: no cell is a formula, whatever it begins with; a file has at most
`ROWS_MAX` rows, and a list that has more is refused and not cut; a file is made beside the event loop, one at
a time.
"""

# No postponed annotations here: FastAPI could not find names that are made inside functions.

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import parse_qs, urlencode
from zoneinfo import ZoneInfo

from fastapi import Depends, FastAPI, Request
from fastapi.responses import Response
from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from openpyxl.styles import Font

from gateway.commands import Caller
from gateway.places import Place
from gateway.reads import READS
from gateway.services import Services
from shared.contracts.registry import Role
from shared.http.callers import require
from shared.http.problems import Problem
from shared.messaging.clock import BusinessClock
from shared.telemetry.logging import logger

ROWS_MAX = 20_000
WORDS: Mapping[str, Mapping[str, Mapping[str, str]]] = json.loads(
    Path(__file__).with_name("export_words.json").read_text("utf-8")
)
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
CSV = "text/csv; charset=utf-8"
_ZONE = ZoneInfo("Asia/Shanghai")
_ACTIVE = ("=", "+", "-", "@", "\t", "\r")
"""What a cell must not begin with, lest a spreadsheet program take it for a formula (OWASP, CSV injection)."""
_PAGING = ("page", "size", "after")
_WIDTH = 18
_HUNDREDTHS = 100

log = logger(__name__)
Cell = str | int | float | None


@dataclass(frozen=True)
class Table:
    """A list of a service as a file: its read, how many rows a page has, and its columns."""

    name: str
    read: str
    page_size: int
    roles: tuple[Role, ...]
    columns: tuple[str, ...]
    """Names of fields in the service's answer."""


TABLES = (
    Table(
        "cases",
        "/cases",
        500,
        ("staff", "department", "operator"),
        (
            "title",
            "state",
            "category",
            "origin",
            "county",
            "town",
            "department",
            "filed_at",
            "answer_by",
            "answered_at",
            "on_time",
            "result",
            "stars",
        ),
    ),
    Table(
        "roster",
        "/deputies",
        500,
        ("staff", "operator"),
        (
            "number",
            "name",
            "level",
            "occupation",
            "county",
            "town",
            "constituency",
            "term_from",
            "term_until",
            "state",
            "station",
        ),
    ),
    Table(
        "scores",
        "/standings",
        10_000,
        ("staff", "operator"),
        (
            "rank",
            "number",
            "name",
            "level",
            "county",
            "town",
            "total",
            "grade",
            "outstanding",
            "reason",
        ),
    ),
)


def plain(cell: Cell) -> Cell:
    """A cell for CSV: a text that a program would take for a formula is marked as text."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_ACTIVE) else cell


def as_csv(heads: Sequence[str], rows: Sequence[Sequence[Cell]]) -> bytes:
    """The file in UTF-8 with the mark by which office programs know it."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(heads)
    writer.writerows([plain(cell) for cell in row] for row in rows)
    return out.getvalue().encode("utf-8-sig")


def as_xlsx(title: str, heads: Sequence[str], rows: Sequence[Sequence[Cell]]) -> bytes:
    """The file with one sheet; every text is a text, and stays one when somebody edits its cell."""
    book = Workbook(write_only=True)
    sheet = book.create_sheet(title)
    for number in range(len(heads)):
        sheet.column_dimensions[chr(ord("A") + number)].width = _WIDTH
    sheet.freeze_panes = "A2"
    bold = Font(bold=True)
    first = []
    for head in heads:
        cell = WriteOnlyCell(sheet, head)
        cell.font = bold
        first.append(cell)
    sheet.append(first)
    for row in rows:
        sheet.append([_cell(sheet, value) for value in row])
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def _cell(sheet: Any, value: Cell) -> Any:
    if not isinstance(value, str):
        return value
    cell = WriteOnlyCell(sheet, ILLEGAL_CHARACTERS_RE.sub("", value))
    cell.data_type = "s"  # openpyxl takes what begins with = for a formula
    if value.startswith(_ACTIVE):
        cell.quotePrefix = True
    return cell


class Wording:
    """What stands in a cell: codes become words and names, moments the time in China, points whole ones."""

    def __init__(self, language: str, places: Mapping[str, str], departments: Mapping[str, str]) -> None:
        self._words = WORDS[language]
        self._names = {"county": places, "town": places, "department": departments}

    def head(self, column: str) -> str:
        """A column's title."""
        return self._words["heading"][column]

    def cell(self, column: str, value: Any) -> Cell:
        """A value of a service's answer as people read it."""
        if value is None:
            return None
        if column in self._names:
            return self._names[column].get(str(value), str(value))
        if isinstance(value, bool):
            return self._words["flag"][str(value).lower()]
        if column.endswith(("_at", "_by")):
            return f"{datetime.fromisoformat(value).astimezone(_ZONE):%Y-%m-%d %H:%M}"
        if column == "total":
            return float(value) / _HUNDREDTHS
        if column == "grade":
            return str(value["title"])
        if isinstance(value, str):
            return self._words.get(column, {}).get(value, value)
        return int(value)


def _names(place: Place) -> dict[str, str]:
    return {
        place.code: place.name,
        **{code: name for child in place.children for code, name in _names(child).items()},
    }


def add(
    app: FastAPI,
    services: Services,
    city: Place,
    clock: BusinessClock,
    caller: Callable[..., Awaitable[Caller]],
) -> None:
    """Add a route for each table."""
    places = _names(city)
    one_at_a_time = asyncio.Lock()
    reads = {read.path: read for read in READS}

    async def asked(service: str, path: str, query: Mapping[str, str], token: str) -> dict[str, Any]:
        answer = await services.ask(service, path, token=token, query=urlencode(query))
        found: dict[str, Any] = json.loads(answer.body or b"{}")
        if answer.status != 200:
            raise Problem(answer.status, str(found.get("code", "not-read")), str(found.get("detail", "")))
        return found

    async def rows(table: Table, query: Mapping[str, str], token: str) -> AsyncIterator[dict[str, Any]]:
        """All rows of a list. Raises Problem where there are too many."""
        read = reads[table.read]
        paging = {"size": str(table.page_size), "page": "1"}
        read_so_far = 0
        while True:
            found = await asked(read.service, read.path, {**query, **paging}, token)
            read_so_far += len(found["items"])
            if max(read_so_far, 0 if found.get("total_is_estimate") else found["total"]) > ROWS_MAX:
                detail = f"A file has at most {ROWS_MAX:,} rows; narrow the list by its filters."
                raise Problem(422, "export-too-large", detail)
            for item in found["items"]:
                yield item
            if "next" in found:  # a list by position: it holds still while it grows
                if found["next"] is None:
                    return
                after = parse_qs(found["next"].removeprefix("?"))["after"][0]
                paging = {"size": str(table.page_size), "after": after}
            elif len(found["items"]) < table.page_size:
                return
            else:
                paging = {**paging, "page": str(int(paging["page"]) + 1)}

    async def file(
        table: Table, request: Request, person: Caller, form: Literal["xlsx", "csv"], lang: str
    ) -> Response:
        require(person.actor, *table.roles)
        filters = [name for name in reads[table.read].query if name not in _PAGING]
        query = {name: value for name, value in request.query_params.items() if name in filters}
        listed = await asked("identity", "/departments", {"size": "500"}, person.token)
        wording = Wording(lang, places, {one["code"]: one["name"] for one in listed["items"]})
        heads = [wording.head(column) for column in table.columns]
        lines = [
            [wording.cell(column, item.get(column)) for column in table.columns]
            async for item in rows(table, query, person.token)
        ]
        async with one_at_a_time:
            if form == "csv":
                content = await asyncio.to_thread(as_csv, heads, lines)
            else:
                content = await asyncio.to_thread(as_xlsx, WORDS[lang]["sheet"][table.name], heads, lines)
        log.info("exported", table=table.name, rows=len(lines))
        name = f"{table.name}-{clock.now().astimezone(_ZONE):%Y%m%d}.{form}"
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
        return Response(content, headers=headers, media_type=CSV if form == "csv" else XLSX)

    for table in TABLES:
        _add(app, table, reads[table.read].query, file, caller)


def _add(
    app: FastAPI,
    table: Table,
    query: Sequence[str],
    file: Callable[..., Awaitable[Response]],
    caller: Callable[..., Awaitable[Caller]],
) -> None:
    async def export(
        request: Request, person: Any, form: Literal["xlsx", "csv"] = "xlsx", lang: Literal["zh", "en"] = "zh"
    ) -> Response:
        return await file(table, request, person, form, lang)

    export.__annotations__["person"] = Annotated[Caller, Depends(caller)]
    filters = [
        {"name": name, "in": "query", "required": False, "schema": {"type": "string"}}
        for name in query
        if name not in _PAGING
    ]
    binary = {"schema": {"type": "string", "format": "binary"}}
    app.add_api_route(
        f"/api/exports/{table.name}",
        export,
        methods=["GET"],
        summary=f"The list {table.read} under its filters as a file 导出",
        tags=["exports"],
        operation_id=f"get_export_of_{table.name}",
        response_class=Response,
        responses={200: {"content": {XLSX: binary, "text/csv": binary}}},
        openapi_extra={"parameters": filters},
    )
