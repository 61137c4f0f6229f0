"""What a commit of the warehouse is: files first, a manifest last, every record a row, each event once in SQL."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from aiokafka import TopicPartition
from hypothesis import given
from hypothesis import strategies as st
from obstore.store import LocalStore

from shared.contracts import cases, identity
from shared.contracts.envelope import Envelope
from shared.storage import Storage, Stored, open_storage
from shared.testing.messages import encoded, message
from warehouse import manifests, reading, rows, writing
from warehouse.rows import Record, row_of
from warehouse.writing import Read, _commit, topics

APPENDED = datetime(2022, 3, 5, 1, tzinfo=UTC)
IDS = {"case.filed": "an-id-of-kafka"}


def filed(at: str = "2022-03-04T10:00:00+08:00") -> Envelope:
    case_id = uuid4()
    data = cases.CaseFiled(case_id=case_id, deputy_id=uuid4(), state="triage", county="330203")
    return message(data, subject=case_id, sequence=1, time=datetime.fromisoformat(at))


def record(value: Envelope | bytes, offset: int = 0) -> Record:
    raw = value if isinstance(value, bytes) else encoded(value)
    return Record("case.filed", 0, offset, APPENDED, raw)


def read(first: int, *records: Record) -> dict[TopicPartition, Read]:
    return {TopicPartition("case.filed", 0): Read(first, records[-1].offset + 1, records)}


async def commit(storage: Storage, *values: Envelope | bytes) -> bool:
    records = [record(value, n) for n, value in enumerate(values)]
    return await _commit(storage, await manifests.head(storage), IDS, read(0, *records)) is not None


@pytest.fixture
def url(tmp_path: Path) -> str:
    return (tmp_path / "warehouse").as_uri()


@pytest.fixture
def storage(url: str) -> Storage:
    return open_storage(url)


async def test_late_doubled_unknown_and_unreadable_records_are_kept_where_they_belong(
    url: str, storage: Storage
) -> None:
    twice, late = filed(), filed("2021-12-31T23:30:00+00:00")
    unknown = filed().model_copy(update={"type": "case.dreamt"})
    values = [twice, twice, late, b"\xff", unknown, b""]
    assert await commit(storage, *values)
    manifest = await manifests.read(storage, 1)
    assert {(file.day, file.type): file.rows for file in manifest.files} == {
        ("2022-01-01", "case.filed"): 1,  # the day is Beijing's
        ("2022-03-04", "case.filed"): 2,
        ("2022-03-04", "case.dreamt"): 1,
        ("2022-03-05", "unreadable"): 2,
    }
    (one,) = manifest.ranges
    assert (one.first_offset, one.last_offset, one.rows) == (0, 5, 6)
    assert manifest.positions == {"an-id-of-kafka/0": 6}
    answer = await reading.query(
        url, "SELECT id, d_deputy_id, d_state, sequence FROM case_filed ORDER BY time"
    )
    assert answer.rows == [(event.id, UUID(event.data["deputy_id"]), "triage", 1) for event in (late, twice)]
    raw = await reading.query(url, 'SELECT raw FROM unreadable ORDER BY "offset"')
    assert raw.rows == [(b"\xff",), (b"",)]
    counted = await reading.query(url, "SELECT type, count(*) FROM events GROUP BY 1 ORDER BY 1")
    assert counted.rows == [("case.dreamt", 1), ("case.filed", 2)]


async def test_of_two_writers_with_one_head_one_commits_and_the_other_leaves_nothing(
    url: str, storage: Storage
) -> None:
    first = await _commit(storage, manifests.BEFORE_ALL, IDS, read(0, record(filed())))
    second = await _commit(storage, manifests.BEFORE_ALL, IDS, read(0, record(filed())))
    assert first is not None
    assert second is None
    assert await manifests.numbers(storage) == [1]
    assert len([found async for found in storage.under("events")]) == 1
    assert await manifests.read(storage, 1) == first


class AnswersGetLost(Storage):
    """A storage whose answer to a creation is lost, so that the library asks again and hears that it is there."""

    async def put_new(self, name: str, content: bytes) -> bool:
        assert await super().put_new(name, content)
        return await super().put_new(name, content)


async def test_a_commit_whose_answer_was_lost_is_known_as_ones_own(url: str, tmp_path: Path) -> None:
    storage = AnswersGetLost(LocalStore(tmp_path / "warehouse", mkdir=True), None)
    assert await commit(storage, filed())
    assert (await reading.query(url, "SELECT count(*) FROM case_filed")).rows == [(1,)]


async def test_what_the_log_lost_is_missing_for_good_and_what_compaction_took_is_not(
    url: str, storage: Storage
) -> None:
    head = manifests.BEFORE_ALL
    for first, *offsets in ((3, 3, 4), (7, 7, 9), (10, 10)):  # 0-2, 5-6 and 8 are gone
        found = await _commit(storage, head, IDS, read(first, *(record(filed(), n) for n in offsets)))
        assert found is not None
        head = manifests.head_of(found)
    assert head.missing == 3 + 2 + 1
    assert await manifests.head(storage) == head
    assert (await reading.query(url, "SELECT count(*) FROM case_filed")).missing == 6
    compacted = manifests.Range("deputy.changed", "i", 0, first_offset=0, last_offset=9, rows=4)
    now = datetime.now(UTC)
    assert "deputy.changed" in writing.compacted()
    assert manifests.follow_up(manifests.BEFORE_ALL, (compacted,), (), now, writing.compacted()).missing == 0
    assert manifests.follow_up(manifests.BEFORE_ALL, (compacted,), (), now).missing == 6


async def test_a_range_that_takes_what_was_taken_is_refused(url: str, storage: Storage) -> None:
    await commit(storage, filed(), filed())
    head = await manifests.head(storage)
    with pytest.raises(manifests.Contradiction):
        await _commit(storage, head, IDS, read(1, record(filed(), 1)))
    newest = await manifests.read(storage, 1)
    again = replace(newest, number=2)
    assert await manifests.create(storage, again)
    with pytest.raises(manifests.Contradiction):
        await reading.query(url, "SELECT 1 FROM case_filed")


async def test_a_file_that_no_manifest_names_does_not_exist(url: str, storage: Storage) -> None:
    await commit(storage, filed())
    (found,) = [found async for found in storage.under("events")]
    content = await storage.get(found.name)
    assert content is not None
    await storage.put(found.name.replace(".parquet", "-left.parquet"), content)
    assert (await reading.query(url, "SELECT count(*) FROM case_filed")).rows == [(1,)]


async def test_manifests_with_a_gap_or_of_somebody_else_are_refused(storage: Storage) -> None:
    await storage.put(manifests.name_of(2), b"{}")
    with pytest.raises(manifests.Contradiction):
        await manifests.head(storage)
    await storage.put(manifests.name_of(1), b"{}")
    with pytest.raises(manifests.Contradiction):
        await manifests.head(storage)


class ListsAreNoMoment(Storage):
    """A storage in whose list the later of two objects that are made meanwhile is, and not yet the earlier."""

    lists = 0

    async def under(self, prefix: str) -> AsyncIterator[Stored]:
        self.lists += 1
        found = sorted([one async for one in super().under(prefix)], key=lambda one: one.name)
        for one in found[:-2] + found[-1:] if self.lists == 1 else found:
            yield one


async def test_two_manifests_that_are_made_while_one_lists_them_are_no_gap(tmp_path: Path) -> None:
    storage = ListsAreNoMoment(LocalStore(tmp_path / "warehouse", mkdir=True), None)
    head = manifests.BEFORE_ALL
    for _ in range(70):
        one = manifests.follow_up(head, (), (), APPENDED)
        assert await manifests.create(storage, one)
        head = manifests.head_of(one)
    assert [one.number async for one in manifests.every(storage)] == list(range(1, 71))


async def test_a_question_spills_to_a_folder_of_its_own_and_draws_no_bar_into_its_answer(
    url: str, storage: Storage
) -> None:
    names = ("temp_directory", "enable_progress_bar")
    answer = await reading.query(url, f"SELECT {', '.join(f'current_setting({n!r})' for n in names)}")
    ((spill, bar),) = answer.rows
    assert Path(spill).is_absolute(), "not where it was asked"
    assert bar is False


async def test_wrong_sql_is_an_error_that_says_what_is_wrong(url: str) -> None:
    with pytest.raises(ValueError, match="nothing_here"):
        await reading.query(url, "SELECT * FROM nothing_here")


def test_the_name_of_staff_stays_out() -> None:
    staff = identity.StaffChanged(staff_id=uuid4(), name="张三丰", organisation="3302", state="active")
    cells = row_of(record(message(staff, subject=staff.staff_id, sequence=1))).cells
    assert "张三丰" not in str(cells)
    assert json.loads(cells["data"])["organisation"] == cells["d_organisation"] == "3302"


def test_departments_own_mail_outcomes_and_commands_are_no_events_of_the_warehouse() -> None:
    found = set(topics())
    assert {"case.filed", "deputy.changed", "score.changed", "duty.logged"} <= found
    assert {topic for topic in found if topic.startswith("department.")} == {"department.changed"}
    assert not [t for t in found if t.endswith((".commands", ".outcomes", ".dead", ".due", ".replay"))]


@given(st.binary(max_size=200) | st.dictionaries(st.text(), st.none() | st.integers() | st.text()).map(
    lambda data: encoded(filed().model_copy(update={"data": {**data, "deputy_id": 7, "followers": "x"}}))
))  # fmt: skip
def test_whatever_the_bytes_a_record_is_a_row_of_its_table(value: bytes) -> None:
    row = row_of(record(value))
    table = rows.table_of(row.type, [row])
    assert table.num_rows == 1
    assert row.cells["offset"] == 0
