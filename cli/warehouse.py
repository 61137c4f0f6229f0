"""`daibiaotong warehouse`: what is in it, and questions in SQL."""

from __future__ import annotations

import asyncio
import csv
import os
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

from rich.console import Console
from rich.table import Table

from cli import running
from shared.storage import open_storage
from warehouse import facts, reading
from warehouse.facts import Facts
from warehouse.manifests import Contradiction
from warehouse.reading import Contents

R = TypeVar("R")


def address() -> str:
    """`WAREHOUSE_URL`, or the warehouse of the suite on this machine."""
    return os.environ.get("WAREHOUSE_URL") or (running.folder() / "storage" / "warehouse").as_uri()


def tables(console: Console) -> int:
    """Print each table with its rows, days and size. 0, or 1 where the warehouse cannot be read."""
    both = _asked(console, _facts_and_contents())
    if both is None:
        return 1
    held, found = both
    _warn(found.missing)
    shown = Table("table", "rows", "from", "until", "files", "MB", title=f"manifest {found.number}")
    for name, files in found.tables.items():
        days = sorted(file.day for file in files)
        rows, size = sum(file.rows for file in files), sum(file.bytes for file in files)
        shown.add_row(name, f"{rows:,}", days[0], days[-1], str(len(files)), f"{size / 1e6:.1f}")
    console.print(shown)
    if isinstance(held, Contradiction):
        console.print(f"the facts cannot be used: {held}", markup=False, highlight=False)
    elif held is not None:
        size = sum(part.bytes for of_type in held.types.values() for part in of_type.parts.values())
        console.print(
            f"facts: {held.rows:,} in {size / 1e6:.1f} MB, of the events up to manifest {held.until}",
            highlight=False,
        )
    return 0


async def _facts_and_contents() -> tuple[Facts | Contradiction | None, Contents]:
    """The newest facts, or why they cannot be used, and what is in the warehouse. Raises StorageAway, Contradiction."""
    storage = open_storage(address())
    held: Facts | Contradiction | None
    try:
        held = await facts.newest(storage)  # before the contents, which must not be older
    except Contradiction as error:
        held = error
    found = await reading.contents(storage)
    if isinstance(held, Facts):
        try:
            facts.check(held, found)
        except Contradiction as error:
            held = error
    return held, found


def query(console: Console, sql: str, *, as_csv: bool) -> int:
    """Print the answer to a question, as a table or as CSV. 0, or 1 where there is none."""
    answer = _asked(console, reading.query(address(), sql))
    if answer is None:
        return 1
    _warn(answer.missing)
    if as_csv:
        writer = csv.writer(sys.stdout)
        writer.writerow(answer.columns)
        writer.writerows(answer.rows)
        return 0
    shown = Table(*answer.columns)
    for row in answer.rows:
        shown.add_row(*map(str, row))
    console.print(shown)
    return 0


def _warn(missing: int) -> None:
    """Say on standard error what the warehouse does not hold."""
    if missing:
        sys.stderr.write(f"{missing:,} records are missing: the log had lost them before they were read\n")


def _asked(console: Console, question: Coroutine[Any, Any, R]) -> R | None:
    try:
        return asyncio.run(question)
    except (ValueError, OSError, Contradiction) as error:
        console.print(f"the warehouse cannot answer: {error}", markup=False, highlight=False)
        return None
