"""The relay on real PostgreSQL and Kafka: what it holds back, what it lets go, and in which order."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio

from deploy.kafka.provision import Catalogue, Topic
from deploy.local.stack import LocalStack
from shared.messaging import relay as relays
from shared.messaging.relay import Relay
from shared.telemetry.health import Health
from shared.testing.issuer import Issuer
from shared.testing.topics import read_all
from shared.testing.wait import wait_until
from tests.conftest import kafka_settings
from tests.kit import Kit, open_kit

SHARES_STACK = True

Relaying = Callable[..., AbstractAsyncContextManager[Health]]


@pytest_asyncio.fixture(scope="module")
async def database(stack: LocalStack, issuer: Issuer) -> AsyncIterator[Kit]:
    async with open_kit(stack, issuer) as found:
        yield found


@pytest_asyncio.fixture
async def kit(database: Kit) -> Kit:
    """The kit with empty tables."""
    await database.rows("TRUNCATE inbox, outbox, dead_letters, tallies")
    return database


@pytest.fixture
def relaying(kit: Kit, stack: LocalStack) -> Relaying:
    """Runs a relay of the kit's database with the rights of cases."""

    @asynccontextmanager
    async def run(**options: Any) -> AsyncIterator[Health]:
        health = Health()
        health.not_ready("relay", "starting")
        options = {"batch_max": 100, "poll_seconds": 0.2, **options}
        relay = Relay(dsn=kit.dsn, settings=kafka_settings(stack, "cases"), health=health, **options)
        task = asyncio.create_task(relay.run())
        try:
            yield health
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    return run


async def put(kit: Kit, *rows: tuple[str, str, bytes]) -> None:
    """Put rows (topic, key, payload) into the outbox, in order, and wake the relay."""
    columns = [list(column) for column in zip(*rows, strict=True)]
    await kit.rows(
        "INSERT INTO outbox (topic, key, payload) SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[])",
        *columns,
    )
    await kit.rows("NOTIFY outbox")


async def until_left(kit: Kit, count: int, *, parked: int = 0) -> list[dict[str, Any]]:
    """Wait until that many rows are left, that many of them parked, and return these."""

    async def left() -> bool:
        found = await kit.rows("SELECT count(*) AS n, count(parked_since) AS parked FROM outbox")
        return (found[0]["n"], found[0]["parked"]) == (count, parked)

    await wait_until(left, what=f"an outbox of {count} rows, {parked} parked")
    return await kit.rows(
        "SELECT key, payload, parked_reason FROM outbox WHERE parked_since IS NOT NULL ORDER BY id"
    )


async def published(stack: LocalStack, topic: str, keys: Iterable[str]) -> dict[str, list[int]]:
    """The numbers on a topic by key, in the order of the log."""
    wanted = set(keys)
    found: dict[str, list[int]] = defaultdict(list)
    for record in (await read_all(kafka_settings(stack, "admin"), topic))[topic]:
        if record.key.decode() in wanted:
            found[record.key.decode()].append(int(record.value))
    return found


def keys(count: int) -> list[str]:
    return [str(uuid4()) for _ in range(count)]


async def test_a_missing_topic_holds_up_its_own_rows_until_it_appears_and_nothing_else(
    kit: Kit, relaying: Relaying, stack: LocalStack, free_topic: str
) -> None:
    missing = f"department.late-{uuid4().hex[:8]}.routed"
    late, other, free = keys(3)
    async with relaying():
        await put(kit, (missing, late, b"1"), (free_topic, free, b"1"), (missing, late, b"2"))
        await put(kit, (missing, other, b"1"), (free_topic, late, b"1"), (free_topic, free, b"2"))
        held = await until_left(kit, 3, parked=2)
        assert [(row["key"], row["parked_reason"]) for row in held] == [
            (late, "the topic does not exist"),
            (other, "the topic does not exist"),
        ]
        assert await published(stack, free_topic, [late, free]) == {late: [1], free: [1, 2]}
        await asyncio.to_thread(stack.provisioner().provision_department, missing.split(".")[1])
        await until_left(kit, 0)
    assert await published(stack, missing, [late, other]) == {late: [1, 2], other: [1]}


async def test_a_row_too_large_for_its_topic_is_parked_with_the_reason_and_holds_up_its_own_key(
    kit: Kit, relaying: Relaying, stack: LocalStack, free_topic: str
) -> None:
    large, other = keys(2)
    async with relaying():
        await put(
            kit,
            (free_topic, other, b"1"),
            (free_topic, large, b"1"),
            (free_topic, large, b"9" * 2_000_000),
            (free_topic, other, b"2"),
            (free_topic, large, b"3"),
            (free_topic, other, b"3"),
        )
        held = await until_left(kit, 2, parked=1)
        assert [(row["key"], row["parked_reason"]) for row in held] == [(large, "MessageSizeTooLargeError")]
        await put(kit, (free_topic, other, b"4"))
        await until_left(kit, 2, parked=1)
    assert await published(stack, free_topic, [large, other]) == {large: [1], other: [1, 2, 3, 4]}


async def test_a_topic_that_may_not_be_written_holds_up_its_own_key_and_nothing_else(
    kit: Kit, relaying: Relaying, stack: LocalStack, free_topic: str
) -> None:
    forbidden, free = keys(2)
    async with relaying():
        await put(
            kit, ("department.changed", forbidden, b"1"), (free_topic, free, b"1"), (free_topic, free, b"2")
        )

        async def only_the_forbidden() -> bool:
            left = await kit.rows("SELECT key, parked_reason FROM outbox")
            return left == [{"key": forbidden, "parked_reason": "TopicAuthorizationFailedError"}]

        await wait_until(only_the_forbidden, what="the forbidden row parked, the others gone")
    assert await published(stack, free_topic, [free]) == {free: [1, 2]}
    assert await published(stack, "department.changed", [forbidden]) == {}


