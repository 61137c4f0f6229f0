"""The journal: one line per request that the simulation made, with what was answered.

Invariants: a line is written once the request's fate is known, never before; no line holds what a
person wrote, a token or a password. Columns, separated by tabs: command id, kind, subject, HTTP
status (0 = never answered), problem code or "-".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO


@dataclass(frozen=True, slots=True)
class Entry:
    """One request: its command id, kind (`case.file`, …), subject, and the last answer's status and code."""

    command_id: str
    kind: str
    subject: str
    status: int
    code: str

    @property
    def accepted(self) -> bool:
        """Whether the services took it."""
        return 200 <= self.status < 300


class Journal:
    """Writes the journal of one play; use as a context manager."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.refusals: Counter[tuple[str, int, str]] = Counter()
        self._file: TextIO | None = None

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("w", encoding="utf-8", buffering=1 << 16)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def write(self, entry: Entry) -> None:
        """Add one line; ValueError outside the context."""
        if self._file is None:
            raise ValueError("the journal is closed")
        self._file.write(f"{entry.command_id}\t{entry.kind}\t{entry.subject}\t{entry.status}\t{entry.code}\n")
        if not entry.accepted:
            self.refusals[entry.kind, entry.status, entry.code] += 1

    def read(self) -> Iterator[Entry]:
        """All lines so far, as they stand in the file."""
        if self._file is not None:
            self._file.flush()
        return read_journal(self.path)


def read_journal(path: Path) -> Iterator[Entry]:
    """The lines of a journal file; ValueError names a line that is none."""
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            cells = line.rstrip("\n").split("\t")
            if len(cells) != 5 or not cells[3].isdigit():
                raise ValueError(f"{path}, line {number}: is no line of a journal")
            yield Entry(cells[0], cells[1], cells[2], int(cells[3]), cells[4])
