"""Steady filing through the gateway of a running city: how long until routed, until scored, until read.

    python -m benchmarks.city_load [--rate 200] [--seconds 300] [--scale 0.1]

A suite of its own (Apache Kafka, fsync on, every service once) plays a small year first, so that the
tables are not empty. Then filings arrive at fixed moments, whether or not earlier ones were answered
(open loop), each a deputy's own HTTP request. Measured by the wall clock on one machine:

- routed: from the moment the filing was due to the record in a consumer of the department's topic;
- score: from the same moment until the deputy's archive shows the case, for every 20th filing, by
  asking every 50 ms;
- pages: GET /api/cases (staff, first page) and /api/notices (deputy), five a second each.

The load generator shares the two cores; its CPU share is printed. Medians, p95 and p99 go to
benchmarks/city_load.json. A filing that was accepted and did not arrive makes the command fail.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psutil
import uvloop
from aiokafka import AIOKafkaConsumer
from rich.console import Console
from rich.table import Table

from cli.demo import Asked, start_departments
from deploy.local.suite import Suite
from shared.testing.wait import wait_until
from simulation.city import Scale, build_city
from simulation.demo import play
from simulation.gateway_client import OPERATOR, GatewayClient, Write, open_gateway
from simulation.journal import Journal

RESULT = Path(__file__).with_suffix(".json")
SEED = 20210715
ARCHIVE_SHARE = 20
TEXTS = (
    "小区门口的窨井盖破损，雨天积水，请尽快维修。",
    "工地夜间施工噪音很大，扬尘也多，影响休息。",
    "公交站台没有遮雨棚，红绿灯时间太短。",
    "社区卫生院挂号排队时间太长，药品也不全。",
)


class _Load:
    def __init__(self, gateway: GatewayClient, deputies: Sequence[str], counties: Sequence[str]) -> None:
        self._gateway = gateway
        self._deputies = deputies
        self._counties = counties
        self.filed: dict[str, float] = {}
        self.routed: dict[str, float] = {}
        self.answered: list[float] = []
        self.scored: list[float] = []
        self.pages: list[float] = []
        self.refused = 0
        self.late = 0

    async def watch(self, consumer: AIOKafkaConsumer) -> None:
        """Note when each dossier reaches its department's topic."""
        async for record in consumer:
            self.routed.setdefault((record.key or b"").decode(), time.perf_counter())

    async def all_routed(self) -> bool:
        """Whether every accepted filing has reached a department."""
        return not self.filed.keys() - self.routed.keys()

    async def file(self, number: int, due: float) -> None:
        """One filing, due at a fixed moment."""
        rng = random.Random(number)
        who, case_id = rng.choice(self._deputies), str(uuid4())
        body = {
            "id": case_id,
            "title": f"第{number}号反映",
            "text": rng.choice(TEXTS),
            "county": rng.choice(self._counties),
        }
        answer = await self._gateway.send(
            Write("case.file", case_id, case_id, who, "POST", "/api/cases", body)
        )
        if not answer.accepted:
            self.refused += 1
            return
        self.filed[case_id] = due
        self.answered.append(time.perf_counter() - due)
        if number % ARCHIVE_SHARE == 0:
            await self._until_scored(who, case_id, due)

    async def _until_scored(self, who: str, case_id: str, due: float) -> None:
        while time.perf_counter() < due + 30:
            archive = await self._gateway.get(f"/api/archive/{who}", who=who, size=20)
            if case_id in json.dumps(archive["items"]):
                self.scored.append(time.perf_counter() - due)
                return
            await asyncio.sleep(0.05)
        self.late += 1

    async def read(self, staff: str, until: float) -> None:
        """Read pages as people do, at fixed moments."""
        due = time.perf_counter()
        while due < until:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            for path, who in (("/api/cases", staff), ("/api/notices", random.choice(self._deputies))):
                began = time.perf_counter()
                await self._gateway.get(path, who=who)
                self.pages.append(time.perf_counter() - began)
            due += 0.2

    async def run(self, rate: float, seconds: float) -> float:
        """File at a fixed rate; returns the seconds until the last one was answered."""
        began = time.perf_counter() + 0.5
        running: set[asyncio.Task[None]] = set()
        for number in range(int(rate * seconds)):
            due = began + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            task = asyncio.create_task(self.file(number, due))
            running.add(task)
            task.add_done_callback(running.discard)
        await asyncio.gather(*running)
        return time.perf_counter() - began


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """Median, p95 and p99 of seconds, in milliseconds, and how many there are."""
    cuts = statistics.quantiles(values, n=100)
    return {
        "median_ms": cuts[49] * 1e3,
        "p95_ms": cuts[94] * 1e3,
        "p99_ms": cuts[98] * 1e3,
        "count": len(values),
    }


