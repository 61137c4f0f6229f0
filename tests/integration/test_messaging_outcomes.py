"""Waiting for outcomes as gateways do: two of them, on real Kafka, with a service that answers by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError

from deploy.local.stack import LocalStack
from shared.contracts import cases
from shared.contracts.envelope import Envelope
from shared.contracts.operations import CommandOutcome
from shared.messaging import outcomes
from shared.messaging.kafka import open_reader
from shared.messaging.outcomes import CommandPost, TooManyWaiting, follow
from shared.messaging.received import fingerprint_of
from shared.telemetry.health import Health
from shared.testing.messages import encoded, message
from shared.testing.topics import read_all
from shared.testing.wait import wait_until
from tests.conftest import kafka_settings, started_producer

SHARES_STACK = True

TOPIC = "notify.commands"  # nobody reads it while these tests run


@pytest_asyncio.fixture
async def posts(stack: LocalStack, as_gateway: AIOKafkaProducer) -> AsyncIterator[list[CommandPost]]:
    """Two gateways' posts, both positioned."""
    settings = kafka_settings(stack, "gateway")
    found, healths, following = [], [Health(), Health()], []
    for health in healths:
        post = CommandPost(settings, health, waiting_max=3)
        await post.start()
        health.not_ready("outcomes", "starting")
        reading = follow(
            settings,
            health,
            ("command.outcomes",),
            lambda record, post=post: post.settle(record.key, record.value),  # type: ignore[misc]
            from_end=True,
            name="outcomes",
        )
        following.append(asyncio.create_task(reading))
        found.append(post)

    async def positioned() -> bool:
        return all(health.unready() == {} for health in healths)

    await wait_until(positioned, what="two readers of outcomes")
    yield found
    for task in following:
        task.cancel()
    await asyncio.gather(*following, return_exceptions=True)
    for post in found:
        await post.stop()


@pytest_asyncio.fixture
async def as_service(stack: LocalStack) -> AsyncIterator[AIOKafkaProducer]:
    producer = await started_producer(stack, "cases")
    yield producer
    await producer.stop()


def command() -> Envelope:
    return message(cases.RateCase(stars=3), subject=uuid4(), token="t")


async def answer(producer: AIOKafkaProducer, envelope: Envelope, **changes: str) -> None:
    fields = {"state": "accepted", "actor": "wang", "fingerprint": fingerprint_of(envelope).hex()} | changes
    outcome = CommandOutcome(command_id=envelope.id, subject=envelope.subject, **fields)  # type: ignore[arg-type]
    told = message(outcome, subject=envelope.id)
    await producer.send_and_wait("command.outcomes", value=encoded(told), key=told.subject.encode())


async def test_every_gateway_that_waits_for_a_command_gets_its_outcome(
    posts: list[CommandPost], as_service: AIOKafkaProducer
) -> None:
    sent = command()
    waiting = [asyncio.create_task(post.send(TOPIC, sent, wait_seconds=30)) for post in (*posts, posts[0])]
    await wait_until(lambda: _waits(posts, 3), what="three who wait")
    await answer(as_service, sent)
    assert [outcome and outcome.state for outcome in await asyncio.gather(*waiting)] == ["accepted"] * 3
    assert await _waits(posts, 0)


async def test_an_outcome_of_another_body_under_the_same_id_is_nobodys(
    posts: list[CommandPost], as_service: AIOKafkaProducer
) -> None:
    mine = command()
    theirs = mine.model_copy(update={"data": {"stars": 1}})
    waiting = asyncio.create_task(posts[0].send(TOPIC, mine, wait_seconds=30))
    await wait_until(lambda: _waits(posts, 1), what="one who waits")
    await answer(as_service, theirs, state="rejected")
    await answer(as_service, mine)
    outcome = await waiting
    assert outcome is not None
    assert outcome.state == "accepted"


