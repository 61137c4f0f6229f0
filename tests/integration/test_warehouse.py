"""The warehouse against real Kafka: killed at any point, no row is lost or doubled, and SQL finds them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer

from deploy.local.runfolder import CHECKOUT
from deploy.local.stack import LocalStack
from shared.contracts import cases, identity
from shared.contracts.envelope import Envelope
from shared.storage import Storage, open_storage
from shared.testing.messages import encoded, message
from tests.conftest import started_producer
from tests.s3_server import BUCKET, s3_environment, s3_server, s3_settings
from warehouse import manifests, reading
from warehouse.writing import topics

SIGKILLED = -9


def filed(day: str = "2022-03-04", **more: Any) -> Envelope:
    case_id = uuid4()
    data = cases.CaseFiled(case_id=case_id, deputy_id=uuid4(), state="triage", county="330203", **more)
    return message(data, subject=case_id, sequence=1, time=datetime.fromisoformat(f"{day}T10:00:00+08:00"))


@dataclass
class House:
    """A warehouse of its own over the module's log."""

    stack: LocalStack
    producer: AIOKafkaProducer
    url: str
    storage: Storage
    env: dict[str, str] = field(default_factory=dict)

    async def publish(self, *values: Envelope | bytes, topic: str = "case.filed") -> None:
        for value in values:
            raw = value if isinstance(value, bytes) else encoded(value)
            await self.producer.send_and_wait(topic, value=raw, key=b"k")

    def _run(self, more: dict[str, str]) -> subprocess.CompletedProcess[str]:
        env = {
            **os.environ,
            **self.stack.env_for("warehouse"),
            "ENVIRONMENT": "test",
            "HTTP_PORT": "0",
            "WAREHOUSE_URL": self.url,
            **self.env,
            **more,
        }
        command = [sys.executable, "-m", "warehouse", "once"]
        return subprocess.run(command, cwd=CHECKOUT, env=env, capture_output=True, text=True, check=False)

    async def round(self, **more: str) -> dict[str, int]:
        done = await asyncio.to_thread(self._run, more)
        assert done.returncode == 0, done.stdout + done.stderr
        return dict(json.loads(done.stdout.splitlines()[-1]))

    async def killed_round(self, point: str) -> None:
        done = await asyncio.to_thread(self._run, {"FAILPOINT": point})
        assert done.returncode == SIGKILLED, done.stdout + done.stderr
        assert f"failpoint reached: {point}" in done.stderr

    async def ask(self, sql: str) -> list[tuple[Any, ...]]:
        settings = s3_settings(int(self.env["S3_ENDPOINT"].rpartition(":")[2])) if self.env else None
        return [tuple(row) for row in (await reading.query(self.url, sql, settings)).rows]

    async def ids(self, table: str = "case_filed") -> list[UUID]:
        return [row[0] for row in await self.ask(f"SELECT id FROM {table}")]


@pytest_asyncio.fixture(scope="module")
async def producer(stack: LocalStack) -> AsyncIterator[AIOKafkaProducer]:
    found = await started_producer(stack, "cases")
    yield found
    await found.stop()


@pytest_asyncio.fixture(scope="module")
async def s3_port() -> AsyncIterator[int]:
    async with s3_server() as port:
        yield port


@pytest.fixture
def house(stack: LocalStack, producer: AIOKafkaProducer, tmp_path: Any) -> House:
    url = (tmp_path / "warehouse").as_uri()
    return House(stack, producer, url, open_storage(url))


async def test_what_dies_between_files_and_manifest_neither_loses_nor_doubles_a_row(house: House) -> None:
    sent = [filed() for _ in range(20)]
    await house.publish(*sent)
    await house.killed_round("files-written")
    assert await manifests.numbers(house.storage) == []
    left = {found.name async for found in house.storage.under("events")}
    assert left
    assert (await house.round())["lag"] == 0
    more = [filed() for _ in range(5)]
    await house.publish(*more)
    await house.killed_round("manifest-written")
    assert await manifests.numbers(house.storage) == [1, 2]
    assert (await house.round())["rows"] == 0
    ids = await house.ids()
    assert {event.id for event in sent + more} <= set(ids)
    assert len(ids) == len(set(ids))
    files = {file.name async for manifest in manifests.every(house.storage) for file in manifest.files}
    assert not left & files


