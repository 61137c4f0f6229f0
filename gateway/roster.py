"""Roster files: CSV or XLSX in, rows of text cells out, sent to identity in parts.

The gateway knows files, not deputies: what a row means and whether it is right is identity's
business. Invariants: a file that cannot be read changes nothing; a part never exceeds what the broker
takes, so that no file is half sent; parts have ids made from the import's id, so that the same upload
again acts once; parsing never blocks the event loop.
"""

# No postponed annotations here: FastAPI could not find names that are made inside functions.

import asyncio
import csv
import io
import itertools
import uuid
import zipfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request, UploadFile
from fastapi.responses import Response
from pydantic_core import to_json

from gateway.commands import Caller, Command, Commands, idempotency_key, json_response
from gateway.reads import passed_on
from gateway.services import Services
from gateway.settings import GatewaySettings
from shared.contracts.identity import ImportRoster
from shared.contracts.operations import CommandOutcome
from shared.http.callers import require
from shared.http.problems import STATUS_BY_KIND, Problem

ROWS_PER_PART = 200
PARTS_MAX = 1000
ROWS_MAX = 20_000
COLUMNS_MAX = 60
_CELL_MAX = 500
_HEADING_MAX = 100
_PART_BYTES = 400_000  # of a record of at most 1 MB
_UNPACKED_BYTES_MAX = 200_000_000


@dataclass(frozen=True)
class Sheet:
    """A file's rows by column name, and the line of the first one (the heading is line 1)."""

    rows: Sequence[dict[str, str]]
    first_line: int = 2


def read_sheet(name: str, content: bytes) -> Sheet:
    """Read a CSV (UTF-8 or GB 18030) or XLSX file. Raises Problem 422 that says what is wrong."""
    if name.lower().endswith(".xlsx"):
        lines = _xlsx(content)
    elif name.lower().endswith((".csv", ".txt")):
        lines = _csv(content)
    else:
        raise Problem(415, "roster-format-unknown", "Send the roster as a .csv or .xlsx file.")
    heading = [_clean(cell, _CELL_MAX).strip() for cell in lines[0]] if lines else []
    named = [column for column in heading if column]
    if not named:
        raise Problem(422, "roster-empty", "The file has no heading line.")
    if len(named) > COLUMNS_MAX or len(set(named)) != len(named) or max(map(len, named)) > _HEADING_MAX:
        detail = "The heading has a column twice, too many columns, or too long a name for one."
        raise Problem(422, "roster-heading-wrong", detail)
    if len(lines) - 1 > ROWS_MAX:
        raise Problem(422, "roster-too-long", f"A file may have at most {ROWS_MAX:,} rows.")
    rows = [
        {column: _clean(cell, _CELL_MAX) for column, cell in zip(heading, line, strict=False) if column}
        for line in lines[1:]
    ]
    while rows and not any(cell.strip() for cell in rows[-1].values()):
        rows.pop()  # spreadsheets end in empty rows
    if not rows:
        raise Problem(422, "roster-empty", "The file has a heading but no rows.")
    return Sheet(rows)


def _clean(cell: str, longest: int) -> str:
    """A cell without NUL, which no service takes."""
    return cell[:longest].replace("\0", " ")


def parts_of(rows: Sequence[dict[str, str]]) -> list[Sequence[dict[str, str]]]:
    """The rows in parts that fit into one command each, in order."""
    parts: list[Sequence[dict[str, str]]] = []
    first = size = 0
    for number, row in enumerate(rows):
        size += len(to_json(row))
        if number - first == ROWS_PER_PART or (size > _PART_BYTES and number > first):
            parts.append(rows[first:number])
            first, size = number, len(to_json(row))
    return [*parts, rows[first:]]


def _csv(content: bytes) -> list[list[str]]:
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        try:
            return list(csv.reader(io.StringIO(text, newline=""), strict=True))
        except csv.Error as error:
            raise Problem(422, "roster-unreadable", "The file is not well-formed CSV.") from error
    raise Problem(422, "roster-unreadable", "The file is neither UTF-8 nor GB 18030.")


def _xlsx(content: bytes) -> list[list[str]]:
    from openpyxl import load_workbook

    unreadable = Problem(422, "roster-unreadable", "The file is not a readable XLSX workbook.")
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(part.file_size for part in archive.infolist()) > _UNPACKED_BYTES_MAX:
                raise Problem(422, "roster-too-long", "The workbook is too large when unpacked.")
        book = load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        sheet = book.worksheets[0]
        lines = []
        for number, row in enumerate(sheet.iter_rows(values_only=True, max_col=COLUMNS_MAX + 1)):
            if number > ROWS_MAX + 1:
                break
            lines.append([_text(cell) for cell in row])
    except Problem:
        raise
    except Exception as error:  # a broken workbook fails anywhere in zip, XML and openpyxl
        raise unreadable from error
    return lines


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, datetime):
        return cell.date().isoformat()
    if isinstance(cell, date):
        return cell.isoformat()
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell)


def add(
    app: FastAPI,
    commands: Commands,
    services: Services,
    settings: GatewaySettings,
    caller: Callable[..., Awaitable[Caller]],
) -> None:
    """Add the upload of a roster; its report is a read."""
    who = Annotated[Caller, Depends(caller)]

    @app.post(
        "/api/roster-imports",
        summary="Import a roster 代表名册; the report names each wrong row",
        tags=["deputies"],
    )
    async def upload(
        request: Request, file: UploadFile, person: who, dry_run: Annotated[bool, Query()] = False
    ) -> Response:
        require(person.actor, "staff", "operator")
        import_id = idempotency_key(request)
        sheet = await asyncio.to_thread(read_sheet, file.filename or "", await file.read())
        if dry_run:
            body = {"first_line": sheet.first_line, "rows": sheet.rows}
            return passed_on(
                await services.ask("identity", "/roster-imports/check", token=person.token, body=body)
            )
        parts = await asyncio.to_thread(parts_of, sheet.rows)
        if len(parts) > PARTS_MAX:
            raise Problem(422, "roster-too-long", "The file holds too much text; send it in several.")
        first_lines = itertools.accumulate(map(len, parts), initial=sheet.first_line)

        async def send(number: int, first_line: int, rows: Sequence[dict[str, str]]) -> CommandOutcome | None:
            data = ImportRoster(part=number + 1, parts=len(parts), first_line=first_line, rows=tuple(rows))
            return await commands.send(
                request,
                person,
                uuid.uuid5(import_id, str(number)),
                Command(ImportRoster, data.model_dump(mode="json"), str(import_id)),
                wait_seconds=settings.roster_wait_seconds,
            )

        outcomes = await asyncio.gather(*map(send, itertools.count(), first_lines, parts))
        for outcome in outcomes:
            if outcome is not None and outcome.problem is not None:
                problem = outcome.problem
                raise Problem(STATUS_BY_KIND[problem.kind], problem.code, problem.detail)
        location = f"/api/roster-imports/{import_id}"
        if any(outcome is None for outcome in outcomes):
            return json_response({"id": str(import_id), "state": "pending"}, 202, {"Location": location})
        return passed_on(await services.ask("identity", f"/roster-imports/{import_id}", token=person.token))