async def test_who_waits_in_vain_gets_nothing_and_leaves_nothing_behind(
    posts: list[CommandPost], as_service: AIOKafkaProducer
) -> None:
    sent = command()
    assert await posts[0].send(TOPIC, sent, wait_seconds=0.1) is None
    assert await _waits(posts, 0)
    await answer(as_service, sent)  # too late, and no harm
    await as_service.send_and_wait("command.outcomes", value=b"\xff no outcome", key=b"key")
    again = asyncio.create_task(posts[0].send(TOPIC, sent, wait_seconds=30))

    async def waits_or_has_it() -> bool:
        return again.done() or await _waits(posts, 1)  # the first answer may only be read now

    await wait_until(waits_or_has_it, what="one who waits")
    await answer(as_service, sent)
    assert await again is not None
    assert await _waits(posts, 0)


async def test_a_gateway_holds_no_more_waiting_requests_than_it_may(posts: list[CommandPost]) -> None:
    waiting = [asyncio.create_task(posts[0].send(TOPIC, command(), wait_seconds=60)) for _ in range(3)]
    await wait_until(lambda: _waits(posts, 3), what="three who wait")
    with pytest.raises(TooManyWaiting):
        await posts[0].send(TOPIC, command(), wait_seconds=60)
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert await posts[0].send(TOPIC, command(), wait_seconds=0.05) is None, "room was made again"


async def test_who_reads_from_the_beginning_has_caught_up_only_with_all_that_was_there(
    stack: LocalStack, as_service: AIOKafkaProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that no clock counts as right before its ticks are read, however slow the broker's first answer is."""
    settings = kafka_settings(stack, "gateway")

    async def open_slow(*arguments: Any, **options: Any) -> Any:
        consumer = await open_reader(*arguments, **options)
        fetch, empty = consumer.getmany, [True] * 2

        async def getmany(**how: Any) -> Any:
            return {} if empty and empty.pop() else await fetch(**how)

        consumer.getmany = getmany
        return consumer

    await answer(as_service, command())
    there = len((await read_all(settings, "command.outcomes"))["command.outcomes"])
    monkeypatch.setattr(outcomes, "open_reader", open_slow)
    read = list[Any]()
    caught_up: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def note() -> None:
        if not caught_up.done():
            caught_up.set_result(len(read))

    reading = asyncio.create_task(
        follow(
            settings,
            Health(),
            ("command.outcomes",),
            read.append,
            from_end=False,
            name="slow",
            caught_up=note,
        )
    )
    assert await asyncio.wait_for(caught_up, 60) == there > 0
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)


async def test_who_reads_from_the_end_and_loses_the_broker_reads_on_where_it_was(
    stack: LocalStack, as_service: AIOKafkaProducer, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[bytes] = []
    opened: list[Any] = []
    meanwhile = command()

    async def open_again(*arguments: Any, **options: Any) -> Any:
        if opened:
            await answer(as_service, meanwhile)
        consumer = await open_reader(*arguments, **options)
        fetch = consumer.getmany

        async def getmany(**how: Any) -> Any:
            if read and len(opened) == 1:
                raise KafkaConnectionError("lost")
            return await fetch(**how)

        consumer.getmany = getmany
        opened.append(consumer)
        return consumer

    monkeypatch.setattr(outcomes, "open_reader", open_again)
    health = Health()
    health.not_ready("again", "starting")
    settings = kafka_settings(stack, "gateway")
    reading = asyncio.create_task(
        follow(
            settings,
            health,
            ("command.outcomes",),
            lambda record: read.append(record.key),
            from_end=True,
            reads_on=True,
            name="again",
        )
    )

    async def ready() -> bool:
        return health.unready() == {}

    async def both() -> bool:
        return str(meanwhile.id).encode() in read

    await wait_until(ready, what="the reader")
    first = command()
    await answer(as_service, first)
    await wait_until(both, what="what was said while the broker was lost")
    own = [key for key in read if key in {str(one.id).encode() for one in (first, meanwhile)}]
    assert own == [str(first.id).encode(), str(meanwhile.id).encode()], "each once"
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)


async def _waits(posts: list[CommandPost], count: int) -> bool:
    return sum(post._count for post in posts) == count
