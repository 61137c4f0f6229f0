"""Evaluation against REF (hand-written batches), PEER (Quix Streams) and NAIVE (one by one), on the same stream.

    python -m benchmarks.evaluation [--events 800000] [--rounds 3] [--naive-events 3000] [--seconds 20]

Everyone takes the same backlog of CloudEvents from Apache Kafka (12 partitions, 5 % repetitions, 5 % late)
into the migrated schema with all its indices, fsync and synchronous_commit on, and writes ledger and
buckets under the shipped rubric; evaluation also settles every total and publishes score.changed within the
time. Rates are taken from the first tenth to the last event; medians of alternating rounds with the spread.
After each run ledger and buckets are compared row by row with the fold of the rules, and a difference ends
the benchmark. Then 500 events/s, open loop: from just before sending to the score being readable in the
database. ROUNDS, EVENTS and SECONDS_OF_LATENCY in the environment stand for the options. Writes result.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from secrets import token_urlsafe
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.evaluation import city
from deploy.kafka.provision import Catalogue
from deploy.local.runfolder import CHECKOUT, run_folder
from deploy.local.stack import LocalStack
from deploy.local.supervisor import ProcessSpec, http_ready
from services.evaluation.domain import month_of
from shared.contracts.learning import CourseCompleted
from shared.messaging.kafka import make_producer, partition_of
from shared.security.tokens import signing_key_of
from shared.settings import KafkaSettings
from shared.testing.messages import encoded, message

RESULT = Path(__file__).with_name("result.json")
PEER = "quixstreams==3.28.1"
SETTINGS = ("fsync", "synchronous_commit", "wal_level", "full_page_writes", "shared_buffers", "max_wal_size")
FIRST_DAY = date(2020, 1, 1)
"""No event of the stream happened before; what `growth` loads beforehand did."""
PROBES_PER_SECOND = 100
RATE = 500
_LOOK_SECONDS = 0.003
_WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
)
_LEFT = "SELECT (SELECT count(*) FROM unsettled) + (SELECT count(*) FROM outbox)"


@dataclass(frozen=True)
class Run:
    """One contender's run: events per second when warm, CPU microseconds per event."""

    rate: float
    client: float
    postgres: float