async def test_two_relays_at_once_may_repeat_but_keep_the_order_of_each_key(
    kit: Kit, relaying: Relaying, stack: LocalStack, free_topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    several = keys(5)

    async def locks() -> int:
        found = await kit.rows(
            "SELECT count(DISTINCT objid)::int AS n FROM pg_locks WHERE locktype = 'advisory' AND "
            "database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        return int(found[0]["n"])

    async def both_locks() -> bool:
        return await locks() == 2

    async def one_lock() -> bool:
        return await locks() == 1

    async with relaying(batch_max=37) as first:
        await wait_until(one_lock, what="the first relay")
        monkeypatch.setattr(relays, "LOCK_KEY", relays.LOCK_KEY + 1)  # the lock that would keep it waiting
        async with relaying(batch_max=23) as second:
            await wait_until(both_locks, what="two relays")

            async def both_active() -> bool:  # else one may send all before the other begins
                return first.unready() == second.unready() == {}

            await wait_until(both_active, what="two active relays")
            await put(kit, *[(free_topic, several[n % 5], b"%d" % n) for n in range(1000)])
            await until_left(kit, 0)
    found = await published(stack, free_topic, several)
    assert sum(map(len, found.values())) > 1000, "the relays never met: nothing was shown"
    for index, key in enumerate(several):
        assert list(dict.fromkeys(found[key])) == [n for n in range(1000) if n % 5 == index]


async def test_the_second_relay_waits_for_the_first_and_takes_over_when_it_stops(
    kit: Kit, relaying: Relaying, stack: LocalStack, free_topic: str
) -> None:
    (key,) = keys(1)
    async with relaying():
        await put(kit, (free_topic, key, b"1"))
        await until_left(kit, 0)
        async with relaying() as second:
            await put(kit, (free_topic, key, b"2"))
            await until_left(kit, 0)

            async def ready() -> bool:
                return second.unready() == {}

            await wait_until(ready, what="readiness of the one that waits for the lock, which is no fault")
    async with relaying():
        await put(kit, (free_topic, key, b"3"))
        await until_left(kit, 0)
    assert await published(stack, free_topic, [key]) == {key: [1, 2, 3]}


async def test_a_relay_that_stands_still_loses_the_lock_to_another(
    kit: Kit, relaying: Relaying, stack: LocalStack, free_topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (key,) = keys(1)
    standing = asyncio.Event()

    async def stands_still(*_: Any) -> None:
        standing.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(relays, "SESSION_IDLE_SECONDS", 2)
    async with relaying():
        with monkeypatch.context() as frozen:
            frozen.setattr(Relay, "_publish", stands_still)
            await put(kit, (free_topic, key, b"1"))
            await asyncio.wait_for(standing.wait(), 30)
        async with relaying():
            await until_left(kit, 0)
    assert await published(stack, free_topic, [key]) == {key: [1]}


async def test_a_row_that_becomes_visible_after_later_ones_is_not_passed_over(
    kit: Kit, relaying: Relaying, stack: LocalStack, free_topic: str
) -> None:
    early, late = keys(2)
    insert = "INSERT INTO outbox (topic, key, payload) VALUES ($1, $2, $3)"
    async with relaying():
        async with kit.engine.begin() as connection:
            await connection.exec_driver_sql(insert, (free_topic, early, b"1"))
            await put(kit, (free_topic, late, b"2"))
            await until_left(kit, 0)
        await until_left(kit, 0)
    assert await published(stack, free_topic, [early, late]) == {early: [1], late: [2]}


async def test_a_notification_wakes_the_relay_long_before_its_next_poll(
    kit: Kit, relaying: Relaying, stack: LocalStack, free_topic: str
) -> None:
    first, second = keys(2)
    async with relaying(poll_seconds=300):
        await put(kit, (free_topic, first, b"1"))
        await until_left(kit, 0)
        await put(kit, (free_topic, second, b"1"))
        await until_left(kit, 0)
    assert await published(stack, free_topic, [first, second]) == {first: [1], second: [1]}


async def test_rows_that_are_too_large_together_go_alone_and_more_than_a_batch_holds_goes_in_several(
    kit: Kit, relaying: Relaying, stack: LocalStack
) -> None:
    narrow = Topic("tests.narrow", 1, ("cases",), ("operator",), max_message_bytes=1_500)
    wide = Topic("tests.wide", 1, ("cases",), ("operator",))
    known = Catalogue.load()
    stack.provisioner().apply(Catalogue(known.principals, (*known.topics, narrow, wide)))
    several, many, large = keys(3), keys(100), str(uuid4())
    digits = b"%0500d"  # three of these pass 1,500 bytes together
    async with relaying():
        await put(
            kit,
            *((narrow.name, key, digits % number) for number in (1, 2) for key in several),
            (narrow.name, large, b"9" * 2_000),
            *((wide.name, key, b"%04000d" % number) for number in (1, 2) for key in many),
        )
        held = await until_left(kit, 1, parked=1)
    assert [(row["key"], row["parked_reason"]) for row in held] == [(large, "MessageSizeTooLargeError")]
    assert await published(stack, narrow.name, several) == {key: [1, 2] for key in several}
    assert await published(stack, wide.name, many) == {key: [1, 2] for key in many}
