"""`daibiaotong demo`: the suite, the year, the table, the audit; then a running suite with people in it."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import uvloop
from aiokafka.errors import KafkaError
from rich.console import Console

from cli import running
from cli.up import CANNOT_START, show_addresses, stop_event
from deploy.local.lock import LOCK_NAME, RunLock
from deploy.local.runfolder import CHECKOUT, make_private_folder, run_folder, write_private
from deploy.local.suite import Suite
from deploy.local.supervisor import ProcessSpec
from simulation.city import Scale, build_city
from simulation.demo import DemoResult, play, show_people, simulation_token
from simulation.gateway_client import GatewayError
from simulation.script import END

_LOOK_SECONDS = 0.2
DEPARTMENTS = "departments.json"
RUBRIC = CHECKOUT / "services" / "evaluation" / "rubrics" / "ningbo.yaml"


@dataclass(frozen=True)
class Asked:
    """What the person asked for; `stay` keeps the suite running after the table."""

    scale: str
    messages: tuple[Path, ...]
    broker: str | None
    divisions: Path | None
    seed: int
    stay: bool


def run(console: Console, asked: Asked) -> int:
    """Play. Returns 0 when every figure and every score is equal, 1 when not, 2 when it was not played to the end."""
    stop = stop_event()
    began = time.monotonic()
    try:
        Scale.parse(asked.scale)
        for path in asked.messages:
            path.open("rb").close()
        folder = _empty_folder()
        with Suite(folder, broker=asked.broker, extra_env=_places(asked, folder)) as suite:
            return _play_on(console, asked, suite, stop, began)
    except (*CANNOT_START, ValueError, OSError) as error:
        console.print(str(error), style="red", markup=False, highlight=False)
        return 2


def _empty_folder() -> Path:
    """The demo's own run folder, emptied: every demo is a new city, and never touches what `up` keeps."""
    folder = make_private_folder(run_folder() / running.DEMO)
    lock = RunLock(folder)
    lock.acquire()
    try:
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != LOCK_NAME:
                path.unlink()
    finally:
        lock.release()
    return folder


def _places(asked: Asked, folder: Path) -> dict[str, dict[str, str]]:
    """Let pages and archives name the city's towns: the environment of who makes them."""
    path = folder / "divisions.json"
    city = build_city(asked.seed, Scale.parse(asked.scale), asked.divisions)
    write_private(path, json.dumps(city.divisions(), ensure_ascii=False))
    return {name: {"DIVISIONS_FILE": str(path)} for name in ("gateway", "evaluation")}


def _play_on(console: Console, asked: Asked, suite: Suite, stop: threading.Event, began: float) -> int:
    access = running.leave(suite)
    try:
        start_departments(asked, suite)
        console.print(f"suite up after {time.monotonic() - began:.0f} s; playing the year", highlight=False)
        try:
            result = uvloop.run(_unless_asked_to_stop(stop, _play(console, asked, suite)))
        except (GatewayError, KafkaError, TimeoutError) as error:
            console.print(f"the play stopped: {type(error).__name__} {error}", style="red", markup=False)
            return 2
        if result is None:
            console.print("stopping before the end …")
            return 2
        console.print(f"played and compared after {time.monotonic() - began:.0f} s", highlight=False)
        audited = _audit(console, suite)
        _show_memory(console, suite)
        equal = result.exit_code == 0 and audited
        console.print("every figure and every score is equal" if equal else "NOT everything is equal")
        if asked.stay:
            _leave_to_person(suite, result.office)
            show_addresses(console, suite)
            show_people(console, result.people)
            secret = suite.secrets.get("operator")
            console.print(
                f"  {'operator':<15} {'operator':<24} {secret}", highlight=False, markup=False, soft_wrap=True
            )
            console.print(
                f"Residents write to the county deputy at {suite.gateway_url}/r/{result.code}",
                highlight=False,
            )
            console.print("The other departments answer by themselves, after two seconds.")
            console.print("Ctrl-C stops everything.")
            stop.wait()
            console.print("stopping …")
        return 0 if equal else 1
    finally:
        access.unlink(missing_ok=True)


