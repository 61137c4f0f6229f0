"""Whole lives of cases through the gateway: ten commands each, by deputy, department and staff, in the open loop.

    python -m benchmarks.case_lives [--rate 300] [--seconds 120] [--scale 0.1]

A suite of its own (Apache Kafka, fsync on, every service once) takes in a small city with its departments.
Then lives begin at fixed moments, a tenth of the rate apart, whether or not earlier ones have got on:
filed, accepted, progress reported, extension asked and granted, answered, sent back, answered again,
closed, rated. Every command is an HTTP request of its own and waits for its outcome. Measured: each
command from its sending to its outcome. Afterwards every case must be closed with its rating, or the
command fails; what was answered 202 is asked for until it has its outcome. The load generator shares the two cores. Result: benchmarks/case_lives.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.city_load import SEED, quantiles
from deploy.local.suite import Suite
from simulation.city import City, Scale, build_city
from simulation.driver import Driver
from simulation.gateway_client import OPERATOR, GatewayClient, Write, open_gateway
from simulation.journal import Journal
from simulation.phases import Phases
from simulation.year import write_year

RESULT = Path(__file__).with_suffix(".json")
STEPS = 10
CATEGORY = "城乡建设"


class _Lives:
    def __init__(
        self, gateway: GatewayClient, city: City, deputies: list[tuple[str, str]], staff: str
    ) -> None:
        self._gateway = gateway
        self._city = city
        self._deputies = deputies
        self._staff = staff
        self.seconds: dict[str, list[float]] = {}
        self.refused: list[str] = []
        self.ended: list[str] = []

    async def live(self, number: int) -> None:
        """One case from filing to rating."""
        deputy, county = random.Random(number).choice(self._deputies)
        case_id = str(uuid4())
        department = f"department:{self._city.department_for(CATEGORY, county).code}"
        filing = {
            "id": case_id,
            "title": f"第{number}号反映",
            "text": "小区门口的窨井盖破损，雨天积水，请尽快维修。",
            "county": county,
            "category": CATEGORY,
        }
        answer = {"result": "solved", "text": "已安排人员到现场处理完毕。"}
        way: tuple[tuple[str, str, str, Mapping[str, Any]], ...] = (
            ("file", deputy, "/api/cases", filing),
            ("accept", department, "accept", {}),
            ("progress", department, "progress", {"text": "已派人到现场查看。"}),
            ("ask extension", department, "extension", {"days": 3, "reason": "等待材料"}),
            ("grant extension", self._staff, "extension/decision", {"granted": True}),
            ("answer", department, "answer", answer),
            ("reopen", deputy, "reopen", {"reason": "仍有积水"}),
            ("answer again", department, "answer", answer),
            ("close", deputy, "close", {}),
            ("rate", deputy, "rate", {"stars": 5}),
        )
        for step, who, path, body in way:
            where = path if path.startswith("/") else f"/api/cases/{case_id}/{path}"
            began = time.perf_counter()
            said = await self._gateway.send(
                Write(f"case.{step}", case_id, str(uuid4()), who, "POST", where, body)
            )
            self.seconds.setdefault(step, []).append(time.perf_counter() - began)
            if not said.accepted:
                self.refused.append(f"{step}: {said.status} {said.code}")
                return
        self.ended.append(case_id)

    async def run(self, rate: float, seconds: float) -> tuple[int, float]:
        """Begin lives at fixed moments; returns how many, and the seconds until the last one ended."""
        began = time.perf_counter()
        lives = int(rate * seconds / STEPS)
        running = []
        for number in range(lives):
            await asyncio.sleep(max(0.0, began + number * STEPS / rate - time.perf_counter()))
            running.append(asyncio.create_task(self.live(number)))
        await asyncio.gather(*running)
        return lives, time.perf_counter() - began


async def _measure(suite: Suite, arguments: argparse.Namespace, console: Console) -> dict[str, Any]:
    scale = Scale.parse(arguments.scale)
    city = build_city(SEED, scale)
    with Journal(suite.stack.run_dir / "lives.tsv") as journal:
        async with open_gateway(
            suite.gateway_url, suite.secrets.get("simulation"), journal, connections=500
        ) as gateway:
            phases = Phases(gateway, console, 64)
            with phases.shown():
                await Driver(gateway, city, write_year(city, SEED, scale), phases).people_the_city()
            deputies = [
                (str(item["id"]), str(item["county"]))
                async for item in gateway.pages("/api/deputies", who=OPERATOR, size=500)
            ]
            staff = str(city.staff_of(city.code).id)
            departments = [f"department:{department.code}" for department in city.departments]
            for who in (*(deputy for deputy, _ in deputies), staff, *departments):
                await gateway.token_for(who)
            lives = _Lives(gateway, city, deputies, staff)
            await lives.run(arguments.rate, 10)  # warm-up
            warm = set(lives.ended)
            lives.seconds.clear()
            me = psutil.Process()
            cpu_before, began = sum(me.cpu_times()[:2]), time.perf_counter()
            count, took = await lives.run(arguments.rate, arguments.seconds)
            cpu = (sum(me.cpu_times()[:2]) - cpu_before) / (time.perf_counter() - began)
            rated = (await gateway.get("/api/figures", who=staff))["cases"]["rated"]
    every = [one for seconds in lives.seconds.values() for one in seconds]
    return {
        "rate_asked": arguments.rate,
        "rate_reached": len(every) / took,
        "lives": count,
        "ended": len(set(lives.ended) - warm),
        "rated_in_the_store": rated - len(warm),
        "refused": sorted(set(lives.refused)),
        "generator_cpu_cores": cpu,
        "all commands": quantiles(every),
        **{step: quantiles(seconds) for step, seconds in lives.seconds.items()},
    }


def main() -> None:
    """Measure, print and write the figures; exit 1 when a life did not end as it must."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=300.0)
    parser.add_argument("--seconds", type=float, default=120.0)
    parser.add_argument("--scale", default="0.1")
    arguments = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory() as folder, Suite(Path(folder), broker="kafka") as suite:
        result = uvloop.run(_measure(suite, arguments, console))
    table = Table("command", "median ms", "p95", "p99", "count")
    for name, figures in result.items():
        if isinstance(figures, dict):
            keys = ("median_ms", "p95_ms", "p99_ms", "count")
            table.add_row(name, *(f"{figures[key]:,.0f}" for key in keys))
    console.print(table)
    console.print({key: value for key, value in result.items() if not isinstance(value, dict)})
    RESULT.write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    if not result["lives"] == result["ended"] == result["rated_in_the_store"]:
        raise SystemExit("not every life ended as it must")


if __name__ == "__main__":
    main()
