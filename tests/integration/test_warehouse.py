"""The warehouse against real Kafka: killed at any point, no row is lost or doubled, and SQL finds them."""

from __future__ import annotations

import asyncio
import csv
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from rich.console import Console

from cli.score import again
from deploy.local.runfolder import CHECKOUT
from deploy.local.stack import LocalStack
from services.evaluation.replay import Replay
from services.evaluation.rubric_file import read_rubric
from shared.contracts import cases, identity
from shared.contracts.envelope import Envelope
from shared.testing.messages import encoded, message
from tests.conftest import started_producer
from tests.s3_server import s3_server
from tests.warehouse_house import House
from warehouse import compacting, facts, manifests, reading

RUBRIC = CHECKOUT / "services" / "evaluation" / "rubrics" / "ningbo.yaml"
SHIPPED = read_rubric(RUBRIC.read_text("utf-8"))[1]


def filed(day: str = "2022-03-04", **more: Any) -> Envelope:
    case_id = uuid4()
    data = cases.CaseFiled(case_id=case_id, deputy_id=uuid4(), state="triage", county="330203", **more)
    return message(data, subject=case_id, sequence=1, time=datetime.fromisoformat(f"{day}T10:00:00+08:00"))


async def publish(producer: AIOKafkaProducer, *values: Envelope | bytes) -> None:
    for value in values:
        raw = value if isinstance(value, bytes) else encoded(value)
        await producer.send_and_wait("case.filed", value=raw, key=b"k")


async def unnamed(house: House) -> set[str]:
    """Files of events that no manifest names."""
    files = {file.name async for manifest in manifests.every(house.storage) for file in manifest.files}
    return {found.name async for found in house.storage.under("events")} - files


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
def house(stack: LocalStack, tmp_path: Path) -> House:
    return House(stack, (tmp_path / "warehouse").as_uri())


async def test_what_dies_between_files_and_manifest_neither_loses_nor_doubles_a_row(
    house: House, producer: AIOKafkaProducer
) -> None:
    sent = [filed() for _ in range(20)]
    await publish(producer, *sent)
    await house.killed_round("files-written")
    assert await manifests.numbers(house.storage) == []
    left = {found.name async for found in house.storage.under("events")}
    assert left
    assert (await house.round())["lag"] == 0
    more = [filed() for _ in range(5)]
    await publish(producer, *more)
    await house.killed_round("manifest-written")
    assert await manifests.numbers(house.storage) == [1, 2]
    assert (await house.round())["rows"] == 0
    ids = await house.ids()
    assert {event.id for event in sent + more} <= set(ids)
    assert len(ids) == len(set(ids))
    assert await unnamed(house) == left


async def test_what_killed_rounds_left_goes_when_it_is_a_day_old_and_no_row_with_it(
    house: House, producer: AIOKafkaProducer
) -> None:
    sent = [filed() for _ in range(3)]
    await publish(producer, sent[0])
    await house.killed_round("files-written")
    old = await unnamed(house)
    await house.round()
    await house.grow_old("events")
    await publish(producer, sent[1])
    await house.killed_round("files-written")
    fresh = await unnamed(house) - old
    await house.round()
    assert old
    assert fresh
    await house.compaction()
    assert await unnamed(house) == fresh
    await house.grow_old("events")
    await publish(producer, sent[2])
    await house.round()
    await house.compaction()
    assert await unnamed(house) == set()
    ids = await house.ids()
    assert {event.id for event in sent} <= set(ids)
    assert len(ids) == len(set(ids))


async def test_of_two_writers_at_once_each_row_is_written_by_one(
    house: House, producer: AIOKafkaProducer
) -> None:
    sent = [filed() for _ in range(30)]
    await publish(producer, *sent)
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


async def test_late_doubled_unknown_and_unreadable_records_are_kept_where_they_belong(
    house: House, producer: AIOKafkaProducer
) -> None:
    late, doubled = filed("2021-12-31"), filed()
    await publish(producer, doubled)
    await house.round()
    unknown = filed().model_copy(update={"type": "case.dreamt"})
    await publish(producer, late, doubled, unknown, b"\xff rubbish", b"")
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