async def _unless_asked_to_stop(
    stop: threading.Event, play: Coroutine[Any, Any, DemoResult]
) -> DemoResult | None:
    """What came of the play, or None when somebody asked to stop meanwhile."""
    playing = asyncio.create_task(play)
    while not playing.done():
        await asyncio.wait({playing}, timeout=_LOOK_SECONDS)
        if stop.is_set():
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)
            return None
    return playing.result()


async def _play(console: Console, asked: Asked, suite: Suite) -> DemoResult:
    return await play(
        suite.gateway_url,
        asked.scale,
        asked.seed,
        asked.messages,
        suite.secrets.get("simulation"),
        suite.stack.env_for("simulation"),
        console,
        journal_path=suite.stack.run_dir / "journal.tsv",
        divisions=asked.divisions,
    )


def _leave_to_person(suite: Suite, office: str) -> None:
    """Let the departments' own program leave one department to whoever signs in as it."""
    path = suite.stack.run_dir / DEPARTMENTS
    accounts = json.loads(path.read_text(encoding="utf-8"))
    accounts.pop(office, None)
    write_private(path, json.dumps(accounts))


def start_departments(asked: Asked, suite: Suite) -> None:
    """Start the departments' own program, with each department's account and nothing else."""
    city = build_city(asked.seed, Scale.parse(asked.scale), asked.divisions)
    isolates = suite.stack.broker.isolates
    accounts = {
        department.code: {
            "username": f"dept-{department.code}",
            "password": suite.secrets.department_password(department.code),
        }
        if isolates
        else {}
        for department in city.departments
    }
    path = suite.stack.run_dir / DEPARTMENTS
    write_private(path, json.dumps(accounts))
    kafka = suite.stack.env_for("simulation")
    suite.supervisor.start(
        ProcessSpec(
            name="departments",
            argv=(
                sys.executable,
                "examples/department_system/department_system.py",
                "--departments-file",
                str(path),
                "--simulated-until",
                END.isoformat(),
            ),
            env={
                **{
                    name: value
                    for name, value in kafka.items()
                    if name not in ("KAFKA_USERNAME", "KAFKA_PASSWORD")
                },
                "SIMULATION_TOKEN": asyncio.run(
                    simulation_token(suite.gateway_url, suite.secrets.get("simulation"))
                ),
            },
            cwd=CHECKOUT,
        )
    )


async def _token(gateway: str, client: str, secret: str) -> str:
    form = {"grant_type": "client_credentials", "client_id": client, "client_secret": secret}
    async with aiohttp.ClientSession() as session, session.post(f"{gateway}/api/token", data=form) as answer:
        answer.raise_for_status()
        return str((await answer.json())["access_token"])


def _audit(console: Console, suite: Suite) -> bool:
    """Let the separate program recompute every score from the Kafka log; True when all are equal."""
    token = asyncio.run(_token(suite.gateway_url, "operator", suite.secrets.get("operator")))
    arguments = [sys.executable, "-m", "audit", "--rubric", str(RUBRIC), "--gateway", suite.gateway_url]
    environment = {**os.environ, **suite.stack.env_for("auditor"), "AUDIT_TOKEN": token}
    began = time.monotonic()
    code = subprocess.run(arguments, env=environment, cwd=CHECKOUT, check=False).returncode
    console.print(f"audit took {time.monotonic() - began:.0f} s", highlight=False)
    return code == 0


def _show_memory(console: Console, suite: Suite) -> None:
    """Print what the suite's own processes hold, without PostgreSQL and the broker."""
    total = 0
    for name in suite.supervisor.names():
        pid = suite.supervisor.pid(name)
        if pid is not None and name not in ("postgres", "kafka", "tansu"):
            total += psutil.Process(pid).memory_info().rss
    console.print(
        f"memory of the suite without PostgreSQL and broker: {total / 2**20:,.0f} MiB", highlight=False
    )
