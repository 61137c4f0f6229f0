"""A list as a spreadsheet (XLSX), written row by row; what `exports` loads with the first one that is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO, Any

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE
from openpyxl.styles import Font

from gateway.exports import ACTIVE, Cell, Rows

_WIDTH = 18


class Spreadsheet:
    """An XLSX with one sheet, written row by row; every text is a text, and stays one when somebody edits its cell."""

    def __init__(self, title: str, heads: Sequence[str]) -> None:
        self._book = Workbook(write_only=True)  # which keeps the rows in a temporary file of its own
        self._sheet: Any = self._book.create_sheet(title)
        for number in range(len(heads)):
            self._sheet.column_dimensions[chr(ord("A") + number)].width = _WIDTH
        self._sheet.freeze_panes = "A2"
        bold = Font(bold=True)
        first = []
        for head in heads:
            cell = WriteOnlyCell(self._sheet, head)
            cell.font = bold
            first.append(cell)
        self._sheet.append(first)

    def add(self, rows: Rows) -> None:
        """Write further rows."""
        for row in rows:
            self._sheet.append([_cell(self._sheet, value) for value in row])

    def discard(self) -> None:
        """Remove what was written of one that will not be saved."""
        self._sheet.close()
        self._sheet._writer.cleanup()

    def save(self, to: IO[bytes]) -> None:
        """Write the whole file, and go to its beginning."""
        self._book.save(to)
        to.seek(0)


def _cell(sheet: Any, value: Cell) -> Any:
    if not isinstance(value, str):
        return value
    cell = WriteOnlyCell(sheet, ILLEGAL_CHARACTERS_RE.sub("", value))
    cell.data_type = "s"  # openpyxl takes what begins with = for a formula
    if value.startswith(ACTIVE):
        cell.quotePrefix = True
    return cell
