"""Several processes of one service: a paused relay and its successor, and scaling up and down under load."""

from __future__ import annotations

import asyncio
import signal
from collections import defaultdict

from deploy.local.stack import LocalStack
from shared.messaging.relay import LOCK_KEY
from shared.testing.topics import read_all
from shared.testing.wait import wait_until
from tests.chaos.conftest import CasesProcesses
from tests.chaos.lives import Lives
from tests.chaos.test_outages import load
from tests.conftest import kafka_settings
from tests.database import rows

ROWS = 12_000
KEYS = 8


async def test_a_relay_paused_in_mid_send_and_its_successor_keep_the_order_of_each_key(
    cases: CasesProcesses, stack: LocalStack, free_topic: str
) -> None:
    async def left() -> int:
        return int((await rows(stack, "cases", "SELECT count(*) AS n FROM outbox"))[0]["n"])

    async def fewer(than: int) -> bool:
        return await left() < than

    async def active(name: str) -> bool:
        return await cases.gauge("dbt_relay_active", name) == 1

    async def cut_off() -> bool:
        # A paused process keeps its connections: only the database can take the lock from it.
        ended = await asyncio.to_thread(
            stack.postgres.sql,
            f"SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' AND objid = {LOCK_KEY}",
        )
        return ended == "1"

    await cases.start("cases-1", RELAY_BATCH_MAX="400")
    await wait_until(lambda: active("cases-1"), what="the first relay")
    await cases.start("cases-2", RELAY_BATCH_MAX="400")
    last = 0
    while (
        last == 0 or await left() < ROWS / 4
    ):  # again where the relay was too quick to be paused in the middle
        cases.supervisor.kill("cases-1", signal.SIGCONT)
        await rows(
            stack,
            "cases",
            "INSERT INTO outbox (topic, key, payload) "
            "SELECT $1, 'key-' || n % $2, n::text::bytea FROM generate_series($3::int + 1, $4::int) AS n",
            free_topic,
            KEYS,
            last,
            last + ROWS,
        )
        last += ROWS
        await wait_until(lambda: fewer(ROWS), what="the first rows on their way")
        cases.supervisor.kill("cases-1", signal.SIGSTOP)
    try:
        paused_at = await left()
        await wait_until(cut_off, what="the end of the paused relay's session")
        await wait_until(lambda: fewer(paused_at), what="rows sent by the successor")
    finally:
        cases.supervisor.kill("cases-1", signal.SIGCONT)

    async def all_sent() -> bool:
        return await left() == 0

    await wait_until(all_sent, seconds=240, every=0.1, what="an empty outbox")
    seen: dict[bytes, list[int]] = defaultdict(list)
    for record in (await read_all(kafka_settings(stack, "admin"), free_topic))[free_topic]:
        seen[record.key].append(int(record.value))
    firsts = {key: list(dict.fromkeys(numbers)) for key, numbers in seen.items()}
    assert firsts == {b"key-%d" % k: [n for n in range(1, last + 1) if n % KEYS == k] for k in range(KEYS)}


async def test_scaling_from_one_to_three_and_back_under_load_loses_nothing_and_keeps_one_relay(
    cases: CasesProcesses, lives: Lives
) -> None:
    async def one_relay(*names: str) -> None:
        async def one() -> bool:
            return sum([await cases.gauge("dbt_relay_active", name) for name in names]) == 1

        await wait_until(one, what=f"one active relay of {', '.join(names)}")

    await cases.start("cases-1")
    async with load(lives):
        await asyncio.gather(cases.start("cases-2"), cases.start("cases-3"))
        await one_relay("cases-1", "cases-2", "cases-3")
        await lives.rated_more_than(await lives.rated() + 20)
        # The first goes, and with it the active relay; then the second.
        await cases.stop("cases-1")
        await one_relay("cases-2", "cases-3")
        await cases.stop("cases-2")
        await one_relay("cases-3")
    assert await lives.violations() == []
