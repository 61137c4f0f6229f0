"""Tables as files 导出: what a list shows under the same filters, as a spreadsheet (XLSX) or CSV.

The rows are asked of the service that holds them, page by page and with the caller's own token, so that a file
holds what its caller may see, and takes no longer than that token lasts: nobody's token is renewed behind their
back, and a list that takes longer is refused and has to be narrowed. A page is written and forgotten before the next is asked for: a CSV leaves as it is
written, an XLSX lies in a temporary file until it is whole. Invariants: no cell is a formula, whatever it begins
with; a file has at most `ROWS_MAX` rows, and a list that has more is refused and not cut; a CSV whose list cannot
be read to its end breaks off, so that nobody takes it for whole; pages are written beside the event loop, one at a
time.
"""

# No postponed annotations here: FastAPI could not find names that are made inside functions.

import asyncio
import csv
import io
import json
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, Literal, TypeVar
from urllib.parse import parse_qs, urlencode
from zoneinfo import ZoneInfo

from fastapi import Depends, FastAPI, Request
from fastapi.responses import Response, StreamingResponse

from gateway.commands import Caller
from gateway.reads import IDENTIFIER, READS
from gateway.services import Services
from shared.contracts.registry import Role
from shared.http.callers import require
from shared.http.problems import Problem
from shared.messaging.clock import BusinessClock
from shared.places import Place, names_of
from shared.receipts import shown
from shared.telemetry.logging import logger

if TYPE_CHECKING:
    from gateway.spreadsheet import Spreadsheet

ROWS_MAX = 200_000
WORDS: Mapping[str, Mapping[str, Mapping[str, str]]] = json.loads(
    Path(__file__).with_name("export_words.json").read_text("utf-8")
)
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
CSV = "text/csv; charset=utf-8"
_ZONE = ZoneInfo("Asia/Shanghai")
ACTIVE = ("=", "+", "-", "@", "\t", "\r")
"""What a cell must not begin with, lest a spreadsheet program take it for a formula (OWASP, CSV injection)."""
_PAGING = ("page", "size", "after")
_HUNDREDTHS = 100
_PEOPLE_AT_ONCE = 500
_CHUNK_BYTES = 256 * 1024

log = logger(__name__)
Cell = str | int | float | None
Rows = Sequence[Sequence[Cell]]
T = TypeVar("T")


@dataclass(frozen=True)
class Table:
    """A list of a service as a file: its read, the names of fields that are its columns, how many rows a page has.

    A read within one thing has that thing's id in the file's address too.
    """

    name: str
    read: str
    columns: str
    roles: tuple[Role, ...] = ("staff", "operator")
    page_size: int = 500

    @property
    def fields(self) -> tuple[str, ...]:
        """The columns."""
        return tuple(self.columns.split())

    @property
    def within(self) -> str | None:
        """The read of the one thing whose list it is; None for a list of its own."""
        thing, id_, _ = self.read.partition("{id}")
        return thing + id_ if id_ else None


_EVERY_DESK: tuple[Role, ...] = ("staff", "department", "operator")
TABLES = (
    Table(
        "cases",
        "/cases",
        "id receipt title state category origin county town deputy_id followers department filed_at answer_by answered_at"
        " on_time result stars",
        roles=_EVERY_DESK,
        page_size=100,  # whose words are opened in one go: others ask cases as well
    ),
    Table(
        "roster",
        "/deputies",
        "number name level occupation county town constituency term_from term_until state station",
    ),
    Table(
        "scores",
        "/standings",
        "rank number name level county town total grade outstanding reason",
        page_size=10_000,
    ),
    Table(
        "motions",
        "/motions",
        "number title kind level state author_id lead co_handlers submitted_at due answered_at closed_at"
        " supervised committee bill_outcome",
        roles=_EVERY_DESK,
        page_size=200,
    ),
    Table(
        "promises",
        "/motion-promises",
        "motion_number title department text due state postponed report_by overdue reported_at report rating",
        roles=_EVERY_DESK,
        page_size=200,
    ),
    Table("duties", "/duties", "deputy_id kind happened_on note state reason declared_at"),
    Table(
        "appeals",
        "/appeals",
        "deputy_id title kind happened_on evidence row_points reason state points answer filed_at decided_at",
    ),
    Table(
        "activities",
        "/activities",
        "title kind county venue starts_at ends_at capacity sign_ups check_ins",
    ),
    Table(
        "consultations",
        "/consultations",
        "title kind county opened_at closes_at closed_at respondents opinions",
    ),
    Table("courses", "/courses", "title levels minutes lessons pass_mark published_at enrolled completed"),
    Table("stations", "/stations", "name town code state deputies"),
    Table("attendances", "/activities/{id}/attendances", "deputy_id signed_up_at checked_in_at"),
    Table("opinions", "/consultations/{id}/opinions", "deputy_id question text answered_at"),
    Table("learners", "/courses/{id}/learners", "deputy_id started_at lessons mark completed_at"),
)
_PEOPLE = frozenset({"deputy_id", "author_id", "followers"})
"""Columns that name deputies by their ids."""
_DEPARTMENTS = frozenset({"department", "lead", "co_handlers"})
_POINTS = frozenset({"total", "row_points", "points"})


