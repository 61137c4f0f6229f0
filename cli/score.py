"""`daibiaotong score`: check rubrics, explain a score, try a draft on what has happened.

A rubric's file is read here, so that every flaw has its line; everything else is asked of the gateway.
"""

from __future__ import annotations

import asyncio
import sys
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

from rich.console import Console
from rich.table import Table

from cli.operator import Operator, ask
from services.evaluation.domain import Rubric
from services.evaluation.explaining import points_text
from services.evaluation.rubric_file import RubricInvalid, overlapping, read_rubric

_SIMULATION_SECONDS = 150


def check(console: Console, files: list[Path]) -> int:
    """Say what each file holds, or every flaw on stderr; 1 if there is one, or two rubrics' dates overlap."""
    read: dict[str, Rubric] = {}
    failed = False
    for file in files:
        found = _read(file)
        if found is None:
            failed = True
            continue
        rubric = found[1]
        read[str(file)] = rubric
        dates = (
            f", {rubric.effective_from} to {rubric.effective_until or '…'}" if rubric.effective_from else ""
        )
        console.print(
            f"{file}: {rubric.name} version {rubric.version}: {rubric.title}{dates},",
            f"{len(rubric.items)} items in {len(rubric.categories)} categories",
            soft_wrap=True,
            highlight=False,
        )
    for one, other in overlapping(read):
        failed = True
        print(f"{one}, effective: overlaps the dates of {other}", file=sys.stderr)
    return 1 if failed else 0


def _read(file: Path) -> tuple[dict[str, Any], Rubric] | None:
    try:
        return read_rubric(file.read_text("utf-8"))
    except RubricInvalid as invalid:
        for flaw in invalid.flaws:
            print(f"{file}:{flaw.line or ''} {flaw.path}: {flaw.reason}", file=sys.stderr)
    except (OSError, UnicodeDecodeError):
        print(f"{file}: cannot be read", file=sys.stderr)
    return None


def explain(console: Console, deputy: str, year: int | None, on: date | None, pdf: Path | None) -> int:
    """Print the list that adds up to a deputy's score, or write it as a sheet for printing."""

    async def question(operator: Operator) -> int:
        deputy_id = await _deputy(operator, deputy)
        if deputy_id is None:
            print(f"There is no one deputy {deputy}.", file=sys.stderr)
            return 1
        query = "&".join(f"{k}={v}" for k, v in (("year", year), ("on", on)) if v is not None)
        if pdf is not None:
            sheet = await operator.get_bytes(f"/api/scores/{deputy_id}/sheet?{query}")
            await asyncio.to_thread(pdf.write_bytes, sheet)
            console.print(f"written to {pdf}")
            return 0
        _show(console, await operator.get(f"/api/scores/{deputy_id}/explanation?{query}"))
        return 0

    return ask(console, question)


def difference(console: Console, deputy: str, begin: date, until: date) -> int:
    """Print what changed in a deputy's score between two days."""

    async def question(operator: Operator) -> int:
        deputy_id = await _deputy(operator, deputy)
        if deputy_id is None:
            print(f"There is no one deputy {deputy}.", file=sys.stderr)
            return 1
        found = await operator.get(f"/api/scores/{deputy_id}/difference?begin={begin}&until={until}")
        table = Table("day", "item 评分项", "points 原始分", "before 原计", "after 现计", "event 事件")
        for line in found["lines"]:
            table.add_row(
                line["happened_on"],
                line["title"],
                points_text(line["points"]),
                points_text(line["before"]),
                points_text(line["after"]),
                line["event_id"],
            )
        console.print(table)
        figures = [points_text(found[name]) for name in ("before", "after", "change")]
        console.print(
            f"{begin}: {figures[0]}; {until}: {figures[1]}; change 变化 {figures[2]}", highlight=False
        )
        return 0

    return ask(console, question)


