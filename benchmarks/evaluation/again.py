"""Scoring everything again from cold Parquet: totals, limits, grades and ranks of everybody.

    python -m benchmarks.evaluation.again [--events 10000000] [--deputies 9185] [--rounds 3] [--memory 4GB]
    python -m benchmarks.evaluation.again --events 140000000 --deputies 2800000 --memory 6GB   # the country's year

The files are as the warehouse writes them: its columns and types, zstd, one file or two per day and event type,
nothing added up beforehand. 5 % of the events are there twice, duties and closed cases have several versions, 1 %
of the deputies have a fifth of the events. Each round drops the files from the page cache, scores the year under
the shipped rubric in a process of its own, and ends with the standings as a table in PostgreSQL (up to a million
deputies) or as Parquet. Then 1,000 deputies are scored one event at a time by the rules of the domain; one that
differs ends the benchmark. Adds what it saw to again.json, beside earlier sizes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import resource
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, date
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import duckdb
from rich.console import Console

from benchmarks.evaluation import city
from deploy.local.stack import LocalStack
from services.evaluation.domain import Fact, LedgerEntry, entries, newest, sums_of, totals
from services.evaluation.replay import Replay
from warehouse.rows import Kind, typed_fields

RESULT = Path(__file__).with_name("again.json")
CHECKED = 1000
IN_POSTGRES_MAX = 1_000_000
_COLUMNS: Mapping[Kind, str] = {
    "uuid": "UUID",
    "string": "VARCHAR",
    "int": "BIGINT",
    "float": "DOUBLE",
    "bool": "BOOLEAN",
    "time": "TIMESTAMPTZ",
    "date": "DATE",
    "strings": "VARCHAR[]",
}
_MACROS = """
CREATE MACRO dice(i, salt, n) AS CAST(hash(i * 1000003 + salt) % CAST(n AS UBIGINT) AS BIGINT);
CREATE MACRO known(kind, i) AS CAST(md5(concat(kind, i)) AS UUID);
CREATE MACRO pick(i, n) AS CASE WHEN dice(i, 1, 5) = 0 THEN dice(i, 2, greatest(n // 100, 1)) ELSE dice(i, 3, n) END;
CREATE MACRO moment(i, n, salt) AS TIMESTAMPTZ '2021-01-01 00:00:00+00'
    + to_seconds(CAST(i * 31000000 // n - CASE WHEN dice(i, salt, 20) = 0 THEN 86400 * (1 + dice(i, salt + 1, 30)) ELSE 0 END AS BIGINT));
"""


def _types(events: int, deputies: int) -> dict[str, tuple[int, str, dict[str, str]]]:
    """By event type: how many, the sequence, and the fields of the data, as SQL of the number `i`."""
    filed = events * 22 // 100
    a_case = f"dice(i, 11, {filed})"
    duty = "i // 2"
    of_case = {
        "case_id": f"known('case', {a_case})",
        "deputy_id": f"known('deputy', pick({a_case}, {deputies}))",
    }
    own = {"deputy_id": f"known('deputy', pick(i, {deputies}))"}
    routed = {"category": "'城乡建设'", "county": "'330203'"}
    kinds = "['theme', 'inspection', 'research', 'reception', 'training']"
    duties = "['inspection', 'research', 'reception', 'visit', 'hearing', 'meeting']"
    results = "['solved', 'explained', 'unsolved']"
    return {
        "case.filed": (filed, "1", {
            "case_id": "known('case', i)", "deputy_id": own["deputy_id"], "state": "'routed'",
            "origin": "CASE WHEN dice(i, 12, 2) = 0 THEN 'own' ELSE 'resident' END", **routed,
        }),
        "case.closed": (events * 15 // 100, "5 + dice(i, 13, 4)", {
            **of_case, "state": "'closed'", "result": f"{results}[1 + dice(i, 14, 3)]", **routed,
        }),
        "case.rated": (events * 8 // 100, "9", {
            **of_case, "state": "'closed'", "stars": "1 + dice(i, 15, 5)", **routed,
        }),
        "course.completed": (events * 16 // 100, "1", {
            **own, "course_id": "known('course', dice(i, 16, 300))", "minutes": "20 + dice(i, 17, 70)",
            "mark": "60 + dice(i, 18, 41)",
        }),
        "activity.attended": (events * 11 // 100, "1", {
            **own, "activity_id": "known('activity', dice(i, 19, 4000))", "kind": f"{kinds}[1 + dice(i, 20, 5)]",
        }),
        "consultation.answered": (events * 10 // 100, "1", {
            **own, "consultation_id": "known('consultation', dice(i, 21, 200))",
            "kind": "CASE WHEN dice(i, 22, 3) = 0 THEN 'legislation' ELSE 'questionnaire' END",
            "opinions": "dice(i, 23, 4)",
        }),
        "duty.logged": (events * 18 // 100, "1 + i % 2", {
            "duty_id": f"known('duty', {duty})", "deputy_id": f"known('deputy', pick({duty}, {deputies}))",
            "state": "CASE WHEN i % 2 = 0 THEN 'declared' WHEN dice(i, 24, 4) = 0 THEN 'rejected' ELSE 'confirmed' END",
            "kind": f"{duties}[1 + dice({duty}, 25, 6)]",
            "happened_on": f"DATE '2021-01-01' + CAST({duty} * 355 // {max(events * 9 // 100, 1)} AS INTEGER)",
        }),
        "deputy.changed": (deputies, "1", {
            "deputy_id": "known('deputy', i)", "number": "concat('N', i)", "name": "concat('代表', i)",
            "level": "['city', 'county', 'town'][1 + dice(i, 26, 3)]",
            "occupation": "['worker', 'farmer', 'professional', 'official', 'manager', NULL][1 + dice(i, 29, 6)]",
            "county": "CAST(330200 + dice(i, 27, 12) AS VARCHAR)", "constituency": "'第一选区'",
            "code": "concat('C', i)", "term_from": "DATE '2021-01-01'", "term_until": "DATE '2025-12-31'",
            "state": "CASE WHEN dice(i, 28, 100) = 0 THEN 'left' ELSE 'active' END",
        }),
    }  # fmt: skip


def write(folder: Path, events: int, deputies: int) -> None:
    """The year of events as the warehouse's files, by day and type."""
    with duckdb.connect(config={"threads": os.cpu_count() or 2, "memory_limit": "6GB"}) as database:
        database.execute(_MACROS)
        database.execute("SET preserve_insertion_order = false")
        database.execute(f"SET temp_directory = '{folder}/spill'")
        for number, (type_, (count, sequence, fields)) in enumerate(_types(events, deputies).items()):
            known = typed_fields(type_)
            missing = set(fields) - set(known)
            if missing:
                raise SystemExit(f"the contract of {type_} has no {', '.join(missing)}")
            data = ", ".join(f"{name} := {value}" for name, value in fields.items())
            typed = ", ".join(
                f"CAST({fields.get(name, 'NULL')} AS {_COLUMNS[kind]}) AS d_{name}"
                for name, kind in known.items()
            )
            subject = next(value for name, value in fields.items() if name.endswith("_id"))
            database.execute(f"""
COPY (
    SELECT known('event{number}-', i) AS id, '/services/benchmark' AS source, '{type_}' AS type,
           CAST({subject} AS VARCHAR) AS subject, moment(i, {count}, {40 + number}) AS time,
           moment(i, {count}, {40 + number}) AS recordedtime, CAST({sequence} AS BIGINT) AS sequence,
           CAST(NULL AS VARCHAR) AS correlationid, CAST(NULL AS VARCHAR) AS causationid,
           CAST(NULL AS VARCHAR) AS traceparent, '{type_}' AS topic, CAST(i % 12 AS INTEGER) AS "partition",
           i * 2 + twice AS "offset", moment(i, {count}, {40 + number}) AS appended,
           CAST(to_json(struct_pack({data})) AS VARCHAR) AS data, {typed},
           strftime(make_timestamp(epoch_us(moment(i, {count}, {40 + number})) + 28800000000), '%Y-%m-%d') AS day
    FROM (SELECT i, unnest(CASE WHEN dice(i, 99, 20) = 0 THEN [0, 1] ELSE [0] END) AS twice
          FROM range({count * 20 // 21 if type_ != "deputy.changed" else count}) t(i))
) TO '{folder}/{type_}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 131072, PARTITION_BY (day))""")


def files_of(folder: Path) -> dict[str, list[str]]:
    """The files by event type."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for file in sorted(folder.glob("*/day=*/*.parquet")):
        found[file.parts[-3]].append(str(file))
    return dict(found)


def forget(files: Mapping[str, list[str]]) -> None:
    """Drop the files from the page cache, so that a round reads them from the disk."""
    os.sync()
    for names in files.values():
        for name in names:
            descriptor = os.open(name, os.O_RDONLY)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def scored(files: Mapping[str, list[str]], memory: str, out: Path, dsn: str | None) -> dict[str, float]:
    """One round, in this process: seconds until the standings lie where they are read."""
    rubric = city.schedule().adopted[0].rubric
    began = time.monotonic()
    with Replay(files, threads=os.cpu_count() or 2, memory=memory) as replay:
        replay.score(rubric, date(2021, 1, 1), date(2021, 12, 31))
        scores = time.monotonic() - began
        replay.stand(rubric, replay.roster())
        replay.database.execute(f"COPY standings TO '{out}' (FORMAT parquet)")
        if dsn is not None:
            asyncio.run(_into_postgres(replay.database.execute("FROM standings").fetchall(), dsn))
    return {
        "seconds": time.monotonic() - began,
        "scores": scores,
        "cpu": sum(resource.getrusage(resource.RUSAGE_SELF)[:2]),
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


async def _into_postgres(rows: list[Any], dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    async with connection.transaction():
        await connection.execute("TRUNCATE scored_again")
        await connection.copy_records_to_table("scored_again", records=rows)
    await connection.close()


def check(files: Mapping[str, list[str]], deputies: int, standings: Path) -> int:
    """Score some deputies one event at a time; returns how many were held against the standings."""
    rules = city.schedule()
    rubric = rules.adopted[0].rubric
    step = max(deputies // CHECKED, 1)
    with duckdb.connect(config={"threads": os.cpu_count() or 2, "memory_limit": "2GB"}) as database:
        database.execute(_MACROS)
        database.execute(
            f"CREATE TABLE chosen AS SELECT known('deputy', i * {step}) AS deputy FROM range({CHECKED}) t(i)"
        )
        totals_again = dict(
            database.execute(f"SELECT deputy, total FROM '{standings}' JOIN chosen USING (deputy)").fetchall()
        )
        rows: list[LedgerEntry] = []
        for type_, names in files.items():
            if type_ not in rules.event_types:
                continue
            paths = ", ".join(f"'{name}'" for name in names)
            answer = database.execute(
                f"SELECT id, time, sequence, data FROM read_parquet([{paths}]) WHERE d_deputy_id IN (FROM chosen)"
            )
            while part := answer.fetchmany(50_000):
                for id_, moment, sequence, data in part:
                    rows += entries(
                        rules, Fact(id_, type_, moment.astimezone(UTC), json.loads(data), sequence)
                    )
    by_deputy: defaultdict[UUID, list[LedgerEntry]] = defaultdict(list)
    for row in newest(rows).values():
        by_deputy[row.identity.deputy_id].append(row)
    wrong = []
    for deputy, total in totals_again.items():
        of_year = [row for row in by_deputy[deputy] if row.year == 2021]
        if totals(rubric, sums_of(of_year)).total != total:
            wrong.append(deputy)
    if wrong or not any(totals_again.values()):
        raise SystemExit(
            f"void: {len(wrong)} of {len(totals_again)} deputies differ from the rules, such as {wrong[:3]}"
        )
    return len(totals_again)


def main() -> None:
    """Run the benchmark and write its result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--deputies", type=int, default=city.DEPUTIES)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", default="4GB")
    parser.add_argument(
        "--folder", type=Path, help="where the files are kept (and found again); else a new one"
    )
    options = parser.parse_args()
    say = Console(width=120, stderr=True).print
    with tempfile.TemporaryDirectory() as new:
        folder = options.folder or Path(new) / "events"
        if not folder.is_dir():
            folder.mkdir(parents=True)
            began = time.monotonic()
            write(folder, options.events, options.deputies)
            say(f"written in {time.monotonic() - began:.0f} s")
        files = files_of(folder)
        size = sum(Path(name).stat().st_size for names in files.values() for name in names)
        say(f"{sum(map(len, files.values())):,} files, {size / 1e9:.2f} GB")
        standings = Path(new) / "standings.parquet"
        if options.deputies <= IN_POSTGRES_MAX:
            with LocalStack(Path(new) / "stack", "kafka") as stack:
                runs = _rounds(options, files, standings, _table_in(stack), say)
                say(
                    f"rows in PostgreSQL: {stack.postgres.sql('SELECT count(*) FROM scored_again', 'evaluation')}"
                )
        else:
            runs = _rounds(options, files, standings, None, say)
        checked = check(files, options.deputies, standings)
    seconds = [run["seconds"] for run in runs]
    found = {
        "events": options.events,
        "deputies": options.deputies,
        "seconds": round(statistics.median(seconds), 2),
        "spread": [round(min(seconds), 2), round(max(seconds), 2)],
        "until_totals": round(statistics.median(run["scores"] for run in runs), 2),
        "cpu_us_per_event": round(1e6 * statistics.median(run["cpu"] for run in runs) / options.events, 2),
        "memory_gb": round(max(run["memory"] for run in runs) / 1e9, 2),
        "files_gb": round(size / 1e9, 2),
        "checked_deputies": checked,
    }
    held = json.loads(RESULT.read_text("utf-8")) if RESULT.exists() else {}
    held[f"{options.events:,} events, {options.deputies:,} deputies"] = found
    RESULT.write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))


def _table_in(stack: LocalStack) -> str:
    """Make the table for the standings; returns the address of its database."""
    stack.postgres.sql(
        "CREATE TABLE scored_again (deputy uuid PRIMARY KEY, number text, level text, county text, town text, "
        "occupation text, total bigint, grade text, rank bigint); GRANT ALL ON scored_again TO evaluation",
        "evaluation",
    )
    return stack.env_for("evaluation")["DATABASE_URL"].replace("+asyncpg", "")


def _rounds(
    options: argparse.Namespace, files: Mapping[str, list[str]], out: Path, dsn: str | None, say: Any
) -> list[dict[str, float]]:
    runs = []
    for number in range(options.rounds):
        forget(files)
        # A process of its own: its memory and processor time are this round's alone.
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            runs.append(pool.apply(scored, (files, options.memory, out, dsn)))
        say(f"round {number + 1}: " + ", ".join(f"{name} {value:,.1f}" for name, value in runs[-1].items()))
    return runs


if __name__ == "__main__":
    main()
