"""The broker or the database dies under load, or is away for a while: the service waits and then goes on."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from deploy.local.stack import LocalStack
from shared.messaging.kafka import watch_broker
from shared.messaging.received import Record
from shared.messaging.runner import Runner
from shared.messaging.subscriber import Subscription, make_broker
from shared.settings import ServiceSettings
from shared.telemetry.health import STALL_SECONDS, Health
from shared.testing.issuer import Issuer
from shared.testing.wait import wait_until
from tests.chaos.conftest import CasesProcesses
from tests.chaos.lives import Lives, committed_lag
from tests.conftest import Processes, started_producer
from tests.kit import open_kit

SHARES_STACK = True


@asynccontextmanager
async def load(lives: Lives) -> AsyncIterator[None]:
    """Lives are sent all the time inside, whole ones before the body begins and after it ends."""
    stop = asyncio.Event()
    sending = asyncio.create_task(lives.send_until(stop))
    try:
        await lives.rated_more_than(10)
        yield
        await lives.rated_more_than(await lives.rated() + 10)
    finally:
        stop.set()
        await sending
    await wait_until(lives.settled, seconds=240, every=0.2, what="the end of all lives")


async def killed_and_back(stack: LocalStack, name: str) -> None:
    """SIGKILL a backend and wait until its supervisor has it up again."""
    before = stack.supervisor.starts(name)
    stack.supervisor.kill(name, signal.SIGKILL)

    async def started_again() -> bool:
        return stack.supervisor.starts(name) > before

    await wait_until(started_again, seconds=240, what=f"a new process of {name}")
    await asyncio.to_thread(stack.supervisor.wait_ready, name)


async def test_a_broker_killed_under_load_costs_no_message(
    cases: CasesProcesses, lives: Lives, stack: LocalStack
) -> None:
    await cases.start()
    async with load(lives):
        await killed_and_back(stack, "kafka")
    assert await lives.violations() == []
    assert cases.supervisor.starts("cases-1") == 1


async def test_a_database_killed_under_load_costs_no_message(
    cases: CasesProcesses, lives: Lives, stack: LocalStack
) -> None:
    await cases.start()
    async with load(lives):
        await killed_and_back(stack, "postgres")
    assert await lives.violations() == []
    assert cases.supervisor.starts("cases-1") == 1


async def test_while_the_broker_is_away_a_process_is_alive_but_not_ready(
    cases: CasesProcesses, lives: Lives, stack: LocalStack
) -> None:
    await cases.start()
    assert stack.broker.process is not None
    await asyncio.to_thread(stack.supervisor.stop_one, "kafka")

    async def not_ready_for_the_broker() -> bool:
        # What writes to the broker may say so first; the broker's own watch follows within its interval.
        status, said = await cases.get("/readyz")
        return status == 503 and "broker" in json.loads(said)["reasons"]

    async def ready() -> bool:
        return (await cases.get("/readyz"))[0] == 200

    try:
        await wait_until(not_ready_for_the_broker, what="/readyz saying that the broker is away")
        assert (await cases.get("/livez"))[0] == 200
    finally:
        await asyncio.to_thread(stack.supervisor.start, stack.broker.process)
    await wait_until(ready, what="/readyz after the broker came back")
    await lives.send(2)
    await lives.rated_more_than(1)
    assert cases.supervisor.starts("cases-1") == 1


async def test_a_broker_lost_between_write_and_commit_of_offsets_is_waited_for_alive_and_then_commits(
    cases: CasesProcesses, stack: LocalStack, processes: Processes, issuer: Issuer
) -> None:
    moment = 0.0
    written, turned = asyncio.Event(), asyncio.Event()

    class TellsTurns(Health):
        def turn(self, loop: str) -> None:
            super().turn(loop)
            turned.set()

    health = TellsTurns(lambda: moment)

    class LosesTheBroker(Runner):
        async def run(self, records: Sequence[Record]) -> set[str]:
            found = await super().run(records)
            if not written.is_set():
                await asyncio.to_thread(stack.supervisor.stop_one, "kafka")
                written.set()
            return found

    env = {name.lower(): value for name, value in processes.env("cases", "in-process").items()}
    settings = ServiceSettings(**{k: v for k, v in env.items() if k in ServiceSettings.model_fields})  # type: ignore[arg-type]
    broker = make_broker(settings)
    as_cases = await started_producer(stack, "cases")
    async with open_kit(stack, issuer) as kit:
        runner = kit.runner()
        runner.__class__ = LosesTheBroker
        reading = Subscription(
            broker, runner, group="cases.lost", settings=settings, health=health, topics=("cases.replay",)
        )
        await broker.start()
        reading.watch()
        watching = asyncio.create_task(watch_broker(reading.client, health, every_seconds=0.2))
        try:
            await as_cases.send_and_wait("cases.replay", value=b"rubbish", key=b"key")
            await asyncio.wait_for(written.wait(), 240)
            for _ in range(6):  # three minutes: half of what makes a stall lies between two turns
                turned.clear()
                moment += STALL_SECONDS / 2
                await asyncio.wait_for(turned.wait(), STALL_SECONDS)
                assert health.stalled() == {}
            assert "broker" in health.unready()
        finally:
            assert stack.broker.process is not None
            await asyncio.to_thread(stack.supervisor.start, stack.broker.process)

        async def committed() -> bool:
            return await committed_lag(stack, "cases.lost", "cases.replay") == 0

        await wait_until(committed, seconds=240, every=0.3, what="the offsets of what was written")
        assert len(await kit.letters()) == 1
        watching.cancel()
        await broker.stop()
    await as_cases.stop()