def plain(cell: Cell) -> Cell:
    """A cell for CSV: a text that a program would take for a formula is marked as text."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(ACTIVE) else cell


CSV_MARK = b"\xef\xbb\xbf"
"""By which office programs know that a CSV is in UTF-8."""


def as_csv(rows: Rows) -> bytes:
    """Lines of a CSV."""
    out = io.StringIO(newline="")
    csv.writer(out).writerows([plain(cell) for cell in row] for row in rows)
    return out.getvalue().encode()


def _spreadsheet() -> "type[Spreadsheet]":
    from gateway.spreadsheet import Spreadsheet  # openpyxl and numpy: no start waits for them

    return Spreadsheet


async def chunks(kept: IO[bytes]) -> AsyncIterator[bytes]:
    """A file in pieces; it is closed at its end."""
    with kept:
        while part := await asyncio.to_thread(kept.read, _CHUNK_BYTES):
            yield part


def too_large() -> Problem:
    """A list has more rows than a file may have."""
    detail = f"A file has at most {ROWS_MAX:,} rows; narrow the list by its filters."
    return Problem(422, "export-too-large", detail)


def too_slow() -> Problem:
    """The caller's token expired while their list was read."""
    detail = (
        "Reading the list took longer than your token lasts; sign in anew and narrow the list by its filters."
    )
    return Problem(422, "export-too-slow", detail)


class Wording:
    """What stands in a cell: codes become words and names, moments the time in China, points whole ones."""

    def __init__(self, language: str, table: str, names: Mapping[str, Mapping[str, str]]) -> None:
        self._words = WORDS[language]
        self._table = table
        self._names = names

    def head(self, column: str) -> str:
        """A column's title."""
        heads = self._words["heading"]
        return heads.get(f"{self._table}.{column}") or heads[column]

    def cell(self, column: str, value: Any) -> Cell:
        """A value of a service's answer as people read it."""
        if value is None:
            return None
        if isinstance(value, list):
            named = self._names.get(column)
            named = self._words["level"] if column == "levels" else named
            return len(value) if named is None else "、".join(named.get(str(one), str(one)) for one in value)
        if column in self._names:
            return self._names[column].get(str(value), str(value))
        if isinstance(value, bool):
            return self._words["flag"][str(value).lower()]
        if column == "due" and isinstance(value, dict):
            return self.cell("due_at", value["at"])
        if column.endswith(("_at", "_by")):
            return f"{datetime.fromisoformat(value).astimezone(_ZONE):%Y-%m-%d %H:%M}"
        if column in _POINTS:
            return float(value) / _HUNDREDTHS
        if column == "grade":
            return str(value["title"])
        if column == "receipt":
            return shown(value)
        if isinstance(value, str):
            words = self._words.get(f"{self._table}.{column}") or self._words.get(column, {})
            return words.get(value, value)
        return int(value)