async def test_a_round_takes_many_manifests_when_it_must_be_small(
    house: House, producer: AIOKafkaProducer
) -> None:
    sent = [filed() for _ in range(25)]
    await publish(producer, *sent)
    told = await house.round(WAREHOUSE_ROWS_MAX="10")
    assert told["lag"] == 0
    assert len(await manifests.numbers(house.storage)) >= 3
    assert {event.id for event in sent} <= set(await house.ids())


async def test_a_year_is_scored_again_from_the_warehouse_alone(
    house: House, producer: AIOKafkaProducer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    deputy = uuid4()
    of_one = [
        filed().model_copy(
            update={"data": {**filed().data, "case_id": str(uuid4()), "deputy_id": str(deputy)}}
        )
        for _ in range(3)
    ]
    await publish(producer, *of_one, of_one[0])
    monkeypatch.setenv("WAREHOUSE_URL", house.url)
    out, console = tmp_path / "standings.csv", Console(quiet=True)
    rubric = RUBRIC
    await house.round()
    assert await asyncio.to_thread(again, console, rubric, 2022, out, "1GB") == 1, "nobody is known yet"
    state = identity.DeputyChanged(
        deputy_id=deputy, number="N1", name="某代表", level="city", occupation="farmer", constituency="一", code="C1",
        term_from=date(2022, 1, 1), term_until=date(2026, 12, 31), state="active",
    )  # fmt: skip
    writer = await started_producer(house.stack, "identity")
    value = encoded(message(state, subject=deputy, sequence=1, time=datetime.now(UTC)))
    await writer.send_and_wait("deputy.changed", value=value, key=str(deputy).encode())
    await writer.stop()
    await house.round()
    assert await asyncio.to_thread(again, console, rubric, 2022, out, "1GB") == 0
    assert list(csv.DictReader(out.open(encoding="utf-8"))) == [
        {"deputy": str(deputy), "number": "N1", "level": "city", "county": "", "town": "", "occupation": "farmer", "total": "300", "grade": "low", "rank": "1"}
    ]  # fmt: skip
    assert await asyncio.to_thread(again, console, tmp_path / "none.yaml", 2022, out, "1GB") == 2
    from_events = out.read_bytes()
    await house.killed_compaction()
    assert await facts.numbers(house.storage) == []
    await house.compaction()
    assert await facts.numbers(house.storage) == [1]
    assert await asyncio.to_thread(again, console, rubric, 2022, out, "1GB") == 0
    assert out.read_bytes() == from_events
    await publish(producer, of_one[1], filed().model_copy(
        update={"data": {**filed().data, "case_id": str(uuid4()), "deputy_id": str(deputy)}}
    ))  # fmt: skip
    await house.round()
    assert await asyncio.to_thread(again, console, rubric, 2022, out, "1GB") == 0
    assert next(csv.DictReader(out.open(encoding="utf-8")))["total"] == "400", "an event since the compaction"


async def test_on_s3_it_is_the_same(house: House, producer: AIOKafkaProducer, s3_port: int) -> None:
    there = House.on_s3(house.stack, s3_port, str(uuid4()))
    event = filed()
    await publish(producer, event)
    await there.killed_round("files-written")
    await there.round()
    assert (await there.ids()).count(event.id) == 1
    await there.compaction()
    left = await unnamed(there)
    assert left, "it is new"
    await publish(producer, filed())
    await there.round()
    with patch.object(compacting, "_LEFT_FOR", timedelta(0)):
        held = await compacting.compact(there.url, there.settings)
    assert await unnamed(there) == set()
    assert (await there.ids()).count(event.id) == 1
    assert held is not None
    source = facts.compacted(there.url, held, await reading.contents(there.storage))
    with Replay(replace(source, events={})) as replay:
        reading.lead_to(replay.database, there.url, there.settings)
        sums = replay.sums(SHIPPED, date(2022, 1, 1), date(2022, 12, 31))
    assert UUID(event.data["deputy_id"]) in sums


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
    assert marker not in str(await house.everything())
