"""A batch of a stream that cannot be read is taken one by one, and none of it is passed over."""

from __future__ import annotations

from collections.abc import Sequence

from shared.messaging.received import Record
from shared.messaging.stream import Batch, made_ready
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