async def test_of_two_writers_at_once_each_row_is_written_by_one(house: House) -> None:
    sent = [filed() for _ in range(30)]
    await house.publish(*sent)
    told = await asyncio.gather(*(house.round() for _ in range(3)))
    await house.round()
    expected = 0
    positions: dict[str, int] = {}
    async for manifest in manifests.every(house.storage):
        for one in manifest.ranges:
            place = manifests.place(one.topic_id, one.partition)
            assert one.first_offset >= positions.get(place, 0)
            positions[place] = one.last_offset + 1
            expected += one.rows
    rows = await house.ask("SELECT count(*), count(DISTINCT id) FROM case_filed")
    assert rows[0][0] == rows[0][1]
    assert {event.id for event in sent} <= set(await house.ids())
    assert sum(one["rows"] for one in told) <= expected


async def test_late_doubled_unknown_and_unreadable_records_are_kept_where_they_belong(house: House) -> None:
    late, doubled = filed("2021-12-31"), filed()
    await house.publish(doubled)
    await house.round()
    unknown = filed().model_copy(update={"type": "case.dreamt"})
    await house.publish(late, doubled, unknown, b"\xff rubbish", b"")
    await house.round()
    newest = (await manifests.numbers(house.storage))[-1]
    days = {(file.day, file.type) for file in (await manifests.read(house.storage, newest)).files}
    assert {("2021-12-31", "case.filed"), ("2022-03-04", "case.dreamt")} <= days
    assert (await house.ids()).count(doubled.id) == 1
    assert await house.ids("case_dreamt") == [unknown.id]
    kept = await house.ask("SELECT raw FROM unreadable WHERE topic = 'case.filed'")
    assert {row[0] for row in kept} >= {b"\xff rubbish", b""}
    found = await house.ask(
        f"SELECT d_deputy_id, d_state, sequence, time FROM case_filed WHERE id = '{late.id}'"
    )
    assert found == [(UUID(late.data["deputy_id"]), "triage", 1, datetime(2021, 12, 31, 2, tzinfo=UTC))]
    everything = await house.ask("SELECT count(*) FROM events WHERE type IN ('case.filed', 'case.dreamt')")
    assert everything[0][0] >= 3


async def test_a_round_takes_many_manifests_when_it_must_be_small(house: House) -> None:
    sent = [filed() for _ in range(25)]
    await house.publish(*sent)
    told = await house.round(WAREHOUSE_ROWS_MAX="10")
    assert told["lag"] == 0
    assert len(await manifests.numbers(house.storage)) >= 3
    assert {event.id for event in sent} <= set(await house.ids())


async def test_on_s3_it_is_the_same(house: House, s3_port: int) -> None:
    url = f"s3://{BUCKET}/{uuid4()}"
    there = House(
        house.stack, house.producer, url, open_storage(url, s3_settings(s3_port)), s3_environment(s3_port)
    )
    event = filed()
    await there.publish(event)
    await there.killed_round("files-written")
    await there.round()
    assert (await there.ids()).count(event.id) == 1


async def test_no_name_of_staff_is_in_any_file(house: House) -> None:
    marker = "张三丰-13912345678"
    staff = identity.StaffChanged(staff_id=uuid4(), name=marker, organisation="3302", state="active")
    as_identity = await started_producer(house.stack, "identity")
    await as_identity.send_and_wait(
        "staff.changed", value=encoded(message(staff, subject=staff.staff_id, sequence=1)), key=b"k"
    )
    await as_identity.stop()
    await house.round()
    assert (await house.ask("SELECT d_organisation FROM staff_changed"))[-1] == ("3302",)
    values = await house.ask("SELECT * FROM staff_changed")
    assert marker not in str(values)
    async for found in house.storage.under("events"):
        assert marker.encode() not in (await house.storage.get(found.name) or b"")


def test_departments_own_mail_outcomes_and_commands_are_no_events_of_the_warehouse() -> None:
    found = set(topics())
    assert {"case.filed", "deputy.changed", "score.changed", "duty.logged"} <= found
    assert not [t for t in found if t.endswith((".commands", ".routed", ".outcomes", ".dead", ".due"))]
