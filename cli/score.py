"""`daibiaotong score` and `archive`: check rubrics, explain a score, try a draft, keep what is recorded.

A rubric's file is read here, so that every flaw has its line; scoring a year again reads the warehouse;
everything else is asked of the gateway.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import UUID

from aiokafka.errors import KafkaError
from pydantic import SecretStr
from rich.console import Console
from rich.table import Table
from sqlalchemy.exc import DBAPIError

from cli.operator import Operator, ask
from cli.running import NotRunning, find
from cli.warehouse import address as warehouse_address
from services.evaluation.explaining import points_text
from services.evaluation.package import NotGenuine
from services.evaluation.package import verify as verify_package
from services.evaluation.rubric import Rubric
from services.evaluation.rubric_file import RubricInvalid, overlapping, read_rubric
from shared.contracts.identity import OCCUPATIONS
from shared.database.engine import make_engine
from shared.settings import KafkaSettings
from shared.storage import open_storage
from warehouse import facts, reading
from warehouse.manifests import Contradiction
from warehouse.reading import Contents

if TYPE_CHECKING:
    from services.evaluation.rebuild import Rebuilt
    from services.evaluation.replay import Facts, Replay

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


def report(console: Console, deputy: str, file: Path, year: int | None) -> int:
    """Write the draft of a deputy's report of the year; the file's ending says which kind."""
    kind = file.suffix.lstrip(".").lower()
    if kind not in ("docx", "pdf"):
        print(f"{file}: the ending must be .docx or .pdf", file=sys.stderr)
        return 2
    query = f"kind={kind}" + (f"&year={year}" if year is not None else "")
    return _fetch(console, deputy, file, "scores/{}/report?" + query)


def export(console: Console, deputy: str, file: Path) -> int:
    """Write a deputy's archive as a signed package or a spreadsheet; the file's ending says which."""
    kinds = {".zip": "package", ".xlsx": "spreadsheet"}
    kind = kinds.get(file.suffix.lower())
    if kind is None:
        print(f"{file}: the ending must be .zip (signed package) or .xlsx (spreadsheet)", file=sys.stderr)
        return 2
    return _fetch(console, deputy, file, "archive/{}/" + kind)


def _fetch(console: Console, deputy: str, file: Path, path: str) -> int:
    async def question(operator: Operator) -> int:
        deputy_id = await _deputy(operator, deputy)
        if deputy_id is None:
            print(f"There is no one deputy {deputy}.", file=sys.stderr)
            return 1
        content = await operator.get_bytes(f"/api/{path.format(deputy_id)}")
        await asyncio.to_thread(file.write_bytes, content)
        console.print(f"written to {file}", highlight=False, soft_wrap=True)
        return 0

    return ask(console, question)


def verify(console: Console, file: Path, keys: Path | None) -> int:
    """Say whether a package is genuine; the keys are the running suite's unless a file holds them (a JWKS)."""

    async def question(operator: Operator) -> int:
        return _verified(console, file, await operator.get("/api/archive-keys"))

    if keys is None:
        return ask(console, question)
    try:
        return _verified(console, file, json.loads(keys.read_text("utf-8")))
    except (OSError, ValueError):
        print(f"{keys}: no JWKS can be read from it", file=sys.stderr)
        return 2


def _verified(console: Console, file: Path, keys: dict[str, Any]) -> int:
    try:
        manifest = verify_package(file.read_bytes(), keys)
    except OSError:
        print(f"{file}: cannot be read", file=sys.stderr)
        return 2
    except NotGenuine as error:
        print(f"{file}: not genuine: {error}", file=sys.stderr)
        return 1
    names = ", ".join(sorted(manifest["files"]))
    console.print(
        f"genuine: deputy {manifest['deputy_id']}, made {manifest['made_at']}, with {names}",
        highlight=False,
        soft_wrap=True,
    )
    return 0


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


def again(console: Console, file: Path, year: int, out: Path | None, memory: str) -> int:
    """Score a year again from the warehouse under a rubric: totals, grades and ranks of everybody.

    0, 1 where the warehouse cannot answer or holds no deputy, 2 where the rubric is wrong.
    """
    import duckdb

    rubric = _read(file)
    if rubric is None:
        return 2
    began = time.monotonic()
    url = warehouse_address()
    try:
        source, contents = asyncio.run(_to_score_from(url))
        with ExitStack() as opened:
            replay = _scored(opened, url, rubric[1], year, memory, source, contents)
            if out is not None:
                kind = "csv" if out.suffix == ".csv" else "parquet"
                replay.database.execute(
                    f"COPY standings TO '{str(out).replace(chr(39), chr(39) * 2)}' (FORMAT {kind})"
                )
            found = replay.database.execute(
                "SELECT level, grade, count(*), avg(total), max(total) FROM standings GROUP BY 1, 2 ORDER BY 1, 5 DESC"
            ).fetchall()
            callings = replay.database.execute(
                "SELECT occupation, count(*), avg(total), max(total) FROM standings GROUP BY 1 ORDER BY 2 DESC, 1"
            ).fetchall()
    except (ValueError, OSError, LookupError, Contradiction, duckdb.Error) as error:
        console.print(f"the warehouse cannot answer: {error}", markup=False, highlight=False)
        return 1
    records = sum(file.rows for files in contents.tables.values() for file in files)
    table = Table(
        "level",
        "grade 等次",
        "deputies",
        "mean 均分",
        "highest 最高",
        title=f"{year}: {rubric[1].title}, version {rubric[1].version}",
    )
    for level, grade, deputies, mean, highest in found:
        table.add_row(level, grade or "-", f"{deputies:,}", f"{mean / 100:.2f}", points_text(highest))
    console.print(table)
    by_occupation = Table("occupation 职业", "deputies", "mean 均分", "highest 最高")
    for occupation, deputies, mean, highest in callings:
        by_occupation.add_row(_titled(occupation), f"{deputies:,}", f"{mean / 100:.2f}", points_text(highest))
    console.print(by_occupation)
    console.print(f"{records:,} records in {time.monotonic() - began:.1f} s", highlight=False)
    if contents.missing:
        print(
            f"{contents.missing:,} records are missing: the log had lost them before they were read",
            file=sys.stderr,
        )
    return 0


