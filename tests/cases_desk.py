"""What tests of cases share: a running process with departments, and a desk that sends commands as a gateway would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from aiokafka import AIOKafkaProducer

from deploy.local.stack import LocalStack
from shared.contracts import cases, identity
from shared.contracts.envelope import Envelope
from shared.contracts.operations import CommandOutcome
from shared.contracts.simulation import ClockTicked
from shared.security.sealing import Sealer
from shared.testing.issuer import Issuer
from shared.testing.messages import encoded, message
from shared.testing.topics import TopicLog
from shared.testing.wait import wait_until
from tests.conftest import Processes, kafka_settings, started_producer
from tests.database import rows


@dataclass
class Desk:
    """Sends commands as a gateway would and waits for their outcomes."""

    producer: AIOKafkaProducer
    log: TopicLog
    url: str
    sealer: Sealer
    issuer: Issuer

    async def send(self, envelope: Envelope, topic: str = "cases.commands") -> None:
        await self.producer.send_and_wait(topic, value=encoded(envelope), key=envelope.subject.encode())

    async def ask(self, envelope: Envelope, *, count: int = 1) -> CommandOutcome:
        await self.send(envelope)

        async def enough() -> bool:
            return len(self.log.outcomes(envelope.id)) >= count

        await wait_until(enough, what=f"outcome of {envelope.type}")
        return self.log.outcomes(envelope.id)[-1]

    def filing(
        self, deputy: UUID, case_id: UUID, text: str = "路口窨井盖破损，下水道积水。", **more: Any
    ) -> Envelope:
        data = cases.FileCase(sealed=self.sealer.seal({"title": "井盖", "text": text}), county="330203")
        return message(data, subject=case_id, token=self.issuer.token(deputy, "deputy"), **more)


async def announce_departments(stack: LocalStack, departments: dict[str, Sequence[str]]) -> None:
    """Make the topics of departments and announce them, each with its categories, as identity would."""
    await asyncio.to_thread(stack.provisioner().provision_departments, list(departments))
    as_identity = await started_producer(stack, "identity")
    try:
        for code, categories in departments.items():
            known = identity.DepartmentChanged(
                code=code, name=code, categories=tuple(categories), counties=(), state="active"
            )
            await as_identity.send_and_wait(
                "department.changed",
                value=encoded(message(known, subject=code, sequence=1)),
                key=code.encode(),
            )
    finally:
        await as_identity.stop()


async def departments_known(stack: LocalStack, *codes: str) -> None:
    """Wait until cases knows departments: each lies in some partition, so the last may come before the others."""

    async def known() -> bool:
        found = await rows(stack, "cases", "SELECT code FROM departments WHERE state = 'active'")
        return set(codes) <= {row["code"] for row in found}

    await wait_until(known, what="the departments")


async def tick(stack: LocalStack, until: datetime) -> None:
    """Let the business clock stand at a moment, as the simulation does.

    Before a process starts this is certain; afterwards the clock stands elsewhere until the process has read it.
    """
    producer = await started_producer(stack, "simulation")
    told = message(ClockTicked(until=until), subject="clock", time=until)
    await producer.send_and_wait("clock.ticked", value=encoded(told), key=b"clock")
    await producer.stop()


@asynccontextmanager
async def cases_desk(
    stack: LocalStack,
    processes: Processes,
    producer: AIOKafkaProducer,
    issuer: Issuer,
    *,
    topics: Sequence[str],
    **env: str,
) -> AsyncIterator[Desk]:
    """A running cases process `cases-1` with the departments `housing` and `other`; follows `topics`."""
    await asyncio.to_thread(processes.migrate, "cases")
    url = await asyncio.to_thread(processes.start, "cases", **env)
    await announce_departments(stack, {"housing": ("城乡建设",), "other": ()})
    await departments_known(stack, "housing", "other")
    log = TopicLog()
    reading = asyncio.create_task(log.follow(kafka_settings(stack, "admin"), *topics))
    yield Desk(producer, log, url, processes.sealer, issuer)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    await asyncio.to_thread(processes.stop, "cases-1")
