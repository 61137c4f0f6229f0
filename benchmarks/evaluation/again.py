"""Scoring everything again from cold Parquet: totals, limits, grades and ranks of everybody.

    python -m benchmarks.evaluation.again [--events 10000000] [--deputies 9185] [--rounds 3] [--memory 4GB]
    python -m benchmarks.evaluation.again --events 140000000 --deputies 2800000 --memory 6GB   # the country's year

The files are as the warehouse writes them: its columns and types, zstd, one file or two per day and event type,
nothing added up beforehand, named by two manifests: the second has the last 2 % of the events. 5 % of the events
are there twice, duties and closed cases have several versions, 1 % of the deputies have a fifth of the events.

The year is scored again in three ways: from these files; from the facts of the first manifest, which the warehouse
compacts, with the files of the second; and from the facts of both. What each compaction takes is measured as well.
Each round drops the files from the page cache, scores the year under the shipped rubric in a process of its own,
and ends with the standings as a table in PostgreSQL (up to a million deputies) or as Parquet. Then 1,000 deputies
are scored one event at a time by the rules of the domain; one that differs ends the benchmark, and so does one
deputy of all whose standing differs between the ways. Adds what it saw to again.json, beside earlier sizes.
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
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import duckdb
from rich.console import Console

from benchmarks.evaluation import city
from deploy.local.stack import LocalStack
from services.evaluation.domain import Fact, LedgerEntry, entries, newest, sums_of, totals
from services.evaluation.replay import Facts, Replay
from shared.storage import open_storage
from warehouse import facts, manifests, reading
from warehouse.compacting import compact
from warehouse.manifests import File
from warehouse.rows import Kind, typed_fields

RESULT = Path(__file__).with_name("again.json")
CHECKED = 1000
TAIL = 0.02
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
    """The year of events as the warehouse's files, by day and type, the last ones by themselves."""
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
            last = count * 20 // 21 if type_ != "deputy.changed" else count
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
           CASE WHEN i < {last} * (1 - {TAIL}) THEN 1 ELSE 2 END AS manifest,
           strftime(make_timestamp(epoch_us(moment(i, {count}, {40 + number})) + 28800000000), '%Y-%m-%d') AS day
    FROM (SELECT i, unnest(CASE WHEN dice(i, 99, 20) = 0 THEN [0, 1] ELSE [0] END) AS twice
          FROM range({last}) t(i))
) TO '{folder}/{type_}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 131072, PARTITION_BY (manifest, day))""")


def take_in(folder: Path, house: Path, number: int) -> None:
    """Put the files of one manifest where the warehouse has them, and commit it."""
    storage = open_storage(house.as_uri())
    written = sorted(folder.glob(f"*/manifest={number}/day=*/*.parquet"))
    with duckdb.connect() as database:
        rows = dict(
            database.execute(
                "SELECT file_name, num_rows FROM parquet_file_metadata($files)",
                {"files": list(map(str, written))},
            ).fetchall()
        )
    files = []
    for place, file in enumerate(written):
        type_, day = file.parts[-4], file.parts[-2].removeprefix("day=")
        name = f"events/day={day}/type={type_}/{number:020d}-{place:012x}.parquet"
        files.append(File(name, day, type_, rows[str(file)], file.stat().st_size))
        (house / name).parent.mkdir(parents=True, exist_ok=True)
        (house / name).hardlink_to(file)
    head = asyncio.run(manifests.head(storage))
    manifest = manifests.follow_up(head, (), tuple(files), datetime.now(UTC))
    asyncio.run(manifests.create(storage, manifest))


def compacted(house: Path, memory: str) -> dict[str, float]:
    """Compact, in this process; returns what it took."""
    began = time.monotonic()
    found = asyncio.run(compact(house.as_uri(), memory=memory, threads=os.cpu_count() or 2))
    if found is None:
        raise SystemExit("nothing was compacted")
    size = sum(part.bytes for held in found.types.values() for part in held.parts.values())
    return {**_taken(began), "rows": found.rows, "bytes": size}


def _taken(began: float) -> dict[str, float]:
    return {
        "seconds": time.monotonic() - began,
        "cpu": sum(resource.getrusage(resource.RUSAGE_SELF)[:2]),
        "memory": _most_memory(),
    }


def _most_memory() -> float:
    """The most that this process held; `ru_maxrss` would begin with what its parent held."""
    status = Path("/proc/self/status").read_text("ascii")
    return 1024.0 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))


def sources(house: Path) -> dict[str, Facts]:
    """What there is to score from: the events, and the facts with the events since."""
    storage = open_storage(house.as_uri())
    held = asyncio.run(facts.newest(storage))
    contents = asyncio.run(reading.contents(storage))
    found: dict[str, Facts] = {"events": reading.paths(house.as_uri(), contents)}
    if held is not None:
        found["facts"] = facts.compacted(house.as_uri(), held, contents)
    return found