def add(
    app: FastAPI,
    services: Services,
    city: Place,
    clock: BusinessClock,
    caller: Callable[..., Awaitable[Caller]],
) -> None:
    """Add a route for each table."""
    places = names_of(city)
    one_at_a_time = asyncio.Lock()
    reads = {read.path: read for read in READS}

    async def asked(service: str, path: str, query: Mapping[str, str], token: str) -> dict[str, Any]:
        answer = await services.ask(service, path, token=token, query=urlencode(query))
        found: dict[str, Any] = await asyncio.to_thread(json.loads, answer.body or b"{}")
        if answer.status != 200:
            raise Problem(answer.status, str(found.get("code", "not-read")), str(found.get("detail", "")))
        return found

    async def read(
        table: Table, path: str, query: Mapping[str, str], token: str
    ) -> AsyncIterator[Sequence[Mapping[str, Any]]]:
        """The rows of a list, page by page. Raises Problem where there are too many, with the first page; or too slowly."""
        service = reads[table.read].service
        size = {"size": str(table.page_size)}
        paging = {**size, "page": "1"}
        read_so_far = 0
        while True:
            try:
                found = await asked(service, path, {**query, **paging}, token)
            except Problem as problem:
                if problem.status == 401 and read_so_far > 0:
                    raise too_slow() from problem
                raise
            last = len(found["items"]) < table.page_size if "next" not in found else found["next"] is None
            if read_so_far == 0 and not last:
                await bounded(table, path, query, token, found)
            read_so_far += len(found["items"])
            if read_so_far > ROWS_MAX:  # it grew meanwhile
                raise too_large()
            yield found["items"]
            if last:
                return
            if "next" in found:  # a list by position: it holds still while it grows
                paging = {**size, "after": parse_qs(found["next"].removeprefix("?"))["after"][0]}
            else:
                paging = {**paging, "page": str(int(paging["page"]) + 1)}

    async def bounded(
        table: Table, path: str, query: Mapping[str, str], token: str, first: Mapping[str, Any]
    ) -> None:
        """Raise Problem where a list of several pages is too long; one whose length is estimated is asked what lies there."""
        if not first.get("total_is_estimate"):
            if first["total"] > ROWS_MAX:
                raise too_large()
            return
        behind = {**query, "size": str(table.page_size), "page": str(ROWS_MAX // table.page_size + 1)}
        if (await asked(reads[table.read].service, path, behind, token))["items"]:
            raise too_large()

    async def people(token: str) -> dict[str, str]:
        """The names of all deputies by their ids."""
        named: dict[str, str] = {}
        page = 1
        while True:
            query = {"size": str(_PEOPLE_AT_ONCE), "page": str(page)}
            found = await asked("identity", "/deputies", query, token)
            named |= {one["id"]: one["name"] for one in found["items"]}
            if len(found["items"]) < _PEOPLE_AT_ONCE:
                return named
            page += 1

    async def names_in(table: Table, at: Mapping[str, str], token: str) -> dict[str, Mapping[str, str]]:
        """What the codes and ids in a table's columns are called."""
        found: dict[str, Mapping[str, str]] = {"county": places, "town": places}
        columns = frozenset(table.fields)
        if columns & _DEPARTMENTS:
            listed = await asked("identity", "/departments", {"size": "500"}, token)
            departments = {one["code"]: one["name"] for one in listed["items"]}
            found |= dict.fromkeys(_DEPARTMENTS, departments)
        if columns & _PEOPLE:
            deputies = await people(token)
            found |= dict.fromkeys(_PEOPLE, deputies)
        if "question" in columns and table.within is not None:
            whole = await asked(reads[table.read].service, table.within.format(**at), {}, token)
            found["question"] = {one["key"]: one["text"] for one in whole["questions"]}
        return found

    async def file(
        table: Table, request: Request, person: Caller, form: Literal["xlsx", "csv"], lang: str
    ) -> Response:
        require(person.actor, *table.roles)
        at = {name: str(value) for name, value in request.path_params.items()}
        if not all(IDENTIFIER.fullmatch(value) for value in at.values()):
            raise Problem(404, "not-found", "There is nothing under this name.")
        filters = [name for name in reads[table.read].query if name not in _PAGING]
        query = {name: value for name, value in request.query_params.items() if name in filters}
        wording = Wording(lang, table.name, await names_in(table, at, person.token))
        pages = read(table, table.read.format(**at), query, person.token)
        first = await anext(pages)  # what is refused is said before the file begins
        heads = [wording.head(column) for column in table.fields]

        async def written(write: Callable[[Rows], T]) -> AsyncIterator[T]:
            """What comes of writing each page."""

            def page(items: Sequence[Mapping[str, Any]]) -> T:
                return write(
                    [[wording.cell(column, item.get(column)) for column in table.fields] for item in items]
                )

            items: Sequence[Mapping[str, Any]] | None = first
            number = 0
            while items is not None:
                number += len(items)
                async with one_at_a_time:
                    done = await asyncio.to_thread(page, items)
                yield done
                items = await anext(pages, None)
            log.info("exported", table=table.name, rows=number)

        async def lines() -> AsyncIterator[bytes]:
            yield CSV_MARK + as_csv([heads])
            async for part in written(as_csv):
                yield part

        name = f"{table.name}-{clock.now().astimezone(_ZONE):%Y%m%d}.{form}"
        headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
        if form == "csv":
            return StreamingResponse(lines(), headers=headers, media_type=CSV)
        sheet = (await asyncio.to_thread(_spreadsheet))(WORDS[lang]["sheet"][table.name], heads)
        try:
            async for _ in written(sheet.add):
                pass
        except BaseException:
            sheet.discard()
            raise
        kept = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed once it was sent
        async with one_at_a_time:
            await asyncio.to_thread(sheet.save, kept)
        return StreamingResponse(chunks(kept), headers=headers, media_type=XLSX)

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

    within = "/{id}" if table.within else ""
    export.__annotations__["person"] = Annotated[Caller, Depends(caller)]
    filters: list[dict[str, Any]] = [
        {"name": name, "in": "query", "required": False, "schema": {"type": "string"}}
        for name in query
        if name not in _PAGING
    ]
    if within:
        filters.append({"name": "id", "in": "path", "required": True, "schema": {"type": "string"}})
    binary = {"schema": {"type": "string", "format": "binary"}}
    app.add_api_route(
        f"/api/exports/{table.name}{within}",
        export,
        methods=["GET"],
        summary=f"The list {table.read} under its filters as a file 导出",
        tags=["exports"],
        operation_id=f"get_export_of_{table.name}",
        response_class=Response,
        responses={200: {"content": {XLSX: binary, "text/csv": binary}}},
        openapi_extra={"parameters": filters},
    )
