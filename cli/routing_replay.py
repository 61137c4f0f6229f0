"""`daibiaotong routing replay`: a draft catalogue or model beside what routing did with past cases.

The draft's file is read here, so that every flaw has its line; the cases are asked of the gateway.
"""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from cli.operator import Operator, ask
from services.cases.routing.rules_file import WrittenCatalogue, read_catalogue, shipped_taxonomy
from services.cases.yaml_file import FileInvalid

_SECONDS = 150
_CHANGES_SHOWN = 40


def replay(
    console: Console, file: Path | None, model: str | None, begin: date | None, until: date | None
) -> int:
    """Print what the draft would have changed; 1 where it cannot be used."""
    catalogue = None
    if file is not None and (catalogue := _read(file)) is None:
        return 1
    body = {
        "catalogue": catalogue.model_dump(mode="json") if catalogue is not None else None,
        "model": model,
        "begin": begin.isoformat() if begin else None,
        "until": until.isoformat() if until else None,
    }

    async def question(operator: Operator) -> int:
        status, found = await operator.send("/api/routing-replays", body, seconds=_SECONDS)
        if status != 200:
            print(f"{found.get('code')}: {found.get('detail')}", file=sys.stderr)
            return 1
        show(console, found)
        return 0

    return ask(console, question)


def _read(file: Path) -> WrittenCatalogue | None:
    try:
        return read_catalogue(file.read_text("utf-8"), shipped_taxonomy(), str(file))
    except FileInvalid as invalid:
        print("\n".join(map(str, invalid.flaws)), file=sys.stderr)
    except (OSError, UnicodeDecodeError):
        print(f"{file}: cannot be read", file=sys.stderr)
    return None


def show(console: Console, found: dict[str, Any]) -> None:
    """Print an answer of `/api/routing-replays`."""
    newest = " (the newest; older ones were not looked at)" if found["newest_only"] else ""
    console.print(
        f"{found['cases']} cases{newest}: {found['changed']} would go elsewhere,",
        f"{found['cases'] - found['changed']} as they did",
        highlight=False,
        soft_wrap=True,
    )
    for name, said in (("before", "as they were routed"), ("after", "by the draft")):
        one = found[name]
        console.print(
            f"of {found['settled']} that a department has taken on, {said}:",
            f"{one['alone']} without staff, {one['right']} of these to that department",
            highlight=False,
            soft_wrap=True,
        )
    for code in found["not_active"]:
        console.print(f"the draft names {code}, which is no active department; its rules were passed over")
    if found["changes"]:
        table = Table("before 原派", "draft 新派", "cases", "such as")
        for change in found["changes"][:_CHANGES_SHOWN]:
            table.add_row(
                change["before"] or "staff 待分流",
                change["after"] or "staff 待分流",
                str(change["cases"]),
                "\n".join(change["examples"]),
            )
        console.print(table)
        if (more := len(found["changes"]) - _CHANGES_SHOWN) > 0:
            console.print(f"and {more} rarer changes")