def forget(house: Path) -> None:
    """Drop the files from the page cache, so that a round reads them from the disk."""
    os.sync()
    for name in house.glob("**/*.parquet"):
        descriptor = os.open(name, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def scored(source: Facts, memory: str, out: Path, dsn: str | None) -> dict[str, float]:
    """One round, in this process: seconds until the standings lie where they are read."""
    rubric = city.schedule().adopted[0].rubric
    began = time.monotonic()
    with Replay(source, threads=os.cpu_count() or 2, memory=memory) as replay:
        replay.score(rubric, date(2021, 1, 1), date(2021, 12, 31))
        scores = time.monotonic() - began
        replay.stand(rubric, replay.roster())
        replay.database.execute(f"COPY standings TO '{out}' (FORMAT parquet)")
        if dsn is not None:
            asyncio.run(_into_postgres(replay.database.execute("FROM standings").fetchall(), dsn))
    return {**_taken(began), "scores": scores}


async def _into_postgres(rows: list[Any], dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    async with connection.transaction():
        await connection.execute("TRUNCATE scored_again")
        await connection.copy_records_to_table("scored_again", records=rows)
    await connection.close()


def check(files: Mapping[str, Sequence[str]], deputies: int, standings: Path) -> int:
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


def compare(one: Path, other: Path) -> None:
    """End the benchmark unless both hold the same standings."""
    with duckdb.connect() as database:
        (different,) = database.execute(
            f"SELECT count(*) FROM ((FROM '{one}' EXCEPT ALL FROM '{other}') "
            f"UNION ALL (FROM '{other}' EXCEPT ALL FROM '{one}'))"
        ).fetchall()
    if different[0]:
        raise SystemExit(f"void: {different[0]} standings differ between two ways")


def main() -> None:
    """Run the benchmark and write its result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--deputies", type=int, default=city.DEPUTIES)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", default="4GB")
    parser.add_argument(
        "--without-events", action="store_true", help="leave out scoring from the events alone"
    )
    parser.add_argument(
        "--folder", type=Path, help="where the files are kept (and found again); else a new one"
    )
    options = parser.parse_args()
    say = Console(width=120, stderr=True).print
    with tempfile.TemporaryDirectory(dir=options.folder and options.folder.parent) as new:
        folder = options.folder or Path(new) / "events"
        if not folder.is_dir():
            folder.mkdir(parents=True)
            began = time.monotonic()
            write(folder, options.events, options.deputies)
            say(f"written in {time.monotonic() - began:.0f} s")
        if options.deputies <= IN_POSTGRES_MAX:
            with LocalStack(Path(new) / "stack", "kafka") as stack:
                found = _ways(options, folder, Path(new), _table_in(stack), say)
                say(
                    f"rows in PostgreSQL: {stack.postgres.sql('SELECT count(*) FROM scored_again', 'evaluation')}"
                )
        else:
            found = _ways(options, folder, Path(new), None, say)
    held = json.loads(RESULT.read_text("utf-8")) if RESULT.exists() else {}
    held[f"{options.events:,} events, {options.deputies:,} deputies"] = found
    RESULT.write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))


def _ways(options: argparse.Namespace, folder: Path, new: Path, dsn: str | None, say: Any) -> dict[str, Any]:
    """All ways and both compactions; each way's standings are held against the one before."""
    house = new / "warehouse"
    take_in(folder, house, 1)
    found: dict[str, Any] = {"events": options.events, "deputies": options.deputies}
    found["compacting 98 %"] = _compaction(options, house, say)
    take_in(folder, house, 2)
    before = sources(house)
    ways = {} if options.without_events else {"from events": before["events"]}
    ways["from facts and 2 % events"] = before["facts"]
    last = None
    for way, source in ways.items():
        last = _way(options, house, way, source, dsn, say, last, found)
    found["compacting the last 2 %"] = _compaction(options, house, say)
    last = _way(options, house, "from facts", sources(house)["facts"], dsn, say, last, found)
    files = before["events"]
    found["checked_deputies"] = check(files, options.deputies, last) if isinstance(files, Mapping) else 0
    names = [name for of_type in files.values() for name in of_type] if isinstance(files, Mapping) else []
    found["events_gb"] = round(sum(Path(name).stat().st_size for name in names) / 1e9, 2)
    return found


def _way(
    options: argparse.Namespace,
    house: Path,
    way: str,
    source: Facts,
    dsn: str | None,
    say: Any,
    before: Path | None,
    found: dict[str, Any],
) -> Path:
    """The rounds of one way; returns its standings."""
    out = house.parent / f"{way}.parquet".replace(" ", "-")
    runs = []
    for number in range(options.rounds):
        forget(house)
        runs.append(_apart(scored, source, options.memory, out, dsn))
        say(f"{way}, round {number + 1}: {_shown(runs[-1])}")
    if before is not None:
        compare(before, out)
    seconds = [run["seconds"] for run in runs]
    found[way] = {
        "seconds": round(statistics.median(seconds), 2),
        "spread": [round(min(seconds), 2), round(max(seconds), 2)],
        "until_totals": round(statistics.median(run["scores"] for run in runs), 2),
        "cpu_us_per_event": round(1e6 * statistics.median(run["cpu"] for run in runs) / options.events, 2),
        "memory_gb": round(max(run["memory"] for run in runs) / 1e9, 2),
    }
    return out


def _compaction(options: argparse.Namespace, house: Path, say: Any) -> dict[str, float]:
    forget(house)
    took = _apart(compacted, house, options.memory)
    say(f"compaction: {_shown(took)}")
    return {
        "seconds": round(took["seconds"], 1),
        "cpu_s": round(took["cpu"], 1),
        "memory_gb": round(took["memory"] / 1e9, 2),
        "rows": round(took["rows"]),
        "facts_gb": round(took["bytes"] / 1e9, 2),
    }


def _apart(function: Any, *arguments: Any) -> dict[str, float]:
    """In a process of its own: its memory and processor time are this one's alone."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found: dict[str, float] = pool.apply(function, arguments)
    return found


def _shown(took: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:,.1f}" for name, value in took.items())


def _table_in(stack: LocalStack) -> str:
    """Make the table for the standings; returns the address of its database."""
    stack.postgres.sql(
        "CREATE TABLE scored_again (deputy uuid PRIMARY KEY, number text, level text, county text, town text, "
        "occupation text, total bigint, grade text, rank bigint); GRANT ALL ON scored_again TO evaluation",
        "evaluation",
    )
    return stack.env_for("evaluation")["DATABASE_URL"].replace("+asyncpg", "")


if __name__ == "__main__":
    main()
