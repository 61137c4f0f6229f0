"""What the chaos tests share: cases with a database and a department, started anew by each test in its own way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from deploy.local.stack import LocalStack
from deploy.local.supervisor import Supervisor
from shared.testing.issuer import Issuer
from shared.testing.wait import wait_until
from tests.cases_desk import announce_departments
from tests.chaos.lives import DEPARTMENT, Lives
from tests.conftest import Processes, started_producer
from tests.database import rows


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "chaos" in item.path.parts:
            item.add_marker(pytest.mark.timeout(900))


@dataclass
class CasesProcesses:
    """Starts and ends processes of cases; small batches, so that a stream takes many of them."""

    stack: LocalStack
    processes: Processes

    @property
    def supervisor(self) -> Supervisor:
        return self.stack.supervisor

    async def start(
        self,
        name: str = "cases-1",
        *,
        program: tuple[str, ...] = (),
        keep_alive: bool = True,
        wait: bool = True,
        **env: str,
    ) -> None:
        """Start a process; `program` are other arguments for Python than `-m services.cases`."""
        env = {"BATCH_RECORDS_MAX": "20", "RELAY_BATCH_MAX": "50", **env}
        spec = replace(self.processes.spec("cases", name, **env), keep_alive=keep_alive)
        if program:
            spec = replace(spec, argv=(spec.argv[0], *program))
        await asyncio.to_thread(self.supervisor.start, spec, wait=wait)

    async def stop(self, name: str = "cases-1") -> None:
        await asyncio.to_thread(self.processes.stop, name)

    async def start_to_die_at(self, point: str, passes: int, **options: Any) -> None:
        """Start `cases-1` so that it dies at the n-th pass of a point, and is not started again."""
        await self.start(keep_alive=False, wait=False, FAILPOINT=f"{point}:{passes}", **options)

    async def dead(self, name: str = "cases-1") -> None:
        """Wait until the process has no pid any more."""

        async def gone() -> bool:
            return self.supervisor.pid(name) is None and name not in self.supervisor.names()

        await wait_until(gone, seconds=240, what=f"the end of {name}")

    async def gauge(self, metric: str, name: str = "cases-1") -> float:
        """The sum of a metric over its labels, as the process tells it now."""
        lines = (await self.get("/metrics", name))[1].splitlines()
        samples = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
        return sum(float(value) for series, value in samples if series.split("{")[0] == metric)

    async def get(self, path: str, name: str = "cases-1") -> tuple[int, str]:
        """Status and body of a GET."""
        timeout = aiohttp.ClientTimeout(total=60)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{self.processes.url(name)}{path}") as answer,
        ):
            return answer.status, await answer.text()

    def reached(self, point: str, name: str = "cases-1") -> int:
        """How often the log says that a process of this name died at a point."""
        log = self.stack.run_dir / "logs" / f"{name}.log"
        text = log.read_text("utf-8") if log.exists() else ""
        return text.splitlines().count(f"failpoint reached: {point}")


@pytest_asyncio.fixture(scope="module")
async def _prepared(stack: LocalStack, processes: Processes) -> None:
    """A migrated database that knows the department."""

    async def known() -> bool:
        if await rows(stack, "cases", "SELECT to_regclass('departments') AS name") == [{"name": None}]:
            return False
        return bool(await rows(stack, "cases", "SELECT 1 FROM departments WHERE code = $1", DEPARTMENT))

    if await known():
        return
    await asyncio.to_thread(processes.migrate, "cases")
    await announce_departments(stack, {DEPARTMENT: ()})
    await asyncio.to_thread(processes.start, "cases")
    await wait_until(known, seconds=240, what="the department in the catalogue")
    await asyncio.to_thread(processes.stop, "cases-1")


@pytest_asyncio.fixture
async def cases(stack: LocalStack, processes: Processes, _prepared: None) -> AsyncIterator[CasesProcesses]:
    """Processes of cases, all stopped at the end of the test."""
    found = CasesProcesses(stack, processes)
    yield found
    for name in [n for n in stack.supervisor.names() if n.startswith("cases-")]:
        await found.stop(name)


@pytest_asyncio.fixture
async def lives(
    stack: LocalStack, processes: Processes, issuer: Issuer, _prepared: None
) -> AsyncIterator[Lives]:
    """Lives to send, and a producer that is replaced when it fails."""
    found = Lives(stack, await started_producer(stack, "gateway"), issuer, processes.sealer)
    yield found
    await found.producer.stop()