async def _deputy(operator: Operator, deputy: str) -> str | None:
    """The id of a deputy named by id, number or name; None unless exactly one fits."""
    try:
        return str(UUID(deputy))
    except ValueError:
        found = (await operator.get(f"/api/deputies?q={quote(deputy)}"))["items"]
    exact = [one for one in found if deputy in (one["number"], one["name"])]
    return exact[0]["id"] if len(exact) == 1 else None


def _show(console: Console, found: dict[str, Any]) -> None:
    deputy = found["deputy"] or {"name": "?", "number": found["deputy_id"]}
    rubric = found["rubric"]
    grade = f", {found['grade']['title']}" if found["grade"] else ""
    console.print(
        f"{deputy['name']} {deputy['number']}, {found['year']} until {found['on']}:",
        f"{points_text(found['total'])} points{grade}; {rubric['title']}, version {rubric['version']}",
        highlight=False,
        soft_wrap=True,
    )
    table = Table("day", "item 评分项", "points 原始分", "counts 计入", "why 说明", "event 事件")
    table.add_row("", "base 起始分", "", points_text(found["begins"]), "", "")
    for line in found["lines"]:
        table.add_row(
            line["happened_on"],
            line["title"],
            points_text(line["points"]),
            points_text(line["counts"]),
            "\n".join(cut["reason"] for cut in line["cuts"]),
            line["event_id"],
        )
    console.print(table)
    added = found["begins"] + sum(line["counts"] for line in found["lines"])
    console.print(
        f"{points_text(found['begins'])} + {points_text(added - found['begins'])} = {points_text(added)}",
        highlight=False,
    )
    if found["chances"]:
        more = Table("what would raise it 还可提高", "each 每次", "at most 最多")
        for one in found["chances"]:
            more.add_row(one["title"], points_text(one["adds"]), points_text(one["room"]))
        console.print(more)


def simulate(console: Console, file: Path, begin: date | None, until: date | None) -> int:
    """Score a period under a draft beside the adopted rubrics: who rises and falls, and where."""
    read = _read(file)
    if read is None:
        return 1
    body = {
        "rubric": read[0],
        "begin": begin.isoformat() if begin else None,
        "until": until.isoformat() if until else None,
    }

    async def question(operator: Operator) -> int:
        status, found = await operator.send("/api/rubric-simulations", body, seconds=_SIMULATION_SECONDS)
        if status != 200:
            print(f"{found.get('code')}: {found.get('detail')}", file=sys.stderr)
            return 1
        _show_simulation(console, found)
        return 0

    return ask(console, question)


def _show_simulation(console: Console, found: dict[str, Any]) -> None:
    draft = found["draft"]
    present = ", ".join(f"{one['name']} {one['version']}" for one in found["present"]) or "no rubric"
    console.print(
        f"{found['begin']} to {found['until']}: {present} beside {draft['name']} {draft['version']};",
        f"{found['facts']} records, {found['deputies']} deputies,",
        f"{found['rise']} rise, {found['fall']} fall",
        highlight=False,
        soft_wrap=True,
    )
    if found["cut"]:
        console.print("The beginning of these topics is gone:", ", ".join(found["cut"]))
    for name in ("level", "county"):
        table = Table(name, "deputies", "rise 上升", "fall 下降", "mean now 现均分", "mean draft 新均分")
        for group in found["groups"][name]:
            table.add_row(
                group["key"] or "-",
                str(group["deputies"]),
                str(group["rise"]),
                str(group["fall"]),
                f"{group['present_mean'] / 100:.2f}",
                f"{group['draft_mean'] / 100:.2f}",
            )
        console.print(table)
    for name in ("risers", "fallers"):
        table = Table(name, "number", "now 现分", "draft 新分", "rank now 现名次", "rank draft 新名次")
        for one in found[name]:
            table.add_row(
                one["name"],
                one["number"],
                points_text(one["present"]),
                points_text(one["draft"]),
                str(one["present_rank"]),
                str(one["draft_rank"]),
            )
        console.print(table)
