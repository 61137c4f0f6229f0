"""How fast events become scores on a ledger that has grown, and with more processes.

    python -m benchmarks.evaluation.growth [--events 300000] [--rows 1000000 10000000 100000000]
                                           [--processes 1 2 4] [--rounds 1]

Each size is loaded anew, as facts of earlier years of the same deputies with their sums, in the migrated schema
with all its indices and under ids of those years (UUIDv7, as all ids of things here); then evaluation takes the
same backlog as in `benchmarks.evaluation`, and ledger and sums of the backlog's years are held against the rules.
Numbers of processes take turns, there and back, for so many rounds; medians count. Ratios are to the first number of
processes on the empty ledger of the same run. `--rows` or `--processes` without a number leaves that table out, and
growth.json keeps what it held of it. A row wants up to 600 bytes of disk while it is loaded; a size that there is no
room for is refused.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import shutil
import statistics
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import asyncpg
from rich.console import Console

from benchmarks.evaluation import city
from benchmarks.evaluation.__main__ import Bench, Run
from deploy.kafka.provision import Catalogue
from deploy.local.stack import LocalStack

RESULT = Path(__file__).with_name("growth.json")
_TOGETHER = 50
_ROW_BYTES = 600
_LOAD = """
INSERT INTO ledger (deputy_id, item, evidence, event_id, event_type, sequence, time, happened_on, points, rubric,
                    rubric_version)
SELECT deputy, (ARRAY['case-filed', 'case-rated', 'course-completed', 'activity-regular'])[1 + number % 4],
       uuidv7(day - now())::text, gen_random_uuid(), 'case.filed', 1, day, day::date, 100, 'ningbo', 1
FROM generate_series($2::int, $3::int) number,
     LATERAL (SELECT timestamptz '2015-01-02' + number * interval '1800 days' / $4::int AS day) d,
     unnest($1::uuid[]) deputy
"""
_INDICES = """
SELECT indexrelid::regclass::text AS name, indisprimary, pg_get_indexdef(indexrelid) AS made
FROM pg_index WHERE indrelid = 'ledger'::regclass
"""
_SUM = """
INSERT INTO buckets (deputy_id, month, item, points)
SELECT deputy_id, extract(year FROM happened_on)::int * 12 + extract(month FROM happened_on)::int - 1, item, sum(points)
FROM ledger GROUP BY 1, 2, 3
"""


async def load(dsn: str, rows: int) -> int:
    """Fill ledger and buckets with so many rows of years before the backlog; returns how many there are."""
    connection = await asyncpg.connect(dsn)
    deputies = sorted(city.deputies_of(random.Random(city.SEED)))
    each = max(rows // len(deputies), 1)
    indices = await connection.fetch(_INDICES)
    for index in indices:  # to be made at the end, in a third of the time
        drop = "ALTER TABLE ledger DROP CONSTRAINT" if index["indisprimary"] else "DROP INDEX"
        await connection.execute(f"{drop} {index['name']}")
    for first in range(1, each + 1, _TOGETHER):  # year after year, as they would have come
        last = min(first + _TOGETHER - 1, each)
        await connection.execute(_LOAD, deputies, first, last, each, timeout=3600)
    await connection.execute("SET maintenance_work_mem = '1GB'")
    for index in indices:
        await connection.execute(index["made"], timeout=3600)
        if index["indisprimary"]:
            await connection.execute(f"ALTER TABLE ledger ADD PRIMARY KEY USING INDEX {index['name']}")
    await connection.execute(_SUM, timeout=3600)
    await connection.execute("VACUUM ANALYZE ledger", timeout=3600)
    await connection.execute("VACUUM ANALYZE buckets", timeout=3600)
    await connection.execute("CHECKPOINT")
    found = await connection.fetchval("SELECT count(*) FROM ledger")
    await connection.close()
    return int(found)


def _told(runs: list[Run], first: list[Run]) -> dict[str, Any]:
    """The medians of runs, and the spread where there are several."""
    rates = [run.rate for run in runs]
    found: dict[str, Any] = {
        name: round(statistics.median(getattr(run, name) for run in runs), 1) for name in asdict(runs[0])
    }
    if len(runs) > 1:
        found["spread"] = [round(min(rates)), round(max(rates))]
    ratio = statistics.median(rates) / statistics.median(run.rate for run in first)
    return {**found, "ratio": round(ratio, 2)}


async def main() -> None:
    """Run the benchmark and write its result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--rows", type=int, nargs="*", default=[1_000_000, 10_000_000, 100_000_000])
    parser.add_argument("--processes", type=int, nargs="*", default=[1, 2, 4], choices=[1, 2, 3, 4])
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    say = Console(width=120, stderr=True).print
    counts: list[int] = options.processes
    runs: dict[int, list[Run]] = {count: [] for count in counts}
    sizes: dict[str, Any] = {}
    host = {"events": options.events, "cores": os.cpu_count(), "load_before": round(os.getloadavg()[0], 1)}
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if free < (wanted := max(options.rows, default=0) * _ROW_BYTES):
        raise SystemExit(f"--rows: {wanted >> 30} GB of disk are needed, {free >> 30} are free")
    with tempfile.TemporaryDirectory() as folder, LocalStack(Path(folder), "kafka") as stack:
        stack.provisioner().apply(Catalogue.load())
        bench = Bench(stack, options.events)
        bench.prepare()
        stack.postgres.sql("GRANT pg_checkpoint TO evaluation")
        await asyncio.to_thread(city.produce, stack.broker.admin_config(), options.events)
        bench.expected = city.worth(options.events)
        for number in range(options.rounds):
            for count in counts if number % 2 == 0 else counts[::-1]:
                runs[count].append(run := await bench.ours(count))
                say(f"round {number + 1}: {count} processes: {run.rate:10,.0f} events/s")
        first = runs[counts[0]] if counts else []
        for rows in options.rows:
            bench.empty()
            began = time.monotonic()
            held = await load(bench.dsn, rows)
            say(f"{held:,} rows loaded in {time.monotonic() - began:.0f} s")
            run = await bench.ours(1, anew=False)
            first = first or [run]
            sizes[f"{held:,}"] = _told([run], first)
            say(f"{held:,} rows: {sizes[f'{held:,}']}")
    result = json.loads(RESULT.read_text("utf-8"))
    if counts:
        rates = {str(count): _told(found, first) for count, found in runs.items()}
        result["processes"] = {**host, "rounds": options.rounds, "rates": rates}
    if sizes:
        result["ledger_rows"] = {**host, "rates": sizes}
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    asyncio.run(main())