async def _to_score_from(url: str) -> tuple[Facts, Contents]:
    """The facts with the events since, or the events alone where there are no facts that can be used."""
    storage = open_storage(url)
    held = None
    try:
        held = await facts.newest(storage)
    except Contradiction as error:
        _fallen_back(error)
    contents = await reading.contents(storage)
    if held is not None:
        try:
            return facts.compacted(url, held, contents), contents
        except Contradiction as error:
            _fallen_back(error)
    return reading.paths(url, contents), contents


def _scored(
    opened: ExitStack, url: str, rubric: Rubric, year: int, memory: str, source: Facts, contents: Contents
) -> Replay:
    """A replay with its `standings`; from the events alone where the files of facts cannot be read."""
    import duckdb

    from services.evaluation.replay import Replay

    try:
        replay = opened.enter_context(Replay(source, memory=memory))
        reading.lead_to(replay.database, url, None)
        replay.score(rubric, date(year, 1, 1), date(year, 12, 31))
        replay.stand(rubric, replay.roster())
    except (OSError, duckdb.Error) as error:
        if not isinstance(source, facts.Compacted):
            raise
        _fallen_back(error)
        opened.close()
        return _scored(opened, url, rubric, year, memory, reading.paths(url, contents), contents)
    return replay


def _fallen_back(error: Exception) -> None:
    reason = str(error).partition("\n\nLINE ")[0].strip()  # without the question that DuckDB was asked
    print(f"the facts cannot be used, so the events are read: {reason}", file=sys.stderr)


def rebuild(console: Console, *, from_log: bool, compare: bool) -> int:
    """Make ledger and sums anew beside the running service from all events, and put them in their place.

    0, 1 where it was not done, with the reason on standard error.
    """
    from services.evaluation.rebuild import NoRebuild

    try:
        access = find()
        found = asyncio.run(_rebuild(access.evaluation, from_log=from_log, compare=compare))
    except (NotRunning, NoRebuild, Contradiction, OSError, KafkaError, DBAPIError) as error:
        print(f"no rebuild: {error}", file=sys.stderr)
        return 1
    deputies = len({deputy for deputy, _ in found.differing})
    console.print(
        f"{found.records:,} records, {found.rows:,} ledger rows;",
        f"the sums of {deputies} deputies were not what the events give"
        + ("" if compare or not deputies else ", and are now"),
        highlight=False,
        soft_wrap=True,
    )
    if found.unusable:
        console.print(f"{found.unusable:,} records cannot be used: see the dead letters", highlight=False)
    console.print(f"writing waited {1000 * found.paused:.0f} ms", highlight=False)
    return 0


async def _rebuild(environment: Mapping[str, str], *, from_log: bool, compare: bool) -> Rebuilt:
    from services.evaluation.consumers import taken_in
    from services.evaluation.rebuild import Rebuild

    settings = KafkaSettings.model_validate(
        {
            name: environment[name.upper()]
            for name in KafkaSettings.model_fields
            if name.upper() in environment
        }
    )
    engine = make_engine(SecretStr(environment["DATABASE_URL"]), pool_size=3, application="rebuild")
    url = warehouse_address()
    try:
        one = Rebuild(engine, settings)
        if from_log:
            return await one.run(swap=not compare)
        contents = await reading.contents(open_storage(url))
        types = {declaration.type for declaration in taken_in()}
        return await one.run(reading.records(url, contents, types), contents.positions, swap=not compare)
    finally:
        await engine.dispose()


def _titled(occupation: str | None) -> str:
    return "未填" if occupation is None else OCCUPATIONS.get(occupation, occupation)


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
    for name in ("level", "county", "occupation"):
        table = Table(name, "deputies", "rise 上升", "fall 下降", "mean now 现均分", "mean draft 新均分")
        for group in found["groups"][name]:
            table.add_row(
                _titled(group["key"]) if name == "occupation" else group["key"] or "-",
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