async def _measure(suite: Suite, arguments: argparse.Namespace, console: Console) -> dict[str, Any]:
    secret = suite.secrets.get("simulation")
    journal_path = suite.stack.run_dir / "journal.tsv"
    played = await play(
        suite.gateway_url,
        arguments.scale,
        SEED,
        [],
        secret,
        suite.stack.env_for("simulation"),
        console,
        journal_path=journal_path,
    )
    if played.exit_code:
        raise SystemExit("the year before the load did not add up: no figure")
    kafka = suite.stack.env_for("admin")
    consumer = AIOKafkaConsumer(
        bootstrap_servers=kafka["KAFKA_BOOTSTRAP_SERVERS"],
        security_protocol=kafka["KAFKA_SECURITY_PROTOCOL"],
        sasl_mechanism="SCRAM-SHA-512",
        sasl_plain_username=kafka["KAFKA_USERNAME"],
        sasl_plain_password=kafka["KAFKA_PASSWORD"],
        group_id=f"benchmark-{uuid4().hex}",
        auto_offset_reset="latest",
        fetch_max_wait_ms=50,
    )
    consumer.subscribe(pattern=r"^department\.[a-z0-9-]+\.routed$")
    await consumer.start()
    city = build_city(SEED, Scale.parse(arguments.scale))
    with Journal(journal_path.with_name("load.tsv")) as journal:
        async with open_gateway(suite.gateway_url, secret, journal, connections=1000) as gateway:
            deputies = [
                str(UUID(item["id"])) async for item in gateway.pages("/api/deputies", who=OPERATOR, size=500)
            ]
            staff = str(city.staff_of(city.code).id)
            for who in (*deputies, staff):
                await gateway.token_for(who)
            load = _Load(gateway, deputies, [county.code for county in city.counties])
            watching = asyncio.create_task(load.watch(consumer))
            me = psutil.Process()
            cpu_before, began = sum(me.cpu_times()[:2]), time.perf_counter()
            reading = asyncio.create_task(load.read(staff, began + arguments.seconds))
            took = await load.run(arguments.rate, arguments.seconds)
            await reading
            cpu = (sum(me.cpu_times()[:2]) - cpu_before) / (time.perf_counter() - began)
            with contextlib.suppress(AssertionError):  # what is missing then is counted below
                await wait_until(load.all_routed, seconds=60, every=0.1)
            watching.cancel()
    await consumer.stop()
    lost = load.filed.keys() - load.routed.keys()
    return {
        "rate_asked": arguments.rate,
        "rate_reached": len(load.filed) / took,
        "filed": len(load.filed),
        "refused": load.refused,
        "not_routed": len(lost),
        "not_scored_in_30_s": load.late,
        "generator_cpu_cores": cpu,
        "answered": quantiles(load.answered),
        "routed": quantiles([load.routed[i] - due for i, due in load.filed.items() if i in load.routed]),
        "scored": quantiles(load.scored),
        "pages": quantiles(load.pages),
    }


def main() -> None:
    """Measure, print and write the figures; exit 1 when a filing was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--scale", default="0.1")
    arguments = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory() as folder, Suite(Path(folder), broker="kafka") as suite:
        start_departments(Asked(arguments.scale, (), "kafka", None, SEED, stay=False), suite)
        result = uvloop.run(_measure(suite, arguments, console))
    table = Table("what", "median ms", "p95", "p99", "count")
    for name in ("answered", "routed", "scored", "pages"):
        figures = result[name]
        table.add_row(name, *(f"{figures[key]:,.0f}" for key in ("median_ms", "p95_ms", "p99_ms", "count")))
    console.print(table)
    console.print({key: value for key, value in result.items() if not isinstance(value, dict)})
    RESULT.write_text(json.dumps(result, indent=1) + "\n")
    if result["not_routed"]:
        raise SystemExit(f"{result['not_routed']} accepted filings did not reach a department")


if __name__ == "__main__":
    main()