class Bench:
    """One stack with a backlog; every run begins with an empty migrated database."""

    def __init__(self, stack: LocalStack, events: int) -> None:
        self.stack = stack
        self.events = events
        self.expected: city.Scores = ({}, {})
        self._ports = [stack.ports.take(f"evaluation-{number}") for number in (1, 2, 3, 4)]
        self.dsn = stack.env_for("evaluation")["DATABASE_URL"].replace("+asyncpg", "")
        postgres = psutil.Process(stack.supervisor.pid("postgres") or 0)
        self._postmaster = next(
            (child for child in [postgres, *postgres.children()] if "postgres" in child.name()), postgres
        )

    # --- the database

    def prepare(self) -> dict[str, str]:
        """Migrate once, keep the result as a template; returns the settings that matter."""
        self.stack.supervisor.run_once([self._spec(1, "migrate")])
        self.stack.postgres.sql('create database evaluation_empty template evaluation owner "evaluation"')
        shown = " union all ".join(f"select '{name}=' || current_setting('{name}')" for name in SETTINGS)
        lines = self.stack.postgres.sql(shown, "evaluation").splitlines()
        return dict(line.split("=", 1) for line in lines)

    def empty(self) -> None:
        """Begin anew."""
        self.stack.postgres.sql(
            "drop database if exists evaluation with (force);"
            'create database evaluation template evaluation_empty owner "evaluation";'
            "checkpoint;"
        )

    def postgres_cpu(self) -> float:
        """Seconds that the server and all its backends, the ended ones too, have taken."""
        own = self._postmaster.cpu_times()
        total = own.user + own.system + own.children_user + own.children_system
        for child in self._postmaster.children():
            with suppress(psutil.NoSuchProcess):
                total += sum(child.cpu_times()[:2])
        return float(total)

    async def compare(self, expected: city.Scores) -> None:
        """Hold ledger and buckets against the fold of the rules."""
        connection = await asyncpg.connect(self.dsn)
        rows = await connection.fetch(
            "SELECT deputy_id::text, item, evidence, points FROM ledger WHERE happened_on >= $1", FIRST_DAY
        )
        ledger = {(row[0], row[1], row[2]): row[3] for row in rows}
        rows = await connection.fetch(
            "SELECT deputy_id::text, month, item, points FROM buckets WHERE points <> 0 AND month >= $1",
            month_of(FIRST_DAY),
        )
        buckets = {(row[0], row[1], row[2]): row[3] for row in rows}
        await connection.close()
        if (ledger, buckets) != expected:
            wrong = sum(a != b for a, b in zip((ledger, buckets), expected, strict=True))
            raise SystemExit(
                f"a run is void: {wrong} of ledger and buckets differ from the fold of the rules"
            )

    # --- contenders

    def _spec(self, number: int, *arguments: str) -> ProcessSpec:
        port = self._ports[number - 1]
        return ProcessSpec(
            name="-".join(("evaluation", *(arguments or (str(number),)))),
            argv=(sys.executable, "-m", "services.evaluation", *arguments),
            env={
                **self.stack.env_for("evaluation"),
                "ENVIRONMENT": "test",
                "INSTANCE": str(number),
                "HTTP_PORT": str(port),
                "JWKS_URL": "http://127.0.0.1:9/jwks",
                "ARCHIVE_KEY": json.dumps(signing_key_of(token_urlsafe(32))),
                "RELAY_POLL_SECONDS": "0.3",
                "SESSION_TIMEOUT_MS": "6000",
                "AUDIT_DEPUTIES": "1",  # the night's audit is due at once in a database that never had one
            },
            cwd=CHECKOUT,
            ready=None if arguments else http_ready(f"http://127.0.0.1:{port}/readyz"),
        )

    async def ours(self, processes: int, *, anew: bool = True) -> Run:
        """Evaluation as shipped, in one to four processes; `anew` = on an empty database.

        All have started, joined and shared the partitions before the first may look where it stands.
        """
        if anew:
            self.empty()
        specs = [self._spec(number) for number in range(1, processes + 1)]
        connection = await asyncpg.connect(self.dsn)
        holding = await asyncpg.connect(self.dsn)  # another one: who waits is read once per transaction
        async with holding.transaction():
            await holding.execute("LOCK TABLE fences IN EXCLUSIVE MODE")
            for spec in specs:
                self.stack.supervisor.start(spec, wait=False)
            while await connection.fetchval(_WAITING) < processes:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        await holding.close()
        mine = [psutil.Process(self.stack.supervisor.pid(spec.name) or 0) for spec in specs]

        def client_cpu() -> float:
            return float(sum(sum(process.cpu_times()[:2]) for process in mine))

        warm: tuple[float, float, float, int] | None = None
        while True:
            done = await connection.fetchval("SELECT coalesce(sum(records), 0)::bigint FROM fences")
            left = await connection.fetchval(_LEFT)
            if warm is None and done >= self.events / 10:
                warm = (time.monotonic(), client_cpu(), self.postgres_cpu(), done)
            if done >= self.events and not left:
                break
            await asyncio.sleep(0.05)
        assert warm is not None
        seconds, events = time.monotonic() - warm[0], self.events - warm[3]
        run = Run(
            events / seconds,
            1e6 * (client_cpu() - warm[1]) / events,
            1e6 * (self.postgres_cpu() - warm[2]) / events,
        )
        await connection.close()
        for spec in specs:
            await asyncio.to_thread(self.stack.supervisor.stop_one, spec.name)
        await self.compare(self.expected)
        return run

    async def other(self, module: str, events: int, python: str = sys.executable) -> Run:
        """REF, NAIVE or PEER."""
        self.empty()
        process = await asyncio.create_subprocess_exec(
            python, "-m", f"benchmarks.evaluation.{module}",
            env=self._contender_env(events), cwd=CHECKOUT, limit=2**26,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        told: dict[str, tuple[float, float, Mapping[str, Any]]] = {}
        async for line in process.stdout:
            said = json.loads(line)
            told[said["at"]] = (time.monotonic(), self.postgres_cpu(), said)
            if said["at"] == "end":
                process.stdin.close()
        if await process.wait() or "end" not in told:
            raise SystemExit(f"{module} failed")
        (began, pg_before, first), (ended, pg_after, last) = told["warm"], told["end"]
        taken = last["events"] - first["events"]
        await self.compare(city.worth(self.events, set(last["ids"])) if "ids" in last else self.expected)
        return Run(
            taken / (ended - began),
            1e6 * (last["cpu"] - first["cpu"]) / taken,
            1e6 * (pg_after - pg_before) / taken,
        )

    def _contender_env(self, events: int) -> dict[str, str]:
        return {
            **os.environ,
            **self.stack.env_for("admin"),
            "DATABASE_URL": self.stack.env_for("evaluation")["DATABASE_URL"],
            "EVENTS": str(events),
            "GROUP": f"bench-{uuid4()}",
        }

    # --- latency

    async def latency(self, module: str | None, seconds: int) -> list[float]:
        """Milliseconds from sending to readable for probes among 500 events/s; `module` None is evaluation."""
        self.empty()
        reference = None
        if module is None:
            self.stack.supervisor.start(self._spec(1))
        else:
            reference = await asyncio.create_subprocess_exec(
                sys.executable, "-m", f"benchmarks.evaluation.{module}", cwd=CHECKOUT,
                env=self._contender_env(10**9), stdout=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
        connection = await asyncpg.connect(self.dsn)
        # The backlog of the rounds comes first, and what evaluation alone has to do for it.
        while await connection.fetchval("SELECT count(*) FROM ledger") < len(self.expected[0]):  # noqa: ASYNC110
            await asyncio.sleep(0.2)
        while await connection.fetchval(_LEFT):  # noqa: ASYNC110
            await asyncio.sleep(0.2)
        await asyncio.sleep(2)
        found = await self._probe(connection, seconds)
        await connection.close()
        if reference is None:
            await asyncio.to_thread(self.stack.supervisor.stop_one, "evaluation-1")
        else:
            reference.terminate()
            await reference.wait()
        return found

    async def _probe(self, connection: asyncpg.Connection, seconds: int) -> list[float]:
        env = {name.lower(): value for name, value in self.stack.env_for("admin").items()}
        producer = make_producer(
            KafkaSettings.model_validate(
                {name: env[name] for name in KafkaSettings.model_fields if name in env}
            )
        )
        await producer.start()
        waiting: dict[UUID, float] = {}
        found: list[float] = []
        finished = asyncio.Event()

        partitions = sorted(await producer.partitions_for("course.completed"))
        ready = []
        for _ in range(RATE * seconds):  # made before, so that sending takes little of the cores
            deputy = uuid4()
            data = CourseCompleted(course_id=uuid4(), deputy_id=deputy, minutes=40, mark=95)
            value = encoded(message(data, subject=deputy, time=datetime.now(UTC), sequence=1))
            key = str(deputy).encode()
            ready.append((deputy, key, value, partition_of(key, partitions)))

        async def send() -> None:
            began = time.perf_counter()
            for number, (deputy, key, value, partition) in enumerate(ready):
                due = began + number / RATE
                if (ahead := due - time.perf_counter()) > 0:
                    await asyncio.sleep(ahead)
                if number % (RATE // PROBES_PER_SECOND) == 0:
                    waiting[deputy] = min(due, time.perf_counter())
                await producer.send("course.completed", value=value, key=key, partition=partition)
            finished.set()

        sending = asyncio.create_task(send())
        deadline = time.monotonic() + seconds + 30
        while not (finished.is_set() and not waiting) and time.monotonic() < deadline:
            rows = await connection.fetch(
                "SELECT DISTINCT deputy_id FROM buckets WHERE deputy_id = ANY($1::uuid[])", list(waiting)
            )
            now = time.perf_counter()
            found += [1000 * (now - waiting.pop(UUID(int=row[0].int))) for row in rows]
            await asyncio.sleep(_LOOK_SECONDS)
        await sending
        await producer.stop()
        if waiting:
            raise SystemExit(f"{len(waiting)} scores were never readable")
        return found


def peer_python() -> str:
    """The interpreter of PEER: an environment with Quix Streams, and behind it what this one has."""
    folder = run_folder() / "bench-peer"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run(
            [str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", PEER], check=True
        )
        site = next(folder.glob("lib/python*/site-packages"))
        # Paths of a .pth file come after the folder's own packages.
        (site / "suite.pth").write_text(f"{sysconfig.get_path('purelib')}\n{CHECKOUT}\n", encoding="utf-8")
        (folder / "ready").touch()
    return str(python)


def percentile(values: list[float], share: float) -> float:
    """The value below which this share of the values lies."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def _summary(runs: list[Run]) -> dict[str, Any]:
    rates = [run.rate for run in runs]
    return {
        "events_per_second": round(statistics.median(rates)),
        "spread": [round(min(rates)), round(max(rates))],
        "client_us_per_event": round(statistics.median(run.client for run in runs), 1),
        "postgres_us_per_event": round(statistics.median(run.postgres for run in runs), 1),
        "runs": [{name: round(value, 1) for name, value in asdict(run).items()} for run in runs],
    }


async def measure(bench: Bench, options: argparse.Namespace, say: Any) -> dict[str, Any]:
    """All rounds and the latencies."""
    python = "" if options.without_peer else await asyncio.to_thread(peer_python)
    names = ["ref", "one", "two", *(["peer"] if python else [])]
    runs: dict[str, list[Run]] = {name: [] for name in [*names, "naive"]}
    for number in range(options.rounds):
        order = names if number % 2 == 0 else names[::-1]
        for name in [*order, "naive"]:
            if name == "peer":
                run = await bench.other("peer", options.events, python)
            elif name == "ref":
                run = await bench.other("reference", options.events)
            elif name == "naive":
                run = await bench.other("naive", options.naive_events)
            else:
                run = await bench.ours(1 if name == "one" else 2)
            runs[name].append(run)
            say(
                f"round {number + 1}: {name:6} {run.rate:10,.0f} events/s, client {run.client:.1f} us, PostgreSQL {run.postgres:.1f} us"
            )
    latency = {}
    if options.seconds:
        for name, module in (("ref", "reference"), ("one", None)):
            found = await bench.latency(module, options.seconds)
            latency[name] = {f"p{share}": round(percentile(found, share / 100), 1) for share in (50, 95, 99)}
            say(f"latency at {RATE}/s: {name} {latency[name]}")
    found_runs = {name: _summary(held) for name, held in runs.items()}
    rate = {name: found_runs[name]["events_per_second"] for name in found_runs}
    ratios = {
        "one_process_vs_ref": round(rate["one"] / rate["ref"], 2),
        "two_processes_vs_ref": round(rate["two"] / rate["ref"], 2),
        "one_process_vs_naive": round(rate["one"] / rate["naive"], 1),
    }
    if python:
        ratios["one_process_vs_peer"] = round(rate["one"] / rate["peer"], 2)
    if latency:
        ratios["latency_p99_vs_ref"] = round(latency["one"]["p99"] / latency["ref"]["p99"], 2)
    return {"ratios": ratios, "contenders": found_runs, "latency_ms": latency}


def show(result: Mapping[str, Any]) -> None:
    """Print the table."""
    table = Table("", "events/s", "spread", "client us/event", "PostgreSQL us/event", "vs REF")
    names = {
        "ref": "REF",
        "one": "evaluation, one process",
        "two": "evaluation, two processes",
        "peer": "PEER, Quix Streams",
        "naive": "NAIVE",
    }
    reference = result["contenders"]["ref"]["events_per_second"]
    for name, title in names.items():
        found = result["contenders"].get(name)
        if found is None:
            continue
        table.add_row(
            title, f"{found['events_per_second']:,}", "{:,} - {:,}".format(*found["spread"]),
            f"{found['client_us_per_event']}", f"{found['postgres_us_per_event']}",
            f"{found['events_per_second'] / reference:.3g}",
        )  # fmt: skip
    console = Console(width=120)
    console.print(table)
    console.print(f"ratios {result['ratios']}", f"latency in ms {result['latency_ms']}", sep="\n")


async def main() -> None:
    """Run the benchmark and write its result."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=int, default=int(os.environ.get("EVENTS", "800000")))
    parser.add_argument("--rounds", type=int, default=int(os.environ.get("ROUNDS", "3")))
    parser.add_argument("--naive-events", type=int, default=3000)
    parser.add_argument("--without-peer", action="store_true")
    parser.add_argument("--seconds", type=int, default=int(os.environ.get("SECONDS_OF_LATENCY", "20")))
    options = parser.parse_args()
    say = Console(width=120, stderr=True).print
    with tempfile.TemporaryDirectory() as folder, LocalStack(Path(folder), "kafka") as stack:
        stack.provisioner().apply(Catalogue.load())
        bench = Bench(stack, options.events)
        settings = bench.prepare()
        say(f"PostgreSQL: {settings}")
        took = await asyncio.to_thread(city.produce, stack.broker.admin_config(), options.events)
        began = time.monotonic()
        bench.expected = city.worth(options.events)
        say(
            f"{options.events:,} events sent in {took:.0f} s; the rules make {len(bench.expected[0]):,} ledger rows "
            f"and {len(bench.expected[1]):,} buckets of them ({time.monotonic() - began:.0f} s)"
        )
        result = await measure(bench, options, say)
    result |= {
        "events": options.events,
        "rounds": options.rounds,
        "deputies": city.DEPUTIES,
        "items": len(city.schedule().adopted[0].rubric.items),
        "postgres": settings,
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
    }
    RESULT.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    show(result)


if __name__ == "__main__":
    asyncio.run(main())
