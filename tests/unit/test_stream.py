"""A batch of a stream that cannot be read is taken one by one, and none of it is passed over."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Sequence
from typing import Any

import asyncpg
from aiokafka import TopicPartition
from aiokafka.consumer.fetcher import Fetcher

from shared.messaging.received import Record
from shared.messaging.stream import Batch, FetchWait, Stream, made_ready
from shared.testing.messages import HandRecord


class FailsOn:
    """A reading that fails at one value, as no reading should."""

    statement = ""

    def __init__(self, value: bytes) -> None:
        self._value = value

    async def refresh(self) -> None:
        return

    def read(self, records: Sequence[Record]) -> Batch:
        if any(record.value == self._value for record in records):
            raise OverflowError
        return Batch([[record.offset for record in records]], {})


def test_a_batch_that_cannot_be_read_is_set_aside_whole() -> None:
    records = [HandRecord("case.filed", value, offset=n) for n, value in enumerate((b"a", b"b", b"c"))]
    assert made_ready(FailsOn(b"b"), records) == Batch([[]], {}, records)
    assert made_ready(FailsOn(b"d"), records) == Batch([[0, 1, 2]], {})


def test_fetches_wait_short_while_records_come_and_long_in_a_backlog_and_when_it_is_quiet() -> None:
    wait = FetchWait(20, 200)
    assert wait.after(0, now=100) == 200
    assert wait.after(1, now=101) == 20
    assert wait.after(0, now=105) == 20
    assert wait.after(0, now=107) == 200
    assert wait.after(5000, now=108) == 200
    assert wait.after(3, now=112) == 200, "a backlog's last"
    assert wait.after(0, now=113) == 200
    assert wait.after(1, now=114) == 20


def test_the_client_asks_with_the_wait_that_the_stream_sets() -> None:
    """It is no option of aiokafka's: a version that keeps it elsewhere must be noticed."""
    assert "self._fetch_max_wait_ms," in inspect.getsource(Fetcher._get_actions_per_node)


class Line:
    """A connection whose last statement leaves piece by piece, one at each turn of the loop."""

    def __init__(self, pieces: int) -> None:
        self.left = pieces
        self._transport = self

    def is_closed(self) -> bool:
        return False

    def get_write_buffer_size(self) -> int:
        self.left = max(0, self.left - 1)
        return self.left


async def test_a_batch_is_done_with_only_when_its_statement_has_left() -> None:
    """Before that the next would be read, and nothing sent meanwhile."""
    under_way = asyncio.Event()

    class Sending(Stream):
        async def _write(self, *_: Any) -> None:
            await under_way.wait()

    stream: Any = object.__new__(Sending)
    stream._lost, stream._positions, stream._fetched_at, stream._writing = False, 0, 0, None
    stream._reading, stream._held = FailsOn(b"z"), {TopicPartition("case.filed", 0): 0}
    stream._connection = line = Line(5)
    await stream._take([HandRecord("case.filed", b"a", offset=0)])
    assert line.left == 0
    assert not stream._writing.done()
    under_way.set()
    await stream._writing
    line.left = 5
    await stream._sent()
    assert line.left == 5, "nothing is under way"


def test_the_client_tells_what_has_not_left() -> None:
    """It is no option of asyncpg's: a version that keeps it elsewhere must be noticed."""
    assert "_transport" in asyncpg.Connection.__slots__
