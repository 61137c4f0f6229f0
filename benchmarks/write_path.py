"""How fast one service process takes commands from Kafka to its outcomes on Kafka.

    python -m benchmarks.write_path [--commands 20000] [--single 2000] [--rounds 3]

The `cases` process (unchanged, as a process of its own, fsync on, Apache Kafka) finds a backlog of
filings, each with a sealed text, a signed token and an id of its own, and handles it whole: decode,
verify, claim, open, route, state, two events and a dossier, outcome, and all of it back on Kafka.
`file` is the heaviest command there is; `rate` is an everyday one: a case is locked, changed and saved,
with one event and one outcome. Measured by the broker's append times, from the first outcome to the
last. `batch` is the service as shipped; `single` is the same handler with one transaction and one offset commit per message
(BATCH_RECORDS_MAX=1). Rounds alternate; medians and their ratio are printed and written to
benchmarks/write_path.json. The benchmark fails when any filing has no accepted outcome.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import psutil
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.table import Table

from deploy.kafka.provision import Catalogue
from deploy.local.runfolder import CHECKOUT
from deploy.local.stack import LocalStack
from deploy.local.supervisor import ProcessSpec, http_ready
from shared.contracts import cases, identity
from shared.messaging.kafka import make_producer, open_reader
from shared.security.sealing import Opener, Sealer, new_private_key
from shared.settings import KafkaSettings
from shared.testing.issuer import Issuer
from shared.testing.messages import encoded, message

RESULT = Path(__file__).with_suffix(".json")


def _settings(stack: LocalStack, principal: str) -> KafkaSettings:
    env = {name.lower(): value for name, value in stack.env_for(principal).items()}
    return KafkaSettings.model_validate(
        {name: env[name] for name in KafkaSettings.model_fields if name in env}
    )


async def _producer(stack: LocalStack, principal: str) -> Any:
    for _ in range(50):
        producer = make_producer(_settings(stack, principal))
        try:
            await producer.start()
        except KafkaError:
            await producer.stop()
            await asyncio.sleep(0.2)  # a new account takes a moment to be known
        else:
            return producer
    raise RuntimeError(f"the broker does not take {principal}'s account")


class _Bench:
    def __init__(self, stack: LocalStack, jwks_url: str, issuer: Issuer) -> None:
        self._stack = stack
        self._jwks_url = jwks_url
        self._key = new_private_key()
        self._sealer = Sealer(Opener(self._key).public_jwk)
        self._tokens = [(uuid4(), "") for _ in range(300)]
        self._tokens = [
            (person, issuer.token(person, "deputy", lifetime_seconds=7200)) for person, _ in self._tokens
        ]
        self._port = stack.ports.take("cases")
        self._filed: list[tuple[UUID, str]] = []

    def spec(self, *, batch: int, migrate: bool = False) -> ProcessSpec:
        arguments = ("migrate",) if migrate else ()
        return ProcessSpec(
            name="cases-migrate" if migrate else "cases",
            argv=(sys.executable, "-m", "services.cases", *arguments),
            env={
                **self._stack.env_for("cases"),
                "ENVIRONMENT": "test",
                "HTTP_PORT": str(self._port),
                "JWKS_URL": self._jwks_url,
                "QUARANTINE_URL": (self._stack.run_dir / "quarantine").as_uri(),
                "PHOTOS_URL": (self._stack.run_dir / "photos").as_uri(),
                "SEALING_KEY": json.dumps(self._key),
                "BATCH_RECORDS_MAX": str(batch),
            },
            cwd=CHECKOUT,
            ready=None if migrate else http_ready(f"http://127.0.0.1:{self._port}/readyz"),
        )

    async def prepare(self) -> None:
        self._stack.supervisor.run_once([self.spec(batch=1, migrate=True)])
        self._stack.provisioner().provision_department("housing")
        producer = await _producer(self._stack, "identity")
        known = identity.DepartmentChanged(
            code="housing", name="住建局", categories=("城乡建设",), counties=(), state="active"
        )
        await producer.send_and_wait(
            "department.changed", value=encoded(message(known, subject="housing", sequence=1)), key=b"housing"
        )
        await producer.stop()

    async def backlog(self, count: int, command: str) -> set[str]:
        """Publish commands while the service is down; returns their ids."""
        producer = await _producer(self._stack, "gateway")
        ids: set[str] = set()
        text = "小区门口的窨井盖破损，雨天积水，老人出行不便，请尽快维修。" * 4
        if command == "rate":
            await self._close_all()
        for number in range(count):
            if command == "file":
                _, token = self._tokens[number % len(self._tokens)]
                sealed = self._sealer.seal({"title": "窨井盖破损", "text": text})
                case_id = uuid4()
                self._filed.append((case_id, token))
                envelope = message(
                    cases.FileCase(sealed=sealed, county="330203"), subject=case_id, token=token
                )
            else:
                case_id, token = self._filed[number % len(self._filed)]
                envelope = message(cases.RateCase(stars=5), subject=case_id, token=token)
            ids.add(str(envelope.id))
            await producer.send("cases.commands", value=encoded(envelope), key=envelope.subject.encode())
        await producer.stop()
        return ids

    async def _close_all(self) -> None:
        """Put every case into the state that can be rated; only a benchmark may write past the service."""
        dsn = self._stack.env_for("cases")["DATABASE_URL"].replace("+asyncpg", "")
        connection = await asyncpg.connect(dsn)
        await connection.execute("UPDATE cases SET state = 'closed' WHERE state <> 'closed'")
        await connection.execute("VACUUM ANALYZE cases")
        await connection.close()

    async def run(self, count: int, batch: int, command: str) -> dict[str, float]:
        ids = await self.backlog(count, command)
        reader = await open_reader(_settings(self._stack, "admin"), "command.outcomes", from_end=True)
        await asyncio.to_thread(self._stack.supervisor.start, self.spec(batch=batch))
        process = psutil.Process(self._stack.supervisor.pid("cases") or 0)
        cpu_before = sum(process.cpu_times()[:2])
        stamps: list[int] = []
        refused = 0
        deadline = time.monotonic() + 600
        while ids and time.monotonic() < deadline:
            for records in (await reader.getmany(timeout_ms=500)).values():
                for record in records:
                    outcome = json.loads(record.value)["data"]
                    if outcome["command_id"] in ids:
                        ids.discard(outcome["command_id"])
                        stamps.append(record.timestamp)
                        refused += outcome["state"] != "accepted"
        cpu = sum(process.cpu_times()[:2]) - cpu_before
        await reader.stop()
        await asyncio.to_thread(self._stack.supervisor.stop_one, "cases")
        if ids or refused:
            raise SystemExit(f"{len(ids)} filings without an outcome, {refused} refused: no figure")
        seconds = (max(stamps) - min(stamps)) / 1000
        return {"per_second": count / seconds, "cpu_us": cpu / count * 1e6}


async def _measure(arguments: argparse.Namespace) -> dict[str, Any]:
    issuer = Issuer()
    with tempfile.TemporaryDirectory() as folder, LocalStack(Path(folder), "kafka") as stack:
        stack.provisioner().apply(Catalogue.load())
        bench = _Bench(stack, await issuer.serve(), issuer)
        await bench.prepare()
        found: dict[str, list[dict[str, float]]] = {}
        await bench.run(2000, 500, "file")  # warm-up
        for _ in range(arguments.rounds):
            for command in ("file", "rate"):
                for way, count, batch in (
                    ("batch", arguments.commands, 500),
                    ("single", arguments.single, 1),
                ):
                    found.setdefault(f"{command} {way}", []).append(await bench.run(count, batch, command))
    await issuer.close()
    medians = {
        way: {name: statistics.median(one[name] for one in runs) for name in runs[0]}
        for way, runs in found.items()
    }
    ratios = {
        f"{command}_batch_vs_single": medians[f"{command} batch"]["per_second"]
        / medians[f"{command} single"]["per_second"]
        for command in ("file", "rate")
    }
    return {"medians": medians, "runs": found, "ratios": ratios}


def main() -> None:
    """Measure, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commands", type=int, default=20_000)
    parser.add_argument("--single", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=3)
    result = asyncio.run(_measure(parser.parse_args()))
    table = Table("way", "commands/s", "client CPU µs a command")
    for way, figures in result["medians"].items():
        table.add_row(way, f"{figures['per_second']:,.0f}", f"{figures['cpu_us']:,.0f}")
    console = Console()
    console.print(table)
    for name, ratio in result["ratios"].items():
        console.print(f"{name}: {ratio:.1f} ×")
    RESULT.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
